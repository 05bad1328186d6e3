"""The command line; parses, calls, prints; nothing else. Each command adds its own options."""

import argparse
import sys
import textwrap
from importlib import import_module

from pfmsm_lite import __version__
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.options import Parser

# modules with add(subparsers), which makes commands, each with its `do`; looked up by name, for the lab knows
# no room above it
COMMANDS = (
    "lab.run", "lab.inspect", "lab.predict", "lab.compare", "lab.map", "lab.bench", "course.commands",
)  # fmt: skip


def parser() -> Parser:
    """The parser of all commands."""
    top = Parser(
        prog="python -m pfmsm_lite",
        description="PF-MSMTrec and its yardsticks: from rows to a table, four figures and a saved run.",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"pfmsm_lite.{name}").add(commands)
    top.commands = commands.choices
    for command in top.commands.values():
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands.metavar = "{" + ",".join(top.commands) + "}"
    return top


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 1 where a training failed, 2 for bad input, 130 after Ctrl-C."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help", "--version")):
        argv.insert(0, "run")
    try:
        top = parser()
        options = top.parse_args(argv, argparse.Namespace(words=argv))
        return top.commands[options.command].do(options)
    except UserError as error:
        if "--debug" in argv:
            raise
        print(textwrap.fill(str(error), 100), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

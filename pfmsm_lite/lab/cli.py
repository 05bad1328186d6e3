"""The command line; parses, calls, prints; nothing else. Each command adds its own options."""

import argparse
import contextlib
import errno
import os
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module

from pfmsm_lite import __version__
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.options import Parser
from pfmsm_lite.lab.writing import Shown, printable

# modules with add(subparsers), which makes commands, each with its `do`; looked up by name, for the lab knows
# no room above it
COMMANDS = (
    "lab.run", "lab.inspect", "lab.predict", "lab.compare", "lab.map", "lab.worlds", "lab.trust",
    "lab.questions", "lab.checks", "lab.bench", "lab.download", "lab.paper", "engine.command",
    "course.commands",
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
        with _speaking("--debug" in argv), contextlib.redirect_stdout(Shown(sys.stdout)):
            if any("\0" in word for word in argv):
                raise UserError("An option contains a NUL character. Leave it out.")
            top = parser()
            options = top.parse_args(argv, argparse.Namespace(words=argv))
            command = top.commands[options.command]
            options.given = command.given(argv[1:])
            code = command.do(options)
            sys.stdout.flush()
            return code
    except _Said as said:
        return said.code


class _Said(Exception):
    """What is wrong was said already; code: of the process."""

    def __init__(self, code: int):
        self.code = code


@contextlib.contextmanager
def _speaking(debug: bool) -> Iterator[None]:
    """One paragraph for whatever goes wrong in a command; debug: the traceback instead."""
    try:
        yield
    except KeyboardInterrupt:
        text, code = "Interrupted.", 130
    except BrokenPipeError:  # the reader has gone: nothing to say, and nobody to say it to
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        text, code = "", 141
    except Exception as error:
        if debug:
            raise
        text, code = _in_words(error), 2
    else:
        return
    if text:
        # paths and options are kept in one piece, so that they can be copied
        lines = textwrap.fill(printable(text), 100, break_long_words=False, break_on_hyphens=False)
        print(lines, file=sys.stderr)
    raise _Said(code)


def _in_words(error: Exception) -> str:
    """What went wrong, and what to do."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory. Give fewer rows or methods, or --processes 1."
    if isinstance(error, OverflowError):
        return f"A number that was given is too large: {error}."
    if isinstance(error, OSError):
        named = f"{error.filename}: " if error.filename else ""
        remedy = (
            "Make room, or choose another place." if error.errno == errno.ENOSPC else "--debug says where."
        )
        return f"{named}{error.strerror or error}. {remedy}"
    kind = type(error).__name__
    return (
        f"This should not have happened: {kind}: {error}. It is a fault of the program: --debug says where."
    )


if __name__ == "__main__":
    sys.exit(main())

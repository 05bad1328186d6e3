"""Options that several commands have, and what they mean: Methods, changed as they say, and Settings."""

import argparse
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import Field, fields, replace
from typing import Any

from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.lab.knobs import knob
from pfmsm_lite.lab.sources import READERS, TABLE
from pfmsm_lite.lab.tables import add_options, names
from pfmsm_lite.methods import GROUPS, METHODS, Method, Settings, choices, policies
from pfmsm_lite.registry import OPERATORS
from pfmsm_lite.trust import dp

# Where in the order of declaration (Method, then Settings) the options of another stage begin: a field that
# is not listed here belongs with the one before it.
STAGE_OF = {
    "model": "model and template",
    "check": "what the server trusts",
    "normalize": "normalization",
    "coordinate": "coordination",
    "server_step": "aggregation",
    "embedding": "embedding entries",
    "intercept": "model and template",
    "optimizer_state": "local training",
    "personal": "at home",
    "tree_step": "model and template",
    "local_epochs": "local training",
    "embedding_size": "model and template",
    "unknown_rate": "local training",
    "ctcvr": "model and template",
    "precision": "local training",
    "client": "privacy",
    "probe": "local training",
    "attack": "what the server trusts",
}
FRAME = ("command", "debug", "words", "given")  # of the parsed options; the others are a command's arguments
STAGES = (
    "model and template", "local training", "what the server trusts", "normalization", "coordination",
    "aggregation", "embedding entries", "at home", "privacy",
)  # fmt: skip


class Parser(argparse.ArgumentParser):
    """A wrong command line gets one paragraph, as every other bad input, not a page of usage.

    do  of a command: options → exit code;  commands  of the parser of all: name → its parser
    """

    do: Callable[[argparse.Namespace], int]
    commands: dict[str, "Parser"]

    def given(self, words: Sequence[str]) -> list[str]:
        """Names of the arguments that a command line gives, even where they equal a default.

        raises  UserError for one that is given without a value, such as --out ''
        """
        nothing = object()
        many = (argparse._AppendAction, argparse._StoreTrueAction)
        own = [action for action in self._actions if action.option_strings and not isinstance(action, many)]
        found = vars(self.parse_args(words, argparse.Namespace(**{action.dest: nothing for action in own})))
        names = []
        for action in self._actions:
            value = found.get(action.dest, nothing)
            if value is nothing or (action not in own and value in (None, False, [])):
                continue
            names.append(action.dest)
            off = action.dest in flags() and flags()[action.dest].default == value
            each = isinstance(action, argparse._AppendAction) or not action.option_strings
            if not off and (value in ("", []) or (each and isinstance(value, list) and "" in value)):
                name = action.option_strings[0] if action.option_strings else action.metavar
                raise UserError(f"{name} is given without a value. Give one, or leave it out.")
        return names

    def error(self, message: str) -> None:
        raise UserError(f"{message[0].upper()}{message[1:]}. All options: {self.prog} --help")


class Lines(argparse.HelpFormatter):
    """Help texts keep their own line breaks: a choice and what it does get a line of their own."""

    def _split_lines(self, text, width):
        first, *others = text.splitlines()
        found = textwrap.wrap(" ".join(first.split()), width)
        for line in others:
            found += textwrap.wrap(line, width, initial_indent="  ", subsequent_indent="      ")
        return found

    def _fill_text(self, text, width, indent):
        return "\n".join(indent + line for line in self._split_lines(text, width - len(indent)))


def refuse_beside(why: str, names: Iterable[str]) -> None:
    """Refuse options, by their names, beside one that already settles the same."""
    if names:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise UserError(f"{why} {named} cannot be given beside it.")


# ---- what an option's text means ----


def numbers(text: str) -> list[int]:
    """0,1 → [0, 1]."""
    try:
        return [int(name) for name in names(text)]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: it takes whole numbers, such as 0,1,2") from error


def yes(text: str) -> bool:
    """yes or no."""
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r}: choose yes, no")
    return text == "yes"


def convert(default: Any) -> Callable[[str], Any]:
    """How an option's text becomes a value of its default's type."""
    if isinstance(default, bool):
        return yes
    if isinstance(default, tuple):
        return lambda text: tuple(numbers(text))
    return type(default)


# ---- groups of options ----


def basic_group(command: Parser) -> argparse._ArgumentGroup:
    """The first group of a command's help, with --data in it."""
    basic = command.add_argument_group("basic options")
    choices = "".join(f"\n{name}: {row.text}" for name, row in {**READERS, "FILE": TABLE}.items())
    basic.add_argument(
        "--data",
        default="synthetic",
        metavar=f"{{{','.join([*READERS, 'FILE.csv', 'FILE.parquet'])}}}",
        help="what to train on (default synthetic)" + choices,
    )
    return basic


def training_options(group: argparse._ArgumentGroup, on_resume: str, out: str | None = None) -> None:
    """The options that `run`, `compare` and `map` share."""
    for option, kind, default, name, text in (
        ("rounds", int, None, "R", "federated rounds (synthetic 10, synthetic-hard 15, all others 20)"),
        ("out", str, out, "DIR", f"where it is saved (default {out or 'runs/<data>'})"),
        ("resume", str, None, "DIR", f"go on with an interrupted one; {on_resume}"),
        ("threads", int, None, "T", "threads of a process (default 1)"),
        ("processes", int, None, "P", "trainings side by side (default 2)"),
    ):
        group.add_argument(f"--{option}", type=kind, default=default, metavar=name, help=text)
    plugin_option(group)


def data_options(command: Parser) -> None:
    """How the data are made or read."""
    made = command.add_argument_group("generated and published data")
    knob_option(made)
    seed = "seed of generated data, or of a table's random split (0; compare: generated data are new with "
    seed += "each seed, unless it is given)"
    made.add_argument("--data-seed", type=int, default=0, metavar="S", help=seed)
    for option, kind, name, text in (
        ("data-dir", str, "DIR", "folder of published data"),
        ("cache-dir", str, "DIR", "where aliexpress, tenrec and aliccp are kept as Parquet once they are "
         "read (default: cache, beside the run)"),
        ("most-rows", int, "R", "of each file of these about this many rows, each with the same chance"),
    ):  # fmt: skip
        made.add_argument(f"--{option}", type=kind, metavar=name, help=text)
    order = "MovieLens: rows at random (test users are seen, the default) or as they stand (they are not)"
    made.add_argument("--order", choices=("shuffled", "file"), help=order)
    window = "of KuaiRand: 1, 2 or 3, successive windows in time, or last, its last day, to be looked at once"
    made.add_argument("--window", metavar="W", help=f"{window} (default: validation 05-04, test from 05-05)")
    add_options(command)


def knob_option(group: Parser | argparse._ArgumentGroup) -> None:
    """--knob, of commands that can generate data."""
    group.add_argument(
        "--knob",
        action="append",
        type=knob,
        metavar="NAME=VALUE",
        help="synthetic data: another value for an argument of pfmsm_lite.data.synthetic, such as across=0.9 "
        "or sizes=[500]*16; may be given several times",
    )


def plugin_option(group: Parser | argparse._ArgumentGroup) -> None:
    """--plugin; without it there is no such argument at all."""
    group.add_argument(
        "--plugin",
        action="append",
        default=argparse.SUPPRESS,
        metavar="FILE.py",
        help="a Python file that registers rules of your own or declares methods; it is run first, and with "
        "your rights. May be given several times",
    )


def operator_options(command: Parser) -> dict[str, argparse._ArgumentGroup]:
    """One group of options for each stage of the method, from the tables: stage → group."""
    groups = {stage: command.add_argument_group(f"method and training: {stage}") for stage in STAGES}
    groups["aggregation"].add_argument(
        "--share",
        action="append",
        type=knob,
        metavar="GROUP=POLICY",
        help=f"another policy for a group of parameters, such as gate=personalized; may be given several "
        f"times. Groups: {', '.join(GROUPS)}. Policies: {', '.join(policies())}",
    )
    stage = STAGES[0]
    for name, entry in flags().items():
        stage = STAGE_OF.get(name, stage)
        if table := entry.metadata.get("several"):
            rows = "".join(f"\n{kind}: {row.text}" for kind, row in OPERATORS[table].items())
            text = f"{entry.metadata['help']}; may be given several times. KIND is one of{rows}"
            groups[stage].add_argument(f"--{name}", action="append", metavar="SCENARIO=KIND", help=text)
            continue
        known = ("yes", "no") if isinstance(entry.default, bool) else choices(entry)
        groups[stage].add_argument(
            f"--{name.replace('_', '-')}",
            type=str if choices(entry) else convert(entry.default),
            metavar="{" + ",".join(known) + "}" if known else name.upper(),
            help=explain(entry).replace("%", "%%"),
        )
    return groups


def epsilon_options(group: argparse._ArgumentGroup) -> None:
    """--epsilon and --delta, of a command that trains each method once."""
    for option, usual, name, text in (
        (
            "epsilon",
            None,
            "E",
            "private clients, with the noise that this ε per row and run takes",
        ),
        ("delta", 1e-5, "D", "the δ of that ε, and of the ε that a private run prints"),
    ):
        help_text = text if usual is None else f"{text} (default {usual})"
        group.add_argument(f"--{option}", type=float, default=usual, metavar=name, help=help_text)


def flags() -> dict[str, Field]:
    """Command-line options of Method's operators and of Settings: name → dataclass field."""
    return {f.name: f for f in (*fields(METHODS["pf_msmtrec"]), *fields(Settings)) if f.metadata}


def explain(entry: Field) -> str:
    """Help for an option: what it does, its default, and a line for each of its choices."""
    default = getattr(METHODS["pf_msmtrec"], entry.name, None)
    default = entry.default if default is None else default
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    if isinstance(default, bool):
        default = "yes" if default else "no"
    text = f"{entry.metadata['help']}. Default {default}".rstrip()
    table = OPERATORS.get(entry.metadata.get("operator"), {})
    return text + "".join(f"\n{name}: {row.text}" for name, row in table.items())


# ---- what the arguments mean ----


def declared(arguments: dict[str, Any]) -> tuple[list[Method], Settings]:
    """The chosen methods, with operators changed as the options say, and the Settings.

    arguments  methods: names, or Methods; the options of `operator_options`, as far as they are given

    An operator option changes every chosen method that has pf_msmtrec's value of it: so an ablation goes on
    leaving out what it leaves out, and FedAvg does not turn into something else.
    """
    base = METHODS["pf_msmtrec"]
    asked = {
        f.name: arguments[f.name] for f in fields(base) if f.metadata and arguments.get(f.name) is not None
    }
    pairs = arguments.get("share") or ()
    asked_for = {choose("--share", group, GROUPS): policy for group, policy in pairs}
    for group, policy in asked_for.items():
        choose(f"policy of {group} in --share", policy, policies())
    if len(asked_for) < len(pairs):
        raise UserError("--share names a group twice. Give every group one policy.")
    chosen = []
    for name in arguments["methods"]:
        method = name if isinstance(name, Method) else METHODS[choose("method", name, METHODS)]
        changes = {k: v for k, v in asked.items() if getattr(method, k) == getattr(base, k)}
        if not method.sent:
            changes = {k: v for k, v in changes.items() if k not in ("personal", "phases")}
        if not method.pooled:
            changes.pop("model", None)
        if method.model != "mmoe":
            changes.pop("intercept", None)
        share = {g: p for g, p in asked_for.items() if method.share.get(g) == base.share.get(g)}
        if method.sent and share:
            changes["share"] = {**method.share, **share}
        chosen.append(replace(method, **changes))
    given = {f.name: arguments[f.name] for f in fields(Settings) if arguments.get(f.name) is not None}
    return chosen, _private(Settings(**given), chosen, arguments)


def _private(settings, methods, arguments):
    """The Settings; with --epsilon, the noise that it takes. Refuses what private clients would not read."""
    own = [name for name in ("dp_clip", "dp_noise", "dp_rate") if arguments.get(name) is not None]
    if arguments.get("epsilon") is not None and "dp_noise" in own:
        refuse_beside("--epsilon finds the noise:", ["dp_noise"])
    if (target := arguments.get("epsilon")) is not None:
        settings = dp.with_epsilon(settings, methods, arguments["rounds"], target, arguments["delta"])
    if dp.is_private(settings):
        dp.refuse_methods(methods)
    elif own:
        option = f"--{own[0].replace('_', '-')}"
        raise UserError(f"{option} is read by private clients. Add --client private, or leave it out.")
    return settings

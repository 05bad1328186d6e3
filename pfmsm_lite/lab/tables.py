"""A table of your own, from the command line: its options, how it is read, and what is said of it."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pfmsm_lite.data.complete import absent
from pfmsm_lite.data.splitting import LEAST
from pfmsm_lite.data.table import DUPLICATES, load_table
from pfmsm_lite.errors import UserError
from pfmsm_lite.scenario import SPLITS, Scenario, shortened

Arguments = dict[str, Any]
MANY = 30  # columns, scenarios or warnings that are listed one by one where it is to be short


def names(text: str) -> list[str]:
    """A,B → [A, B]."""
    return [name.strip() for name in text.split(",") if name.strip()]


def words(text: str) -> list[str]:
    """A,B → [A, B], an empty text among them where there is one."""
    return text.split(",")


def fractions(text: str) -> tuple[float, ...]:
    """70,15,15 → (70.0, 15.0, 15.0)."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: it takes three numbers, such as 70,15,15") from error


# option → (its type or its choices, metavar, help)
OPTIONS: dict[str, tuple[Callable | Sequence[str], str, str]] = {
    "scenario": (str, "COLUMN", "the column that names the scenario"),
    "tasks": (names, "A,B", "label columns, 0/1 or missing"),
    "positive": ("append", "RULE", 'what is positive in a label column, such as "rating>=4" or "bought=yes"'),
    "categorical": (names, "A,B", "categorical columns; columns not named are typed from name and content"),
    "numerical": (names, "A,B", "numerical columns; a gap becomes the client's mean, and a flag"),
    "multi": (names, "A,B", "columns with several entries in a cell, lists or a|b|c: read as bags"),
    "ignore": (names, "A,B", "columns to leave out"),
    "time": (str, "COLUMN", "split by this column, not at random"),
    "group": (str, "COLUMN", "all rows of one person on one side of a random split"),
    "split_column": (str, "COLUMN", "a column that says train, valid or test"),
    "train": (str, "FILE", "a split by files: this one for training,"),
    "valid": (str, "FILE", "this one for validation (else a fifth of the training rows),"),
    "test": (str, "FILE", "this one for the test"),
    "fractions": (fractions, "T,V,T", "shares of train, valid and test (default 60,20,20)"),
    "duplicates": (DUPLICATES, "", "equal rows: together on one side, drop all but one, apart, or auto"),
    "minimum_rows": (int, "R", f"leave smaller scenarios out (default {LEAST})"),
    "scenarios": (names, "A,B", "keep these scenarios alone"),
    "categories": (("hash", "union"), "", "hash values (default) or fit one vocabulary over all scenarios"),
    "buckets": (int, "B", "buckets of a hashed column (default 4096, more where there are many values)"),
    "statistics": (("client", "federation", "none"), "", "standardize per scenario (default), over all, not"),
    "na": (words, "A,B", "further texts that stand for a gap"),
    "sep": (str, "S", "what stands between cells; found out otherwise"),
    "decimal": (str, "S", "the decimal sign, . or , ; found out otherwise"),
    "encoding": (str, "NAME", "such as latin-1; UTF-8 otherwise"),
}  # fmt: skip
FILES = ("train", "valid", "test")
SPLIT_BY = ("time", "split_column", *FILES)  # options with which no row's place is drawn


def add_options(command: Any) -> None:
    """The group of options for a table of your own."""
    group = command.add_argument_group("a table of your own")
    for option, (kind, metavar, text) in OPTIONS.items():
        how: dict[str, Any] = {"type": kind, "metavar": metavar}
        if kind == "append":
            how = {"action": "append", "metavar": metavar}
        elif not callable(kind):
            how = {"choices": tuple(kind)}
        group.add_argument(f"--{option.replace('_', '-')}", help=text, **how)


def read(arguments: Arguments) -> list[Scenario]:
    """The scenarios of a table; raises UserError as `data.from_dataframe` does."""
    if not (arguments.get("scenario") and arguments.get("tasks")):
        raise UserError(
            f"--data {arguments['data']} needs --scenario COLUMN and --tasks LABEL,LABEL: which column says "
            "what scenario a row belongs to, and which columns are the labels."
        )
    chosen = {key: arguments[key] for key in OPTIONS if arguments.get(key) not in (None, [], "")}
    files = {split: chosen.pop(split) for split in FILES if split in chosen}
    if "fractions" in chosen:
        for other in ("split_column", *FILES):
            if arguments.get(other):
                raise UserError(f"--fractions cannot be given beside --{other.replace('_', '-')}.")
        chosen["split"] = chosen.pop("fractions")
    return load_table(files or arguments["data"], **chosen, seed=arguments.get("data_seed") or 0)


# ---- what is said of a table ----


def overview(scenarios: list[Scenario], short: bool = False) -> list[str]:
    """What was read, in lines: how, columns with their typing, scenarios, warnings with their remedies.

    short  for more than MANY columns or scenarios, say only how many there are
    """
    notes = scenarios[0].notes
    lines = [f"How it was read: {'; '.join(notes['reading'])}"] if notes.get("reading") else []
    lines += _scenarios(scenarios, short)
    lines += _columns(notes.get("typing") or {}, notes.get("examples") or {}, short)
    lines += [
        f"  {name} lacks {shortened(columns)}: read as unknown, numbers as 0"
        for name, columns in absent(scenarios).items()
    ]
    if apart := scenarios[0].apart:
        lines.append(
            f"  the weights that read {shortened(apart)} stay at home: not every scenario has the column"
        )
    lines += [f"Left out: scenario {name}: {why}" for name, why in (notes.get("left_out") or {}).items()]
    warnings = [text for text in notes.get("warnings") or () if not text.startswith("left out: ")]
    return lines + [f"Warning: {text}" for text in warnings]


def _scenarios(scenarios, short):
    """A line for each scenario: rows and share of positives by split."""
    rows = sum(len(s.rows(split).labels) for s in scenarios for split in SPLITS)
    lines = [f"{len(scenarios)} scenarios, {rows:,} rows, tasks: {', '.join(scenarios[0].tasks)}"]
    shown = sorted(scenarios, key=lambda s: -len(s.train.labels))[:MANY] if short else scenarios
    shown = scenarios if len(shown) == len(scenarios) else shown
    for s in shown:
        sizes = " + ".join(f"{len(s.rows(split).labels):,}" for split in SPLITS)
        rates = ", ".join(
            f"{task} {rate:.3f}" if rate == rate else f"{task} –"
            for task, rate in zip(s.tasks, s.train.labels.nanmean(0).tolist(), strict=True)
        )
        lines.append(f"  {s.name}: {sizes} rows (train + valid + test); rates: {rates}")
    if len(shown) < len(scenarios):
        lines.append(f"  … {len(scenarios) - len(shown)} smaller ones")
    return lines


def _columns(typing, examples, short):
    """A line for each column; where it is to be short, one for each kind of many."""
    if not short or len(typing) <= MANY:
        return [
            f"  column {column}: {kind}"
            + (f"; such as {', '.join(examples[column])}" if column in examples else "")
            for column, kind in typing.items()
        ]
    kinds: dict[str, list[str]] = {}
    for column, kind in typing.items():
        kinds.setdefault(kind.split(",")[0], []).append(column)
    return [f"  {len(own)} columns {kind}: {shortened(own, 10)}" for kind, own in kinds.items()]


def positives(scenarios: list[Scenario]) -> list[str]:
    """Positives of each task by scenario and split: lines of a table."""
    lines = []
    for s in scenarios:
        for t, task in enumerate(s.tasks):
            counts = [s.rows(split).labels[:, t] for split in SPLITS]
            told = ", ".join(
                f"{split} {int((own == 1).sum()):,} of {int((~own.isnan()).sum()):,}"
                for split, own in zip(SPLITS, counts, strict=True)
            )
            lines.append(f"  {s.name}, {task}: {told}")
    return lines


def suited_said(arguments: Arguments, sizes: Mapping[str, int]) -> list[str]:
    """What was chosen by the number of rows, unless told otherwise; sizes: scenario → training rows."""
    chosen = {name: v for name, v in (arguments.get("suited") or {}).items() if arguments.get(name) == v}
    if not chosen:
        return []
    words = ", ".join(f"--{name.replace('_', '-')} {value}" for name, value in chosen.items())
    return [f"Chosen by the {max(sizes.values()):,} training rows of the largest scenario: {words}"]

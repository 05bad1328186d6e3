"""What a table's columns are: roles that were named, kinds that were found, and what is said of both."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pfmsm_lite.data.columns import Column
from pfmsm_lite.data.files import check_header
from pfmsm_lite.data.kinds import MOSTLY, Kind, bag_sign, find_kind, say_doubts
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.scenario import shortened

ROLES = ("scenario", "task", "time", "ignore", "categorical", "numerical", "multi", "split")
SEVERAL = ("list", "other")  # kinds of columns whose cells are neither numbers nor texts
UNIQUE = 0.95  # share of different values from which a category cannot be learned from


def listed(names: str | Iterable[str] | None) -> list[str]:
    """One name, several or none → a list of texts."""
    return [names] if isinstance(names, str) else [str(name) for name in (() if names is None else names)]


def clean_header(df: pd.DataFrame, source: str | Path) -> tuple[pd.DataFrame, list[str]]:
    """The table with text names without blanks around them, a named index as columns; and what is said."""
    said = []
    if not isinstance(df, pd.DataFrame):
        raise UserError(f"{source} is a {type(df).__name__}, but it must be a pandas DataFrame.")
    if any(name is not None for name in df.index.names):
        check_header([*df.columns, *(name for name in df.index.names if name is not None)], source)
        df = df.reset_index()
    names = [str(column).strip() for column in df.columns]
    blank = [repr(column) for column in df.columns if str(column) != str(column).strip()]
    if blank:
        said.append(f"blanks around the names of columns are dropped: {', '.join(blank)}")
    check_header(names, source)
    df = df.set_axis(names, axis=1).reset_index(drop=True)
    counted = [n for n in names if n.startswith("Unnamed: ") and _counts_rows(df[n])]
    if counted:
        said.append(f"left out, since it only numbers the rows: {', '.join(map(repr, counted))}")
    return df.drop(columns=counted), said


def without_empty(columns: Mapping[str, Column], kept: Sequence[str]) -> tuple[dict[str, Column], list[str]]:
    """The columns that hold something or are among those `kept`; and what is said of the others."""
    empty = [name for name, column in columns.items() if name not in kept and column.is_empty()]
    said = [f"left out, since no cell holds anything: {shortened(map(repr, empty))}"] if empty else []
    return {name: column for name, column in columns.items() if name not in empty}, said


def _counts_rows(series):
    numbers = pd.to_numeric(series, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if not len(numbers) or not (numbers == np.floor(numbers)).all():
        return False
    return bool((np.diff(numbers) == 1).all()) or (
        len(numbers) > 1 and len(np.unique(numbers)) == len(numbers)
    )


def check_roles(df: pd.DataFrame, roles: Mapping[str, Sequence[str]], source: str | Path) -> None:
    """Refuse an empty table, and columns that are missing or used twice."""
    if not len(df):
        raise UserError(f"{source} has no rows.")
    if not roles["task"]:
        raise UserError("tasks is empty: name at least one label column.")
    taken: dict[str, str] = {}
    for role in ROLES:
        for column in roles[role]:
            choose(f"column (as {role}) in {source}:", column, df.columns)
            if column in taken:
                raise UserError(
                    f"{source}: column {column!r} is named as {taken[column]} and as {role}. Drop one."
                )
            taken[column] = role


def check_single(columns: Mapping[str, Column], roles: Mapping[str, Sequence[str]]) -> None:
    """Refuse lists and the like as names of scenarios, people, splits, and as times."""
    for role, names in roles.items():
        for name in names:
            if columns[name].kind in SEVERAL:
                raise UserError(
                    f"{columns[name].source}: column {name!r} cannot be the {role}: its cells hold lists or "
                    f"the like, such as {_example(columns[name])}. Name another column."
                )


class Kinds(NamedTuple):
    """What the feature columns are: column → kind, in order; how each was found; and what is said of it.

    kinds     column → "categorical", "numerical" or "multi";  found  column → Kind, of those not named
    warnings  sentences
    """

    kinds: dict[str, str]
    found: dict[str, Kind]
    warnings: list[str]


def find_kinds(
    columns: Mapping[str, Column], roles: Mapping[str, Sequence[str]], source: str | Path
) -> Kinds:
    """Kinds of the columns: as named, else from content.

    raises  UserError, once for all of them, for columns with several values in a cell that nobody declared
    """
    kinds = {column: kind for kind in ("categorical", "numerical", "multi") for column in roles[kind]}
    found = {name: find_kind(column) for name, column in columns.items() if name not in kinds}
    several = [name for name, kind in found.items() if kind.kind == "multi"]
    for kind, unfit in (("categorical", SEVERAL), ("numerical", SEVERAL), ("multi", ("other",))):
        several += [name for name in roles[kind] if columns[name].kind in unfit]
    if several:
        _refuse_several([columns[name] for name in several], source)
    kinds |= {name: kind.kind for name, kind in found.items()}
    if not kinds:
        raise UserError(f"{source}: no feature column is left besides scenario, tasks and what is ignored.")
    times = {name: kind.time for name, kind in found.items() if kind.time and kind.kind == "numerical"}
    warnings = [
        f"column {name!r} looks like a time ({how}): split by it with --time {name}, or leave it out with "
        f"--ignore {name}"
        for name, how in times.items()
    ]
    warnings += say_doubts([name for name, kind in found.items() if kind.doubt and kind.kind == "numerical"])
    dates = [name for name, kind in found.items() if kind.time and kind.kind == "categorical"]
    if dates:
        warnings.append(
            f"read as categories, though these look like dates: {', '.join(dates)}. Write them as "
            f"2024-05-31, or leave them out with --ignore {','.join(dates)}"
        )
    mixed = [name for name, kind in found.items() if kind.doubt and kind.kind == "categorical"]
    if mixed:
        warnings.append(
            f"read as categories, though many cells hold a number: {', '.join(mixed)}. Say what they are: "
            f"--categorical {','.join(mixed)} or --numerical {','.join(mixed)}, and --na where a word stands "
            "for a gap"
        )
    return Kinds(kinds, found, warnings)


def _refuse_several(columns, source):
    """One refusal for all columns with lists or several entries in a cell."""
    bags = [c for c in columns if c.kind == "list" or (c.kind == "text" and bag_sign(c))]
    others = [c for c in columns if c not in bags]
    texts = [
        f"{shortened(f'{c.name!r} ({_example(c)})' for c in own)} hold{'s' * (len(own) == 1)} {what}"
        for own, what in ((bags, "several entries in a cell"), (others, "neither numbers nor texts"))
        if own
    ]
    remedies = [f"--multi {','.join(c.name for c in bags)} reads bags of entries"] if bags else []
    if any(c.kind == "text" for c in bags):
        remedies.append("--categorical takes each text as one value")
    remedies.append(f"--ignore {','.join(c.name for c in columns)} leaves them out")
    raise UserError(f"{source}: {'; '.join(texts)}. {'; '.join(remedies)}.")


def _example(column):
    there = column.series[column.series.notna()]
    if not len(there):
        return "nothing"
    shown = there.iloc[int(np.argmax([len(str(v)) for v in there.iloc[:50]]))]
    return repr(shown.tolist() if hasattr(shown, "tolist") else shown)[:40].replace("np.str_", "")


def check_numbers(columns: Mapping[str, Column], dates: Mapping[str, bool]) -> list[str]:
    """Warnings about cells of numerical columns that are not numbers; refused where they are too many.

    dates  column → whether its texts are dates
    """
    warnings = []
    for name, column in columns.items():
        bad = column.is_bad(dates[name])
        if not bad.any():
            continue
        text = str(column.series.iloc[int(np.argmax(bad))]).strip()
        remedy = (
            f'is not a usable number. Fill it in, let it count as missing (--na "{text}"), declare the '
            f"column categorical (--categorical {name}), or leave it out (--ignore {name})."
        )
        known = column.rows - int(column.is_gap().sum())
        if (not dates[name] and column.is_infinite()) or bad.sum() > (1 - MOSTLY) * known:
            column.refuse(bad, remedy)
        first, kind = column.place(int(np.argmax(bad))), "date" if dates[name] else "number"
        many = (
            f"{bad.sum():,} of {column.rows:,} cells are no {kind}s and are"
            if bad.sum() > 1
            else f"one cell is no {kind} and is"
        )
        warnings.append(
            f"{many} read as missing: {first}. Fix it, or declare the column --categorical {name}"
        )
    return warnings


def say_unique(columns: Mapping[str, Column], kinds: Mapping[str, str]) -> list[str]:
    """A warning that names the categories with a value of its own in nearly every row."""
    unique = [
        name
        for name, kind in kinds.items()
        if kind == "categorical" and columns[name].rows >= 100
        and len(columns[name].as_text()[1]) > UNIQUE * columns[name].rows
    ]  # fmt: skip
    if not unique:
        return []
    return [
        f"nearly every row has a value of its own in {', '.join(unique)}: nothing can be learned from it. "
        f"Leave it out with --ignore {','.join(unique)}"
    ]


def date_columns(typed: Kinds, columns: Mapping[str, Column]) -> dict[str, bool]:
    """Numerical column → whether its texts are dates, in order."""
    return {
        name: columns[name].kind in ("text", "moment") and _kind(typed, columns[name]).time == "dates"
        for name, kind in typed.kinds.items()
        if kind == "numerical"
    }


def _kind(typed, column):
    """What a column was found to be, also of one that was named."""
    return typed.found.get(column.name) or find_kind(column)


def describe(read: "Read", how: Mapping[str, str], statistics: str) -> dict[str, str]:
    """Column → how it was typed and encoded, in words; how: of the categories."""
    fitted = f"standard, fitted on training rows ({statistics})" if statistics != "none" else "as it is"
    found, typed = {}, read.typed
    for name in typed.kinds:
        if name in how:
            found[name] = how[name]
            continue
        column, more = read.columns[name], []
        if column.kind == "text" and not read.dates[name]:
            parsed = column.parsed
            more += [f"written with {parsed.style}"] if parsed.style != "plain" else []
            more += ["signs of currency or percent dropped"] if parsed.adorned else []
        if name in typed.found and typed.found[name].time:
            more += [f"looks like a time: {typed.found[name].time}"]
        if count := read.gaps[name]:
            more += [f"{count:,} missing: the client's mean, and a flag"]
        found[name] = ", ".join([f"numerical, {fitted}", *more])
    return found


def examples(column: Column) -> list[str]:
    """A few values of a column as they are in the table."""
    there = column.series[column.series.notna()].head(200)
    return list(dict.fromkeys(map(str, there.tolist())))[:3]


def different(columns: Mapping[str, Column], typed: Kinds) -> dict[str, np.ndarray]:
    """Column → its different values as text, of those with few."""
    found = {}
    for name in typed.found:
        column = columns[name]
        if column.kind in ("list", "other") or (column.kind != "text" and np.any(column.numbers[:2000] > 1)):
            found[name] = np.array([], object)
        else:
            found[name] = column.as_text()[1] if column.kind != "text" else column.texts[column.counts > 0]
    return found


class Read(NamedTuple):
    """A table of R rows, its columns read and typed; labels [R] by task; gaps: column → missing numbers."""

    roles: dict[str, list[str]]
    rules: dict
    columns: dict[str, Column]
    typed: Kinds
    dates: dict[str, bool]
    labels: dict[str, np.ndarray]
    gaps: dict[str, int]
    said: list[str]
    warnings: list[str]

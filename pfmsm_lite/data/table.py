"""Any table: a pandas DataFrame or a file, and the names of its columns → one Scenario per client."""

import warnings as python_warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pfmsm_lite.data import bags  # noqa: F401 - how models read them
from pfmsm_lite.data.columns import Column, decimal_sign
from pfmsm_lite.data.encoder import Encoder, as_number, read_numbers
from pfmsm_lite.data.encoding import (
    STATISTICS,
    Moments,
    encode_category,
    fit_client,
    moments,
    vocabularies,
    zscores,
)
from pfmsm_lite.data.files import Table, read_file
from pfmsm_lite.data.labels import positives, read_task
from pfmsm_lite.data.leaks import find_leaks, sample, unnamed_outcomes
from pfmsm_lite.data.parts import cut_rows
from pfmsm_lite.data.reading import (
    Read,
    check_numbers,
    check_roles,
    check_single,
    clean_header,
    date_columns,
    describe,
    different,
    examples,
    find_kinds,
    listed,
    say_unique,
    without_empty,
)
from pfmsm_lite.data.splitting import LEAST, Split, near_equal
from pfmsm_lite.errors import UserError, at_least_one, choose
from pfmsm_lite.scenario import SPLITS, Rows, Scenario

DUPLICATES = ("auto", "together", "drop", "apart")


def from_dataframe(
    df: pd.DataFrame,
    scenario: str,
    tasks: str | Sequence[str],
    categorical: str | Sequence[str] | None = None,
    numerical: str | Sequence[str] | None = None,
    time: str | None = None,
    ignore: str | Iterable[str] = (),
    categories: str | Mapping[str, Iterable] = "hash",
    buckets: int | None = None,
    statistics: str = "client",
    split: Split = (0.6, 0.2, 0.2),
    seed: int = 0,
    minimum_rows: int = LEAST,
    ctcvr: Sequence[str] | None = None,
    source: str | Path = "the table",
    *,
    multi: str | Sequence[str] = (),
    positive: str | Iterable[str] = (),
    group: str | None = None,
    split_column: str | None = None,
    duplicates: str = "auto",
    scenarios: Iterable[str] | None = None,
    na: Iterable[str] = (),
    decimal: str | None = None,
) -> list[Scenario]:
    """One Scenario for each value of a column, in the order of the values.

    df            a pandas DataFrame;  scenario: the column that names a row's scenario
    tasks         label columns: 0, 1 or missing, or what `positive` makes of them
    categorical, numerical, multi   feature columns; multi: bags, lists or texts such as a|b|c, of which the
                  mean of the entries is taken. Columns that are not named anywhere are typed from their names
                  and their content, see `kinds`; the result is in every scenario's notes["typing"]. A gap in
                  a numerical column becomes the client's training mean, and a flag column says so
    time          column of numbers or ISO dates to split by: the last rows of all are test, those before
                  validation, and rows of one moment stay together; None: at random in each scenario, with
                  `seed`
    split         shares of train, valid and test; with `time` also {"valid": first, "test": first moment}
    group         column of persons or the like: all rows of one are on one side of a random split
    split_column  column that says train, valid or test; neither `time` nor `group` beside it
    duplicates    rows that are equal in every column used, in a random split: `together` on one side ·
                  `drop` all but the first · `apart`: each by itself · `auto`: together, unless most rows are
                  repeated
    categories    hash (into `buckets`; nothing is fitted) · union (values of all clients' training rows;
                  a federation would have to exchange them) · {field: declared values}, the others hashed. A
                  pandas Categorical is always declared. Any other value is read as "unknown", entry 0
    buckets       of each hashed field; None: 4096, more where the training rows have more than 1024 values
    statistics    numerical columns become z-scores, fitted on the training rows of the `client` · of the
                  whole `federation` (it must exchange sums) · `none`: they stay as they are
    minimum_rows  smaller scenarios are left out, and named in the notes;  scenarios: those to keep, or all
    ctcvr         (click, conversion): the second label becomes click AND conversion; a missing conversion
                  after no click is 0
    positive      rules such as "rating>=4" or "bought=yes", one for each label column that needs one
    na            further texts that stand for a gap;  decimal: "." or ",", None: found out
    raises        UserError that names source, row, column or scenario, and the remedy
    warns         with `warnings.warn` of what is doubtful; the same sentences are in notes["warnings"]
    """
    chosen = {key: value for key, value in locals().items() if key != "df"}
    found = encode(Table(df), **chosen)
    for text in found[0].notes["warnings"]:
        python_warnings.warn(f"{source}: {text}", stacklevel=2)
    return found


def read_table(path: str | Path | Mapping[str, str | Path], **columns) -> list[Scenario]:
    """Scenarios from a file, or from several: {"train": file, "valid": file, "test": file}.

    columns  as in `from_dataframe`; of a text file also sep and encoding, see `files.read_text`
    """
    found = load_table(path, **columns)
    for text in found[0].notes["warnings"]:
        python_warnings.warn(f"{found[0].notes['source']}: {text}", stacklevel=2)
    return found


def load_table(
    path: str | Path | Mapping[str, str | Path],
    sep: str | None = None,
    encoding: str | None = None,
    **columns,
) -> list[Scenario]:
    """`read_table` that warns of nothing: the sentences are in every scenario's notes."""
    if not isinstance(path, Mapping):
        return encode(read_file(path, sep, encoding), source=Path(path).name, **columns)
    if not {"train", "test"} <= set(path) <= set(SPLITS):
        raise UserError(
            "A split by files takes --train FILE and --test FILE, and --valid FILE where there is one."
        )
    for option in ("time", "group", "split_column"):
        if columns.get(option):
            raise UserError(
                f"--{option.replace('_', '-')} cannot be given beside --train, --valid and --test."
            )
    splits = [split for split in SPLITS if split in path]
    tables = [read_file(path[split], sep, encoding) for split in splits]
    first = [str(name).strip() for name in tables[0].frame]
    for split, table in zip(splits, tables, strict=True):
        if {str(name).strip() for name in table.frame} != set(first):
            raise UserError(f"{path[split]} has other columns than {path['train']}. Give all files the same.")
    whole = pd.concat(
        [table.frame.rename(columns=lambda c: str(c).strip())[first] for table in tables], ignore_index=True
    )
    name = "(split by file)"
    parts = np.repeat(splits, [len(table.frame) for table in tables])
    source = " + ".join(Path(path[split]).name for split in splits)
    said = tuple(dict.fromkeys(text for table in tables for text in table.said))
    return encode(
        Table(whole.assign(**{name: parts}), (*said, "rows are numbered through the files in this order"), 0),
        source=source,
        split_column=name,
        **columns,
    )


# ---------------------------------------------------------------- the steps


def encode(table: Table, scenario: str, tasks: str | Sequence[str], **options: Any) -> list[Scenario]:
    """`from_dataframe` on what was read, with its options: read, split, encode column by column."""
    o = {**DEFAULTS, **options}
    read = _read(table, scenario, tasks, o)
    cut = cut_rows(read, o)
    train = cut.part == 0
    looked = sample(train)
    kinds = read.typed.kinds
    how = vocabularies([c for c, kind in kinds.items() if kind != "numerical"], o["categories"], o["buckets"])
    shown = {c: examples(read.columns[c]) for c in kinds}
    unique = say_unique(read.columns, kinds)
    encoded, ids, seen = {}, [], {}
    for name in how:
        one = encode_category(read.columns[name], how[name], train, kinds[name] == "multi")
        seen[name] = one.ids[looked, 0]
        ids.append(one.ids[cut.order])
        encoded[name] = one._replace(ids=None)  # of a large table only what is kept stays in memory
    flagged = [c for c in read.dates if read.gaps[c] and np.isnan(_numbers(read, c)[train]).any()]
    values, fitted = _standardized(read, cut, o["statistics"], len(flagged))
    for place, name in enumerate(flagged, len(read.dates)):
        values[:, place] = np.isnan(_numbers(read, name, cut.order))
    encoder = Encoder(
        read.roles["scenario"][0], cut.names, {task: read.rules.get(task) for task in read.labels},
        {c: one.spec for c, one in encoded.items()}, read.dates, flagged, o["statistics"],
        fitted.mean.tolist(), fitted.deviation.tolist(), o["decimal"], list(o["na"]),
        {c: decimal_sign(read.columns[c]) for c, dates in read.dates.items()
         if read.columns[c].kind == "text" and not dates},
    )  # fmt: skip
    leaks = find_leaks(
        seen,
        {c: _numbers(read, c, looked) for c in read.dates},
        {task: label[looked] for task, label in read.labels.items()},
    )
    notes = _notes(read, cut, encoded, encoder, o) | {"examples": shown}
    notes["warnings"] = [*read.warnings, *cut.said, *leaks, *unique, *notes["warnings"]]
    of_all = {
        "tasks": tuple(read.roles["task"]),
        "fields": {c: one.size for c, one in encoded.items()},
        "numericals": (*read.dates, *(f"{c} (missing)" for c in flagged)),
        "bags": {c: one.spec["multi"]["width"] for c, one in encoded.items() if "multi" in one.spec},
        "notes": notes,
    }
    block = Rows(
        torch.from_numpy(np.concatenate(ids, 1) if ids else np.zeros((len(cut.order), 0), np.int32)),
        torch.from_numpy(values),
        torch.from_numpy(np.stack([label[cut.order] for label in read.labels.values()], 1)),
        source=torch.from_numpy(cut.order),
    )
    return cut_block(block, cut.names, cut.starts, of_all)


def cut_block(
    block: Rows, names: Sequence[str], starts: Sequence[int], of_all: dict[str, Any]
) -> list[Scenario]:
    """All rows, sorted by scenario and split, as Scenarios that share its memory.

    starts  [3N + 1] where each split of each scenario begins;  of_all  what all Scenarios have in common
    """

    def split(k):
        rows = slice(int(starts[k]), int(starts[k + 1]))
        return Rows(*(part if part is None else part[rows] for part in block))

    return [Scenario(name, train=split(3 * n), valid=split(3 * n + 1), test=split(3 * n + 2), **of_all)
            for n, name in enumerate(names)]  # fmt: skip


def _numbers(read, name, rows=slice(None)):
    return as_number(read.columns[name], read.dates[name], rows)


def _standardized(read, cut, statistics, more):
    """([K, D + more] float32 numbers of the kept rows in order, the Moments), client by client."""
    columns, count = {c: read.columns[c] for c in read.dates}, len(cut.names)
    values = np.zeros((len(cut.order), len(columns) + more), np.float32)
    fitted = Moments(*np.zeros((2, count, len(columns))))
    if not columns:
        return values, fitted
    if statistics == "federation":
        kept = cut.clients >= 0
        fitted = moments(
            read_numbers(columns, read.dates)[kept],
            (cut.part == 0)[kept],
            cut.clients[kept],
            statistics,
            count,
        )
    for n in range(count):
        first, valid, last = cut.starts[3 * n], cut.starts[3 * n + 1], cut.starts[3 * n + 3]
        own = read_numbers(columns, read.dates, cut.order[first:last])
        if statistics != "federation":
            fit_client(fitted, n, own[: valid - first], statistics)
        values[first:last, : len(columns)] = zscores(own, fitted.mean[n], fitted.deviation[n], statistics)
    return values, fitted


def _read(table, scenario, tasks, o):
    df, said = clean_header(table.frame, o["source"])
    roles = _roles(scenario, tasks, o)
    check_roles(df, roles, o["source"])
    _check_options(df, o)
    rules = positives(o["positive"], roles["task"])
    named = [o["group"], *(c for own in roles.values() for c in own)]
    columns, empty = without_empty(_columns(df, roles, o, table.before), named)
    single = {role: roles[role] for role in ("scenario", "time", "split")}
    check_single(columns, {**single, "group": listed(o["group"])})
    typed = find_kinds({c: columns[c] for c in _features(columns, roles)}, roles, o["source"])
    labels = _labels(columns, roles["task"], rules, o["ctcvr"])
    dates = date_columns(typed, columns)
    numerical = {name: columns[name] for name in dates}
    warnings = typed.warnings + check_numbers(numerical, dates)
    gaps = {c: int(np.isnan(as_number(column, dates[c])).sum()) if _has_gaps(column) else 0
            for c, column in numerical.items()}  # fmt: skip
    said = [*table.said, *said, *empty]
    return Read(roles, rules, columns, typed, dates, labels, gaps, said, warnings)


def _has_gaps(column):
    """False where a look at the column's kind says that nothing is missing."""
    return column.kind == "text" or bool(column.gaps.any())


def _notes(read, cut, encoded, encoder, o):
    """What is said of a table: how it was read, what is doubtful, what is left out."""
    notes = {
        "reading": read.said,
        "typing": describe(read, {c: e.how for c, e in encoded.items()}, o["statistics"]),
        "warnings": [
            *unnamed_outcomes(different(read.columns, read.typed), list(read.typed.found)),
            *near_equal(cut.names),
            *(f"left out: scenario {name} ({why})" for name, why in cut.left_out.items()),
            *(f"scenario {name} is trained, but {why}" for name, why in cut.unscored.items()),
        ],
        "left_out": cut.left_out,
        "unscored": cut.unscored,
        "statistics": o["statistics"],
        "categories": o["categories"] if isinstance(o["categories"], str) else "declared",
        "source": str(o["source"]),
        "encoder": encoder.state(),
    }
    if o["group"]:
        codes = read.columns[o["group"]].as_text()[0]
        notes["group"] = {
            name: {split: codes[(cut.clients == n) & (cut.part == k)] for k, split in enumerate(SPLITS)}
            for n, name in enumerate(cut.names)
        }
    return notes


DEFAULTS: dict[str, Any] = {
    "categorical": None, "numerical": None, "time": None, "ignore": (), "categories": "hash", "buckets": None,
    "statistics": "client", "split": (0.6, 0.2, 0.2), "seed": 0, "minimum_rows": LEAST, "ctcvr": None,
    "source": "the table", "multi": (), "positive": (), "group": None, "split_column": None,
    "duplicates": "auto", "scenarios": None, "na": (), "decimal": None,
}  # fmt: skip


def _roles(scenario, tasks, o):
    """Role → names of its columns, as text."""
    given = {
        "scenario": scenario,
        "task": tasks,
        "time": o["time"],
        "ignore": o["ignore"],
        "split": o["split_column"],
    }
    given |= {kind: o[kind] for kind in ("categorical", "numerical", "multi")}
    return {role: listed(names) for role, names in given.items()}


def _check_options(df, o):
    at_least_one(minimum_rows=o["minimum_rows"])
    if o["buckets"] is not None and o["buckets"] < 1:
        raise UserError(f"buckets is {o['buckets']}, but it must be 1 or more.")
    choose("statistics", o["statistics"], STATISTICS)
    choose("duplicates", o["duplicates"], DUPLICATES)
    if o["decimal"] not in (None, ".", ","):
        raise UserError(f"decimal is {o['decimal']!r}, but it must be . or ,")
    if o["group"]:
        choose(f"column (as group) in {o['source']}:", o["group"], df.columns)
    ways = [f"--{key.replace('_', '-')}" for key in ("time", "group", "split_column") if o[key]]
    if len(ways) > 1:
        raise UserError(f"{' and '.join(ways)} are two ways to split the rows. Give one of them.")


def _features(columns, roles):
    """Columns that are features: those named so, and those that nobody named."""
    named = [c for kind in ("categorical", "numerical", "multi") for c in roles[kind]]
    taken = {c for own in roles.values() for c in own}
    return [*named, *(c for c in columns if c not in taken)]


def _columns(df, roles, o, before):
    found = {}
    for name in df.columns:
        if name not in roles["ignore"] or name == o["group"]:
            found[name] = Column(df[name], o["source"], o["decimal"], before)
            found[name].without(o["na"])
    return found


def _labels(columns, tasks, rules, ctcvr):
    labels = {task: read_task(columns[task], rules.get(task)) for task in tasks}
    if ctcvr:
        click, conversion = (labels[choose("task in ctcvr", name, tasks)] for name in ctcvr)
        no = (click == 0) | (conversion == 0)
        labels[ctcvr[1]] = np.where(no, np.float32(0), click * conversion)
    return labels

"""Any table: a pandas DataFrame or a file, and the names of its columns → one Scenario per client."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from pfmsm_lite.data.columns import check_header, read_labels, read_moments, read_numbers
from pfmsm_lite.data.encoding import STATISTICS, encode_category, standardize, vocabularies
from pfmsm_lite.data.files import read_file
from pfmsm_lite.data.kinds import hint_at_ids, type_columns
from pfmsm_lite.data.leaks import find_leaks
from pfmsm_lite.data.splitting import Split, check_parts, number_scenarios, split_rows
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.scenario import Rows, Scenario


def from_dataframe(
    df: pd.DataFrame,
    scenario: str,
    tasks: Sequence[str],
    categorical: Sequence[str] | None = None,
    numerical: Sequence[str] | None = None,
    time: str | None = None,
    ignore: Iterable[str] = (),
    categories: str | Mapping[str, Iterable] = "hash",
    buckets: int = 4096,
    statistics: str = "client",
    split: Split = (0.6, 0.2, 0.2),
    seed: int = 0,
    minimum_rows: int = 1,
    ctcvr: Sequence[str] | None = None,
    source: str | Path = "the table",
) -> list[Scenario]:
    """One Scenario for each value of a column, in the order of the values.

    df            a pandas DataFrame;  scenario: the column that names a row's scenario
    tasks         label columns: 0, 1 or missing
    categorical, numerical   feature columns; columns that are not named anywhere are typed from their
                  content, see `type_columns`; the result is in every scenario's notes["typing"]
    time          column of numbers or ISO dates to split by: the last rows of all are test, those before
                  validation, and rows of one moment stay together; None: at random in each scenario, with
                  `seed`
    split         shares of train, valid and test; with `time` also {"valid": first, "test": first moment}
    categories    hash (into `buckets`; nothing is fitted) · union (values of all clients' training rows;
                  a federation would have to exchange them) · {field: declared values}, the others hashed. A
                  pandas Categorical is always declared. Any other value is read as "unknown", entry 0
    statistics    numerical columns become z-scores, fitted on the training rows of the `client` · of the
                  whole `federation` (it must exchange sums) · `none`: they stay as they are
    minimum_rows  smaller scenarios are left out, and named in the notes
    ctcvr         (click, conversion): the second label becomes click AND conversion; a missing conversion
                  after no click is 0
    raises        UserError that names source, row, column or scenario, and the remedy
    """
    df = df.set_axis([str(column) for column in df.columns], axis=1).reset_index(drop=True)
    roles = _roles(scenario, tasks, time, ignore, categorical, numerical)
    _check_roles(df, roles, source)
    _check_options(roles["task"], buckets, statistics)
    kinds, guessed = _kinds(df, roles, source)
    fields = [column for column, kind in kinds.items() if kind == "categorical"]
    how = vocabularies(fields, categories, buckets)

    names, clients, left_out = number_scenarios(df[roles["scenario"][0]], minimum_rows, source)
    content = _read(df, roles, kinds, ctcvr, source).keep(clients >= 0)
    clients = clients[clients >= 0]
    part = split_rows(content.moments, split, clients, names, seed)
    check_parts(part, clients, names, source)
    train = part == 0

    encoded = {column: encode_category(content.categories[column], how[column], train) for column in how}
    ids = {column: one.ids for column, one in encoded.items()}
    values = standardize(_stack(content.numbers, len(clients), float), train, clients, statistics)
    notes = {
        "typing": _typing(kinds, encoded, statistics),
        "warnings": find_leaks(ids, content.numbers, content.labels, train)
        + hint_at_ids(guessed, content.numbers)
        + [f"left out: {text}" for text in left_out],
        "statistics": statistics,
        "categories": categories if isinstance(categories, str) else "declared",
        "source": str(source),
    }
    blocks = (_stack(ids, len(clients), np.int64), values, _stack(content.labels, len(clients), np.float32))
    sizes = {column: one.size for column, one in encoded.items()}
    of_all = (tuple(roles["task"]), sizes, tuple(content.numbers))
    return [_scenario(name, *of_all, blocks, clients == n, part, notes) for n, name in enumerate(names)]


def read_table(path: str | Path, **columns) -> list[Scenario]:
    """Scenarios from a .csv, .csv.gz, .tsv or .parquet file; `columns` as in `from_dataframe`."""
    return from_dataframe(read_file(path), source=Path(path).name, **columns)


# ---------------------------------------------------------------- what was asked for


def _roles(scenario, tasks, time, ignore, categorical, numerical):
    """Role → names of its columns, as text."""
    roles = {"scenario": [scenario], "task": tasks, "time": [] if time is None else [time], "ignore": ignore}
    roles |= {"categorical": categorical or (), "numerical": numerical or ()}
    return {role: [str(column) for column in columns] for role, columns in roles.items()}


def _check_roles(df, roles, source):
    """Refuse an empty table, duplicate columns, and columns that are missing or used twice."""
    if not len(df):
        raise UserError(f"{source} has no rows.")
    check_header(df.columns, source)
    taken = {}
    for role, columns in roles.items():
        for column in columns:
            choose(f"column (as {role}) in {source}:", column, df.columns)
            if column in taken:
                raise UserError(
                    f"{source}: column {column!r} is named as {taken[column]} and as {role}. Drop one."
                )
            taken[column] = role


def _check_options(tasks, buckets, statistics):
    if not tasks:
        raise UserError("tasks is empty: name at least one label column.")
    if buckets < 1:
        raise UserError(f"buckets is {buckets}, but it must be 1 or more.")
    choose("statistics", statistics, STATISTICS)


def _kinds(df, roles, source):
    """(feature column → "categorical" or "numerical", those among them that were typed from content)."""
    named = {column for columns in roles.values() for column in columns}
    guessed = type_columns(df[[column for column in df.columns if column not in named]])
    kinds = {column: kind for kind in ("categorical", "numerical") for column in roles[kind]} | guessed
    if not kinds:
        raise UserError(f"{source}: no feature column is left besides scenario, tasks and what is ignored.")
    return kinds, guessed


# ---------------------------------------------------------------- what the table says


class _Content(NamedTuple):
    """The columns of a table of R rows, read and checked.

    labels      task → [R] float32: 0, 1, or NaN where it is missing
    numbers     numerical column → [R] float64
    categories  DataFrame [R, F] of the categorical columns
    moments     Series [R] of numbers or timestamps, or None
    """

    labels: dict
    numbers: dict
    categories: pd.DataFrame
    moments: pd.Series | None

    def keep(self, rows):
        """The same columns with the `rows` [R] bool alone."""
        labels, numbers = ({c: v[rows] for c, v in block.items()} for block in (self.labels, self.numbers))
        moments = None if self.moments is None else self.moments[rows]
        return _Content(labels, numbers, self.categories[rows], moments)


def _read(df, roles, kinds, ctcvr, source):
    labels = {task: read_labels(df[task], source) for task in roles["task"]}
    if ctcvr:
        click, conversion = (labels[choose("task in ctcvr", name, roles["task"])] for name in ctcvr)
        no = (click == 0) | (conversion == 0)
        labels[ctcvr[1]] = np.where(no, np.float32(0), click * conversion)
    numbers = {c: read_numbers(df[c], source) for c, kind in kinds.items() if kind == "numerical"}
    moments = read_moments(df[roles["time"][0]], source) if roles["time"] else None
    return _Content(labels, numbers, df[[c for c in kinds if c not in numbers]], moments)


# ---------------------------------------------------------------- what the scenarios get


def _typing(kinds, encoded, statistics):
    """Column → how it was typed and encoded, in words."""
    fitted = f"standard, fitted on training rows ({statistics})" if statistics != "none" else "as it is"
    return {c: encoded[c].how if c in encoded else f"numerical, {fitted}" for c in kinds}


def _stack(columns, rows, dtype):
    """{name: [R]} → [R, columns]."""
    return np.stack([*columns.values()], 1) if columns else np.zeros((rows, 0), dtype)


def _scenario(name, tasks, fields, numericals, blocks, own, part, notes):
    """The rows `own` [R] bool of the blocks (ids, numbers, labels), cut in three by `part` [R]."""
    rows = [Rows(*(torch.from_numpy(block[own & (part == k)]) for block in blocks)) for k in range(3)]
    return Scenario(name, tasks, dict(fields), numericals, *rows, notes)

"""The rows of a table → which scenario and which split each belongs to, and what is left out of both."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pfmsm_lite.data.columns import as_moments
from pfmsm_lite.data.reading import Read
from pfmsm_lite.data.splitting import (
    judge_scenarios,
    number_scenarios,
    repeated,
    split_as_told,
    split_rows,
)
from pfmsm_lite.errors import UserError

OFTEN = 0.05  # share of the rows from which one row's repetitions are taken for natural


class Cut(NamedTuple):
    """Which scenario and which split a row [R] belongs to: −1 where it is left out; and why some are.

    order   [K] numbers of the rows that are kept, by scenario and split;  starts [3N + 1] where each begins
    """

    names: list[str]
    clients: np.ndarray
    part: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    left_out: dict[str, str]
    unscored: dict[str, str]
    said: list[str]


def cut_rows(read: Read, o: dict[str, Any]) -> Cut:
    """Number the scenarios, split the rows, leave out what cannot be trained; o: of `from_dataframe`."""
    column = read.columns[read.roles["scenario"][0]]
    names, clients, left_out = number_scenarios(column, o["minimum_rows"], o["scenarios"])
    part, said = _split(read, clients, names, o)
    clients = np.where(part >= 0, clients, -1)
    more, unscored = judge_scenarios(part, clients, names, read.labels)
    kept = [name for name in names if name not in more]
    if not kept:
        name, why = next(iter(more.items()))
        raise UserError(
            f"{o['source']}: no scenario can be trained; {name!r}: {why}. Choose another split (--fractions, "
            "--time)."
        )
    if not (part == 1).any():
        raise UserError(
            f"{o['source']}: no row is for validation after the split, and these rows choose the best round. "
            "Choose other shares (--fractions), or another way to split (--time, --group, --split-column)."
        )
    renumbered = np.array([kept.index(name) if name in kept else -1 for name in names] + [-1])
    clients = renumbered[clients]
    part = np.where(clients >= 0, part, -1).astype(np.int8)
    place = np.where(clients >= 0, 3 * clients + part, 3 * len(kept)).astype(
        np.int16 if len(kept) < 10_000 else int
    )
    sizes = np.bincount(place, minlength=3 * len(kept))[: 3 * len(kept)]
    order = np.argsort(place, kind="stable")[: sizes.sum()]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return Cut(kept, clients, part, order, starts, left_out | more, unscored, said)


def _split(read, clients, names, o):
    """([R] int8, −1 for rows that are left out; what is said of repeated rows)."""
    roles, kept, seed = read.roles, clients >= 0, o["seed"]
    part = np.full(len(clients), -1, np.int8)
    groups, how, said = _repeated(read, clients, o["duplicates"])
    if how == "drop":
        kept &= ~pd.Series(groups).duplicated().to_numpy()
    if roles["split"]:
        part[kept] = split_as_told(read.columns[roles["split"][0]])[kept]
        more = _without_valid(part, clients, names, seed)
    elif roles["time"]:
        when, dates = as_moments(read.columns[roles["time"][0]])
        part[kept] = split_rows(when[kept], o["split"], clients[kept], names, seed, dates=dates)
        more = []
    elif o["group"]:
        codes, _ = read.columns[o["group"]].as_text()
        read.columns[o["group"]].refuse(codes < 0, "names nobody (--group). Fill it in, or drop the row.")
        part[kept] = split_rows(None, o["split"], clients[kept], names, seed, codes[kept], across=True)
        more = []
    else:
        together = groups[kept] if how == "together" else None
        part[kept] = split_rows(None, o["split"], clients[kept], names, seed, together)
        return part, said
    if how != "drop":  # the split is as requested, wherever copies end up
        said = _on_both_sides(part, groups) if how == "together" else []
    return part, said + more


def _without_valid(part, clients, names, seed):
    """Where no row is for validation, a fifth of the training rows [R] is; what is said of it."""
    own = np.flatnonzero(part == 0)
    if (part == 1).any() or not len(own):
        return []
    part[own] = split_rows(None, (0.8, 0.2, 1e-12), clients[own], names, seed).clip(max=1)
    return [f"no row is for validation, so a fifth of the training rows is: {(part == 1).sum():,}, at random"]


def _on_both_sides(part, groups):
    """What is said of rows for validation and test that are equal to a training row."""
    held = groups[part > 0]
    count = int(np.isin(held, groups[part == 0]).sum())
    if not count:
        return []
    return [
        f"{count:,} of {len(held):,} rows for validation and test repeat a training row in every column that "
        "is used, and the split leaves them there: scores are too high. --duplicates drop keeps the first"
    ]


def _repeated(read, clients, how):
    """([R] numbers of rows, alike where all columns are; what to do about it or ""; what is said of it)."""
    blocks = [np.asarray(clients, np.int64), *read.labels.values()]
    blocks += [read.columns[name].compared() for name in (*read.typed.kinds, *read.roles["time"])]
    groups, count, most = repeated(blocks)
    if not count:
        return groups, "", []
    if how == "auto":  # rows that recur very often are not copies: the columns tell too few rows apart
        how = "apart" if most > OFTEN * len(clients) else "together"
    done = {
        "together": "they stay on one side of the split; --duplicates drop keeps the first of them",
        "drop": "all but the first are dropped",
        "apart": "each is split by itself, so equal rows are on both sides; --duplicates together or drop",
    }[how]
    said = f"{count:,} of {len(clients):,} rows repeat an earlier one in every column that is used: {done}"
    return groups, how, [said]

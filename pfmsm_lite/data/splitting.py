"""Which scenario a row belongs to, and whether it is for training, validation or test."""

import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from pfmsm_lite.data.columns import Column, plain
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.scenario import SPLITS

Split = Sequence[float] | Mapping[str, object]  # three shares, or the first moments of valid and test
LEAST = 10  # rows that a scenario must have where nobody says another number
UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))  # characters that nobody sees
# what a column may call the splits
CALLED = {
    "train": "train", "training": "train", "tr": "train",
    "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid", "eval": "valid",
    "test": "test", "testing": "test", "te": "test",
}  # fmt: skip


def number_scenarios(
    column: Column, minimum_rows: int, wanted: Iterable[str] | None = None
) -> tuple[list[str], np.ndarray, dict[str, str]]:
    """Scenario column → (N names in order of the values, [R] each row's number among them, name → why out).

    wanted  the scenarios to keep; None: all. Rows of a scenario that is left out have the number −1
    raises  UserError for a row without a scenario, an unknown one in `wanted`, and where none is large enough
    """
    codes, texts = column.as_text()
    if len(set(plain(texts))) == len(texts):  # else 1 and 1.0 stay apart, and are named
        texts = plain(texts)
    column.refuse(codes < 0, "names no scenario. Fill it in, or drop the row.")
    sizes = np.bincount(codes, minlength=len(texts)).tolist()
    size = {text: rows for text, rows in zip(texts, sizes, strict=True) if rows}
    kept, left_out = keep_scenarios(size, minimum_rows, wanted, column.source)
    return kept, pd.Index(kept, dtype=object).get_indexer(texts)[codes], left_out


def keep_scenarios(
    size: Mapping[str, int], minimum_rows: int, wanted: Iterable[str] | None, source: object
) -> tuple[list[str], dict[str, str]]:
    """Scenario → rows → (N names in order of the values, name → why out); raises as `number_scenarios`."""
    names = sorted(size, key=_in_order(size))
    wanted = [wanted] if isinstance(wanted, str) else wanted
    kept = names if wanted is None else [choose("scenario", str(name), names) for name in wanted]
    kept = [name for name in names if name in set(kept)]
    small = [name for name in kept if size[name] < minimum_rows]
    if len(small) == len(kept):
        raise UserError(
            f"{source}: no scenario has {minimum_rows} rows; the largest has "
            f"{max(size[name] for name in kept)}. Take smaller ones, too, with --minimum-rows."
        )
    left_out = {
        name: f"{size[name]} row{'s' * (size[name] != 1)}, fewer than {minimum_rows} (--minimum-rows)"
        for name in small
    }
    left_out |= {name: f"{size[name]} rows, not among --scenarios" for name in names if name not in kept}
    return [name for name in kept if name not in left_out], left_out


def _in_order(texts):
    """Sort key: numbers by their size where all texts are numbers, else texts by their letters."""
    try:
        values = {text: float(text) for text in texts}
        return lambda text: (values[text], text)
    except ValueError:
        return str


def near_equal(names: Sequence[str]) -> list[str]:
    """A warning that names scenarios that differ in blanks, in capitals or in how a number is written."""
    alike: dict[str, list[str]] = {}
    for name in names:
        seen = unicodedata.normalize("NFKC", name).translate(UNSEEN)
        bare = " ".join(seen.split()).casefold()
        try:
            bare = f"{float(bare):g}"
        except ValueError:
            pass
        alike.setdefault(bare, []).append(name)
    groups = [", ".join(map(repr, group)) for group in alike.values() if len(group) > 1]
    if not groups:
        return []
    return [
        f"scenarios with nearly the same name are kept apart: {'; '.join(groups)}. Write them alike if "
        "they are one"
    ]


def split_rows(
    moments: np.ndarray | None, split: Split, clients: np.ndarray, names: Sequence[str], seed: int,
    groups: np.ndarray | None = None, dates: bool = False, across: bool = False,
) -> np.ndarray:  # fmt: skip
    """[R] int8: 0 train, 1 valid, 2 test; by time over all scenarios, or at random inside each.

    moments  [R] seconds since 1970 where `dates`, else numbers; None: at random, drawn with `seed`
    split    three shares, or {"valid": first moment, "test": first moment}
    clients  [R] number of a row's scenario among the N `names`
    groups   [R] ints: rows of one number stay on one side; `across`: also in different scenarios
    """
    if isinstance(split, Mapping):
        if moments is None or set(split) != {"valid", "test"}:
            raise UserError(f'split={split}: it takes {{"valid": moment, "test": moment}} and a time column.')
        return _by_time(moments, split["valid"], split["test"], dates)
    cuts = _cuts(split)
    if moments is not None:
        first = np.sort(moments)[np.minimum(cuts * len(moments), len(moments) - 1).astype(int)]
        return (moments >= first[0]).astype(np.int8) + (moments >= first[1]).astype(np.int8)
    if across:
        return _of_groups(cuts, np.zeros(len(clients), int), ["all"], seed, groups)
    if groups is not None:
        return _of_groups(cuts, clients, names, seed, groups)
    return _at_random(cuts, clients, names, seed)


def _cuts(split):
    """Three shares → where validation and where test begin, between 0 and 1."""
    try:
        shares = np.asarray(split, float)
    except (TypeError, ValueError):
        shares = np.zeros(0)
    if shares.shape != (3,) or not (shares > 0).all():
        raise UserError(
            f"split={split}: it takes three shares above 0, for train, valid and test (--fractions 70,15,15)."
        )
    return np.cumsum(shares)[:2] / shares.sum()


def _drawn(rows, name, seed):
    """The rows in an order that depends on the seed and on the scenario's name, not on who else is there."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(rows)


def _at_random(cuts, clients, names, seed):
    """[R] int8, drawn in each scenario by itself: its split does not depend on which others there are."""
    part = np.zeros(len(clients), np.int8)
    for n, name in enumerate(names):
        rows = np.flatnonzero(clients == n)
        order = _drawn(rows, name, seed)
        for cut in np.round(cuts * len(rows)).astype(int):
            part[order[cut:]] += 1
    return part


def _of_groups(cuts, clients, names, seed, groups):
    """[R] int8, whole groups drawn in each scenario by itself, until a part has its share of the rows."""
    part = np.zeros(len(clients), np.int8)
    for n, name in enumerate(names):
        rows = np.flatnonzero(clients == n)
        _, own, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
        order = _drawn(np.arange(len(sizes)), name, seed)
        before = np.cumsum(sizes[order]) - sizes[order] / 2  # a group lies where its middle row does
        of_group = np.zeros(len(sizes), np.int8)
        for cut in cuts * len(rows):
            of_group[order[before > cut]] += 1
        part[rows] = of_group[own]
    return part


def _by_time(moments, valid, test, dates):
    """[R] int8: rows from `valid` on are validation, from `test` on test rows."""
    try:
        if dates:
            first = [pd.to_datetime(moment, utc=True).timestamp() for moment in (valid, test)]
        else:
            first = [float(moment) for moment in (valid, test)]  # type: ignore[arg-type]
        if first[0] > first[1]:
            raise ValueError("valid comes after test")
        return (moments >= first[0]).astype(np.int8) + (moments >= first[1]).astype(np.int8)
    except (TypeError, ValueError) as error:
        low, high = (_moment(value, dates) for value in (moments.min(), moments.max()))
        raise UserError(
            f"split: the first moments {valid} (valid) and {test} (test) do not fit the time column, which "
            f"runs from {low} to {high}: {error}."
        ) from error


def _moment(value, dates):
    return str(pd.to_datetime(value, unit="s")) if dates else f"{value:g}"


def split_as_told(column: Column) -> np.ndarray:
    """[R] int8 from a column that says train, valid or test in each row."""
    codes, texts = column.as_text()
    told = [CALLED.get(text.strip().lower()) for text in texts]
    remedy = "is not a split (--split-column): it must be train, valid (validation, val, dev) or test."
    part = np.array([-1 if name is None else SPLITS.index(name) for name in [*told, None]], np.int8)[codes]
    column.refuse(part < 0, remedy)
    return part


def repeated(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, int, int]:
    """([R] a number for each different row, how many rows repeat an earlier one, rows of the most frequent).

    columns  of the table, [R] each. The most diverse are compared first, the others only where these agree
    """
    rows = len(columns[0])
    look = slice(0, 2000)
    diverse = sorted(columns, key=lambda column: -len(np.unique(column[look])))
    first = pd.Series(_mixed(diverse[:3])).duplicated(keep=False).to_numpy()
    alike = np.flatnonzero(first)
    numbers = np.arange(rows)
    if not len(alike):
        return numbers, 0, 1
    codes, found = pd.factorize(_mixed([column[alike] for column in diverse]))
    numbers[alike] = rows + codes
    return numbers, len(codes) - len(found), int(np.bincount(codes).max())


def _mixed(columns):
    """[R] uint64: equal where all columns are equal, else different, but for chance."""
    mixed = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        bits = np.ascontiguousarray(column).view(np.uint32 if column.itemsize == 4 else np.uint64)
        mixed = (mixed ^ bits) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def judge_scenarios(
    part: np.ndarray, clients: np.ndarray, names: Sequence[str], labels: Mapping[str, np.ndarray]
) -> tuple[dict[str, str], dict[str, str]]:
    """(name → why it cannot be trained, name → why it gets no score), for what a split [R] leaves of each."""
    kept, size = clients >= 0, 3 * len(names)
    place = 3 * clients[kept] + part[kept]
    rows = np.bincount(place, minlength=size).reshape(-1, 3)
    known, positive = np.zeros((2, len(names), 3, len(labels)), int)
    for t, label in enumerate(labels.values()):
        own = label[kept]
        known[..., t] = np.bincount(place[~np.isnan(own)], minlength=size).reshape(-1, 3)
        positive[..., t] = np.bincount(place[own == 1], minlength=size).reshape(-1, 3)
    return judged(names, list(labels), rows, known, positive)


def judged(
    names: Sequence[str], tasks: Sequence[str], rows: np.ndarray, known: np.ndarray, positive: np.ndarray
) -> tuple[dict[str, str], dict[str, str]]:
    """`judge_scenarios` by counts: rows [N, 3] by split, known labels and positives among them [N, 3, T]."""
    left_out, unscored = {}, {}
    for n, name in enumerate(names):
        if not rows[n, 0]:
            left_out[name] = f"no training rows after the split ({rows[n].sum():,} in all)"
        elif not known[n, 0].any():
            left_out[name] = f"no label among its {rows[n, 0]:,} training rows"
        elif not rows[n, 2]:
            unscored[name] = "it has no test rows"
        elif why := no_score(known[n, 2], positive[n, 2], tasks):
            unscored[name] = f"among its {rows[n, 2]:,} test rows {why}: no AUC there"
    return left_out, unscored


def no_score(known: np.ndarray, positive: np.ndarray, tasks: Sequence[str]) -> str:
    """Why tasks have no AUC, in words, or "": [T] labels that are known, and positives among them."""
    said = [
        f"{task} has no label" if not k else f"{task} is always {int(p > 0)}"
        for task, k, p in zip(tasks, known, positive, strict=True)
        if p in (0, k)
    ]
    return " and ".join(said)

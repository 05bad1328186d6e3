"""Which scenario a row belongs to, and whether it is for training, validation or test."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pfmsm_lite.data.columns import refuse
from pfmsm_lite.errors import UserError
from pfmsm_lite.scenario import SPLITS

Split = Sequence[float] | Mapping[str, object]  # three shares, or the first moments of valid and test


def number_scenarios(
    column: pd.Series, minimum_rows: int, source: str | Path
) -> tuple[list[str], np.ndarray, list[str]]:
    """Scenario column → (N names in order of the values, [R] each row's number among them, what is left out).

    Rows of a scenario with fewer than `minimum_rows` have the number −1. A row without a scenario, or a table
    in which no scenario is large enough, is refused.
    """
    refuse(column.isna().to_numpy(), column, source, "names no scenario. Fill it in, or drop the row.")
    values = column.unique().tolist()
    try:
        values = sorted(values)
    except TypeError:  # numbers and text in one column
        values = sorted(values, key=str)
    sizes = column.astype(str).value_counts()
    names = list(dict.fromkeys(map(str, values)))
    kept = [name for name in names if sizes[name] >= minimum_rows]
    if not kept:
        raise UserError(f"{source}: no scenario has {minimum_rows} rows; the largest has {sizes.max()}.")
    left_out = [f"scenario {name} ({sizes[name]} rows)" for name in names if name not in kept]
    return kept, pd.Index(kept).get_indexer(column.astype(str)), left_out


def split_rows(
    moments: pd.Series | None, split: Split, clients: np.ndarray, names: Sequence[str], seed: int
) -> np.ndarray:
    """[R] int8: 0 train, 1 valid, 2 test; by time over all scenarios, or at random inside each.

    moments  [R] numbers or timestamps, see `read_moments`; None: at random, drawn with `seed`
    split    three shares, or {"valid": first moment, "test": first moment}
    clients  [R] number of a row's scenario among the N `names`
    """
    if isinstance(split, Mapping):
        if moments is None or set(split) != {"valid", "test"}:
            raise UserError(f'split={split}: it takes {{"valid": moment, "test": moment}} and a time column.')
        return _by_time(moments, split["valid"], split["test"])
    cuts = _cuts(split)
    if moments is None:
        return _at_random(cuts, clients, names, seed)
    first = moments.sort_values().iloc[np.minimum(cuts * len(moments), len(moments) - 1).astype(int)]
    return _by_time(moments, *first)


def _cuts(split):
    """Three shares → where validation and where test begin, between 0 and 1."""
    try:
        shares = np.asarray(split, float)
    except (TypeError, ValueError):
        shares = np.zeros(0)
    if shares.shape != (3,) or not (shares > 0).all():
        raise UserError(f"split={split}: it takes three shares above 0, for train, valid and test.")
    return np.cumsum(shares)[:2] / shares.sum()


def _at_random(cuts, clients, names, seed):
    """[R] int8, drawn in each scenario by itself: its split does not depend on which others there are."""
    part = np.zeros(len(clients), np.int8)
    for n, name in enumerate(names):
        rows = np.flatnonzero(clients == n)
        order = np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(rows)
        for cut in np.round(cuts * len(rows)).astype(int):
            part[order[cut:]] += 1
    return part


def _by_time(moments, valid, test):
    """[R] int8: rows from `valid` on are validation, from `test` on test rows."""
    try:
        if not pd.api.types.is_numeric_dtype(moments):
            valid, test = (pd.to_datetime(moment, utc=True) for moment in (valid, test))
        if valid > test:
            raise ValueError("valid comes after test")
        return ((moments >= valid).astype(np.int8) + (moments >= test).astype(np.int8)).to_numpy()
    except (TypeError, ValueError) as error:
        raise UserError(
            f"split: the first moments {valid} (valid) and {test} (test) do not fit the time column, which "
            f"runs from {moments.min()} to {moments.max()}: {error}."
        ) from error


def check_parts(part: np.ndarray, clients: np.ndarray, names: Sequence[str], source: str | Path) -> None:
    """Refuse a split [R] that leaves a scenario without training, validation or test rows."""
    for n, name in enumerate(names):
        counts = np.bincount(part[clients == n], minlength=3)
        if not counts.all():
            where = f"{source}: scenario {name!r} has no {SPLITS[int(np.argmin(counts))]} rows"
            raise UserError(
                f"{where} after the split ({counts.sum()} in all). "
                f"Leave it out with minimum_rows={counts.sum() + 1}, or choose another split."
            )

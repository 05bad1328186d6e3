"""Intervals over seeds and over test rows: a paired bootstrap of AUCs, fast enough for 1,000 scenarios.

Another seed gives another model, other people in the test rows another score. Both are uncertain, and an
interval that leaves one of them out is too short. See `combined` for how the two are put together.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 200  # the standard error of a standard error is then 5 % of it
CELLS = 2**23  # float64 numbers that are held at a time: 64 MB


class Interval(NamedTuple):
    """A mean with a 95 % interval, and the variances of the mean that it is made of; NaN: not known."""

    mean: float
    low: float
    high: float
    seeds_variance: float
    rows_variance: float


def weighted_auc(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC under many weightings of the same rows, by sorted counts; a tie counts half.

    labels         [R] 0, 1, or NaN: such a row does not count
    probabilities  [R];  weights  [R, B], at least 0: how often a resample holds a row
    returns        [B]; NaN where a resample lacks one of the classes, or a probability is not finite
    """
    labels, probabilities = np.asarray(labels, float), np.asarray(probabilities, float)
    if not np.isfinite(probabilities[~np.isnan(labels)]).all():
        return np.full(weights.shape[1], np.nan)
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    negative = negative[np.argsort(probabilities[negative], kind="stable")]
    values, found = probabilities[negative], probabilities[positive]
    below, not_above = (np.searchsorted(values, found, side) for side in ("left", "right"))
    counts = np.zeros((len(negative) + 1, weights.shape[1]))
    np.cumsum(weights[negative], axis=0, out=counts[1:])  # [number of negatives + 1, B]
    own = weights[positive]
    won = np.einsum("pb,pb->b", own, counts[below]) + np.einsum("pb,pb->b", own, counts[not_above])
    pairs = 2 * own.sum(0, dtype=float) * counts[-1]
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def drawn(units: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """[units, resamples] uint8: how often each of so many rows (or persons) is drawn, with replacement."""
    draw = np.random.default_rng(seed)
    counts = np.empty((resamples, units), np.uint8)
    for own in counts:
        own[:] = np.bincount(draw.integers(0, units, units), minlength=units).clip(max=255)
    return np.ascontiguousarray(counts.T)


def resampled_gain(
    labels: np.ndarray, hero: np.ndarray, local: np.ndarray, codes: np.ndarray | None = None,
    weights: np.ndarray | None = None, resamples: int = RESAMPLES, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """AUC of `hero` minus AUC of `local`, mean over the seeds, in resamples of the test rows.

    labels       [R] 0, 1 or NaN
    hero, local  [S, R] probabilities, the same seeds and rows: one resample serves all of them (paired)
    codes        [R] whole numbers: the person of a row. Whole persons are drawn then, not single rows
    weights      [units, B] as `drawn` makes it, for rows (or persons 0 … units − 1); None: drawn here
    returns      [B] in AUC; NaN where a resample lacks one of the classes
    """
    if codes is not None:
        codes = np.unique(codes, return_inverse=True)[1] if weights is None else np.asarray(codes)
    if weights is None:
        units = len(labels) if codes is None else int(codes.max()) + 1
        weights = drawn(units, resamples, seed)
    step = max(1, CELLS // max(1, len(labels)))
    parts = []
    for first in range(0, weights.shape[1], step):
        some = weights[:, first : first + step]
        some = some if codes is None else some[codes]
        gains = [
            weighted_auc(labels, a, some) - weighted_auc(labels, b, some)
            for a, b in zip(hero, local, strict=True)
        ]
        parts.append(np.mean(gains, axis=0))
    return np.concatenate(parts)


def combined(
    by_seed: Sequence[float], draws: np.ndarray | None = None, units: int = 0, level: float = 0.95
) -> Interval:
    """A mean gain with its interval over seeds and test rows.

    by_seed  [S] the gain of each seed, on the rows as they are; NaN are left out
    draws    [B] gains, mean over the seeds, in resamples of the test rows; None: the seeds count alone
    units    how many rows (of the rarer class) or persons were resampled, at most

    Variance of the mean = variance between seeds / S + variance of `draws`. All seeds are scored on the same
    rows, so more seeds do not shrink the second part. (How seeds differ in how they rank single rows is
    counted in both parts: the interval is rather too long than too short.) The quantile is that of
    Student's t; its degrees of freedom by Welch and Satterthwaite from S − 1 and units − 1. One seed: the
    rows count alone.
    """
    from scipy import stats

    values = np.asarray(by_seed, float)
    values = values[np.isfinite(values)]
    mean = float(values.mean()) if len(values) else math.nan
    seeds = float(values.var(ddof=1)) / len(values) if len(values) > 1 else math.nan
    known = np.asarray([] if draws is None else draws, float)
    known = known[np.isfinite(known)]
    rows = float(known.var(ddof=1)) if len(known) > 1 and units > 1 else math.nan
    parts = [(seeds, len(values) - 1), (rows, units - 1)]
    parts = [(part, freedom) for part, freedom in parts if not math.isnan(part)]
    if not parts:
        return Interval(mean, math.nan, math.nan, seeds, rows)
    total = sum(part for part, _ in parts)
    if total < 1e-20:  # no spread but that of rounding
        return Interval(mean, mean, mean, seeds, rows)
    freedom = total**2 / sum(part**2 / own for part, own in parts)
    reach = float(stats.t.ppf((1 + level) / 2, freedom)) * math.sqrt(total)
    return Interval(mean, mean - reach, mean + reach, seeds, rows)

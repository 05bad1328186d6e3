"""Intervals over seeds and over test rows: a paired bootstrap of AUCs, fast enough for 1,000 scenarios.

Another seed gives another model, other people in the test rows another score. Both are uncertain, and an
interval that leaves one of them out is too short. See `combined` for how the two are put together.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 200  # the standard error of a standard error is then 5 % of it
SIMULATED = 40_000  # draws of equal methods: with fewer, who is near the edge depends on the draw
LEVEL = 0.95  # of the intervals, and that the best method is in the set
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
    """[units, resamples] uint8: how often each of `units` rows (or persons) is drawn, with replacement."""
    draw = np.random.default_rng(seed)
    counts = np.empty((resamples, units), np.uint8)
    for own in counts:
        own[:] = np.bincount(draw.integers(0, units, units), minlength=units).clip(max=255)
    return np.ascontiguousarray(counts.T)


def resampled_auc(
    labels: np.ndarray, probabilities: np.ndarray, codes: np.ndarray | None = None,
    weights: np.ndarray | None = None, resamples: int = RESAMPLES, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """AUC, mean over the seeds, in resamples of the test rows.

    labels         [R] 0, 1 or NaN
    probabilities  [S, R] of the same rows: one resample serves all seeds (paired)
    codes          [R] whole numbers: the person of a row. Whole persons are drawn then, not single rows
    weights        [units, B] as `drawn` makes it, for rows (or persons 0 … units − 1); None: drawn here
    returns        [B]; NaN where a resample lacks one of the classes
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
        parts.append(np.mean([weighted_auc(labels, own, some) for own in probabilities], axis=0))
    return np.concatenate(parts)


def resampled_gain(
    labels: np.ndarray, hero: np.ndarray, local: np.ndarray, codes: np.ndarray | None = None,
    weights: np.ndarray | None = None, resamples: int = RESAMPLES, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """AUC of `hero` minus AUC of `local`, both [S, R], in the same resamples [B]; see `resampled_auc`."""
    both = (resampled_auc(labels, own, codes, weights, resamples, seed) for own in (hero, local))
    return next(both) - next(both)


def combined(
    by_seed: Sequence[float], draws: np.ndarray | None = None, units: int = 0, level: float = LEVEL
) -> Interval:
    """A mean gain with its interval over seeds and test rows.

    by_seed  [S] the gain of each seed, on the rows as they are; NaN are left out
    draws    [B] gains, mean over the seeds, in resamples of the test rows; None: the seeds count alone
    units    how many rows (of the rarer class) or persons were resampled, at most

    Variance of the mean = variance between seeds / S + variance of `draws`. All seeds are scored on the same
    rows, so more seeds do not shrink the second part. (How seeds differ in how they rank single rows is
    counted in both parts: the interval is too long rather than too short.) The quantile is that of
    Student's t; its degrees of freedom by Welch and Satterthwaite from S − 1 and units − 1. One seed: the
    rows count alone.
    """
    from scipy import stats

    mean, seeds, rows, freedom = _spread(by_seed, draws, units)
    total = float(np.nansum([seeds, rows]))
    if math.isnan(freedom):
        return Interval(mean, math.nan, math.nan, seeds, rows)
    if total < 1e-20:  # no spread but that of rounding
        return Interval(mean, mean, mean, seeds, rows)
    reach = float(stats.t.ppf((1 + level) / 2, freedom)) * math.sqrt(total)
    return Interval(mean, mean - reach, mean + reach, seeds, rows)


def _spread(by_seed, draws, units):
    """(mean, variance of it between seeds, between rows, degrees of freedom); NaN: not known."""
    values = np.asarray(by_seed, float)
    values = values[np.isfinite(values)]
    mean = float(values.mean()) if len(values) else math.nan
    seeds = float(values.var(ddof=1)) / len(values) if len(values) > 1 else math.nan
    known = np.asarray([] if draws is None else draws, float)
    known = known[np.isfinite(known)]
    rows = float(known.var(ddof=1)) if len(known) > 1 and units > 1 else math.nan
    parts = [(seeds, len(values) - 1), (rows, units - 1)]
    parts = [(part, freedom) for part, freedom in parts if not math.isnan(part)]
    total = sum(part for part, _ in parts)
    if not parts or total < 1e-20:
        return mean, seeds, rows, math.inf if parts else math.nan
    return mean, seeds, rows, total**2 / sum(part**2 / own for part, own in parts)


def best_set(
    by_seed: np.ndarray, draws: np.ndarray | None = None, units: int = 0, level: float = LEVEL
) -> np.ndarray:
    """Which of M methods cannot be told apart from the best: [M] bool; it holds the best with `level`.

    by_seed  [S, M] a score of each seed and method;  draws: [B, M] as in `combined`, or None
    units    as in `combined`

    A method leaves the set where another one is ahead of it by more than chance would put the luckiest of
    M − 1 equal ones ahead. How far that is follows from the same variances as in `combined` and from how the
    methods vary together: the smallest of the one-sided p-values (Student's t) against its distribution in
    SIMULATED draws of equal methods. A method without a score is not in the set; where nothing varies that
    is known (one seed, no draws), nothing can be told and all are.

    Multiple comparisons with the best: Hsu, Multiple Comparisons, 1996, chapter 4, with unequal variances.
    """
    from scipy import stats

    by_seed = np.asarray(by_seed, float)
    known = np.flatnonzero(np.isfinite(by_seed).any(0))
    found = np.zeros(by_seed.shape[1], bool)
    scores = by_seed[:, known]
    spread = scores if len(scores) > 1 else np.zeros((2, len(known)))
    covariance = _covariance(spread) / len(spread)
    if draws is not None:
        covariance = covariance + _covariance(np.asarray(draws, float)[:, known])
    noise = np.random.default_rng(0).multivariate_normal(
        np.zeros(len(known)), covariance, SIMULATED, check_valid="ignore", method="eigh"
    )
    for m, own in enumerate(known):
        smallest, chance = 1.0, np.ones(SIMULATED)
        for k in set(range(len(known))) - {m}:
            rows = None if draws is None else draws[:, known[k]] - draws[:, own]
            mean, seeds, between, freedom = _spread(scores[:, k] - scores[:, m], rows, units)
            error = math.sqrt(np.nansum([seeds, between]))
            if math.isnan(freedom):
                continue
            if error < 1e-10:  # no spread but that of rounding
                smallest = 0.0 if mean > 1e-10 else smallest
                continue
            smallest = min(smallest, float(stats.t.sf(mean / error, freedom)))
            apart = noise[:, k] - noise[:, m]
            chance = np.minimum(chance, stats.norm.sf(apart / max(apart.std(), 1e-12)))
        found[own] = smallest > 0 and smallest >= min(np.quantile(chance, 1 - level), 1.0)
    return found


def _covariance(values):
    """[M, M] of [S, M]; lines with a gap are left out, a column that is not known does not vary."""
    values = np.where(np.isfinite(values).any(0), values, 0.0)
    complete = values[np.isfinite(values).all(1)]
    return (
        np.cov(complete.T).reshape(values.shape[1], -1) if len(complete) > 1 else 0 * np.eye(values.shape[1])
    )

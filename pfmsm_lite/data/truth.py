"""What the generator of scenarios knows and a learner does not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Truth:
    """What the generator knows and a learner does not, for N scenarios and T tasks.

    relatedness  [N, N] correlation of the scenarios' teachers;  clusters: N labels, or None
    tasks        [T, T] correlation of the tasks' teachers
    weights      [N, T, D] the teachers themselves
    scales       [N] factor on a scenario's numerical features
    popularity   [N, items] probability of each item
    rates        [N, T] requested share of positives;  achieved: mean true probability of the training rows
    intercepts   [N, T] the teachers' constants, which bring about the rates; NaN for a missing task
    ceiling      [N, T] best reachable AUC on the test rows; NaN for a missing task
    """

    relatedness: np.ndarray
    clusters: tuple | None
    tasks: np.ndarray
    weights: np.ndarray
    scales: np.ndarray
    popularity: np.ndarray
    rates: np.ndarray
    achieved: np.ndarray
    intercepts: np.ndarray
    ceiling: np.ndarray


def best_auc(probability: Sequence[float] | np.ndarray) -> float:
    """The AUC that the true probabilities themselves reach, in expectation over the labels they give.

    probability [R] → the chance that a random positive row has a higher probability than a random negative
    one, ties counting half; NaN where there is no pair. O(R log R).
    """
    p = np.sort(np.asarray(probability, np.float64))
    levels, place = np.unique(p, return_inverse=True)
    positive = np.bincount(place, p, len(levels))
    negative = np.bincount(place, 1 - p, len(levels))
    same = np.bincount(place, p * (1 - p), len(levels))  # a row does not pair with itself
    below = np.cumsum(negative) - negative
    pairs = p.sum() * (1 - p).sum() - same.sum()
    if not pairs > 1e-12:
        return float("nan")
    return float((positive @ below + (positive @ negative - same.sum()) / 2) / pairs)

"""Columns that all but know a label by themselves: outcomes that slipped in among the features."""

import numpy as np

LEAK = 0.98  # single-column AUC from which a feature is suspected to know the label


def find_leaks(
    ids: dict[str, np.ndarray],
    numbers: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    train: np.ndarray,
) -> list[str]:
    """A warning for each column and task where the column alone ranks the rows all but right.

    ids     categorical column → [R] int64;  numbers  numerical column → [R] float64, taken in hundredths
    labels  task → [R] float32: 0, 1, NaN;   train    [R] bool: the training rows, the only ones used
    """
    codes = ids | {column: _bins(values, train) for column, values in numbers.items()}
    return [
        f"column {name!r} alone gives {task!r} an AUC of {auc:.3f}: it probably knows the outcome (a leak). "
        f"Leave it out with --ignore {name} unless it is known beforehand."
        for name, column in codes.items()
        for task, label in labels.items()
        if (auc := _held_out_auc(column, label, train)) >= LEAK
    ]


def _held_out_auc(codes, label, train):
    """AUC of one column by itself; NaN without both labels. codes [R] ints ≥ 0, label [R] 0, 1, NaN.

    Half of the training rows give each value its rate of positives; the other half is ranked by it. So a
    unique id, which tells nothing about rows not seen yet, is not suspected.
    """
    rows = np.flatnonzero(train & ~np.isnan(label))
    known, held = rows[::2], rows[1::2]
    if len(held) < 20:
        return np.nan
    size, prior = codes.max() + 1, label[known].mean()
    rate = np.bincount(codes[known], label[known], size) + prior
    rate /= np.bincount(codes[known], minlength=size) + 1
    level = np.unique(rate, return_inverse=True)[1][codes[held]]
    positive, negative = (np.bincount(level, weight) for weight in (label[held], 1 - label[held]))
    pairs = positive.sum() * negative.sum()
    return (np.cumsum(negative) - negative / 2) @ positive / pairs if pairs else np.nan


def _bins(values, train):
    """[R] which hundredth of the training rows a number falls into."""
    edges = np.unique(np.quantile(values[train], np.linspace(0, 1, 101)))
    return np.searchsorted(edges, values, side="right")

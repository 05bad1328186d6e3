"""Columns that all but know a label by themselves: outcomes that slipped in among the features."""

from collections.abc import Mapping

import numpy as np

LEAK = 0.9  # AUC of a single column from which, even at the lower end of its interval, it is suspected
POSITIVES = 10  # labels of each class that a judgement needs
CERTAIN = 1e-6  # how improbable it must be that rows of one value agree by chance
SAMPLE = 200_000  # training rows that are looked at


def sample(train: np.ndarray) -> np.ndarray:
    """Numbers of the training rows that are looked at: all, or SAMPLE of them; train [R] bool."""
    rows = np.flatnonzero(train)
    return rows if len(rows) <= SAMPLE else rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(int)]


def find_leaks(
    ids: Mapping[str, np.ndarray], numbers: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> list[str]:
    """A warning for each column and task where the column alone ranks rows all but right, or is certain.

    Of R training rows: ids  categorical column → [R] ints;  numbers  numerical column → [R] float64, taken in
    hundredths;  labels  task → [R] float32: 0, 1, NaN
    """
    codes = {column: np.unique(values, return_inverse=True)[1] for column, values in ids.items()}
    codes |= {column: _bins(values) for column, values in numbers.items()}
    found = []
    for name, column in codes.items():
        for task, label in labels.items():
            text = _ranks(column, label) or _is_certain(column, label)
            if text:
                found.append(
                    f"column {name!r} {text.format(task=repr(task))}: it probably knows the outcome (a "
                    f"leak). Leave it out with --ignore {name} unless it is known beforehand."
                )
    return found


def _ranks(codes, label):
    """What the column alone says of a task, where even the lower end of its AUC's interval is high."""
    auc, low = held_out_auc(codes, label)
    return f"alone gives {{task}} an AUC of {auc:.3f}" if low >= LEAK else ""


def held_out_auc(codes: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """(AUC of one column by itself, lower end of its 95 % interval); NaN without enough of both labels.

    codes [R] ints ≥ 0, label [R] 0, 1, NaN. Half of the rows give each value its rate of positives; the other
    half is ranked by it. So a unique id, which tells nothing about rows not seen yet, is not suspected. The
    interval is that of Hanley and McNeil (1982).
    """
    rows = np.flatnonzero(~np.isnan(label))
    known, held = rows[::2], rows[1::2]
    yes = int(label[held].sum())
    if min(yes, len(held) - yes) < POSITIVES:
        return np.nan, np.nan
    size, prior = codes.max() + 1, label[known].mean()
    rate = np.bincount(codes[known], label[known], size) + prior
    rate /= np.bincount(codes[known], minlength=size) + 1
    level = np.unique(rate, return_inverse=True)[1][codes[held]]
    positive, negative = (np.bincount(level, weight) for weight in (label[held], 1 - label[held]))
    pairs = positive.sum() * negative.sum()
    auc = float((np.cumsum(negative) - negative / 2) @ positive / pairs)
    return auc, auc - 1.96 * hanley_mcneil(auc, yes, len(held) - yes)


def hanley_mcneil(auc: float, positives: int, negatives: int) -> float:
    """Standard error of an AUC; of a perfect one that of half a pair of rows that is ranked wrong."""
    auc = min(auc, 1 - 0.5 / min(positives, negatives))
    both, one = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (positives - 1) * (both - auc**2) + (negatives - 1) * (one - auc**2)
    return float(np.sqrt(spread / (positives * negatives)))


def _is_certain(codes, label):
    """Where all rows of some value have one label, and that cannot be chance: in words, or ""."""
    there = ~np.isnan(label)
    codes, label = codes[there], label[there]
    if not POSITIVES <= label.sum() <= len(label) - POSITIVES:
        return ""
    rows, positive = np.bincount(codes), np.bincount(codes, label)
    base = label.mean()
    for kind, hits, chance in (("1", positive, base), ("0", rows - positive, 1 - base)):
        pure = (rows >= POSITIVES) & (hits == rows)
        count = rows[pure].sum()
        # what is common anyway has to be explained by the half; what is rare by a tenth
        improbable = rows[pure] * np.log(chance) < np.log(CERTAIN)
        if improbable.any() and count >= (0.1 if chance < 0.9 else 0.5) * (label == int(kind)).sum():
            return f"is certain: all {count:,} training rows of {pure.sum()} values have {{task}} = {kind}"
    return ""


def unnamed_outcomes(columns: Mapping[str, np.ndarray], names: list[str]) -> list[str]:
    """A warning that names the 0/1 columns that nobody declared: they may be outcomes of the same rows.

    columns  column → its different values;  names: those that were typed from their content
    """
    binary = [name for name in names if set(columns[name].tolist()) == {"0", "1"}]
    if not binary:
        return []
    return [
        f"0/1 columns that nobody named: {', '.join(binary)}. If they are outcomes of the row, such as "
        f"another click, leave them out with --ignore {','.join(binary)}, or name them in --tasks"
    ]


def _bins(values):
    """[R] which hundredth of the rows a number falls into; gaps are a bin of their own, zero is another."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.zeros(len(values), int)
    edges = np.unique(
        [
            *np.quantile(known, np.linspace(0, 1, 101)),
            np.nextafter(0, 1) if (known == 0).any() else known.min(),
        ]
    )
    return np.where(np.isnan(values), 0, np.searchsorted(edges, values, side="right") + 1)

"""Exercises of chapter 20, open questions."""

import numpy as np
import pandas as pd

from pfmsm_lite.course.notebook import Exercise, hint_for


def _meetings(answer):
    cases = (
        (100 * 10 / 200 * 9 / 199, ""),
        (100 * (10 / 200) ** 2, "nearly: when the first is drawn, 9 places are left for 199 clients"),
        (100 * 10 / 200, "that is how often one client takes part; both must be there"),
        (10 / 200 * 9 / 199, "that is the chance in one round; there are 100"),
        (100 * 10 * 9 / 2, "that counts the pairs that meet; how often is it this one pair?"),
    )
    return hint_for(answer, cases, "rounds · 10/200 · 9/199", 1e-3)


def _cells(values):
    return pd.DataFrame(values, columns=["scenario", "task", "auc"])


def _same(answer):
    before = _cells([("a", "click", 0.70), ("a", "buy", 0.60), ("b", "click", 0.80), ("b", "buy", np.nan)])
    after = _cells(
        [
            ("c", "click", 0.95),
            ("b", "click", 0.90),
            ("a", "buy", 0.61),
            ("a", "click", 0.72),
            ("b", "buy", 0.5),
        ]
    )
    given = answer(before.copy(), after.copy())
    try:
        given = float(given)
    except (TypeError, ValueError):
        return "same_cells(before, after) must return one number"
    by = [own.set_index(["scenario", "task"])["auc"] for own in (before, after)]
    both = (by[1] - by[0]).dropna()
    cases = (
        (both.mean(), ""),
        (-both.mean(), "the sign: after minus before"),
        (after["auc"].mean() - before["auc"].mean(), "this is the naive mean: c was not there before"),
        (both.groupby("scenario").mean().mean(), "every cell counts alike: one mean over cells"),
        (both.sum(), "the mean over the cells, not their sum"),
        (
            both.mean() * 3 / 4,
            "a cell without an AUC before is no cell of both: leave it out of the count, too",
        ),
        ((by[1] - by[0]).fillna(0).mean(), "who is missing on one side has no difference; it is not zero"),
    )
    known = [hint for value, hint in cases if abs(given - value) < 1e-6]
    return known[0] if known else "pair the lines by scenario and task, then the mean of after − before"


EXERCISES = {
    "ex1": Exercise("number", _meetings, "how often one pair of clients trains in the same round"),
    "ex2": Exercise("function", _same, "mean change of AUC over the cells that both tables have"),
}

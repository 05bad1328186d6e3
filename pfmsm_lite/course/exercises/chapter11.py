"""Exercises of chapter 11."""

import numpy as np

from pfmsm_lite.course.exercise import SEEDS, TABLE, Exercise, hint_for, tied, varied


def _compared(name):
    import pandas as pd

    from pfmsm_lite.course.notebook import home

    file = home() / "notebooks" / "results" / f"rivals-{name}" / "compare.csv"
    return pd.read_csv(file).dropna(subset="best_set").set_index("method")


def _untold(answer):
    table = _compared("hard")
    best = int(table["best_set"].sum())
    cases = (
        (best, ""),
        (len(table), "that is how many there are in all"),
        (len(table) - best, "that is how many can be told apart from the best"),
        (int((table["low"] > 0).sum()), "that is how many are clearly above `local`: another question"),
    )
    return hint_for(answer, cases, "count the stars of the column `harder`: hard.best_set.sum()", 0.1)


def _by_rows(answer):
    table = _compared("kuairand")
    means = table[["auc", "auc_by_rows"]]
    ahead = 100 * (means.loc["boosted_tree"] - means.loc["pf_msmtrec"])
    cases = (
        (ahead["auc_by_rows"], ""),
        (-ahead["auc_by_rows"], "the sign: how far are the trees ahead?"),
        (ahead["auc_by_rows"] / 100, "in AUC points: one point is 0.01"),
        (ahead["auc"], "that counts every tab alike"),
        (-ahead["auc"], "that counts every tab alike, and the sign is turned"),
    )
    return hint_for(answer, cases, "100 times the difference of the two methods' auc_by_rows", 0.005)


VALID = ((0.70, 0.72, 0.71), (0.68, 0.66, 0.69))  # AUC of two methods, three settings each
TEST = ((0.73, 0.71, 0.74), (0.70, 0.65, 0.67))


def fair(seed=None):
    """Exercise 3, on AUCs of a seed."""
    draw = np.random.default_rng(seed)
    drawn = [[draw.choice(np.arange(0.6, 0.8, 0.01), 3, False) for _ in range(2)] for _ in range(2)]
    valid, test = (np.round(part, 2) for part in ((VALID, TEST) if seed is None else drawn))
    at = np.arange(2)
    both = "that is one setting for both methods; each chooses its own"
    cases = (
        (test[at, valid.argmax(1)], ""),
        (test.max(1), "the test rows chose: this is the largest of three noisy numbers"),
        (
            valid.max(1),
            "that is what the choosing rows say; report what the test rows say of this choice",
        ),
        (test[:, 0], "that is the first setting, whatever validation rows say"),
        (test[:, 2], both),
        (test[:, 1], both),
        (test.mean(1), "that is the mean over the settings: nobody would use that model"),
        (test[at, valid.argmin(1)], "argmin gives the worst setting; take argmax"),
    )

    def judge(answer):
        found = np.asarray(answer(valid.copy(), test.copy()), float)
        if found.shape != (2,):
            return f"one number for each of two methods is expected; this has shape {found.shape}"
        return hint_for(found, cases, "for each method test[m, valid[m].argmax()]", 1e-6)

    hint = "valid.argmax(1) says which setting each method takes"
    return None if tied(cases, 1e-6) else Exercise("function", judge, hint)


EXERCISES = {
    "ex1": Exercise("number", _untold, "the column best_set of `hard` has a 1 for each", stays=TABLE),
    "ex2": Exercise("number", _by_rows, "auc_by_rows of both, in the table kuai", stays=TABLE),
    "ex3": varied(fair, seed=SEEDS),
}

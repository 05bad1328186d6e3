"""Exercises of chapter 11."""

from pfmsm_lite.course.notebook import Exercise, hint_for


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
        (len(table) - best, "that is how many can be told from the best"),
        (int((table["low"] > 0).sum()), "that is how many are clearly above `local`: another question"),
    )
    return hint_for(answer, cases, "count the filled dots of the second panel: hard.best_set.sum()", 0.1)


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


def _fair(answer):
    import numpy as np

    valid = np.array([[0.70, 0.72, 0.71], [0.68, 0.66, 0.69]])
    test = np.array([[0.73, 0.71, 0.74], [0.70, 0.65, 0.67]])
    found = np.asarray(answer(valid, test), float)
    if found.shape != (2,):
        return f"one number for each of two methods is expected; this has shape {found.shape}"
    cases = (
        ([0.71, 0.67], ""),
        ([0.74, 0.70], "the test rows chose: this is the largest of three noisy numbers"),
        ([0.72, 0.69], "that is what the choosing rows say; report what the test rows say of this choice"),
        ([0.73, 0.70], "that is the first setting, whatever validation rows say"),
        ([0.74, 0.67], "that is one setting for both methods; each chooses its own"),
        ([0.71, 0.65], "that is one setting for both methods; each chooses its own"),
        (test.mean(1), "that is the mean over the settings: nobody would use that model"),
        ([0.73, 0.65], "argmin gives the worst setting; take argmax"),
    )
    return hint_for(found, cases, "for each method test[m, valid[m].argmax()]", 1e-6)


EXERCISES = {
    "ex1": Exercise("number", _untold, "the column best_set of `hard` has a 1 for each"),
    "ex2": Exercise("number", _by_rows, "auc_by_rows of both, in the table kuai"),
    "ex3": Exercise("function", _fair, "valid.argmax(1) says which setting each method takes"),
}

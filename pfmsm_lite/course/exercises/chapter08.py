"""Exercises of chapter 08."""

from pfmsm_lite.course.notebook import Exercise, hint_for

POINTS = (0.4, 0.9, -0.1, 0.6, 0.5)


def _interval(answer):
    from pfmsm_lite.lab.statistics import paired_interval

    mean, low, high = paired_interval(POINTS, [0.0] * len(POINTS))
    cases = (
        (low, ""),
        (high, "that is the upper end"),
        (mean, "that is the mean; subtract t times the standard error"),
        (mean - 1.96 * (mean - low) / 2.7764, "1.96 is for many seeds; with five take Student's t"),
    )
    otherwise = "call interval(points, 0 * points) and take its second value"
    return hint_for(answer, cases, otherwise, 0.005)


def _compared(name):
    import pandas as pd

    from pfmsm_lite.course.notebook import home

    file = home() / "notebooks" / "results" / f"rivals-{name}" / "compare.csv"
    return pd.read_csv(file).dropna(subset="best_set").set_index("method")


def _untold(answer):
    table = _compared("oulad")
    best = int(table["best_set"].sum())
    clear = int((table["low"] > 0).sum())
    cases = (
        (best, ""),
        (len(table), "that is how many there are in all"),
        (len(table) - best, "that is how many can be told from the best"),
        (clear, "that is how many are clearly above `local`: another question"),
    )
    return hint_for(answer, cases, "add up the column best_set of found['OULAD']", 0.1)


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


EXERCISES = {
    "ex1": Exercise("number", _interval, "use interval(points, 0 * points)"),
    "ex2": Exercise("number", _untold, "the column best_set of found['OULAD'] has a 1 for each"),
    "ex3": Exercise("number", _by_rows, "auc_by_rows of both, in the table kuai"),
}

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


def _nearest(answer):
    import pandas as pd

    from pfmsm_lite.course.notebook import home
    from pfmsm_lite.lab.statistics import against

    table = against(pd.read_csv(home() / "notebooks" / "results" / "kuairand" / "results.csv"))
    holding = table[(table["low"] <= 0) & (table["high"] >= 0)]
    if answer == holding["difference"].abs().idxmin():
        return ""
    if answer not in table.index:
        return f"{answer!r} is no method of the table: {', '.join(table.index)}"
    if answer not in holding.index:
        return f"the interval of {answer} does not include zero: look at low and high"
    return f"the interval of {answer} includes zero, but another difference is nearer to it"


def _by_rows(answer):
    import pandas as pd

    from pfmsm_lite.course.notebook import home

    rows = pd.read_csv(home() / "notebooks" / "results" / "rivals-kuairand" / "results.csv").query(
        "split == 'test'"
    )
    tabs = rows.groupby(["scenario", "method"])["auc"].mean().unstack()
    ahead = 100 * (tabs["boosted_tree"] - tabs["pf_msmtrec"])
    share = rows.groupby("scenario")["rows"].mean()
    weighted = float((ahead * share / share.sum()).sum())
    cases = (
        (weighted, ""),
        (
            -weighted,
            "the sign: `behind` says how far a method is behind, and the question is how far it is ahead",
        ),
        (weighted / 100, "in AUC points: one point is 0.01"),
        (float(ahead.mean()), "that counts every tab alike"),
        (float(-ahead.mean()), "that counts every tab alike, and the sign is that of `behind`"),
        (float(ahead[share.idxmax()]), "that is tab 1 alone; the other tabs have 23 % of the rows"),
    )
    return hint_for(answer, cases, "multiply each tab's `behind` by its `share`, and add up", 0.03)


EXERCISES = {
    "ex1": Exercise("number", _interval, "use interval(points, 0 * points)"),
    "ex2": Exercise("text", _nearest, "use against(real)"),
    "ex3": Exercise("number", _by_rows, "the sum over the tabs of behind times share"),
}

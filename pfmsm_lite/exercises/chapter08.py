"""Exercises of chapter 08."""

from pfmsm_lite.course import Exercise, hint_for
from pfmsm_lite.methods import Method

POINTS = (0.4, 0.9, -0.1, 0.6, 0.5)


def _interval(answer):
    from pfmsm_lite.analysis import paired_interval

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

    from pfmsm_lite.analysis import against
    from pfmsm_lite.course import home

    table = against(pd.read_csv(home() / "results" / "kuairand" / "results.csv"))
    holding = table[(table["low"] <= 0) & (table["high"] >= 0)]
    if answer == holding["difference"].abs().idxmin():
        return ""
    if answer not in table.index:
        return f"{answer!r} is no method of the table: {', '.join(table.index)}"
    if answer not in holding.index:
        return f"the interval of {answer} does not hold zero: look at low and high"
    return f"the interval of {answer} holds zero, but another difference is nearer to it"


def _blind(answer):
    if not isinstance(answer, Method):
        return "give a Method: replace(METHODS['pf_msmtrec'], …)"
    if answer.aggregate not in ("mean", "self"):
        return f"aggregate={answer.aggregate!r} looks at the clients' updates; which rules do not?"
    if answer.share.get("expert.scenario") != "personalized":
        return "the experts are not aggregated for each client any more; leave `share` as it was"
    return ""


EXERCISES = {
    "ex1": Exercise("number", _interval, "use interval(points, 0 * points)"),
    "ex2": Exercise("text", _nearest, "use against(real)"),
    "ex3": Exercise("any", _blind, "replace(METHODS['pf_msmtrec'], aggregate=…)"),
}

"""Exercises of chapter 12."""

from pfmsm_lite.course.notebook import Exercise, hint_for
from pfmsm_lite.methods import Method


def _holm(answer):
    cases = (
        ([0.09, 0.04, 0.09, 0.20], ""),
        (
            [0.04, 0.09, 0.09, 0.20],
            "these are the right numbers, sorted; give them in the order of the question",
        ),
        (
            [0.09, 0.04, 0.08, 0.20],
            "none is below the one before it in the sorted list: 0.04 cannot end below 0.03",
        ),
        (
            [0.12, 0.04, 0.16, 0.80],
            "that is Bonferroni: all times four; Holm's factors fall from four to one",
        ),
        ([0.03, 0.02, 0.08, 0.80], "the factors are the wrong way round: the smallest p is taken four times"),
        ([0.03, 0.01, 0.04, 0.20], "nothing is corrected yet"),
    )
    otherwise = "sort; multiply by 4, 3, 2, 1; take the running maximum; put them back in their order"
    return hint_for(answer, cases, otherwise, 1e-3)


def _blind(answer):
    if not isinstance(answer, Method):
        return "give a Method: replace(METHODS['pf_msmtrec'], …)"
    if answer.aggregate not in ("mean", "self"):
        return f"aggregate={answer.aggregate!r} looks at the clients' updates; which rules do not?"
    if answer.share.get("expert.scenario") != "personalized":
        return "the experts are not aggregated for each client any more; leave `share` as it was"
    return ""


EXERCISES = {
    "ex1": Exercise("array", _holm, "sort; multiply by 4, 3, 2, 1; take the running maximum", (4,)),
    "ex2": Exercise("any", _blind, "replace(METHODS['pf_msmtrec'], aggregate=…)"),
}

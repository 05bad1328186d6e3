"""Exercises of chapter 12."""

import itertools

from pfmsm_lite.course.exercise import DECLARATION, Exercise, by_cases, say, varied
from pfmsm_lite.methods import Method


def holm(p=(0.03, 0.01, 0.04, 0.20)):
    """Exercise 1: four p-values."""
    order = sorted(range(4), key=p.__getitem__)
    falling = [(4 - place) * p[k] for place, k in enumerate(order)]
    rising = [(1 + place) * p[k] for place, k in enumerate(order)]
    corrected = [max(falling[: place + 1]) for place in range(4)]

    def back(values):
        return [values[order.index(k)] for k in range(4)]

    cases = (
        (back(corrected), ""),
        (corrected, "these are the right numbers, sorted; give them in the order of the question"),
        (
            back(falling),
            "none is below the one before it in the sorted list, but a p of "
            f"{say(p[order[2]])} ends below one of {say(p[order[1]])}",
        ),
        (
            [4 * value for value in p],
            "that is Bonferroni: all times four; Holm's factors fall from four to one",
        ),
        (back(rising), "the factors are the wrong way round: the smallest p is taken four times"),
        (p, "nothing is corrected yet"),
    )
    return by_cases(
        "array", cases,
        "sort; multiply by 4, 3, 2, 1; take the running maximum; put them back in their order", 1e-3,
        "sort; multiply by 4, 3, 2, 1; take the running maximum", shape=(4,),
        task=f"Four p-values, in this order: {', '.join(f'{value:.2f}' for value in p)}. What does "
        "Holm's correction make of them? By hand, an array of four numbers in the same order.",
        why=f"sorted and times 4, 3, 2, 1: {say([round(v, 6) for v in falling])}; then the running maximum",
    )  # fmt: skip


def _blind(answer):
    if not isinstance(answer, Method):
        return "give a Method: replace(METHODS['pf_msmtrec'], …)"
    if answer.aggregate not in ("mean", "self"):
        return f"aggregate={answer.aggregate!r} looks at the clients' updates; which rules do not?"
    if answer.share.get("expert.scenario") != "personalized":
        return "the experts are not aggregated for each client any more; leave `share` as it was"
    return ""


LARGE, SMALL = (0.05, 0.06, 0.15, 0.20), (0.01, 0.02, 0.03, 0.04)
EXERCISES = {
    "ex1": varied(holm, p=[p for p in itertools.permutations(SMALL + LARGE, 4) if max(p) <= 0.20]),
    "ex2": Exercise("any", _blind, "replace(METHODS['pf_msmtrec'], aggregate=…)", stays=DECLARATION),
}

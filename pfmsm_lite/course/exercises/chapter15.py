"""Exercises of chapter 15: what a right answer is, and the hint for each wrong one."""

from pfmsm_lite.course.notebook import Exercise, hint_for


def _turns(answer):
    cases = (
        (4, ""),
        (3, "after three steps m = 2 · 0.8³ − 1 = 0.024: still the old way, though hardly"),
        (7, "that is for β₁ = 0.9, the example"),
        (2, "that is where 0.8^k is below 0.8: it must fall below one half, since m = 2 · 0.8^k − 1"),
        (1, "a fresh start goes the new way at once; here the averages are kept"),
    )
    return hint_for(
        answer, cases, "m = 2 · 0.8^k − 1: look for the first whole k at which it is below 0", 1e-6
    )


def _part(answer):
    hints = {
        "experts, layer 2": "",
        "experts, layer 1": "its line starts clearly below zero at the left end of the middle panel",
        "embedding": "its line starts lowest of all: one vector has to serve both tasks",
    }
    said = " ".join(answer.lower().replace("expert ", "experts ").split())
    said = {"layer 2": "experts, layer 2", "layer 1": "experts, layer 1"}.get(said[-7:], said)
    return hints.get(said, "answer with a name from the legend, such as 'embedding'")


EXERCISES = {
    "ex1": Exercise("number", _turns, "the first k for which 2 · 0.8^k − 1 is below 0"),
    "ex2": Exercise("text", _part, "look at the left end of the three lines in the middle panel"),
}

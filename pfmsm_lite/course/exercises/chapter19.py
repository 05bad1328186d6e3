"""Exercises of chapter 19, trust."""

import torch

from pfmsm_lite.course.notebook import Exercise, hint_for

UPDATES = torch.tensor(
    [[1.0, 4.0], [3.0, -50.0], [2.0, 6.0], [900.0, 5.0], [0.0, 3.0], [4.0, 7.0], [-80.0, 5.0], [2.0, 4.0]]
)


def _trimmed(answer):
    found = torch.as_tensor(answer(UPDATES.clone(), 1))
    ordered = UPDATES.sort(0).values
    cases = (
        (ordered[1:-1].mean(0), ""),
        (
            UPDATES.mean(0),
            "this is the plain mean: sort every column first, then leave `cut` out at each end",
        ),
        (UPDATES[1:-1].mean(0), "sort before you cut: the first and the last row are not the extremes"),
        (UPDATES.median(0).values, "this is the median; leave out only `cut` at each end"),
        (ordered[1:].mean(0), "leave `cut` out at the upper end, too"),
        (ordered[:-1].mean(0), "leave `cut` out at the lower end, too"),
        (ordered[1:-1].sum(0), "this is a sum: divide by the number of rows that are left"),
    )
    if found.shape != (2,):
        return "trimmed(updates, cut) must return [P], one number per column"
    keep = UPDATES[UPDATES.norm(dim=1).argsort()[1:-1]].mean(0)
    by_row = (keep, "each number on its own: another client may be extreme in another column")
    said = hint_for(found, (*cases, by_row), "sort each column, cut both ends, take the mean", 1e-4)
    # without a cut it is the mean
    plain = torch.allclose(torch.as_tensor(answer(UPDATES.clone(), 0)), UPDATES.mean(0))
    return said or ("" if plain else "cut = 0 must leave nothing out: mind the slice [0:-0]")


POSSIBLE = {"a", "c"}


def _possible(answer):
    found = {letter for letter in answer.lower() if letter.isalpha()}
    if not found <= set("abcde"):
        return "letters a to e, such as 'be'"
    if found == POSSIBLE:
        return ""
    if "b" in found:
        return "a median needs each client's number; two groups with one sum may have unlike medians"
    if found & {"d", "e"}:
        return "lengths and cosines are of single updates, which the server never sees"
    return "which of them is made of one sum over the clients, each weighted by what it knows itself?"


EXERCISES = {
    "ex1": Exercise("function", _trimmed, "sort each column, cut both ends, take the mean of the rest"),
    "ex2": Exercise("text", _possible, "which of them is made of sums alone?"),
}

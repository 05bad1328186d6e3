"""Exercises of chapter 18, out of one process."""

import torch

from pfmsm_lite.course.notebook import Exercise, hint_for


def _bytes(answer):
    dense, up, down = 4 * 5000, 4 * 100 * 8, 4 * 120 * 8
    cases = (
        ([dense + up + 4 * 100, dense + down], ""),
        ([dense + down, dense + up + 4 * 100], "upload first, then download"),
        ([dense + up, dense + down], "an upload also says which entries it brings: a number for each"),
        ([dense + up + 4 * 100, dense + down + 4 * 120],
         "a download needs no numbers of entries: the server sends all that the client holds, in order"),
        ([dense + down + 4 * 120, dense + down], "an upload brings only the entries that training rows use"),
        ([dense + up + 4 * 100, dense + up], "a download brings all entries that the client holds"),
        ([(dense + up + 4 * 100) / 4, (dense + down) / 4], "these are numbers; each has four bytes"),
    )  # fmt: skip
    return hint_for(answer, cases, "4 bytes × (5,000 + entries × 8), and in an upload 4 for each entry", 0.5)


def _later(answer):
    entries = torch.tensor([0, 3, 4, 7, 9, 12, 15, 20])
    uses = torch.tensor([0.0, 2.0, 0.0, 5.0, 0.0, 1.0, 0.0, 3.0])
    unknown = torch.tensor([0, 9])
    given = answer(entries.clone(), uses.clone(), unknown.clone())
    try:
        found = sorted(int(number) for number in given)
    except (TypeError, ValueError):
        return "only_later(entries, uses, unknown) must return numbers of entries"
    hints = {
        (4, 15): "",
        (0, 4, 9, 15): "everybody holds the unknown entries: they say nothing of the rows",
        (3, 7, 12, 20): "these are used by training rows; asked for is who is held and not used",
        (2, 6): "these are places among what is held; give the entries' numbers",
        (0, 2, 4, 6): "these are places among what is held, and the unknown entries say nothing",
        (0, 9): "these are the unknown entries; they are to be left out",
    }
    return hints.get(tuple(found), "held, used by no training row, and not an unknown entry")


EXERCISES = {
    "ex1": Exercise("array", _bytes, "bytes of an upload's arrays, and of a download's", (2,)),
    "ex2": Exercise("function", _later, "numbers of entries that are held but used by no training row"),
}

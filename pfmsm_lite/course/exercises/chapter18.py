"""Exercises of chapter 18, out of one process."""

import random

import torch

from pfmsm_lite.course.exercise import SEEDS, Exercise, by_cases, say, varied


def letters(dense=5000, used=100, held=120, width=8):
    """Exercise 1: bytes of an upload's arrays, and of a download's."""
    fixed, up, down, named = 4 * dense, 4 * used * width, 4 * held * width, 4 * used
    cases = (
        ([fixed + up + named, fixed + down], ""),
        ([fixed + down, fixed + up + named], "upload first, then download"),
        ([fixed + up, fixed + down], "an upload also says which entries it brings: a number for each"),
        ([fixed + up + named, fixed + down + 4 * held],
         "a download needs no numbers of entries: the server sends all that the client holds, in order"),
        ([fixed + down + 4 * held, fixed + down], "an upload brings only the entries that training rows use"),
        ([fixed + up + named, fixed + up], "a download brings all entries that the client holds"),
        ([(fixed + up + named) / 4, (fixed + down) / 4], "these are numbers; each has four bytes"),
    )  # fmt: skip
    return by_cases(
        "array", cases,
        f"4 bytes × ({say(dense)} + entries × {width}), and in an upload 4 for each entry", 0.5,
        "bytes of an upload's arrays, and of a download's", shape=(2,),
        task=f"A client holds {held} entries of width {width}; its training rows use {used} of them. It also "
        f"shares {say(dense)} numbers of experts and towers. Numbers and entry numbers have 4 bytes each; "
        "heads do not count, and no validation gradients travel. How many bytes has an upload, and how many "
        "has a download? A tensor of two numbers.",
        why=f"4 · ({dense} + {used} · {width} + {used}) and 4 · ({dense} + {held} · {width})",
    )  # fmt: skip


def later(seed=None):
    """Exercise 2, on what a client of this seed holds."""
    entries, uses = [0, 3, 4, 7, 9, 12, 15, 20], [0, 2, 0, 5, 0, 1, 0, 3]
    if seed is not None:
        chance = random.Random(seed)
        entries = sorted(chance.sample(range(40), 8))
        uses = [chance.choice((0, 0, 1, 2, 5)) for _ in entries]
    zero = [k for k, use in enumerate(uses) if not use]
    unknown = [entries[k] for k in zero[::2]]
    right = tuple(entries[k] for k in zero if entries[k] not in unknown)
    hints = {
        tuple(entries[k] for k in zero): "everybody holds the unknown entries: they say nothing of the rows",
        tuple(
            e for e, use in zip(entries, uses, strict=True) if use
        ): "these are used by training rows; asked for is what is held and not used",
        tuple(
            entries.index(e) for e in right
        ): "these are places among what is held; give the entries' numbers",
        tuple(zero): "these are places among what is held, and the unknown entries say nothing",
        tuple(unknown): "these are the unknown entries; they are to be left out",
    }
    if len(hints) < 5 or right in hints or not right:
        return None
    hints[right] = ""

    def judge(answer):
        given = answer(torch.tensor(entries), torch.tensor(uses).float(), torch.tensor(unknown))
        try:
            found = sorted(int(number) for number in given)
        except (TypeError, ValueError):
            return "only_later(entries, uses, unknown) must return numbers of entries"
        return hints.get(tuple(found), "held, used by no training row, and not an unknown entry")

    return Exercise("function", judge, "numbers of entries that are held but used by no training row")


EXERCISES = {
    "ex1": varied(letters, dense=(300, 400, 600), used=(50, 80, 90), held=(120, 150), width=(4, 8)),
    "ex2": varied(later, seed=SEEDS),
}

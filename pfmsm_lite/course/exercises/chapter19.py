"""Exercises of chapter 19, trust."""

import random

import torch

from pfmsm_lite.course.exercise import SEEDS, Exercise, equals, hint_for, tied, varied

# ---- 1. a trimmed mean ----

UPDATES = torch.tensor(
    [[1.0, 4.0], [3.0, -50.0], [2.0, 6.0], [900.0, 5.0], [0.0, 3.0], [4.0, 7.0], [-80.0, 5.0], [2.5, 4.0]]
)


def trimmed(seed=None, cut=1):
    """Exercise 1, on updates of a seed."""
    if seed is None:
        updates = UPDATES
    else:
        draw = torch.Generator().manual_seed(seed)
        updates = torch.randint(-30, 30, (8, 2), generator=draw) / 4
        hit = torch.randperm(8, generator=draw)[:4]  # who is extreme in the first number, and in the second
        updates[hit[:2], 0] = torch.tensor([400.0, -90.0])
        updates[hit[2:], 1] = torch.tensor([-60.0, 70.0])
    ordered = updates.sort(0).values
    inside = ordered[cut : len(ordered) - cut]
    cases = (
        (inside.mean(0), ""),
        (
            updates.mean(0),
            "this is the plain mean: sort each column, then leave `cut` out at each end",
        ),
        (
            updates[cut : len(updates) - cut].mean(0),
            "sort before you cut: the first and the last row are not the extremes",
        ),
        (updates.median(0).values, "this is the median; leave out only `cut` at each end"),
        (ordered[cut:].mean(0), "leave `cut` out at the upper end, too"),
        (ordered[: len(ordered) - cut].mean(0), "leave `cut` out at the lower end, too"),
        (inside.sum(0), "this is a sum: divide by the number of rows that are left"),
        (
            updates[updates.norm(dim=1).argsort()[cut : len(updates) - cut]].mean(0),
            "each number on its own: another client may be extreme in another column",
        ),
    )
    if tied(cases, 1e-3):
        return None

    def judge(answer):
        found = torch.as_tensor(answer(updates.clone(), cut))
        if found.shape != (2,):
            return "trimmed(updates, cut) must return [P], one number per column"
        if said := hint_for(found, cases, "sort each column, cut both ends, take the mean", 1e-3):
            return said
        plain = equals(answer(updates.clone(), 0), updates.mean(0), 1e-3)
        return "" if plain else "cut = 0 must leave nothing out: mind the slice [0:-0]"

    return Exercise("function", judge, "sort each column, cut both ends, take the mean of the rest")


# ---- 2. from sums alone ----

WHOLE = {  # what a server wants → why it cannot have it of sums; "" where it can
    "FedAvg's mean by rows": "",
    "each number's median": "a median needs each client's number: one sum goes with many medians",
    "the embedding rule `sum`": "",
    "cutting every update to two median lengths": "a length is of one update, which the server never sees",
    "`kin`'s weights": "inner products are of pairs of clients, which the server never sees",
    "an even mean of all towers": "",
    "Krum": "distances are between single updates, which the server never sees",
    "normalization by each client's moments": "moments are of single clients, which the server never sees",
    "the number of all rows": "",
}
TEXTS = tuple(WHOLE)


def sums(chosen=(0, 1, 2, 3, 4)):
    """Exercise 2: which of five can be had of sums; `chosen` are places in TEXTS."""
    texts = dict(zip("abcde", (TEXTS[place] for place in chosen), strict=True))
    right = "".join(letter for letter, text in texts.items() if not WHOLE[text])
    if not 1 <= len(right) <= 3:
        return None
    otherwise = "which of them is made of one sum over the clients, each weighted by what it knows itself?"

    def judge(answer):
        found = {letter for letter in answer.lower() if letter.isalpha()}
        if not found or not found <= set(texts):
            return 'letters a to e, such as "be"'
        if wrong := sorted(found - set(right)):
            return f"{wrong[0]}: {WHOLE[texts[wrong[0]]]}"
        return "" if found == set(right) else otherwise

    listed = " ".join(f"{letter}: {text}." for letter, text in texts.items())
    return Exercise(
        "text", judge, otherwise, right=right,
        task="Which of these can a server compute under secure aggregation, where it sees sums over clients "
        f'and nothing else? {listed} Answer with letters, such as "be".',
        why="sums and even means of what clients weigh themselves; all else needs single updates, or pairs",
    )  # fmt: skip


# ---- 3. the private step ----

ROWS = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])


def step(seed=None, expected=4):
    """Exercise 3, on gradients of a seed."""
    draw = torch.Generator().manual_seed(seed or 0)
    drawn = torch.randn(3, 2, generator=draw), torch.randn(2, generator=draw)
    gradients, noise = (ROWS, torch.tensor([1.0, -1.0])) if seed is None else drawn
    if seed is not None:  # one longer than 1, one shorter, one of zeros
        gradients = gradients / gradients.norm(dim=1, keepdim=True) * torch.tensor([[5.0], [0.5], [0.0]])
    length = gradients.norm(dim=1, keepdim=True).clamp(min=1e-12)
    clipped, unit = (gradients * (1 / length).clamp(max=1)).sum(0), (gradients / length).sum(0)
    together = gradients.sum(0) / gradients.sum(0).norm().clamp(min=1)
    cases = (
        ((clipped + noise) / expected, ""),
        ((unit + noise) / expected, "short gradients are made longer: one shorter than clip stays as it is"),
        ((clipped + noise) / 3, "divide by the rows that were expected: how many came is private"),
        (clipped / expected + noise, "the noise is added to the sum, before dividing"),
        ((together + noise) / expected, "clip every row, not their sum: one long row would still show"),
        ((gradients.sum(0) + noise) / expected, "clip each row first: one long row would still show"),
        (clipped / expected, "the noise is missing"),
        (clipped + noise, "divide by the rows that were expected"),
    )
    if tied(cases, 1e-3):
        return None

    def judge(answer):
        found = torch.as_tensor(answer(gradients.clone(), 1.0, noise.clone(), expected))
        if found.shape != (2,):
            return "private_step(gradients, clip, noise, expected) must return [P], one number per column"
        if not found.isfinite().all():
            return "a row of zeros has length 0: do not divide by it"
        return hint_for(found, cases, "compute each clipped row by hand, then the sum", 1e-3)

    return Exercise(
        "function", judge, "clip each row to length `clip`, sum, add the noise, divide by `expected`"
    )


ORDERS = tuple(tuple(random.Random(seed).sample(range(len(TEXTS)), 5)) for seed in range(60))

EXERCISES = {
    "ex1": varied(trimmed, seed=SEEDS, cut=(1, 2)),
    "ex2": varied(sums, chosen=ORDERS),
    "ex3": varied(step, seed=SEEDS, expected=(4, 5)),
}

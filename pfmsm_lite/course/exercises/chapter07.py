"""Exercises of chapter 07, personalized aggregation."""

import random

import torch

from pfmsm_lite.aggregation import cosines
from pfmsm_lite.course.exercise import SEEDS, Exercise, by_cases, say, varied


def _close(given, right):
    return torch.allclose(torch.as_tensor(given).double(), torch.as_tensor(right).double(), atol=1e-4)


def by_hand(received=1.0, trained=0.4, sources=(1, -1, 2)):
    """Exercise 1: an expert is one number; three sources."""
    step, mean = received - trained, sum(sources) / 3
    cases = (
        ([step * source for source in sources], ""),
        (
            [-step * source for source in sources],
            "the sign: the update goes downhill, so its negative stands for the gradient",
        ),
        (
            [step * (source - mean) for source in sources],
            "these are centred sources; the question is about the pseudo-gradient without centring",
        ),
        (sources, "these are the sources alone; how far, and which way, did training move the client?"),
    )
    return by_cases(
        "array", cases, "−Δ times each source, with Δ = trained − received", 1e-4, "−Δ times each source",
        shape=(3,),
        task=f"An expert is one number. A client received {received} and trained to {trained}. The "
        rf"sources of its mixture were ${say(sources)}$. What is $\partial L/\partial A$, the gradient of "
        "its weights before the softmax, by the pseudo-gradient? A tensor of three numbers.",
        why=f"−Δ = {say(round(step, 6))}, times {say(sources)}",
    )  # fmt: skip


UPDATES = ((1.0, 0.2, 0.0), (0.9, 0.4, 0.1), (0.8, -0.1, 0.3), (9.0, 9.0, -4.0), (-1.0, 0.3, 0.5))


def two_mates(seed=None):
    """Exercise 2, on five updates of a seed; the fourth is long."""
    draw = random.Random(seed)
    drawn = [[round(draw.uniform(-1, 1) * scale, 1) for _ in range(3)] for scale in (1, 1, 1, 10, 1)]
    updates = torch.tensor(UPDATES if seed is None else drawn)
    gram = updates @ updates.T
    if (gram.diagonal() < 0.1).any():
        return None
    alike = cosines(gram).masked_fill(torch.eye(5) > 0, -torch.inf)
    best = alike.sort(1, descending=True).values
    long_ones = gram.masked_fill(torch.eye(5) > 0, -torch.inf).topk(2).indices.sort().values
    if (best[:, 1] - best[:, 2]).min() < 0.02 or torch.equal(long_ones, alike.topk(2).indices.sort().values):
        return None
    hint = "cosines, without oneself, the two largest of each line"
    return Exercise("function", lambda answer: _two_mates(answer, gram), hint)


def _two_mates(answer, gram):
    given = answer(gram.clone())
    if not isinstance(given, torch.Tensor) or given.shape != gram.shape:
        return "two_mates(gram) must return a tensor of the shape of gram"
    own = torch.eye(len(gram))

    def halves(scores, mates=2):
        best = scores.masked_fill(own > 0, -torch.inf).topk(mates).indices
        return own / 2 + torch.zeros_like(gram).scatter(1, best, 0.5 / mates)

    alike = cosines(gram)
    if _close(given, halves(alike)):
        return ""
    if not _close(given.sum(-1), torch.ones(len(gram))):
        return f"lines must sum to one, your first one sums to {float(given[0].sum()):.2f}"
    if _close(given, halves(gram)):
        return "a long update looks like everybody's friend: divide by both lengths, so that angles decide"
    if _close(given, halves(-alike)):
        return "these are the two that are least alike"
    if _close(given, halves(alike, 1)):
        return "that is one mate: here two clients share the borrowed half"
    if not _close(given.diagonal(), torch.full((len(gram),), 0.5)):
        return "a client's own weight must be 0.5: nobody counts among its own mates"
    return "half on the diagonal, a quarter for each of the two largest cosines of a line, without oneself"


EXERCISES = {
    "ex1": varied(
        by_hand, received=(0.5, 1.0, 1.5, 2.0), trained=(0.2, 0.7, 0.9, 1.3),
        sources=((1, -1, 2), (2, -1, 3), (-2, 1, 3), (1, 2, -4), (3, -2, 1)),
    ),
    "ex2": varied(two_mates, seed=SEEDS),
}  # fmt: skip

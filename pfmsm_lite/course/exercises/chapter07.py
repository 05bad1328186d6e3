"""Exercises of chapter 07, personalized aggregation."""

import torch

from pfmsm_lite.course.notebook import Exercise, hint_for


def _close(given, right):
    return torch.allclose(torch.as_tensor(given).double(), torch.as_tensor(right).double(), atol=1e-4)


def _by_hand(answer):
    cases = (
        ([0.6, -0.6, 1.2], ""),
        ([-0.6, 0.6, -1.2], "the sign: the update goes downhill, so its negative stands for the gradient"),
        (
            [0.2, -1.0, 0.8],
            "these are centred sources; the question is about the pseudo-gradient without centring",
        ),
        (
            [1.0, -1.0, 2.0],
            "these are the sources alone; how far, and which way, did training move the client?",
        ),
    )
    return hint_for(answer, cases, "−Δ times each source, with Δ = trained − received", 1e-4)


def _two_mates(answer):
    updates = torch.tensor(
        [[1.0, 0.2, 0.0], [0.9, 0.4, 0.1], [0.8, -0.1, 0.3], [9.0, 9.0, -4.0], [-1.0, 0.3, 0.5]]
    )
    gram = updates @ updates.T
    given = answer(gram.clone())
    if not isinstance(given, torch.Tensor) or given.shape != gram.shape:
        return "two_mates(gram) must return a tensor of the shape of gram"
    own = torch.eye(len(gram))

    def halves(scores, mates=2):
        best = scores.masked_fill(own > 0, -torch.inf).topk(mates).indices
        return own / 2 + torch.zeros_like(gram).scatter(1, best, 0.5 / mates)

    length = gram.diagonal().sqrt()
    alike = gram / length / length[:, None]
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
        return "the own weight must be 0.5: nobody counts among its own mates"
    return "half on the diagonal, a quarter for each of the two largest cosines of a line, without oneself"


EXERCISES = {
    "ex1": Exercise("array", _by_hand, "−Δ times each source", (3,)),
    "ex2": Exercise("function", _two_mates, "cosines, without oneself, the two largest of each line"),
}

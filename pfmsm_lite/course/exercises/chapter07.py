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


def _partners_row(answer):
    logits = torch.tensor([1.0, 0.0, 2.0, -1.0])
    given = answer(logits.clone(), 1, 0.6)
    if not isinstance(given, torch.Tensor) or given.shape != logits.shape:
        return "partners_row(logits, n, own) must return a tensor of the shape of logits"
    everybody = logits.softmax(-1)
    if abs(float(given.sum()) - 1) > 1e-4:
        return f"a row of weights must sum to one, yours sums to {float(given.sum()):.2f}"
    if _close(given, everybody):
        return "that is `learned`: the own weight must be the given one"
    if abs(float(given[1]) - 0.6) > 1e-4:
        return f"the own weight is {float(given[1]):.2f}, but it must be 0.6 here"
    rest = logits.clone()
    rest[1] = -torch.inf
    if _close(given, 0.4 * rest.softmax(-1) + 0.6 * torch.eye(4)[1]):
        return ""
    if _close(given[[0, 2, 3]], torch.full((3,), 0.4 / 3)):
        return "the rest is shared evenly; it must follow the softmax of the others' logits"
    return "the others share 1 − own in proportion to the exponentials of their logits"


def _step(answer):
    weights, gradient = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([1.0, -2.0, 0.5])
    given = answer(weights.clone(), gradient.clone(), 0.7)
    if not isinstance(given, torch.Tensor) or given.shape != weights.shape:
        return "step(weights, gradient, size) must return a tensor of the shape of weights"
    chained = weights * (gradient - weights @ gradient)

    def after(g):
        return (weights.log() - 0.7 * g / g.norm()).softmax(-1)

    if _close(given, after(chained)):
        return ""
    if _close(given, after(-chained)):
        return "this goes uphill: weights with a positive gradient must shrink"
    if _close(given, after(gradient)):
        return "chain the gradient through the softmax first: w · (g − Σ w g)"
    if _close(given, (weights.log() - 0.7 * chained).softmax(-1)):
        return "the step must have a fixed length: divide the chained gradient by its norm"
    if _close(given, weights - 0.7 * chained / chained.norm()):
        return "step on the logits, log(weights), and take the softmax: weights must stay positive"
    return "chain through the softmax, make its length one, go downhill on the logits, take the softmax"


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
        return f"rows must sum to one, your first one sums to {float(given[0].sum()):.2f}"
    if _close(given, halves(gram)):
        return "a long update looks like everybody's friend: divide by both lengths, so that angles decide"
    if _close(given, halves(-alike)):
        return "these are the two that are least alike"
    if _close(given, halves(alike, 1)):
        return "that is `nearest`: here two clients share the borrowed half"
    if not _close(given.diagonal(), torch.full((len(gram),), 0.5)):
        return "the own weight must be 0.5: nobody counts among its own mates"
    return "half on the diagonal, a quarter for each of the two largest cosines in the row, without oneself"


EXERCISES = {
    "ex1": Exercise("array", _by_hand, "−Δ times each source", (3,)),
    "ex2": Exercise("function", _partners_row, "a softmax over the others only, times 1 − own"),
    "ex3": Exercise("function", _step, "chain, normalize, go downhill on the logits, softmax"),
    "ex4": Exercise("function", _two_mates, "cosines, without oneself, the two largest of each row"),
}

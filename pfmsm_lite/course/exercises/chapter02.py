"""Exercises of chapter 02: what a right answer is, and the hint for each wrong one."""

import numpy as np
import torch

from pfmsm_lite.course.exercise import SEEDS, Exercise, by_cases, say, varied


def mixture(first=(1, 2), second=(6, -3), odds=4):
    """Exercise 1: what two experts say, and how much more weight the second one gets."""
    h0, h1 = np.array(first, float), np.array(second, float)
    cases = (
        ((h0 + odds * h1) / (1 + odds), ""),
        (
            (odds * h0 + h1) / (1 + odds),
            "the weights are swapped: the larger score belongs to the second expert",
        ),
        ((h0 + h1) / 2, "that is the plain mean: the softmax of unequal scores is not even"),
        (np.log(odds) * h1, "those are the raw scores: take their softmax first, it adds up to 1"),
        (h0 + odds * h1, "the weights must add up to 1: divide by the sum of the exponentials"),
    )
    otherwise = f"softmax(0, ln {odds}) = (1, {odds}) / (1 + {odds}); then weigh the two experts with that "
    "and add"
    return by_cases(
        "array", cases, otherwise, 0.02, "softmax first, then the weighted sum of the experts", shape=(2,),
        task=f"Two experts say $h_0 = {say(first)}$ and $h_1 = {say(second)}$; the gate's scores are "
        rf"$(0, \ln {odds})$. What is the mixture? Answer with a tensor of two numbers.",
        why=f"the softmax is (1, {odds}) / {1 + odds}; {say(1 / (1 + odds))} · {say(first)} + "
        f"{say(odds / (1 + odds))} · {say(second)}",
    )  # fmt: skip


def mix(seed=0):
    """Exercise 2, on gates and experts of a seed."""
    return Exercise(
        "function", lambda answer: _mixed(answer, seed), "mix(gates, hidden) takes [B, T, E] and [B, E, H]"
    )


def _mixed(answer, seed):
    generator = torch.Generator().manual_seed(seed)
    gates = torch.rand(5, 2, 3, generator=generator).softmax(2)
    hidden = torch.randn(5, 3, 4, generator=generator)
    right = torch.einsum("bte,beh->bth", gates, hidden)
    found = answer(gates, hidden)
    if not torch.is_tensor(found):
        return f"it must return a tensor, but it returned {type(found).__name__}"
    if tuple(found.shape) == (2, 5, 4):
        return "rows come first: the result must be [B, T, H], but yours is [T, B, H]"
    if tuple(found.shape) == (5, 4):
        return "every task has a gate of its own: the result must keep the axis T"
    if found.shape != right.shape:
        return f"for 5 rows, 2 tasks, 4 entries expected shape (5, 2, 4), but this is {tuple(found.shape)}"
    if torch.allclose(found, right, atol=1e-5):
        return ""
    mean = hidden.mean(1, keepdim=True).expand_as(right)
    if torch.allclose(found, mean, atol=1e-5):
        return "that is the mean of the experts: weigh them with the gates"
    if torch.allclose(found, right / 3, atol=1e-5):
        return "sum over the experts, do not average: the gates add up to 1 already"
    if torch.allclose(found, torch.einsum("bte,beh->bth", gates.softmax(2), hidden), atol=1e-5):
        return "the gates are weights already: no second softmax"
    return "sum over e and keep b, t and h"


def _model(seed):
    from pfmsm_lite import MMoE

    return MMoE({"user": 9, "item": 7}, 2, 2, generator=torch.Generator().manual_seed(seed))


def start_alike(seed=1):
    """Exercise 3, on a model of a seed."""
    hint = "start_alike(model) changes an MMoE in place: make all changes inside `with torch.no_grad():`"
    return Exercise("function", lambda answer: _start_alike(answer, seed), hint)


def _start_alike(answer, seed):
    model, before = _model(seed), _model(seed)
    answer(model)
    parts = model.experts
    alike = [all(torch.equal(w, w[:1].expand_as(w)) for w in part) for part in (parts.scenario, parts.bias)]
    if not any(alike):
        return "the experts still differ: in every layer copy expert 0's weights to all, in place (no_grad)"
    if not alike[0]:
        return "the biases are alike, but the weights of the experts still differ"
    if not alike[1]:
        return "the weights are alike, but the biases of the experts still differ"
    if any(torch.equal(w, torch.zeros_like(w)) for w in parts.scenario):
        return "all experts are zero now: copy expert 0, do not wipe it"
    if not torch.equal(parts.scenario[0][0], before.experts.scenario[0][0]):
        return "expert 0 must stay as it was: copy from it, do not average"
    if bool(model.gates.weight.any()) or bool(model.gates.bias.any()):
        return "the gates are not even yet: set both their weight and their bias to zero"
    if not torch.equal(model.towers.weight[0], before.towers.weight[0]):
        return "leave the towers as they are: only experts and gates start alike"
    return ""


PAIRS = tuple((x, y) for x in (1, 2, 3, 4) for y in (-3, -2, 2, 5))
EXERCISES = {
    "ex1": varied(mixture, first=PAIRS, second=tuple((2 * x, y) for x, y in PAIRS), odds=(3, 4, 9)),
    "ex2": varied(mix, seed=SEEDS),
    "ex3": varied(start_alike, seed=SEEDS),
}

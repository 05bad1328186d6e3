"""Exercises of chapter 02: what a right answer is, and the hint for each wrong one."""

import numpy as np
import torch

from pfmsm_lite.course.notebook import Exercise, hint_for


def _mixture(answer):
    cases = (
        ((5, -2), ""),
        ((2, 1), "the weights are swapped: the larger score belongs to the second expert"),
        ((3.5, -0.5), "that is the plain mean: the softmax of unequal scores is not even"),
        (
            (6 * np.log(4), -3 * np.log(4)),
            "those are the raw scores: take their softmax first, it adds up to 1",
        ),
        ((25, -10), "the weights must add up to 1: divide by the sum of the exponentials"),
    )
    otherwise = "softmax(0, ln 4) = (1, 4) / (1 + 4); then weigh the two experts with that and add"
    return hint_for(answer, cases, otherwise, 0.02)


def _mix(answer):
    generator = torch.Generator().manual_seed(0)
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


def _model():
    from pfmsm_lite import MMoE

    return MMoE({"user": 9, "item": 7}, 2, 2, generator=torch.Generator().manual_seed(1))


def _start_alike(answer):
    model, before = _model(), _model()
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


EXERCISES = {
    "ex1": Exercise("array", _mixture, "softmax first, then the weighted sum of the experts", (2,)),
    "ex2": Exercise("function", _mix, "mix(gates, hidden) takes [B, T, E] and [B, E, H]"),
    "ex3": Exercise(
        "function",
        _start_alike,
        "start_alike(model) changes an MMoE in place: make all changes inside `with torch.no_grad():`",
    ),
}

"""Exercises of chapter 05: federated batch normalization, of parameters."""

import torch

from pfmsm_lite import normalize
from pfmsm_lite.course.notebook import Exercise


def _by_hand(answer):
    value = float(answer)
    if abs(value - 7.0) < 1e-3:
        return ""
    if abs(value - 5.5) < 1e-3:
        return "You moved the mean but kept the client's own deviation: multiply by the average one, 2.5."
    if abs(value - 1.0) < 1e-3:
        return (
            "That is the normalized entry alone. Go on: times the average deviation, plus the average mean."
        )
    if abs(value - 2.5) < 1e-3:
        return "You left out the last step: add the average mean, 4.5."
    return "Four steps: subtract the client's mean 1, divide by its deviation 1, times 2.5, plus 4.5."


STACK = torch.tensor([[1.0, 2.0, 3.0], [3.0, 10.0, 3.5]])


def _elementwise(answer):
    found = answer(STACK.clone())
    if found is None:
        return "Your function returns nothing: end it with a return."
    found = torch.as_tensor(found)
    if found.shape != STACK.shape:
        return f"expected shape {tuple(STACK.shape)} as the input's, but this has shape {tuple(found.shape)}"
    if torch.allclose(found, STACK, atol=1e-4):
        return "Your result is the input: each entry got its own deviation back. Use the AVERAGE deviation."
    if torch.allclose(found, normalize(STACK, "moment")[0], atol=1e-3):
        return "That is `moment`: moments over a client's entries (dim=1). Take them over clients (dim=0)."
    plain = (STACK - STACK.mean(0)) / STACK.std(0, correction=0)
    if torch.allclose(found, plain, atol=1e-3):
        return "Normalized, but not scaled back: times the average deviation, plus each entry's mean."
    if torch.allclose(found, normalize(STACK, "elementwise")[0], atol=1e-4):
        return ""
    own = STACK.std(0)
    if torch.allclose(found, (STACK - STACK.mean(0)) / own * own.mean() + STACK.mean(0), atol=1e-4):
        return ""
    return "Per entry: minus its mean over the clients, / its deviation, · average deviation, + mean."


EXERCISES = {
    "ex1": Exercise("number", _by_hand, "Subtract, divide, multiply, add."),
    "ex2": Exercise("function", _elementwise, "elementwise(stack [N, P]) must return a tensor [N, P]."),
}

"""Exercises of chapter 05: federated batch normalization."""

import torch
from torch import nn

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


class _Odd(nn.Module):
    """A model whose names mislead: a linear layer called subnet, batch norm layers called scale."""

    def __init__(self):
        super().__init__()
        self.subnet = nn.Linear(2, 3)
        self.scale = nn.BatchNorm1d(3)
        self.deep = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))


def _stays(answer):
    found = answer(_Odd())
    if found is None:
        return "Your function returns nothing: end it with a return."
    found = set(found)
    if any(name.startswith("subnet") for name in found):
        return 'A linear layer called "subnet" is among your names: it contains the letters "bn". Go by type.'
    if "scale.weight" not in found:
        return 'A BatchNorm layer called "scale" is not among your names. Go by isinstance, not by letters.'
    if "scale.running_mean" not in found:
        return "Running statistics are missing: they are buffers. Use the layer's state_dict()."
    if "deep.1.weight" not in found:
        return "A layer inside a Sequential is missing: walk model.named_modules(), not named_children()."
    wanted = {f"{layer}.{name}" for layer in ("scale", "deep.1") for name in nn.BatchNorm1d(3).state_dict()}
    if found != wanted:
        return f"{len(found)} names, but {len(wanted)} belong to BatchNorm layers."
    return ""


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


def _lost(answer):
    letter = answer.strip().strip(".").lower()
    if letter == "a":
        return "The order of a tensor's entries stays: a shift and a positive factor cannot change it."
    if letter == "c":
        return "Row counts are no part of the parameters; the server has them all the same."
    return "" if letter == "b" else 'Answer with one letter: "a", "b" or "c".'


EXERCISES = {
    "ex1": Exercise("function", _stays, "stays_at_home(model) must return the full names of tensors."),
    "ex2": Exercise("number", _by_hand, "Subtract, divide, multiply, add."),
    "ex3": Exercise("function", _elementwise, "elementwise(stack [N, P]) must return a tensor [N, P]."),
    "ex4": Exercise("text", _lost, "What can a shift and a factor per tensor not change?"),
}

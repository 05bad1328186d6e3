"""Chapter 05: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import torch
from solving import exercise_tests
from torch import nn


def own_deviation(stack):
    mean, deviation = stack.mean(0), stack.std(0, correction=0)
    return (stack - mean) / deviation * deviation + mean


def over_entries(stack):
    mean, deviation = stack.mean(1, keepdim=True), stack.std(1, keepdim=True, correction=0)
    return (stack - mean) / deviation * deviation.mean() + mean.mean()


def parameters_only(model):
    layers = [(path, m) for path, m in model.named_modules() if isinstance(m, nn.BatchNorm1d)]
    return [f"{path}.{name}" for path, m in layers for name, _ in m.named_parameters()]


def children_only(model):
    layers = [(path, m) for path, m in model.named_children() if isinstance(m, nn.BatchNorm1d)]
    return [f"{path}.{name}" for path, m in layers for name in m.state_dict()]


WRONG = [
    ("ex2", 2.5, "last step"),
    ("ex2", 1, "average deviation"),
    ("ex2", 5.5, "own deviation"),
    ("ex2", 3, "Four steps"),
    ("ex2", [7.0], "expected a number"),
    ("ex1", lambda model: [n for n in model.state_dict() if "bn" in n], "subnet"),
    ("ex1", lambda model: [n for n in model.state_dict() if "norm" in n], "isinstance"),
    ("ex1", parameters_only, "buffers"),
    ("ex1", children_only, "Sequential"),
    ("ex1", lambda model: [n for n in model.state_dict() if "subnet" not in n], "belong to BatchNorm"),
    ("ex1", lambda model: None, "returns nothing"),
    ("ex1", {"scale.weight"}, "expected a function"),
    ("ex3", own_deviation, "AVERAGE deviation"),
    ("ex3", over_entries, "dim=0"),
    ("ex3", lambda stack: (stack - stack.mean(0)) / stack.std(0, correction=0), "not scaled back"),
    ("ex3", lambda stack: stack - stack.mean(0), "Per entry"),
    ("ex3", lambda stack: stack.mean(0), "expected shape (2, 3)"),
    ("ex3", torch.ones(2, 3), "expected a function"),
    ("ex4", "a", "order"),
    ("ex4", "c", "Row counts"),
    ("ex4", "scale", "one letter"),
    ("ex4", 2, "expected a string"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("05", WRONG)

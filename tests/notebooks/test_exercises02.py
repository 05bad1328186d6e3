"""Chapter 02: solutions pass, plausible wrong answers are refused with the right hint."""

import torch
from solving import exercise_tests


def weights_only(model):
    with torch.no_grad():
        for weight in model.experts.scenario:
            weight.copy_(weight[:1].clone().expand_as(weight))


def gates_only(model):
    with torch.no_grad():
        model.gates.weight.zero_()
        model.gates.bias.zero_()


def experts_only(model):
    weights_only(model)
    with torch.no_grad():
        for bias in model.experts.bias:
            bias.copy_(bias[:1].clone().expand_as(bias))


def wiped(model):
    gates_only(model)
    with torch.no_grad():
        for tensor in [*model.experts.scenario, *model.experts.bias]:
            tensor.zero_()


def with_gradients(model):
    for weight in model.experts.scenario:
        weight[1:] = weight[0]


WRONG = [
    ("ex1", torch.tensor([2.0, 1.0]), "swapped"),
    ("ex1", torch.tensor([3.5, -0.5]), "plain mean"),
    ("ex1", torch.tensor([8.318, -4.159]), "raw scores"),
    ("ex1", torch.tensor([25.0, -10.0]), "add up to 1"),
    ("ex1", torch.tensor([0.0, 0.0]), "softmax(0, ln 4)"),
    ("ex1", torch.zeros(2, 1), "expected shape (2,)"),
    ("ex1", 5, "expected a tensor"),
    ("ex2", lambda g, h: torch.einsum("bte,beh->tbh", g, h), "rows come first"),
    ("ex2", lambda g, h: torch.einsum("bte,beh->bh", g, h), "keep the axis T"),
    ("ex2", lambda g, h: h.mean(1, keepdim=True).expand(-1, g.shape[1], -1), "mean of the experts"),
    ("ex2", lambda g, h: g @ h / h.shape[1], "do not average"),
    ("ex2", lambda g, h: g.softmax(2) @ h, "second softmax"),
    ("ex2", lambda g, h: g, "expected shape"),
    ("ex2", lambda g, h: 3, "return a tensor"),
    ("ex2", lambda g: g, "TypeError"),
    ("ex2", torch.zeros(2), "expected a function"),
    ("ex3", lambda model: None, "still differ"),
    ("ex3", gates_only, "experts still differ"),
    ("ex3", weights_only, "biases"),
    ("ex3", experts_only, "gates are not even"),
    ("ex3", wiped, "all experts are zero"),
    ("ex3", with_gradients, "inside `with torch.no_grad():`"),
    ("ex3", 1, "expected a function"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("02", WRONG)

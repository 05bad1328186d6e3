"""Chapter 14: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import math

import torch
from solving import exercise_tests, solutions

from pfmsm_lite.rivals.pmtrec import combine, task_weights
from pfmsm_lite.rivals.ranking import ranking_metrics

SOLUTIONS = solutions("14")


def test_the_numbers_of_the_first_exercise_are_those_of_the_package():
    gradients = torch.tensor([[[4.0, 0.0], [0.0, 7.0], [0.0, 0.0]]])
    weights = task_weights(gradients.norm(dim=-1), epoch=2, alpha=1.5, temperature=1 / math.log(2))
    assert torch.allclose(combine(gradients, weights)[0], SOLUTIONS["ex1"])


def test_the_number_of_the_second_exercise_is_that_of_the_package():
    places = torch.arange(30)
    relevant = ((places == 0) | (places == 6) | (places == 25))[None]
    found = ranking_metrics(-places[None].float(), torch.zeros(1, 30, dtype=torch.bool), relevant)
    assert float(found["ndcg@20"]) == SOLUTIONS["ex2"]


def plain(gradients):
    norms = gradients.norm(dim=-1)
    return norms.masked_fill(norms == 0, -torch.inf).softmax(1)


def forgets_zeros(gradients):
    return gradients.norm(dim=-1).softmax(1)


def strict(gradients):
    norms, along = gradients.norm(dim=-1), (gradients * gradients[:, :1]).sum(-1)
    return norms.masked_fill(along <= 0, -torch.inf).softmax(1)


def after(gradients):
    return plain(gradients) * ((gradients * gradients[:, :1]).sum(-1) >= 0)


def for_all(gradients):
    norms, along = gradients.norm(dim=-1), (gradients * gradients[:, :1]).sum(-1)
    return norms.masked_fill((along < 0).any(0) | (norms == 0), -torch.inf).softmax(1)


WRONG = [
    ("ex1", torch.tensor([3.195, 1.3978]), "no task of a user"),
    ("ex1", torch.tensor([0.4444, 6.2222]), "Task Focusing is missing"),
    ("ex1", torch.tensor([1.3333, 4.6667]), "α² times"),
    ("ex1", torch.tensor([7.2, 1.4]), "not the gradient"),
    ("ex1", torch.tensor([0.8, 0.2]), "these are the weights"),
    ("ex1", torch.tensor([3.5232, 0.8344]), "that is τ = 1"),
    ("ex1", torch.tensor([2.0, 3.5]), "9 against 7"),
    ("ex1", torch.tensor([1.3333, 2.3333]), "takes no part"),
    ("ex1", torch.tensor([4.0, 7.0]), "sum to one"),
    ("ex1", torch.tensor([1.4, 3.2]), "wrong way round"),
    ("ex1", torch.tensor([-3.2, -1.4]), "minus sign stays outside"),
    ("ex1", torch.ones(2), "times α²: 9 and 7"),
    ("ex1", "(3.2, 1.4)", "expected a tensor"),
    ("ex2", 4 / 3, "divide it"),
    ("ex2", 0.8175, "all three"),
    ("ex2", 2 / 3, "Recall"),
    ("ex2", 1, "Hit ratio"),
    ("ex2", 0.5363, "not 1/7"),
    ("ex2", 0.6234, "not 1/7"),
    ("ex2", 62.571, "percent"),
    ("ex2", 0.1, "the best list: 1"),
    ("ex3", plain, "still has weight"),
    ("ex3", forgets_zeros, "gradient of zeros"),
    ("ex3", strict, "exactly zero"),
    ("ex3", after, "sum to one"),
    ("ex3", for_all, "each user"),
    ("ex3", lambda gradients: plain(gradients)[0], "shape"),
    ("ex3", lambda gradients: torch.eye(3)[:1].expand(2, 3), "exactly zero"),
    ("ex3", lambda gradients: gradients.norm(dim=-1), "softmax of the norms"),
    ("ex3", lambda: 1, "TypeError"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("14", WRONG)

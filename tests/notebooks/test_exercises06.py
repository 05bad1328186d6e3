"""Chapter 06: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import torch
from solving import exercise_tests


def always(a, b):
    return a - (a @ b) / (b @ b) * b


def by_length(a, b):
    return a - min(float(a @ b), 0) / b.norm() * b


def without_zero(a, b):
    return a - torch.clamp(a @ b, max=0) / (b @ b) * b


WRONG = [
    ("ex1", torch.tensor([2.0, 0.5]), "times the length of a"),
    ("ex1", torch.tensor([4.0, 2.0]) / 5**0.5, "before any rescaling"),
    ("ex1", torch.tensor([1.0, 3.0]), "outside the disc"),
    ("ex1", torch.tensor([3.0, 0.0]), "smaller one"),
    ("ex1", 2.0, "expected a tensor or an array"),
    ("ex1", torch.zeros(3), "expected shape (2,)"),
    ("ex2", always, "no conflict: return a as it is"),
    ("ex2", by_length, "squared length of b"),
    ("ex2", without_zero, "b = 0"),
    ("ex2", lambda a, b: a, "negative"),
    ("ex2", lambda a, b: float(a @ b), "must return a tensor"),
    ("ex2", lambda a: a, "TypeError"),
    ("ex2", 3, "expected a function"),
    ("ex3", 0.5, "cosine of 60"),
    ("ex3", 1.4, "the length of U"),
    ("ex3", 1.0, "shortcut"),
    ("ex3", 4.0, "no longer smaller"),
    ("ex3", "two", "expected a number"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("06", WRONG)

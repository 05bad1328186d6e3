"""Chapter 16: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import torch
from solving import exercise_tests


def always(a, b):
    return a - (a @ b) / (b @ b) * b


def by_length(a, b):
    return a - min(float(a @ b), 0) / b.norm() * b


def without_zero(a, b):
    return a - torch.clamp(a @ b, max=0) / (b @ b) * b


WRONG = [
    ("ex1", always, "no conflict: return a as it is"),
    ("ex1", by_length, "squared length of b"),
    ("ex1", without_zero, "b = 0"),
    ("ex1", lambda a, b: a, "negative"),
    ("ex1", lambda a, b: float(a @ b), "must return a tensor"),
    ("ex1", lambda a: a, "TypeError"),
    ("ex1", 3, "expected a function"),
    ("ex2", "a step as long", "first half"),
    ("ex2", "own alone", "three things change"),
    ("ex2", "Ũ for everybody", "takes the update's place"),
    ("ex2", "mixed, no coordination", "mix experts and towers"),
    ("ex2", "fedavg", "not averse to conflicts"),
    ("ex2", 2, "expected a string"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("16", WRONG)

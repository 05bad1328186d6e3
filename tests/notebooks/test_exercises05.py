"""Chapter 05: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import torch
from solving import exercise_tests


def own_deviation(stack):
    mean, deviation = stack.mean(0), stack.std(0, correction=0)
    return (stack - mean) / deviation * deviation + mean


def over_entries(stack):
    mean, deviation = stack.mean(1, keepdim=True), stack.std(1, keepdim=True, correction=0)
    return (stack - mean) / deviation * deviation.mean() + mean.mean()


WRONG = [
    ("ex1", 2.5, "last step"),
    ("ex1", 1, "average deviation"),
    ("ex1", 5.5, "own deviation"),
    ("ex1", 3, "Four steps"),
    ("ex1", [7.0], "expected a number"),
    ("ex2", own_deviation, "AVERAGE deviation"),
    ("ex2", over_entries, "dim=0"),
    ("ex2", lambda stack: (stack - stack.mean(0)) / stack.std(0, correction=0), "not scaled back"),
    ("ex2", lambda stack: stack - stack.mean(0), "Per entry"),
    ("ex2", lambda stack: stack.mean(0), "expected shape (2, 3)"),
    ("ex2", lambda stack: None, "returns nothing"),
    ("ex2", torch.ones(2, 3), "expected a function"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("05", WRONG)

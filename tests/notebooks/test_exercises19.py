"""Chapter 19: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import torch
from solving import exercise_tests


def by_length(updates, cut):
    return updates[updates.norm(dim=1).argsort()[cut : len(updates) - cut]].mean(0)


WRONG = [
    ("ex1", lambda updates, cut: updates.mean(0), "plain mean"),
    ("ex1", lambda updates, cut: updates[cut : len(updates) - cut].mean(0), "sort before you cut"),
    ("ex1", lambda updates, cut: updates.median(0).values, "this is the median"),
    ("ex1", lambda updates, cut: updates.sort(0).values[cut:].mean(0), "upper end"),
    ("ex1", lambda updates, cut: updates.sort(0).values[: len(updates) - cut].mean(0), "lower end"),
    ("ex1", lambda updates, cut: updates.sort(0).values[cut : len(updates) - cut].sum(0), "this is a sum"),
    ("ex1", by_length, "each number on its own"),
    ("ex1", lambda updates, cut: updates.sort(0).values[cut:-cut].mean(0), "cut = 0"),
    ("ex1", lambda updates, cut: updates.mean(), "one number per column"),
    ("ex1", torch.zeros(2), "expected a function"),
    ("ex2", "abc", "a median needs"),
    ("ex2", "acd", "lengths and cosines"),
    ("ex2", "e", "lengths and cosines"),
    ("ex2", "a", "one sum over the clients"),
    ("ex2", "xyz", "letters a to e"),
    ("ex2", 3, "expected a string"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("19", WRONG)

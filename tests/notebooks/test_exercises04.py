"""Chapter 04: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import torch
from solving import exercise_tests

WRONG = [
    ("ex1", 3.0, "plain mean"),
    ("ex1", 2300, "number of all rows"),
    ("ex1", 1.0, "share"),
    ("ex1", "2.3", "expected a number"),
    ("ex1", torch.ones(3), "expected a number"),
    ("ex2", lambda change, uses: (change * uses).sum(), "Divide by the number of all uses"),
    ("ex2", lambda change, uses: (change * uses).sum() / len(uses), "number of clients"),
    ("ex2", lambda change, uses: change[uses > 0].mean(), "count for more"),
    ("ex2", lambda change, uses: change.mean(), "number of clients"),
    ("ex2", lambda change, uses: (change * uses).sum() / uses.sum(), "guard the division"),
    ("ex2", lambda change, uses: change * uses, "shape (3,)"),
    ("ex2", lambda change, uses: None, "returns nothing"),
    ("ex2", lambda change: change, "stopped with TypeError"),
    ("ex2", 0.5, "expected a function"),
    ("ex3", 4, "jumps over 0"),
    ("ex3", 6, "One more"),
    ("ex3", 6.67, "whole numbers"),
    ("ex3", 3, "1 − 0.3"),
    ("ex3", float("inf"), "finite"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("04", WRONG)

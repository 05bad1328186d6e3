"""Chapter 06: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import torch
from solving import exercise_tests

WRONG = [
    ("ex1", torch.tensor([2.0, 0.5]), "times the length of a"),
    ("ex1", torch.tensor([4.0, 2.0]) / 5**0.5, "before any rescaling"),
    ("ex1", torch.tensor([1.0, 3.0]), "outside the disc"),
    ("ex1", torch.tensor([3.0, 0.0]), "smaller one"),
    ("ex1", 2.0, "expected a tensor or an array"),
    ("ex1", torch.zeros(3), "expected shape (2,)"),
    ("ex2", 0.5, "cosine of 60"),
    ("ex2", 1.4, "the length of U"),
    ("ex2", 1.0, "usual case"),
    ("ex2", 4.0, "no longer smaller"),
    ("ex2", "two", "expected a number"),
    ("ex3", "no coordination", "two things change"),
    ("ex3", "turned", "what the length does"),
    ("ex3", "turned, radius 0.9", "must not turn"),
    ("ex3", "turned and longer", "under test"),
    ("ex3", "Step 1.3", "same for every client"),
    ("ex3", "fedavg", "table of four"),
    ("ex3", 2, "expected a string"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("06", WRONG)

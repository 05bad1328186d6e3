"""Chapter 18: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import torch
from solving import exercise_tests

UP, DOWN = 23_600, 23_840
WRONG = [
    ("ex1", torch.tensor([DOWN, UP]), "upload first"),
    ("ex1", torch.tensor([UP - 400, DOWN]), "which entries it brings"),
    ("ex1", torch.tensor([UP, DOWN + 480]), "needs no numbers"),
    ("ex1", torch.tensor([DOWN + 480, DOWN]), "only the entries that training rows use"),
    ("ex1", torch.tensor([UP, UP - 400]), "all entries that the client holds"),
    ("ex1", torch.tensor([UP / 4, DOWN / 4]), "four bytes"),
    ("ex1", UP, "expected a tensor or an array"),
    ("ex2", lambda entries, uses, unknown: entries[uses == 0], "everybody holds the unknown"),
    ("ex2", lambda entries, uses, unknown: entries[uses > 0], "used by training rows"),
    ("ex2", lambda entries, uses, unknown: torch.nonzero(uses == 0)[:, 0], "places among what is held"),
    ("ex2", lambda entries, uses, unknown: unknown, "to be left out"),
    ("ex2", lambda entries, uses, unknown: None, "must return numbers"),
    ("ex2", 3, "expected a function"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("18", WRONG)

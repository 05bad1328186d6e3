"""Chapter 11: its solutions pass, wrong answers get the hint that is meant for them."""

import numpy as np
from solving import exercise_tests, solutions

WEIGHTED = solutions("11")["ex2"]

WRONG = [
    ("ex1", 27, "how many there are in all"),
    ("ex1", 19, "can be told apart from the best"),
    ("ex1", 24, "clearly above `local`"),
    ("ex1", 5, "count the stars"),
    ("ex1", "8", "expected a number"),
    ("ex2", -WEIGHTED, "the sign"),
    ("ex2", WEIGHTED / 100, "one point is 0.01"),
    ("ex2", 0.48, "counts every tab alike"),
    ("ex2", -0.48, "the sign is turned"),
    ("ex2", 7, "auc_by_rows"),
    ("ex3", lambda valid, test: test.max(1), "the test rows chose"),
    ("ex3", lambda valid, test: valid.max(1), "what the choosing rows say"),
    ("ex3", lambda valid, test: test[:, 0], "the first setting"),
    ("ex3", lambda valid, test: test[:, valid.mean(0).argmax()], "each chooses its own"),
    ("ex3", lambda valid, test: test.mean(1), "the mean over the settings"),
    ("ex3", lambda valid, test: test[np.arange(2), valid.argmin(1)], "take argmax"),
    ("ex3", lambda valid, test: test.max(), "one number for each"),
    ("ex3", lambda valid, test: nothing, "NameError"),  # noqa: F821 - a slip of the pen
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("11", WRONG)


def test_the_trees_are_eight_tenths_of_a_point_ahead_by_rows():
    assert 0.75 < WEIGHTED < 0.85

"""Chapter 12: its solutions pass, wrong answers get the hint that is meant for them."""

from dataclasses import replace

import numpy as np
from solving import exercise_tests

from pfmsm_lite.methods import METHODS

PF = METHODS["pf_msmtrec"]


WRONG = [
    ("ex1", np.array([0.04, 0.09, 0.09, 0.20]), "order of the question"),
    ("ex1", np.array([0.09, 0.04, 0.08, 0.20]), "below the one before"),
    ("ex1", np.array([0.12, 0.04, 0.16, 0.80]), "Bonferroni"),
    ("ex1", np.array([0.06, 0.01, 0.12, 0.80]), "wrong way round"),
    ("ex1", np.array([0.03, 0.01, 0.04, 0.20]), "nothing is corrected"),
    ("ex1", np.array([0.09, 0.04]), "shape"),
    ("ex1", [0.09, 0.04, 0.09, 0.20], "expected a tensor or an array"),
    ("ex2", replace(PF, coordinate="none"), "looks at the clients' updates"),
    (
        "ex2",
        replace(PF, aggregate="mean", share={"embedding": "mean"}, normalize="none", coordinate="none"),
        "leave `share`",
    ),
    ("ex2", "mean", "give a Method"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("12", WRONG)

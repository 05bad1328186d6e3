"""Chapter 08: its solutions pass, wrong answers get the hint that is meant for them."""

from dataclasses import replace

from solving import exercise_tests

from pfmsm_lite.methods import METHODS

PF = METHODS["pf_msmtrec"]


WRONG = [
    ("ex1", 0.46, "that is the mean"),
    ("ex1", 0.9124, "the upper end"),
    ("ex1", 0.14061, "Student's t"),
    ("ex1", "0.01", "expected a number"),
    ("ex2", "local", "does not hold zero"),
    ("ex2", "pooled", "nearer"),
    ("ex2", "fedawg", "no method of the table"),
    ("ex2", 3, "expected a text"),
    ("ex3", replace(PF, coordinate="none"), "looks at the clients' updates"),
    (
        "ex3",
        replace(PF, aggregate="mean", share={"embedding": "mean"}, normalize="none", coordinate="none"),
        "leave `share`",
    ),
    ("ex3", "mean", "give a Method"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("08", WRONG)

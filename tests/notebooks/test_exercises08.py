"""Chapter 08: its solutions pass, wrong answers get the hint that is meant for them."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from pfmsm_lite.course import verdict
from pfmsm_lite.exercises.chapter08 import EXERCISES
from pfmsm_lite.methods import METHODS

SOLUTIONS = runpy.run_path(str(Path(__file__).parents[2] / "notebooks" / "solutions" / "chapter08.py"))
SOLUTIONS = SOLUTIONS["SOLUTIONS"]
PF = METHODS["pf_msmtrec"]


@pytest.mark.parametrize("name", EXERCISES)
def test_a_solution_passes_and_an_untouched_stub_is_to_do(name):
    assert verdict(EXERCISES[name], SOLUTIONS[name]) == ("ok", "")
    assert verdict(EXERCISES[name], ...) == ("to do", "")


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [
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
    ],
)
def test_a_wrong_answer_gets_the_hint_for_that_mistake(name, answer, hint):
    state, said = verdict(EXERCISES[name], answer)
    assert state == "wrong" and hint in said, said

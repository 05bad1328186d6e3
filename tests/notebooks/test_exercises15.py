"""Chapter 15: solutions pass, plausible wrong answers are refused with the right hint."""

import pytest
from solving import exercise_tests

from pfmsm_lite.course.exercises.chapter15 import EXERCISES
from pfmsm_lite.course.notebook import verdict

WRONG = [
    ("ex1", 3, "hardly"),
    ("ex1", 7, "the example"),
    ("ex1", 2, "one half"),
    ("ex1", 1, "fresh start"),
    ("ex1", 3.1, "whole k"),
    ("ex1", "four", "expected a number"),
    ("ex2", "embedding", "lowest of all"),
    ("ex2", "Experts, layer 1", "below zero"),
    ("ex2", "the tower", "from the legend"),
    ("ex2", 2, "expected a string"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("15", WRONG)


@pytest.mark.parametrize("answer", ["Experts, layer 2", "expert layer 2", " layer 2 "])
def test_a_name_is_recognized_however_it_is_written(answer):
    assert verdict(EXERCISES["ex2"], answer) == ("ok", "")

"""Chapter 06: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import importlib.util
from pathlib import Path

import pytest
import torch

from pfmsm_lite.course import verdict
from pfmsm_lite.exercises.chapter06 import EXERCISES

FILE = Path(__file__).parents[2] / "notebooks" / "solutions" / "chapter06.py"
spec = importlib.util.spec_from_file_location("solutions06", FILE)
solutions = importlib.util.module_from_spec(spec)
spec.loader.exec_module(solutions)


@pytest.mark.parametrize("name", EXERCISES)
def test_solutions_pass_and_stubs_are_to_do(name):
    assert verdict(EXERCISES[name], solutions.SOLUTIONS[name]) == ("ok", "")
    assert verdict(EXERCISES[name], ...) == ("to do", "")


def always(a, b):
    return a - (a @ b) / (b @ b) * b


def by_length(a, b):
    return a - min(float(a @ b), 0) / b.norm() * b


def without_zero(a, b):
    return a - torch.clamp(a @ b, max=0) / (b @ b) * b


WRONG = [
    ("ex1", torch.tensor([2.0, 0.5]), "times the length of a"),
    ("ex1", torch.tensor([4.0, 2.0]) / 5**0.5, "before any rescaling"),
    ("ex1", torch.tensor([1.0, 3.0]), "outside of the disc"),
    ("ex1", torch.tensor([3.0, 0.0]), "smaller one"),
    ("ex1", 2.0, "expected a tensor or an array"),
    ("ex1", torch.zeros(3), "expected shape (2,)"),
    ("ex2", always, "no conflict: return a as it is"),
    ("ex2", by_length, "squared length of b"),
    ("ex2", without_zero, "b = 0"),
    ("ex2", lambda a, b: a, "negative"),
    ("ex2", lambda a, b: float(a @ b), "must return a tensor"),
    ("ex2", lambda a: a, "TypeError"),
    ("ex2", 3, "expected a function"),
    ("ex3", 0.5, "cosine of 60"),
    ("ex3", 1.4, "the length of U"),
    ("ex3", 1.0, "shortcut"),
    ("ex3", 4.0, "no longer smaller"),
    ("ex3", "two", "expected a number"),
]


@pytest.mark.parametrize("name, answer, words", WRONG)
def test_mistakes_get_the_hint_for_that_mistake(name, answer, words):
    state, hint = verdict(EXERCISES[name], answer)
    assert state == "wrong" and words in hint

"""Chapter 00: solutions pass; plausible wrong answers get the hint that fits."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from pfmsm_lite.course import verdict
from pfmsm_lite.exercises.chapter00 import EXERCISES

PATH = Path(__file__).parents[2] / "notebooks" / "solutions" / "chapter00.py"
SOLUTIONS = runpy.run_path(str(PATH))["SOLUTIONS"]


@pytest.mark.parametrize("name", EXERCISES)
def test_solutions_pass_and_stubs_are_to_do(name):
    assert verdict(EXERCISES[name], SOLUTIONS[name]) == ("ok", "")
    assert verdict(EXERCISES[name], ...) == ("to do", "")


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("ex1", 0.0, "plain mean"),
        ("ex1", -6.0, "column"),
        ("ex1", 1.6, "leaves C itself out"),
        ("ex1", 5.4, "sign"),
        ("ex1", 17, "add up the three products"),
        ("ex1", "-5.4", "expected a number"),
        ("ex1", float("nan"), "finite"),
        ("ex2", "tower", "does leave"),
        ("ex2", "Rows", "no part of the model"),
        ("ex2", "expert.local", "part of an expert"),
        ("ex2", "server", "compare the list"),
        ("ex2", 3, "expected a text"),
        ("ex3", lambda method: replace(method, aggregate="self"), "fixed weights"),
        ("ex3", lambda method: method, "still mixes"),
        ("ex3", lambda method: replace(method, aggregate="cosine"), "FedAvg's"),
        ("ex3", lambda method: replace(method, aggregate="mean", coordinate="none"), "one thing only"),
        ("ex3", lambda method: "mean", "return a Method"),
        ("ex3", lambda: 1, "your code stopped with TypeError"),
        ("ex3", "mean", "expected a function"),
    ],
)
def test_wrong_answers_are_refused_with_the_right_hint(name, answer, words):
    state, hint = verdict(EXERCISES[name], answer)
    assert state == "wrong" and words in hint

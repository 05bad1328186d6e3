"""Variants of the exercises: for any seed text, check, hints and solution have the same, sound numbers."""

import importlib
import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solving import SOLUTIONS, solutions

from pfmsm_lite.course.exercise import Exercise, by_cases, exercises, say, tied, varied, verdict

CHAPTERS = sorted(file.stem[-2:] for file in SOLUTIONS.glob("chapter??.py"))
VARIED = [(number, name) for number in CHAPTERS for name, found in exercises(number).items() if found.draw]
WITH_NUMBERS = [pair for pair in VARIED if exercises(pair[0])[pair[1]].right is not None]
FUNCTIONS = [pair for pair in VARIED if pair not in WITH_NUMBERS]
SEEDS = range(1, 26)
seeds = st.integers(1, 10**9)
few = settings(max_examples=30, deadline=None)


def as_answer(exercise, right):
    """The right answer as a student would give it."""
    return np.array(right, float) if exercise.kind == "array" else right


def wrong_answers(number):
    """(exercise, wrong answer, words of its hint): those of the chapter's own test."""
    return importlib.import_module(f"notebooks.test_exercises{number}").WRONG


def variant(number, name, seed):
    return exercises(number, seed)[name]


def test_every_exercise_is_varied_or_says_why_it_stays():
    for number in CHAPTERS:
        for name, exercise in exercises(number).items():
            assert bool(exercise.draw) != bool(exercise.stays), (number, name)


def test_without_a_seed_and_with_seed_0_the_numbers_are_those_of_the_chapter():
    for number, name in WITH_NUMBERS:
        assert variant(number, name, 0) is variant(number, name, None)
        published = solutions(number)[name]
        assert verdict(variant(number, name, 0), published) == ("ok", "")


@pytest.mark.parametrize(("number", "name"), WITH_NUMBERS)
@few
@given(seed=seeds)
def test_the_solution_of_a_variant_is_right_and_the_published_one_is_wrong(number, name, seed):
    """The published answer counts where its value happens to be the same, and nowhere else."""
    exercise, published = variant(number, name, seed), solutions(number)[name]
    assert verdict(exercise, as_answer(exercise, exercise.right)) == ("ok", "")
    if exercise.kind == "text":
        same = published == exercise.right
    else:
        same = np.allclose(np.asarray(published, float), np.asarray(exercise.right, float), rtol=0, atol=0.05)
    if not same:
        state, hint = verdict(exercise, published)
        assert state == "wrong" and hint


@pytest.mark.parametrize(("number", "name"), WITH_NUMBERS)
def test_the_numbers_do_change_and_are_the_same_for_the_same_seed(number, name):
    rights = [str(variant(number, name, seed).right) for seed in SEEDS]
    assert len(set(rights)) >= 3
    assert rights == [str(variant(number, name, seed).right) for seed in SEEDS]
    assert len({variant(number, name, seed).task for seed in SEEDS}) >= 3


@pytest.mark.parametrize(("number", "name"), WITH_NUMBERS)
@few
@given(seed=seeds)
def test_no_text_of_a_variant_is_degenerate(number, name, seed):
    exercise = variant(number, name, seed)
    for text in (exercise.task, exercise.why, exercise.hint):
        assert text and not re.search(
            r"nan|inf\b|None\b(?! of)|\be[-+]?\d|\{|\}(?!\$)|0000", text.replace("{1}", "")
        ), text
    values = np.asarray(exercise.right, float) if exercise.kind != "text" else np.zeros(1)
    assert np.isfinite(values).all() and np.abs(values).max() < 1e4


@pytest.mark.parametrize(("number", "name"), FUNCTIONS)
@few
@given(seed=seeds)
def test_a_published_function_is_right_on_the_inputs_of_any_seed(number, name, seed):
    assert verdict(variant(number, name, seed), solutions(number)[name]) == ("ok", "")


@pytest.mark.parametrize(("number", "name"), FUNCTIONS)
def test_a_wrong_function_gets_its_hint_on_the_inputs_of_any_seed(number, name):
    """A hint may name another mistake where two of them meet; the verdict may not."""
    cases = [case for case in wrong_answers(number) if case[0] == name and callable(case[1])]
    assert len(cases) >= 2
    for _, answer, words in cases:
        hints = []
        for seed in SEEDS:
            state, hint = verdict(variant(number, name, seed), answer)
            assert state == "wrong", (words, seed)
            hints.append(words in hint)
        assert np.mean(hints) > 0.5, words


@pytest.mark.parametrize(("number", "name"), WITH_NUMBERS)
def test_the_text_of_the_chapter_has_the_numbers_of_the_exercise(number, name):
    """One source: what the chapter prints before its check is what the check is made of."""
    import nbformat

    from pfmsm_lite.course.execute import chapters
    from pfmsm_lite.course.notebook import home

    path = next(path for path in chapters(home() / "notebooks") if path.name[:2] == number)
    cells = nbformat.read(path, as_version=4).cells
    at = next(k for k, cell in enumerate(cells) if f'check("{name}"' in cell.source)
    before = plain("\n".join(cell.source for cell in cells[: at + 1]))
    asked = re.sub(r"2\.776|95 %|three decimals|N = 1", "", exercises(number)[name].task)
    missing = [found for found in re.findall(r"\d[\d,]*(?:\.\d+)?", plain(asked)) if found not in before]
    assert not missing


def plain(text):
    return text.replace("−", "-").replace("1,000", "1000").replace(".0", "")


# ---- known numbers, worked out by hand ----

BY_HAND = [  # chapter, function, numbers, right answer
    ("00", "mixture", {"a": 5, "b": 8, "c": -12, "from_a": 0.2, "from_b": 0.2}, -4.6),
    ("01", "ctcvr", {"impressions": 2000, "clicks": 50, "purchases": 8}, 0.004),
    ("02", "mixture", {"first": (2, 5), "second": (2, 2), "odds": 4}, (2, 2.6)),
    ("04", "weighted_mean", {"rows": (500, 100, 400), "values": (4, 1, 5)}, 4.1),
    ("04", "clients", {"size": 0.45}, 5),
    ("05", "by_hand", {"low": (0, 6), "deviations": (1, 4)}, 8),
    ("06", "by_hand", {"length": 4, "height": 1, "c": 0.75}, (4, 3)),
    ("06", "longer", {"degrees": 45, "c": 0.2}, math.sqrt(2)),
    ("07", "by_hand", {"received": 2.0, "trained": 0.5, "sources": (2, -1, 3)}, (3, -1.5, 4.5)),
    ("10", "by_hand", {"means": (2, 6), "variances": (4, 14), "output": 13}, 3),
    ("12", "holm", {"p": (0.02, 0.01, 0.06, 0.04)}, (0.06, 0.04, 0.08, 0.08)),
    ("14", "step", {"main": 2, "alpha": 2, "ahead": 1}, (4 / 3, 7 / 3)),
    ("14", "ndcg", {"places": (3, 7), "items": 3}, (1 / 2 + 1 / 3) / (1 + 1 / math.log2(3) + 1 / 2)),
    ("15", "turns", {"beta": 0.75}, 3),
]


@pytest.mark.parametrize(("number", "make", "numbers", "right"), BY_HAND)
def test_numbers_worked_out_by_hand(number, make, numbers, right):
    module = importlib.import_module(f"pfmsm_lite.course.exercises.chapter{number}")
    found = getattr(module, make)(**numbers)
    assert np.allclose(np.asarray(found.right, float), right)
    assert verdict(found, as_answer(found, right)) == ("ok", "")


def test_holm_agrees_with_the_package():
    from pfmsm_lite.course.exercises.chapter12 import EXERCISES, holm
    from pfmsm_lite.lab.statistics import holm as ours

    for p in itertools.islice(itertools.permutations((0.01, 0.02, 0.03, 0.05, 0.2), 4), 0, None, 7):
        if found := holm(p):
            assert np.allclose(found.right, ours(list(p)))
    assert EXERCISES["ex1"].right == [0.09, 0.04, 0.09, 0.2]


# ---- the small functions ----


def test_a_mistake_that_equals_the_right_answer_is_a_tie():
    assert tied([(1.0, ""), (1.0004, "wrong")], 1e-3) and not tied([(1.0, ""), (1.01, "wrong")], 1e-3)
    assert tied([(1.0, ""), (math.nan, "wrong")], 1e-3)
    assert not tied([((1, 2), ""), (3.0, "one number")], 1e-3)
    assert by_cases("number", [(1.0, ""), (1.0, "wrong")], "", 1e-3, "") is None


def test_degenerate_numbers_are_drawn_again_and_never_for_ever():
    def made(a=1):
        return Exercise("number", lambda answer: "", "", right=a) if a % 7 == 1 else None

    found = varied(made, a=range(100))
    assert {found.draw(__import__("random").Random(seed)).right % 7 for seed in range(20)} == {1}
    with pytest.raises(ValueError, match="all numbers were degenerate"):
        varied(made, a=(2, 3)).draw(__import__("random").Random(0))
    with pytest.raises(ValueError, match="its defaults are degenerate"):
        varied(lambda a=2: None, a=(1,))


def test_numbers_are_said_as_a_text_has_them():
    assert say((1, -2.5, 0.1 + 0.2)) == "(1, −2.5, 0.3)" and say(4000) == "4,000"

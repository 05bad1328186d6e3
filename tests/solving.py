"""A chapter with its exercises solved, as a good student would hand it in."""

import importlib
import re
import runpy
from pathlib import Path

import pytest

from pfmsm_lite.course.notebook import verdict

SOLUTIONS = Path(__file__).parents[1] / "notebooks" / "solutions"


def solved(notebook, number):
    """A chapter's notebook with the answers of its solutions put in for the stubs."""
    file = SOLUTIONS / f"chapter{number}.py"
    for cell in notebook.cells:
        stub = re.search(r"check\(\"(ex\d)\", (\w+)\)", cell.source) if cell.cell_type == "code" else None
        if stub:
            answer = f'import runpy\n{stub[2]} = runpy.run_path({str(file)!r})["SOLUTIONS"]["{stub[1]}"]'
            cell.source, found = re.subn(
                rf"^{stub[2]} = \.\.\..*$", lambda match, answer=answer: answer, cell.source, flags=re.M
            )
            assert found == 1
    return notebook


def solutions(number):
    """Exercise → a right answer, of a chapter."""
    return runpy.run_path(str(SOLUTIONS / f"chapter{number}.py"))["SOLUTIONS"]


def exercise_tests(number, wrong):
    """The two tests of every chapter's exercises, to be bound to names that begin with test_.

    wrong  list of (exercise, plausible wrong answer, words of the hint that is meant for it)
    """
    exercises = importlib.import_module(f"pfmsm_lite.course.exercises.chapter{number}").EXERCISES
    right = solutions(number)

    @pytest.mark.parametrize("name", exercises)
    def passes(name):
        assert verdict(exercises[name], right[name]) == ("ok", "")
        assert verdict(exercises[name], ...) == ("to do", "")

    @pytest.mark.parametrize(("name", "answer", "words"), wrong)
    def hints(name, answer, words):
        state, hint = verdict(exercises[name], answer)
        assert state == "wrong" and words in hint, hint

    return passes, hints

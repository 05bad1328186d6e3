"""The pages for teachers that are collected from the chapters: current, complete, no answer to be read."""

import re

import pytest

from pfmsm_lite.course import handouts
from pfmsm_lite.course.execute import chapters
from pfmsm_lite.course.exercise import exercises
from pfmsm_lite.course.notebook import home

FOLDER = home() / "notebooks"
PAGES = handouts.pages()
CHAPTERS = [path.name[:2] for path in chapters(FOLDER)]


@pytest.mark.parametrize("name", PAGES)
def test_a_committed_page_is_what_its_command_writes(name):
    found = (FOLDER / "teaching" / name).read_text(encoding="utf-8")
    assert found == PAGES[name], "run python -m pfmsm_lite.course.handouts"


def test_every_open_question_is_there_and_ends_as_a_sentence():
    for name in ("open_questions.md", "open_questions_marking.md"):
        parts = re.split(r"^## ", PAGES[name], flags=re.MULTILINE)[1:]
        assert [re.search(r"\d\d", part)[0] for part in parts] == CHAPTERS
        for part in parts:
            question = part.split("\n\n")[1]
            assert question.rstrip()[-1] in ".?!" and len(question) > 100, question
            assert question.count("(") == question.count(")")


def test_the_page_to_hand_out_does_not_say_what_a_good_answer_holds():
    assert not re.search(r"solutions|Partly right|Marking|chapter\d\d\.py", PAGES["open_questions.md"])
    assert PAGES["open_questions_marking.md"].count("*Partly right:*") == len(CHAPTERS)


def test_the_table_has_every_exercise_and_says_why_one_stays():
    lines = [line for line in PAGES["examination.md"].splitlines() if line.startswith("| [")]
    known = [(number, name, exercise) for number in CHAPTERS for name, exercise in exercises(number).items()]
    assert len(lines) == len(known)
    for line, (number, name, exercise) in zip(lines, known, strict=True):
        assert line.startswith(f"| [{number}") and f"| {name} |" in line
        assert ("| not asked: " in line) == (not exercise.draw)
        assert exercise.draw or line.endswith(f"{exercise.stays} |")


def test_every_link_leads_to_a_file():
    for name, text in PAGES.items():
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert (FOLDER / "teaching" / target).exists(), (name, target)

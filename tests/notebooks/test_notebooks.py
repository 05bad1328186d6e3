"""Every chapter is executed once, solved, in FAST mode; what is committed is looked at as well."""

import re
from pathlib import Path

import nbformat
import pytest
from solving import solved

from pfmsm_lite.course.execute import FOLDED, chapters, faults, run_one, stale
from pfmsm_lite.course.exercise import exercises
from pfmsm_lite.course.grade import silence
from pfmsm_lite.course.judge import Judge
from pfmsm_lite.course.notebook import GRADER

FOLDER = Path(__file__).parents[2] / "notebooks"
CHAPTERS = chapters(FOLDER)
CORE = [path for path in CHAPTERS if path.parent == FOLDER]
WORDS, ALL_WORDS = 2000, 20_000  # of a chapter, of the core
CELLS, LINES = 40, 15  # of a chapter, of a cell that is to be read
each = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


@each
def test_a_solved_chapter_runs_fast_and_clean_to_its_end(path, tmp_path):
    """Slow, 5 to 25 seconds each: a kernel runs all cells. Cells behind an exercise may use its answer:
    all must work with the right one. With the stubs the maintainers' command has run them: see `stale`."""
    number, judge = path.name[:2], Judge(path.name[:2])
    handed_in = tmp_path / path.name
    nbformat.write(solved(nbformat.read(path, as_version=4), number), handed_in)
    with silence(), judge.listening(tmp_path) as address:
        run_one(handed_in, tmp_path / "done.ipynb", fast=True, **{GRADER: address})
    states = {name: state for name, (state, _) in judge.verdicts.items()}
    assert states == dict.fromkeys(exercises(number), "ok")


@each
def test_a_chapter_has_the_form_of_a_chapter(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", ())]
    assert len(tagged) == 1 and "FAST = False" in tagged[0].source
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "<details>" in prose and prose.startswith("# ")
    assert any("claim(" in cell.source for cell in code)
    assert words(path) <= WORDS and len(notebook.cells) <= CELLS
    for cell in code:
        closed = FOLDED in cell.metadata.get("tags", ())
        assert len(cell.source.splitlines()) <= (25 if closed else LINES), cell.source


@each
def test_every_link_of_a_notebook_leads_to_a_file(path):
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", prose):
        assert (path.parent / target.partition("#")[0]).exists(), target


def test_the_core_is_read_in_a_day():
    assert [path.name[:2] for path in CORE] == [f"{number:02d}" for number in range(10)]
    assert sum(map(words, CORE)) <= ALL_WORDS


def words(path):
    """Words of a notebook's prose."""
    cells = nbformat.read(path, as_version=4).cells
    return sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")


@each
def test_committed_outputs_are_there_clean_and_current(path):
    notebook = nbformat.read(path, as_version=4)
    assert not faults(notebook)
    assert any(cell.get("outputs") for cell in notebook.cells)
    text = path.read_text(encoding="utf-8")
    assert len(text) < 250 * 1024
    assert not re.search(r"/(home|root|tmp|work|Users)/", re.sub(r'"image/png": "[^"]*"', "", text))
    assert "papermill" not in notebook.metadata and "widgets" not in notebook.metadata
    assert not stale(path), f"{path.stem} is stale: python -m pfmsm_lite notebooks {path.stem[:2]}"

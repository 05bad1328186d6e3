"""Every chapter is executed by papermill in FAST mode; what is committed is looked at as well."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from solving import solved

from pfmsm_lite.course.execute import by_files, faults, stale
from pfmsm_lite.course.grade import Outcome, prepared, read, run, verdicts_in
from pfmsm_lite.course.notebook import exercises

FOLDER = Path(__file__).parents[2] / "notebooks"
CHAPTERS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
each = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


@each
def test_a_chapter_runs_fast_and_clean(path):
    command = [sys.executable, "-m", "pfmsm_lite", "notebooks", "--fast", path.stem, "--folder", str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.skipif(sys.platform == "win32", reason="kernels talk over ports on Windows")
def test_kernels_side_by_side_do_not_meet_in_one_socket():
    """Jupyter's own default is one name in the working folder, which two commands there would share."""
    names = [Path(by_files().KernelManager.ip) for _ in range(2)]
    assert names[0] != names[1] and all(name.is_absolute() and len(str(name)) < 90 for name in names)


@each
def test_a_solved_chapter_runs_to_its_end(path, tmp_path):
    """Cells behind an exercise may use its answer: all of them must work with the right one."""
    number, told = path.name[:2], tmp_path / "verdicts"
    handed_in = tmp_path / path.name
    nbformat.write(solved(nbformat.read(path, as_version=4), number), handed_in)
    told.touch()
    outcome = run(prepared(read(handed_in), True, 0), told, tmp_path, 120)
    assert outcome == Outcome({}, "")
    states = {name: state for name, (state, _) in verdicts_in(told, number).items()}
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
    assert len([cell for cell in code if len(cell.source.splitlines()) > 25]) == 0


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

"""The grading command: whatever a student's notebook does, its line says so and the next one is graded."""

import csv
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from solving import SOLUTIONS

from pfmsm_lite.course import grade as grading
from pfmsm_lite.course.grade import Cell, chapter, clean, grade, missing, prepared, read
from pfmsm_lite.course.protection import Cage
from pfmsm_lite.lab.cli import main

ROOT = Path(__file__).parents[2]
CHAPTER = ROOT / "notebooks" / "01_scenarios_and_tasks.ipynb"
PARAMETERS = "SEED = 0\nFAST = False"
SETUP = 'from pfmsm_lite.course.notebook import begin, check\nbegin("01_scenarios_and_tasks", FAST)'
EX1, EX2, EX3 = (f'answer = ...\ncheck("ex{number}", answer)' for number in (1, 2, 3))
SOLVED = 'check("ex1", 0.01)'
SECONDS = 15  # long enough for the set-up on a busy machine
EXHAUSTED = "rows = [bytes(2**28) for _ in range(16)]"  # 4 GiB, not one page of them touched
LOOP = "def f(*rows):\n    while True:\n        print('on and on')\n\n\n"
DEAF = (
    "while True:\n    try:\n        while True:\n            x = 1\n    except BaseException:\n        x = 2"
)
ABORT = 'import os\ncheck("ex3", lambda *rows: os.abort())'
CHILD = "import subprocess\nsubprocess.Popen(['sleep', '98765'])"


def made(path, *sources, tagged=True):
    cells = [new_code_cell(source) for source in sources]
    if tagged and cells:
        cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def running(mark):
    """Command lines of the processes that have inherited an environment with this mark (Linux)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has just ended, or is somebody else's
            continue
    return found


CASES = {  # file name → cells; each notebook goes wrong in ways of its own
    "mine.ipynb": (PARAMETERS, SETUP, "", 'check("ex1", 0.1)', "1 / 0", "2 +", EX2),
    "02_loop.ipynb": (PARAMETERS, SETUP, 'check("ex1", 5)\n' + SOLVED, f'{LOOP}check("ex2", f)', EX3),
    "01_crash.ipynb": (
        PARAMETERS,
        SETUP,
        f'{EXHAUSTED}\ncheck("ex1", 0.01)',
        SOLVED.replace("ex1", "ex2"),
        CHILD,
        "import os\nos._exit(3)",
        EX3,
    ),
    "01_no_parameters.ipynb": (SETUP, SOLVED, "size = SEED + 1\n" + EX2, ABORT),
    "01_no_setup.ipynb": (PARAMETERS, EX1, EX2, "pass"),
    "recipes.ipynb": ("1 + 1",),
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """(rows by (file name, exercise), the finished command, the folder): all the cases, graded in one go.

    Slow, half a minute: five kernels, and an endless loop that is interrupted.
    """
    folder = tmp_path_factory.mktemp("class")
    paths = [made(folder / name, *cells, tagged="no_param" not in name) for name, cells in CASES.items()]
    damaged = {
        "empty.ipynb": "",
        "prose.ipynb": "Dear teacher",
        "list.ipynb": "[1]",
        "cut.ipynb": '{"cells": [',
    }
    for name, text in damaged.items():
        (folder / name).write_text(text)
    (folder / "latin.ipynb").write_bytes(b"\xff\xfe\x00")
    paths = [folder / name for name in (*damaged, "latin.ipynb", "gone.ipynb", ".")] + paths
    before = {path: path.read_bytes() for path in paths if path.is_file()}
    command = [sys.executable, "-m", "pfmsm_lite", "grade", *map(str, paths)]
    limits = ["--seconds", str(SECONDS), "--memory", "2048", "--csv", str(folder / "marks.csv")]
    marked = {**os.environ, "GRADED_BY": f"test {folder}"}
    done = subprocess.run(command + limits, cwd=ROOT, env=marked, capture_output=True, text=True)
    assert {path: path.read_bytes() for path in before} == before, "a student's file was changed"
    with (folder / "marks.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {(Path(row["notebook"]).name, row["exercise"]): row for row in rows}, done, folder


@pytest.mark.parametrize(
    ("notebook", "exercise", "state", "note"),
    [
        ("mine.ipynb", "ex1", "wrong", "per CLICK"),  # the hint comes at the first miss
        ("mine.ipynb", "ex2", "to do", "^$"),
        ("mine.ipynb", "ex3", "no check cell", "^$"),
        ("02_loop.ipynb", "ex1", "ok", "^$"),  # begin(…) says which chapter; the last verdict counts
        (
            "02_loop.ipynb",
            "ex2",
            "wrong",
            rf"not finish; cell \[4\] was interrupted after {SECONDS} s",
        ),
        ("02_loop.ipynb", "ex3", "to do", "^$"),
        ("01_crash.ipynb", "ex2", "wrong", "expected a function"),
        ("01_crash.ipynb", "ex3", "not reached", r"^the kernel died in cell \[6\]"),
        ("01_no_parameters.ipynb", "ex1", "ok", "^the parameters cell is missing$"),
        (
            "01_no_parameters.ipynb",
            "ex2",
            "not reached",
            r"cell \[3\] stopped with NameError.*SEED.*parameters",
        ),
        ("01_no_parameters.ipynb", "ex3", "wrong", r"not finish; the kernel died in cell \[4\]"),
        (
            "01_no_setup.ipynb",
            "ex1",
            "not reached",
            r"cell \[2\] stopped with NameError.*'check'.*set-up cell",
        ),
        ("01_no_setup.ipynb", "ex2", "not reached", r"first to fail: cell \[2\]"),
        ("01_no_setup.ipynb", "ex3", "no check cell", "set-up cell"),
        ("recipes.ipynb", "", "not graded", "no known chapter"),
        ("empty.ipynb", "", "not graded", "empty"),
        ("prose.ipynb", "", "not graded", "not a notebook"),
        ("list.ipynb", "", "not graded", "not a notebook"),
        ("cut.ipynb", "", "not graded", "damaged"),
        ("latin.ipynb", "", "not graded", "damaged"),
        ("gone.ipynb", "", "not graded", "No such file"),
    ],
)
def test_what_goes_wrong_in_a_notebook_stands_in_its_line(graded, notebook, exercise, state, note):
    rows, done, folder = graded
    row = rows[notebook, exercise]
    assert row["state"] == state and re.search(note, row["note"]), row
    assert row["chapter"] == ("" if state == "not graded" else "01")
    assert ": ".join(filter(None, list(row.values())[:4])) in done.stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory works on Linux only")
def test_exhausted_memory_ends_the_cell_and_not_the_notebook(graded):
    row = graded[0]["01_crash.ipynb", "ex1"]
    assert row["state"] == "not reached" and "cell [3] stopped with MemoryError" in row["note"]


def test_a_class_with_bad_notebooks_is_graded_and_the_code_says_so(graded):
    rows, done, folder = graded
    assert done.returncode == 0 and done.stderr == ""
    assert not [name for name in os.listdir(folder) if name.endswith(".part")]
    assert re.search(r"^8 not graded, 4 wrong, 2 to do", done.stdout.splitlines()[-1])


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc to look for processes in")
def test_nothing_is_left_running(graded):
    mark, deadline = f"GRADED_BY=test {graded[2]}", time.monotonic() + 60
    while running(mark) and time.monotonic() < deadline:  # those that were killed are still leaving
        time.sleep(0.1)
    assert running(mark) == []


def test_a_kernel_that_no_interrupt_stops_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("pfmsm_lite.course.kernel.PATIENCE", 1)
    row, *_ = grade(made(tmp_path / "01_deaf.ipynb", PARAMETERS, DEAF, SETUP, SOLVED), seconds=2)
    assert row.state == "not reached" and "cell [2] ran on after an interrupt" in row.note


def test_a_whole_notebook_has_a_limit_too(tmp_path, monkeypatch):
    monkeypatch.setattr("pfmsm_lite.course.grade.CELLS", 1)
    cells = ["import time\ntime.sleep(1.9)"] * 3
    row, *_ = grade(made(tmp_path / "01_slow.ipynb", PARAMETERS, *cells, SOLVED), seconds=2)
    assert row.state == "not reached" and "the 2 s for the notebook were over" in row.note


def test_an_untouched_chapter_is_to_do_and_a_solved_one_is_ok(tmp_path, capsys):
    """Slow, some seconds: a whole chapter is run as it comes; tests/notebooks run all of them solved."""
    answers = f"import runpy\nright = runpy.run_path({str(SOLUTIONS / 'chapter01.py')!r})['SOLUTIONS']"
    checks = [f'check("ex{number}", right["ex{number}"])' for number in (1, 2, 3)]
    path = made(tmp_path / "anna.ipynb", PARAMETERS, SETUP, answers, *checks)
    assert main(["grade", str(path), str(CHAPTER)]) == 0
    said = capsys.readouterr()
    protection, *lines = said.out.splitlines()
    assert protection.startswith("Protection: ")
    assert lines == [
        *(f"{path}: ex{number}: ok" for number in (1, 2, 3)),
        *(f"{CHAPTER}: ex{number}: to do" for number in (1, 2, 3)),
        "3 ok, 3 to do",
    ]
    assert said.err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone.ipynb"], "None of the 1 files could be graded"),
        ([CHAPTER, "--csv", "nowhere/marks.csv"], "nowhere/marks.csv cannot be written"),
        ([CHAPTER, "--csv", "."], "cannot be written: it is a folder"),
        (["--csv", CHAPTER, "gone.ipynb"], "would overwrite a notebook"),
        ([CHAPTER, "--seconds", "0"], "--seconds must be at least 1"),
        ([CHAPTER, "--seconds", "nan"], "--seconds must be at least 1"),
        ([CHAPTER, "--memory", "-1"], "--memory at least 0"),
        ([], "required: NOTEBOOK"),
    ],
)
def test_bad_input_is_known_before_anything_runs(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(grading, "run", None)
    monkeypatch.setattr(grading, "cage", lambda paths: Cage())
    assert main(["grade", *map(str, words)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_help_says_what_it_is_and_what_not(capsys):
    with pytest.raises(SystemExit):
        main(["grade", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "may do all that you may do" in said and "in a container" in said and "macOS" in said


# ---- the small functions ----


def test_cells_are_numbered_as_jupyterlab_numbers_them(tmp_path):
    cells = read(made(tmp_path / "a.ipynb", PARAMETERS, "  \n", "1"))
    assert cells == [Cell(1, PARAMETERS, ("parameters",)), Cell(2, "1")]


def test_the_chapter_is_that_of_begin_and_else_of_the_name():
    begun = [Cell(1, 'begin("06_conflict_coordination", FAST)')]
    assert chapter("01_x.ipynb", begun) == "06"
    assert chapter("01_x.ipynb", [Cell(1, '# begin("06_x")\nbegin("99_x")')]) == "01"


def test_fast_is_set_behind_the_parameters_also_where_the_tag_is_lost():
    for cell in (Cell(1, "x = 1", ("parameters",)), Cell(1, "FAST = False")):
        found = [c.source for c in prepared([cell, Cell(2, "later")], True, 0)]
        assert found == [cell.source, "FAST = True", "later"]
    assert [c.source for c in prepared([Cell(1, "later")], False, 0)] == ["FAST = False", "later"]
    assert missing([Cell(1, "FAST = 1"), Cell(2, "begin('01_x')")]) == []


def test_a_note_is_one_short_printable_line():
    assert clean("a\n\tb\x1b[31m") == "a b[31m" and len(clean("x" * 999)) == 300

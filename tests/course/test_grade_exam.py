"""Examinations: written, solved by the key, graded; the metadata are nbgrader's."""

import re

import nbformat
import pytest
from solving import solutions

from pfmsm_lite.course import exam
from pfmsm_lite.course.exercise import exercises
from pfmsm_lite.course.grade import asked_of
from pfmsm_lite.course.grade import grade as graded
from pfmsm_lite.lab.cli import main

SEED = 5


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(printed lines, folder) of an examination of three chapters."""
    folder, lines = tmp_path_factory.mktemp("exam"), []
    exam.write(["06", "16", "06", "03"], folder, SEED, show=lines.append)
    return lines, folder


def code(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def solved(path, number, target, seed=SEED):
    """The examination with the answers of its key."""
    found = nbformat.read(path, as_version=4)
    for cell in found.cells:
        if asked := re.search(r'check\("(ex\d)"', cell.source):
            exercise = exercises(number, seed)[asked[1]]
            answer = exam._solution(exercise, number, asked[1])
            cell.source = cell.source.replace("answer = ...", answer)
    nbformat.write(found, target)
    return target


def test_a_notebook_per_chapter_with_the_exercises_that_can_change(written):
    lines, folder = written
    assert sorted(path.name for path in folder.iterdir()) == [
        "03_exam.ipynb",
        "06_exam.ipynb",
        "16_exam.ipynb",
    ]
    found = nbformat.read(folder / "06_exam.ipynb", as_version=4)
    nbformat.validate(found)
    text = "\n".join(cell.source for cell in found.cells)
    assert exercises("06", SEED)["ex1"].task in text and 'check("ex2"' in text and 'check("ex3"' not in text
    assert 'begin("06_conflict_coordination", FAST, exam=True)' in text
    assert any(line.startswith("  ex3 is not asked: it reads a figure") for line in lines)


def test_neither_the_seed_nor_an_answer_stands_in_it(written):
    for path in written[1].iterdir():
        number = path.name[:2]
        for source in code(path):
            assert not re.search(rf"\b{SEED}\b|variant", source)
        rights = [found.right for found in exercises(number, SEED).values() if isinstance(found.right, float)]
        assert not any(f"{right:.3f}" in path.read_text(encoding="utf-8") for right in rights)


def test_the_key_is_right_and_the_published_solution_is_not(written, tmp_path):
    """Slow, some seconds: graded in kernels. With no seed, or with another one, the key is wrong."""
    path = solved(written[1] / "06_exam.ipynb", "06", tmp_path / "06_anna.ipynb")
    states = {seed: [row.state for row in graded(path, variant=seed)] for seed in (SEED, SEED + 1)}
    assert states == {SEED: ["ok", "ok"], SEED + 1: ["wrong", "wrong"]}
    published = solved(written[1] / "06_exam.ipynb", "06", tmp_path / "06_otto.ipynb", 0)
    assert [row.state for row in graded(published, variant=SEED)] == ["wrong", "wrong"]
    assert asked_of("06", SEED) == ["ex1", "ex2"] and asked_of("06", None) == ["ex1", "ex2", "ex3"]


def test_in_the_examination_check_only_notes(capsys, monkeypatch):
    from pfmsm_lite.course import notebook

    monkeypatch.setattr(notebook, "_here", dict(notebook._here))
    notebook.begin("06_conflict_coordination", True, exam=True)
    for answer in (1.0, 2.0, ..., "two"):
        notebook.check("ex2", answer)
    said = capsys.readouterr().out.splitlines()[1:]
    assert said[:3] == ["ex2: noted", "ex2: noted", "ex2: to do"] and "expected a number" in said[3]


@pytest.mark.parametrize("chapter", ["01", "02", "03", "04", "05", "07", "08", "09", "11", "14", "16", "17"])
def test_the_text_of_a_function_is_that_of_its_chapter_and_stands_alone(chapter):
    found = nbformat.read(exam._chapter(chapter), as_version=4)
    for name, exercise in exercises(chapter).items():
        if exercise.draw and exercise.kind == "function":
            text = exam.question(found, name)
            assert re.search(r"`\w+\(|function `\(|rule `friends`", text) and len(text) > 80, text
            assert not re.search(r"\bcells?\b|check", text)


def test_an_examination_is_never_written_over(written, capsys):
    assert main(["exam", "06", "--out", str(written[1])]) == 2
    assert "already exists" in capsys.readouterr().err
    assert main(["exam", "99"]) == 2
    assert "99 is no chapter" in capsys.readouterr().err


# ---- nbgrader ----

KEYS = {  # of schema 3, with what they may be
    "schema_version": int, "grade": bool, "solution": bool, "locked": bool, "task": bool, "grade_id": str,
    "cell_type": str,
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nbgrader")
    exam.write(["06", "02", "14"], folder, SEED, nbgrader=True, show=lambda line: None)
    return folder


def test_every_cell_has_the_metadata_of_schema_3(source):
    """As nbgrader's own schema has it: points only where a cell is graded, and ids of letters and dashes."""
    for path in source.iterdir():
        found = [cell.metadata["nbgrader"] | {"_": cell} for cell in nbformat.read(path, as_version=4).cells]
        ids = [data["grade_id"] for data in found]
        assert len(set(ids)) == len(ids)
        for data in found:
            cell = data.pop("_")
            points = {"points"} if data["grade"] else set()
            assert set(data) == set(KEYS) | points and data["schema_version"] == 3
            assert all(isinstance(data[key], kind) for key, kind in KEYS.items())
            assert re.fullmatch(r"[a-zA-Z0-9_\-]+", data["grade_id"]) and data["cell_type"] == cell.cell_type
            assert data["grade"] != ("HIDDEN" not in cell.source) and data["solution"] == (
                "SOLUTION" in cell.source
            )
            assert data["locked"] != data["solution"]


def test_the_source_passes_its_own_tests(source, tmp_path):
    """Slow, some seconds. What nbgrader does first: run the instructor's version."""
    import papermill

    from pfmsm_lite.course.kernel import kernel_config

    for path in source.iterdir():
        papermill.execute_notebook(
            str(path), str(tmp_path / path.name), cwd=str(tmp_path), kernel_name="python3",
            progress_bar=False, config=kernel_config(),
        )  # fmt: skip


def test_what_is_public_answers_only_functions(source):
    for number in ("06", "02", "14"):
        for name, exercise in exercises(number, SEED).items():
            if exercise.draw:
                answer = exam._solution(exercise, number, name)
                assert ("run_path" in answer) == (exercise.kind == "function")
                assert exercise.kind == "function" or callable(solutions(number)[name]) is False


def test_nbgrader_itself_takes_it(source, tmp_path):
    """Where nbgrader is installed: its own validation of the metadata."""
    validator = pytest.importorskip("nbgrader.nbgraderformat").MetadataValidator()
    for path in source.iterdir():
        validator.validate_nb(nbformat.read(path, as_version=4))

"""The notebooks' helpers: they say what is wrong and what to do, and never show a student a traceback."""

import base64
import io
import json
import re
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from pfmsm_lite.course import execute as notebooks
from pfmsm_lite.course import notebook as course
from pfmsm_lite.course.notebook import (
    Exercise,
    begin,
    check,
    claim,
    explore,
    fault,
    given,
    problems,
    show,
    verdict,
)  # fmt: skip
from pfmsm_lite.course.pipeline import pipeline
from pfmsm_lite.errors import UserError


def test_the_environment_check_names_what_is_missing_or_too_old():
    def installed(package):
        if package == "papermill":
            raise PackageNotFoundError
        return {"torch": "2.13.0+cpu", "numpy": "1.26.4", "scipy": "99"}[package]

    lines = ["torch==2.13.0", "numpy>=2.0,<3", "scipy>=1.13,<2", "papermill>=2.6", "x>=1; python_version<'3'"]
    found = problems(lines, installed)
    assert found == ["numpy 1.26.4 is too old, 2.0 or newer is needed.", "papermill is missing."]
    assert problems() == []


def test_what_is_needed_is_what_requirements_say_and_without_a_clone_the_metadata(tmp_path, monkeypatch):
    text = (course.PROJECT / "requirements.txt").read_text()
    assert course.requirements() == text.split()
    names = {re.match(r"[\w-]+", line)[0] for line in course.requirements()}
    assert {"torch", "jupyterlab", "matplotlib", "pandas", "ipywidgets", "papermill"} <= names
    monkeypatch.setattr(course, "PROJECT", tmp_path)
    (tmp_path / "requirements.txt").write_text("# what is needed\n\nnumpy>=999  # much newer\n")
    assert [problem.split(" is")[0].split()[0] for problem in problems()] == ["numpy"]
    (tmp_path / "requirements.txt").unlink()
    kept = ["torch==2.13.0", 'ruff>=0.9; extra == "test"']
    monkeypatch.setattr(course, "requires", {"pfmsm-lite": kept}.get)
    assert course.requirements() == ["torch==2.13.0"]


def test_begin_refuses_with_the_command_that_installs_it(monkeypatch, capsys):
    monkeypatch.setattr(course, "problems", lambda: ["torch is missing."])
    with pytest.raises(UserError, match=r"torch is missing.*pip install -r requirements.txt"):
        begin("06_conflict_coordination")


def test_begin_finds_its_chapter_from_any_folder_below_and_names_the_nearest(tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks" / "deep").mkdir(parents=True)
    (tmp_path / "pfmsm_lite").mkdir()
    (tmp_path / "notebooks" / "06_turning.ipynb").touch()
    monkeypatch.chdir(tmp_path / "notebooks" / "deep")
    threads = torch.get_num_threads()
    monkeypatch.setattr(course, "_here", dict(course._here))
    begin("06_turning", fast=True)
    torch.set_num_threads(threads)
    assert "06_turning · fast" in capsys.readouterr().out and course.home() == tmp_path
    with pytest.raises(UserError, match="Did you mean '06_turning'"):
        begin("06_turnin")


def test_a_kept_table_comes_with_the_command_the_date_and_the_machine(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "notebooks" / "results" / "long"
    folder.mkdir(parents=True)
    said = {"command": "python -m pfmsm_lite map", "date": "2026-11-25", "machine": "a machine"}
    (folder / "config.json").write_text(json.dumps(said))
    (folder / "aucs.csv").write_text("method,auc\nlocal,0.5\n")
    monkeypatch.setattr(course, "home", lambda: tmp_path)
    assert course.measured("long", "aucs.csv").to_dict("list") == {"method": ["local"], "auc": [0.5]}
    assert capsys.readouterr().out == "python -m pfmsm_lite map | 2026-11-25 | a machine\n"


@pytest.mark.parametrize(
    ("source", "shows"),
    [
        ('pd.read_csv(home() / "notebooks" / "results" / "modules")', True),
        ('measured("modules")', True),
        ("run(data)", False),
    ],
)
def test_a_chapter_that_shows_kept_results_is_stale_when_they_change(source, shows, tmp_path):
    folder = tmp_path / "notebooks" / "results" / "long"
    folder.mkdir(parents=True)
    path, file = tmp_path / "notebooks" / "42_trial.ipynb", folder / "aucs.csv"
    file.write_text("1")
    before = notebooks.digest(made(source), path)
    file.write_text("2")
    assert (notebooks.digest(made(source), path) != before) == shows


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in which lab/map.py imports lab/cells.py, and chapter 42's drawings import lab/figures.py."""
    files = {
        "loop.py": "",
        "data/table.py": "",
        "rivals/trees.py": "",
        "lab/__init__.py": "",
        "lab/map.py": "def draw():\n    from pfmsm_lite.lab.cells import results\n",
        "lab/cells.py": "from pfmsm_lite.lab import map",
        "lab/figures.py": "",
        "lab/bench.py": "",
        "lab/own.mplstyle": "",
        "engine/__init__.py": "from pfmsm_lite.engine.rounds import audit",
        "engine/rounds.py": "",
        "trust/leaks.py": "",
        "course/__init__.py": "from pfmsm_lite.course.notebook import show",
        "course/notebook.py": "",
        "course/grade.py": "",
        "course/drawings/chapter42.py": "import pfmsm_lite.lab.figures",
        "course/drawings/chapter41.py": "",
        "course/exercises/chapter42.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(notebooks, "PACKAGE", tmp_path)
    return tmp_path


ALWAYS = {
    "loop.py", "data/table.py", "rivals/trees.py", "lab/own.mplstyle", "course/drawings/chapter42.py",
    "course/exercises/chapter42.py", "lab/figures.py",
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "more"),
    [
        ("run(data)", set()),
        ("%time run(data)", set()),
        ("from pfmsm_lite.lab.map import table", {"lab/map.py", "lab/cells.py", "lab/__init__.py"}),
        ("from pfmsm_lite.lab import map as modules", {"lab/map.py", "lab/cells.py", "lab/__init__.py"}),
        ("import pfmsm_lite.lab.bench", {"lab/bench.py"}),
        ("from pfmsm_lite.course import begin", {"course/__init__.py", "course/notebook.py"}),
        ("from pfmsm_lite.engine import audit", {"engine/__init__.py", "engine/rounds.py"}),
        ("from pfmsm_lite.trust.leaks import labels", {"trust/leaks.py"}),
        ("from pfmsm_lite import run", set()),
    ],
)
def test_a_chapter_depends_on_the_method_and_on_what_it_imports_from_other_rooms(source, more, package):
    found = notebooks.sources(made(source), "42")
    assert {path.relative_to(package).as_posix() for path in found} == ALWAYS | more


def test_a_chapter_is_stale_when_one_of_these_files_changes_and_not_otherwise(package):
    def now():
        return notebooks.digest(made("from pfmsm_lite.lab.map import table"), package / "42_trial.ipynb")

    before = now()
    (package / "lab" / "bench.py").write_text("1")
    (package / "lab" / "map.py").write_bytes(
        (package / "lab" / "map.py").read_bytes().replace(b"\n", b"\r\n")
    )
    assert now() == before
    (package / "lab" / "cells.py").write_text("1")
    assert now() != before


def picture(alt="A line that rises from zero to one.", data=True):
    figure = Figure()
    figure.alt = alt
    ax = figure.subplots()
    if data:
        ax.plot([0, 1])
    return figure


def test_a_figure_without_alt_text_or_with_an_empty_axis_is_not_shown():
    assert fault(picture()) == "" and fault(pipeline()) == ""
    for wrong, said in ((picture(alt=""), "no alt text"), (picture(data=False), "axis 0")):
        with pytest.raises(ValueError, match=said):
            show(wrong)


def test_only_the_maintainers_command_writes_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "home", lambda: tmp_path)
    monkeypatch.setitem(course._here, "fast", False)
    monkeypatch.delenv(course.KEEP_FIGURES, raising=False)
    show(picture(), "01_line")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv(course.KEEP_FIGURES, "1")
    show(picture())
    assert list(tmp_path.iterdir()) == []
    show(picture(), "01_line")
    assert (tmp_path / "figures" / "01_line.png").exists()
    monkeypatch.setitem(course._here, "fast", True)
    show(picture(), "01_fast")
    assert not (tmp_path / "figures" / "01_fast.png").exists()


def test_a_widget_sets_its_picture_and_says_what_is_wrong_in_words(monkeypatch):
    from IPython import display

    shown = []
    monkeypatch.setattr(display, "display", shown.append)

    def draw(k):
        if k == 4:
            raise UserError("Four is too many.")
        return picture(alt=f"A line for the value {k} of the slider.")

    explore(draw, k=(0, 4, 1))
    slider, output = shown[0].children
    assert not slider.continuous_update
    explore(draw, live=True, k=(0, 3, 1))
    assert shown[1].children[0].continuous_update
    assert "value 2" in output.outputs[0]["metadata"]["image/png"]["alt"]
    slider.value = 3
    assert "value 3" in output.outputs[0]["data"]["text/plain"] and len(output.outputs) == 1
    slider.value = 4
    assert output.outputs[0]["text"] == "Four is too many.\n"


def test_a_claim_is_printed_or_fails(capsys):
    claim("two is more than one", np.bool_(True))
    assert capsys.readouterr().out == "✓ two is more than one\n"
    with pytest.raises(AssertionError, match="two is less"):
        claim("two is less than one", torch.tensor(False))


def test_in_a_notebook_one_line_after_the_cell_says_what_holds(monkeypatch):
    shown, calls = [], []
    events = SimpleNamespace(register=lambda name, f: calls.append((name, f)), unregister=lambda *_: None)
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(events=events))
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    monkeypatch.setitem(course._here, "held", [])
    course._at("post_run_cell", course._say_held)
    assert calls == [("post_run_cell", course._say_held)]
    claim("one < two", True)
    claim("two < three", True)
    assert not shown
    course._say_held()
    assert shown[0]["text/plain"] == "✓ 2 statements hold"
    assert "<summary>✓ 2 statements hold</summary>" in shown[0]["text/html"]
    assert "<li>one &lt; two</li>" in shown[0]["text/html"]
    course._say_held()
    assert len(shown) == 1
    claim("alone", True)
    course._say_held()
    assert shown[1] == {"text/plain": "✓ alone"}


def test_cells_of_claims_are_closed_and_so_are_those_tagged():
    notebook = made("claim('a', True)", "1 + 1", "world = 1")
    notebook.cells[2].metadata = {"tags": ["hide-input"]}
    found = [notebooks.kept_metadata(cell) for cell in notebook.cells]
    closed = {"jupyter": {"source_hidden": True}, "tags": ["hide-input"]}
    assert found == [closed, {}, closed]


def judge(answer):
    if answer < 0:
        raise RuntimeError("below the ground")
    return "" if answer == 4 else "that is the half" if answer == 2 else None


NUMBER = Exercise("number", judge, "count again")
ARRAY = Exercise("array", lambda a: "", "", shape=(2, 3))


@pytest.mark.parametrize(
    ("exercise", "answer", "state", "hint"),
    [
        (NUMBER, ..., "to do", ""),
        (NUMBER, None, "to do", ""),
        (NUMBER, 4, "ok", ""),
        (NUMBER, torch.tensor(4.0), "ok", ""),
        (NUMBER, np.float32(4), "ok", ""),
        (NUMBER, 2, "wrong", "that is the half"),
        (NUMBER, 3, "wrong", "count again"),
        (NUMBER, -1, "wrong", "RuntimeError: below the ground"),
        (NUMBER, "4", "wrong", "expected a number, but this is of type str"),
        (NUMBER, True, "wrong", "expected a number"),
        (NUMBER, float("nan"), "wrong", "expected a finite number"),
        (NUMBER, torch.zeros(3), "wrong", "expected a number"),
        (ARRAY, torch.zeros(2, 3), "ok", ""),
        (ARRAY, np.zeros((3, 2)), "wrong", "expected shape (2, 3), but this has shape (3, 2)"),
        (ARRAY, [[0, 0, 0]] * 2, "wrong", "expected a tensor or an array, but this is of type list"),
        (Exercise("function", lambda f: "" if f(1) == 2 else None, "one more"), abs, "wrong", "one more"),
    ],
)
def test_a_verdict_is_one_of_three_with_the_hint_for_that_mistake(exercise, answer, state, hint):
    found, said = verdict(exercise, answer)
    assert found == state and hint in said and bool(hint) == bool(said)


def test_check_gives_the_hint_after_the_second_miss_and_never_a_traceback(monkeypatch, capsys):
    monkeypatch.setattr(course, "exercises", lambda chapter: {"ex1": NUMBER})
    monkeypatch.setitem(course._here, "chapter", "06_x")
    monkeypatch.setitem(course._here, "misses", {})
    said = []
    for answer in (..., 3, 3, "four", 4):
        check("ex1", answer)
        said.append(capsys.readouterr().out)
    assert said[0] == "ex1: to do\n" and "Hint" not in said[1] and "count again" in said[2]
    assert "expected a number" in said[3] and said[4] == "ex1: ok\n"
    monkeypatch.setitem(course._here, "misses", {})
    check("ex1", -1)  # a crash is told at once
    assert "your code stopped with RuntimeError: below the ground" in capsys.readouterr().out
    check("ex9", 1)
    assert "no such exercise" in capsys.readouterr().out


def test_a_cell_behind_an_exercise_uses_the_answer_only_where_it_is_right(monkeypatch, capsys):
    monkeypatch.setattr(course, "exercises", lambda chapter: {"ex2": NUMBER})
    monkeypatch.setitem(course._here, "chapter", "06_x")
    monkeypatch.setitem(course._here, "misses", {})
    monkeypatch.setitem(course._here, "solved", set())
    found = []
    for answer in (..., 3, 4, 5):
        check("ex2", answer)
        capsys.readouterr()
        found.append(given("ex2", answer, "ours"))
        assert ("exercise 2 first" in capsys.readouterr().out) == (found[-1] == "ours")
    assert found == ["ours", "ours", 4, "ours"]


def test_a_picture_keeps_its_size_and_its_white_and_is_sharper():
    from PIL import Image

    figure = Figure(figsize=(4, 2), dpi=100)
    ax = figure.subplots()
    ax.imshow(np.linspace(-1, 1, 512)[None].repeat(200, 0), cmap="RdBu", aspect="auto")
    figure.alt = "A gradient from red over white to blue."
    png, output = course._image(figure)
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    assert picture.size == (500, 250) and output["metadata"]["image/png"]["width"] == 400
    assert picture.getpixel((2, 2)) == (255, 255, 255) and figure.dpi == 100
    figure.set_dpi(125)
    figure.canvas.draw()
    whole = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    away = np.abs(np.asarray(picture).astype(int) - whole).max(-1)
    assert away.max() <= 16 and away.mean() < 1  # no colour is lost


def test_the_cells_of_a_heatmap_keep_their_colours_and_a_picture_of_two_colours_stays():
    from PIL import Image

    cells = np.random.default_rng(0).integers(0, 256, (10, 10, 3)).repeat(30, 0).repeat(30, 1)
    for picture in (cells, np.where(cells[..., :1] > 128, 255, 0).repeat(3, -1)):
        picture = picture.astype(np.uint8)
        found = course._few_colours(Image.fromarray(picture))
        assert found.mode == "P" and np.array_equal(np.asarray(found.convert("RGB")), picture)


def test_a_widget_draws_both_ends_before_a_student_does(monkeypatch):
    seen = []

    def draw(k, kind):
        seen.append((k, kind))
        return picture()

    monkeypatch.setitem(course._here, "fast", True)
    explore(draw, k=(0, 4, 1), kind=["a", "b"])
    assert {(0, "a"), (4, "a"), (2, "b")} <= set(seen)

    def broken(k):
        return picture() if k < 4 else 1 / 0

    with pytest.raises(ZeroDivisionError):
        explore(broken, k=(0, 4, 1))


# ---- the notebooks themselves ----


def made(*cells):
    from nbformat.v4 import new_code_cell, new_notebook

    return new_notebook(cells=[new_code_cell(source) for source in cells])


def output(kind, **fields):
    from nbformat.v4 import new_output

    return new_output(kind, **fields)


def test_faults_of_an_executed_notebook_are_named():
    notebook = made("a", "b", "c", "d")
    png = {"image/png": "AAAA"}
    notebook.cells[0].outputs = [output("error", ename="KeyError", evalue="x", traceback=[])]
    notebook.cells[1].outputs = [output("stream", name="stderr", text="careful")]
    notebook.cells[2].outputs = [output("display_data", data=png)]
    notebook.cells[3].outputs = [output("display_data", data=png, metadata={"image/png": {"alt": "A line."}})]
    found = notebooks.faults(notebook)
    assert len(found) == 3 and "KeyError: x" in found[0] and "careful" in found[1] and "alt" in found[2]


def test_what_is_committed_holds_no_times_no_widgets_and_says_when_it_is_stale(tmp_path):
    import nbformat

    path = tmp_path / "42_trial.ipynb"
    notebook = made("FAST = False", "1 + 1")
    notebook.metadata["papermill"] = {"duration": 1}
    notebook.metadata["widgets"] = {}
    notebook.cells[1].metadata = {"execution": {"iopub.execute_input": "now"}, "papermill": {}, "tags": ["x"]}
    notebook.cells[1].outputs = [output("display_data", data={notebooks.WIDGET: {}, "text/plain": "w"})]
    nbformat.write(notebooks.normalized(notebook, path), path)
    kept = nbformat.read(path, as_version=4)
    assert set(kept.metadata) == {"kernelspec", "language_info", "pfmsm_lite"}
    assert kept.cells[1].metadata == {"tags": ["x"]} and not kept.cells[1].outputs
    assert not notebooks.stale(path)
    kept.cells[1].source = "1 + 2"
    nbformat.write(kept, path)
    assert notebooks.stale(path)


def test_a_folder_without_notebooks_or_a_name_that_none_has_is_said(tmp_path):
    with pytest.raises(UserError, match="no notebooks"):
        notebooks.chosen(tmp_path, ())
    (tmp_path / "00_a.ipynb").touch()
    with pytest.raises(UserError, match="begins with 07"):
        notebooks.chosen(tmp_path, ("07",))


SHOWN = """from matplotlib.figure import Figure
from pfmsm_lite.course import show
figure = Figure()
figure.alt = "A line that rises from zero to one."
figure.subplots().plot([0, 1])
show(figure, "42_line")"""


def test_a_chapter_is_tried_without_a_trace_and_refreshed_with_its_figures(tmp_path, capsys):
    """Slow, some seconds: two kernels run a chapter of two cells."""
    import nbformat

    from pfmsm_lite.course.grade import silence
    from pfmsm_lite.lab.cli import main

    folder = tmp_path / "notebooks"
    for empty in (folder, tmp_path / "pfmsm_lite"):  # what `home` looks for
        empty.mkdir()
    notebook = made("FAST = False", f"{SHOWN}\nprint(FAST)")
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / "42_trial.ipynb"
    nbformat.write(notebook, path)
    before = path.read_bytes()
    with silence():
        assert main(["notebooks", "42", "--fast", "--folder", str(folder)]) == 0
        assert sorted(tmp_path.rglob("*.*")) == [path] and path.read_bytes() == before
        assert main(["notebooks", "--folder", str(folder)]) == 0
    assert sorted(tmp_path.rglob("*.*")) == [tmp_path / "figures" / "42_line.png", path]
    assert nbformat.read(path, as_version=4).cells[1].outputs[-1].text == "False\n"
    assert not notebooks.stale(path)
    assert main(["notebooks", "--folder", str(folder)]) == 0
    said = capsys.readouterr()
    assert re.fullmatch(r"42_trial: fast, .*\n42_trial: .* KB\n42_trial: current\n", said.out), said.out
    assert said.err == ""
    # the copy for the book differs in nothing but its pictures' size in pixels
    from PIL import Image

    sharp, width = tmp_path / "sharp" / "42_trial.ipynb", []
    for _ in range(2):
        with silence():
            assert main(["notebooks", "--folder", str(folder), "--sharp", str(sharp.parent)]) == 0
    assert re.fullmatch(r"42_trial: \d+ s\n42_trial: current\n", capsys.readouterr().out)
    for kept in (path, sharp):
        image = nbformat.read(kept, as_version=4).cells[1].outputs[0]
        pixels = Image.open(io.BytesIO(base64.b64decode(image.data["image/png"]))).width
        width.append(
            (pixels / course.SHARP if kept == path else pixels / 2, image.metadata["image/png"]["width"])
        )
    assert width[0] == pytest.approx(width[1], abs=1) and notebooks.digest_in(sharp) == notebooks.digest_in(
        path
    )


def test_the_top_of_a_chapter_says_how_long_it_took_and_noise_changes_nothing():
    notebook = made("# 42\n\n**Minutes:** reading 3; with exercises 5. **Data:** none.", "1 + 1")
    for seconds, told in ((11.2, 15), (21, 15), (10, 15), (25, 25), (14, 15)):
        head = notebooks.timed(notebook, seconds).cells[0].source
        assert head.endswith(f"reading 3; with exercises 5. **To run:** about {told} s. **Data:** none."), (
            head
        )
    assert notebooks.timed(made("# no minutes"), 3).cells[0].source == "# no minutes"

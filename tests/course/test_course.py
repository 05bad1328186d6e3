"""What the notebooks lean on: it says what is wrong and what to do, and never shows a student a traceback."""

import json

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from pfmsm_lite.course import execute as notebooks
from pfmsm_lite.course import notebook as course
from pfmsm_lite.course.notebook import Exercise, begin, check, claim, explore, fault, problems, show, verdict
from pfmsm_lite.course.pipeline import pipeline
from pfmsm_lite.errors import UserError


def test_the_environment_check_names_what_is_missing_or_too_old():
    from importlib.metadata import PackageNotFoundError

    def installed(package):
        if package == "papermill":
            raise PackageNotFoundError
        return {"torch": "2.13.0+cpu", "numpy": "1.26.4"}[package]

    found = problems({"torch": "2.13", "numpy": "2.0", "papermill": "2.6"}, installed)
    assert found == ["numpy 1.26.4 is too old, 2.0 or newer is needed.", "papermill is missing."]
    assert problems() == []


def test_begin_refuses_with_the_command_that_mends_it(monkeypatch, capsys):
    monkeypatch.setattr(course, "problems", lambda: ["torch is missing."])
    with pytest.raises(UserError, match=r"torch is missing.*pip install -e"):
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
    folder = tmp_path / "results" / "long"
    folder.mkdir(parents=True)
    said = {"command": "python -m pfmsm_lite map", "date": "2026-11-25", "machine": "a machine"}
    (folder / "config.json").write_text(json.dumps(said))
    (folder / "aucs.csv").write_text("method,auc\nlocal,0.5\n")
    monkeypatch.setattr(course, "home", lambda: tmp_path)
    assert course.measured("long", "aucs.csv").to_dict("list") == {"method": ["local"], "auc": [0.5]}
    assert capsys.readouterr().out == "python -m pfmsm_lite map | 2026-11-25 | a machine\n"


@pytest.mark.parametrize(
    ("source", "leans"),
    [
        ('pd.read_csv(home() / "results" / "modules")', True),
        ('measured("modules")', True),
        ("run(data)", False),
    ],
)
def test_a_chapter_that_shows_kept_results_is_stale_when_they_change(source, leans, tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "results" / "long").mkdir(parents=True)
    path, file = tmp_path / "notebooks" / "42_trial.ipynb", tmp_path / "results" / "long" / "aucs.csv"
    file.write_text("1")
    before = notebooks.digest(made(source), path)
    file.write_text("2")
    assert (notebooks.digest(made(source), path) != before) == leans


@pytest.mark.parametrize(
    ("source", "leans"),
    [
        ("from pfmsm_lite import compare, modules", True),
        ("from pfmsm_lite.lab.map import table", True),
        ("from pfmsm_lite.lab.runs import compare", False),
    ],
)
def test_a_chapter_is_stale_when_a_module_that_it_imports_changes(source, leans, tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "PACKAGE", tmp_path)
    file = tmp_path / "modules.py"
    file.write_text("1")
    before = notebooks.digest(made(source), tmp_path / "42_trial.ipynb")
    file.write_text("2")
    assert (notebooks.digest(made(source), tmp_path / "42_trial.ipynb") != before) == leans


def picture(alt="A line that rises from nought to one.", data=True):
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
    check("ex9", 1)
    assert "no such exercise" in capsys.readouterr().out


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

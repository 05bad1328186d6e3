"""A class's verdicts as a gradebook: a line per student, and the forms that Moodle and Canvas read."""

import csv

import pandas as pd
import pytest

from pfmsm_lite.course.grade import Row
from pfmsm_lite.course.grade import save as save_lines
from pfmsm_lite.course.gradebook import FORMS, save, student_of, wide
from pfmsm_lite.lab.cli import main

ROWS = [
    Row("in/07_lena.ipynb", "ex1", "ok", "", "07"),
    Row("in/07_lena.ipynb", "ex2", "wrong", "a hint", "07"),
    Row("in/06_lena.ipynb", "ex1", "ok", "", "06"),
    Row("in/07_=cmd.ipynb", "ex1", "to do", "", "07"),
    Row("in/07_=cmd.ipynb", "ex2", "ok", "", "07"),
    Row("in/07_omar.ipynb", "", "not graded", "the file is empty"),
]


@pytest.mark.parametrize(
    ("notebook", "found"),
    [
        ("a/07_lena.ipynb", "lena"),
        ("lena.ipynb", "lena"),
        ("07_.ipynb", "07_"),
        ("07_lena_2.ipynb", "lena_2"),
    ],
)
def test_the_student_is_what_the_file_is_called(notebook, found):
    assert student_of(notebook) == found


def test_a_line_per_student_and_nobody_is_lost():
    table = wide(ROWS).set_index("student")
    assert list(table) == ["06 ex1", "07 ex1", "07 ex2", "points", "of"]
    assert table.loc["lena"].tolist() == [1, 1, 0, 2, 3]
    assert table.loc["=cmd"].tolist() == [0, 0, 1, 1, 3]
    assert table.loc["omar"].tolist() == [0, 0, 0, 0, 3]


def test_the_better_of_two_attempts_counts():
    twice = [
        Row("a/07_lena.ipynb", "ex1", "ok", "", "07"),
        Row("b/07_lena.ipynb", "ex1", "wrong", "", "07"),
    ]
    assert wide(twice)["points"].tolist() == [1]


def test_two_chapters_in_files_without_a_number_are_two_columns():
    """The chapter is what the notebook says it is, as `grade` has found."""
    rows = [Row(f"{folder}/lena.ipynb", "ex1", "ok", "", folder) for folder in ("06", "07")]
    table = wide([*rows, Row("a/01_lena.ipynb", "ex1", "ok", "", "06")])
    assert list(table) == ["student", "06 ex1", "07 ex1", "points", "of"]
    assert table["points"].tolist() == [2]


@pytest.mark.parametrize("name", ["=cmd", "+1", "-1", "@sum", "=HYPERLINK(1)"])
@pytest.mark.parametrize("form", FORMS)
def test_no_cell_of_any_form_is_a_formula(name, form, tmp_path):
    """Also in the lines of all notebooks: a file's name, and what a student's error says."""
    rows = [
        Row(f"{name}.ipynb", "ex1", "wrong", f"{name}()", "07"),
        Row(f"in/07_{name}.ipynb", "ex1", "ok", "", "07"),
    ]
    save(rows, tmp_path / "book.csv", form)
    save_lines(rows, tmp_path / "lines.csv")
    for file in ("book.csv", "lines.csv"):
        with (tmp_path / file).open(newline="", encoding="utf-8") as lines:
            cells = [cell for line in csv.reader(lines) for cell in line]
        assert f"'{name}" in "".join(cells)
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_the_forms_that_the_command_offers_are_those_of_the_table(capsys):
    with pytest.raises(SystemExit):
        main(["grade", "--help"])
    assert f"{{{','.join(FORMS)}}}" in capsys.readouterr().out


def test_moodle_gets_a_user_and_grades_and_no_cell_is_a_formula(tmp_path):
    save(ROWS, tmp_path / "m.csv", "moodle")
    found = pd.read_csv(tmp_path / "m.csv")
    assert list(found) == ["username", "06 ex1", "07 ex1", "07 ex2", "total"]
    assert "'=cmd" in set(found["username"]) and found["total"].sum() == 3


def test_canvas_gets_the_points_possible_in_its_second_line(tmp_path):
    save(ROWS, tmp_path / "c.csv", "canvas")
    found = pd.read_csv(tmp_path / "c.csv", keep_default_na=False)
    assert list(found)[:5] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    assert found["Student"][0].strip() == "Points Possible" and found.iloc[0, 5:].tolist() == [1, 1, 1]
    lena = found[found["SIS Login ID"] == "lena"]
    assert lena.iloc[0, 5:].tolist() == [1, 1, 0] and len(found) == 4

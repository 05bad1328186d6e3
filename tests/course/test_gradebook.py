"""A class's verdicts as a gradebook: a line per student, and the forms that Moodle and Canvas read."""

import pandas as pd
import pytest

from pfmsm_lite.course.grade import Row
from pfmsm_lite.course.gradebook import save, student_of, wide

ROWS = [
    Row("in/07_lena.ipynb", "ex1", "ok"),
    Row("in/07_lena.ipynb", "ex2", "wrong", "a hint"),
    Row("in/06_lena.ipynb", "ex1", "ok"),
    Row("in/07_=cmd.ipynb", "ex1", "to do"),
    Row("in/07_=cmd.ipynb", "ex2", "ok"),
    Row("in/07_omar.ipynb", "", "not graded", "the file is empty"),
]


@pytest.mark.parametrize(
    ("notebook", "found"),
    [
        ("a/07_lena.ipynb", ("07", "lena")),
        ("lena.ipynb", ("", "lena")),
        ("07_.ipynb", ("07", "07_")),
        ("07_lena_2.ipynb", ("07", "lena_2")),
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
    twice = [Row("a/07_lena.ipynb", "ex1", "ok"), Row("b/07_lena.ipynb", "ex1", "wrong")]
    assert wide(twice)["points"].tolist() == [1]


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

"""A class's verdicts as a table with a line per student, for a spreadsheet, Moodle or Canvas."""

import re
from pathlib import Path

import pandas as pd

from pfmsm_lite.lab.writing import csv_text, replace_text

OK = "ok"  # the state that earns an exercise's point


def student_of(notebook: str) -> str:
    """Of handed_in/07_lena.ipynb, or of lena.ipynb: "lena"."""
    stem = Path(notebook).stem
    return re.sub(r"^\d\d_", "", stem) or stem


def wide(rows) -> pd.DataFrame:
    """A line per student, a column per chapter and exercise: 1 for ok, 0 for all else; then the sum.

    rows  of `grade`; the chapter is the graded one, whatever the file is called. A notebook that could not be
          graded has a line without points, so that nobody is lost. A student who handed in a chapter twice
          keeps the better verdict of each exercise
    """
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        own = found.setdefault(student_of(row.notebook), {})
        if row.exercise:
            column = f"{row.chapter} {row.exercise}".strip()
            own[column] = max(own.get(column, 0), int(row.state == OK))
    columns = sorted({column for own in found.values() for column in own})
    table = pd.DataFrame.from_dict(found, orient="index", columns=columns).rename_axis("student")
    table = table.fillna(0).astype(int).sort_index()
    return table.assign(points=table.sum(axis=1), of=len(columns)).reset_index()


def for_moodle(table: pd.DataFrame) -> pd.DataFrame:
    """As Moodle's grade import reads it: `username` maps to a user, a column per exercise to a grade item."""
    return table.drop(columns=["of"]).rename(columns={"student": "username", "points": "total"})


def for_canvas(table: pd.DataFrame) -> pd.DataFrame:
    """As Canvas's gradebook import reads it: a second line with the points possible, one assignment per
    exercise. Ids are for Canvas to fill in: export its gradebook first, and match by `SIS Login ID`."""
    marks = table.drop(columns=["student", "points", "of"])
    possible = pd.DataFrame([dict.fromkeys(marks, 1)])
    first = pd.DataFrame({"Student": ["    Points Possible", *table["student"]]})
    login = {"ID": "", "SIS User ID": "", "SIS Login ID": ["", *table["student"]], "Section": ""}
    return pd.concat([first.assign(**login), pd.concat([possible, marks], ignore_index=True)], axis=1)


FORMS = {"plain": lambda table: table, "moodle": for_moodle, "canvas": for_canvas}


def save(rows, target: Path, form: str = "plain") -> None:
    """Write the gradebook of `rows` in a form of FORMS, whole or not at all."""
    replace_text(target, csv_text(FORMS[form](wide(rows))))

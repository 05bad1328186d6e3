"""One column of a table, read cell by cell: labels, numbers, moments. A bad cell is refused by its place."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from pfmsm_lite.errors import UserError

BEYOND = 1e30  # a larger number overflows float32, or its square float64


def refuse(wrong: np.ndarray, column: pd.Series, source: str | Path, remedy: str) -> None:
    """Raise UserError for the first row of `column` that is `wrong` [R] bool: place, content, remedy."""
    if not np.any(wrong):
        return
    position = int(np.argmax(wrong))
    value = column.iloc[position]
    shown = repr(value.item() if isinstance(value, np.generic) else value)
    row = f"row {position + 1} (line {position + 2} of a file with a header)"
    raise UserError(f"{source}: {row}, column {column.name!r}: {shown} {remedy}")


def check_header(columns: Iterable[str], source: str | Path) -> None:
    """Refuse a table in which two columns have one name."""
    columns = list(columns)
    twice = dict.fromkeys(column for column in columns if columns.count(column) > 1)
    if twice:
        raise UserError(f"{source} has the column {', '.join(map(repr, twice))} twice. Rename or drop one.")


def read_labels(column: pd.Series, source: str | Path) -> np.ndarray:
    """[R] float32 of 0, 1 and NaN (missing); anything else is refused with its row."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64").to_numpy()
    known = column.notna().to_numpy()
    refuse(known & ~np.isin(numbers, [0, 1]), column, source, "is not a label: it must be 0, 1 or empty.")
    return numbers.astype(np.float32)


def read_numbers(column: pd.Series, source: str | Path) -> np.ndarray:
    """[R] float64; text, NaN, inf and numbers that overflow are refused with their row."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64").to_numpy()
    remedy = (
        "is not a usable number. Fill it in, declare the column categorical (--categorical), or leave it "
        f"out (--ignore {column.name})."
    )
    refuse(~(np.abs(numbers) < BEYOND), column, source, remedy)
    return numbers


def read_moments(column: pd.Series, source: str | Path) -> pd.Series:
    """[R] the time column as numbers or as UTC timestamps; anything else is refused with its row."""
    if pd.api.types.is_numeric_dtype(column):
        moments = column
    else:
        text = column.astype("string") if column.dtype == object else column
        dates = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
        numbers = pd.to_numeric(text, errors="coerce")
        # one bad cell makes text of a column of numbers: blame that cell, not the numbers
        moments = numbers if numbers.notna().sum() > dates.notna().sum() else dates
    remedy = "is not a time. Write a number or a date as 2022-05-04 (13:00:00), or split at random (no time)."
    refuse(moments.isna().to_numpy(), column, source, remedy)
    return moments

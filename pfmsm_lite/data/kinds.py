"""Which columns of a table are categorical and which are numerical."""

from collections.abc import Container, Hashable

import numpy as np
import pandas as pd

FEW = 50  # a column of whole numbers with at most so many different values is taken for categorical


def type_columns(df: pd.DataFrame) -> dict[Hashable, str]:
    """Column → "categorical" or "numerical", from content.

    Text, booleans, pandas categories, and whole numbers with at most 50 different values are categorical; so
    are whole numbers with gaps (missing values). All other numbers are numerical.
    """
    return {name: _kind(column) for name, column in df.items()}


def _kind(column):
    number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    present = column.dropna()
    whole = number and bool((present % 1 == 0).all())
    few = whole and (present.nunique() <= FEW or len(present) < len(column))
    return "categorical" if not number or few else "numerical"


def hint_at_ids(guessed: Container[str], numbers: dict[str, np.ndarray]) -> list[str]:
    """A warning if a column that nobody named was typed numerical though all its values are whole.

    guessed  columns that `type_columns` typed;  numbers  numerical column → [R] float64
    """
    whole = [column for column, values in numbers.items() if column in guessed and not (values % 1).any()]
    if not whole:
        return []
    return [
        f"read as quantities, since they hold many whole numbers: {', '.join(whole)}. An id among them "
        f"must be declared: --categorical {','.join(whole)}"
    ]

"""Columns → what a model reads: ids of embedding entries from categories, z-scores from numbers."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.util import hash_array

from pfmsm_lite.errors import UserError, choose

HASH_KEY = "pfmsm_lite table"  # 16 characters: the same value is in the same bucket on every machine
MISSING = "(missing)"
STATISTICS = ("client", "federation", "none")  # whose training rows standardize a numerical column

Vocabulary = int | str | Iterable  # number of hash buckets · "union" · a list of declared values


class Encoded(NamedTuple):
    """One categorical column of R rows: ids [R] int64, 0 = unknown; entries of its table; how, in words."""

    ids: np.ndarray
    size: int
    how: str


def vocabularies(
    fields: Iterable[str], categories: str | Mapping[str, Iterable], buckets: int
) -> dict[str, Vocabulary]:
    """Field → how it is encoded, see `encode_category`; categories and buckets as in `from_dataframe`."""
    how: dict[str, Vocabulary] = {field: buckets for field in fields}
    if not isinstance(categories, Mapping):
        union = choose("categories", categories, ("hash", "union")) == "union"
        return dict.fromkeys(how, "union") if union else how
    for field, values in categories.items():
        if isinstance(values, (str, int)):
            raise UserError(
                f"categories: {field!r} has {values!r}, but it takes a list of values. A field that is "
                "not named is hashed."
            )
    return how | {choose("field in categories", str(field), how): v for field, v in categories.items()}


def encode_category(column: pd.Series, how: Vocabulary, train: np.ndarray) -> Encoded:
    """One categorical column as ids of embedding entries.

    how    an int: hashed into that many buckets, nothing is fitted · a list: these values are declared ·
           "union": the values of all clients' training rows, which a federation would have to exchange.
           A pandas Categorical declares its own values
    train  [R] bool: which rows are training rows
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        how = list(column.dtype.categories)
    codes, names = _codes(column)
    values = f"categorical, {len(names) - 1} values"
    if isinstance(how, int):
        ids = hash_array(names, hash_key=HASH_KEY) % np.uint64(how) + np.uint64(1)
        return Encoded(ids.astype(np.int64)[codes], how + 1, f"{values}, hashed into {how} buckets")
    fitted = isinstance(how, str)  # "union"
    known = sorted(set(names[np.unique(codes[train])])) if fitted else _declared(how)
    ids = pd.Index(known).get_indexer(names) + 1
    how = "one vocabulary fitted on all scenarios" if fitted else "declared"
    return Encoded(ids.astype(np.int64)[codes], len(known) + 1, f"{values}, {how}")


def _codes(column):
    """One column → (codes [R], names [K + 1]): its K different values as text; the last, −1, is missing.

    3 and 3.0 give the same text, so that a gap in a column of whole numbers does not rename its values.
    """
    codes, values = pd.factorize(column)
    texts = (str(int(v)) if isinstance(v, float) and v.is_integer() else str(v) for v in values.tolist())
    return codes, np.array([*texts, MISSING], object)


def _declared(values):
    """The texts of a list of values, each once; "(missing)" is among them if a missing value is."""
    codes, names = _codes(pd.Series(list(values)))
    return list(dict.fromkeys(names[codes]))


def standardize(values: np.ndarray, train: np.ndarray, clients: np.ndarray, statistics: str) -> np.ndarray:
    """Numbers [R, D] as z-scores [R, D] float32, fitted on training rows only; constant columns become 0.

    train       [R] bool: which rows are training rows;  clients  [R] number of a row's scenario
    statistics  fitted on the training rows of each `client` · of the whole `federation` · `none`: as they are
    """
    values = np.asarray(values, np.float64)
    if statistics == "none" or not values.shape[1]:
        return values.astype(np.float32)
    groups = clients if statistics == "client" else np.zeros(len(values), int)
    out = np.empty(values.shape, np.float32)
    for group in np.unique(groups):
        here = groups == group
        known = values[here & train]
        varies = np.ptp(known, axis=0) > 0  # not std > 0: rounding gives a constant 0.1 a deviation of 1e-17
        scaled = (values[here] - known.mean(0)) / np.where(varies, known.std(0), 1)
        out[here] = np.where(varies, scaled, 0)
    return out

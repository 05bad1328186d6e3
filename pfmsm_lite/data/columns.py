"""One column of a table, whatever it is kept as: different values and their codes, numbers, moments or lists.

A bad cell is refused by its place.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pfmsm_lite.data.numerals import Parsed, parse
from pfmsm_lite.errors import UserError

BEYOND = 1e30  # a larger number overflows float32, or its square float64
EXACT = 2**53  # whole numbers above it do not all exist as float64
WORDS = {"true": 1, "false": 0}
FLOAT_WHOLE = r"^-?(0|[1-9]\d*)\.0$"  # a whole number that was written as a float
FLOAT_LARGE = r"^-?\d(\.\d+)?[eE]\+\d{2,}$"  # a large one, as spreadsheets and pandas write it


def refuse(wrong: np.ndarray, column: pd.Series, source: str | Path, remedy: str) -> None:
    """Raise UserError for the first row of `column` that is `wrong` [R] bool: place, content, remedy."""
    if not np.any(wrong):
        return
    raise UserError(f"{source}: {place_of(column, int(np.argmax(wrong)))} {remedy}")


def place_of(column: pd.Series, row: int, before: int = 1) -> str:
    """A row of a column in words: its number, its line, the column, its content.

    before  lines of the file before the first row; 0: the rows of several files are counted through
    """
    value = column.iloc[row]
    shown = repr(value.item() if isinstance(value, np.generic) else value)
    line = f"line {row + 1 + before} of a file with a header" if before else "counted through the files"
    return f"row {row + 1} ({line}), column {column.name!r}: {' '.join(shown.split())}"


def read_labels(column: pd.Series, source: str | Path) -> np.ndarray:
    """[R] float32 of 0, 1 and NaN (missing); anything else is refused with its row."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64").to_numpy()
    known = column.notna().to_numpy()
    refuse(known & ~np.isin(numbers, [0, 1]), column, source, "is not a label: it must be 0, 1 or empty.")
    return numbers.astype(np.float32)


class Column:
    """A column of R rows. What a model may make of it is computed when it is asked for.

    kind      "text": different values and their codes · "number" · "moment" · "list" · "other"
    codes     [R] int32: which of `texts` [K] a row has, −1 for a gap; of a list [E], its entries in a row
    numbers   [R] int64, uint64 or float64, with `gaps` [R] bool; of a moment seconds since 1970, in UTC
    starts    [R + 1] of a list: where a row's entries begin
    declared  whether somebody fixed its values beforehand: a pandas Categorical
    """

    def __init__(self, series: pd.Series, source: str | Path = "the table", decimal: str | None = None,
                 before: int = 1):  # fmt: skip
        self.name, self.source, self.decimal, self.before = str(series.name), source, decimal, before
        self.series, self.rows = series, len(series)
        self.kind, self.codes, self.texts = "other", np.zeros(0, np.int32), np.zeros(0, object)
        self.numbers, self.starts = np.zeros(0), np.zeros(1, np.int64)
        self.gaps = np.broadcast_to(np.False_, self.rows)
        self.declared = False
        try:
            _fill(self, _arrow(series))
        except pa.ArrowInvalid:  # such as bytes that are not text
            self.kind = "other"

    def refuse(self, wrong: np.ndarray, remedy: str) -> None:
        """Raise UserError for the first row that is `wrong` [R] bool: place, content, remedy."""
        if np.any(wrong):
            place = self.place(int(np.argmax(wrong)))
            raise UserError(f"{self.source}: {place} {remedy}")

    def place(self, row: int) -> str:
        """A row of it in words, see `place_of`."""
        return place_of(self.series.rename(self.name), row, self.before)

    @cached_property
    def counts(self) -> np.ndarray:
        """[K]: how many rows, or entries of lists, have each of the texts."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))

    @cached_property
    def parsed(self) -> Parsed:
        """Its texts read as numbers."""
        return parse(self.texts, self.decimal)

    @cached_property
    def dates(self) -> np.ndarray:
        """[K]: its texts read as dates, see `dates_of`."""
        return dates_of(self.texts)

    def as_text(self) -> tuple[np.ndarray, np.ndarray]:
        """(codes [R] with −1 for a gap, texts [K]); whole numbers are written 3, never 3.0."""
        if self.kind == "text" and not self.declared:
            self._refuse_float(self.rounded)
        if self.kind in ("text", "list"):
            return self.codes, self.texts
        if self.kind == "other":
            raise UserError(_unreadable(self))
        if self.kind == "moment":
            codes, found = pd.factorize(self.series)
            days = [str(value).removesuffix(" 00:00:00") for value in found]  # as in a text file
            return codes.astype(np.int32), np.array(days, object)
        if self.gaps.any():
            codes = np.full(self.rows, -1, np.int32)
            codes[~self.gaps], found = pd.factorize(self.numbers[~self.gaps])
        else:
            codes, found = pd.factorize(self.numbers)
            codes = codes.astype(np.int32)
        if found.dtype.kind == "f":
            self.refuse_inexact(found, codes)
        return codes, np.array([_text(value) for value in found.tolist()], object)

    def refuse_inexact(self, found: np.ndarray, codes: np.ndarray) -> None:
        """Refuse floats above 2^53 as names of something: their last digits are lost already."""
        if (large := (np.abs(found) >= EXACT) & np.isfinite(found)).any():
            self._refuse_float(np.isin(codes, np.flatnonzero(large)))

    @cached_property
    def rounded(self) -> np.ndarray:
        """[R] bool: texts such as 1.23457E+18 that a program made out of a whole number above 2^53."""
        looks = pc.match_substring_regex(pa.array(self.texts, pa.string()), f"{FLOAT_LARGE}|{FLOAT_WHOLE}")
        wrong = [n for n in np.flatnonzero(looks) if abs(float(self.texts[n])) >= EXACT]
        return np.isin(self.codes, wrong) if wrong else np.broadcast_to(np.False_, self.rows)

    def _refuse_float(self, wrong):
        self.refuse(
            wrong,
            "is kept as a float, which cannot hold whole numbers above 2^53: digits are lost already. "
            "Write the column as integers or as text where it comes from; if it is an amount, say "
            f"--numerical {self.name}.",
        )

    def as_numbers(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """The values of some rows as float64 [R], NaN for what is a gap or no number."""
        if self.kind == "text":
            return np.append(self.parsed.values, np.nan)[self.codes[rows]]
        if self.kind not in ("number", "moment"):
            raise UserError(_unreadable(self))
        values = self.numbers[rows].astype(np.float64)
        values[self.gaps[rows]] = np.nan
        return values

    def compared(self) -> np.ndarray:
        """[R] numbers that are equal where two rows are; of lists with all but certainty."""
        if self.kind == "list":
            rows = np.diff(self.starts)
            place = np.arange(len(self.codes)) - np.repeat(self.starts[:-1], rows)
            mixed = (self.codes.astype(np.uint64) + np.uint64(2)) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(31))) * (2 * place + 3).astype(np.uint64)
            return np.diff(np.append(np.uint64(0), np.cumsum(mixed))[self.starts])
        if self.kind != "text" and self.gaps.any():  # a gap is not a zero
            return np.where(self.gaps, -1, pd.factorize(self.numbers)[0])
        return self.codes if self.kind == "text" else self.numbers

    def is_gap(self) -> np.ndarray:
        """[R] bool: where a number is missing; among the texts of numbers a word such as NA is a gap, too."""
        return np.append(self.parsed.gap, True)[self.codes] if self.kind == "text" else self.gaps

    def is_empty(self) -> bool:
        """Whether there is nothing in any cell."""
        if self.kind in ("text", "list"):
            return not (self.codes >= 0).any()
        return self.kind in ("number", "moment") and bool(self.gaps.all())

    def is_infinite(self) -> bool:
        """Whether some cell of numbers is infinite or too large, whatever it is kept as."""
        if self.kind == "text":
            return any(is_number(text) for text in self.texts[self.parsed.bad & (self.counts > 0)])
        return bool(self.is_bad().any())

    def is_bad(self, date: bool = False) -> np.ndarray:
        """[R] bool: where a cell is not empty, but holds no usable number (or date)."""
        if date and self.kind == "text":
            return np.append(np.isnan(self.dates) & ~self.parsed.gap, False)[self.codes]
        if self.kind == "text":
            values, bad = self.parsed.values, self.parsed.bad
            return np.append(bad | (np.abs(values) >= BEYOND), False)[self.codes]
        if self.numbers.dtype.kind in "iu":
            return np.broadcast_to(np.False_, self.rows)
        return ~self.gaps & ~(np.abs(self.numbers) < BEYOND)

    def without(self, texts: Iterable[str]) -> None:
        """Cells with one of these texts are gaps from now on; in a column of numbers, those of this value."""
        texts = list(texts)
        if self.kind == "text" and len(gone := np.flatnonzero(_among(self.texts, texts))):
            self.codes = np.where(np.isin(self.codes, gone), np.int32(-1), self.codes)
            self.__dict__.pop("counts", None)
        if self.kind == "number" and (values := list(filter(is_number, texts))):
            self.gaps = self.gaps | np.isin(self.numbers, [float(value) for value in values])


def decimal_sign(column: Column) -> str:
    """What stands before the decimals in a column of numbers as texts, "." or ",": for rows that come later,
    of which a few may not tell."""
    style = column.parsed.style
    commas = style == "thousands with blanks" and any("," in text for text in column.texts)
    return "," if commas or "decimal comma" in style else "."


def _unreadable(column):
    if column.kind == "list":
        return (
            f"{column.source}: column {column.name!r} holds lists, such as {_example(column)}. Read it as "
            f"a bag of its entries with --multi {column.name}, or leave it out with --ignore {column.name}."
        )
    return (
        f"{column.source}: column {column.name!r} holds {column.series.dtype} values, such as "
        f"{_example(column)}, which are neither numbers nor texts. Leave it out with --ignore {column.name}."
    )


def _example(column):
    there = column.series[column.series.notna()]
    return repr(there.iloc[0])[:60] if len(there) else "none"


# ---------------------------------------------------------------- from pandas, by way of Arrow


def _arrow(series):
    """The column as one Arrow array; lists of any kind as lists of text; None for what Arrow cannot hold."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        values = pd.Index(series.cat.categories)
        texts = pa.array([_text(value) for value in values], pa.string())
        codes = pa.array(series.cat.codes.to_numpy(), mask=(series.cat.codes < 0).to_numpy())
        return pa.DictionaryArray.from_arrays(codes.cast(pa.int32()), texts)
    if isinstance(series.dtype, pd.PeriodDtype | pd.IntervalDtype):
        series = series.astype(str).where(series.notna())
    try:
        found = pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError):
        found = _by_hand(series)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _by_hand(series):
    """Python objects of several kinds: sets and lists as lists of text, dicts not at all, others as text."""
    values = series.tolist()
    gaps = series.isna().to_numpy()
    there = [value for value, gap in zip(values, gaps, strict=True) if not gap]
    several = set | frozenset | list | tuple | np.ndarray
    entries = [entry for value in there if isinstance(value, several) for entry in value]
    if any(isinstance(value, dict) for value in there) or any(isinstance(e, dict | several) for e in entries):
        return None
    if any(isinstance(value, several) for value in there):
        return pa.array(
            [None if g else _entries(v) for v, g in zip(values, gaps, strict=True)], pa.list_(pa.string())
        )
    return pa.array([None if g else _text(v) for v, g in zip(values, gaps, strict=True)], pa.string())


def _entries(value):
    if isinstance(value, set | frozenset):
        return sorted(map(_text, value))
    return list(map(_text, value)) if isinstance(value, list | tuple | np.ndarray) else [_text(value)]


def _text(value):
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _among(texts, wanted):
    """[K] bool: which texts are among those wanted, as they stand or as whole numbers."""
    return np.isin(texts, wanted) | (np.isin(plain(texts), wanted) if len(wanted) else False)


def is_number(text: str) -> bool:
    """Whether a text is a number, an infinite one among them."""
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def plain(texts: np.ndarray) -> np.ndarray:
    """Texts [K] with whole numbers written 3, never 3.0: the same in a text file as in Parquet."""
    found = pa.array(texts, pa.string())
    if not pc.any(pc.ends_with(found, ".0")).as_py():
        return texts
    looks = pc.match_substring_regex(found, FLOAT_WHOLE).to_numpy(zero_copy_only=False)
    return np.array(
        [str(int(float(t))) if whole else t for t, whole in zip(texts, looks, strict=True)], object
    )


def _fill(column, array):
    """Put an Arrow array into the column, by its type."""
    kinds = pa.types
    if array is None or kinds.is_struct(array.type) or kinds.is_map(array.type) or kinds.is_union(array.type):
        return
    if kinds.is_null(array.type) or kinds.is_boolean(array.type) or kinds.is_decimal(array.type):
        array = pc.utf8_capitalize(array.cast(pa.string()))  # True and False, as in a text file
    if kinds.is_binary(array.type) or kinds.is_large_binary(array.type):
        array = array.cast(pa.string())
    if kinds.is_dictionary(array.type):
        column.declared = True
        _fill_text(column, array)
    elif kinds.is_string(array.type) or kinds.is_large_string(array.type) or kinds.is_string_view(array.type):
        _fill_text(column, array.cast(pa.large_string()).dictionary_encode())
    elif kinds.is_list(array.type) or kinds.is_large_list(array.type) or kinds.is_fixed_size_list(array.type):
        _fill_list(column, array)
    elif kinds.is_integer(array.type) or kinds.is_floating(array.type) or kinds.is_duration(array.type):
        _fill_numbers(column, array)
    elif kinds.is_temporal(array.type):
        column.kind = "moment"
        _moments(column, array)


def _fill_text(column, array):
    """Codes and texts of a dictionary array; cells of blanks alone are gaps."""
    column.kind = "text"
    texts = array.dictionary
    if not kinds_text(texts.type):
        texts = pa.array([_text(value) for value in texts.to_pylist()], pa.string())
    column.texts = np.array(texts.to_pylist(), object)
    codes = array.indices.fill_null(-1) if array.indices.null_count else array.indices
    column.codes = codes.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    if not column.declared:
        column.without([text for text in column.texts if not text.strip()])


def kinds_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _fill_list(column, array):
    """Entries of all rows one after the other, and where each row's begin."""
    column.kind = "list"
    lengths = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
    column.starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    entries = pc.list_flatten(array)
    if pa.types.is_nested(entries.type):
        column.kind = "other"
        return
    entries = entries.cast(pa.large_string()).dictionary_encode()
    column.texts = np.array(entries.dictionary.to_pylist(), object)
    column.codes = entries.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)


def _fill_numbers(column, array):
    column.kind = "number"
    if pa.types.is_integer(array.type) and array.type.bit_width < 32:
        array = array.cast(pa.int32())  # differences of small integers would overflow
    if pa.types.is_duration(array.type):
        array = pc.divide(array.cast(pa.duration("us")).cast(pa.int64()).cast(pa.float64()), 1e6)
    if pa.types.is_floating(array.type):
        array = array.cast(pa.float64())
        nan = pc.is_nan(array)
        array = pc.if_else(nan, pa.scalar(None, pa.float64()), array) if pc.any(nan).as_py() else array
    if array.null_count:
        column.gaps = array.is_null().to_numpy(zero_copy_only=False).astype(bool)
        array = array.fill_null(pa.scalar(0, array.type))
    column.numbers = array.to_numpy(zero_copy_only=False)


def _moments(column, array):
    """Dates and times as seconds since 1970; a time of day as seconds since midnight."""
    kinds = pa.types
    if kinds.is_time(array.type):
        array = array.cast(pa.time64("us")).cast(pa.int64())
    else:
        array = array.cast(pa.timestamp("us", getattr(array.type, "tz", None)), safe=False).cast(pa.int64())
    column.gaps = array.is_null().to_numpy(zero_copy_only=False).astype(bool)
    column.numbers = array.fill_null(0).to_numpy(zero_copy_only=False) / 1e6


def as_moments(column: Column) -> tuple[np.ndarray, np.ndarray]:
    """([R] float64 seconds since 1970 or numbers as they stand, [R] bool: whether it is a date).

    raises  UserError for the first cell that is not a time
    """
    remedy = "is not a time. Write a number or a date as 2022-05-04 (13:00:00), or split at random (no time)."
    if column.kind != "text":
        values = column.as_numbers()
        column.refuse(np.isnan(values), remedy)
        return values, column.kind == "moment"
    dates, numbers = column.dates, column.parsed.values
    weigh = column.counts
    # one bad cell makes text of a column of numbers: blame that cell, not the numbers
    is_date = (np.isfinite(dates) * weigh).sum() > (np.isfinite(numbers) * weigh).sum()
    values = np.append(dates if is_date else numbers, np.nan)[column.codes]
    column.refuse(~np.isfinite(values), remedy)
    return values, bool(is_date)


def dates_of(texts: Sequence[str]) -> np.ndarray:
    """[K] float64: ISO dates, or 2024/5/31, as seconds since 1970 in UTC, NaN for other texts."""
    found = pc.utf8_trim_whitespace(pa.array(texts, pa.string()))
    found = pc.replace_substring_regex(found, r"^(\d{4})[./](\d{1,2})[./](\d{1,2})\b", r"\1-\2-\3")
    looks = pc.match_substring_regex(found, r"^(\d{4}-\d{1,2}-\d{1,2}|\d{4}-\d{2}$|\d{8}T)")
    seconds, rows = np.full(len(found), np.nan), np.flatnonzero(looks.fill_null(False))
    if len(rows):
        dates = pd.to_datetime(
            found.take(pa.array(rows)).to_pandas(), format="ISO8601", utc=True, errors="coerce"
        )
        whole = dates.dt.as_unit("us").astype("int64").to_numpy() / 1e6
        seconds[rows] = np.where(dates.isna(), np.nan, whole)
    return seconds

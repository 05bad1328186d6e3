"""A file on disk → a pandas DataFrame of its cells as they are written, and how it was read, in sentences.

The cells of a text file stay text: what they mean is decided column by column, see `columns` and `kinds`.
"""

import csv
import gzip
import itertools
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from pfmsm_lite.data.columns import is_number
from pfmsm_lite.errors import UserError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "|", "::": "::"}
HEAD = 200  # lines that are looked at to find out how the file is written
CELL, TIMES = 28, 6  # see `check_room`
BLOCK = 2**24  # bytes that are read at a time
TORN = (UnicodeError, EOFError, OSError, ValueError, zlib.error)  # pyarrow's and pandas' own are among them


class Table(NamedTuple):
    """What was read: a DataFrame, sentences on how, and the number of lines before the file's first row."""

    frame: pd.DataFrame
    said: tuple[str, ...] = ()
    before: int = 1


def check_header(columns: Sequence[str], source: str | Path) -> None:
    """Refuse a table in which two columns have one name."""
    columns = list(columns)
    twice = dict.fromkeys(column for column in columns if columns.count(column) > 1)
    if twice:
        raise UserError(f"{source} has the column {', '.join(map(repr, twice))} twice. Rename or drop one.")


def read_text(path: str | Path, sep: str | None = None, encoding: str | None = None) -> Table:
    """A CSV, TSV or other text file, plain or .gz: every cell as text.

    sep       what stands between two cells; None: found out from the first lines
    encoding  such as latin-1 or cp949; None: UTF-8, or what the file's first bytes declare
    raises    UserError that names the file, and the line where a row is too long or too short
    """
    lines, encoding, said = _first_lines(path, encoding)
    skipped, declared, more = _preamble(lines, path)
    said += more
    if len(lines) <= skipped:
        raise UserError(f"{path} has no header: it is empty after line {skipped}.")
    lines = lines[skipped:]
    found = sep or declared or _separator(lines)
    if sep is None and found != ("\t" if ".tsv" in Path(path).name.lower() else ","):
        said.append(f"the cells are separated by {SEPARATORS.get(found, found)} (--sep)")
    names, used = _header(lines, found)
    skipped += used
    stripped = [name.strip() for name in names]
    if stripped != names:
        changed = [repr(name) for name in names if name != name.strip()]
        said.append(f"blanks around the names of columns are dropped: {', '.join(changed)}")
    unnamed = [n for n, name in enumerate(stripped) if not name]
    if unnamed:
        said.append(f"columns without a name are called {', '.join(f'Unnamed: {n}' for n in unnamed)}")
    names = [name or f"Unnamed: {n}" for n, name in enumerate(stripped)]
    check_header(names, path)
    if names and all(is_number(name) for name in names):
        raise UserError(
            f"{path}: its first line holds numbers. Put a line with the columns' names before it."
        )
    frame = _cells(path, names, found, encoding, skipped)
    return Table(frame, tuple(said), skipped)


def _open(path, encoding=None):
    """A file, plain or compressed: its text, or without an encoding its bytes."""
    opened = gzip.open if Path(path).name.lower().endswith(".gz") else open
    return opened(path, "rt", encoding=encoding, newline="") if encoding else opened(path, "rb")


def _first_lines(path, encoding):
    """(the first lines, the encoding, what is said of it)."""
    said = []
    try:
        if encoding is None:
            with _open(path) as file:
                mark = file.read(4)
            wide = mark[:2] in (b"\xff\xfe", b"\xfe\xff")
            encoding = "utf-16" if wide else "utf-8-sig" if mark[:3] == b"\xef\xbb\xbf" else "utf-8"
            said = [f"the file is written in {encoding.upper()} (--encoding)"] if wide else []
        with _open(path, encoding) as file:
            lines = [line.rstrip("\r\n") for line in itertools.islice(file, HEAD)]
    except LookupError as error:
        raise UserError(
            f"--encoding {encoding} is not known. Try utf-8, latin-1, cp1252 or cp949."
        ) from error
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except UnicodeError as error:
        raise UserError(_not_in(path, encoding)) from error
    except TORN as error:
        raise UserError(f"{path} cannot be read as a table: {error}. Save it as UTF-8 CSV.") from error
    if any("\0" in line for line in lines):
        raise UserError(
            f"{path} has NUL bytes, as text in UTF-16 does: try --encoding utf-16-le, utf-16-be or utf-32."
        )
    if not any(line.strip() for line in lines):
        raise UserError(f"{path} is empty.")
    return lines, encoding, said


def _not_in(path, encoding):
    return (
        f"{path} cannot be read as {encoding.upper().removesuffix('-SIG')}. Save it as UTF-8, or name how it "
        "is written: --encoding latin-1, cp1252, cp949 or the like."
    )


def _preamble(lines, path):
    """(lines before the header, the separator that one of them declares or None, sentences)."""
    skipped, declared, said = 0, None, []
    while skipped < len(lines) - 1:
        line = lines[skipped]
        following = next((text for text in lines[skipped + 1 :] if not text.startswith("#")), "")
        if line.strip('"').lower().startswith("sep=") and len(line.strip('"')) > 4:
            declared = line.strip('"')[4:]
            said.append(f"line {skipped + 1} is {line!r}, for spreadsheets: skipped, and followed")
        elif line.startswith("#") and _width(line) != _width(following):
            said.append(f"line {skipped + 1} is a comment and skipped: {line[:40]!r}")
        elif line.strip():
            break
        skipped += 1
    return skipped, declared, said


def _width(line):
    return max(len(_cut(line, sep)) for sep in SEPARATORS)


def _separator(lines):
    """The separator that cuts most lines into as many cells as the header, and the header into most."""

    def fit(sep):
        header = len(_cut(lines[0], sep))
        rows = [line for line in lines[1:] if line.strip()]
        alike = sum(len(_cut(line, sep)) == header for line in rows) / max(len(rows), 1)
        return header > 1 and (round(alike, 1), header)

    return max(SEPARATORS, key=lambda sep: fit(sep) or (0, 0))


def _header(lines, sep):
    """(names of the columns, lines that they take: a name in quotes may go over several)."""
    if len(sep) > 1:
        return lines[0].split(sep), 1
    rows = csv.reader((line + "\n" for line in lines), delimiter=sep)
    return next(rows), rows.line_num


def _cut(line, sep):
    return line.split(sep) if len(sep) > 1 else next(csv.reader([line], delimiter=sep), [""])


def _cells(path, names, sep, encoding, skipped):
    """DataFrame of text, read by pyarrow; separators of several characters are left to pandas."""
    try:
        if len(sep) > 1 or not sep.isascii():
            return _by_line(path, names, sep, encoding, skipped)
        table = pa.csv.read_csv(
            path,
            pa.csv.ReadOptions(
                column_names=names, skip_rows=skipped, block_size=BLOCK,
                encoding="utf-8" if encoding == "utf-8-sig" else encoding,
            ),
            pa.csv.ParseOptions(delimiter=sep, newlines_in_values=True),
            pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )  # fmt: skip
    except pa.ArrowInvalid as error:
        text = str(error)
        if "columns" in text:
            raise UserError(_ragged(path, len(names), sep, encoding, skipped)) from error
        if "Empty CSV" in text or "Could not skip" in text:  # a header and no row
            return pd.DataFrame({name: pd.Series([], dtype=str) for name in names})
        if "UTF8" in text:
            raise UserError(_not_in(path, encoding)) from error
        raise UserError(f"{path} cannot be read as a table: {text}.") from error
    except UnicodeError as error:
        raise UserError(_not_in(path, encoding)) from error
    except TORN as error:
        raise UserError(f"{path} cannot be read as a table: {str(error).strip()}.") from error
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def _by_line(path, names, sep, encoding, skipped):
    """DataFrame of text whose cells are separated by several characters; there are no quotes then."""
    with _open(path, encoding) as file:
        lines = file.read().splitlines()[skipped:]
    rows = [(n, line.split(sep)) for n, line in enumerate(lines) if line.strip()]
    for number, row in rows:
        if len(row) != len(names):
            line = skipped + number + 1
            raise UserError(_misfit(path, len(row), len(names), sep, line, number == 0))
    return pd.DataFrame([row for _, row in rows], columns=names, dtype="str")


def _misfit(path, cells, width, sep, line, first):
    if first and cells > width:
        return f"{path}: the rows have more values than the header has names. Fix the header."
    quotes = f", or put cells that hold {sep!r} in quotes" if len(sep) == 1 else ""
    return (
        f"{path} cannot be read as a table: line {line} has {cells} cells, and the header has {width} names. "
        f"Fix that line{quotes}."
    )


def _ragged(path, width, sep, encoding, skipped):
    """What to say of a file whose rows have another number of cells than the header."""
    with _open(path, encoding) as file:
        for _ in range(skipped):
            next(file)
        rows = csv.reader(file, delimiter=sep)
        for number, row in enumerate(rows):
            if row and len(row) != width:
                return _misfit(path, len(row), width, sep, skipped + rows.line_num, number == 0)
    return f"{path} cannot be read as a table: its rows are of different lengths."


def read_parquet(path: str | Path) -> Table:
    """A Parquet file, every column in the type that it was written in, a named index among them."""
    try:
        table = pa.parquet.read_table(path)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except (OSError, ValueError) as error:  # pyarrow's errors are of these kinds
        raise UserError(f"{path} cannot be read as Parquet: {str(error).strip()}.") from error
    check_header(table.column_names, path)
    unnamed = [name for name in table.column_names if name.startswith("__index_level_")]
    return Table(table.drop_columns(unnamed).to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True))


TEXT = ("csv", "tsv", "txt", "dat")
FORMATS: dict[str, Callable[..., Table]] = {  # how a file's name ends → its reader
    **{f".{ending}{packed}": read_text for ending in TEXT for packed in ("", ".gz")},
    ".parquet": read_parquet,
    ".pq": read_parquet,
}


def check_room(path: Path) -> None:
    """Refuse a file whose table will not fit into this machine's memory, by an estimate.

    Measured on 5,000,000 rows × 20 columns: CELL bytes per cell of Parquet, TIMES the size of a text file.
    """
    try:
        if path.suffix in (".parquet", ".pq"):
            head = pa.parquet.read_metadata(path)
            need = head.num_rows * head.num_columns * CELL
        else:
            need = path.stat().st_size * TIMES * (4 if path.suffix == ".gz" else 1)
        free = 1024 * int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[1])  # type: ignore
    except (OSError, ValueError, TypeError):  # no such file: the reader says so; another system: it is tried
        return
    if need > free:
        raise UserError(
            f"{path} would take about {need / 2**30:,.1f} GiB of memory, and {free / 2**30:,.1f} GiB are "
            "free. Leave columns or rows out of it, or save it as Parquet with small types."
        )


def read_file(path: str | Path, sep: str | None = None, encoding: str | None = None) -> Table:
    """The table in a file, read as the ending of its name says; raises UserError for an unknown ending."""
    name = Path(path).name.lower()
    ending = next((ending for ending in FORMATS if name.endswith(ending)), None)
    if ending is None:
        raise UserError(f"{path}: what format is it? Its name must end in one of: {', '.join(FORMATS)}.")
    reader = FORMATS[ending]
    check_room(Path(path))
    if reader is read_text:
        return reader(path, "\t" if sep in ("\\t", "tab") else sep, encoding)
    if sep or encoding:
        raise UserError(f"{path} is Parquet: --sep and --encoding say nothing about it. Leave them out.")
    return reader(path)

"""A published text file → blocks of rows in declared types, so many bytes at a time whatever its size."""

import gzip
import itertools
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pfmsm_lite.data.columns import BEYOND
from pfmsm_lite.data.files import SEPARATORS
from pfmsm_lite.errors import UserError
from pfmsm_lite.scenario import shortened

BLOCK = 2**25  # bytes of text that are held at a time
GAPS = ("", "\\N", "NULL", "nan", "NaN")
TORN = (EOFError, gzip.BadGzipFile, zlib.error)
WHOLE, NUMBER = re.compile(r"[+-]?\d+(\.0*)?$"), re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")


def _is_id(cell):
    return bool(WHOLE.match(cell)) and -(2**31) < float(cell) < 2**31


def _is_number(cell):
    return bool(NUMBER.match(cell)) and abs(float(cell)) < BEYOND


def _is_label(cell):
    return bool(NUMBER.match(cell)) and float(cell) in (0, 1)


# what a column may be → (type in which it is kept, whether a cell is one, what to say of one that is not)
TYPES = {
    "id": (pa.int32(), _is_id, "is not an id: it must be a whole number of 32 bits or a gap"),
    "number": (pa.float32(), _is_number, "is not a number that can be worked with"),
    "label": (pa.float32(), _is_label, "is not a label: it must be 0, 1 or empty"),
    "text": (pa.string(), lambda cell: True, ""),
}


class Layout(NamedTuple):
    """What a file of published data looks like.

    columns  column → a key of TYPES, of those that are read; what a file may hold besides is in `others`
    optional columns that may be missing;  sep  what stands between cells
    data     what the data are called, for errors;  encoding  of the text
    names    of all columns, where the file has no header
    """

    columns: Mapping[str, str]
    others: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    sep: str = ","
    data: str = "the data"
    encoding: str = "utf-8"
    names: tuple[str, ...] = ()


class Block(NamedTuple):
    """Some lines of a file: a Table of the columns that are read, where its bytes begin and end, and the
    numbers of its first line and of the line after it."""

    table: pa.Table
    start: int
    end: int
    line: int
    following: int


def header(path: str | Path, layout: Layout) -> tuple[list[str], int]:
    """(the names in a file's first line, its bytes); of a file without a header its names and 0.

    raises  UserError for a file that is missing, empty, cut differently, or of other columns than its data
    """
    with _open(path) as file:
        begin = _take(file, path, 2**16)
    first = begin.split(b"\n", 1)[0]
    text = first.decode("utf-8-sig", "replace").rstrip("\r")
    if text.startswith(("<", "version https://git-lfs")):
        raise UserError(f"{path} is a web page or a pointer, not the file itself. Fetch it again.")
    if not text.strip():
        what = ": line 1 is blank" if begin.strip() else " is empty"
        raise UserError(f"{path}{what}. Fetch it again.")
    names = [name.strip().strip('"') for name in text.split(layout.sep)]
    if layout.names:
        if len(names) != len(layout.names):
            raise UserError(_misfit(path, text, len(names), len(layout.names), layout, 1, False))
        return list(layout.names), 0
    if len(names) == 1 and (other := _other_sign(text, len(layout.columns), layout.sep)):
        raise UserError(f"{path}: line 1 is cut by {other}, but {layout.data} has {_named(layout.sep)}.")
    lacking = [name for name in layout.columns if name not in names and name not in layout.optional]
    strange = [name for name in names if name not in layout.columns and name not in layout.others]
    twice = sorted({name for name in names if names.count(name) > 1})
    if lacking or strange or twice:
        said = [f"it lacks {shortened(lacking)}"] * bool(lacking)
        said += [f"it has {shortened(map(repr, strange))}, which {layout.data} has not"] * bool(strange)
        said += [f"it has {shortened(twice)} twice"] * bool(twice)
        raise UserError(f"{path} is no file of {layout.data}: line 1: {'; '.join(said)}. Is it another file?")
    return names, len(first) + 1


def blocks(path: str | Path, layout: Layout, begin: tuple[int, int] | None = None,
           size: int = 0) -> Iterator[Block]:  # fmt: skip
    """The rows of a file, block after block.

    begin   (byte, line) to go on from, None: after the header;  size  bytes of text at a time, 0: BLOCK
    raises  UserError that names the line: too many or too few cells, a cell of another type, a file cut off
    """
    names, skipped = (list(layout.names), 0) if begin and layout.names else header(path, layout)
    start, line = begin or (skipped, 1 if layout.names else 2)
    with _open(path) as file:
        _skip(file, start, path)
        rest = b""
        while more := _take(file, path, size or BLOCK):
            rest, data = _at_a_line(rest + more)
            if data:
                block = _block(path, data, names, layout, start, line)
                yield block
                start, line = block.end, block.following
        if rest.strip():
            yield _block(path, rest, names, layout, start, line)


def line_of(path: str | Path, start: int, line: int, row: int) -> int:
    """The number of the line that holds a row of the block that begins there: a blank line holds none."""
    with _open(path) as file:
        _skip(file, start, path)
        lines = (number for number, text in enumerate(file, line) if text.strip(b"\r\n"))
        return next(itertools.islice(lines, row, None), line + row)


def _open(path):
    try:
        return gzip.open(path) if str(path).endswith(".gz") else open(path, "rb")
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error


def _take(file, path, size):
    try:
        return file.read(size)
    except TORN as error:
        raise UserError(f"{path} is packed, and cut off or damaged: {error}. Fetch it again.") from error


def _skip(file, start, path):
    """To a byte of the text; of a packed file what lies before it is unpacked once more."""
    if not isinstance(file, gzip.GzipFile):
        file.seek(start)
        return
    while start and (gone := len(_take(file, path, min(start, BLOCK)))):
        start -= gone


def _at_a_line(data):
    """(what comes after the last end of a line, what comes before it)."""
    cut = data.rfind(b"\n") + 1
    return data[cut:], data[:cut]


def _block(path, data, names, layout, start, line):
    """A Block of whole lines; the first bad cell of them is blamed."""
    read = [name for name in names if name in layout.columns]
    try:
        table = _parsed(data, names, layout)
        wrong = any(_wrong(table[name], layout.columns[name]) for name in read)
    except pa.ArrowInvalid as error:
        _blame(path, data, names, layout, line)
        raise UserError(f"{path} cannot be read from line {line} on: {error}. Fetch it again.") from error
    if wrong:
        _blame(path, data, names, layout, line)
    return Block(table, start, start + len(data), line, line + data.count(b"\n"))


def _parsed(data, names, layout, ids=None):
    """A Table of the columns that are read; ids: the type in which whole numbers are tried first."""
    kinds = {name: TYPES[kind][0] for name, kind in layout.columns.items() if name in names}
    tried = {name: ids or kind if kind == pa.int32() else kind for name, kind in kinds.items()}
    sep = layout.sep if len(layout.sep) == 1 else "\t"
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data if sep == layout.sep else data.replace(layout.sep.encode(), b"\t")),
            pa.csv.ReadOptions(
                column_names=names, block_size=max(2**20, len(data) // 8), encoding=layout.encoding
            ),
            pa.csv.ParseOptions(delimiter=sep, quote_char=False),
            pa.csv.ConvertOptions(
                column_types=tried,
                include_columns=list(kinds),
                null_values=list(GAPS),
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid:
        if ids is not None or pa.int32() not in kinds.values():
            raise
        return _parsed(data, names, layout, pa.float64())
    return table.cast(pa.schema([*kinds.items()])) if ids else table  # 3.0 is an id, 3.5 is none


def _wrong(column, kind):
    """Whether labels hold something else than 0, 1 and gaps, or numbers what cannot be worked with."""
    if kind == "label":
        return pc.all(pc.or_(pc.equal(column, 0), pc.equal(column, 1))).as_py() is False
    return kind == "number" and not (pc.max(pc.abs(column)).as_py() or 0) < BEYOND


def _blame(path, data, names, layout, line):
    """Refuse the first line that has another number of cells than the header, or a cell of another type."""
    lines = data.split(b"\n")
    for number, raw in enumerate(lines, line):
        text = raw.decode(layout.encoding, "replace").rstrip("\r")
        if not text:
            continue
        cells = text.split(layout.sep)
        if len(cells) != len(names):
            ending = raw is lines[-1]
            raise UserError(_misfit(path, text, len(cells), len(names), layout, number, ending))
        for name, cell in zip(names, cells, strict=True):
            _, fits, remedy = TYPES[layout.columns.get(name, "text")]
            if cell not in GAPS and not fits(cell):
                raise UserError(
                    f"{path}: line {number}, column {name!r}: {cell[:40]!r} {remedy}. Fix that line, or "
                    "fetch the file again."
                )


def _misfit(path, text, cells, width, layout, number, ending):
    """What to say of a line with another number of cells; `ending`: it is the file's last and has no end."""
    if ending and cells < width:
        return (
            f"{path} is cut off: its last line, {number}, has {cells} of {width} cells and no end. Fetch it "
            "again."
        )
    if other := _other_sign(text, width, layout.sep):
        return (
            f"{path}: line {number} is cut by {other}, and the header by {_named(layout.sep)}: two files "
            "were mixed up. Fetch it again."
        )
    return (
        f"{path}: line {number} has {cells} cells, and {width} are wanted. Fix that line, or fetch it again."
    )


def _other_sign(text, width, sep):
    """Another sign that cuts a line into as many cells, in words, or ""."""
    fits = [sign for sign in SEPARATORS if sign != sep and len(text.split(sign)) >= max(width, 2)]
    return _named(fits[0]) if fits else ""


def _named(sep):
    return SEPARATORS.get(sep, sep)

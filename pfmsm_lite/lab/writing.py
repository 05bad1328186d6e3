"""Files that are written whole or not at all, and tables that a spreadsheet may open."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pandas as pd

from pfmsm_lite.errors import UserError

TORN = "*.part[0-9]*"  # what a killed process leaves of a file
EXECUTED = re.compile(r"'*[=+\-@\t\r]")  # how a cell begins that a spreadsheet takes for a formula
CONTROLS = {n: f"\\x{n:02x}" for n in (*range(9), *range(11, 32), *range(127, 160))}  # but for \t and \n


@contextlib.contextmanager
def whole(path: str | Path, mode: str = "wb", **options: Any) -> Iterator[IO[Any]]:
    """A file to write into: it is at `path` once all is written; until then `path` is as it was.

    mode, options  as for `open`;  raises  UserError where the disk is full or read-only
    """
    path = Path(path)
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise UserError(
            f"{path} could not be written: {error.strerror or error}. What was there before is kept. Make "
            "room, or see that the folder may be written, then do it again; a run goes on with --resume."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; raises UserError where that is not possible."""
    with whole(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def printable(text: str) -> str:
    """A text as a terminal may show it: control characters, which could move it, as \\x1b and the like."""
    return text.translate(CONTROLS)


class Shown:
    """A stream that gets texts as `printable` makes them; in all else the stream that it was given."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(printable(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def harmless(value: Any) -> Any:
    """A cell as a spreadsheet may read it: a text that it would execute gets a ' before it."""
    return f"'{value}" if isinstance(value, str) and EXECUTED.match(value) else value


def as_it_was(text: str) -> str:
    """What `harmless` was given."""
    return text[1:] if text.startswith("'") and EXECUTED.match(text[1:]) else text


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV without its index, its texts harmless; `read_csv` gives it back."""
    texts = table.select_dtypes(exclude=["number", "bool"])
    safe = table.assign(**{name: texts[name].map(harmless) for name in texts})
    return safe.rename(columns=harmless).to_csv(index=False, lineterminator="\n")


def read_csv(path: str | Path, texts: tuple[str, ...]) -> pd.DataFrame:
    """A table that `csv_text` wrote; texts: columns whose cells are names, whatever they look like."""
    numbers = [name for name in pd.read_csv(path, nrows=0) if name not in texts]
    found = pd.read_csv(
        path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=dict.fromkeys(numbers, "")
    )
    return found.assign(**{name: found[name].map(as_it_was) for name in texts if name in found})

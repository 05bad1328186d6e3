"""A file on disk → a pandas DataFrame: one reader per format, its failures by the name of the file."""

import zlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from pfmsm_lite.data.columns import check_header
from pfmsm_lite.errors import UserError


def read_csv(path: str | Path, **options) -> pd.DataFrame:
    """pandas.read_csv for a .csv, .csv.gz or .tsv file; raises UserError that names the file."""
    tabs = Path(path).name.lower().endswith((".tsv", ".tsv.gz"))
    options |= {"sep": "\t" if tabs else ",", "low_memory": False}
    try:
        header = pd.read_csv(path, sep=options["sep"], header=None, nrows=1, dtype=str).iloc[0].dropna()
        check_header(header, path)  # pandas renames the second of two equal columns without a word
        frame = pd.read_csv(path, **options)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path} is empty.") from error
    except UserError:
        raise
    except (pd.errors.ParserError, UnicodeDecodeError, EOFError, OSError, ValueError, zlib.error) as error:
        raise UserError(
            f"{path} cannot be read as a table: {str(error).strip()}. Save it as UTF-8 CSV."
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes surplus first columns for row names
        raise UserError(f"{path}: the rows have more values than the header has names. Fix the header.")
    return frame


def read_parquet(path: str | Path) -> pd.DataFrame:
    """pandas.read_parquet; raises UserError that names the file."""
    try:
        return pd.read_parquet(path)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except (OSError, ValueError) as error:  # pyarrow's errors are of these kinds
        raise UserError(f"{path} cannot be read as Parquet: {str(error).strip()}.") from error


FORMATS: dict[str, Callable[[str | Path], pd.DataFrame]] = {  # how a file's name ends → its reader
    ".csv": read_csv,
    ".csv.gz": read_csv,
    ".tsv": read_csv,
    ".tsv.gz": read_csv,
    ".parquet": read_parquet,
}


def read_file(path: str | Path) -> pd.DataFrame:
    """The table in a file, read as the ending of its name says; raises UserError for an unknown ending."""
    name = Path(path).name.lower()
    ending = next((ending for ending in FORMATS if name.endswith(ending)), None)
    if ending is None:
        raise UserError(f"{path}: what format is it? Its name must end in one of: {', '.join(FORMATS)}.")
    return FORMATS[ending](path)

"""How long a table takes to be read and encoded, beside what pandas needs to read and factorize it."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from pfmsm_lite.data.table import load_table

ROWS, SCENARIOS = 1_000_000, 8


def table(rows: int) -> pd.DataFrame:
    """Rows × 20 columns: a scenario, two ids, nine whole numbers, six measured ones, two labels."""
    draw = np.random.default_rng(0)
    columns = {"scenario": draw.integers(0, SCENARIOS, rows)}
    columns |= {
        "user_id": draw.integers(0, rows // 25 + 1, rows),
        "item_id": draw.integers(0, rows // 100 + 1, rows),
    }
    columns |= {f"count {k}": draw.integers(0, 10 ** (k % 4 + 1), rows) for k in range(9)}
    columns |= {f"measure {k}": np.round(draw.normal(size=rows), 4) for k in range(6)}
    return pd.DataFrame(columns | {"click": draw.integers(0, 2, rows), "buy": draw.integers(0, 2, rows)})


def reading(show: Callable[[str], None], rows: int = ROWS) -> None:
    """Print seconds and rows per second by file format, this package's beside pandas'."""
    show(f"\nReading a table of {rows:,} rows × 20 columns: split, typed, encoded, looked through for leaks")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("table.csv", "table.parquet"):
            path = Path(folder) / name
            frame = table(rows)
            if name.endswith("csv"):
                frame.to_csv(path, index=False)
            else:
                frame.to_parquet(path)
            del frame
            theirs = _seconds(lambda path=path: _by_pandas(path))
            ours = _seconds(lambda path=path: load_table(path, scenario="scenario", tasks=["click", "buy"]))
            show(
                f"  {name:14s} {ours:6.1f} s   {rows / ours:10,.0f} rows/s   {ours / theirs:.1f} × pandas, "
                "reading and factorizing"
            )


def _by_pandas(path):
    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    return [pd.factorize(frame[column]) for column in frame]


def _seconds(function):
    """The quicker of two runs."""
    taken = []
    for _ in range(2):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return min(taken)

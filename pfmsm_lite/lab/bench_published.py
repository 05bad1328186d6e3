"""How fast a large published file is read, in how much memory, in a process of its own, beside pyarrow."""

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pfmsm_lite.data.aliexpress import CATEGORIES, NUMBERS, read_aliexpress
from pfmsm_lite.lab.bench_fresh import peak_mib, said

ROWS, BLOCK = 5_000_000, 200_000  # of AliExpress, four fifths for training; rows that are written at a time


def write(folder: Path, rows: int) -> None:
    """AliExpress_NL of so many rows, 16 ids with up to 100,000 values and 63 numbers."""
    draw = np.random.default_rng(0)
    place = folder / "AliExpress_NL"
    place.mkdir(parents=True)
    for name, count in (("train.csv", rows - rows // 5), ("test.csv", rows // 5)):
        with (place / name).open("wb") as file:
            for first in range(0, count, BLOCK):
                here = min(BLOCK, count - first)
                columns = {"search_id": np.arange(first, first + here) // 9}
                columns |= {c: draw.integers(0, 10 ** (1 + k % 5), here) for k, c in enumerate(CATEGORIES)}
                numbers = draw.random((here, 9)).round(6).astype(np.float32)
                columns |= {c: numbers[:, k % 9] for k, c in enumerate(NUMBERS)}
                click = (draw.random(here) < 0.05).astype(np.int8)
                columns |= {"click": click, "conversion": click * (draw.random(here) < 0.1).astype(np.int8)}
                options = pa.csv.WriteOptions(include_header=first == 0)
                pa.csv.write_csv(pa.table(columns), file, options)


def plainly(folder: str, _: str) -> int:
    """Rows of both files, read by pyarrow's own stream and thrown away."""
    options = pa.csv.ReadOptions(block_size=2**24)
    files = [Path(folder) / "AliExpress_NL" / f"{split}.csv" for split in ("train", "test")]
    return sum(batch.num_rows for file in files for batch in pa.csv.open_csv(file, options))


def encoded(folder: str, cache: str) -> int:
    """Rows of the scenario that the reader makes of them."""
    found = read_aliexpress(folder, cache, ["NL"])[0]
    return sum(len(found.rows(split).labels) for split in ("train", "valid", "test"))


class _Anonymous(threading.Thread):
    """The most memory of this process that belongs to no file, MiB: what the system cannot take back."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most, self.status = float("nan"), Path("/proc/self/status")

    def run(self):
        self.most = 0.0 if self.status.exists() else self.most
        while self.status.exists():
            lines = dict(line.split(":", 1) for line in self.status.read_text().splitlines() if ":" in line)
            self.most = max(self.most, int(lines["RssAnon"].split()[0]) / 1024)
            time.sleep(0.05)


def measured(what: str, folder: str, cache: str) -> tuple[int, float, float, float, float]:
    """(rows, seconds, seconds of the processor, peak MiB, anonymous MiB at most) of this process."""
    watch = _Anonymous()
    watch.start()
    started, before = time.perf_counter(), time.process_time()
    rows = {"plain": plainly, "encoded": encoded}[what](folder, cache)
    return rows, time.perf_counter() - started, time.process_time() - before, peak_mib(), watch.most


def published(show: Callable[[str], None], rows: int = ROWS) -> None:
    """Print rows per second of wall and processor time, and memory, by what is done."""
    show(f"\nReading AliExpress, {rows:,} generated rows × 82 columns, in processes of their own; one thread")
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), rows)
        cache, plain = str(Path(folder) / "cache"), 0.0
        for name, what in (
            ("pyarrow alone, rows thrown away", "plain"),
            ("read, kept as Parquet, encoded", "encoded"),
            ("encoded, from the Parquet", "encoded"),
        ):
            found, seconds, worked, peak, own = said("-m", __name__, what, folder, cache)
            plain = plain or worked
            show(
                f"  {name:34s}{found / seconds:10,.0f} rows/s   {worked / plain:.2f} × pyarrow's processor "
                f"time   peak {peak:,.0f} MiB, {own:,.0f} of them in no file"
            )


if __name__ == "__main__":
    pa.set_cpu_count(1)
    print(*measured(*sys.argv[1:4]))

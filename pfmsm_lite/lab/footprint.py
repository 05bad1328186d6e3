"""What a training takes of the machine, beside what else is going on there: CPU seconds and peak memory."""

import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROCESS = Path("/proc/self")  # Linux alone has it; elsewhere memory is not measured
ROUNDED = 16  # MiB by which a system's two counts, of now and of the peak, may differ


def _held(what: str) -> float:
    """MiB that the process holds now ("VmRSS") or has held at most ("VmHWM"); NaN where nobody counts."""
    with suppress(OSError):
        found = re.search(rf"{what}:\s*(\d+) kB", (PROCESS / "status").read_text())
        return int(found[1]) / 1024 if found else math.nan
    return math.nan


@contextmanager
def footprint() -> Iterator[dict[str, float]]:
    """A dict that holds, when the block is done, cpu_seconds (all threads) and peak_mb (whole process, MiB).

    peak_mb is NaN where the system does not count it, or keeps an older, higher peak. A busy machine makes
    neither of them larger, but for what processes take from each other's caches.
    """
    found: dict[str, float] = {}
    with suppress(OSError):
        (PROCESS / "clear_refs").write_text("5")  # the peak begins anew
    anew = _held("VmHWM") <= _held("VmRSS") + ROUNDED
    start = time.process_time()
    yield found
    found |= {"cpu_seconds": time.process_time() - start, "peak_mb": _held("VmHWM") if anew else math.nan}

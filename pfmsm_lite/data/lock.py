"""A lock on a file: the system releases it when its process ends, however that ends."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl

    def lock(file: IO) -> None:
        """Lock an open file; BlockingIOError or PermissionError where another process has."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except ImportError:  # Windows
    import msvcrt

    def lock(file: IO) -> None:
        """Lock an open file; BlockingIOError or PermissionError where another process has."""
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)


EVERY = 0.2  # seconds between two tries


@contextlib.contextmanager
def in_turn(path: Path, wait: Callable[[], None]) -> Iterator[None]:
    """One process at a time inside; `wait` is called once where another one is inside.

    path  of the file that is locked; it stays
    """
    with path.open("a") as file:
        said = False
        while True:
            try:
                lock(file)
                break
            except (BlockingIOError, PermissionError):
                if not said:
                    wait()
                said = True
                time.sleep(EVERY)
            except OSError:  # a file system without locks: go on as if there were no other
                break
        yield

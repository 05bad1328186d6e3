"""One process owns a directory: the system releases its lock when the process ends, however that ends."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pfmsm_lite.data.lock import lock
from pfmsm_lite.errors import UserError

NAME = ".lock"


@contextlib.contextmanager
def owned(directory: str | Path) -> Iterator[None]:
    """While this lasts, no other process may train into the directory, which must exist.

    raises  UserError where another process works in it, or where it cannot be written
    """
    path = Path(directory) / NAME
    while True:
        try:
            file = path.open("a")
        except OSError as error:
            raise UserError(
                f"{directory} cannot be written: {error.strerror}. Choose another --out."
            ) from error
        try:
            lock(file)
        except (BlockingIOError, PermissionError) as error:
            file.close()
            raise UserError(
                f"Another process is at work in {directory}. Wait until it is done, or choose another --out."
            ) from error
        except OSError:  # a file system without locks: go on as if there were no other
            break
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()  # its owner removed the file between our two steps: again
    try:
        yield
    finally:
        if os.name == "nt":  # there, an open file cannot be removed
            file.close()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        file.close()

"""What the C library does with memory that training gave back."""

import ctypes
import sys


def keep_memory() -> None:
    """Ask the C library to keep freed blocks up to 256 MiB, for the whole process; only glibc is asked.

    PyTorch asks for every intermediate result anew, and blocks of some MiB go back to the system each time:
    on Linux, a good part of a training step went into page faults.
    """
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if hasattr(library, "mallopt"):
        for setting in ((-3, 2**28), (-1, 2**31 - 1), (-2, 2**26)):  # mmap and trim threshold, top pad
            library.mallopt(*setting)


keep_memory()  # whoever has rows will train on them

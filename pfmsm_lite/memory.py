"""Memory that is freed stays with the process, ready for the next batch."""

import ctypes
import sys


def keep_memory() -> bool:
    """Ask the C library to keep freed blocks instead of giving them back; True where it agreed.

    PyTorch asks for every intermediate result anew, and blocks of some MiB go back to the system each time: on
    Linux, a good part of a training step went into page faults. Blocks above 256 MiB still go back. Does
    nothing where there is no glibc. For the whole process; every Client calls it.
    """
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if not hasattr(library, "mallopt"):
        return False
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # malloc.h of the GNU C library
    settings = {mmap_threshold: 2**28, trim_threshold: 2**31 - 1, top_pad: 2**26}
    return all([library.mallopt(*setting) for setting in settings.items()])

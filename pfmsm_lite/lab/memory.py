"""Keep freed memory in the process: on Linux, half of a training step went into page faults."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h of the GNU C library


def keep_memory():
    """Ask the C library to keep freed blocks for the next batch; True where it agreed.

    PyTorch asks for every intermediate result anew, and blocks of some MiB go back to the system each time.
    Does nothing where there is no glibc. For the whole process: the command line calls it, `run` does not.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    settings = {M_MMAP_THRESHOLD: 2**30, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**26}
    return all([library.mallopt(*setting) for setting in settings.items()])

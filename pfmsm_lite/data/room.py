"""Words for a disk that is full, or for a folder that may not be written."""

import contextlib
import errno
from collections.abc import Callable, Iterator

from pfmsm_lite.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
DENIED = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR)


@contextlib.contextmanager
def room(full: str, denied: Callable[[str], str] | None = None) -> Iterator[None]:
    """Turn these two faults of the block into UserErrors with these texts; any other goes on as it is.

    denied  what the system says → the text; None: it goes on, too
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise UserError(full) from error
        if denied and error.errno in DENIED:
            raise UserError(denied(str(error.strerror))) from error
        raise

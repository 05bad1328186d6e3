"""Checkpoints: written atomically, loaded without running anybody's code."""

import os
from pathlib import Path

import torch

from pfmsm_lite.errors import UserError

FORMAT = "pfmsm_lite checkpoint 1"


def save(path, fingerprint, state):
    """Write `state` (tensors, lists, dicts, numbers, text) to `path`: all of it or nothing."""
    path = Path(path)
    part = path.with_suffix(f".part{os.getpid()}")
    try:
        with open(part, "wb") as file:
            torch.save({"format": FORMAT, "fingerprint": fingerprint, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise UserError(
            f"The checkpoint {path} could not be written: {error}. The last complete one is kept; "
            "make room or choose another --out, then go on with --resume."
        ) from error


def load(path, fingerprint):
    """The state saved at `path`, or None where there is none.

    Raises UserError for a file that is torn, that is no checkpoint, or that belongs to another run.
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        found = torch.load(path, weights_only=True)
        known = isinstance(found, dict) and found.get("format") == FORMAT
    except Exception as error:  # torch.load raises whatever the torn bytes lead it to
        raise UserError(
            f"The checkpoint {path} cannot be read: it is damaged or no checkpoint "
            f"({type(error).__name__}). Delete this file to start its part of the run again; the others stay."
        ) from error
    if not known:
        raise UserError(f"{path} is not a checkpoint of this package ({FORMAT!r}). Delete or move it.")
    if found["fingerprint"] != fingerprint:
        raise UserError(
            f"The checkpoint {path} belongs to another run (other data, method, settings or versions). "
            "Resume with the arguments of the run that wrote it, or choose another --out."
        )
    return found["state"]

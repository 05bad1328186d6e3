"""Many trainings of one command: what is finished is kept in a file each, what failed is named and redone."""

import json
import zlib
from dataclasses import asdict

from pfmsm_lite.lab.job import replace_text, run_cells


def finished(work, jobs, out, arguments, data_digest, screen):
    """Do those jobs that are not done yet, side by side.

    work     function of this package: work(title, *job, checkpoint file) → what is kept, fit for JSON
    jobs     {cell: job}; a cell has `.file`, the name of its file, and `.title`, (name, seed) on the display;
             a job is a tuple of declarations (dataclasses) and plain values
    returns  ({cell: what is kept}, {cell: why it failed})
    """
    (out / "cells").mkdir(exist_ok=True)
    found = {cell: kept for cell, job in jobs.items() if (kept := _kept(out, cell, job)) is not None}
    by_title = {cell.title: cell for cell in jobs if cell not in found}
    if not by_title:
        return found, {}
    todo = {title: (*jobs[cell], _checkpoint(out, cell, jobs[cell])) for title, cell in by_title.items()}
    failed = {}
    for title, future in run_cells(work, todo, out, arguments, data_digest, screen):
        cell = by_title[title]
        if (error := future.exception()) is not None:
            failed[cell] = f"{type(error).__name__}: {error}"
        else:
            found[cell] = _keep(out, cell, jobs[cell], future.result())
    return found, failed


def _fingerprint(job):
    return json.dumps(job, sort_keys=True, default=asdict)


def _checkpoint(out, cell, job):
    """Where a cell's training is kept up to date; another setting in the same cell has another file."""
    return out / "checkpoint" / f"{cell.file}-{zlib.crc32(_fingerprint(job).encode()):08x}.pt"


def _kept(out, cell, job):
    """What is kept of a finished cell, or None. A damaged file, or one of another setting, is done again."""
    try:
        kept = json.loads((out / "cells" / f"{cell.file}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if kept.get("of") == _fingerprint(job) else None


def _keep(out, cell, job, result):
    kept = {"of": _fingerprint(job), **result}
    replace_text(out / "cells" / f"{cell.file}.json", json.dumps(kept) + "\n")
    for checkpoint in (out / "checkpoint").glob(f"{cell.file}-{8 * '?'}.pt"):  # of an older setting, too
        checkpoint.unlink(missing_ok=True)
    (out / "checkpoint" / f"{cell.file}.pt").unlink(missing_ok=True)  # its name in older versions
    return kept


def say_failed(failed, command, show):
    """One line for each cell that failed, and how to do only these again."""
    for cell, reason in failed.items():
        show(f"FAILED {cell.file}: {reason}")
    if failed:
        show(f"Do only these again: python -m pfmsm_lite {command}")

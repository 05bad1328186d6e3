"""A page to hand on: a finished run, or a short comparison on data, as one HTML file."""

import os
import sys
from pathlib import Path

from pfmsm_lite.errors import UserError, at_least_one
from pfmsm_lite.lab.engine import replace_text
from pfmsm_lite.lab.runs import compare, read_run


def report(run="", data="", out=None, options=None, show=print, screen=sys.stderr, verdict=None):
    """Write one HTML file of a finished run's directory, or of data that it compares first; its path.

    run      directory of a finished run; or
    data     "synthetic", "kuairand" or a file of your own;  options: of `pfmsm_lite.lab.runs.compare`
    out      the file; None: report.html in the run's directory, NAME-report.html here for data
    screen   a line is written there before each training
    verdict  Run → sentences for the top of the page, or None: the findings of the figures
    raises   UserError before anything is trained: the input cannot be read, the file cannot be written
    """
    if bool(run) == bool(data):
        raise UserError(
            "Give a finished run's directory, such as runs/synthetic, or data: a file with its --scenario "
            "and --tasks, kuairand with its --data-dir, or synthetic."
        )
    from pfmsm_lite.course.page import page

    found = read_run(run) if run else None
    target = _target(run, found.name if found else Path(data).name, out)
    if not found:
        options = dict(options or {})
        if options.get("rounds") is not None:
            at_least_one(rounds=options["rounds"])
        found = compare(data, tell=lambda line: print(line, file=screen, flush=True), **options)
    replace_text(target, page(found, verdict(found) if verdict else ()))
    show(f"{target}: {target.stat().st_size / 1024:,.0f} KB")
    return target


def _target(run, name, out):
    """The file to write; one that cannot be written is refused before the work."""
    stem = name.split(".")[0]
    target = Path(out) if out else Path(run) / "report.html" if run else Path(f"{stem}-report.html")
    if target.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {target}: the report is one HTML file; its name must end in .html.")
    if target.is_dir() or not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise UserError(
            f"--out {target} cannot be written: {target.parent} must be a folder that you may write to."
        )
    return target

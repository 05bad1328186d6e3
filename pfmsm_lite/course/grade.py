"""Grade students' notebooks: each runs in a process of its own, with limits; one line per exercise.

A kernel hands in answers (wire.py); verdicts are made here (judge.py). What else keeps a notebook's code from
the machine depends on the system (protection.py), and is said in the first line.
"""

import contextlib
import functools
import gc
import logging
import math
import os
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from pfmsm_lite.course.exercise import exercises
from pfmsm_lite.course.judge import UNFINISHED, Judge
from pfmsm_lite.course.notebook import GRADER, INSTALL
from pfmsm_lite.course.protection import cage, nothing_left, private_folders
from pfmsm_lite.errors import UserError

EXERCISES = Path(__file__).parent / "exercises"
SECONDS, SECONDS_FULL = 60, 180  # for a cell, where the user names no other limit
CELLS = 5  # a whole notebook may take as long as that many cells
MEMORY = 4096  # MiB that a kernel may ask for; a chapter in FAST asks for 1,600 and uses 560
LONGEST = 300  # characters of a note
MANY = 5  # answers to an exercise; more of them are said

# RLIMIT_DATA and not RLIMIT_AS: that counts mapped libraries too, of which PyTorch for CUDA has many GiB.
LIMIT = """
def _limit(size):
    try:
        import resource
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    except (ImportError, ValueError, OSError):
        pass
_limit({size})
del _limit
"""


class Row(NamedTuple):
    """One line of the report. exercise "" and state "not graded": the notebook as a whole.

    chapter  such as "06"; "" where it could not be found out
    """

    notebook: str
    exercise: str
    state: str
    note: str = ""
    chapter: str = ""


class Cell(NamedTuple):
    """number: what JupyterLab shows after "Run All", from [1] on; ours have the number of the one before."""

    number: int
    source: str
    tags: tuple = ()


class Outcome(NamedTuple):
    """failed: cell number → what stopped it. end: why the run ended before the last cell; else ""."""

    failed: dict
    end: str = ""


@contextlib.contextmanager
def silence():
    """Jupyter's own messages away: what went wrong stands in the lines."""
    logs = [logging.getLogger(name) for name in ("traitlets", "asyncio")]
    before = [log.disabled for log in logs]
    for log in logs:
        log.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
            gc.collect()  # a task of a kernel that died complains when it is thrown away: let that be here
    finally:
        for log, disabled in zip(logs, before, strict=True):
            log.disabled = disabled


def clean(text):
    """One printable line of at most LONGEST characters: a student's error may hold anything."""
    line = "".join(c for c in " ".join(str(text).split()) if c.isprintable())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


# ---- before the run ----


def read(path):
    """The code cells of a notebook file that are not empty. Raises UserError for any other file."""
    import nbformat

    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        if not text.strip():
            raise UserError("the file is empty")
        with silence():
            cells = nbformat.reads(text, as_version=4).cells
        code = [cell for cell in cells if cell["cell_type"] == "code" and cell["source"].strip()]
        tags = [tuple(cell.get("metadata", {}).get("tags", ())) for cell in code]
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror}") from error
    except Exception as error:  # nbformat raises half a dozen kinds for a damaged file
        raise UserError("the file is not a notebook, or it is damaged") from error
    return [
        Cell(number, cell["source"], tag)
        for number, (cell, tag) in enumerate(zip(code, tags, strict=True), 1)
    ]


def chapter(path, cells):
    """The number of a notebook's chapter, such as "06": from its begin(…), else from the file's name.

    raises  UserError where neither names a chapter of the course
    """
    known = {file.stem[-2:] for file in EXERCISES.glob("chapter??.py")}
    begun = (re.search(r"^[^#\n]*\bbegin\(\s*[\"'](\d\d)_", cell.source, re.M) for cell in cells)
    named = re.match(r"(\d\d)_", Path(path).name)
    for found in (*begun, named):
        if found and found[1] in known:
            return found[1]
    raise UserError('of no known chapter: no begin("NN_…") in it, and its name does not begin with NN_')


def is_parameters(cell):
    """Tagged so, or (some editors drop tags) the one that sets FAST."""
    return "parameters" in cell.tags or bool(re.search(r"^FAST\s*=", cell.source, re.M))


def prepared(cells, fast, memory):
    """The cells to run: a limit on memory before them, and FAST set after the parameters, or else first."""
    at = next((cell.number for cell in cells if is_parameters(cell)), 0)
    limit = [Cell(0, LIMIT.format(size=memory * 2**20))] if memory else []
    return [*limit, *cells[:at], Cell(at, f"FAST = {fast}"), *cells[at:]]


def missing(cells):
    """What every chapter has and this notebook has not, as sentences."""
    found = [] if any(is_parameters(cell) for cell in cells) else ["the parameters cell is missing"]
    if not any(re.search(r"^[^#\n]*\bbegin\(", cell.source, re.M) for cell in cells):
        found.append("the set-up cell with begin(…) is missing")
    return found


# ---- the run ----


def run(cells, judge, scratch, seconds, full=False, progress=lambda number: None, around=None):
    """Run cells in a new kernel, come what may; returns the Outcome. Leaves no process behind.

    judge    gets the answers
    scratch  the kernel's own folder; it works in work/
    seconds  limit of a cell; the whole may take CELLS times as long
    around   the Cage that keeps the kernel from the rest of the machine; None: there is none
    """
    from nbclient.exceptions import DeadKernelError

    from pfmsm_lite.course.kernel import Student

    threads = os.environ.get("OMP_NUM_THREADS", "1")  # many threads ask for much memory
    variables = {"PFMSM_FAST": "" if full else "1", "OMP_NUM_THREADS": threads, **private_folders(scratch)}
    with judge.listening(scratch) as address, nothing_left() as mark:
        prefix, failed = around.around(scratch) if around else (), {}
        student = Student(prefix, scratch, **variables, **mark, **{GRADER: address})
        try:
            with silence(), student.kernel(scratch / "work"):
                return Outcome(failed, in_turn(student, cells, seconds, failed, progress))
        except DeadKernelError:
            where = f"in cell [{student.number}]" if student.number else "at its start"
            return Outcome(failed, f"the kernel died {where}")
        except Exception as error:  # of Jupyter's machinery: the next notebook is graded all the same
            said = f"Jupyter failed after cell [{student.number}]: {type(error).__name__}: {error}"
            return Outcome(failed, said)


def in_turn(student, cells, seconds, failed, progress):
    """Run the cells, entering in `failed` what stopped one; returns why the run ended early, or ""."""
    end, over = time.monotonic() + CELLS * seconds, f"the {CELLS * seconds:g} s for the notebook were over"
    for student.number, source, _ in cells:
        progress(student.number)
        left = end - time.monotonic()
        if left <= 0:
            return f"{over} before cell [{student.number}]"
        try:
            if error := student.run(source, min(seconds, left)):
                failed[student.number] = f"stopped with {error[0]}: {error[1]}"
        except TimeoutError:
            why = f"after {seconds:g} s" if seconds <= left else f"because {over}"
            failed[student.number] = f"was interrupted {why}"
            if not student.interrupt():
                return f"cell [{student.number}] ran on after an interrupt"
    return ""


# ---- after the run ----


def judged(name, cells, judge, outcome):
    """(state, note) of one exercise."""
    asked = rf"^[^#\n]*\bcheck\(\s*[\"']{re.escape(name)}[\"']"
    where = [cell.number for cell in cells if re.search(asked, cell.source, re.M)]
    failure = (
        f"cell [{where[-1]}] {outcome.failed[where[-1]]}" if where and where[-1] in outcome.failed else ""
    )
    if name in judge.verdicts:
        state, hint = judge.verdicts[name]
        why = (failure or outcome.end) if hint == UNFINISHED else ""
        often = f"{judge.asked[name]} answers, the last one counts" if judge.asked[name] > MANY else ""
        return state, "; ".join(filter(None, (hint, why, often)))
    if not where:
        return "no check cell", ""
    first = min(outcome.failed, default=where[-1])
    earlier = f"the first to fail: cell [{first}] {outcome.failed[first]}" if first < where[-1] else ""
    reason = failure or outcome.end or f"cell [{where[-1]}] ran, but its check gave no verdict"
    return "not reached", "; ".join(filter(None, (reason, earlier)))


def grade(
    path,
    seconds=SECONDS,
    memory=MEMORY,
    full=False,
    progress=lambda number, cells: None,
    variant=None,
    around=None,
):
    """Run one notebook in a scratch folder and judge it; the file is only read.

    seconds  limit of a cell; the notebook may take CELLS times as long
    memory   limit in MiB of what the kernel asks for, 0 for none; Linux only
    full     the long version of every run, not the FAST one
    variant  seed of an examination's numbers; None: the chapter's own
    around   the Cage that keeps the kernel from the rest of the machine; None: there is none
    returns  list of Row: one per exercise, or one "not graded" that says why
    """
    try:
        cells = read(path)
        number = chapter(path, cells)
    except UserError as error:
        return [Row(clean(path), "", "not graded", clean(error))]
    judge = Judge(number, variant)
    with tempfile.TemporaryDirectory(prefix="pfmsm_lite-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder).resolve()
        (scratch / "work").mkdir()
        todo = prepared(cells, not full, memory)
        outcome = run(todo, judge, scratch, seconds, full, lambda at: progress(at, len(cells)), around)
    rows, lacks = [], missing(cells)
    for name in asked_of(number, variant):
        state, note = judged(name, cells, judge, outcome)
        note = clean("; ".join(filter(None, (note, *lacks))))
        rows.append(Row(clean(path), name, state, note, number))
    return rows


def asked_of(number, variant):
    """Names of a chapter's exercises; of a variant those that an examination asks."""
    known = exercises(number)
    return [name for name in known if variant is None or known[name].draw]


def line(row):
    """One line of the report."""
    return ": ".join(filter(None, row._replace(chapter="")))


def save(rows, target):
    """Write rows as CSV, whole or not at all, and without a cell that a spreadsheet would execute."""
    import pandas as pd

    from pfmsm_lite.lab.writing import csv_text, replace_text

    replace_text(target, csv_text(pd.DataFrame(rows, columns=Row._fields)))


def writable(option, target):
    """Raises UserError where a CSV file cannot be written: better known before an hour of grading."""
    if target.suffix == ".ipynb":
        raise UserError(f"{option} {target} would overwrite a notebook. Name a file such as marks.csv.")
    try:
        if target.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        with tempfile.TemporaryFile(dir=target.parent):
            pass
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(0, "it is write-protected")
    except OSError as error:
        raise UserError(
            f"{option} {target} cannot be written: {error.strerror}. Name another file."
        ) from error


def reporting(terminal, path):
    """(number of a cell, how many there are) → a line on the terminal that the next one replaces."""

    def progress(at, cells):
        if terminal:
            print(f"\r\x1b[K{clean(path)}: cell {at} of {cells}", end="", file=sys.stderr, flush=True)

    return progress


def checked_limits(seconds, memory, full):
    """Seconds for a cell; raises UserError for impossible limits, or where Jupyter is missing."""
    try:
        import nbclient  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"To grade, Jupyter is needed. Install it in the project's folder with: {INSTALL}"
        ) from error
    if seconds is None:
        seconds = SECONDS_FULL if full else SECONDS
    if not 1 <= seconds < math.inf or memory < 0:
        raise UserError("--seconds must be at least 1, --memory at least 0 (no limit).")
    return seconds


def grade_all(
    paths,
    target=None,
    seconds=None,
    memory=MEMORY,
    full=False,
    show=print,
    gradebook=None,
    form="plain",
    variant=None,
):
    """Grade notebooks one after the other, print one line per exercise, keep them as CSV after each notebook.

    target     the CSV file, or None
    gradebook  another, with a line per student, in a form of gradebook.FORMS; or None
    variant    seed of an examination's numbers, or None
    raises     UserError for an impossible limit, an unwritable CSV, or where no notebook could be graded
    """
    from pfmsm_lite.course import gradebook as book

    seconds = checked_limits(seconds, memory, full)
    kept = [
        (option, Path(file), keep)
        for option, file, keep in (
            ("--csv", target, save),
            ("--gradebook", gradebook, functools.partial(book.save, form=form)),
        )
        if file
    ]
    for option, file, _ in kept:
        writable(option, file)
    around, rows, terminal = cage(paths), [], sys.stderr.isatty()
    show(f"Protection: {around.sentence}")
    for path in dict.fromkeys(paths):
        new = grade(path, seconds, memory, full, reporting(terminal, path), variant, around)
        if terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        for row in new:
            show(line(row))
        rows += new
        for _, file, keep in kept:
            keep(rows, file)
    if all(row.state == "not graded" for row in rows):
        raise UserError(f"None of the {len(set(paths))} files could be graded: the lines above say why.")
    counts = Counter(row.state for row in rows)
    show(", ".join(f"{count} {state}" for state, count in counts.items()))

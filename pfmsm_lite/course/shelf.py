"""A student's own shelf: my_course/, copies of the notebooks that git ignores, opened in JupyterLab."""

import hashlib
import json
import os
import re
import sys
from itertools import count
from pathlib import Path

from pfmsm_lite.course.notebook import INSTALL, PROJECT, home, problems
from pfmsm_lite.errors import UserError

SHELF = "my_course"  # beside notebooks/, so that every link leads to the same place from both
FIRST = "00_start_here.ipynb"
COPIED = (".ipynb", ".md", ".py", ".csv", ".json", ".txt")  # chapters, and all that lies beside them
RECORD = ".originals.json"  # file → digest of the original that its copy was made from, or that is known


def digest(path):
    """A fingerprint of a file's content, "" where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def recorded(shelf):
    """The record of a shelf; empty where it is missing or damaged: then every copy counts as changed."""
    try:
        found = json.loads((shelf / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def written(target, content):
    """Write all of the bytes or nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(content)
    os.replace(part, target)


def beside(copy, known, name):
    """(path, name) for a newer version of a file that a student has changed: 06_x.new.ipynb, .new2, …"""
    for number in count(1):
        suffix = f".new{number if number > 1 else ''}{copy.suffix}"
        path, named = copy.with_suffix(suffix), str(Path(name).with_suffix(suffix).as_posix())
        if digest(path) in ("", known.get(named)):
            return path, named


def originals(folder):
    """(path, name) of every file of notebooks/ that is copied, in order; names with slashes."""
    found = [(path, path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*"))]
    hidden = re.compile(r"(^|/)[._]")
    return [(path, name) for path, name in found if path.suffix in COPIED and not hidden.search(name)]


def put(original, shelf, name, known):
    """Copy one original, unless its copy is current or changed by the student; returns the copy's path.

    A newer original of a changed copy goes beside it, once. None where nothing was written.
    known  file → digest, as in RECORD; brought up to date
    """
    copy, now, before = shelf / name, digest(original), known.get(name)
    here = digest(copy)
    known[name] = now
    if here == now or (here not in ("", before) and now == before):
        return None  # current; or the student's work, and the original is as it was
    if here not in ("", before):
        copy, name = beside(copy, known, name)
        known[name] = now
    written(copy, original.read_bytes())
    return copy


def fill(folder, show=print):
    """Copy the notebooks of a project, and what lies beside them, into its my_course/; returns that folder.

    A copy that a student has changed is never overwritten.
    folder  the project's
    raises  UserError where my_course/ cannot be written
    """
    shelf = folder / SHELF
    known, made = recorded(shelf), []
    try:
        for original, name in originals(folder / "notebooks"):
            copy = put(original, shelf, name, known)
            made += [copy] if copy else []
            if copy and copy != shelf / name:
                show(f"You have changed {SHELF}/{name}; its newer version is beside it: {copy.name}")
        written(shelf / RECORD, json.dumps(known, indent=1, sort_keys=True).encode())
    except OSError as error:
        raise UserError(
            f"{SHELF}/ in {folder.name}/ cannot be written: {error.strerror}. Move away whatever is in "
            "its place, or put the project in a folder that you may write to."
        ) from error
    show(f"{SHELF}/: {len(made)} files copied" if made else f"{SHELF}/ has all chapters")
    return shelf


def lab_arguments(folder, options, port=None, browser=True):
    """What JupyterLab is told: its root is the project's folder, so that links to README and code work."""
    return [
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/lab/tree/{SHELF}/{FIRST}",  # in the browser and in the printed address
        "--ServerApp.contents_manager_class=pfmsm_lite.course.originals.Originals",
        *([] if port is None else [f"--port={port}"]),
        *([] if browser else ["--no-browser"]),
        *options,
    ]


def course(options):
    """Fill my_course/ and open chapter 00 there in JupyterLab, which runs until it is stopped.

    raises  UserError where something that the course needs is missing, or my_course/ cannot be written
    """
    if wrong := problems():
        raise UserError(f"{' '.join(wrong)} In the project's folder run: {INSTALL}")
    from jupyterlab.labapp import LabApp

    folder = home().resolve()
    fill(folder)
    sys.stdout.flush()
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    os.environ["PYTHONPATH"] = path  # so that kernels find this package even where it is not installed
    LabApp.launch_instance(lab_arguments(folder, options.jupyter, options.port, options.browser))
    return 0


def add(commands):
    """Add `course` to the commands of the command line; returns its parser."""
    command = commands.add_parser(
        "course",
        help="copy the notebooks to my_course/ and open chapter 00 in JupyterLab",
        description="Copy the notebooks into my_course/, which git ignores, and open chapter 00 there in "
        "JupyterLab. A notebook that you have changed is never overwritten: a newer version comes beside it.",
    )
    command.add_argument("--port", type=int, metavar="P", help="where JupyterLab listens (default 8888)")
    command.add_argument(
        "--no-browser", dest="browser", action="store_false", help="only print the address; open no browser"
    )
    command.add_argument(
        "jupyter", nargs="*", metavar="OPTION", help="after --: options that JupyterLab itself takes"
    )
    command.do = course
    return command

"""Python files of your own, named by --plugin: what they register and declare is a choice like any other."""

import hashlib
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from pfmsm_lite.errors import UserError

_loaded = set()  # (file, its sha256): run once in a process


def load(files: Iterable[str]) -> list[dict[str, str]]:
    """Run these files, each once in a process; returns what config.json keeps: file and sha256 of each.

    raises  UserError that names the file, and the line where something in it is wrong
    """
    return [_run(file) for file in files]


def load_again(arguments: dict[str, Any]) -> None:
    """Run the files that a run in a directory was begun with, in its config.json or in a worker.

    raises  UserError for a file that is missing or that has changed since
    """
    for kept in arguments.get("plugin") or ():
        placed = Path(arguments.get("folder") or ".") / kept["file"]
        _run(str(placed) if placed.exists() else kept["file"], kept["sha256"])


def _run(file, expected=None):
    path = Path(file)
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UserError(f"--plugin {file} cannot be read ({error.strerror}). Give a Python file.") from error
    sha256 = hashlib.sha256(source).hexdigest()
    if expected not in (None, sha256):
        raise UserError(
            f"--plugin {file} is not what the run was begun with. Put the file back as it was, or start "
            "again with another --out."
        )
    key = (str(path.resolve()), sha256)
    if key not in _loaded:
        _execute(file, path, source)
        _loaded.add(key)
    return {"file": str(file), "sha256": sha256}


def _execute(file, path, source):
    """Run the source in a module of its own; a fault in it is named by file and line."""
    module = ModuleType(f"pfmsm_lite_plugin_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and the like look a module up by its name
    try:
        exec(compile(source, str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:
        raise UserError(
            f"--plugin {file}, line {_line(error, str(path))}: {_said(error)} Correct the file, or leave it "
            "out."
        ) from error


def _line(error, path):
    """Where in the file it went wrong: the innermost of its lines that was running."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return lines[-1] if lines else getattr(error, "lineno", None) or 1


def _said(error):
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    text = text if isinstance(error, UserError) else f"{type(error).__name__}: {text}".removesuffix(": ")
    return text if text.endswith((".", "!", "?")) else f"{text}."

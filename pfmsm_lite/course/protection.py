"""What keeps a student's kernel from the rest of the machine, and what that protection is worth, in words.

On Linux a kernel runs in namespaces of its own (cage.py) where the system allows it. Everywhere, what a
kernel has started is ended with it.
"""

import contextlib
import ctypes
import os
import shutil
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

PROJECT = Path(__file__).parents[2]  # the folder that holds the package: a clone, or site-packages
CAGE = Path(__file__).with_name("cage.py")
MARK = "PFMSM_GRADED"  # environment variable of a kernel and of what it starts, with a name of its own
PATIENCE = 30  # seconds in which what was killed has to be gone
SUBREAPER, DUMPABLE = 36, 4  # of prctl
HELD = (
    "each notebook runs in Linux namespaces of its own. It has no network, sends no signal out, and writes "
    "nothing but its scratch folder; your home folder, /tmp, /run and the other notebooks are hidden from it."
)
NOT_HELD = (
    "no namespaces here ({}), so a notebook's code may read, write, send and end whatever you may. Run "
    "notebooks of unknown people in a container."
)


class Cage(NamedTuple):
    """words: of the program that starts a kernel, up to its scratch folder; why: no namespaces, or ""."""

    words: tuple[str, ...] = ()
    why: str = ""

    def around(self, scratch: Path) -> list[str]:
        """The words before the command of a kernel with this scratch folder."""
        return [*self.words, str(scratch), "--"] if self.words else []

    @property
    def sentence(self) -> str:
        return NOT_HELD.format(self.why) if self.why else HELD


START = (sys.executable, "-I", "-S", str(CAGE))


def without_namespaces(why: str) -> Cage:
    """A process between the kernel and this one, where there are such processes."""
    return Cage((*START, "--open") if hasattr(os, "fork") else (), why)


def _hidden() -> list[str]:
    """Folders with other programs' sockets and a person's own files; a kernel needs nothing in them."""
    names = Path.home(), "/tmp", "/run", "/var/tmp", tempfile.gettempdir()
    found = {os.path.realpath(name) for name in names}
    return sorted(name for name in found if os.path.isdir(name) and name != "/")


def _kept() -> list[str]:
    """What Python and the package need, wherever it lies."""
    paths = {name for name in sys.path if name and os.path.realpath(name) != os.getcwd()}
    found = {sys.prefix, sys.base_prefix, sys.exec_prefix, str(PROJECT), *paths, *site.getsitepackages()}
    found |= {str(Path(sys.executable).parent), str(Path(sys.executable).resolve().parent)}
    real = {change(name) for name in found for change in (os.path.realpath, os.path.abspath)}
    return sorted(name for name in real if os.path.exists(name) and not _covers(name))


def _covers(name: str) -> bool:
    """Whether keeping this would keep a hidden folder as it is."""
    return any(os.path.commonpath([name, hidden]) == name for hidden in _hidden())


def cage(notebooks: Sequence[str | os.PathLike] = ()) -> Cage:
    """The best protection that this machine has to give, tried once.

    notebooks  files that no kernel may read
    """
    if sys.platform != "linux":
        return without_namespaces(f"{sys.platform} has none")
    words = list(START)
    for option, names in (("--hide", _hidden()), ("--keep", _kept())):
        words += [word for name in names for word in (option, name)]
    for path in notebooks:
        words += ["--blind", os.path.realpath(path)]
    found = Cage(tuple(words))
    with tempfile.TemporaryDirectory(prefix="pfmsm_lite-") as folder:
        scratch = Path(folder).resolve()
        trial = [sys.executable, "-S", "-c", f"open({str(CAGE)!r}).close(); open('held', 'w').close()"]
        options = {"cwd": scratch, "capture_output": True, "text": True, "timeout": 60}
        try:
            tried = subprocess.run(found.around(scratch) + trial, **options)
        except (OSError, subprocess.TimeoutExpired) as error:
            return without_namespaces(str(error))
        if tried.returncode == 0 and (scratch / "held").exists():
            return found
    last = tried.stderr.strip().splitlines()
    return without_namespaces(last[-1] if last else f"exit code {tried.returncode}")


def private_folders(scratch: Path) -> dict[str, str]:
    """Environment of a kernel that keeps what programs write for themselves in its scratch folder."""
    names = {"IPYTHONDIR": "ipython", "MPLCONFIGDIR": "matplotlib", "TMPDIR": "tmp"}
    found = {variable: scratch / name for variable, name in names.items()}
    for folder in found.values():
        folder.mkdir(exist_ok=True)
    with contextlib.suppress(Exception):  # without the list of fonts, matplotlib makes it again
        import matplotlib

        for file in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):
            shutil.copy(file, found["MPLCONFIGDIR"])
    return {name: str(folder) for name, folder in found.items()}


# ---- what a kernel has started ----


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


@contextlib.contextmanager
def nothing_left() -> Iterator[dict[str, str]]:
    """Whatever a kernel has started in the block is gone behind it, also what has left its process group.

    yields  environment variables for the kernel. On Linux, orphans become children of this process (a
            "subreaper"); elsewhere they are known by these variables. Meanwhile nobody may write this
            process's memory
    """
    import psutil

    mark, own = f"{os.getpid()}-{uuid4().hex}", psutil.Process()
    before = {child.pid for child in own.children(recursive=True)}
    if sys.platform == "linux":
        _prctl(SUBREAPER, 1)
        _prctl(DUMPABLE, 0)
    try:
        yield {MARK: mark}
    finally:
        end = time.monotonic() + PATIENCE
        while (left := _left(own, before, mark)) and time.monotonic() < end:
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=1)
        if sys.platform == "linux":
            _prctl(SUBREAPER, 0)
            _prctl(DUMPABLE, 1)


def _left(own, before, mark):
    """Processes that are children of this one, but were not before, or that carry the mark."""
    import psutil

    found = [child for child in own.children(recursive=True) if child.pid not in before]
    known = {child.pid for child in found} | before
    for process in psutil.process_iter():
        if process.pid not in known:
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == mark:
                    found.append(process)
    return found

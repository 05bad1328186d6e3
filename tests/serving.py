"""A clone of this working tree, and the course's command running in it, as a student has them."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TOP = ("figures", "notebooks", "pfmsm_lite", "README.md", "CONTRIBUTING.md", "requirements.txt")
LONG = 300  # seconds to wait at most for what comes sooner or later


def clone(folder):
    """The working tree's files that the course needs, copied to `folder`; returns it."""
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for name in TOP:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


def own_settings(folder):
    """Environment of a JupyterLab that neither reads nor writes a user's settings, and fetches no news."""
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    places += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    own = {place: str(folder / place.lower()) for place in places}
    news = Path(own["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", "apputils-extension")
    news.mkdir(parents=True)
    quiet = json.dumps({"fetchNews": "false", "checkForUpdates": False})
    (news / "notification.jupyterlab-settings").write_text(quiet)
    others = {"JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "PFMSM_FAST", "PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name not in others} | own


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Lab(NamedTuple):
    """A running JupyterLab: its address, ending in a slash, its token, the folder of its kernels' files."""

    url: str
    token: str
    runtime: Path


@contextlib.contextmanager
def course(folder, settings, *options):
    """`python -m pfmsm_lite course` in a clone, without a browser, until the block ends: a Lab.

    settings  an empty folder for its log and for what Jupyter would write into the user's home
    """
    env = own_settings(settings) | {"JUPYTER_TOKEN": secrets.token_hex(16)}
    command = [sys.executable, "-m", "pfmsm_lite", "course", "--no-browser", f"--port={free_port()}"]
    command += ["--", "--ip=127.0.0.1", *options]
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    log, runtime = settings / "lab.log", Path(env["JUPYTER_RUNTIME_DIR"])
    with log.open("w") as written:
        server = subprocess.Popen(command, cwd=folder, env=env, stdout=written, stderr=subprocess.STDOUT)
    try:
        yield Lab(address(server, runtime, log), env["JUPYTER_TOKEN"], runtime)
    finally:
        server.terminate()  # JupyterLab then ends its kernels
        try:
            server.wait(LONG)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def address(server, runtime, log):
    """Where the server really listens: it takes another port if somebody was quicker."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        for file in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(ValueError, OSError):  # still being written, or not listening yet
                url = json.loads(file.read_text())["url"]
                urllib.request.urlopen(f"{url}api", timeout=LONG).close()
                return url
        assert server.poll() is None, f"JupyterLab did not start:\n{log.read_text()[-2000:]}"
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not start in {LONG} s:\n{log.read_text()[-2000:]}")

"""What a run depends on: the packages that are required, their versions here, and the machine."""

import contextlib
import os
import platform
import re
from importlib import metadata
from pathlib import Path

from pfmsm_lite import __version__

REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"
DECISIVE = ("pfmsm_lite", "numpy", "torch", "scikit-learn")


def requirements() -> dict[str, str]:
    """Package → its bounds, such as ">=2.0,<3", of the clone's requirements.txt, else as installed."""
    if REQUIREMENTS.exists():
        lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    else:
        lines = [line for line in metadata.requires("pfmsm-lite") or () if "extra ==" not in line]
    found = (re.match(r"([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?\s*([^;#]*)", line.strip()) for line in lines)
    return {match[1]: match[2].strip().strip("()") for match in found if match}


def versions() -> dict[str, str]:
    """Version of the package, of Python and of every required package that is installed."""
    found = {"pfmsm_lite": __version__, "python": platform.python_version()}
    for package in requirements():
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def decisive() -> dict[str, str]:
    """Versions of what the numbers of a training come from."""
    return {name: version for name, version in versions().items() if name in DECISIVE}


def machine() -> str:
    """The machine in words: processor, cores, system."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"

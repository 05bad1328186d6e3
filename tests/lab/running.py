"""What the tests of the commands share: a small table, small models, words of the command line, waiting."""

import os
import time

import numpy as np
import pandas as pd

from pfmsm_lite.lab.cli import main

SMALL = ["--experts", "2", "--hidden", "8,4", "--tower", "4", "--embedding-size", "4", "--batch-size", "64"]


def frame(rows=600, seed=0):
    """Three channels, two tasks, a bit of signal."""
    draw = np.random.default_rng(seed)
    city, age = draw.integers(0, 9, rows), draw.normal(40, 10, rows)
    chance = 1 / (1 + np.exp(-(city - 4) / 2 - (age - 40) / 20))
    return pd.DataFrame(
        {
            "channel": draw.choice(["app", "shop", "web"], rows),
            "city": [f"city {c}" for c in city],
            "age": age,
            "visit": (draw.random(rows) < chance).astype(int),
            "conversion": (draw.random(rows) < chance / 2).astype(int),
        }
    )


def own(path, *more, command="run"):
    """Words of a command on that table."""
    columns = ["--scenario", "channel", "--tasks", "visit,conversion"]
    return [command, "--data", str(path), *columns, *(SMALL if command == "run" else ()), *map(str, more)]


def refused(words, capsys, *fragments):
    """Exit code 2, one paragraph on stderr with all fragments, no traceback."""
    code = main([str(word) for word in words])
    error = " ".join(capsys.readouterr().err.split())
    assert code == 2 and "Traceback" not in error
    for fragment in fragments:
        assert fragment in error, error


def wait_until(happened, process=None, limit=240):
    """Wait for an event, however long a busy machine takes; of a process that must not end before it."""
    end = time.monotonic() + limit
    while not happened():
        assert process is None or process.poll() is None, "the process ended first"
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def in_group(group):
    """Whether any process of a process group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def cells(out):
    """Kept results of a directory → when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}


def same_run(first, second):
    """Every byte but the seconds."""
    assert (first / "results.csv").read_bytes() == (second / "results.csv").read_bytes()
    timeless = [pd.read_csv(d / "history.csv").drop(columns="seconds").to_csv() for d in (first, second)]
    assert timeless[0] == timeless[1]
    for path in first.glob("*.npz"):
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name

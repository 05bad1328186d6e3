"""A student's code can answer, but not judge, and it stays where it was put: attacks, one by one.

The first of each kind succeeded where the judge was in the student's kernel.
"""

import json
import os
import pickle
import sys
import time
from multiprocessing.connection import Client
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook
from solving import SOLUTIONS

from pfmsm_lite.course import wire
from pfmsm_lite.course.grade import Cell, grade, run
from pfmsm_lite.course.judge import UNFINISHED, Judge
from pfmsm_lite.course.protection import NOT_HELD, cage, nothing_left, without_namespaces
from pfmsm_lite.methods import METHODS

ROOT = Path(__file__).parents[2]
SETUP = (
    "SEED = 0\nFAST = False",
    'from pfmsm_lite.course.notebook import begin, check\nbegin("01_scenarios_and_tasks", FAST)',
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
caged = pytest.mark.skipif(bool(cage().why), reason=f"no namespaces here: {cage().why}")
FORGED = {  # name of an attack → its cell; some made `ok` of a wrong answer
    "a verdict of one's own": """import pfmsm_lite.course.notebook as course
import pfmsm_lite.course.exercise as exercise
kept = course.verdict, exercise.verdict
course.verdict = exercise.verdict = lambda *given: ("ok", "")
check("ex1", 7)
course.verdict, exercise.verdict = kept""",
    "exercises of one's own": """from dataclasses import replace
import pfmsm_lite.course.exercises.chapter01 as chapter
kept = chapter.EXERCISES
chapter.EXERCISES = {n: replace(e, judge=lambda answer: "") for n, e in kept.items()}
check("ex1", 7)
chapter.EXERCISES = kept""",
    "hints of one's own": """import pfmsm_lite.course.exercise as exercise
exercise.hint_for = lambda *given: ""
exercise.equals = lambda *given: True
check("ex1", 7)""",
    "an answer that equals everything": """class All(float):
    __eq__ = __ge__ = __le__ = lambda self, other: True
    __sub__ = __rsub__ = __abs__ = lambda self, *other: All(0)
check("ex1", All(7))""",
    "an array of one's own": """import numpy as np
class All(np.ndarray):
    def __array__(self, *given, **more): return np.array(0.5)
    def __float__(self): return 0.5
check("ex1", np.zeros(()).view(All))""",
    "a file of verdicts": """import json, os
for name, file in os.environ.items():
    if name.startswith("PFMSM") and os.path.isabs(file):
        try:
            open(file, "a").write(json.dumps({"chapter": "01", "exercise": "ex1", "state": "ok", "hint": ""}))
        except OSError:
            pass
check("ex1", 7)""",
    "a verdict sent as an answer": """import json, os
from multiprocessing.connection import Client
with Client(os.environ["PFMSM_GRADER"]) as line:
    line.send_bytes(b'v["ok", ""]')
with Client(os.environ["PFMSM_GRADER"]) as line:
    line.send_bytes(json.dumps({"chapter": "01", "name": "ex1", "state": "ok", "hint": "", "verdict": "ok",
                                "answer": {"unknown": "ok"}}).encode())
    line.recv_bytes()
check("ex1", 7)""",
    "a pickle": """import os, pickle
from multiprocessing.connection import Client
class Forge:
    def __reduce__(self):
        return exec, ("import pfmsm_lite.course.exercise as e; e.hint_for = lambda *a: ''",)
with Client(os.environ["PFMSM_GRADER"]) as line:
    line.send(Forge())
check("ex1", 7)""",
}


def made(path, *sources):
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in (*SETUP, *sources)]), path)
    return path


def running(text):
    """Process numbers whose command line holds a text (Linux)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text in (folder / "cmdline").read_text().split("\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


# ---- forging a verdict ----


class History(dict):
    """The verdicts of a judge, and beside them which were given while which cell ran."""

    def __init__(self):
        super().__init__()
        self.cell, self.given = 0, {}

    def __setitem__(self, name, verdict):
        super().__setitem__(name, verdict)
        self.given.setdefault(self.cell, []).append(verdict)


@pytest.fixture(scope="module")
def forged(tmp_path_factory):
    """Name of an attack → the verdicts that were given meanwhile. One kernel, without namespaces.

    Slow, some seconds.
    """
    scratch = tmp_path_factory.mktemp("forged").resolve()
    (scratch / "work").mkdir()
    judge, history = Judge("01"), History()
    judge.verdicts = history
    cells = [Cell(k, source) for k, source in enumerate((*SETUP, 'check("ex1", 7)', *FORGED.values()))]
    run(cells, judge, scratch, 60, False, lambda at: setattr(history, "cell", at), without_namespaces("x"))
    return {name: history.given.get(k, []) for k, name in enumerate(FORGED, len(SETUP) + 1)}


@pytest.mark.parametrize("name", FORGED)
def test_a_wrong_answer_stays_wrong_whatever_is_done_in_the_kernel(name, forged):
    assert {state for state, _ in forged[name]} <= {"wrong"}, forged[name]
    assert forged[name], "the attack did not come to its check"


def test_an_answer_may_be_given_as_often_as_one_likes_but_it_is_said(tmp_path):
    tries = "for k in range(1, 100):\n    check('ex1', k / 10000)\n" + "check('ex1', 0.01)"
    row = grade(made(tmp_path / "01_tries.ipynb", tries))[0]
    assert row.state == "ok" and row.note == "100 answers, the last one counts"


def test_in_an_examination_nobody_is_told_when_to_stop(tmp_path):
    """The answers until it is right, by what `check` printed or remembered."""
    asked = Judge("01", variant=3)
    with asked.listening(tmp_path) as address:
        told = {wire.ask(address, "01", "ex1", k / 100_000) for k in range(1, 5)}
        told |= {wire.ask(address, "01", "ex1", asked.known["ex1"].right)}
    assert told == {("noted", "")} and asked.verdicts["ex1"] == ("ok", "")


# ---- the wire ----


def through(tmp_path, chapter, name, answer):
    judge = Judge(chapter)
    with judge.listening(tmp_path) as address:
        told = wire.ask(address, chapter, name, answer)
    assert judge.verdicts[name] == told
    return told


VALUES = [
    None, True, 3, -2.5, "text", [1, [2, "x"]], (1, (2,)), {"a": 1, (1, 2): [3]}, {1, 2}, ...,
    np.arange(6).reshape(2, 3), np.float32(1.5), torch.tensor([1.0, 2.0]), torch.tensor(True),
    METHODS["pf_msmtrec"],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_plain_data_come_over_as_they_were(value):
    found = wire.unpack(json.loads(wire.dumps(wire.pack(value, []))), None)
    assert type(found) is type(value) or isinstance(value, np.generic)
    assert np.array_equal(found, value) if hasattr(value, "shape") else found == value


@pytest.mark.parametrize(
    "data",
    [
        {"array": ["object", [1], "AAAA", False]},
        {"array": ["float64", [10**12], "AAAA", False]},
        {"array": ["float64", [-1, -1], "AAAAAAAAAAA=", False]},
        {"array": ["float64", [1], "no base 64", False]},
        {"record": ["Popen", {}]},
        {"record": ["Method", {"name": "x", "summary": "", "aggregate": "no such rule"}]},
        {"record": ["Method", {"nothing": 1}]},
        {"function": ["x"]},
        {"a": 1, "b": 2},
        [1],
    ],
)
def test_anything_else_is_refused(data):
    with pytest.raises((ValueError, TypeError, KeyError, IndexError)):
        wire.unpack(data, lambda number, kind: None)


def test_a_name_of_a_type_is_only_a_name():
    found = wire.unpack({"unknown": "os.system('x')\n" * 100}, None)
    assert isinstance(found, wire.Unknown) and len(type(found).__name__) <= 60


def test_nothing_that_a_kernel_sends_is_unpickled(tmp_path, monkeypatch):
    class Forge:
        def __reduce__(self):
            return open, (str(tmp_path / "forged"), "w")

    judge = Judge("01")
    with judge.listening(tmp_path) as address:
        for message in (
            pickle.dumps(Forge()),
            b"",
            b"[",
            b"[" * 100_000,
            b"1" * 10_000,
            b"null",
            b"\xff" * 1000,
        ):
            with Client(address) as line:
                line.send_bytes(message)
        assert wire.ask(address, "01", "ex1", 0.01) == ("ok", "")
    assert not (tmp_path / "forged").exists()


def test_a_function_runs_where_it_is_and_its_result_is_judged_here(tmp_path):
    """The stand-in hands arguments over and takes plain results; what cannot be handed over is said."""
    assert through(tmp_path, "16", "ex1", lambda a, b: a)[0] == "wrong"
    assert through(tmp_path, "10", "ex2", lambda model: (name for name in ()))[0] == "wrong"
    state, hint = through(tmp_path, "08", "ex3", lambda results, method: object())
    assert state == "wrong" and "of type object; numbers, texts" in hint
    assert through(tmp_path, "04", "ex2", lambda change, uses: 1 / 0)[1].startswith(
        "your code stopped with Zero"
    )
    assert "expected a number, but this is of type function" in through(tmp_path, "04", "ex1", lambda: 1)[1]


def test_a_model_that_is_changed_in_place_is_changed_here(tmp_path):
    def gates_only(model):
        with torch.no_grad():
            model.gates.weight.zero_()

    assert "experts still differ" in through(tmp_path, "02", "ex3", gates_only)[1]


def test_a_kernel_that_ends_in_the_middle_of_a_call_leaves_the_answer_unfinished(tmp_path):
    judge = Judge("16")
    with judge.listening(tmp_path) as address:
        with Client(address) as line:
            answer = wire.pack(lambda a, b: a, [])
            line.send_bytes(wire.dumps({"chapter": "16", "name": "ex1", "answer": answer}))
            assert line.recv_bytes()[:1] == wire.CALL
        wire.ask(address, "16", "ex2", "own + α·mean")
    assert judge.verdicts == {"ex1": ("wrong", UNFINISHED), "ex2": ("ok", "")}


def test_every_published_solution_is_right_over_the_wire(tmp_path):
    """All kinds of answers that the exercises have."""
    from solving import solutions

    for file in sorted(SOLUTIONS.glob("chapter??.py")):
        number = file.stem[-2:]
        judge, right = Judge(number), solutions(number)
        (tmp_path / number).mkdir()
        with judge.listening(tmp_path / number) as address:
            told = {name: wire.ask(address, number, name, right[name]) for name in judge.known}
        assert told == dict.fromkeys(judge.known, ("ok", "")), number


# ---- what a notebook does to the machine ----

OUTSIDE = """from pathlib import Path
import os, socket, subprocess
found = []
for place in ({0!r}, "/var/tmp", "/tmp", os.path.expanduser("~")):
    try:
        Path(place, "pfmsm_forged").write_text("x")
        found.append(place)
    except OSError:
        pass
try:
    socket.create_connection(("127.0.0.1", {1}), 2)
    found.append("network")
except OSError:
    pass
if Path({2!r}).is_file() and Path({2!r}).read_text():
    found.append("another notebook")
Path("own.txt").write_text("in its own folder one may write")
check("ex1", 0.01 if not found else f"got out: {{found}}")"""
SIGNALS = """import os, signal
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
    try:
        os.kill(os.getppid(), number)
    except OSError:
        pass
check("ex1", 0.01)"""
DETACHED = """import subprocess
subprocess.Popen(["sleep", {0!r}], start_new_session=True, env={{}}, close_fds=True)
subprocess.Popen(["sh", "-c", "setsid sleep {0} & exit"], start_new_session=True).wait()
check("ex1", 0.01)"""


@caged
def test_nothing_is_written_outside_the_folder_and_nothing_is_sent(tmp_path):
    import socket

    other = made(tmp_path / "01_other.ipynb", "secret = 1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        cell = OUTSIDE.format(str(ROOT), server.getsockname()[1], str(other))
        path = made(tmp_path / "01_out.ipynb", cell)
        row = grade(path, around=cage([other, path]))[0]
    assert row.state == "ok", row
    assert not (ROOT / "pfmsm_forged").exists()


@linux
def test_where_there_are_no_namespaces_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "pfmsm_lite.course.protection.START", (sys.executable, "-c", "raise SystemExit('no')")
    )
    found = cage()
    assert found.why == "no" and found.sentence == NOT_HELD.format("no") and "--open" in found.words


@linux
@pytest.mark.parametrize("namespaces", [pytest.param(True, marks=caged), False])
def test_a_detached_child_is_gone_behind_the_notebook(namespaces, tmp_path):
    name = f"98{os.getpid()}.{int(namespaces)}"
    around = cage() if namespaces else without_namespaces("not asked for")
    row = grade(made(tmp_path / "01_child.ipynb", DETACHED.format(name)), around=around)[0]
    assert row.state == "ok" and running(name) == []


@linux
@pytest.mark.parametrize("namespaces", [pytest.param(True, marks=caged), False])
def test_a_signal_to_the_parent_does_not_end_grading(namespaces, tmp_path):
    around = cage() if namespaces else without_namespaces("not asked for")
    row = grade(made(tmp_path / "01_signal.ipynb", SIGNALS), around=around)[0]
    assert row.state == ("ok" if namespaces else "not reached"), row
    assert namespaces or "the kernel died" in row.note


@linux
def test_what_a_block_starts_is_gone_and_what_was_there_stays():
    import subprocess

    before = subprocess.Popen(["sleep", "60"])
    with nothing_left() as mark:
        own = subprocess.Popen(["sleep", "61"], start_new_session=True)
        orphan = subprocess.run(
            ["sh", "-c", "setsid sleep 62 >/dev/null 2>&1 & echo $!"],
            capture_output=True,
            text=True,
            env={**os.environ, **mark},
        )
        time.sleep(0.2)
    assert before.poll() is None and own.poll() is not None
    assert int(orphan.stdout) not in running("62")
    before.kill()
    before.wait()

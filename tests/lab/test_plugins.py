"""Files of one's own: run once before anything is checked, in workers too, kept by name and sha256."""

import hashlib
import json

import pytest
from running import cells, own, refused

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import plugins
from pfmsm_lite.lab.cli import main
from pfmsm_lite.lab.runs import compare
from pfmsm_lite.methods import METHODS

METHOD = """
from dataclasses import dataclass, replace
from pathlib import Path

from pfmsm_lite.methods import METHODS

METHODS["mine"] = replace(METHODS["fedavg"], name="mine", summary="for a test")
with Path(__file__).with_suffix(".log").open("a") as log:
    print("run", file=log)


@dataclass
class Kept:
    value: int = 1
"""
OPTIONS = ("--methods", "mine,local", "--rounds", "1", "--processes", "1")


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A plugin that declares a method; what it leaves in this process goes with the test."""
    monkeypatch.setattr(plugins, "_loaded", set())
    file = tmp_path / "mine.py"
    file.write_text(METHOD)
    yield file
    METHODS.pop("mine", None)


def test_a_plugin_is_run_here_and_in_the_workers_and_a_resumed_run_wants_the_same_file(
    csv, plugin, tmp_path, capsys
):
    out = tmp_path / "out"
    words = own(csv, *OPTIONS, "--seeds", "0", "--plugin", plugin, "--plugin", plugin, "--out", out)
    assert main(words) == 0
    log = plugin.with_suffix(".log")
    assert log.read_text().count("run") == 2  # once in each process
    kept = json.loads((out / "config.json").read_text())["arguments"]["plugin"]
    sha256 = hashlib.sha256(METHOD.encode()).hexdigest()
    assert kept == 2 * [{"file": str(plugin), "sha256": sha256}]
    METHODS.pop("mine")
    plugins._loaded.clear()  # as a new process would have it
    assert main(["run", "--resume", str(out), "--rounds", "2"]) == 0
    assert log.read_text().count("run") == 4
    plugin.write_text(METHOD + "# another line\n")
    refused(["run", "--resume", out], capsys, "mine.py is not what the run was begun with")
    plugin.unlink()
    refused(["run", "--resume", out], capsys, "mine.py cannot be read (No such file or directory)")


def test_a_comparison_takes_a_plugin_too_and_without_one_its_config_has_no_trace_of_it(csv, plugin, tmp_path):
    options = (*OPTIONS, "--seeds", "1", "--budget", "1")
    assert main(own(csv, *options, "--plugin", plugin, "--out", tmp_path / "a", command="compare")) == 0
    assert set(cells(tmp_path / "a")) == {"mine-0-0.json", "local-0-0.json"}
    plain = [
        word.replace("mine,", "") for word in own(csv, *options, "--out", tmp_path / "b", command="compare")
    ]
    assert main(plain) == 0
    assert "plugin" not in json.loads((tmp_path / "b" / "config.json").read_text())["arguments"]


def test_a_comparison_from_python_takes_one_as_well(csv, plugin):
    options = {"scenario": "channel", "tasks": ["visit", "conversion"], "rounds": 1}
    assert compare(str(csv), ["mine"], [0], plugin=[str(plugin)], **options).methods == ["mine"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("a = 1\n\nb = a + nothing\n", "line 3: NameError: name 'nothing' is not defined."),
        ("a = 1\nb = = 2\n", "line 2: SyntaxError: invalid syntax."),
        ("def f():\n    raise KeyError('x')\n\n\nf()\n", "line 2: KeyError: 'x'."),
        ("import sys\n\nsys.exit()\n", "line 3: SystemExit."),
        ("import json\njson.loads('{')\n", "line 2: JSONDecodeError"),
        (
            "from pfmsm_lite import Method\nMethod('x', 'y', coordinate='pcgrat')\n",
            "line 2: Unknown --coordinate 'pcgrat'. Did you mean 'pcgrad'?",
        ),
        ("assert False\n", "line 1: AssertionError."),
    ],
)
def test_an_error_inside_is_told_by_file_and_line(source, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(source)
    refused(["run", "--plugin", "bad.py"], capsys, f"--plugin bad.py, {said}", "Correct the file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.py"]


@pytest.mark.parametrize("command", ["compare", "map", "report"])
def test_the_other_commands_run_it_first_as_well(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text("a = nothing\n")
    refused([command, "--plugin", "bad.py"], capsys, "--plugin bad.py, line 1: NameError")


def test_a_missing_file_and_a_folder_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(["run", "--plugin", "gone.py"], capsys, "--plugin gone.py cannot be read", "Give a Python file")
    refused(["run", "--plugin", tmp_path], capsys, "cannot be read (Is a directory)")
    with pytest.raises(UserError, match="gone.py cannot be read"):
        compare("synthetic", ["local"], [0], plugin=["gone.py"])


def test_a_page_is_made_in_another_folder_so_it_gets_the_whole_path(plugin, monkeypatch):
    given = {}
    monkeypatch.setattr("pfmsm_lite.course.report.report", lambda **options: given.update(options))
    monkeypatch.chdir(plugin.parent)
    assert main(["report", "--data", "synthetic", "--plugin", "mine.py", "--methods", "mine"]) == 0
    assert given["options"]["plugin"] == [str(plugin)] and "mine" in METHODS

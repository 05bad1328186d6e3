"""A command's directory: where it may be, what is kept of the machine, what goes when nothing was begun."""

import json
from collections import namedtuple

import pytest
from running import own, refused

from pfmsm_lite.lab import directory, versions
from pfmsm_lite.lab.cli import main


def begun_with(**arguments):
    """The content of a config.json."""
    return {"arguments": {"data": "synthetic", **arguments}, "data": {"digest": "0", "rows": {}, "notes": {}}}


def test_what_was_begun_is_removed_only_if_nothing_but_an_empty_checkpoint_lies_in_it(tmp_path):
    out = tmp_path / "out"
    (out / "checkpoint").mkdir(parents=True)
    (out / "config.json").touch()
    directory.discard(out)
    assert (out / "checkpoint").is_dir()
    (out / "config.json").unlink()
    (out / "checkpoint" / "pf-0.pt").touch()
    directory.discard(out)
    assert (out / "checkpoint" / "pf-0.pt").exists()
    (out / "checkpoint" / "pf-0.pt").unlink()
    directory.discard(out)
    directory.discard(out)
    assert not out.exists()


def test_where_a_run_may_be_saved(csv, tmp_path, capsys):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("mine")
    refused(own(csv, "--out", taken), capsys, "already exists. Choose another --out")
    refused(own(csv, "--out", csv / "below a file"), capsys, "cannot be written")
    assert (taken / "thesis.txt").read_text() == "mine"


def test_a_full_disk_is_reported_before_training(csv, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(directory.shutil, "disk_usage", lambda path: namedtuple("usage", "free")(2**20))
    refused(own(csv, "--out", tmp_path / "full"), capsys, "Only 1 MiB are free")


@pytest.mark.parametrize("command", ["run", "compare", "map"])
def test_a_command_goes_on_only_with_what_it_has_begun(command, tmp_path, capsys):
    begun = {"run": "checkpoint_seconds", "compare": "budget", "map": "factors"}
    for other, mark in begun.items():
        if other != command:
            (tmp_path / "config.json").write_text(json.dumps(begun_with(**{mark: 1})))
            assert main([command, "--resume", str(tmp_path)]) == 2
            assert "holds what another command began" in " ".join(capsys.readouterr().err.split())


def test_what_is_required_is_read_from_one_list(tmp_path, monkeypatch):
    needed = versions.requirements()
    assert {"torch", "numpy", "scikit-learn"} <= set(needed) and needed["numpy"].startswith(">=2")
    assert set(versions.versions()) == {"pfmsm_lite", "python", *needed}
    listed = ["# a comment", "", "a-b.c[d]>=1,<2  # why", "e ; python_version > '3'"]
    file = tmp_path / "requirements.txt"
    file.write_text("\n".join(listed))
    monkeypatch.setattr(versions, "REQUIREMENTS", file)
    assert versions.requirements() == {"a-b.c": ">=1,<2", "e": ""}
    file.unlink()
    installed = ["torch==2.13.0", 'jupyterlab<5,>=4.2; extra == "course"']
    monkeypatch.setattr(versions.metadata, "requires", lambda name: installed)
    assert versions.requirements() == {"torch": "==2.13.0"}

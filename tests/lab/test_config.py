"""config.json: damaged in every way, compared with the data of now, given back; and who owns a directory."""

import json
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from running import SMALL, frame, own, refused, same_run

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import compare, config, lock, sources
from pfmsm_lite.lab.cli import main, parser
from pfmsm_lite.lab.directory import in_full, made

TINY = ["--methods", "local,fedavg", "--seeds", "0", "--rounds", "2", "--processes", "1"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with my.csv and a finished run in runs/one, begun there with relative paths."""
    folder = tmp_path_factory.mktemp("begun")
    frame().to_csv(folder / "my.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(own("my.csv", "--out", "runs/one", *TINY)) == 0
    return folder


def described(folder):
    return json.loads((folder / "config.json").read_text())


def test_a_finished_run_has_a_line_a_round_in_its_log_and_no_lock(finished):
    lines = (finished / "runs/one/log.txt").read_text().splitlines()
    found = sorted(tuple(line.split("  ")[1:4]) for line in lines)
    assert found == [(m, "seed 0", f"round {r}") for m in ("fedavg", "local") for r in (1, 2)]
    assert all(float(line.rsplit(" ", 1)[1]) <= 1 for line in lines)
    assert not (finished / "runs/one" / lock.NAME).exists()


def test_a_run_goes_on_from_another_folder(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--resume", str(finished / "runs/one"), "--rounds", "3"]) == 0
    assert described(finished / "runs/one")["arguments"]["data"] == "my.csv"
    assert pd.read_csv(finished / "runs/one/history.csv")["round"].max() == 3
    refused(
        ["run", "--resume", finished / "runs/one", "--rounds", "2"], capsys, "begun with 3", "not for fewer"
    )
    assert not list(tmp_path.iterdir())


def test_a_config_can_be_given_back_and_what_is_given_beside_it_overrides(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = str(finished / "runs/one/config.json")
    assert main(["run", "--config", file, "--out", "again"]) == 0
    same_run(finished / "runs/one", tmp_path / "again")
    assert main(["run", "--config", file, "--out", "other", "--methods", "local", "--seeds", "1"]) == 0
    found = described(tmp_path / "other")["arguments"]
    assert (found["methods"], found["seeds"], found["experts"]) == (["local"], [1], 2)


def test_a_config_that_cannot_be_given_back_is_refused(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = finished / "runs/one/config.json"
    refused(["run", "--config", "none.json"], capsys, "There is no none.json")
    refused(["run", "--config", file, "--resume", finished / "runs/one"], capsys, "--config cannot be given")
    refused(["run", "--config", file, "--methods", "pooled", "--aggregate", "cosine"], capsys, "--aggregate")
    found = described(finished / "runs/one")
    del found["arguments"]["checkpoint_seconds"]
    (tmp_path / "map.json").write_text(json.dumps(found))
    refused(["run", "--config", "map.json"], capsys, "of a command other than run")
    assert [path.name for path in tmp_path.iterdir()] == ["map.json"]


def changed(path, value):
    """A change of what lies at a path in a config."""

    def change(found):
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(
            lambda found, content=content: content
            for content in ("[]", "{}", "3", "null", "", '{"arguments": 3}')
        ),
        lambda found: json.dumps(found)[:-30],
        lambda found: '{"arguments": {}, "data": {}}',
        changed(["arguments"], []),
        changed(["data"], 7),
        changed(["data", "rows"], []),
        changed(["data", "rows"], {"app": 3}),
        changed(["data", "digest"], 3),
        changed(["data", "notes"], "x"),
        *(changed(["arguments", name], value) for name, value in {
            "data": 3, "methods": "local", "seeds": "0", "rounds": "many", "threads": None,
            "processes": [1.5], "knob": [3], "plugin": [{"file": 3}], "tasks": "visit",
            "scenario": 3, "checkpoint_seconds": "x",
            "folder": 3, "strange": 3,
            "batch_size": "x", "hidden": 3, "share": [["gate", 3]], "radius": "x",
        }.items()),
    ],
)  # fmt: skip
def test_a_damaged_config_is_one_paragraph(change, finished, tmp_path, capsys):
    found = described(finished / "runs/one")
    text = change(found)
    (tmp_path / "config.json").write_text(text if isinstance(text, str) else json.dumps(found))
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(["run", "--resume", str(tmp_path)]) == 2
    assert main(["run", "--config", str(tmp_path / "config.json"), "--out", str(tmp_path / "x")]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error and "fault of the program" not in error, error
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_differs_is_named_when_the_data_changed(finished, tmp_path, capsys):
    table = tmp_path / "my.csv"
    data = frame()
    data.to_csv(table, index=False)
    assert main(own(table, "--out", tmp_path / "out", *TINY)) == 0
    resume = ["run", "--resume", str(tmp_path / "out")]
    for change, said in (
        (lambda d: d[d.channel != "web"], "scenarios are gone: web"),
        (lambda d: d.assign(channel=d.channel.where(d.index > 200, "kiosk")), "scenarios are new: kiosk"),
        (lambda d: d.iloc[:-60], "train rows and has"),
        (lambda d: d.assign(age=d.age**2), "as many rows, with other values"),
        (
            lambda d: d.assign(age=np.round(d.age).astype(int).astype(str) + "x"),
            "columns are read in another way",
        ),
    ):
        change(data).to_csv(table, index=False)
        refused(resume, capsys, "not what", said)


# ---- who owns a directory ----


def test_while_one_owns_a_directory_another_is_refused(tmp_path):
    with lock.owned(tmp_path):
        with pytest.raises(UserError, match="Another process is at work in"), lock.owned(tmp_path):
            pass
    assert not list(tmp_path.iterdir())
    with lock.owned(tmp_path):
        pass


def test_the_system_releases_the_lock_of_a_process_that_dies(tmp_path):
    code = (
        "import sys, time; from pfmsm_lite.lab import lock\n"
        f"with lock.owned({str(tmp_path)!r}):\n    print('mine', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline().strip() == b"mine"
        with pytest.raises(UserError, match="Another process"), lock.owned(tmp_path):
            pass
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    with lock.owned(tmp_path):
        pass


def test_of_many_at_once_one_owns_a_directory(tmp_path):
    inside, failed, barrier = [], [], threading.Barrier(8)

    def one():
        barrier.wait()
        for _ in range(50):
            try:
                with lock.owned(tmp_path):
                    inside.append(1)
                    assert len(inside) == 1
                    inside.pop()
            except UserError:
                pass
            except AssertionError as error:
                failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.parametrize("words", [["run"], ["compare", "--methods", "local"], ["map"]])
def test_a_command_is_refused_where_another_is_at_work(words, finished, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    with lock.owned(tmp_path / "out"):
        refused([*words, "--out", tmp_path / "out"], capsys, "Another process is at work")
    if words == ["run"]:
        with lock.owned(finished / "runs/one"):
            refused(["run", "--resume", finished / "runs/one"], capsys, "Another process is at work")


def test_two_runs_at_once_end_as_one(tmp_path):
    """Of two `run --out X` within a moment one trains: its results and its config belong together."""
    frame().to_csv(tmp_path / "my.csv", index=False)
    words = own("my.csv", "--out", "X", "--methods", "local", "--rounds", "2", "--processes", "1")
    commands = [[sys.executable, "-m", "pfmsm_lite", *words, "--seeds", seed] for seed in "12"]
    started = [
        subprocess.Popen(c, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) for c in commands
    ]
    errors = [process.communicate()[1].decode() for process in started]
    codes = sorted(process.returncode for process in started)
    assert codes == [0, 2], errors
    assert "Another process is at work in X" in " ".join(errors) or "X already exists" in " ".join(errors)
    seeds = described(tmp_path / "X")["arguments"]["seeds"]
    assert sorted(pd.read_csv(tmp_path / "X/results.csv")["seed"].unique()) == seeds


# ---- where a run may begin ----


def test_what_was_made_goes_when_it_ends_before_anything_was_begun(tmp_path, monkeypatch, capsys, csv):
    monkeypatch.chdir(tmp_path)

    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "read", interrupt)
    assert main(own(csv, "--out", "a/b/c", *TINY)) == 130
    assert capsys.readouterr().err.strip() == "Interrupted." and not (tmp_path / "a").exists()


def test_no_circle_of_advice(tmp_path, capsys, csv):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/x.txt").touch()
    refused(own(csv, "--out", tmp_path / "thesis"), capsys, "already exists. Choose another --out")
    refused(["run", "--resume", tmp_path / "thesis"], capsys, "nothing to resume", "begin with another --out")
    refused(
        ["run", "--resume", tmp_path / "none"], capsys, "nothing to resume", f"begin with --out {tmp_path}"
    )


def test_a_free_name_and_the_arguments_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = in_full(vars(parser().commands["run"].parse_args(["--methods", "local", *SMALL])))
    assert arguments["rounds"] == 10
    with made(arguments) as out:
        assert str(out) == "runs/synthetic" and (out / "checkpoint").is_dir()
        with made(arguments) as other:
            assert str(other) == "runs/synthetic-2"


def test_a_file_lies_where_the_command_was_begun(tmp_path, monkeypatch):
    (tmp_path / "then").mkdir()
    (tmp_path / "now").mkdir()
    (tmp_path / "then/my.csv").touch()
    monkeypatch.chdir(tmp_path / "now")
    arguments = {"data": "my.csv", "folder": str(tmp_path / "then"), "data_dir": None}
    assert sources.located(arguments)["data"] == str(tmp_path / "then/my.csv")
    (tmp_path / "now/other.csv").touch()  # of a directory that was moved with its data
    assert sources.located({**arguments, "data": "other.csv"})["data"] == "other.csv"
    assert sources.located({**arguments, "data": "synthetic"})["data"] == "synthetic"
    assert config.NAME == "config.json"


def test_a_comparison_of_data_with_settings_of_their_own_can_be_taken_up():
    command = next(action for action in parser()._actions if action.choices).choices["compare"]
    words = "compare --data kuairand --data-dir x --methods local".split()
    arguments = in_full(compare.checked(vars(parser().parse_args(words))))
    arguments |= {"threads": 1, "processes": 1}
    assert arguments["batch_size"] == 1024  # no option of compare
    found = config.arguments_of({"arguments": arguments}, command, "here")
    assert found["batch_size"] == 1024 and found["calibrate"] == "platt"
    with pytest.raises(UserError, match="has an argument batch_size"):
        config.arguments_of({"arguments": {**arguments, "batch_size": 7}}, command, "here")

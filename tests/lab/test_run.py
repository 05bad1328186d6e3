"""The main command as its users run it: what it writes, what it refuses, and how it resumes."""

import contextlib
import io
import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from running import frame, in_group, own, refused, same_run, wait_until

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.cli import main, parser
from pfmsm_lite.lab.directory import in_full, made
from pfmsm_lite.lab.run import run_all
from pfmsm_lite.lab.statistics import summary


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run on a person's own table: (the table, its directory, what was printed)."""
    folder = tmp_path_factory.mktemp("finished")
    table, out = folder / "my.csv", folder / "out"
    frame().to_csv(table, index=False)
    options = ("--methods", "local,fedavg,pf_msmtrec", "--seeds", "0,1", "--rounds", "2", "--out", out)
    printed, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        assert main(own(table, *options)) == 0
    assert errors.getvalue() == ""
    return table, out, printed.getvalue()


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of that run, to be resumed or damaged: (the table, the copy)."""
    out = tmp_path / "out"
    shutil.copytree(finished[1], out)
    return finished[0], out


def test_a_persons_own_table_goes_from_csv_to_results(finished):
    _, out, printed = finished
    assert "column city: categorical" in printed and "column age: numerical" in printed
    results = pd.read_csv(out / "results.csv")
    assert list(results) == "method seed scenario task split rows positives auc logloss".split()
    assert len(results) == 3 * 2 * 3 * 2 * 2
    assert set(results["split"]) == {"valid", "test"}
    history = pd.read_csv(out / "history.csv")
    assert {
        "method",
        "seed",
        "round",
        "scenario",
        "task",
        "valid_auc",
        "train_loss",
        "seconds",
        "bytes",
    } <= set(history)
    assert len(history) == 3 * 2 * 2 * 3 * 2
    arrays = np.load(out / "pf_msmtrec-1.npz")
    assert arrays["weights"].shape == (2, 4, 3, 3) and list(arrays["clients"]) == ["app", "shop", "web"]
    assert arrays["cosine_before"].shape == arrays["cosine_after"].shape == (2, 4, 3, 3)
    assert arrays["norm"].shape == (2, 4, 3)
    for name in ("auc", "convergence", "conflicts", "mixing"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    assert "Should these scenarios federate" in printed and "Gain of pf_msmtrec over local" in printed
    assert "over seeds and test rows" in printed and "base rate" in printed and "ECE" in printed
    gain = pd.read_csv(out / "verdict.csv").set_index("scenario")
    test = results.query("split == 'test'").groupby(["scenario", "method"])["auc"].mean().unstack()
    assert (100 * (test["pf_msmtrec"] - test["local"])).to_dict() == pytest.approx(gain["gain"].to_dict())
    assert gain["low"].lt(gain["gain"]).all() and gain["high"].gt(gain["gain"]).all()
    assert len(pd.read_csv(out / "sources.csv")) == 6
    sentences = (out / "verdict.txt").read_text(encoding="utf-8").splitlines()
    assert 5 <= len(sentences) <= 8 and all(f"- {sentence}" in printed for sentence in sentences)
    beside = pd.read_csv(out / "metrics.csv")
    assert len(beside) == len(results) and beside["calibration_error"].between(0, 1).all()
    config = json.loads((out / "config.json").read_text())
    assert config["arguments"]["seeds"] == [0, 1] and config["versions"]["torch"] and config["data"]["digest"]
    assert config["methods"][2]["compose"] == "hadamard" and config["settings"]["hidden"] == [8, 4]
    mean = results.query("method == 'local' and split == 'test'")["auc"].mean()
    line = next(line for line in printed.splitlines() if line.startswith("local "))
    assert f"{mean:.3f}".removeprefix("0") in line.split()


def test_results_do_not_depend_on_how_many_processes_share_the_work(finished, tmp_path):
    table, two, _ = finished
    options = ("--methods", "local,fedavg,pf_msmtrec", "--seeds", "0,1", "--rounds", "2", "--processes", "1")
    assert main(own(table, *options, "--out", tmp_path / "one")) == 0
    assert (two / "results.csv").read_bytes() == (tmp_path / "one" / "results.csv").read_bytes()


def test_a_finished_run_can_be_resumed_for_more_rounds(copied, tmp_path):
    table, out = copied
    options = ("--methods", "local,fedavg,pf_msmtrec", "--seeds", "0,1", "--rounds", "4")
    assert main(own(table, *options, "--out", tmp_path / "long")) == 0
    (out / "checkpoint" / "pf_msmtrec-0.part7").touch()  # of a run killed while it wrote
    assert main(["run", "--resume", str(out), "--rounds", "4"]) == 0
    same_run(tmp_path / "long", out)
    assert not list(out.rglob("*.part*"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody interrupts: (its words without --out, its directory)."""
    folder = tmp_path_factory.mktemp("whole")
    frame().to_csv(folder / "my.csv", index=False)
    options = (
        "--methods",
        "pf_msmtrec,fedavg",
        "--seeds",
        "0,1",
        "--rounds",
        "25",
        "--checkpoint-seconds",
        "0",
    )
    words = own(folder / "my.csv", *options)
    assert main([*words, "--out", str(folder / "out")]) == 0
    return words, folder / "out"


# slow: a process of its own, killed after its first checkpoint, and the rest of 4 × 25 rounds after that
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_resumes_and_ends_with_the_same_bytes(whole, tmp_path, how):
    words, complete = whole
    cut = tmp_path / "cut"
    command = [sys.executable, "-m", "pfmsm_lite", *words, "--out", str(cut)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    wait_until(lambda: list(cut.glob("checkpoint/*.pt")), process)
    process.send_signal(how)
    error = process.communicate(timeout=60)[1].decode()
    assert process.returncode == (-how if how == signal.SIGKILL else 130)
    if how == signal.SIGINT:
        assert f"--resume {cut}" in error and "Traceback" not in error
    wait_until(lambda: not in_group(process.pid))  # no worker outlives the run that was killed
    assert not (cut / "results.csv").exists()
    assert main(["run", "--resume", str(cut)]) == 0
    same_run(complete, cut)
    assert not list(cut.rglob("*.part*"))


def test_a_resume_that_is_refused_leaves_the_run_as_it_was(copied, tmp_path, capsys):
    table, out = copied
    for path in (out / "checkpoint").iterdir():
        path.unlink()
    before, kept = table.read_text(), sorted(path.name for path in out.iterdir())
    try:
        table.write_text(before.replace(",1", ",0", 1))
        refused(["run", "--resume", out], capsys, "not what", "was begun with")
    finally:
        table.write_text(before)
    assert sorted(path.name for path in out.iterdir()) == kept
    (out / "checkpoint").rmdir()  # by whom ever: it is made again
    assert main(["run", "--resume", str(out)]) == 0


def test_what_resume_refuses(copied, capsys):
    _, out = copied
    refused(["run", "--resume", out, "--radius", "0.1"], capsys, "--radius cannot be given")
    refused(["run", "--resume", out, "--plugin", "mine.py"], capsys, "--plugin cannot be given")
    checkpoint = out / "checkpoint" / "local-0.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    refused(["run", "--resume", out], capsys, "local-0.pt cannot be read")
    checkpoint.unlink()
    assert main(["run", "--resume", str(out)]) == 0
    (out / "config.json").write_text("{")
    refused(["run", "--resume", out], capsys, "config.json is damaged")


def test_bad_input_is_refused_with_the_place_and_the_remedy(csv, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def table_with(name, change):
        data = frame()
        change(data)
        path = tmp_path / f"{name}.csv"
        data.to_csv(path, index=False)
        return own(path, "--out", tmp_path / f"out {name}")

    def put(column, row, value):
        def change(data):
            data[column] = data[column].astype(object)
            data.loc[row, column] = value

        return change

    (tmp_path / "empty.csv").touch()
    refused(own(tmp_path / "none.csv"), capsys, "There is no file", "none.csv")
    refused(own(tmp_path / "empty.csv"), capsys, "empty.csv is empty")
    refused(
        table_with("label", put("visit", 6, 2)), capsys, "label.csv", "row 7 (line 8", "'visit'", "0, 1 or"
    )

    def old(data):
        data["age"] = data["age"].astype(object)
        data.loc[::2, "age"] = "old"

    named = table_with("text", old)
    refused([*named, "--numerical", "age"], capsys, "text.csv", "row 1", "'age'", "'old'", "ignore")
    refused(own(csv, "--categorical", "town"), capsys, "'town'", "column (as categorical) in my.csv")
    refused(own(csv, "--categorical", "citi"), capsys, "Did you mean 'city'")
    refused(["run", "--data", str(csv)], capsys, "--scenario COLUMN", "--tasks")
    twice = tmp_path / "twice.csv"
    twice.write_text("channel,visit,conversion,a\napp,1,0,1\n")
    refused(own(csv, "--categorical", "visit"), capsys, "'visit' is named as task and as categorical")
    assert not list(tmp_path.glob("runs/*")) and not list(tmp_path.glob("out *"))  # what was begun is gone


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        (["--methods", "fedavgg"], ["Unknown method 'fedavgg'", "Did you mean 'fedavg"]),
        (["--coordinate", "two_vektor"], ["--coordinate", "Did you mean 'two_vector'"]),
        (["--compose", "hadamar"], ["--compose", "Did you mean 'hadamard'"]),
        (["--rounds", "0"], ["--rounds is 0", "at least 1"]),
        (["--radius", "1"], ["--radius is 1.0", "below 1"]),
        (["--radius", "-0.5"], ["--radius is -0.5", "at least 0"]),
        (["--data", "synthetik"], ["Did you mean 'synthetic'"]),
        (["--data", "kuairand"], ["--data-dir"]),
        (["--data", "kuairand", "--data-dir", "nowhere"], ["user_features_pure.csv is missing", "10439422"]),
        (["--data", "thing.xyz", "--scenario", "a", "--tasks", "b"], ["what format", ".parquet"]),
        (["--seeds", "1,1"], ["--seeds names something twice"]),
        (["--batch-norm", "maybe"], ["'maybe'", "yes, no"]),
        (["--roundz", "3"], ["--roundz", "--help"]),
        (["--device", "tpu"], ["--device", "cpu, cuda, mps"]),
        (["--resume", "nowhere"], ["nothing to resume"]),
        (
            ["--share", "gat=mean"],
            ["Unknown --share 'gat'", "Did you mean 'gate'"],
        ),
        (["--share", "gate=meen"], ["Unknown policy of gate", "Did you mean 'mean'"]),
        (["--share", "expert.scenario=local"], ["normalize is 'moment', but expert.scenario is 'local'"]),
        (["--knob", "across"], ["'across' is not of the form NAME=VALUE"]),
        (["--knob", "acros=0.5"], ["Unknown --knob 'acros'", "Did you mean 'across'"]),
        (["--knob", "seed=1"], ["Unknown --knob 'seed'"]),
        (["--knob", "across=much"], ["--knob across", "much", "must be a number", "0.3"]),
        (["--knob", "label_noise=0.7"], ["label_noise is 0.7", "[0, 0.49]"]),
        (["--knob", "across=0.5", "--data", "kuairand"], ["--knob turns the generator", "kuairand has none"]),
        (
            ["--methods", "m3oe", "--knob", "sizes=[100]", "--knob", "relatedness=[0]"],
            ["method m3oe needs at least 2 scenarios", "synthetic has 1", "Leave it out"],
        ),
    ],
)
def test_bad_options_are_refused_by_name(options, fragments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(["run", *options], capsys, *fragments)
    assert not list(tmp_path.glob("runs/*"))


def test_debug_shows_the_traceback(capsys):
    with pytest.raises(UserError):
        main(["run", "--debug", "--methods", "nope"])


def test_a_leak_is_named_in_a_warning(tmp_path, capsys):
    data = frame()
    data["paid"] = data["conversion"] * 9.99
    data.to_csv(tmp_path / "leak.csv", index=False)
    options = ("--methods", "local", "--seeds", "0", "--rounds", "1", "--processes", "1", "--out")
    main(own(tmp_path / "leak.csv", *options, tmp_path / "out"))
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning")]
    assert len(warnings) == 1 and "'paid'" in warnings[0] and "--ignore paid" in warnings[0]


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    """The synthetic default, five seeds. Slow: 15 trainings of full size, for what is claimed of them."""
    out = tmp_path_factory.mktemp("default") / "out"
    arguments = vars(
        parser().parse_args(["run", "--methods", "local,fedavg,pf_msmtrec", "--seeds", "0,1,2,3,4"])
    )
    arguments.update(out=str(out), threads=1, processes=2)
    arguments = in_full(arguments)
    with made(arguments) as out:
        return run_all(out, arguments, show=lambda text: None)


def test_on_the_default_pf_msmtrec_beats_fedavg_and_local(default):
    for rival in ("fedavg", "local"):
        found = summary(default, rival).loc["pf_msmtrec"]
        assert found["low"] > 0, (rival, found)


def test_on_the_default_the_learned_weights_find_the_clusters(default):
    for history in default:
        if history.method == "pf_msmtrec":
            experts = [unit for unit in history.units if unit.startswith("expert")]
            weights = history.weights.sel(unit=experts).isel(round=-1).mean("unit").values
            off = weights - np.diag(np.diag(weights))
            within = np.array([off[n, (n // 3) * 3 : (n // 3) * 3 + 3].sum() / 2 for n in range(6)])
            across = np.array([off[n, 3 - (n // 3) * 3 : 6 - (n // 3) * 3].sum() / 3 for n in range(6)])
            assert (within > across).all(), (history.seed, weights.round(2))

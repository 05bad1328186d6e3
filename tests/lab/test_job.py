"""The main job as its users run it: the command line, what it writes, what it refuses, and how it resumes."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from pfmsm_lite.data import digest, synthetic
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import job
from pfmsm_lite.lab.cli import main, parser
from pfmsm_lite.lab.statistics import paired_interval, summary, table
from pfmsm_lite.methods import METHODS

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


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "my.csv"
    frame().to_csv(path, index=False)
    return path


def own(path, *more):
    return ["run", "--data", str(path), "--scenario", "channel", "--tasks", "visit,conversion", *SMALL, *more]


def test_a_persons_own_table_goes_from_csv_to_results(csv, tmp_path, capsys):
    out = tmp_path / "out"
    code = main(own(csv, "--methods", "local,fedavg,pf_msmtrec", "--seeds", "0,1", "--rounds", "2",
                    "--out", str(out)))  # fmt: skip
    printed = capsys.readouterr()
    assert code == 0 and printed.err == ""
    assert "column city: categorical" in printed.out and "column age: numerical" in printed.out
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
    config = json.loads((out / "config.json").read_text())
    assert config["arguments"]["seeds"] == [0, 1] and config["versions"]["torch"] and config["data"]["digest"]
    assert config["methods"][2]["compose"] == "hadamard" and config["settings"]["hidden"] == [8, 4]
    mean = results.query("method == 'local' and split == 'test'")["auc"].mean()
    line = next(line for line in printed.out.splitlines() if line.startswith("local "))
    assert f"{mean:.3f}".removeprefix("0") in line.split()


def test_parquet_reads_like_csv(csv, tmp_path, capsys):
    frame().to_parquet(tmp_path / "my.parquet")
    options = ("--methods", "local", "--seeds", "0", "--rounds", "1", "--processes", "1", "--out")
    assert main(own(csv, *options, str(tmp_path / "a"))) == 0
    assert main(own(tmp_path / "my.parquet", *options, str(tmp_path / "b"))) == 0
    assert (tmp_path / "a" / "results.csv").read_bytes() == (tmp_path / "b" / "results.csv").read_bytes()


def test_results_do_not_depend_on_how_many_processes_share_the_work(csv, tmp_path, capsys):
    for processes in ("1", "2"):
        options = ("--methods", "local,pf_msmtrec", "--seeds", "0,1", "--rounds", "2", "--out")
        assert main(own(csv, *options, str(tmp_path / processes), "--processes", processes)) == 0
    one, two = ((tmp_path / n / "results.csv").read_bytes() for n in "12")
    assert one == two


def same_run(first, second):
    """Every byte but the seconds."""
    assert (first / "results.csv").read_bytes() == (second / "results.csv").read_bytes()
    timeless = [pd.read_csv(d / "history.csv").drop(columns="seconds").to_csv() for d in (first, second)]
    assert timeless[0] == timeless[1]
    for path in first.glob("*.npz"):
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def _in_group(group):
    """Whether any process of a process group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_resumes_and_ends_with_the_same_bytes(csv, tmp_path, capsys, how):
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
    assert main(own(csv, *options, "--out", str(tmp_path / "whole"))) == 0
    cut = tmp_path / "cut"
    command = [sys.executable, "-m", "pfmsm_lite", *own(csv, *options, "--out", str(cut))]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 180  # a busy machine starts slowly
    while not list(cut.glob("checkpoint/*.pt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    error = process.communicate(timeout=60)[1].decode()
    assert process.returncode == (-how if how == signal.SIGKILL else 130)
    if how == signal.SIGINT:
        assert f"--resume {cut}" in error and "Traceback" not in error
    deadline = time.monotonic() + 60
    while _in_group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _in_group(process.pid), "workers outlive the run that was killed"
    assert not (cut / "results.csv").exists()
    assert main(["run", "--resume", str(cut)]) == 0
    same_run(tmp_path / "whole", cut)
    assert not list(cut.rglob("*.part*"))


def test_a_finished_run_can_be_resumed_for_more_rounds(csv, tmp_path, capsys):
    options = ("--methods", "pf_msmtrec", "--seeds", "0", "--processes", "1", "--out")
    main(own(csv, "--rounds", "4", *options, str(tmp_path / "long")))
    main(own(csv, "--rounds", "2", *options, str(tmp_path / "short")))
    (tmp_path / "short" / "checkpoint" / "pf_msmtrec-0.part7").touch()  # of a run killed while it wrote
    assert main(["run", "--resume", str(tmp_path / "short"), "--rounds", "4"]) == 0
    same_run(tmp_path / "long", tmp_path / "short")
    assert not list((tmp_path / "short").rglob("*.part*"))


def refused(arguments, capsys, *fragments):
    """Exit code 2, one paragraph on stderr with all fragments, no traceback."""
    code = main(arguments)
    error = " ".join(capsys.readouterr().err.split())
    assert code == 2 and "Traceback" not in error
    for fragment in fragments:
        assert fragment in error, error


def test_what_was_begun_is_removed_only_if_nothing_but_an_empty_checkpoint_lies_in_it(tmp_path):
    out = tmp_path / "out"
    (out / "checkpoint").mkdir(parents=True)
    (out / "config.json").touch()
    job.discard(out)
    assert (out / "checkpoint").is_dir()
    (out / "config.json").unlink()
    (out / "checkpoint" / "pf-0.pt").touch()
    job.discard(out)
    assert (out / "checkpoint" / "pf-0.pt").exists()
    (out / "checkpoint" / "pf-0.pt").unlink()
    job.discard(out)
    job.discard(out)
    assert not out.exists()


def test_a_resume_that_is_refused_leaves_the_run_as_it_was(csv, tmp_path, capsys):
    out = tmp_path / "out"
    words = own(csv, "--methods", "local", "--seeds", "0", "--rounds", "1", "--out", str(out))
    assert main(words) == 0
    for path in (out / "checkpoint").iterdir():
        path.unlink()
    before, kept = csv.read_text(), sorted(path.name for path in out.iterdir())
    csv.write_text(before.replace(",1", ",0", 1))
    refused(["run", "--resume", str(out)], capsys, "not what", "was begun with")
    assert sorted(path.name for path in out.iterdir()) == kept
    csv.write_text(before)
    (out / "checkpoint").rmdir()  # by whom ever: it is made again
    assert main(["run", "--resume", str(out)]) == 0


def test_bad_input_is_refused_with_the_place_and_the_remedy(csv, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def table_with(name, change):
        data = frame()
        change(data)
        path = tmp_path / f"{name}.csv"
        data.to_csv(path, index=False)
        return own(path, "--out", str(tmp_path / f"out {name}"))

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
    named = [*table_with("text", put("age", 3, "old")), "--numerical", "age"]
    refused(named, capsys, "text.csv", "row 4", "'age'", "'old'", "ignore")
    named = [*table_with("nan", put("age", 5, np.nan)), "--numerical", "age"]
    refused(named, capsys, "row 6", "'age'", "Fill it in")
    refused(own(csv, "--categorical", "town"), capsys, "'town'", "column (as categorical) in my.csv")
    refused(own(csv, "--categorical", "citi"), capsys, "Did you mean 'city'")
    alone = table_with("alone", put("channel", 0, "kiosk"))
    refused(alone, capsys, "scenario 'kiosk'", "after the split (1 in all)", "minimum_rows=2")
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
        (["--knob", "across=much"], ["--knob", "much", "does not suit the generator"]),
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


def test_share_changes_the_policy_of_a_group_where_a_method_has_pf_msmtrecs():
    names = ["pf_msmtrec", "no_template", "fedrep", "fedavg", "local", "pooled"]
    words = ["run", "--methods", ",".join(names), "--share", "gate=personalized", "--share", "tower=mean"]
    chosen = {method.name: method for method in job.declared(vars(parser().parse_args(words)))[0]}
    for name in ("pf_msmtrec", "no_template"):
        assert chosen[name].share == {**METHODS[name].share, "gate": "personalized", "tower": "mean"}
    for name in ("fedrep", "fedavg", "local", "pooled"):
        assert chosen[name] == METHODS[name], name


def test_knobs_turn_the_generator_and_the_hard_preset_is_one_of_their_settings():
    options = ["run", "--knob", "sizes=[90,80]", "--knob", "test_rows=50", "--knob", "relatedness=[0,0]"]
    arguments = vars(parser().parse_args(options))
    made, truth = job.reader(arguments)[0](arguments)
    assert [len(s.train.labels) for s in made] == [90, 80] and len(made[0].test.labels) == 50
    hard = {"data": "synthetic-hard", "data_seed": 3, "knob": [("test_rows", 60)]}
    made, truth = job.reader(hard)[0](hard)
    again, _ = synthetic(**{**job.HARD, "test_rows": 60, "seed": 3})
    assert digest(made) == digest(again) and len(made) == 12 and len(set(truth.clusters)) == 3


def test_debug_shows_the_traceback(capsys):
    with pytest.raises(UserError):
        main(["run", "--debug", "--methods", "nope"])


def test_where_a_run_may_be_saved(csv, tmp_path, capsys):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("mine")
    refused(own(csv, "--out", str(taken)), capsys, "is there already", "--resume")
    refused(own(csv, "--out", str(csv / "below a file")), capsys, "cannot be written")
    assert (taken / "thesis.txt").read_text() == "mine"


def test_a_full_disk_is_reported_before_training(csv, tmp_path, capsys, monkeypatch):
    from collections import namedtuple

    monkeypatch.setattr(job.shutil, "disk_usage", lambda path: namedtuple("usage", "free")(2**20))
    refused(own(csv, "--out", str(tmp_path / "full")), capsys, "Only 1 MiB are free")


def test_what_resume_refuses(csv, tmp_path, capsys):
    out = tmp_path / "out"
    options = ("--methods", "local", "--seeds", "0", "--rounds", "1", "--processes", "1", "--out", str(out))
    assert main(own(csv, *options)) == 0
    refused(["run", "--resume", str(out), "--radius", "0.1"], capsys, "--radius cannot be given")
    frame(seed=1).to_csv(csv, index=False)
    refused(["run", "--resume", str(out)], capsys, "The data is not what")
    frame().to_csv(csv, index=False)
    checkpoint = next(out.glob("checkpoint/*.pt"))
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    refused(["run", "--resume", str(out)], capsys, "local-0.pt cannot be read")
    checkpoint.unlink()
    assert main(["run", "--resume", str(out)]) == 0
    (out / "config.json").write_text("{")
    refused(["run", "--resume", str(out)], capsys, "config.json is damaged")


def test_a_leak_is_named_in_a_warning(tmp_path, capsys):
    data = frame()
    data["paid"] = data["conversion"] * 9.99
    data.to_csv(tmp_path / "leak.csv", index=False)
    options = ("--methods", "local", "--seeds", "0", "--rounds", "1", "--processes", "1", "--out")
    main(own(tmp_path / "leak.csv", *options, str(tmp_path / "out")))
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning")]
    assert len(warnings) == 1 and "'paid'" in warnings[0] and "--ignore paid" in warnings[0]


def test_an_operator_option_leaves_ablations_and_rivals_what_they_are():
    arguments = vars(parser().parse_args(["run", "--coordinate", "pcgrad", "--server-step", "1.3"]))
    arguments["methods"] = ["fedavg", "pf_msmtrec", "no_coordination", "no_template"]
    chosen, _ = job.declared(arguments)
    assert [m.coordinate for m in chosen] == ["none", "pcgrad", "none", "pcgrad"]
    assert [m.server_step for m in chosen] == [1.3] * 4
    assert [m.embedding for m in chosen] == ["rows", "sum", "sum", "sum"]


def test_every_option_is_explained_with_its_default():
    from argparse import SUPPRESS

    run = parser()._subparsers._group_actions[0].choices["run"]
    for action in run._actions:
        assert action.help and action.help != SUPPRESS, action.option_strings
    text = run.format_help()
    for name in job.flags():
        assert f"--{name.replace('_', '-')}" in text
    for method in METHODS:
        assert method in text


def test_help_needs_no_torch_and_the_package_no_plotting():
    code = (
        "import sys; from pfmsm_lite.lab.cli import parser; parser().format_help();"
        "assert not {'torch', 'pandas', 'numpy'} & set(sys.modules);"
        "import pfmsm_lite, pfmsm_lite.data;"
        "slow = {'pandas', 'sklearn', 'matplotlib', 'seaborn', 'scipy', 'xarray'} & set(sys.modules);"
        "assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_shows_on_a_terminal_only():
    for screen, shown in ((Terminal(), True), (io.StringIO(), False)):
        progress = job.Progress(2, 10, screen)
        progress.round(("fedavg", 0), 5, 0.7)
        progress.finished(("fedavg", 0))
        progress.close()
        assert ("fedavg, seed 0, round 5" in screen.getvalue()) == shown
        assert ("1/2 runs" in screen.getvalue()) == shown


def test_paired_interval_is_the_paired_t_test_of_scipy():
    from scipy import stats

    draw = np.random.default_rng(0)
    first, second = draw.normal(0.7, 0.01, 5), draw.normal(0.69, 0.01, 5)
    interval = stats.ttest_rel(first, second).confidence_interval()
    assert paired_interval(first, second) == pytest.approx(((first - second).mean(), *interval))
    mean, low, high = paired_interval([0.7], [0.6])
    assert mean == pytest.approx(0.1) and np.isnan(low) and np.isnan(high)


class Kept:
    """As much of a History as summary and table look at."""

    def __init__(self, method, seed, aucs):
        rows = []
        for task, auc in zip(("click", "buy"), aucs, strict=True):
            rows += [(method, seed, "a", task, split, 9, 3, auc, 0.5) for split in ("valid", "test")]
        self.results = pd.DataFrame(rows, columns=job_columns())
        self.rounds = pd.DataFrame({"bytes": [1000, 3000]})
        self.method, self.seed, self.seconds, self.best_round, self.stopped = method, seed, 1.0, 2, ""


def job_columns():
    from pfmsm_lite.history import RESULTS

    return RESULTS


def test_the_table_says_what_the_results_say():
    kept = [Kept("fedavg", s, (0.6, 0.5)) for s in (0, 1)] + [
        Kept("mine", s, (0.7, 0.6 + s / 50)) for s in (0, 1)
    ]
    found = summary(kept).loc["mine"]
    assert found["auc"] == pytest.approx(0.655) and found["difference"] == pytest.approx(10.5)
    assert found["low"] < 10.5 < found["high"] and found["bytes"] == 2000
    text = table(kept, ceiling=[[0.9, 0.8]])
    assert "+10.50 [" in text and ".655" in text and ".850" in text
    one = table([Kept("fedavg", 0, (0.6, np.nan))])
    assert "n/a" in one.splitlines()[2] and "one class only" in one and ".500" not in one


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    """The synthetic default, five seeds."""
    out = tmp_path_factory.mktemp("default") / "out"
    arguments = vars(
        parser().parse_args(["run", "--methods", "local,fedavg,pf_msmtrec", "--seeds", "0,1,2,3,4"])
    )
    arguments.update(out=str(out), threads=1, processes=2)
    out, arguments = job.prepare(arguments)
    return job.main_job(out, arguments, show=lambda text: None)


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

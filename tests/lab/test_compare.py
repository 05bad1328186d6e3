"""The fair comparison: one search for all, chosen on validation, tested once; what failed is done again."""

import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import cells, wait_until
from scipy import stats
from sklearn.metrics import roc_auc_score

from pfmsm_lite import METHODS, Settings, run
from pfmsm_lite.data import digest, read_table, synthetic
from pfmsm_lite.lab import predictions
from pfmsm_lite.lab.cli import main, parser
from pfmsm_lite.lab.compare import checked, epochs, equal_steps, worlds
from pfmsm_lite.lab.search import cell, chosen_with, with_setting

ROOT = Path(__file__).parents[2]
NAMES = ("local", "fedprox", "pf_msmtrec")
UNASKED = {"budget": None, "tuning-seeds": None, "extensions": None}  # beside --settings


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A small table of three scenarios with a little signal."""
    draw = np.random.default_rng(0)
    user, item = draw.integers(0, 12, 900), draw.integers(0, 8, 900)
    chance = 1 / (1 + np.exp(-draw.normal(size=12)[user] - draw.normal(size=8)[item]))
    frame = pd.DataFrame({"shop": draw.choice(["a", "b", "c"], 900), "user": user, "item": item})
    frame["click"], frame["buy"] = (
        (draw.random(900) < chance).astype(int),
        (draw.random(900) < 0.4).astype(int),
    )
    path = tmp_path_factory.mktemp("data") / "shops.csv"
    frame.to_csv(path, index=False)
    return path


def words(table, out, **changes):
    options = {"methods": ",".join(NAMES), "seeds": 3, "budget": 2, "rounds": 2, "processes": 2}
    options |= {"tuning-seeds": 2, "extensions": 1, **changes}
    options = {key: value for key, value in options.items() if value is not None}
    given = [word for key, value in options.items() for word in (f"--{key}", str(value)) if word]
    asked = ["--data", str(table), "--scenario", "shop", "--tasks", "click,buy", "--categorical", "user,item"]
    return ["compare", *asked, *given, "--out", str(out)]


@pytest.fixture(scope="module")
def compared(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "shops"
    assert main(words(table, out)) == 0
    return out


def test_the_setting_with_the_best_validation_auc_is_chosen_and_tested_on_every_seed(compared):
    tried = pd.read_csv(compared / "settings.csv")
    each = tried["number"].max() + 1  # as many for all, where lists went on, too
    assert tried.groupby(["method", "number"])["seed"].apply(list).tolist() == [[0, 1]] * 3 * each
    chosen = tried.groupby(["method", "number"])["chosen"].first().unstack().idxmax(axis=1)
    averages = tried.pivot_table(index="method", columns="number", values="valid_auc")
    assert chosen.equals(averages.idxmax(axis=1)) and tried["chosen"].sum() == 3 * 2
    results = pd.read_csv(compared / "results.csv")
    assert results.groupby("method")["seed"].unique().map(sorted).map(list).tolist() == [[0, 1, 2]] * 3


@pytest.mark.filterwarnings("ignore:.*repeat an earlier one")
def test_a_test_is_the_run_of_that_method_with_that_setting(compared, table):
    tried = pd.read_csv(compared / "settings.csv").query("method == 'fedprox' and chosen == 1").iloc[0]
    method, settings = with_setting(METHODS["fedprox"], Settings(), json.loads(tried["setting"]))
    scenarios = read_table(table, scenario="shop", tasks=["click", "buy"], categorical=["user", "item"])
    for seed in (1, 2):  # one that has been tried with that seed already, and one that has not
        again = run(scenarios, method, 2, seed, settings=settings).results
        there = pd.read_csv(compared / "results.csv").query("method == 'fedprox' and seed == @seed")
        assert there["auc"].to_numpy() == pytest.approx(again["auc"].to_numpy(), abs=1e-9)


def test_the_tables_numbers_follow_from_the_results(compared):
    found = pd.read_csv(compared / "compare.csv").set_index("method")
    results = pd.read_csv(compared / "results.csv").query("split == 'test'")
    seeds = results.groupby(["seed", "method"])["auc"].mean().unstack()
    for name in ("pf_msmtrec", "fedprox"):
        difference = 100 * (seeds[name] - seeds["local"])
        assert found.loc[name, "difference"] == pytest.approx(difference.mean())
        low, high = stats.ttest_1samp(difference, 0).confidence_interval()
        assert found.loc[name, "high"] - found.loc[name, "low"] != pytest.approx(
            high - low
        )  # rows count, too
        assert found.loc[name, "low"] < difference.mean() < found.loc[name, "high"]
    assert list(found["auc"][:3]) == sorted(found["auc"][:3], reverse=True) and found.index[3] == "constant"
    assert found["best_set"].max() == 1 and found["auc"].idxmax() in found.index[found["best_set"] == 1]
    text = (compared / "protocol.txt").read_text()
    assert "3 seeds × test rows, resampled" in text and "the same rows for all seeds" in text
    assert found.loc["local", "sent_kb"] == 0 and found.loc["fedprox", "sent_kb"] > 0
    assert found["stored_kb"][:3].gt(0).all() and (compared / "forest.png").stat().st_size > 5000


def test_on_resume_only_what_is_missing_or_damaged_is_done_again(compared):
    before, results = cells(compared), (compared / "results.csv").read_bytes()
    (compared / "cells" / "local-1-0.json").unlink()
    (compared / "cells" / "fedprox-0-0.json").write_text("{")
    assert main(["compare", "--resume", str(compared)]) == 0
    changed = {name for name, when in cells(compared).items() if before[name] != when}
    assert changed == {"local-1-0.json", "fedprox-0-0.json"}
    assert (compared / "results.csv").read_bytes() == results


def test_predictions_are_kept_of_the_chosen_settings_alone_give_the_results_and_are_made_again(compared):
    kept = {path.stem: path.read_bytes() for path in (compared / "predictions").glob("*.npy")}
    tried = pd.read_csv(compared / "settings.csv").query("chosen == 1").groupby("method")["number"].first()
    names = {f"{name}-{number}-{seed}" for name, number in tried.items() for seed in range(3)}
    assert {name.removesuffix("-steps") for name in kept} == names
    rows = predictions.kept_rows(compared / "predictions" / "rows.npz")
    results = pd.read_csv(compared / "results.csv").query("split == 'test' and method == 'fedprox'")
    found = predictions.kept(compared / "predictions" / f"fedprox-{tried['fedprox']}-1.npy")
    assert found.dtype == np.float32
    for row in results.query("seed == 1").itertuples():
        part, t = rows.slices[row.scenario], rows.tasks.index(row.task)
        assert roc_auc_score(rows.labels[part, t], found[part, t]) == pytest.approx(row.auc, abs=1e-4)
    gone = sorted(names)[0]
    (compared / "predictions" / f"{gone}.npy").unlink()
    assert main(["compare", "--resume", str(compared)]) == 0
    assert {path.stem: path.read_bytes() for path in (compared / "predictions").glob("*.npy")} == kept


def checkpoint(out, compared, cell):
    """Where a comparison in `out`, the same as `compared`, keeps the training of a cell."""
    of = json.loads((compared / "cells" / f"{cell}.json").read_text())["of"]
    return out / "checkpoint" / f"{cell}-{zlib.crc32(of.encode()):08x}.pt"


# slow: the whole comparison once more, with one training that cannot write its checkpoint
def test_a_cell_that_fails_is_named_the_others_go_on_and_only_it_is_done_again(
    table, compared, tmp_path, capsys
):
    out = tmp_path / "out"
    blocked = checkpoint(out, compared, "fedprox-0-2")
    blocked.mkdir(parents=True)  # its checkpoint cannot be written
    (blocked / "x").touch()
    assert main(words(table, out)) == 1
    said = capsys.readouterr().out
    assert "FAILED fedprox-0-2: " in said and f"compare --resume {out}" in said
    kept = cells(out)
    assert "fedprox-0-2.json" not in kept and kept.keys() < cells(compared).keys()
    assert set(pd.read_csv(out / "compare.csv")["method"]) == {*NAMES, "constant"}
    (blocked / "x").unlink()
    blocked.rmdir()
    assert main(["compare", "--resume", str(out)]) == 0
    assert {name: when for name, when in cells(out).items() if name in kept} == kept
    assert cells(out).keys() == cells(compared).keys()


def test_a_checkpoint_of_another_setting_is_no_obstacle_and_goes_when_its_cell_is_done(compared):
    """A newer version of the package may list other settings under the same numbers."""
    (compared / "cells" / "fedprox-1-0.json").unlink()
    there = compared / "checkpoint"
    for name in ("fedprox-1-0-00000000.pt", "fedprox-10-0-00000000.pt"):
        (there / name).write_bytes(b"of another setting")
    assert main(["compare", "--resume", str(compared)]) == 0
    assert [path.name for path in there.iterdir()] == ["fedprox-10-0-00000000.pt"]
    (there / "fedprox-10-0-00000000.pt").unlink()


# slow: a process of its own, killed when it has kept its first cell, and the rest of 15 trainings after that
@pytest.mark.timeout(300)
def test_killed_and_resumed_it_ends_with_the_same_bytes(table, compared, tmp_path):
    out = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-m", "pfmsm_lite", *words(table, out)], cwd=ROOT,
                               stdout=subprocess.DEVNULL)  # fmt: skip
    wait_until(lambda: list((out / "cells").glob("*.json")), process)
    process.kill()
    process.wait()
    assert main(["compare", "--resume", str(out)]) == 0
    names = [path.relative_to(compared) for path in compared.glob("predictions/*.npy")]
    assert names
    for name in ("results.csv", "settings.csv", "pairs.csv", "cells.csv", *names):
        assert (out / name).read_bytes() == (compared / name).read_bytes()


def test_with_the_settings_of_an_earlier_comparison_nothing_is_searched_and_the_tests_are_the_same(
    table, compared, tmp_path, capsys
):
    file, out = tmp_path / "chosen.csv", tmp_path / "out"
    file.write_bytes((compared / "settings.csv").read_bytes())
    assert main(words(table, out, settings=file, **UNASKED, seeds=2, methods="fedprox,local")) == 0
    said = capsys.readouterr().out
    assert (
        "choose settings" not in said
        and "4 tests of the chosen settings, seeds 0 to 1: 4 trainings more" in said
    )
    few = cells(out)
    tried = pd.read_csv(compared / "settings.csv")
    numbers = tried[tried["chosen"] == 1].groupby("method")["number"].first()
    assert set(few) == {
        f"{name}-{numbers[name]}-{seed}.json" for name in ("fedprox", "local") for seed in (0, 1)
    }
    file.unlink()  # what is resumed does not need it
    next((out / "cells").glob("local-*-1.json")).unlink()
    assert main(["compare", "--resume", str(out)]) == 0
    assert len({name for name, when in cells(out).items() if few[name] == when}) == 3
    whole = pd.read_csv(compared / "results.csv")
    part = whole[whole["method"].isin(["fedprox", "local"]) & (whole["seed"] < 2)]
    assert part["method"].unique().tolist() == ["local", "fedprox"]
    again = pd.read_csv(out / "results.csv").sort_values("method", ascending=False, kind="stable")
    pd.testing.assert_frame_equal(again.reset_index(drop=True), part.reset_index(drop=True))
    kept = tried[tried["method"] != "pf_msmtrec"].to_csv(index=False)
    assert (out / "settings.csv").read_text() == kept
    both = [pd.read_csv(folder / "compare.csv").set_index("method") for folder in (out, compared)]
    assert both[0]["setting"].equals(both[1]["setting"][both[0].index])
    assert both[0]["tried"].equals(both[1]["tried"][both[0].index])


def test_settings_chosen_under_other_circumstances_are_used_and_the_difference_is_said(
    table, compared, tmp_path, capsys, monkeypatch
):
    def said(source, out, **changes):
        given = {"settings": source / "settings.csv", **UNASKED}
        assert main(words(changes.pop("data", table), out, seeds=1, methods="local", **given, **changes)) == 0
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("NOTE")]

    monkeypatch.chdir(table.parent)
    assert said(compared, tmp_path / "same", data="./shops.csv") == []  # another spelling of the same file
    notes = said(compared, tmp_path / "other", rounds=1, patience=1)
    assert notes == [
        "NOTE: the settings were chosen with rounds 2; here it is 1.",
        "NOTE: the settings were chosen with patience 0; here it is 1.",
    ]
    assert said(tmp_path / "other", tmp_path / "next", rounds=1, patience=1) == notes  # they still were
    frame = pd.read_csv(table)
    frame.assign(click=1 - frame["click"]).to_csv("turned.csv", index=False)
    assert said(compared, tmp_path / "turned", data="turned.csv") == [
        "NOTE: the settings were chosen with other data."
    ]
    (tmp_path / "config.json").write_text("[]")
    assert chosen_with(tmp_path / "settings.csv") == chosen_with(tmp_path / "nowhere" / "settings.csv") == {}


@pytest.mark.parametrize("methods", [None, "all"])
def test_without_methods_all_that_are_in_the_settings_file_are_tested(methods, table, compared, tmp_path):
    given = {"settings": compared / "settings.csv", **UNASKED, "methods": methods}
    found = checked(vars(parser().parse_args(words(table, tmp_path, **given))))
    assert found["methods"] == ["local", "pf_msmtrec", "fedprox"]
    assert len(found["settings"]) == len(pd.read_csv(compared / "settings.csv"))


LINE = "local,0,0,0.5,1,{}"


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (LINE, {"budget": 3}, "--budget cannot be given beside it"),
        (LINE, {"tuning-seeds": 1}, "--tuning-seeds cannot be given beside it"),
        (LINE, {"extensions": 1}, "--extensions cannot be given beside it"),
        (LINE, {"methods": "local,fedprox"}, "has 0 chosen settings of fedprox, but it takes one"),
        (LINE, {"methods": "lokal"}, "Unknown method 'lokal'. Did you mean 'local'?"),
        (f'{LINE}\nlocal,1,0,0.6,1,"{{}}"', {}, "has 2 chosen settings of local"),
        (f"{LINE}\nfedprx,0,0,0.5,1,{{}}", {}, "line 3: 'fedprx'. Did you mean 'fedprox'?"),
        (f'{LINE}\nlocal,0,1,0.6,1,"{{""unknown_rate"": 0.3}}"', {}, "has 2 chosen settings of local"),
        ("local,0,0,0.5,yes,{}", {}, "line 2: chosen is 'yes'"),
        ("local,0,0,0.5,2,{}", {}, "line 2: chosen is '2', but it must be 0 or 1"),
        ("local,-1,0,0.5,1,{}", {}, "line 2: number is '-1'"),
        (f"{LINE}\nlocal,,0,0.5,0,{{}}", {}, "line 3: number is '', but it must be a whole number"),
        (f"{LINE}\nlocal,1,0,high,0,{{}}", {}, "line 3: valid_auc is 'high'"),
        ('local,0,0,0.5,1,"{""name"": ""x""}"', {}, "Unknown field 'name'"),
        (
            'boosted_tree,0,0,0.5,1,"{""leaves"": 7.5}"',
            {},
            "--leaves is 7.5, but it must be a whole number, such as 31",
        ),
        ("local,0,0,0.5,1,{", {}, "line 2: the setting { of local cannot be tried"),
        ("local,0,0,0.5,1,[]", {}, "line 2: the setting [] of local cannot be tried"),
        ('local,0,0,0.5,1,"{""prox"": 1}"', {}, "Unknown field 'prox'. Did you mean 'proximal'?"),
        ('local,0,0,0.5,1,"{""proximal"": -1}"', {}, "--proximal is -1"),
        ("", {}, "has no lines"),
        (None, {}, "cannot be read"),
    ],
)
def test_settings_that_no_comparison_wrote_are_refused_by_file_and_line(
    text, options, said, table, tmp_path, capsys
):
    file = tmp_path / "settings.csv"
    if text is not None:
        file.write_text(f"method,number,seed,valid_auc,chosen,setting\n{text}\n")
    usual = {"settings": file, **UNASKED, "methods": None}
    assert main(words(table, tmp_path / "out", **usual | options)) == 2
    error = "".join(capsys.readouterr().err.split())  # it may be broken within a file's name, too
    assert "".join(said.split()) in error
    assert str(file) in error or options  # what is wrong stands in the file, or in another option
    assert not (tmp_path / "out").exists()


def test_a_settings_file_without_a_column_is_refused_by_its_name(table, tmp_path, capsys):
    file = tmp_path / "settings.csv"
    file.write_text("method,number,seed,valid_auc,setting\n")
    usual = {"settings": file, **UNASKED}
    assert main(words(table, tmp_path / "out", **usual)) == 2
    assert "has no column chosen" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget": 0}, "--budget is 0"),
        ({"seeds": 0}, "--seeds is 0"),
        ({"tuning-seeds": 0}, "--tuning-seeds is 0"),
        ({"methods": "fedprx"}, "Did you mean 'fedprox'"),
        ({"rounds": 0}, "--rounds is 0"),
        ({"extensions": -1}, "--extensions is -1, but it must be 0 or more"),
        ({"reference": "fedavg"}, "Unknown --reference 'fedavg'. Choose one of: local, fedprox, pf_msmtrec"),
        ({"windows": 2}, "--windows cuts KuaiRand in time. Leave it out"),
        ({"window": 1}, "--window cuts KuaiRand in time, and --data"),
        ({"group": "person"}, "Unknown column (as group) in shops.csv: 'person'"),
        (
            {"new-splits": "", "data": "synthetic"},
            "--new-splits is for a table, and --data synthetic is none",
        ),
        ({"new-splits": "", "time": "user"}, "--new-splits draws a split with each seed: --time cannot"),
        ({"data": "kuairand", "windows": 4}, "--windows is 4, but there are 3 windows in time"),
        ({"data": "kuairand", "windows": 2, "window": "last"}, "--window cannot be given beside it"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(changes, said, table, tmp_path, capsys):
    assert main(words(table, tmp_path / "out", **changes)) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "option",
    [
        "--budget 9",
        "--rounds 9",
        "--seeds 1",
        "--tuning-seeds 3",
        "--patience 2",
        "--methods local",
        "--settings s.csv",
    ],
)
def test_what_would_make_it_another_comparison_is_refused_beside_resume(option, compared, capsys):
    assert main(["compare", "--resume", str(compared), *option.split()]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{option.split()[0]} cannot be given beside it" in said


def test_a_group_with_gaps_is_refused_with_its_rows_and_what_to_do(table, tmp_path, capsys):
    frame = pd.read_csv(table).assign(person=np.arange(900) % 90)
    frame.loc[7, "person"] = np.nan
    frame.to_csv(tmp_path / "gaps.csv", index=False)
    assert main([*words(tmp_path / "gaps.csv", tmp_path / "out"), "--group", "person"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "row 8" in said and "names nobody (--group). Fill it in, or drop the row." in said


# ---- synthetic data: new ones with each seed; equal gradient steps ----

KNOBS = {"sizes": (300, 200), "relatedness": (0, 1), "test_rows": 200}


def drawn(out, *more):
    """A small comparison on generated data."""
    knobs = [word for name, value in KNOBS.items() for word in ("--knob", f"{name}={json.dumps(value)}")]
    small = "--methods local,ditto --seeds 2 --budget 1 --extensions 0 --rounds 3"
    return main(["compare", *small.split(), *knobs, *more, "--out", str(out)])


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    out = tmp_path_factory.mktemp("generated") / "out"
    assert drawn(out) == 0
    return out


def test_each_seed_has_data_of_its_own_which_are_those_of_the_generator(generated):
    files = sorted((generated / "predictions").glob("rows*.npz"))
    assert [path.name for path in files] == ["rows-data-seed-0.npz", "rows-data-seed-1.npz"]
    found = [predictions.kept_rows(path).digest for path in files]
    assert found == [digest(synthetic(**KNOBS, seed=seed)[0]) for seed in (0, 1)] and found[0] != found[1]
    results = pd.read_csv(generated / "results.csv")
    for seed in (0, 1):
        again = run(synthetic(**KNOBS, seed=seed)[0], "local", 3, seed).results
        there = results.query("method == 'local' and seed == @seed")
        assert there["auc"].to_numpy() == pytest.approx(again["auc"].to_numpy(), abs=1e-9)
    config = json.loads((generated / "config.json").read_text())
    assert config["arguments"]["data_seed"] is None
    assert "each seed draws new ones" in (generated / "protocol.txt").read_text()


def test_the_data_are_fixed_where_their_seed_is_asked_for(tmp_path):
    given = vars(parser().parse_args("compare --data-seed 0 --seeds 2 --budget 1".split()))
    assert worlds(checked(given)) == {"": None}
    assert drawn(tmp_path / "out", "--data-seed", "0", "--methods", "local") == 0
    assert [path.name for path in (tmp_path / "out" / "predictions").glob("rows*")] == ["rows.npz"]
    assert "one draw, --data-seed 0" in (tmp_path / "out" / "protocol.txt").read_text()


def test_a_table_is_split_anew_with_each_seed_where_that_is_asked_for(table, tmp_path):
    small = {"methods": "local", "seeds": 2, "budget": 1, "extensions": 0, "tuning-seeds": 1}
    assert main(words(table, tmp_path / "out", **small, **{"new-splits": ""})) == 0
    named = [f"rows-data-seed-{seed}.npz" for seed in (0, 1)]
    found = [predictions.kept_rows(tmp_path / "out" / "predictions" / name) for name in named]
    columns = {"scenario": "shop", "tasks": ["click", "buy"], "categorical": ["user", "item"]}
    with pytest.warns(UserWarning, match="repeat an earlier one"):
        split = [read_table(table, **columns, seed=seed) for seed in (0, 1)]
    assert [own.digest for own in found] == [digest(own) for own in split] and found[0].digest != found[
        1
    ].digest
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    for seed in (0, 1):
        again = run(split[seed], "local", 2, seed, batch_size=128).results
        assert results.query("seed == @seed")["auc"].to_numpy() == pytest.approx(again["auc"].to_numpy())
    said = (tmp_path / "out" / "protocol.txt").read_text()
    assert "each seed splits the table anew" in said and "The splits share rows" in said


def test_epochs_of_a_round_are_those_of_the_phases_and_of_a_second_model():
    known = {"local": 1, "fedavg": 1, "fedrep": 2, "ditto": 2, "local_finetune": 2, "boosted_tree": 1}
    assert {name: epochs(METHODS[name], Settings()) for name in known} == known
    assert epochs(METHODS["ditto"], Settings(local_epochs=3)) == 6


def test_with_equal_steps_who_trains_twice_has_half_the_rounds():
    tests = [
        cell(METHODS[name], Settings(), 0, {}, 0) for name in ("local", "ditto", "fedrep", "boosted_tree")
    ]
    found = equal_steps(tests, Settings(), 7)
    assert {a.method.name: (b.rounds, b.file) for a, b in found.items()} == {
        "ditto": (3, "ditto-0-0-steps"),
        "fedrep": (3, "fedrep-0-0-steps"),
    }
    assert next(iter(equal_steps(tests[1:2], Settings(), 1).values()), None) is None  # one round is the least


def test_the_second_table_reads_the_best_of_these_rounds(generated):
    whole, equal = (
        pd.read_csv(generated / f"{name}.csv").set_index("method") for name in ("compare", "equal_steps")
    )
    aucs = []
    for seed in (0, 1):
        again = run(synthetic(**KNOBS, seed=seed)[0], "ditto", 1, seed).results  # 3 rounds of 2 epochs: 1
        aucs.append(again.query("split == 'test'")["auc"].mean())
    assert equal.auc["ditto"] == pytest.approx(np.mean(aucs), abs=1e-9)
    assert equal.auc["local"] == whole.auc["local"] and whole.auc["ditto"] != equal.auc["ditto"]
    assert whole["epochs"][["local", "ditto"]].tolist() == [1, 2]

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

from pfmsm_lite import METHODS, Settings, run
from pfmsm_lite.data import read_table
from pfmsm_lite.lab.cli import main, parser
from pfmsm_lite.lab.compare import checked
from pfmsm_lite.lab.search import chosen_with, with_setting

ROOT = Path(__file__).parents[2]
NAMES = ("local", "fedprox", "pf_msmtrec")


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
    options |= {"tuning-seeds": 2, **changes}
    options = {key: value for key, value in options.items() if value is not None}
    given = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    asked = ["--data", str(table), "--scenario", "shop", "--tasks", "click,buy", "--categorical", "user,item"]
    return ["compare", *asked, *given, "--out", str(out)]


@pytest.fixture(scope="module")
def compared(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "shops"
    assert main(words(table, out)) == 0
    return out


def test_the_setting_with_the_best_validation_auc_is_chosen_and_tested_on_every_seed(compared):
    tried = pd.read_csv(compared / "settings.csv")
    assert tried.groupby(["method", "number"])["seed"].apply(list).tolist() == [[0, 1]] * 6
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
    for name in ("local", "fedprox"):
        difference = 100 * (seeds["pf_msmtrec"] - seeds[name])
        assert found.loc[name, "difference"] == pytest.approx(difference.mean())
        assert found.loc[name, "p"] == pytest.approx(stats.ttest_1samp(difference, 0).pvalue)
    assert list(found["auc"]) == sorted(found["auc"], reverse=True)
    assert found.loc["local", "sent_kb"] == 0 and found.loc["fedprox", "sent_kb"] > 0
    assert found["stored_kb"].gt(0).all() and (compared / "forest.png").stat().st_size > 5000


def test_on_resume_only_what_is_missing_or_damaged_is_done_again(compared):
    before, results = cells(compared), (compared / "results.csv").read_bytes()
    (compared / "cells" / "local-1-0.json").unlink()
    (compared / "cells" / "fedprox-0-0.json").write_text("{")
    assert main(["compare", "--resume", str(compared)]) == 0
    changed = {name for name, when in cells(compared).items() if before[name] != when}
    assert changed == {"local-1-0.json", "fedprox-0-0.json"}
    assert (compared / "results.csv").read_bytes() == results


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
    assert len(kept) == 12 + 2 and "fedprox-0-2.json" not in kept
    assert set(pd.read_csv(out / "compare.csv")["method"]) == set(NAMES)
    (blocked / "x").unlink()
    blocked.rmdir()
    assert main(["compare", "--resume", str(out)]) == 0
    assert {name: when for name, when in cells(out).items() if name in kept} == kept and len(cells(out)) == 15


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
    for name in ("results.csv", "settings.csv"):
        assert (out / name).read_bytes() == (compared / name).read_bytes()


def test_with_the_settings_of_an_earlier_comparison_nothing_is_searched_and_the_tests_are_the_same(
    table, compared, tmp_path, capsys
):
    file, out = tmp_path / "chosen.csv", tmp_path / "out"
    file.write_bytes((compared / "settings.csv").read_bytes())
    given = {"settings": file, "budget": None, "tuning-seeds": None}
    assert main(words(table, out, **given, seeds=2, methods="fedprox,local")) == 0
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
    assert both[0]["setting"].equals(both[1]["setting"][both[0].index]) and both[0]["tried"].eq(2).all()


def test_settings_chosen_under_other_circumstances_are_used_and_the_difference_is_said(
    table, compared, tmp_path, capsys, monkeypatch
):
    def said(source, out, **changes):
        given = {"settings": source / "settings.csv", "budget": None, "tuning-seeds": None}
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
    given = {"settings": compared / "settings.csv", "budget": None, "tuning-seeds": None, "methods": methods}
    found = checked(vars(parser().parse_args(words(table, tmp_path, **given))))
    assert found["methods"] == ["local", "pf_msmtrec", "fedprox"] and len(found["settings"]) == 3 * 2 * 2


LINE = "local,0,0,0.5,1,{}"


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (LINE, {"budget": 3}, "--budget cannot be given beside it"),
        (LINE, {"tuning-seeds": 1}, "--tuning-seeds cannot be given beside it"),
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
        ("local,0,0,0.5,1,{", {}, "line 2: the setting { of local is none"),
        ("local,0,0,0.5,1,[]", {}, "line 2: the setting [] of local is none"),
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
    usual = {"settings": file, "budget": None, "tuning-seeds": None, "methods": None}
    assert main(words(table, tmp_path / "out", **usual | options)) == 2
    error = "".join(capsys.readouterr().err.split())  # it may be broken within a file's name, too
    assert "".join(said.split()) in error
    assert str(file) in error or options  # what is wrong stands in the file, or in another option
    assert not (tmp_path / "out").exists()


def test_a_settings_file_without_a_column_is_refused_by_its_name(table, tmp_path, capsys):
    file = tmp_path / "settings.csv"
    file.write_text("method,number,seed,valid_auc,setting\n")
    usual = {"settings": file, "budget": None, "tuning-seeds": None}
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

"""The paper's comparison: on generated rows of its data's shape, beside public values, or what is missing."""

import json
import re

import pandas as pd
import pytest

from pfmsm_lite.data.aliexpress import COUNTRIES
from pfmsm_lite.data.samples import write_aliexpress
from pfmsm_lite.lab import paper
from pfmsm_lite.lab.cli import main
from pfmsm_lite.methods import METHODS

FEW = ["--methods", "local,pf_msmtrec_hca,pf_msmtrec", "--seeds", "2", "--rounds", "1"]


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    out = tmp_path_factory.mktemp("paper") / "out"
    assert main(["paper", "--sample", "--out", str(out), *FEW]) == 0
    return out


def test_the_sample_goes_through_the_real_reader_and_stands_beside_the_public_values(sampled):
    table = pd.read_csv(sampled / "paper.csv")
    assert table["origin"].tolist() == ["public"] * 2 + ["own"] * 3
    assert table["method"].tolist() == ["single task", "MMoE", "local", "pf_msmtrec_hca", "pf_msmtrec"]
    cells = [f"{country} {task}" for country in sorted(COUNTRIES) for task in ("click", "conversion")]
    assert list(table.columns[2:]) == [*cells, "average"]
    assert table.loc[1, "NL click"] == 0.7234 and table.loc[0, "US conversion"] == 0.8637
    results = pd.read_csv(sampled / "results.csv", keep_default_na=False)
    own = results[
        (results["split"] == "test") & (results["method"] == "local") & (results["scenario"] == "FR")
    ]
    auc = own[own["task"] == "click"]["auc"].astype(float)
    assert len(auc) == 2 and table.loc[2, "FR click"] == pytest.approx(auc.mean(), abs=1e-4)
    assert table.loc[3, "average"] == pytest.approx(table.loc[3, cells].astype(float).mean())
    kept = json.loads((sampled / "config.json").read_text())["data"]
    assert set(kept["rows"]) == set(COUNTRIES) and "for validation" in " ".join(kept["notes"]["reading"])
    assert all(test == paper.SAMPLE["rows"][1] for _, _, test in kept["rows"].values())


def test_what_a_reader_must_know_is_written_beside_it(sampled):
    text = (sampled / "paper.txt").read_text()
    for said in (
        "stops early on the test file",
        "GENERATED",
        "pf_msmtrec_hca (FedHCA",
        "--budget 12",
        "a fifth of",
    ):
        assert said in text
    assert "Best average of ours: " in text


def test_a_country_without_an_auc_keeps_its_columns_and_is_in_no_average():
    cells = [(m, s, c, t, 0.5 + 0.1 * (c == "NL")) for m in ("local", "fedavg") for s in (0, 1)
             for c in ("NL", "ES") for t in ("click", "conversion")]  # fmt: skip
    results = pd.DataFrame(cells, columns=["method", "seed", "scenario", "task", "auc"]).assign(split="test")
    results.loc[results["scenario"] == "ES", "auc"] = float("nan")
    arguments = {"methods": ["local", "fedavg"], "data": "aliexpress", "generated": False}
    table = paper.beside(results, arguments)
    assert list(table.columns[2:]) == ["NL click", "NL conversion", "ES click", "ES conversion", "average"]
    assert table["average"].tolist() == pytest.approx(
        [(0.7222 + 0.8590) / 2, (0.7234 + 0.8606) / 2, 0.6, 0.6]
    )
    said = paper.sentences(arguments, table)
    assert any("in no average, not even in the public ones: ES click, ES conversion." in one for one in said)
    assert "–" in paper.printed(table)


def test_a_sample_that_another_process_made_first_is_used(tmp_path, monkeypatch):
    place = tmp_path / "sample"

    def slow(torn):
        for folder in (torn, place):  # the other one is done while we write
            folder.mkdir()
            (folder / "x").write_text("x")

    monkeypatch.setitem(paper.DATA, "aliexpress", (*paper.DATA["aliexpress"][:3], slow))
    paper._generate({"data_dir": str(place), "generated": True, "data": "aliexpress"})
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


def test_it_is_gone_on_with_and_nothing_is_done_twice(sampled, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in (sampled / "cells").iterdir()}
    first = (sampled / "paper.csv").read_bytes()
    (sampled / "paper.csv").unlink()
    assert main(["paper", "--resume", str(sampled)]) == 0
    assert {path.name: path.stat().st_mtime_ns for path in (sampled / "cells").iterdir()} == before
    assert (sampled / "paper.csv").read_bytes() == first
    assert "public    single task" in re.sub(" +", " ", capsys.readouterr().out).replace(
        "public ", "public    "
    )


@pytest.mark.parametrize("given", ([], ["--data-dir", "empty"], ["--data", "tenrec"]))
def test_without_data_it_says_in_three_lines_what_is_missing(given, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["paper", *given]) == 2
    first, second, third = capsys.readouterr().err.splitlines()
    names = ["AliExpress_NL", "QK-video.csv"][:: -1 if "tenrec" in given else 1]
    assert names[0] in first and names[1] in second and "paper --sample" in third
    assert ("empty" in first) == ("empty" in given) and [path.name for path in tmp_path.iterdir()] == [
        "empty"
    ]


def test_data_at_hand_are_read_and_a_missing_country_is_named(tmp_path, capsys):
    write_aliexpress(tmp_path / "ali", (120, 60), countries=("NL", "US"))
    words = ["paper", "--data-dir", str(tmp_path / "ali"), "--out", str(tmp_path / "out"), *FEW[2:]]
    assert main(words) == 2
    assert "lacks AliExpress_ES/train.csv and test.csv, AliExpress_FR" in " ".join(
        capsys.readouterr().err.split()
    )
    more = ["--scenarios", "NL,US", "--methods", "local", "--most-rows", "100"]
    assert main([*words, *more]) == 0
    table = pd.read_csv(tmp_path / "out" / "paper.csv")
    assert list(table.columns[2:]) == ["NL click", "NL conversion", "US click", "US conversion", "average"]
    assert "Of each file about 100 rows were read" in (tmp_path / "out" / "paper.txt").read_text()


def test_tenrec_has_the_same_command_and_no_public_values(tmp_path):
    out = tmp_path / "out"
    assert (
        main(["paper", "--data", "tenrec", "--sample", "--out", str(out), *FEW[2:], "--methods", "local"])
        == 0
    )
    table = pd.read_csv(out / "paper.csv")
    assert table["origin"].tolist() == ["own"] and "QB-video click" in table
    assert "the publisher has no split" in (out / "paper.txt").read_text()


def test_its_methods_are_there_with_both_readings_and_wrong_options_are_refused(tmp_path, capsys):
    assert {"pf_msmtrec", "pf_msmtrec_hca", "local", "fedavg"} <= set(paper.METHODS) <= set(METHODS)
    for words, said in {
        "--data adult": "Unknown --data of paper 'adult'",
        "--sample --data-dir x": "--sample generates its rows: --data-dir cannot be given",
    }.items():
        assert main(["paper", *words.split(), "--out", str(tmp_path / "out")]) == 2
        assert said in " ".join(capsys.readouterr().err.split())

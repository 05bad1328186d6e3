"""`inspect`, and what `run` says of a table: columns, positives, remedies; nothing is trained."""

import re

import numpy as np
import pandas as pd
import pytest

from pfmsm_lite.lab import tables
from pfmsm_lite.lab.cli import main


def table(folder, rows=600, **columns):
    draw = np.random.default_rng(0)
    df = pd.DataFrame(
        {
            "shop": draw.choice(["a", "b", "c"], rows, p=[0.6, 0.38, 0.02]),
            "user_id": draw.integers(0, 40, rows),
            "price": np.round(draw.gamma(2, 50, rows), 2),
            "visited": draw.integers(0, 2, rows),
            "ts": draw.integers(1_700_000_000, 1_700_900_000, rows),
            "click": draw.integers(0, 2, rows),
        }
        | columns
    )
    path = folder / "my.csv"
    df.to_csv(path, index=False)
    return path, df


def inspected(capsys, *arguments):
    code = main(["inspect", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_a_table_is_shown_before_anything_is_trained(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, df = table(tmp_path)
    code, out, err = inspected(
        capsys, path, "--scenario", "shop", "--tasks", "click", "--fractions", "50,25,25"
    )
    assert code == 0 and not err
    assert "column user_id: categorical, 40 values, hashed into 4096 buckets" in out
    assert f"such as {df['price'][0]}" in out
    assert "looks like a time (seconds since 1970): split by it with --time ts" in out
    assert "0/1 columns that nobody named: visited" in out
    for shop in "ab":
        known = re.search(
            rf"  {shop}, click: train (\d+) of (\d+), valid (\d+) of (\d+), test (\d+) of (\d+)", out
        )
        counts = np.array(known.groups(), int)
        own = df[df["shop"] == shop]["click"]
        assert counts[::2].sum() == own.sum() and counts[1::2].sum() == len(own)
        assert counts[1] == pytest.approx(len(own) / 2, abs=1)
    minutes = re.search(r"about ([\d.]+) minutes and ([\d.]+) GiB", out)
    assert float(minutes[1]) < 5 and 0.5 < float(minutes[2]) < 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["my.csv"]


@pytest.mark.parametrize(
    ("more", "fragment"),
    [
        ([], "needs --scenario COLUMN and --tasks"),
        (["--scenario", "shp", "--tasks", "click"], "Did you mean 'shop'"),
        (["--scenario", "shop", "--tasks", "click", "--positive", "clik=1"], "Unknown task in --positive"),
        (["--scenario", "shop", "--tasks", "click", "--fractions", "70,30"], "three shares above 0"),
        (["--scenario", "shop", "--tasks", "click", "--fractions", "a,b"], "it takes three numbers"),
        (["--scenario", "shop", "--tasks", "click", "--group", "usr"], "Did you mean 'user_id'"),
        (["--scenario", "shop", "--tasks", "click", "--decimal", ";"], "decimal is ';'"),
    ],
)
def test_wrong_options_are_answered(tmp_path, capsys, more, fragment):
    path, _ = table(tmp_path)
    code, out, err = inspected(capsys, path, *more)
    assert code == 2 and fragment in " ".join(err.split()) and "Traceback" not in err


def test_every_option_of_a_table_reaches_the_reader(tmp_path):
    path, df = table(
        tmp_path, part=["train", "valid", "test"] * 200, word=["x", "NA", "?"] * 200, bag=["a|b"] * 600
    )
    base = {"data": str(path), "scenario": "shop", "tasks": ["click"]}
    plain = tables.read(base | {"multi": ["bag"]})
    changed = {
        "categorical": ["price"], "numerical": ["user_id"], "ignore": ["price"], "time": "ts",
        "group": "user_id", "split_column": "part", "fractions": (1, 1, 1), "minimum_rows": 20,
        "scenarios": ["a"],
        "categories": "union", "buckets": 7, "statistics": "none", "na": ["NA"], "positive": ["click=0"],
    }  # fmt: skip
    for option, value in changed.items():
        other = tables.read(base | {"multi": ["bag"], option: value})
        same = [(s.name, s.fields, s.train.labels.shape, s.notes["typing"]) for s in other] == [
            (s.name, s.fields, s.train.labels.shape, s.notes["typing"]) for s in plain
        ]
        labels = len(other) == len(plain) and all(
            np.array_equal(a.train.labels, b.train.labels) for a, b in zip(other, plain, strict=True)
        )
        assert not (same and labels), option
    semicolons = tmp_path / "other.txt"
    df.to_csv(semicolons, index=False, sep=";", decimal=",", encoding="utf-16")
    found = tables.read(
        base | {"data": str(semicolons), "multi": ["bag"], "sep": ";", "encoding": "utf-16", "decimal": ","}
    )
    assert all(a.train.numerical.equal(b.train.numerical) for a, b in zip(found, plain, strict=True))


def test_a_wide_table_and_many_scenarios_are_said_in_few_lines(tmp_path):
    draw = np.random.default_rng(0)
    wide = {f"x{k}": draw.normal(size=4000) for k in range(200)}
    df = pd.DataFrame(
        wide | {"shop": [f"s{k % 200}" for k in range(4000)], "click": draw.integers(0, 2, 4000)}
    )
    df.to_parquet(tmp_path / "wide.parquet")
    found = tables.read({"data": str(tmp_path / "wide.parquet"), "scenario": "shop", "tasks": ["click"]})
    short, long = tables.overview(found, short=True), tables.overview(found)
    assert any("200 columns numerical: x0" in line for line in short)
    assert any("170 smaller ones" in line for line in short)
    assert len(short) < 300 < len(long) and sum(line.startswith("  column x") for line in long) == 200


def test_a_run_whose_validation_rows_have_one_class_says_how_the_round_was_chosen(tmp_path, capsys):
    path, df = table(tmp_path)
    df = df.sort_values("ts")
    df.iloc[360:480, df.columns.get_loc("click")] = 0
    df.to_csv(path, index=False)
    words = ["--scenario", "shop", "--tasks", "click", "--time", "ts", "--methods", "local", "--rounds", "1"]
    out = tmp_path / "out"
    assert main(["run", "--data", str(path), *words, "--seeds", "0", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "hold both classes: the round was chosen by log loss" in said


def test_a_client_of_one_row_beside_batch_norm_is_noted_once(tmp_path, capsys):
    path, df = table(tmp_path)
    df = df.sort_values("ts", ignore_index=True)
    df["shop"] = "a"
    df.loc[[10, *range(400, 600, 2)], "shop"] = "late"  # one row before the others begin
    df.to_csv(path, index=False)
    words = ["--scenario", "shop", "--tasks", "click", "--time", "ts", "--methods", "fedbn", "--rounds", "1"]
    assert main(["run", "--data", str(path), *words, "--seeds", "0", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert said.count("cannot train on a single row: late") == 1

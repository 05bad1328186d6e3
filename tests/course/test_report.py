"""A finished run read back, its figures, and the page that is handed on."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import made
import numpy as np
import pandas as pd
import pytest

from pfmsm_lite.course.drawings.chapter08 import ablation
from pfmsm_lite.course.page import page as html_of
from pfmsm_lite.course.replay import replay
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.charts import forest
from pfmsm_lite.lab.cli import main
from pfmsm_lite.lab.figures import auc_by_scenario, gains, side_by_side
from pfmsm_lite.lab.runs import compare, read_run
from pfmsm_lite.lab.statistics import COMPACT, compact, costs, per_seed

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "notebooks" / "results"
SMALL = ["--experts", "2", "--hidden", "8,4", "--tower", "4", "--embedding-size", "4", "--batch-size", "64"]
METHODS = ("local", "fedavg", "pf_msmtrec", "embedding_only", "pooled")


def table(path, rows=600):
    """Three channels, two tasks, a bit of signal, as a CSV file."""
    draw = np.random.default_rng(0)
    city, age = draw.integers(0, 9, rows), draw.normal(40, 10, rows)
    chance = 1 / (1 + np.exp(-(city - 4) / 2 - (age - 40) / 20))
    columns = {
        "channel": draw.choice(["app", "shop", "web"], rows),
        "city": [f"city {c}" for c in city],
        "age": age,
        "visit": (draw.random(rows) < chance).astype(int),
        "conversion": (draw.random(rows) < chance / 2).astype(int),
    }
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A finished run on a table of one's own: five methods, one seed, three rounds."""
    folder = tmp_path_factory.mktemp("finished")
    data, out = table(folder / "my.csv"), folder / "my run"
    code = main(
        ["run", "--data", str(data), "--scenario", "channel", "--tasks", "visit,conversion", *SMALL,
         "--methods", ",".join(METHODS), "--rounds", "3", "--seeds", "0", "--processes", "1",
         "--out", str(out)]
    )  # fmt: skip
    assert code == 0
    return out


@pytest.fixture(scope="module")
def finished(directory):
    return read_run(directory)


# ---- a run's directory ----


def test_a_finished_run_comes_back_as_tables_and_named_arrays(directory, finished):
    assert finished.methods == list(METHODS) and finished.seeds == [0] and finished.hero == "pf_msmtrec"
    assert finished.results.equals(pd.read_csv(directory / "results.csv"))
    weights = finished.histories["pf_msmtrec", 0].weights
    assert weights.dims == ("round", "unit", "client", "source")
    with np.load(directory / "pf_msmtrec-0.npz") as kept:
        assert np.array_equal(weights.values, kept["weights"])
        assert list(weights.unit.values) == list(kept["units"])
    assert list(weights.client.values) == ["app", "shop", "web"] == list(finished.sizes)
    assert not finished.histories["local", 0].arrays
    assert any(note.startswith("column age: numerical") for note in finished.notes)
    assert "my.csv: 3 scenarios" in str(finished) and "--data my.csv" in finished.origin
    assert str(directory.parent) not in str(finished)  # a page to hand on names no folder of a person


def test_the_same_numbers_come_from_memory_and_from_disk():
    """A synthetic run's truth is made again from its seed; a live comparison has the very same form."""
    live = compare("synthetic", ["local"], seeds=[0], rounds=1)
    assert live.clusters == (0, 0, 0, 1, 1, 1) and live.ceiling.shape == (6, 2)
    assert live.rounds["round"].max() == 1 and live.methods == ["local"]


def test_costs_count_a_client_once_and_the_pooled_model_once(finished):
    spent = costs(finished.results, finished.rounds)
    raw = finished.rounds
    of = raw[(raw["method"] == "fedavg") & (raw["task"] == "visit")]
    quickest = of.groupby("round")["seconds"].sum().min()
    assert spent.seconds.fedavg == pytest.approx(3 * quickest)
    assert spent.kilobytes.fedavg == pytest.approx(of["bytes"].mean() / 1000)
    pooled = raw[(raw["method"] == "pooled") & (raw["task"] == "visit") & (raw["scenario"] == "app")]
    assert spent.seconds.pooled == pytest.approx(3 * pooled["seconds"].min())
    assert np.isnan(spent.kilobytes.pooled) and spent.kilobytes.local == 0
    assert spent.auc.to_dict() == pytest.approx(per_seed(finished.results).mean().to_dict())
    short = compact(raw)
    assert tuple(short) == COMPACT and len(short) == 5 * 3 and compact(short).equals(short)


def change_csv(name, change):
    def damage(folder):
        table = pd.read_csv(folder / name)
        change(table).to_csv(folder / name, index=False)

    return damage


def unfinished(folder):
    (folder / "results.csv").unlink()
    for path in folder.glob("checkpoint/p*"):
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: shutil.rmtree(d), "is not a directory"),
        (lambda d: (d / "config.json").unlink(), "holds no run: config.json is missing"),
        (lambda d: (d / "config.json").write_text('{"arguments": 3}'), "config.json is damaged"),
        (lambda d: (d / "history.csv").unlink(), "history.csv is missing"),
        (unfinished, "not finished.*begun are embedding_only, fedavg, local.*--resume"),
        (change_csv("results.csv", lambda t: t.drop(columns="auc")), "has no column 'auc'; it has method"),
        (change_csv("history.csv", lambda t: t.drop(columns="bytes")), "history.csv has no column 'bytes'"),
        (change_csv("results.csv", lambda t: t[t["method"] != "fedavg"]), "lacks fedavg, seed 0.*there is"),
        (lambda d: (d / "results.csv").write_text(""), "results.csv cannot be read"),
        (
            lambda d: (d / "fedavg-0.npz").write_bytes((d / "fedavg-0.npz").read_bytes()[:-900]),
            "fedavg-0.npz is damaged.*--resume",
        ),
        (lambda d: (d / "fedavg-0.npz").write_bytes(b""), "fedavg-0.npz is damaged"),
    ],
)
def test_what_is_wrong_with_a_directory_is_said_in_one_paragraph(directory, tmp_path, damage, said):
    copy = tmp_path / "run"
    shutil.copytree(directory, copy)
    damage(copy)
    with pytest.raises(UserError, match=said):
        read_run(copy)


# ---- the figures, and what they refuse ----


def test_figures_that_need_more_than_there_is_say_what_to_run(finished):
    alone = finished.results[finished.results["method"] == "pf_msmtrec"]
    for draw, said in (
        (forest, "alone in these results"),
        (gains, "--methods local"),
        (ablation, "two seeds"),
    ):
        with pytest.raises(UserError, match=said):
            draw(alone)


def test_gains_name_the_scenario_that_pays_most():
    rows = [
        ("fedavg", seed, scenario, "click", "test", auc + seed / 100)
        for seed in (0, 1)
        for scenario, auc in (("a", 0.75), ("b", 0.52))
    ] + [("local", seed, s, "click", "test", 0.7 + seed / 100) for seed in (0, 1) for s in "ab"]
    columns = ["method", "seed", "scenario", "task", "split", "auc"]
    figure = gains(pd.DataFrame(rows, columns=columns))
    assert "fedavg gains over local in 1 of 2 scenarios, clearly in 1; clearly harmed: b −18.0" in figure.alt


def test_a_title_by_hand_takes_the_place_of_the_one_that_is_counted(finished):
    seeds = pd.concat([finished.results, finished.results.assign(seed=1)])
    for draw in (forest, gains, auc_by_scenario):
        by_hand = draw(seeds, title="What was found")
        assert by_hand.finding == "What was found" == by_hand.get_suptitle()
        assert by_hand.alt.startswith("What was found. ") and draw(seeds).finding != "What was found"


def test_curves_beside_each_other_are_all_drawn():
    lines = {name: [0.5, 0.6] for name in "abcdef"}
    figure = side_by_side({"one": lines}, "Six lines")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == list("abcdef")


# ---- rounds.csv of the committed results ----


def test_committed_rounds_are_those_of_the_committed_results():
    folder = RESULTS / "synthetic"
    rounds, results = pd.read_csv(folder / "rounds.csv"), pd.read_csv(folder / "results.csv")
    config = json.loads((folder / "config.json").read_text())["arguments"]
    assert tuple(rounds) == COMPACT
    assert rounds["round"].max() == config["rounds"] and set(rounds["method"]) == set(config["methods"])
    best = rounds.groupby(["seed", "method"])["valid_auc"].max().unstack("method")
    pd.testing.assert_frame_equal(best, per_seed(results, "valid")[list(best)], check_names=False, rtol=1e-9)


# ---- the page ----


class Page(HTMLParser):
    """What a reader sees of a page: text, images with their alt text, tables, addresses; and its scripts."""

    def __init__(self, text):
        super().__init__()
        self.images, self.links, self.seen, self.scripts, self.tables, self.tags = [], [], [], [], {}, []
        self.policy, self.inside = "", ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.inside, self.tags = tag, [*self.tags, tag]
        if tag == "img":
            self.images.append(attributes)
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = attributes["content"]
        if tag == "table":
            self.tables[attributes["id"]] = []
        if tag == "tr":
            next(reversed(self.tables.values())).append([])
        if tag in ("td", "th"):
            next(reversed(self.tables.values()))[-1].append("")
        self.links += [attributes[key] for key in ("src", "href") if key in attributes]
        assert not [name for name in attributes if name.startswith("on")], "an event handler"

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, text):
        if self.inside in ("script", "style"):
            self.scripts += [text] if self.inside == "script" else []
            return
        self.seen.append(text)
        if self.inside in ("td", "th", "button"):
            next(reversed(self.tables.values()))[-1][-1] += text.strip()

    @property
    def text(self):
        return " ".join(" ".join(self.seen).split())


def command(*words, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "pfmsm_lite", "report", *map(str, words)],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip


def test_the_page_of_a_finished_run_holds_its_numbers(directory, tmp_path):
    done = command(os.path.relpath(directory, tmp_path), "--out", "page.html", folder=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert os.listdir(tmp_path) == ["page.html"]
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    results = pd.read_csv(directory / "results.csv")
    averages = per_seed(results).mean()
    losses = results.query("split == 'test'").groupby("method")["logloss"].mean()
    head, *rows = page.tables["methods"]
    assert head[:4] == ["method", "AUC", "points over local [95 %]", "log loss"]
    assert {row[0]: row[1] for row in rows} == {m: f"{auc:.4f}" for m, auc in averages.items()}
    assert {row[0]: row[3] for row in rows} == {m: f"{loss:.4f}" for m, loss in losses.items()}
    over = 100 * (averages["fedavg"] - averages["local"])
    assert {row[0]: row[2] for row in rows}["fedavg"].replace(
        "−", "-"
    ) == f"{over:+.2f}"  # one seed: no interval
    assert {row[0]: row[4] for row in rows}["pooled"] == "its rows"
    head, *rows = page.tables["scenarios"]
    assert [row[0] for row in rows] != [] and {row[0] for row in rows} == {"app", "shop", "web"}
    gained = [float(row[1].replace("−", "-")) for row in rows]
    assert gained == sorted(gained, reverse=True)
    assert page.text.startswith("my.csv: who should learn from whom")
    assert time.strftime("%Y-%m-%d") in page.text and "age: numerical" in page.text
    assert len(page.images) >= 6
    assert all(len(image.get("alt", "").split()) > 8 for image in page.images)
    assert page.links and all(link.startswith("data:image/png") for link in page.links)  # nothing is fetched
    assert str(directory.parent) not in page.text


def test_only_the_pages_own_script_may_run_and_nothing_is_fetched(finished):
    text = html_of(finished)
    page = Page(text)
    allowed = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
    assert allowed["default-src"] == "'none'" and allowed["img-src"] == "data:"
    data, script = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert allowed["script-src"] == f"'sha256-{digest}'"
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", text)
    assert json.loads(data)["names"]


HOSTILE = [
    "<script>alert(1)</script>", "</script><img src=x onerror=alert(2)>", "\" onmouseover=\"alert(3)",
    "javascript:x", "{{ 7 * 7 }}", "<!--", "&lt;b&gt;",
]  # fmt: skip


def test_hostile_names_and_values_are_shown_and_not_part_of_the_page():
    notes = ("Warning: </script><b>bold</b>", f"column {HOSTILE[0]}: categorical", "<i>sentence</i>")
    run = made.run(HOSTILE, rounds=2, seeds=(0,), name=HOSTILE[1], origin=HOSTILE[0], notes=notes)
    text = html_of(run, verdict=["<b>verdict</b>"])
    page = Page(text)  # raises for an event handler
    assert text.count("</script>") == text.count("<script") == 2
    assert page.tags.count("script") == 2 and "b" not in page.tags and "i" not in page.tags
    assert {row[0] for row in page.tables["scenarios"][1:]} == set(HOSTILE)
    for said in ("</script><b>bold</b>", "<b>verdict</b>", "<i>sentence</i>", "{{ 7 * 7 }}"):
        assert said in page.text
    assert set(json.loads(page.scripts[0])["names"]) == set(HOSTILE)


def test_the_top_of_the_page_is_the_verdict_or_the_findings_of_the_figures(finished):
    assert "Federating pays for nobody." in Page(html_of(finished, ["Federating pays for nobody."])).text
    without = Page(html_of(finished)).text
    assert f"In short {gains(finished.results).finding}." in without


def test_refused_uploads_are_warned_of_at_the_top(finished):
    assert "was refused" not in Page(html_of(finished)).text
    rounds = finished.rounds.copy()
    one, method = rounds["scenario"].iloc[0], rounds["method"].iloc[0]
    own = (
        (rounds["scenario"] == one) & (rounds["method"] == method) & (rounds["seed"] == rounds["seed"].min())
    )
    rounds.loc[own & (rounds["round"] >= 2), "refused"] = 1
    last = rounds["round"].max()
    some = "round 2" if last == 2 else f"{last - 1} rounds from 2 on"
    text = Page(html_of(replace(finished, rounds=rounds))).text
    seed = rounds["seed"].min()
    assert f"{method}, seed {seed}: in {some} the upload of {one} was refused; log.txt says why." in text
    assert text.count("was refused") == 1


# ---- the rounds ----


def unpacked(moves, choice):
    cells = np.frombuffer(base64.b64decode(choice["cells"]), np.int8).astype(float)
    count = len(moves["names"])
    return cells.reshape(len(choice["rounds"]), 2, count, count)


def test_the_rounds_hold_ratios_own_weights_cosines_and_aucs(finished):
    moves = replay(finished)
    history = finished.histories["pf_msmtrec", 0]
    first = moves["choices"][0]
    assert (first["method"], first["seed"], first["unit"]) == ("pf_msmtrec", 0, "mean over experts")
    assert {choice["unit"] for choice in moves["choices"] if choice["method"] == "pf_msmtrec"} > set(
        history.units
    )
    assert {choice["method"] for choice in moves["choices"]} == set(METHODS)
    one = next(c for c in moves["choices"] if c["method"] == "pf_msmtrec" and c["unit"] == "expert 1")
    weights = history.weights.sel(unit="expert 1", client=moves["names"], source=moves["names"]).values
    cosines = history.cosines.sel(
        stage="before", unit="expert 1", client=moves["names"], other=moves["names"]
    )
    own, cells = np.eye(3, dtype=bool), unpacked(moves, one)
    given = np.where(own, 0, weights).sum(-1, keepdims=True)
    ratio = weights * 2 / given
    assert one["rounds"] == [1, 2, 3]
    np.testing.assert_allclose(2 ** (cells[:, 0] / moves["steps"])[:, ~own], ratio[:, ~own], rtol=0.02)
    np.testing.assert_allclose(cells[:, 0][:, own], 100 * weights[:, own], atol=0.51)
    np.testing.assert_allclose(cells[:, 1][:, ~own] / 127, cosines.values[:, ~own], atol=0.005)
    curve = finished.rounds.query("method == 'fedavg'").groupby("round")["valid_auc"].mean()
    assert moves["curves"]["fedavg"]["0"] == pytest.approx(list(curve), abs=1e-5)


@pytest.mark.parametrize(("count", "rounds", "block"), [(40, 30, 1), (101, 3, 2), (1000, 2, 10)])
def test_of_many_clients_the_page_holds_less_and_says_so(count, rounds, block):
    run = made.run(
        [f"s{n}" for n in range(count)], rounds=rounds, seeds=(0, 1), methods=("local", "pf_msmtrec")
    )
    moves = replay(run, budget=1_000_000)
    assert moves["block"] == block and len(moves["names"]) == -(-count // block) and moves["thinned"]
    assert sum(len(choice.get("cells", "")) for choice in moves["choices"]) < 1_100_000
    assert all(unpacked(moves, c).shape[0] == len(c["rounds"]) for c in moves["choices"] if "cells" in c)
    first = moves["choices"][0]
    assert first["rounds"][0] == 1 and first["rounds"][-1] == rounds and first["method"] == "pf_msmtrec"


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_the_page_holds_from_one_to_a_thousand_scenarios(count):
    run = made.run([f"shop-{n}" for n in range(count)], rounds=2, seeds=(0,), methods=("local", "pf_msmtrec"))
    text = html_of(run)
    assert len(text) < 5_000_000
    assert len(Page(text).tables["scenarios"]) == 1 + count


def test_a_run_that_mixed_nothing_and_one_without_any_auc_become_pages(finished):
    alone = made.run(["a", "b"], methods=("local",), rounds=2)
    assert "Round by round" in Page(html_of(alone)).text
    results = alone.results.assign(auc=np.nan)
    rounds = alone.rounds.assign(valid_auc=np.nan)
    assert "No AUC" in Page(html_of(replace(alone, results=results, rounds=rounds))).text


def test_a_persons_table_becomes_a_page(tmp_path):
    data = table(tmp_path / "visits.csv", 300)
    done = command(
        data.name, "--scenario", "channel", "--tasks", "visit,conversion", "--methods", "local,fedavg",
        "--rounds", "1", "--seeds", "0,1", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0 and "run 4 of 4: fedavg, seed 1" in done.stderr, done.stderr
    page = Page((tmp_path / "visits-report.html").read_text(encoding="utf-8"))
    assert "visits.csv: who should learn from whom 3 scenarios" in page.text
    assert "2 methods, 2 seeds, 1 round. Tasks: visit, conversion." in page.text
    assert "city: categorical" in page.text and str(tmp_path) not in page.text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Give a finished run's directory"),
        (["runs/nowhere"], "is not a directory"),
        (["nowhere.csv", "--scenario", "a", "--tasks", "b"], "nowhere.csv"),
        (["my.csv"], "needs --scenario COLUMN and --tasks"),
        (["my.csv", "--scenario", "chanel", "--tasks", "visit"], "Did you mean 'channel'"),
        (
            ["my.csv", "--scenario", "channel", "--tasks", "visit", "--methods", "fedawg"],
            "Did you mean 'fedavg'",
        ),
        (["my.csv", "--scenario", "channel", "--tasks", "visit", "--rounds", "-1"], "must be at least 1"),
        (["kuairand"], "needs --data-dir"),
        (["my.csv", "--data", "synthetic"], "give one of them"),
        ([".", "--rounds", "3"], "--rounds cannot be given beside it"),
        (["synthetic", "--out", "page.pdf"], "one HTML file"),
        (["synthetic", "--out", "no/where/page.html"], "cannot be written"),
        (["."], "holds no run"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pfmsm_lite.lab.runs.here", None)  # nothing is trained
    table(tmp_path / "my.csv", 60)
    assert main(["report", *words]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert said in error and "Traceback" not in error
    assert os.listdir(tmp_path) == ["my.csv"]

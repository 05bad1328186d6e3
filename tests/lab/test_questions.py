"""The open questions: gains by hand, the table of studies, the late client, the command from end to end."""

import json
import mmap
import time

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import pfmsm_lite.rivals  # noqa: F401
from pfmsm_lite.data import synthetic
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import footprint, late, questions
from pfmsm_lite.lab.cli import main, parser
from pfmsm_lite.lab.questions import ANSWERS, COSTS, RESULTS, answers, checked, printed
from pfmsm_lite.lab.studies import LEVELS, SCALES, STUDIES, VARIANTS, Level, method_of, part_of
from pfmsm_lite.methods import Settings

TINY = {"fields": {"user": 20, "item": 10}, "test_rows": 60}


def lines(aucs, study="data-poor", rows=(30, 300)):
    """{method: {scenario: [AUC of each seed]}} → results; scenarios have these rows in turn."""
    return pd.DataFrame(
        [
            (study, "w", method, seed, scenario, rows[int(scenario[1:])], "click", "test", auc)
            for method, own in aucs.items()
            for scenario, values in own.items()
            for seed, auc in enumerate(values)
        ],
        columns=list(RESULTS),
    )


BY_HAND = {
    "local": {"s0": [0.60, 0.62], "s1": [0.70, 0.72]},
    "mine": {"s0": [0.70, 0.74], "s1": [0.68, 0.70]},
}


def test_gains_are_of_a_part_and_paired_by_seed():
    found = answers(lines(BY_HAND)).set_index(["part", "method"])
    assert list(found.reset_index().columns[:2]) == ["part", "method"]
    assert set(found.reset_index().columns) == set(ANSWERS)
    small, large = found.loc[("30 rows", "mine")], found.loc[("300 rows", "mine")]
    assert small["gain"] == pytest.approx(11) and large["gain"] == pytest.approx(-2)
    low, high = stats.t.interval(0.95, 1, loc=11, scale=stats.sem([10.0, 12.0]))
    assert [small["low"], small["high"]] == pytest.approx([low, high])
    assert (small["losing"], large["losing"]) == (0, 1) and large["worst"] == pytest.approx(-2)
    assert (found.loc[(slice(None), "local"), "gain"] == 0).all() and (found["seeds"] == 2).all()
    assert "+11.00" in printed(answers(lines(BY_HAND)))


def test_the_worst_client_is_looked_for_inside_its_part():
    found = answers(lines(BY_HAND, "how-many")).set_index("method").loc["mine"]
    assert found["part"] == "all" and found["gain"] == pytest.approx(4.5)
    assert found["worst"] == pytest.approx(-2) and found["losing"] == 1 and found["clients"] == 2


def test_without_local_there_is_an_auc_and_no_gain():
    found = answers(lines({"mine": BY_HAND["mine"]})).set_index("part")
    assert np.isnan(found["gain"]).all() and found["auc"]["300 rows"] == pytest.approx(0.69)


def test_parts():
    assert part_of("task-sets", 1, 500, "click") == "the two, click"
    assert part_of("task-sets", 2, 500, "like") == "the others, like"
    assert part_of("columns", 2, 500, "click") == "first three" != part_of("columns", 3, 500, "click")
    assert part_of("sampled", 7, 500, "click") == "all"


def test_studies_are_those_of_which_something_is_claimed():
    assert set(STUDIES) == {"how-many", "sampled", "data-poor", "late", "task-sets", "columns"}
    for name, levels in LEVELS.items():
        keys = [(level.study, level.name) for level in levels]
        assert len(set(keys)) == len(keys) and all("seed" not in level.knobs for level in levels)
        work = {level.rounds * level.settings["sample"] for level in levels if level.study == "sampled"}
        assert np.allclose(list(work), SCALES[name].rounds)  # the same number of local trainings
        for level in levels:
            assert all(method_of(name).name == name for name in level.methods)
    assert all(method_of(name).kin_rounds == changes["kin_rounds"] for name, (_, changes) in VARIANTS.items())


def small_levels():
    other = {"sizes": [40] * 4, "relatedness": [0] * 4, "missing_tasks": {"3": ["conversion"]}}
    return [
        Level("how-many", "2", {**TINY, "sizes": [60, 80]}, ("local", "pf_msmtrec"), 2, 2),
        Level(
            "sampled",
            "half",
            {**TINY, "sizes": [60, 80]},
            ("fedavg_sum", "kin_asks_on_9"),
            2,
            1,
            {"sample": 0.5},
        ),
        Level("task-sets", "odd", {**TINY, **other}, ("local",), 1, 2),
    ]


def test_the_command_from_end_to_end_and_taken_up_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(questions.LEVELS, "small", small_levels())
    out = tmp_path / "q"
    words = ["questions", "--only", "how-many,sampled,task-sets", "--seeds", "2", "--processes", "1"]
    assert main([*words, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "how-many (2): 2 seeds, 2 rounds; local, pf_msmtrec" in told
    assert "6 scenarios" not in told and "methods ×" not in told  # of the default world, which nobody trains
    results, costs = pd.read_csv(out / "results.csv"), pd.read_csv(out / "costs.csv")
    assert list(results.columns) == list(RESULTS) and list(costs.columns) == list(COSTS)
    assert set(results["split"]) == {"test"} and set(results.query("scenario == 's1'")["rows"]) == {80, 40}
    assert costs.set_index(["study", "method"])["seeds"].to_dict() == {
        ("how-many", "local"): 2, ("how-many", "pf_msmtrec"): 2, ("sampled", "fedavg_sum"): 1,
        ("sampled", "kin_asks_on_9"): 1, ("task-sets", "local"): 2,
    }  # fmt: skip
    assert (costs["cpu_seconds"] > 0).all() and costs["clients"].tolist() == [2, 2, 2, 2, 4]
    curves = pd.read_csv(out / "curves.csv")
    assert set(curves["study"]) == {"how-many", "sampled"} and curves["round"].max() == 2
    table = pd.read_csv(out / "questions.csv")
    assert list(table.columns) == list(ANSWERS)
    assert "the others, conversion" in set(table["part"])
    assert table.set_index(["study", "method", "part"]).loc[("how-many", "local", "all"), "seeds"] == 2
    assert "over local, points" in told
    before = (out / "questions.csv").read_bytes()
    (out / "questions.csv").unlink()
    assert main(["questions", "--resume", str(out)]) == 0
    assert (out / "questions.csv").read_bytes() == before


def test_costs_are_means_over_seeds_but_memory_is_the_least():
    named = {"study": "how-many", "level": "2", "method": "local", "rounds": 2, "sent_kb": 0.0}
    seeds = [
        {"best_round": 1, "cpu_seconds": 0.1, "peak_mb": 450.0},
        {"best_round": 2, "cpu_seconds": 0.3, "peak_mb": 1100.0},
    ]  # after a larger one, same process
    (line,) = questions._costs([named | own for own in seeds], small_levels()).to_dict("records")
    assert (line["best_round"], line["peak_mb"], line["seeds"], line["clients"]) == (1.5, 450.0, 2, 2)
    assert line["cpu_seconds"] == pytest.approx(0.2)


def test_unknown_studies_are_refused_by_name():
    options = vars(parser().parse_args(["questions", "--only", "howmany"]))
    with pytest.raises(UserError, match="--only 'howmany'"):
        checked(options)


# ---- who comes late ----


@pytest.fixture(scope="module")
def small_world():
    return synthetic((60, 60, 40), relatedness=(0, 0, 0), seed=0, **TINY)[0]


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(late, "ROUNDS", 4)
    monkeypatch.setattr(late, "JOINS", 2)


def parameters(federation, number):
    return {k: v.clone() for k, v in federation.clients[number].model.state_dict().items()}


@pytest.mark.parametrize("name", late.WAYS)
def test_a_late_client_does_nothing_before_it_comes(small_world, short, name):
    seen = []
    found = late.joined(
        small_world, late.WAYS[name], 0, Settings(), lambda n, f: seen.append(parameters(f, late.LATE))
    )
    for key in seen[0]:  # two rounds without it
        assert torch.equal(seen[0][key], seen[1][key]), key
    assert any(not torch.equal(seen[1][key], seen[2][key]) for key in seen[0])
    assert 3 <= found["best_round"] <= 4
    assert {split for _, _, split, *_ in found["results"]} == {"valid", "test"}
    assert np.isnan(found["own"]) == (name in ("local", "embedding_only", "mean, then home"))


def test_who_is_given_the_mean_and_leaves_moves_nobody(small_world, short):
    seen = {}
    for name in ("mean, then home", "fedavg_sum"):
        way = late.WAYS[name]
        late.joined(
            small_world,
            way,
            0,
            Settings(),
            lambda n, f, name=name: seen.setdefault(name, []).append(parameters(f, 0)),
        )
    gone, there = seen.values()
    same = [all(torch.equal(a[k], b[k]) for k in a) for a, b in zip(gone, there, strict=True)]
    assert same == [True, True, False, False]  # from the third round on the other one counts


def test_kin_is_found_only_if_all_are_asked_again(monkeypatch):
    monkeypatch.setattr(late, "ROUNDS", 5)
    monkeypatch.setattr(late, "JOINS", 3)  # the others have been asked: see Method.kin_rounds
    alike, _ = synthetic((300, 300, 200), relatedness=(0, 0, 0), signal=5, seed=0, **TINY)
    kept = {
        name: late.joined(alike, late.WAYS[name], 0, Settings())["own"]
        for name in ("pf_msmtrec", "asked again")
    }
    assert kept["pf_msmtrec"] == 1 and kept["asked again"] < 1


def test_the_late_study_is_kept_and_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(late, "ROUNDS", 2)
    monkeypatch.setattr(late, "JOINS", 1)
    monkeypatch.setattr(late, "WORLDS", {"kin": (0, 0, 0)})
    monkeypatch.setattr(late, "WAYS", {name: late.WAYS[name] for name in ("local", "embedding_only")})
    monkeypatch.setattr(
        late, "world", lambda level, seed, scale: synthetic((60, 60, 40), seed=seed, **TINY)[0]
    )
    (tmp_path / "cells").mkdir()
    said = []
    found = questions._late(tmp_path, {"seeds": [0, 1], "scale": "small"}, said.append)
    assert len(said) == 2 and list(found.columns) == list(RESULTS)
    assert len(found) == 2 * 2 * 2 and set(found["scenario"]) == {"s2"} and set(found["rows"]) == {50}
    kept = json.loads((tmp_path / "cells" / "late-0-1.json").read_text())
    assert set(kept) == {"local", "embedding_only"}
    assert (
        questions._late(tmp_path, {"seeds": [0, 1], "scale": "small"}, said.append).equals(found)
        and len(said) == 2
    )


# ---- what a training takes ----


def test_a_footprint_counts_work_and_not_waiting():
    with footprint.footprint() as slept:
        time.sleep(0.3)
    with footprint.footprint() as worked:
        # from the system itself: what this process kept of earlier work would be no new memory
        block = np.frombuffer(mmap.mmap(-1, 240_000_000), dtype=np.float64)
        for _ in range(20):
            block += 1.0001
    assert slept["cpu_seconds"] < 0.1 < worked["cpu_seconds"]
    assert np.isnan(worked["peak_mb"]) or worked["peak_mb"] > slept["peak_mb"] + 150


@pytest.mark.parametrize(
    "status",
    [None, "Name:\tpython\n", "VmHWM:\t 1683968 kB\nVmRSS:\t  400000 kB\n"],
    ids=["no such file", "no such line", "an older peak that cannot be cleared"],
)
def test_memory_is_unknown_where_the_system_does_not_count_it(tmp_path, monkeypatch, status):
    monkeypatch.setattr(footprint, "PROCESS", tmp_path)
    if status is not None:
        (tmp_path / "status").write_text(status)
    with footprint.footprint() as found:
        pass
    assert np.isnan(found["peak_mb"])


def test_who_is_ahead_is_paired_by_the_seeds_that_both_sides_have():
    results = pd.DataFrame(
        [("how-many", level, method, seed, f"s{n}", 0.6 + gain + seed / 10 + n / 100)
         for level in ("10", "50") for method, gain, seeds in (("a", 0.02, 3), ("b", 0.0, 2))
         for seed in range(seeds) for n in range(2)],
        columns=["study", "level", "method", "seed", "scenario", "auc"],
    )  # fmt: skip
    found = questions.ahead(results, {"method": "a"}, {"method": "b"}, study="how-many", level="10")
    assert found.difference == pytest.approx(2.0) and found.seeds == 2
    found = questions.ahead(results, {"scenario": "s1"}, {"scenario": ["s0"]}, method="a")
    assert found.difference == pytest.approx(1.0) and found.seeds == 3

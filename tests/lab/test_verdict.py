"""The verdict: its sentences and tables say what the results say, for 1 to 1,000 scenarios of any name."""

import re
import time

import numpy as np
import pandas as pd
import pytest
from small import SMALL, scenarios

from pfmsm_lite import run
from pfmsm_lite.history import RESULTS, ROUNDS, score
from pfmsm_lite.lab import ending
from pfmsm_lite.lab.gains import GAINS, SOURCES, gains, main_sources, sources, word
from pfmsm_lite.lab.verdict import hero_of, judge, verdict
from pfmsm_lite.lab.writing import csv_text

ODD = ["=cmd|x", "a-b", "채널 하나", "<script>alert(1)</script>", "two\nlines", "x" * 90, "-1", ""]


class Kept:
    """As much of a History as the verdict looks at."""

    def __init__(self, method, seed, aucs, counts=(100, 30), best=(2, 4), weights=None, tasks=("click",)):
        """aucs: scenario → AUC, or one per task; counts: rows and positives;  best: round, of how many."""
        self.method, self.seed, self.clients, self.units = (
            method,
            seed,
            list(aucs),
            ["expert 0", "tower click"],
        )
        lines, rounds = [], []
        for name, own in aucs.items():
            for task, auc in zip(tasks, np.broadcast_to(own, len(tasks)), strict=True):
                lines += [(method, seed, name, task, k, *counts, auc, 0.5) for k in ("valid", "test")]
                for number in range(1, best[1] + 1):
                    cost = (0.5, 30.0, 1000 * (method != "local"), 0)
                    rounds.append((method, seed, number, name, task, auc, *cost))
        self.results, self.rounds = pd.DataFrame(lines, columns=RESULTS), pd.DataFrame(rounds, columns=ROUNDS)
        self.arrays = {} if weights is None else {"weights": [np.stack([weights] * 2)] * best[1]}
        (self.best_round, self.rounds_done), self.seconds, self.stopped = best, 1.0, ""


def made(gain, seeds=3, local=0.7, methods=("local", "pf_msmtrec"), noise=0.001, **options):
    """Histories in which the second method is so many points better in each scenario: {scenario: points}."""
    draw, found = np.random.default_rng(0), []
    for method in methods:
        for seed in range(seeds):
            extra = {name: points / 100 * (method == methods[-1]) for name, points in gain.items()}
            aucs = {name: local + own + noise * draw.normal() for name, own in extra.items()}
            found.append(Kept(method, seed, aucs, **options))
    return found


def signals(local, hero, seeds=2, rows=400, tasks=("click",), common=0.9):
    """(histories, predictions) of rows with a signal per scenario: {scenario: strength} for both methods."""
    draw, lines, parts = np.random.default_rng(1), [], []
    for name in local:
        for task in tasks:
            labels, shared = (draw.random(rows) < 0.3).astype(float), draw.normal(size=rows)
            for method, strength in (("local", local), ("pf_msmtrec", hero)):
                for seed in range(seeds):
                    own = common * shared + np.sqrt(1 - common**2) * draw.normal(size=rows)
                    p = 1 / (1 + np.exp(-own - strength[name] * labels))
                    lines.append((method, seed, name, task, "test", *score(labels, p)))
                    cell = {"scenario": name, "method": method, "seed": seed, "split": "test", "task": task}
                    parts.append(pd.DataFrame({"row": 0, **cell, "label": labels, "probability": p}))
    return pd.DataFrame(lines, columns=RESULTS), pd.concat(parts, ignore_index=True)


def said(histories, **options):
    lines = verdict(histories, **options)
    for line in lines:
        assert line[0].isupper() or line.startswith(tuple(ODD)), line
        assert line.endswith((".", "…")) and "\n" not in line and "nan" not in line.lower(), line
    return " ".join(lines)


def numbers(pattern, text):
    return [int(n.replace(",", "")) for n in re.search(pattern, text).groups()]


def test_a_federation_that_pays_for_all_but_one():
    text = said(made({"a": 3.0, "b": 2.0, "c": -2.0, "d": 0.0}), sizes={"a": 10, "b": 20, "c": 30, "d": 40})
    assert "above it in 2 of 4 scenarios" in text or "above it in 3 of 4 scenarios" in text
    assert re.search(r"it clearly pays for 2: a \+[23]\.\d\d, b \+[12]\.\d\d", text)
    assert re.search(r"clearly harms 1: c -[12]\.\d\d", text)
    assert "test rows were not resampled" in text and "Federating pays on average" in text
    undecided = said(made({"a": 3.0, "b": -3.0}, noise=0.02))
    assert "Whether federating pays on average is not clear" in undecided
    assert 5 <= len(verdict(made({"a": 3.0, "b": 2.0}))) <= 8


def test_a_federation_that_harms_says_so_everywhere():
    text = said(made({"a": -3.0, "b": -2.0, "c": -2.5}))
    assert (
        "Federating harms on average" in text
        and "clearly pays for none" in text
        and "clearly harms 3" in text
    )
    assert "above it in 0 of 3" in text and "below in 3" in text and "% of the way" not in text


def test_one_seed_is_never_clear_and_never_leads():
    text = said(made({"a": 5.0, "b": 4.0}, seeds=1))
    assert "not clear" in text and "clearly" not in text and "leads" not in text
    results, predictions = signals({"a": 0.5, "b": 0.5}, {"a": 2.0, "b": 2.0}, seeds=1)
    found = judge(made({"a": 5.0, "b": 4.0}, seeds=1), predictions=predictions)
    text = " ".join(found.sentences)
    assert "one seed: other starts may differ" in text and "clearly" not in text
    assert "harms none" not in text  # that would be a claim, and one seed makes none
    assert "average is not clear" in text


def test_without_local_or_without_a_federated_method_it_says_what_to_run():
    for histories in (
        made({"a": 1.0}, methods=("fedavg", "pf_msmtrec")),
        made({"a": 1.0}, methods=("local",)),
    ):
        found = judge(histories)
        assert "--methods local,embedding_only,pf_msmtrec" in found.sentences[0] and found.table.empty
    assert "pooled" not in hero_of(
        pd.concat([h.results for h in made({"a": 1.0}, methods=("local", "pooled"))])
    )


def test_what_cannot_be_judged_is_said_and_nothing_is_claimed_of_it():
    text = said(made({"a": np.nan, "b": np.nan}))
    assert "Nothing can be said" in text and "clearly" not in text and "Too small to judge" in text
    assert "left out of the averages for want of an AUC: 2 of 2 cells, a (click), b (click)" in text
    few = made({"a": 9.0, "b": 8.0}, counts=(200, 9))
    assert set(judge(few).table["verdict"]) == {"too small"}
    text = said(few)
    assert "none is large enough" in text and "2 of 2, a, b" in text and "clearly" not in text


def test_ties_are_not_clear():
    text = said(made({"a": 0.0, "b": 0.0}, noise=0.0))
    assert "clearly pays for none; for 2 it is not clear" in text and "clearly harms none" in text
    assert "above it in 0 of 2" in text and "+0.00" in text and "-0.00" not in text


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_it_holds_from_one_to_a_thousand_scenarios(count):
    draw = np.random.default_rng(count)
    start = time.monotonic()
    weights = draw.dirichlet(np.ones(count), count)
    histories = made({f"s{n}": 2 * draw.normal() for n in range(count)}, weights=weights)
    found = judge(histories, {f"s{n}": 10 for n in range(count)})
    text = " ".join(found.sentences)
    assert all(len(line) < 500 for line in found.sentences) and len(found.sentences) <= 8
    assert len(found.table) == count and found.table["gain"].is_monotonic_decreasing
    above, judged, below = numbers(r"above it in ([\d,]+) of ([\d,]+) scenarios? .* below in ([\d,]+)", text)
    assert judged == count and above == (found.table["gain"] > 0).sum() and below == count - above
    pays, harms = ((found.table["verdict"] == w).sum() for w in ("pays", "harms"))
    assert (f"clearly pays for {pays}" in text or not pays) and (
        f"clearly harms {harms:,}" in text or not harms
    )
    assert {1: "nobody to learn from", 2: "only the other", 1000: "and 996 more"}[count] in text
    assert ("by chance alone" in text) == (count == 1000)
    lines = ending.gain_text(found.table).splitlines()
    assert len(lines) == (count + 1 if count < 30 else 22)
    assert count < 30 or lines[11] == "… 980 more scenarios, in verdict.csv"
    assert len(found.sources) == (0 if count == 1 else 2 if count == 2 else 50_000)
    assert time.monotonic() - start < 60


def test_names_of_any_kind_stay_as_they_are_and_files_execute_nothing(tmp_path):
    histories = made({name: n - 3.0 for n, name in enumerate(ODD)})
    found = judge(histories)
    assert set(found.table["scenario"]) == set(ODD)
    text = " ".join(said(histories).split())
    for name in ("채널 하나", "a-b"):
        assert name in text + ending.gain_text(found.table)
    assert "\n=" not in csv_text(found.table) and len(ending.gain_text(found.table).splitlines()) == 1 + len(
        ODD
    )


def test_the_share_of_embeddings_by_hand():
    histories = made({"a": 4.0, "b": 4.0}, noise=0.0)
    half = made({"a": 1.0, "b": 1.0}, noise=0.0, methods=("local", "embedding_only"))[3:]
    assert "gives +1.00 points, all of pf_msmtrec +4.00, 25 % of the way from local to pf_msmtrec" in said(
        histories + half
    )
    assert "was not run" in said(histories)
    harmful = made({"a": -4.0, "b": -4.0}, noise=0.0)
    assert "% of the way" not in said(harmful + half) and "+1.00 points, all of pf_msmtrec -4.00" in said(
        harmful + half
    )


def test_the_distance_to_a_logistic_regression_is_said():
    simple = made({"a": 1.0}, noise=0.0, methods=("local", "logistic"))[3:]
    ahead = said(made({"a": 4.0}, noise=0.0) + simple)
    assert "which sends nothing, pf_msmtrec leads logistic by 3.0 (AUC points)." in ahead
    assert "pf_msmtrec trails logistic by 2.0" in said(made({"a": -1.0}, noise=0.0) + simple)
    assert "logistic" not in said(made({"a": 4.0}))


def test_main_sources_by_hand():
    weights = np.array([[0.5, 0.4, 0.05, 0.05], [0.3, 0.4, 0.15, 0.15], [0.2] * 3 + [0.4], [0.25] * 4])
    table = sources(["a", "b", "c", "d"], weights)
    assert tuple(table) == SOURCES and table["rank"].tolist() == [1, 2, 3] * 4
    first = table.set_index(["scenario", "rank"]).loc[("a", 1)]
    assert (
        first["source"] == "b" and first["weight"] == 0.4 and first["ratio"] == pytest.approx(0.4 / (0.5 / 3))
    )
    assert main_sources(table) == {"a": "b 2.4×", "b": "a 1.5×", "c": "d 1.5×", "d": "even split"}
    text = said(made(dict.fromkeys("abcd", 1.0), weights=weights))
    assert "a from b 2.4×, b from a 1.5×, c from d 1.5×; 1 hardly left the even split" in text
    even = np.full((4, 4), 0.125) + np.eye(4) * 0.375
    assert "hardly left the even split: no source has more than 1.00" in said(
        made(dict.fromkeys("abcd", 1.0), weights=even)
    )
    weights[3] = [0, 0, 0, 1.0]
    text = said(made(dict.fromkeys("abcd", 1.0), weights=weights))
    assert "c from d 1.5×. d takes nothing from the others." in text
    assert "nan" not in text and "even split" not in text
    text = said(made(dict.fromkeys("abcd", 1.0), weights=np.eye(4)))
    assert "every mixture keeps to its own" in text and "nan" not in text
    same = np.tile([0.4, 0.3, 0.2, 0.1], (4, 1))
    found = judge(made(dict.fromkeys("abcd", 1.0), weights=same))
    assert "the same mixture, 40 % from a" in " ".join(found.sentences)
    assert set(found.table["main_sources"]) == {""}


def test_a_best_round_that_is_the_last_or_the_first_is_said_with_what_helps():
    late = said(made({"a": 1.0}, best=(4, 4)))
    assert "Train local, pf_msmtrec longer (--rounds 8): in 6 of 6 runs of all methods" in late
    assert "was the last (of 4), in 0 the first" in late and "may catch up" not in late
    assert "enough rounds: in 0 of 6 runs" in said(made({"a": 1.0}, best=(2, 4)))
    mixed = made({"a": 1.0}, best=(4, 4))[:3] + made({"a": 1.0}, best=(2, 4))[3:]
    assert "Train local longer" in said(mixed) and "local may catch up" in said(mixed)
    third = made({"a": 1.0}, best=(1, 4), methods=("local", "fedavg"))[3:]
    all_three = said(made({"a": 1.0}, best=(4, 4)) + third)
    assert "local, pf_msmtrec longer (--rounds 8) and take smaller steps in fedavg (a lower" in all_three
    assert "in 6 of 9 runs of all methods the best round was the last (of 4), in 3 the first" in all_three
    simple = made({"a": 1.0}, best=(1, 4), methods=("local", "logistic"))[3:]  # it has one round
    assert "smaller steps" not in said(made({"a": 1.0}, best=(2, 4)) + simple)
    once = said(made({"a": 1.0}, best=(1, 1)))  # both the first and the last: more rounds will tell
    assert "longer (--rounds 2)" in once and "smaller steps" not in once


def test_the_cost_by_hand():
    text = said(made({"a": 1.0, "b": 1.0}))
    assert "1.0 kB per client and round, 8.0 kB in all from 2 clients in 4 rounds" in text
    assert "trains for 4.0 minutes (local: 4.0 minutes)" in text  # 2 clients × 4 rounds × 30 s


def test_the_hero_is_the_best_federated_method_on_validation_rows():
    rows = pd.concat([h.results for h in made({"a": 2.0}, methods=("local", "fedavg", "ditto"))])
    assert hero_of(rows) == "ditto"
    rows.loc[(rows["split"] == "valid") & (rows["method"] == "fedavg"), "auc"] = 0.99
    assert hero_of(rows) == "fedavg" and hero_of(rows[rows["method"] == "local"]) == ""


# ---- intervals over test rows ----


def test_with_predictions_the_interval_covers_seeds_and_rows():
    results, predictions = signals({"a": 0.5, "b": 1.0}, {"a": 2.5, "b": 1.0}, seeds=3, tasks=("x", "y"))
    alone, both = gains(results, "pf_msmtrec"), gains(results, "pf_msmtrec", None, predictions)
    assert both.resampled == 2 and both.total.rows_variance > 0
    assert alone.table["gain"].tolist() == both.table["gain"].tolist()
    words = both.table.set_index("scenario")["verdict"].to_dict()
    assert words == {"a": "pays", "b": "not clear"}
    cells = results.pivot_table(index=["scenario", "seed"], columns="method", values="auc")
    gain = 100 * (cells["pf_msmtrec"] - cells["local"]).groupby("scenario").mean()
    assert both.table.set_index("scenario")["gain"].to_dict() == pytest.approx(gain.to_dict())
    scope = said(made({"a": 1.0, "b": 1.0}), predictions=predictions.replace({"task": {"x": "click"}}))
    assert "over seeds and test rows" in scope and "not resampled" not in scope


def test_persons_make_the_interval_wider_also_across_scenarios():
    results, predictions = signals({"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 1.0}, rows=200)
    order = predictions.groupby(["scenario", "method", "seed"]).cumcount()
    doubled = predictions.loc[predictions.index.repeat(4)].reset_index(drop=True)
    people = {name: {"test": np.repeat(np.arange(200), 4)} for name in ("a", "b")}
    rows = gains(results, "pf_msmtrec", None, doubled)
    persons = gains(results, "pf_msmtrec", None, doubled, people)
    assert order.max() == 199 and persons.persons and not rows.persons
    assert persons.total.rows_variance / rows.total.rows_variance == pytest.approx(4, rel=0.4)
    strangers = gains(
        results, "pf_msmtrec", None, doubled, {"a": {"test": np.arange(3)}}
    )  # do not fit the rows
    assert not strangers.persons and strangers.resampled == 2


def test_predictions_that_do_not_fit_are_left_out():
    results, predictions = signals({"a": 0.5}, {"a": 1.0})
    short = predictions.drop(predictions.index[-1])
    assert gains(results, "pf_msmtrec", None, short).resampled == 0
    assert gains(results, "pf_msmtrec", None, predictions[:0]).resampled == 0


def test_the_words_follow_the_interval():
    assert [word(1, 0.5, 2), word(-1, -2, -0.5), word(1, -1, 3), word(1, np.nan, np.nan)] == [
        "pays", "harms", "not clear", "not clear",
    ]  # fmt: skip
    assert word(np.nan, np.nan, np.nan) == word(9, 8, 10, small=True) == "too small"


# ---- what a run leaves and says at its end ----


def test_predictions_are_read_block_by_block_as_they_were_written(tmp_path, monkeypatch):
    _, predictions = signals({"=a": 0.5, "NA": 0.5}, {"=a": 1.0, "NA": 1.0}, rows=30)
    predictions = predictions.sort_values(["method", "seed"], kind="stable")[
        ["row", *predictions.columns[1:]]
    ]
    predictions.loc[predictions.index[3], "label"] = np.nan
    path = tmp_path / "predictions.csv"
    path.write_text(csv_text(predictions), encoding="utf-8")
    whole = ending.with_predictions(path, "pf_msmtrec")
    monkeypatch.setattr(ending, "CHUNK", 17)
    calibration, kept = ending.with_predictions(path, "pf_msmtrec")
    assert calibration.equals(whole[0]) and len(calibration) == 8
    assert kept["probability"].tolist() == predictions["probability"].tolist()
    assert kept["label"].isna().sum() == 1 and set(kept["scenario"]) == {"=a", "NA"}
    path.write_text(path.read_text().splitlines()[0] + "\n")
    assert ending.with_predictions(path, "pf_msmtrec") == (None, None)


def test_an_auc_that_is_too_good_is_named_with_the_columns_to_look_at():
    results = pd.concat([h.results for h in made({"a": 0.0, "b": 0.0}, local=0.98, noise=0.0)])
    lines = ending.suspected(results, ["column 'paid' alone … --ignore paid", "another thing"])
    assert "a (click) 0.980, b (click) 0.980; by local, pf_msmtrec" in lines[0] and "'paid'" in lines[1]
    assert len(lines) == 2 and "filled in later" in ending.suspected(results)[1]
    assert ending.suspected(results.assign(auc=0.97)) == []


def test_a_trained_run_is_judged_and_its_tables_are_written(tmp_path):
    histories = [run(scenarios(3), m, 2, s, **SMALL) for m in ("local", "pf_msmtrec") for s in (0, 1)]
    found = ending.ended(tmp_path, histories, {"s0": 60, "s1": 120, "s2": 180})
    table = pd.read_csv(tmp_path / "verdict.csv")
    assert tuple(table) == GAINS and table["training_rows"].sum() == 360 and len(table) == 3
    assert tuple(pd.read_csv(tmp_path / "sources.csv")) == SOURCES
    assert len(pd.read_csv(tmp_path / "metrics.csv")) == 2 * 2 * 3 * 2 * 2
    told = []
    ending.tell(found, pd.concat([h.results for h in histories]), {}, told.append)
    assert sum(line.startswith("- ") for line in told) == len(found.judgement.sentences) >= 5
    assert "Gain of pf_msmtrec over local" in told[0]
    ending.ended(tmp_path, histories[2:])  # without local: files are there, and empty
    assert tuple(pd.read_csv(tmp_path / "verdict.csv")) == GAINS


def test_what_was_corrected_is_said_and_where_it_could_not_be():
    results = pd.concat([h.results for h in made({"a": 1.0, "b": 1.0})])
    assert ending.corrected_said(results, "none") == []
    (said,) = ending.corrected_said(results, "platt")
    assert "(--calibrate platt)" in said and "Not those" not in said
    results.loc[(results["scenario"] == "b") & (results["split"] == "valid"), "positives"] = 0
    assert "Not those of b (click): these validation rows" in ending.corrected_said(results, "platt")[0]
    (mixed,) = ending.blended_said(results)
    assert mixed.startswith("b (click): the validation rows") and "uses with pf_msmtrec." in mixed
    assert ending.blended_said(results[results["method"] == "local"]) == []
    results["rows"] = results["positives"]  # only positives
    assert "a (click), b (click)" in ending.corrected_said(results, "platt")[0]

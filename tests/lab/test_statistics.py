"""Averages, paired differences, corrections and the printed table, by hand and by scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pfmsm_lite.history import RESULTS
from pfmsm_lite.lab.statistics import (
    against,
    holm,
    paired,
    paired_interval,
    phrase,
    simplest_first,
    summary,
    table,
)


def test_paired_interval_is_the_paired_t_test_of_scipy():
    draw = np.random.default_rng(0)
    first, second = draw.normal(0.7, 0.01, 5), draw.normal(0.69, 0.01, 5)
    interval = stats.ttest_rel(first, second).confidence_interval()
    assert paired_interval(first, second) == pytest.approx(((first - second).mean(), *interval))
    mean, low, high = paired_interval([0.7], [0.6])
    assert mean == pytest.approx(0.1) and np.isnan(low) and np.isnan(high)


def test_a_paired_difference_is_in_points_and_leaves_out_what_has_no_partner():
    first, second = [0.8, 0.82, 0.84, np.nan, 0.9], [0.79, 0.80, 0.84, 0.7, np.nan]
    found = paired(first, second)
    test = stats.ttest_rel(first[:3], second[:3])
    interval = test.confidence_interval()
    assert found[:3] == pytest.approx((1.0, 100 * interval.low, 100 * interval.high)) and found.seeds == 3
    assert found.p == pytest.approx(test.pvalue)
    alone = paired(first[:1], second[:1])
    assert alone.difference == pytest.approx(1.0) and alone.seeds == 1
    assert np.isnan([alone.low, alone.high, alone.p]).all()
    same = paired([0.7, 0.8], [0.7, 0.8])
    assert same[:3] == (0, 0, 0) and np.isnan(same.p)
    assert np.isnan(paired([np.nan], [1.0])[:4]).all()


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, np.nan, 0.6])[[0, 2]] == pytest.approx([1.0, 1.0])
    assert np.isnan(holm([np.nan])).all()


class Kept:
    """As much of a History as summary and table look at."""

    def __init__(self, method, seed, aucs):
        rows = []
        for task, auc in zip(("click", "buy"), aucs, strict=True):
            rows += [(method, seed, "a", task, split, 9, 3, auc, 0.5) for split in ("valid", "test")]
        self.results = pd.DataFrame(rows, columns=RESULTS)
        self.rounds = pd.DataFrame({"bytes": [1000, 3000]})
        self.method, self.seed, self.seconds, self.best_round, self.stopped = method, seed, 1.0, 2, ""


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
    assert "n/a" in one.splitlines()[2] and "one class only" in one and "a (buy)" in one
    assert ".500" not in one.split("\n\n")[0] and "1 of 2 scenarios × tasks" in one


def test_cells_with_few_positives_are_marked():
    small = Kept("fedavg", 0, (0.6, 0.5))  # 3 of 9
    assert "a°" in table([small]) and "°: fewer than 20 positives or negatives" in table([small])
    small.results[["rows", "positives"]] = [400, 200]
    assert "°" not in table([small])
    small.results.loc[small.results["task"] == "buy", "positives"] = 381
    assert table([small]).count("a°") == 1


def test_all_tables_show_the_same_paired_difference():
    kept = [Kept("a", s, (0.6 + s / 50, 0.5)) for s in (0, 1)] + [Kept("b", s, (0.7, 0.6)) for s in (0, 1)]
    rows = pd.concat([one.results for one in kept])
    one, other = against(rows, "b").loc["a"], summary(kept, "a").loc["b"]
    assert one[["difference", "low", "high"]].tolist() == other[["difference", "low", "high"]].tolist()
    assert one["difference"] == pytest.approx(paired([0.65, 0.65], [0.55, 0.56]).difference)


def test_the_table_shows_both_references_what_stands_beside_auc_and_the_base_rate():
    kept = [Kept(m, s, (0.6 + d + s / 99, 0.5)) for m, d in (("local", 0), ("fedavg", 0.1)) for s in (0, 1)]
    keys = ["method", "seed", "scenario", "task", "split"]
    rows = pd.concat([one.results for one in kept])
    known = rows.assign(calibration_error=0.125).set_index(keys)["calibration_error"]
    text = table(kept, widest=0, calibration=known, rates={"a": {"click": 1 / 3, "buy": 0.5}})
    head, local, fedavg, constant = text.splitlines()[:4]
    assert head.index("points over local") < head.index("points over fedavg") < head.index("log loss")
    assert "-5.00 [-5.00, -5.00]" in local and "+5.00 [+5.00, +5.00]" in fedavg
    entropy = stats.entropy([1 / 3, 2 / 3])
    assert (
        local.split()[-5:-2] == [".500", f"{0.5 / entropy:.3f}"[1:], ".125"]
        or f"{0.5 / entropy:.3f}" in local
    )
    losses = [entropy, np.log(2)]
    assert constant.startswith("base rate") and f"{np.mean(losses):.3f}"[1:] in constant.split()
    assert "ECE" not in table(kept) and "base rate" not in table(kept)


def test_a_cell_that_one_method_lacks_is_said_beside_the_average():
    kept = [Kept("local", 0, (0.6, 0.5)), Kept("fedavg", 0, (0.6, np.nan))]
    assert "Left out of the averages: of fedavg 1 without an AUC." in table(kept)
    assert "Left out" not in table(kept[:1])


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((2.04, 0.1, 4.0), "leads local by 2.0"),
        ((-2.0, -4.0, -0.1), "trails local by 2.0"),
        ((0.4, -0.1, 0.9), "has no clear distance to local (+0.4)"),
        ((-0.4, -0.9, 0.0), "has no clear distance to local (−0.4)"),
        ((3.0, np.nan, np.nan), "is 3.0 above local"),
        ((-3.0, np.nan, np.nan), "is 3.0 below local"),
        ((np.nan, np.nan, np.nan), "cannot be compared with local"),
    ],
)
def test_only_what_excludes_zero_leads_and_one_seed_never_does(numbers, words):
    assert phrase("local", *numbers) == words


def test_the_simplest_methods_come_first_and_the_others_keep_their_order():
    assert simplest_first(["b", "logistic_pooled", "a", "logistic"]) == [
        "logistic",
        "logistic_pooled",
        "b",
        "a",
    ]
    assert simplest_first(["b", "a"]) == ["b", "a"]

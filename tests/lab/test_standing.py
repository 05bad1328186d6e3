"""How the methods of a comparison stand: every column on data made by hand, or by scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss, roc_auc_score

from pfmsm_lite.data import from_dataframe
from pfmsm_lite.lab.predictions import ScoredRows, keep_rows, kept_rows, scored_rows
from pfmsm_lite.lab.protocol import (
    few_said,
    harm_said,
    interval_said,
    printed,
    probabilities_said,
    rounds_said,
)
from pfmsm_lite.lab.resampling import drawn, resampled_auc
from pfmsm_lite.lab.standing import STANDING, Training, cells, measured, pairs, standing, summary

SIGNAL = {"local": 0.5, "good": 1.5, "same": 1.5}
RATES = np.array([[0.3], [0.6]])


def rows_of(seed=0, rows=(300, 100), people=None):
    """Rows of two scenarios and one task."""
    draw = np.random.default_rng(seed)
    labels = (draw.random((sum(rows), 1)) < 0.4).astype(float)
    starts = [0, rows[0], sum(rows)]
    return ScoredRows(["a", "b"], ["click"], starts, labels, people, RATES, f"data {seed}")


def trained(method, seed, tests, world="", rounds=(3, 3), harm=0.0):
    """What a training of a method with that signal would have left; harm: less of it in scenario b."""
    draw = np.random.default_rng(1000 * seed + len(method))
    signal = np.full(tests.labels.shape, SIGNAL[method])
    signal[tests.starts[1] :] -= harm
    found = 1 / (1 + np.exp(-(draw.normal(size=signal.shape) + signal * (tests.labels - 0.5))))
    found = found.astype(np.float32)
    results = []
    for name, part in tests.slices.items():
        y, p = tests.labels[part, 0], found[part, 0].astype(float)
        line = (
            method,
            seed,
            name,
            "click",
            "test",
            len(y),
            int(y.sum()),
            roc_auc_score(y, p),
            log_loss(y, p),
        )
        results += [line, (*line[:4], "valid", *line[5:7], 0.5, 9.0)]
    kept = {"results": results, "best_round": rounds[0], "rounds": rounds[1], "sent_kb": 1.0}
    return Training(method, seed, world, {**kept, "stored_kb": 2.0, "seconds": float(seed)}, found)


@pytest.fixture(scope="module")
def same_rows():
    tests = {"": rows_of()}
    own = [trained(m, s, tests[""], harm=1.4 * (m == "good")) for m in ("local", "good") for s in range(3)]
    return measured(own, tests, fresh=False), own, tests[""]


def test_every_column_by_hand(same_rows):
    scores, own, tests = same_rows
    table = standing(scores, own, "local").set_index("method")
    assert list(table.reset_index().columns) == list(STANDING)
    aucs = {
        (t.method, t.seed, name): roc_auc_score(tests.labels[part, 0], t.probabilities[part, 0])
        for t in own
        for name, part in tests.slices.items()
    }
    for method in ("local", "good"):
        a, b = (np.mean([aucs[method, s, name] for s in range(3)]) for name in "ab")
        assert table.auc[method] == pytest.approx((a + b) / 2)
        assert table.auc_by_rows[method] == pytest.approx((300 * a + 100 * b) / 400)
    gain = {
        name: 100 * np.mean([aucs["good", s, name] - aucs["local", s, name] for s in range(3)])
        for name in "ab"
    }
    assert gain["a"] > 0 > -1 > gain["b"]  # who is harmed is b
    assert (table.worst_client["good"], table.below["good"], table.below_1["good"]) == ("b", 1, 1)
    assert table.worst["good"] == pytest.approx(gain["b"])
    assert table.difference["good"] == pytest.approx((gain["a"] + gain["b"]) / 2)
    assert table[["difference", "worst"]].isna().loc["local"].all()
    assert harm_said(table.reset_index()) == [
        f"At least one client loses more than 1 point against local with good (b {gain['b']:+.1f})."
    ]


def test_log_loss_entropy_and_calibration_are_those_of_scikit_learn(same_rows):
    scores, own, tests = same_rows
    table = standing(scores, own, "local").set_index("method")
    for method in ("local", "good"):
        losses, shares, errors = [], [], []
        for t in own:
            for part in tests.slices.values() if t.method == method else ():
                y, p = tests.labels[part, 0], t.probabilities[part, 0].astype(float)
                losses.append(log_loss(y, p))
                shares.append(losses[-1] / log_loss(y, np.full(len(y), y.mean())))
                rate, mean = calibration_curve(y, p, n_bins=10, strategy="quantile")
                errors.append(np.abs(rate - mean).mean())  # bins of equal mass
        assert table.logloss[method] == pytest.approx(np.mean(losses))
        assert table.normalized_entropy[method] == pytest.approx(np.mean(shares))
        assert table.calibration_error[method] == pytest.approx(np.mean(errors), abs=1e-6)


def test_the_constant_is_the_training_rate_of_each_cell_by_hand(same_rows):
    scores, own, tests = same_rows
    line = standing(scores, own, "local").set_index("method").loc["constant"]
    y = [tests.labels[part, 0] for part in tests.slices.values()]
    losses = [log_loss(own, np.full(len(own), rate)) for own, rate in zip(y, RATES[:, 0], strict=True)]
    assert line["auc"] == 0.5 and line["logloss"] == pytest.approx(np.mean(losses))
    own_rate = [log_loss(own, np.full(len(own), own.mean())) for own in y]
    assert line["normalized_entropy"] == pytest.approx(np.mean(np.divide(losses, own_rate)))
    away = [abs(own.mean() - rate) for own, rate in zip(y, RATES[:, 0], strict=True)]
    assert line["calibration_error"] == pytest.approx(np.mean(away))
    assert line[["difference", "best_set", "worst", "below"]].isna().all()
    table = standing(scores, own, "local")
    worse = table.loc[table["logloss"] > line["logloss"], "method"].tolist()
    assert all(name in probabilities_said(table)[0].rpartition(";")[2] for name in worse)
    assert probabilities_said(table.assign(logloss=0.1))[0].endswith("; no method has a higher log loss.")


def test_with_the_same_rows_the_interval_counts_seeds_and_resampled_rows(same_rows):
    scores, own, tests = same_rows
    draws = {}
    for method in ("local", "good"):
        kept = np.stack([t.probabilities[:, 0] for t in own if t.method == method])
        parts = [
            resampled_auc(
                tests.labels[part, 0], kept[:, part], weights=drawn(len(tests.labels[part]), seed=n)
            )
            for n, part in enumerate(tests.slices.values())
        ]
        draws[method] = np.mean(parts, axis=0)
    rows = (draws["good"] - draws["local"]).var(ddof=1)
    by_seed = scores.averages["good"] - scores.averages["local"]
    found = scores.difference("good", "local")
    assert found.rows_variance == pytest.approx(rows) and found.seeds_variance == pytest.approx(
        by_seed.var() / 3
    )
    assert scores.units == int(min(tests.labels[:300].sum(), 300 - tests.labels[:300].sum())) + int(
        min(tests.labels[300:].sum(), 100 - tests.labels[300:].sum())
    )
    assert "3 seeds × test rows, resampled 200 times" in interval_said(scores)


def test_with_new_data_for_each_seed_the_interval_is_that_of_the_seeds_alone():
    tests = {f"data seed {s}": rows_of(s) for s in range(4)}
    own = [
        trained(m, s, tests[f"data seed {s}"], f"data seed {s}") for m in ("local", "good") for s in range(4)
    ]
    scores = measured(own, tests, fresh=True)
    gains = scores.averages["good"] - scores.averages["local"]
    known = stats.ttest_1samp(gains, 0).confidence_interval()
    assert scores.difference("good", "local")[1:3] == pytest.approx((known.low, known.high))
    assert "4 seeds with data of their own" in interval_said(scores)
    alone = measured([t for t in own if t.seed == 0], {"data seed 0": tests["data seed 0"]}, fresh=True)
    assert np.isfinite(alone.difference("good", "local").low) and "one seed" in interval_said(alone)


def test_over_windows_in_time_persons_are_drawn_once_for_all_windows():
    draw = np.random.default_rng(0)
    tests = {f"window {w}": rows_of(w, people=draw.integers(0, 50, 400) + 9000) for w in (1, 2)}
    own = [trained(m, s, rows, w) for w, rows in tests.items() for m in ("local", "good") for s in range(2)]
    scores = measured(own, tests, fresh=False)
    assert scores.varies == "world" and scores.averages.shape == (2, 2) and scores.units == 50
    single = scores.results.groupby(["world", "method"])["auc"].mean().unstack()
    assert scores.averages["good"].to_numpy() == pytest.approx(single["good"].to_numpy())
    weights, expected = drawn(50), []
    for world, rows in tests.items():
        for part in rows.slices.values():
            kept = np.stack([t.probabilities[part, 0] for t in own if (t.method, t.world) == ("good", world)])
            expected.append(resampled_auc(rows.labels[part, 0], kept, rows.people[part] - 9000, weights))
    assert scores.draws["good"] == pytest.approx(np.mean(expected, axis=0))
    assert "2 windows in time × persons in the test rows" in interval_said(scores)


def test_the_best_set_has_a_clear_winner_alone_and_equal_ones_together():
    tests = {"": rows_of(rows=(3000, 3000))}
    own = [trained(m, s, tests[""]) for m in SIGNAL for s in range(3)]
    table = standing(measured(own, tests, fresh=False), own, "local").set_index("method")
    assert table.best_set[list(SIGNAL)].tolist() == [0, 1, 1]
    some = [t for t in own if t.method != "same"]
    table = standing(measured(some, tests, fresh=False), some, "local").set_index("method")
    assert table.best_set[["local", "good"]].tolist() == [0, 1]


def test_without_predictions_the_seeds_count_alone_and_nothing_else_is_lost(same_rows):
    _, own, tests = same_rows
    bare = [t._replace(probabilities=None) for t in own]
    scores = measured(bare, {"": tests}, fresh=False)
    table = standing(scores, bare, "local").set_index("method")
    assert scores.draws == {} and table.calibration_error.drop("constant").isna().all()
    assert table.difference["good"] == pytest.approx(100 * scores.difference("good", "local").mean)
    assert np.isnan(scores.difference("good", "local").rows_variance)
    assert "no predictions are kept" in interval_said(scores)


def test_small_cells_are_marked_and_named_and_pairs_are_every_two_methods(same_rows):
    scores, own, tests = same_rows
    table = cells(scores)
    assert table["few"].tolist() == [0, 0] and few_said(table) == []
    few = ScoredRows(*tests[:3], np.where(np.arange(400)[:, None] < 300, tests.labels, 0), None, RATES, "")
    few.labels[300:319] = 1
    small = [trained(m, s, few) for m in ("local", "good") for s in range(2)]
    found = cells(measured(small, {"": few}, fresh=False))
    assert found["few"].tolist() == [0, 1] and found["positives"].tolist()[1] == 19
    assert "b (click)" in few_said(found)[0] and "a (click)" not in few_said(found)[0]
    two = pairs(scores)
    assert two[["first", "second"]].to_numpy().tolist() == [["good", "local"]]
    assert two.loc[0, ["difference", "low", "high"]].tolist() == pytest.approx(
        [100 * v for v in scores.difference("good", "local")[:3]]
    )


def test_a_method_whose_best_round_was_an_end_is_named_with_the_option_that_helps():
    tests = rows_of()
    own = [trained("local", s, tests, rounds=(1, 5)) for s in range(3)]
    own += [trained("good", s, tests, rounds=(r, 5)) for s, r in enumerate((5, 5, 2))]
    own += [trained("same", s, tests, rounds=(1, 1)) for s in range(3)]  # one round is no choice
    found = summary(own).reset_index()
    assert found.set_index("method")["first"].to_dict() == {"local": 1, "good": 0, "same": 0}
    last, first = rounds_said(found, 5)
    assert "good (67 %), same (100 %)" in last and "--rounds 10" in last
    assert "local (100 %)" in first and "--learning-rate" in first


def test_what_is_kept_of_the_rows_is_read_again(tmp_path):
    rows = rows_of(people=np.arange(400) % 7)
    rows.labels[3] = np.nan
    keep_rows(tmp_path / "rows.npz", rows)
    again = kept_rows(tmp_path / "rows.npz")
    for name, before, after in zip(ScoredRows._fields, rows, again, strict=True):
        np.testing.assert_array_equal(before, after, name)


def test_persons_are_those_of_the_group_column():
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"shop": draw.choice(["a", "b"], 400), "age": draw.normal(40, 9, 400)})
    frame = frame.assign(person=draw.integers(0, 60, 400), buy=draw.integers(0, 2, 400))
    scenarios = from_dataframe(frame, scenario="shop", tasks=["buy"], group="person", ignore=["person"])
    rows = scored_rows(scenarios, "", scenarios[0].notes)
    own = np.concatenate([frame["person"].to_numpy()[s.test.source.numpy()] for s in scenarios])
    pairs_of = set(zip(rows.people.tolist(), own.tolist(), strict=True))
    assert len(pairs_of) == len(set(own))  # one code a person, also in both shops
    assert scored_rows(scenarios, "", {}).people is None
    rates = [frame["buy"].to_numpy()[s.train.source.numpy()].mean() for s in scenarios]
    assert rows.rates[:, 0] == pytest.approx(rates)


def test_the_printed_table_has_the_constant_without_a_standing(same_rows):
    scores, own, _ = same_rows
    table = standing(scores, own, "local").merge(summary(own).reset_index(), how="left")
    text = printed(table.assign(tried=2.0, epochs=1.0, setting="as declared"), "local").splitlines()
    constant = next(line for line in text if line.startswith("constant"))
    assert "yes" not in constant and "no" not in constant.split()[1:]
    assert sum(line.startswith("good") for line in text) == 2 and text[0].split()[:2] == ["method", "AUC"]

"""Log loss, normalized entropy and calibration error, by hand and by scikit-learn."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from pfmsm_lite.history import RESULTS
from pfmsm_lite.lab.metrics import (
    METRICS,
    base_rate,
    calibration_error,
    cross_entropy,
    entropy,
    few,
    metrics,
    normalized_entropy,
)  # fmt: skip


def test_few_positives_or_few_negatives_by_hand():
    assert [few(19, 40), few(20, 40), few(21, 40), few(0, 9), few(300, 319)] == [
        True,
        False,
        True,
        True,
        True,
    ]
    assert few(pd.Series([19, 20]), pd.Series([400, 400])).tolist() == [True, False]


def results(*cells):
    """cells: (scenario, rows, positives, auc, logloss) of test rows."""
    return pd.DataFrame([("local", 0, s, "click", "test", *rest) for s, *rest in cells], columns=RESULTS)


def predictions(labels, probabilities, scenario="a"):
    cell = {"row": 0, "scenario": scenario, "method": "local", "seed": 0, "split": "test", "task": "click"}
    return pd.DataFrame({**cell, "label": labels, "probability": probabilities})


def test_normalized_entropy_by_hand():
    # a quarter positive: H = 0.25 ln 4 + 0.75 ln(4/3) = 0.5623
    found = normalized_entropy(
        results(("a", 8, 2, 0.6, 0.28117), ("b", 8, 8, np.nan, 0.1), ("c", 0, 0, np.nan, np.nan))
    )
    assert found.iloc[0] == pytest.approx(0.28117 / (0.25 * math.log(4) + 0.75 * math.log(4 / 3)))
    assert found.iloc[0] == pytest.approx(0.5, abs=1e-4) and found.iloc[1:].isna().all()
    assert entropy(0.5) == pytest.approx(math.log(2)) and entropy(0.0) == pytest.approx(0, abs=1e-6)


def test_the_log_loss_of_a_constant_is_that_of_scikit_learn():
    labels = [1, 0, 0, 0, 0]
    assert cross_entropy(0.2, 0.3) == pytest.approx(log_loss(labels, [0.3] * 5))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20).map(lambda n: 10 * n + 2), st.integers(0, 10**6), st.integers(1, 3))
def test_the_calibration_error_is_made_of_scikit_learns_curve(rows, seed, digits):
    draw = np.random.default_rng(seed)
    p = draw.random(rows) if digits == 3 else draw.random(rows).round(digits)
    labels = (draw.random(rows) < p).astype(float)
    said = calibration_error(predictions(labels, p)).iloc[0]
    if digits == 3 and rows % 10 == 2:  # no ties, and no edge falls on a row
        rate, mean = calibration_curve(labels, p, n_bins=10, strategy="quantile")
        edges = np.quantile(p, np.linspace(0, 1, 11))[1:-1]
        counts = np.bincount(np.searchsorted(edges, p), minlength=10)
        assert said == pytest.approx((np.abs(rate - mean) * counts[counts > 0]).sum() / rows)
    assert abs(labels.mean() - p.mean()) - 1e-9 <= said <= 1


def test_equal_probabilities_share_a_bin_and_missing_labels_do_not_count():
    found = calibration_error(predictions([1, 0, 0, 0, np.nan], [0.5, 0.5, 0.5, 0.5, 0.9]))
    assert found.iloc[0] == pytest.approx(0.25)
    both = pd.concat([predictions([1, 0], [0.9, 0.2]), predictions([1, 0], [0.4, np.nan], "b")])
    found = calibration_error(both).droplevel(["method", "seed", "split", "task"])
    assert found["a"] == pytest.approx(0.15) and np.isnan(found["b"])


def test_a_calibrated_model_has_little_error_and_one_that_says_twice_too_much_has_much():
    draw = np.random.default_rng(0)
    p = draw.random(20_000) / 2
    labels = (draw.random(20_000) < p).astype(float)
    assert calibration_error(predictions(labels, p)).iloc[0] < 0.01
    assert calibration_error(predictions(labels, 2 * p)).iloc[0] == pytest.approx(0.25, abs=0.01)


def test_metrics_stand_beside_every_line_of_the_results():
    lines = results(("a", 4, 1, 0.7, 0.5), ("b", 4, 2, 0.6, 0.6))
    known = calibration_error(predictions([1, 0, 0, 0], [0.5] * 4))
    table = metrics(lines, known)
    assert tuple(table) == METRICS and table["auc"].tolist() == [0.7, 0.6]
    assert table["calibration_error"].iloc[0] == pytest.approx(0.25) and np.isnan(
        table["calibration_error"].iloc[1]
    )
    assert metrics(lines)["calibration_error"].isna().all()


def test_the_base_rate_is_a_constant_prediction():
    lines = results(("a", 10, 2, 0.7, 0.5), ("b", 10, 0, np.nan, 0.6), ("c", 10, 5, 0.6, 0.6))
    found = base_rate(lines, {"a": {"click": 0.3}, "b": {"click": 0.3}, "c": {"click": math.nan}})
    assert found["scenario"].tolist() == ["a", "b"]
    assert found["logloss"].tolist() == pytest.approx(
        [log_loss([1, 1] + [0] * 8, [0.3] * 10), -math.log(0.7)]
    )
    assert found["calibration_error"].tolist() == pytest.approx([0.1, 0.3])
    assert found["auc"].iloc[0] == 0.5 and np.isnan(found["auc"].iloc[1])
    assert found["normalized_entropy"].iloc[0] > 1 and np.isnan(found["normalized_entropy"].iloc[1])

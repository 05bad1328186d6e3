"""Probabilities corrected at home: the line is scikit-learn's and scipy's, order and training stay."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.calibration import _SigmoidCalibration
from small import SMALL, scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rows in METHODS
from pfmsm_lite import run
from pfmsm_lite.data.calibration import IDENTITY, Platt, corrected, line, logits
from pfmsm_lite.history import score


def drawn(rows, a, b, seed=0):
    """Probabilities [R] float32, and labels whose log-odds are a + b·logit."""
    draw = np.random.default_rng(seed)
    p = expit(2 * draw.normal(size=rows)).astype(np.float32)
    return p, (draw.random(rows) < expit(a + b * logits(p))).astype(np.float32)


@pytest.mark.parametrize(("rows", "a", "b"), [(30, 0.0, 1.0), (300, 1.0, 0.3), (5000, -2.0, 1.5)])
def test_without_the_prior_it_is_the_line_of_scikit_learn(rows, a, b):
    p, y = drawn(rows, a, b)
    other = _SigmoidCalibration().fit(logits(p), y)  # σ(−(a·z + b)), the same targets
    assert line(p, y, spread=np.inf) == pytest.approx((-other.b_, -other.a_), abs=2e-5)


@pytest.mark.parametrize("rows", [12, 200])
def test_with_it_nothing_near_the_line_is_better(rows):
    p, y = drawn(rows, 0.5, 0.4)
    y[:3] = np.nan
    z, t = (
        logits(p[3:]),
        np.where(y[3:] > 0, (np.nansum(y) + 1) / (np.nansum(y) + 2), 1 / (np.nansum(1 - y) + 2)),
    )

    def loss(x):
        return -(t * np.log(expit(x[0] + x[1] * z)) + (1 - t) * np.log(expit(-x[0] - x[1] * z))).sum() + (
            (x[1] - 1) ** 2 / (2 * 0.5**2)
        )

    assert line(p, y) == pytest.approx(minimize(loss, [0.0, 1.0], tol=1e-12).x, abs=1e-4)
    assert abs(line(p, y)[1] - 1) < abs(line(p, y, np.inf)[1] - 1)


def test_probabilities_that_are_too_extreme_become_as_good_as_they_can_be():
    (p, y), (new, truth) = drawn(20_000, -0.5, 0.3), drawn(20_000, -0.5, 0.3, seed=1)
    assert line(p, y) == pytest.approx((-0.5, 0.3), abs=0.05)
    said = corrected(new[:, None], np.array([line(p, y)]))[:, 0]
    best = score(truth, expit(-0.5 + 0.3 * logits(new)))[3]
    assert score(truth, said)[3] == pytest.approx(best, abs=5e-4) and score(truth, new)[3] > best + 0.1


def test_where_it_cannot_be_fitted_nothing_changes():
    p, y = drawn(50, 0.0, 1.0)
    for labels in (np.zeros(50), np.ones(50), np.full(50, np.nan), np.zeros(0)):
        assert line(p[: len(labels)], labels.astype(np.float32)) == IDENTITY
    assert line(np.full(50, np.nan, np.float32), y) == IDENTITY
    assert line(1 - p, (p > 0.5).astype(np.float32)) == IDENTITY  # the order is upside down
    assert corrected(p[:, None], np.array([IDENTITY])).tolist() == p[:, None].astype(float).tolist()


@pytest.mark.parametrize("b", [0.05, 0.6, 3.0])
def test_the_order_stays_also_at_the_ends_of_float32(b):
    one = np.float32(1)
    ends = [0.0, 1e-45, 1e-30, 1e-7, 0.5, np.nextafter(np.float32(0.5), one), 0.999]
    p = np.array([*ends, np.nextafter(one, np.float32(0))], np.float32)
    said = corrected(p[:, None], np.array([[0.3, b]]))[:, 0]
    assert np.isfinite(said).all() and (np.diff(said) > 0).all() and 0 < said[0] and said[-1] <= 1


@pytest.mark.parametrize("name", ["local", "pf_msmtrec", "ditto", "pooled", "boosted_tree"])
def test_a_run_is_the_same_but_for_its_log_loss(name):
    options = {**SMALL, "learning_rate": 0.1}  # overfits: too extreme
    plain, other = (run(scenarios(3), name, 4, 0, calibrate=how, **options) for how in ("none", "platt"))
    assert other.best_round == plain.best_round
    for what in ("auc", "rows", "positives"):
        assert other.results[what].tolist() == pytest.approx(plain.results[what].tolist(), abs=1e-12)
    assert other.rounds["train_loss"].tolist() == plain.rounds["train_loss"].tolist()
    both = [h.results.groupby("split")["logloss"].mean() for h in (plain, other)]
    assert both[1]["valid"] < both[0]["valid"] and both[1]["test"] < both[0]["test"]


def test_a_task_whose_validation_rows_have_no_positive_keeps_its_probabilities():
    data = scenario("a")
    data.valid.labels[:, 1] = 0.0
    plain, other = (run([data], "local", 2, 0, calibrate=how, **SMALL) for how in ("none", "platt"))
    left, moved = (h.results.query("split == 'test'")["logloss"].tolist() for h in (plain, other))
    assert left[1] == moved[1] and left[0] != moved[0]


def test_lines_are_those_of_the_last_validation_rows():
    p, y = drawn(200, 1.0, 0.5)
    platt = Platt()
    for labels in (1 - y, y):
        platt("a", "valid", p[:, None], labels[:, None])
    said = platt("a", "test", p[:1, None], y[:1, None])
    assert (
        said == corrected(p[:1, None], np.array([line(p, y)]))
        and torch.from_numpy(said).dtype == torch.float64
    )

"""Weighted AUCs, resamples, intervals: by scikit-learn, scipy, DeLong, and where the truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from pfmsm_lite.lab.resampling import best_set, combined, drawn, resampled_auc, resampled_gain, weighted_auc


def scored(draw, rows, signal, ties=False, rate=0.3):
    """Labels and probabilities in which the positives stand higher."""
    labels = (draw.random(rows) < rate).astype(float)
    scores = draw.normal(size=rows) + signal * labels
    scores = np.round(scores) if ties else scores
    return labels, 1 / (1 + np.exp(-scores))


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 60), st.integers(0, 10**6), st.booleans())
def test_the_weighted_auc_is_that_of_scikit_learn(rows, seed, ties):
    draw = np.random.default_rng(seed)
    labels, p = scored(draw, rows, 1.0, ties)
    labels[:2] = 0, 1
    weights = draw.integers(0, 4, (rows, 5))
    weights[:2] = 1  # both classes are in every resample
    found = weighted_auc(labels, p, weights)
    known = [roc_auc_score(labels, p, sample_weight=own) for own in weights.T]
    assert found == pytest.approx(known, abs=1e-12)


def test_rows_without_a_label_do_not_count_and_a_lacking_class_has_no_auc():
    weights = np.ones((4, 1))
    assert weighted_auc([0, 1, np.nan, 0], [0.1, 0.2, np.nan, 0.3], weights) == pytest.approx([0.5])
    assert np.isnan(weighted_auc([0, 1, 0, 0], [0.1, 0.2, 0.3, 0.4], np.array([[1], [0], [1], [1]]))).all()
    assert np.isnan(weighted_auc([0, 1, 0, 0], [0.1, np.inf, 0.3, 0.4], weights)).all()


def test_a_resample_has_as_many_rows_and_the_same_seed_gives_the_same():
    weights = drawn(50, 30, seed=1)
    assert weights.shape == (50, 30) and (weights.sum(0) == 50).all()
    assert (weights == drawn(50, 30, seed=1)).all() and (weights != drawn(50, 30, seed=2)).any()


def test_the_spread_of_the_resamples_is_that_of_scipy_and_of_delong():
    draw = np.random.default_rng(3)
    labels, a = scored(draw, 300, 1.0)
    b = 0.5 * a + 0.5 * scored(draw, 300, 0.0)[1]
    found = resampled_gain(labels, a[None], b[None], resamples=2000).std(ddof=1)
    both = stats.bootstrap(
        (labels, a, b), lambda y, p, q: roc_auc_score(y, p) - roc_auc_score(y, q), paired=True,
        vectorized=False, n_resamples=600, method="basic", rng=np.random.default_rng(0),
    )  # fmt: skip
    assert found == pytest.approx(both.standard_error, rel=0.1)
    assert found == pytest.approx(np.sqrt(delong(labels, a, b)), rel=0.1)


def delong(labels, a, b):
    """Variance of the difference of two correlated AUCs (DeLong et al., 1988)."""
    parts = []
    for p in (a, b):
        pos, neg = p[labels == 1][:, None], p[labels == 0][None]
        wins = (pos > neg) + 0.5 * (pos == neg)
        parts.append((wins.mean(1), wins.mean(0)))
    return sum(np.var(x - y, ddof=1) / len(x) for x, y in zip(*parts, strict=True))


def test_persons_are_drawn_whole():
    draw = np.random.default_rng(4)
    labels, a = scored(draw, 60, 1.0)
    b = scored(draw, 60, 0.0)[1]
    labels, a, b = (np.repeat(v, 9) for v in (labels, a, b))  # each person nine times the same row
    people = np.repeat(np.arange(60) * 7 + 1000, 9)
    whole = resampled_gain(labels, a[None], b[None], people, resamples=800).std()
    rows = resampled_gain(labels, a[None], b[None], resamples=800).std()
    assert whole / rows == pytest.approx(3.0, rel=0.15)  # nine rows tell no more than one


def test_one_resample_serves_all_seeds_and_both_methods():
    draw = np.random.default_rng(5)
    labels, a = scored(draw, 80, 1.0)
    assert resampled_gain(labels, np.stack([a, a]), np.stack([a, a])).tolist() == [0.0] * 200
    b = scored(draw, 80, 0.5)[1]
    twice = resampled_gain(labels, np.stack([a, a]), np.stack([b, b]))
    assert twice == pytest.approx(resampled_gain(labels, a[None], b[None]))  # no gain from counting twice


def test_an_interval_over_seeds_alone_is_that_of_the_paired_t_test():
    gains = [0.01, 0.03, 0.02, 0.05]
    found = combined(gains)
    known = stats.ttest_1samp(gains, 0).confidence_interval()
    assert found[:3] == pytest.approx((np.mean(gains), known.low, known.high))
    assert np.isnan(found.rows_variance)


def test_both_parts_add_up_and_one_seed_leaves_the_rows():
    draws = np.random.default_rng(0).normal(0.02, 0.004, 4000)
    gains = [0.01, 0.03, 0.02]
    found = combined(gains, draws, units=50)
    assert found.seeds_variance == pytest.approx(np.var(gains, ddof=1) / 3)
    assert found.rows_variance == pytest.approx(0.004**2, rel=0.1)
    total, parts = found.seeds_variance + found.rows_variance, (found.seeds_variance, found.rows_variance)
    freedom = total**2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 49)
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, freedom) * np.sqrt(total))
    alone = combined(gains[:1], draws, units=50)
    reach = stats.t.ppf(0.975, 49) * draws.std(ddof=1)
    assert alone[:3] == pytest.approx((0.01, 0.01 - reach, 0.01 + reach))
    assert np.isnan(alone.seeds_variance)


def test_what_is_not_known_has_no_interval_and_what_does_not_vary_no_width():
    assert np.isnan(combined([]).mean) and np.isnan(combined([0.1]).low)
    assert np.isnan(combined([0.1], [0.1, 0.2, 0.3], units=1).low)
    assert combined([0.1, 0.1])[:3] == (0.1, 0.1, 0.1)
    assert combined([0.1, np.nan, 0.2]).mean == pytest.approx(0.15)


def test_the_interval_covers_the_truth_in_about_95_of_100_worlds():
    # a seed moves the hero's signal, a world has rows of its own; the truth: the gain of an average seed
    draw, hits, worlds, signal, base, move = np.random.default_rng(7), 0, 250, 1.2, 0.8, 0.08
    truth = np.mean(stats.norm.cdf((signal + move * draw.normal(size=10**5)) / np.sqrt(2)))
    truth -= stats.norm.cdf(base / np.sqrt(2))
    for world in range(worlds):
        labels = (draw.random(240) < 0.3).astype(float)
        common = draw.normal(size=240)  # what all models see of a row
        heroes, locals_ = [], []
        for shift in move * draw.normal(size=4):
            mixed = [0.9 * common + np.sqrt(1 - 0.81) * draw.normal(size=240) for _ in range(2)]
            heroes.append(mixed[0] + (signal + shift) * labels)
            locals_.append(mixed[1] + base * labels)
        gains = [
            roc_auc_score(labels, h) - roc_auc_score(labels, lo)
            for h, lo in zip(heroes, locals_, strict=True)
        ]
        rarer = int(min(labels.sum(), (1 - labels).sum()))
        found = combined(
            gains, resampled_gain(labels, np.stack(heroes), np.stack(locals_), seed=world), rarer
        )
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / worlds <= 0.995, hits / worlds


def test_the_spread_of_one_auc_over_persons_is_that_of_scipy():
    draw = np.random.default_rng(8)
    people = draw.integers(0, 70, 400)
    labels, p = scored(draw, 400, 1.0)
    p = 0.5 * p + 0.5 * draw.random(70)[people]  # rows of a person are alike
    mates = [np.flatnonzero(people == name) for name in np.unique(people)]

    def auc(drawn_people):
        rows = np.concatenate([mates[k] for k in drawn_people.astype(int)])
        return roc_auc_score(labels[rows], p[rows])

    known = stats.bootstrap(
        (np.arange(len(mates)),), auc, vectorized=False, n_resamples=800, method="basic",
        rng=np.random.default_rng(0),
    )  # fmt: skip
    found = resampled_auc(labels, p[None], people, resamples=2000)
    assert found.std(ddof=1) == pytest.approx(known.standard_error, rel=0.1)
    assert found.mean() == pytest.approx(known.bootstrap_distribution.mean(), abs=0.005)


# ---- the best set ----


def test_a_clear_winner_is_alone_and_two_equal_ones_are_both_the_best():
    noise = np.random.default_rng(0).normal(0, 0.001, (5, 3))
    assert best_set(np.array([0.7, 0.8, 0.71]) + noise).tolist() == [False, True, False]
    assert best_set(np.array([0.8, 0.8, 0.7]) + noise).tolist() == [True, True, False]
    same = np.tile([0.8, 0.8, 0.7], (4, 1))  # nothing varies but who it is
    assert best_set(same).tolist() == [True, True, False]


def test_of_two_methods_the_set_is_that_of_a_one_sided_paired_t_test():
    draw = np.random.default_rng(1)
    for ahead in (0.0, 0.005, 0.01, 0.02, 0.03):
        scores = np.array([0.7, 0.7 + ahead]) + draw.normal(0, 0.01, (6, 2))
        p = stats.ttest_rel(scores[:, 1], scores[:, 0], alternative="greater").pvalue
        if abs(p - 0.05) > 0.01 and abs(p - 0.95) > 0.01:  # the level is simulated
            assert best_set(scores).tolist() == [p > 0.05, p < 0.95], ahead


def test_rows_that_vary_widen_the_set_and_one_seed_leaves_the_rows():
    seeds = np.array([[0.70, 0.72], [0.71, 0.73], [0.70, 0.719]])
    wide = np.random.default_rng(2).normal(0, 0.02, (200, 2)) + seeds.mean(0)
    assert best_set(seeds).tolist() == [False, True]
    assert best_set(seeds, wide, units=100).tolist() == [True, True]
    assert best_set(seeds[:1]).tolist() == [True, True]  # nothing is known that varies
    narrow = np.random.default_rng(2).normal(0, 0.001, (200, 2)) + seeds.mean(0)
    assert best_set(seeds[:1], narrow, units=100).tolist() == [False, True]


def test_a_method_without_a_score_is_not_in_the_set_and_one_without_draws_counts_by_its_seeds():
    seeds = np.array([[0.70, np.nan, 0.72], [0.71, np.nan, 0.73], [0.70, np.nan, 0.719]])
    assert best_set(seeds).tolist() == [False, False, True]
    draws = np.random.default_rng(2).normal(0.7, 0.02, (200, 3))
    draws[:, 0] = np.nan
    assert best_set(seeds, draws, units=100).tolist() == [False, False, True]


def test_the_best_of_ten_is_in_its_set_in_about_95_of_100_worlds_and_in_more_where_it_is_clear():
    draw, hits = np.random.default_rng(3), {0.0: 0, 0.02: 0}
    for ahead in hits:
        for _ in range(150):
            common = draw.normal(0, 0.02, (5, 1))  # a good seed is good for all
            scores = common + draw.normal(0, 0.01, (5, 10))
            scores[:, 4] += ahead
            hits[ahead] += best_set(scores)[4]
    assert 0.9 <= hits[0.0] / 150 <= 0.99 and hits[0.02] == 150

"""The generator keeps its promises: every knob against the truth that it returns."""

import numpy as np
import pytest
from blocks import all_rows, counts, refused
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from pfmsm_lite.data import best_auc, digest, synthetic

TWO = {"sizes": (400, 300), "test_rows": 500}
BARE = {"sizes": (1, 1, 1), "valid": 0, "test_rows": 1}  # where only the teachers count


def logit(p):
    return np.log(p) - np.log1p(-p)


def scores(scenario, truth, n, noise=0.0):
    """[rows, T] what the teachers of scenario n say, without their constants."""
    clean = (all_rows(scenario, "probability") - noise) / (1 - 2 * noise)
    return logit(clean) - truth.intercepts[n]


def same(first, second, *blocks):
    for block in blocks:
        assert np.array_equal(all_rows(first, block), all_rows(second, block), equal_nan=True), block


def auc_over_all_pairs(score, probability):
    """The pair probability by definition: over all pairs of different rows, ties counting half."""
    won = total = 0.0
    for i, p in enumerate(probability):
        for j, q in enumerate(probability):
            if i != j:
                total += p * (1 - q)
                won += p * (1 - q) * ((score[i] > score[j]) + (score[i] == score[j]) / 2)
    return won / total


chances = st.integers(0, 8).map(lambda k: k / 8) | st.floats(0.01, 0.99)


@given(st.lists(st.tuples(chances, st.integers(0, 5)), min_size=2, max_size=12))
def test_best_auc_is_the_share_of_pairs_won_and_no_score_wins_more(rows):
    probability, other = zip(*rows, strict=True)
    found = best_auc(probability)
    if set(probability) in ({0}, {1}):
        assert np.isnan(found)
        return
    assert found == pytest.approx(auc_over_all_pairs(probability, probability))
    assert auc_over_all_pairs(other, probability) <= found + 1e-9


@pytest.mark.parametrize("probability", [[], [0.3], [0, 0, 0], [1, 1]])
def test_best_auc_without_a_pair_is_nan(probability):
    assert np.isnan(best_auc(probability))


def test_the_ceiling_is_what_sklearn_measures_on_many_labels():
    scenarios, truth = synthetic(**TWO, rates=(0.3, 0.05))
    draw = np.random.default_rng(0)
    for n, scenario in enumerate(scenarios):
        p = np.tile(scenario.test.probability.numpy(), (400, 1))
        labels = draw.random(p.shape) < p
        for t in range(2):
            assert truth.ceiling[n, t] == pytest.approx(roc_auc_score(labels[:, t], p[:, t]), abs=0.004)


def test_the_default_is_two_clusters_of_three_sizes():
    scenarios, truth = synthetic()
    assert [counts(s) for s in scenarios] == [[6000, 1500, 3000], [3000, 750, 3000], [1500, 375, 3000]] * 2
    mate = np.arange(6)[:, None] // 3 == np.arange(6) // 3
    assert np.allclose(truth.relatedness, np.where(np.eye(6), 1, np.where(mate, 0.95, 0.3)))
    assert truth.clusters == (0, 0, 0, 1, 1, 1)
    assert ((truth.ceiling > 0.8) & (truth.ceiling < 0.97)).all()  # worth learning, and not trivial


def test_sizes_may_lie_orders_of_magnitude_apart():
    scenarios, _ = synthetic(sizes=(20_000, 200, 2), test_rows=7)
    assert [counts(s) for s in scenarios] == [[20_000, 5000, 7], [200, 300, 7], [2, 300, 7]]
    for scenario in scenarios:
        for block in ("categorical", "numerical", "probability"):
            assert np.isfinite(all_rows(scenario, block)).all()


@pytest.mark.parametrize("rates", [0.2, (0.3, 0.01), ((0.5, 0.01), (0.05, 0.9))])
def test_labels_come_at_the_rates_asked_for(rates):
    scenarios, truth = synthetic(sizes=(20_000, 5000), rates=rates)
    asked = np.broadcast_to(rates, (2, 2))
    assert np.array_equal(truth.rates, asked)
    for n, scenario in enumerate(scenarios):
        assert np.allclose(all_rows(scenario, "probability").mean(0), asked[n], atol=1e-9)
        p, labels = scenario.train.probability.numpy(), scenario.train.labels.numpy()
        assert np.allclose(truth.achieved[n], p.mean(0))
        deviation = np.sqrt((p * (1 - p)).sum(0))
        assert (np.abs((labels - p).sum(0)) < 4 * deviation).all()
        rank = p[:, 0].argsort()  # and not only on average: in each tenth of the probabilities
        for rows in np.array_split(rank, 10):
            q, found = p[rows, 0], labels[rows, 0]
            assert abs((found - q).sum()) < 4.5 * np.sqrt((q * (1 - q)).sum()) + 1


def mean_products(**options):
    """[N, T, N, T] products of the teachers over 40 seeds, as correlations."""
    weights = [synthetic(**(BARE | options), seed=seed)[1].weights for seed in range(40)]
    weights = np.concatenate(weights, 2)
    found = np.einsum("ntd,msd->ntms", weights, weights)
    size = np.sqrt(np.einsum("ntnt->nt", found))
    return found / size[:, :, None, None] / size


@pytest.mark.parametrize(
    ("relatedness", "want"),
    [
        (["b", "a", "b"], [[1, -0.4, 0.9], [-0.4, 1, -0.4], [0.9, -0.4, 1]]),
        ([[1, -0.7, 0.2], [-0.7, 1, 0.4], [0.2, 0.4, 1]], None),
        (np.ones((3, 3)), None),
    ],
)
def test_teachers_are_as_related_as_asked(relatedness, want):
    want = np.array(relatedness if want is None else want)
    options = {"relatedness": relatedness, "within": 0.9, "across": -0.4}
    found = mean_products(**options, task_correlation=0)
    for t in range(2):
        assert np.allclose(found[:, t, :, t], want, atol=0.1)
        assert np.allclose(found[:, t, :, 1 - t], 0, atol=0.1)
    assert np.allclose(synthetic(**BARE, **options)[1].relatedness, want)


@pytest.mark.parametrize("correlation", [-1, -0.6, 0, 0.9, [[1, 0.8, -0.5], [0.8, 1, -0.2], [-0.5, -0.2, 1]]])
def test_tasks_are_as_correlated_as_asked_down_to_opposites(correlation):
    names = ("a", "b", "c")[: len(np.atleast_1d(correlation)) + (np.ndim(correlation) == 0)]
    want = correlation if np.ndim(correlation) else [[1, correlation], [correlation, 1]]
    options = {"task_correlation": correlation, "tasks": names, "rates": 0.3}
    found = mean_products(**options, relatedness=np.eye(3))
    for n in range(3):
        assert np.allclose(found[n, :, n], want, atol=0.1)
    scenarios, truth = synthetic(**TWO, **options)
    if correlation == -1:
        score = scores(scenarios[0], truth, 0)
        assert np.allclose(score[:, 0], -score[:, 1], atol=1e-3)


def test_the_weights_of_the_truth_are_the_teachers_of_the_rows():
    """50 tasks of scenario 0 give away what its teachers look at; that foretells the scores of scenario 1."""
    tiny = {"fields": {"user": 3, "item": 3}, "numericals": 0, "sizes": (200, 200), "test_rows": 100}
    tasks = tuple(f"task {t}" for t in range(50))
    scenarios, truth = synthetic(**tiny, tasks=tasks, rates=0.3, task_correlation=0, across=0, signal=1.5)
    cells = []
    for n, scenario in enumerate(scenarios):
        ids, score = all_rows(scenario, "categorical"), scores(scenario, truth, n)
        cells.append([score[(ids == cell).all(1)].mean(0) for cell in np.ndindex(4, 4) if min(cell) > 0])
    basis = np.linalg.lstsq(truth.weights[0], np.array(cells[0]).T / 1.5, rcond=None)[0].T
    assert np.allclose(1.5 * basis @ truth.weights[1].T, cells[1], atol=1e-6)
    assert np.std(cells[1]) > 0.3


def test_signal_scales_the_true_logit():
    found = {k: synthetic(sizes=(2000,) * 8, signal=k) for k in (0, 1, 2)}
    for n in range(8):
        one, two = (scores(found[k][0][n], found[k][1], n) for k in (1, 2))
        assert np.allclose(2 * one, two, atol=1e-8)
        assert np.allclose(all_rows(found[0][0][n], "probability"), (0.3, 0.15))
    deviations = [scores(s, found[2][1], n).std(0) for n, s in enumerate(found[2][0])]
    assert 1.6 < np.mean(deviations) < 2.5
    assert np.allclose(found[0][1].ceiling, 0.5) and (found[1][1].ceiling < found[2][1].ceiling).all()


@pytest.mark.parametrize(("signal", "rates"), [(5, 0.01), (20, 0.01), (100, 0.3), (100, 0.01)])
def test_every_signal_in_its_range_gives_rows(signal, rates):
    scenarios, _ = synthetic(**TWO, signal=signal, rates=rates)
    for scenario in scenarios:
        assert np.allclose(all_rows(scenario, "probability").mean(0), rates, atol=1e-6)


def test_label_noise_turns_that_share_over_and_lowers_the_ceiling():
    clean, noisy = (synthetic(**TWO, label_noise=noise) for noise in (0, 0.1))
    for n in range(2):
        same(clean[0][n], noisy[0][n], "categorical", "numerical")
        assert np.allclose(scores(clean[0][n], clean[1], n), scores(noisy[0][n], noisy[1], n, 0.1))
        p = all_rows(noisy[0][n], "probability")
        assert p.min() > 0.1 and p.max() < 0.9 and p.min() < 0.105
        assert np.allclose(p.mean(0), (0.3, 0.15), atol=1e-9)
    assert (noisy[1].ceiling < clean[1].ceiling - 0.02).all()


def test_label_missing_takes_single_labels_away_and_changes_no_other():
    (whole, _), (gaps, truth) = synthetic(sizes=(4000, 400)), synthetic(sizes=(4000, 400), label_missing=0.3)
    for n, (full, holey) in enumerate(zip(whole, gaps, strict=True)):
        labels, known = all_rows(holey, "labels"), ~np.isnan(all_rows(holey, "labels"))
        assert abs(known.mean() - 0.7) < 4 * np.sqrt(0.21 / known.size)
        assert 0 < (known[:, 0] != known[:, 1]).mean()
        assert np.array_equal(labels[known], all_rows(full, "labels")[known])
        same(full, holey, "categorical", "numerical", "probability")
        p, seen = holey.test.probability.numpy(), ~np.isnan(holey.test.labels.numpy())
        for t in range(2):
            assert truth.ceiling[n, t] == best_auc(p[seen[:, t], t])


def test_a_missing_task_is_gone_from_its_scenario_and_from_no_other():
    (whole, before), (some, truth) = synthetic(**TWO), synthetic(**TWO, missing_tasks={1: ["click"]})
    gone = np.array([[False, False], [True, False]])
    for block in (truth.ceiling, truth.intercepts, truth.achieved):
        assert np.array_equal(np.isnan(block), gone)
    assert np.array_equal(truth.ceiling[~gone], before.ceiling[~gone])
    assert [s.has_task.tolist() for s in some] == [[True, True], [False, True]]
    same(whole[0], some[0], "categorical", "numerical", "labels", "probability")
    for block in ("labels", "probability"):
        full, left = all_rows(whole[1], block), all_rows(some[1], block)
        assert np.isnan(left[:, 0]).all() and np.array_equal(full[:, 1], left[:, 1])


def test_feature_scale_shift_multiplies_the_features_and_nothing_else():
    options = {"sizes": (3000,) * 3, "feature_scale_shift": 100}
    plain, _ = synthetic(sizes=(3000,) * 3, statistics="none")
    raw, truth = synthetic(**options, statistics="none")
    assert np.allclose(truth.scales, (1, 10, 100))
    for n, scenario in enumerate(raw):
        assert np.allclose(all_rows(scenario, "numerical").std(0), truth.scales[n], rtol=0.05)
        assert np.allclose(all_rows(plain[n], "numerical") * truth.scales[n], all_rows(scenario, "numerical"))
        same(plain[n], scenario, "categorical", "labels", "probability")
    own = [s.train.numerical.numpy() for s in synthetic(**options)[0]]
    for values in own:
        assert np.allclose(values.mean(0), 0, atol=1e-5) and np.allclose(values.std(0), 1, atol=1e-5)
    joint = [s.train.numerical.numpy() for s in synthetic(**options, statistics="federation")[0]]
    assert np.allclose(np.concatenate(joint).std(0), 1, atol=1e-5)
    assert np.allclose([(v.std(0) / joint[0].std(0)).mean() for v in joint], truth.scales, rtol=0.05)


def test_items_are_as_popular_as_the_truth_says():
    found = {shift: synthetic(sizes=(20_000, 20_000), popularity_shift=shift) for shift in (0, 0.5, 1)}
    agreement = {}
    for shift, (scenarios, truth) in found.items():
        for n, scenario in enumerate(scenarios):
            ids = all_rows(scenario, "categorical")
            counts = np.bincount(ids[:, 1] - 1, minlength=200)
            assert stats.chisquare(counts, truth.popularity[n] * len(ids)).pvalue > 1e-4
            assert counts.max() > 5 * np.median(counts)
            assert np.allclose(np.sort(truth.popularity[n]), np.sort(found[0][1].popularity[0]))
            assert np.array_equal(ids[:, [0, 2, 3]], all_rows(found[0][0][n], "categorical")[:, [0, 2, 3]])
        agreement[shift] = np.corrcoef(truth.popularity)[0, 1]
    assert agreement[0] == pytest.approx(1) and abs(agreement[1]) < 0.3 and 0.1 < agreement[0.5] < 0.9


def test_the_seed_is_the_data_and_scenarios_do_not_disturb_each_other():
    first, again, other = (synthetic(**TWO, seed=seed)[0] for seed in (0, 0, 1))
    assert digest(first) == digest(again) != digest(other)
    longer, _ = synthetic(sizes=(400, 999), test_rows=500)
    same(first[0], longer[0], "categorical", "numerical", "labels", "probability")
    joined, _ = synthetic(sizes=(400, 300, 50), test_rows=500, relatedness=[0, 1, 0])
    for before, after in zip(first, joined, strict=False):
        same(before, after, "categorical", "numerical", "labels", "probability")


@pytest.mark.parametrize("numericals", [0, 3])
def test_ids_lie_between_one_and_the_number_of_values(numericals):
    fields = {"reader": 40, "article": 30, "paper": 1}
    scenarios, truth = synthetic(sizes=(3000,), fields=fields, numericals=numericals)
    ids = all_rows(scenarios[0], "categorical")
    assert scenarios[0].fields == {"reader": 41, "article": 31, "paper": 2}
    assert ids.min(0).tolist() == [1, 1, 1] and ids.max(0).tolist() == [40, 30, 1]
    assert all_rows(scenarios[0], "numerical").shape[1] == len(scenarios[0].numericals) == numericals
    assert truth.popularity.shape == (1, 30)
    digest(scenarios)


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        ({"relatedness": [0, 0, 1]}, ["3 cluster labels for 2 scenarios"]),
        ({"relatedness": [[1, 0.5], [0.4, 1]]}, ["relatedness", "symmetric 2×2"]),
        ({"relatedness": [[1, 2], [2, 1]]}, ["relatedness", "[-1, 1]"]),
        ({"sizes": (9, 9, 9), "relatedness": [0, 1, 2], "across": -0.6}, ["across", "-0.200", "closer to 0"]),
        ({"tasks": "abc", "rates": 0.1, "task_correlation": -0.9}, ["task_correlation", "eigenvalue"]),
        ({"rates": (0.1, 0.1, 0.1)}, ["rates has shape (3,)", "2 tasks", "2 scenarios"]),
        ({"rates": (0.3, 0.0)}, ["rates: 0.0", "task conversion"]),
        ({"label_noise": 0.2}, ["0.15", "label_noise 0.2"]),
        ({"label_noise": 0.5}, ["label_noise is 0.5", "0.49"]),
        ({"signal": float("nan")}, ["signal is nan"]),
        ({"popularity_shift": 1.1}, ["popularity_shift is 1.1", "[0, 1]"]),
        ({"feature_scale_shift": 0}, ["feature_scale_shift is 0"]),
        ({"sizes": ()}, ["number of scenarios is 0"]),
        ({"sizes": (100, 0)}, ["smallest of sizes is 0"]),
        ({"fields": {"user": 3}}, ["number of fields is 1"]),
        ({"missing_tasks": {2: ["click"]}}, ["missing_tasks is 2", "[0, 1]"]),
        ({"missing_tasks": {0: ["klick"]}}, ["missing_tasks 'klick'", "Did you mean 'click'"]),
        ({"statistics": "clients"}, ["statistics 'clients'", "Did you mean 'client'"]),
        ({"tasks": ("click", "click")}, ["click", "twice"]),
    ],
)
def test_a_knob_outside_its_range_is_refused_by_name(options, fragments):
    refused(fragments, synthetic, **(TWO | options))

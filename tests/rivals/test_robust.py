"""Robust means against numpy, scipy and brute force; their limits; and what the screen lets through."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import trim_mean
from small import SMALL, scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables
from pfmsm_lite import METHODS, Federation, Settings, run
from pfmsm_lite.aggregation import Exchange, aggregate, mixing_weights
from pfmsm_lite.rivals import checks, robust

PF = METHODS["pf_msmtrec"]


def exchange(sources, present=None):
    """Some clients' parameters [U, N, P] as an Exchange, as after one round from zero."""
    gram = sources @ sources.transpose(-2, -1)
    there = torch.ones(sources.shape[:2], dtype=torch.bool) if present is None else present
    rows = torch.arange(1.0, sources.shape[1] + 1)
    return Exchange(torch.zeros_like(sources), sources, gram * 0, sources, gram, rows, there, there | True)


def result(rule, sources, present=None):
    """What every client gets by a rule: [U, N, P]."""
    found = exchange(sources, present)
    weights, memory = mixing_weights(found, replace(PF, aggregate=rule), rule)
    return aggregate(memory.get("sources", sources), weights)


def drawn(clients, units=2, numbers=5, seed=0):
    return torch.randn(units, clients, numbers, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("clients", [1, 2, 3, 4, 6, 7, 12])
def test_median_and_trimmed_mean_are_those_of_numpy_and_scipy(clients):
    sources = drawn(clients)
    for rule, expected in (
        ("median", np.median(sources.numpy(), 1)),
        ("trimmed", trim_mean(sources.numpy(), robust.TRIM, 1)),
    ):
        for n in range(clients):
            assert np.allclose(result(rule, sources)[:, n].numpy(), expected, atol=1e-6)


def test_by_hand():
    sources = torch.tensor([[[1.0], [2.0], [3.0], [1000.0]]])
    assert result("median", sources)[0, 0].item() == 2.5
    assert result("trimmed", sources)[0, 0].item() == 2.5  # without 1 and 1000
    assert result("krum", sources)[0, :, 0].tolist() == [2.0] * 4 or result("krum", sources)[0, 0].item() < 4
    assert result("multikrum", sources)[0, 0].item() == pytest.approx(2.0)  # 1, 2, 3


@pytest.mark.parametrize("clients", [3, 5, 6, 9])
def test_krum_is_brute_force(clients):
    """The score of a client is the least that any set of M − f − 2 others is away, squared and added up."""
    points = drawn(clients, units=1, seed=clients)[0].double()
    near = max(1, clients - clients // 3 - 2)
    brute = [
        min(
            sum(float((points[n] - points[m]).square().sum()) for m in some)
            for some in combinations([m for m in range(clients) if m != n], near)
        )
        for n in range(clients)
    ]
    assert np.allclose(robust.krum_scores(points).numpy(), brute)
    best = int(np.argmin(brute))
    assert torch.allclose(result("krum", points[None].float())[0, 0], points[best].float())
    several = np.argsort(brute)[: clients - clients // 3]
    assert torch.allclose(
        result("multikrum", points[None].float())[0, 0], points[several].mean(0).float(), atol=1e-6
    )


@pytest.mark.parametrize("rule", ["median", "trimmed", "krum", "multikrum"])
def test_a_mean_does_not_mind_order_or_place_and_knows_no_rows(rule):
    sources = drawn(7, seed=3)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(result(rule, sources), result(rule, sources[:, order]), atol=1e-6)
    assert torch.allclose(result(rule, sources + 5), result(rule, sources) + 5, atol=1e-5)
    assert torch.allclose(result(rule, -3 * sources), -3 * result(rule, sources), atol=1e-5)
    alike = drawn(1).expand(2, 7, 5)
    assert torch.allclose(result(rule, alike), alike, atol=1e-6)


@pytest.mark.parametrize("rule", ["median", "trimmed", "krum", "multikrum"])
@pytest.mark.parametrize("far", [1e3, 1e9])
def test_a_few_hostile_clients_move_it_by_no_more_than_the_honest_are_apart(rule, far):
    honest = drawn(8, seed=5)
    hostile = torch.full((2, 2, 5), far) + drawn(2, seed=6)
    found = result(rule, torch.cat([hostile, honest], 1))[:, 0]
    assert bool((found >= honest.min(1).values - 1e-4).all() and (found <= honest.max(1).values + 1e-4).all())
    assert not bool((result("mean", torch.cat([hostile, honest], 1))[:, 0] <= honest.max(1).values).all())


def test_without_trimming_the_middle_is_the_mean_and_nan_do_not_count():
    values = drawn(6, units=1)[0]
    assert torch.allclose(robust.middle(values, 0.0), values.mean(0))
    values[2, 1], values[:, 4] = torch.nan, torch.nan
    found = robust.middle(values)
    assert torch.allclose(found[:4], torch.from_numpy(np.nanmedian(values[:, :4].numpy(), 0)))
    assert found[4].isnan()


@pytest.mark.parametrize("rule", ["median", "krum", "multikrum", "trimmed"])
def test_who_is_absent_has_no_say_and_gets_the_common_model(rule):
    sources = drawn(6, seed=2)
    sources[:, 1] = 1e6
    present = torch.ones(2, 6, dtype=torch.bool)
    present[:, 1] = False
    found = result(rule, sources, present)
    fewer = result(rule, sources[:, [0, 2, 3, 4, 5]])
    assert torch.allclose(found[:, 0], fewer[:, 0], atol=1e-6)
    assert torch.allclose(found[:, 1], found[:, 0])


# ---- embedding entries ----


def test_each_entry_moves_by_the_median_of_its_users_as_often_as_it_has_users():
    found = Federation(scenarios(4), METHODS["robust_median"], Settings(**SMALL), 0)
    found.train()
    table, before = found.server.table, found.server.table.table.clone()
    uploads = [client.upload()["embedding.weight"] for client in found.clients]
    changes = np.full((4, *before.shape), np.nan)
    for own, rows, index, uses in zip(changes, uploads, table.index, table.uses, strict=True):
        own[index[uses > 0].numpy()] = (rows - before[index[uses > 0]]).numpy()
    users = (~np.isnan(changes[:, :, 0])).sum(0)
    changes[:, users == 0] = 0  # nobody's
    expected = np.nanmedian(changes, 0) * users[:, None]
    found.serve([True] * 4)
    assert np.allclose((table.table - before).numpy(), expected, atol=1e-5)
    assert users.max() == 4 and users.min() < 4


def test_where_all_change_alike_the_median_is_the_sum():
    same = [scenario(f"s{n}", rows=60, seed=1) for n in range(3)]
    tables = []
    for rule in ("sum", "sum_median", "sum_trimmed"):
        found = Federation(same, replace(METHODS["fedavg_sum"], embedding=rule), Settings(**SMALL), 0)
        found.clients[0].train()
        upload = found.clients[0].upload()
        found.server.serve([upload] * 3)
        tables.append(found.server.table.table)
    assert torch.allclose(tables[0], tables[1], atol=1e-5) and torch.allclose(tables[0], tables[2], atol=1e-5)


# ---- the screen ----


def test_the_worst_goes_first_and_nobody_is_judged_by_who_is_out():
    """Two flippers, alike, against four: by the first median one of the honest would go, too."""
    likeness = torch.tensor(
        [
            [torch.nan, 0.3, -0.4, -0.4, -0.4, -0.3],
            [0.3, torch.nan, -0.4, -0.4, -0.3, -0.3],
            [-0.4, -0.4, torch.nan, 0.5, 0.1, -0.25],
            [-0.4, -0.4, 0.5, torch.nan, 0.1, 0.1],
            [-0.4, -0.3, 0.1, 0.1, torch.nan, 0.4],
            [-0.3, -0.3, -0.25, 0.1, 0.4, torch.nan],
        ]
    )
    assert float(likeness[5].nanquantile(0.5)) < -0.2
    assert set(checks.strangers(likeness, -0.2)) == {0, 1}
    assert checks.strangers(likeness[2:, 2:], -0.2) == {}
    assert checks.strangers(likeness[:2, :2], -0.2) == {}  # of two nobody is the majority


@pytest.mark.parametrize("kind", ["flip", "scale10", "collude", "late"])
def test_the_screen_refuses_who_moves_against_the_others_and_nobody_else(kind):
    data = [scenario(f"s{n}", rows=300, seed=n) for n in range(5)]
    history = run(data, METHODS["robust_screen"], rounds=5, attack=[f"s2={kind}"], **SMALL)
    assert {client for _, client in history.refused} == {"s2"}
    assert any("points away" in words or "medians long" in words for _, _, words in history.said)


def test_among_honest_clients_the_screen_changes_no_bit():
    data = [scenario(f"s{n}", rows=300, seed=n) for n in range(5)]
    bare = run(data, METHODS["fedavg_sum"], rounds=3, **SMALL)
    screened = run(data, replace(METHODS["fedavg_sum"], check="screen"), rounds=3, **SMALL)
    assert screened.results.equals(bare.results) and not screened.said


@pytest.mark.parametrize("name", [name for name in METHODS if name.startswith("robust_")])
def test_robust_methods_run_where_a_task_is_missing_and_with_one_client(name):
    data = [*scenarios(2), scenario("s2", rows=90, seed=7, missing=("conversion",))]
    for some in (data, data[:1]):
        history = run(some, METHODS[name], rounds=2, **SMALL)
        assert history.results["logloss"].dropna().gt(0).all() and not history.refused

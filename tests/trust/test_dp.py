"""A private client: its step against a loop over rows, Opacus and the plain step; its ε against Opacus'."""

import math
from dataclasses import replace

import pytest
import torch
from small import SMALL, scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rules
from pfmsm_lite import METHODS, Federation, Settings, run
from pfmsm_lite.client import Client
from pfmsm_lite.errors import UserError
from pfmsm_lite.trust import dp

PF = METHODS["pf_msmtrec"]
PRIVATE = {**SMALL, "client": "private"}


def opacus(name):
    return pytest.importorskip(f"opacus{name}", reason="Opacus is not here: pip install pfmsm-lite[privacy]")


def clients(method=PF, made=None, **settings):
    return Federation(made or scenarios(2), method, Settings(**{**PRIVATE, **settings}), 3).clients


def by_loop(client, index, clip):
    """The clipped sum, row by row, the embedding table whole."""
    total = {name: torch.zeros_like(p) for name, p in client.model.named_parameters()}
    for row in index.tolist():
        client.model.zero_grad()
        client.losses(torch.tensor([row])).sum().backward()
        own = {name: p.grad for name, p in client.model.named_parameters()}
        norm = math.sqrt(sum(float(part.square().sum()) for part in own.values()))
        for name, part in own.items():
            total[name] += part * min(1.0, clip / norm)
    client.model.zero_grad()
    return total


def ours(client, index, clip):
    labels = client.labels[index]
    rows = client.ids(index), client.train_rows.numerical[index], labels, torch.ones_like(labels)
    return dp.clipped_sum(client.model, *rows, clip)


@pytest.mark.parametrize("clip", [0.05, 1e9])
@pytest.mark.parametrize("compose", ["hadamard", "none", "additive", "rank1"])
def test_the_sum_equals_a_loop_over_rows(clip, compose, monkeypatch):
    monkeypatch.setattr(dp, "CHUNK", 4)  # several chunks
    client = clients(replace(PF, compose=compose))[0]
    index = torch.arange(11)
    total, losses = ours(client, index, clip)
    expected = by_loop(client, index, clip)
    assert total.keys() == expected.keys()
    for name, part in expected.items():
        assert torch.allclose(total[name], part, atol=2e-6), name
    with torch.no_grad():
        assert torch.allclose(losses, client.losses(index) * len(index), rtol=1e-5)
    if clip < 1:  # of length clip at most, each: the sum is shorter than all of them laid end to end
        assert math.sqrt(sum(float(p.square().sum()) for p in total.values())) < 11 * clip


@pytest.mark.parametrize("product", ["", "click,conversion"])
def test_without_noise_and_clipping_a_step_is_the_plain_step(product):
    private = clients(dp_noise=0.0, dp_clip=1e12, dp_rate=0.5, ctcvr=product)[0]
    index = torch.arange(len(private.labels) // 2)  # as many as are expected
    losses = private.backward(index)
    found = {name: p.grad.clone() for name, p in private.model.named_parameters()}
    private.model.zero_grad()
    assert torch.allclose(losses, Client.backward(private, index), rtol=1e-5)
    for name, p in private.model.named_parameters():
        assert torch.allclose(found[name], p.grad, atol=1e-7), name
        assert p.grad.abs().sum() > 0, name  # the template's parts and the gates at home, too


def test_a_step_equals_opacus():
    optimizers = opacus(".optimizers")
    client = clients(dp_noise=0.7, dp_clip=0.3, dp_rate=0.2)[0]
    index = torch.arange(13)
    labels, numerical = client.labels[index], client.train_rows.numerical[index]
    ids, mask = client.ids(index), torch.ones_like(labels)
    parameters = dict(client.model.named_parameters())
    rows, _ = dp.row_gradients(client.model, ids, numerical, labels, mask)
    expected = 0.2 * len(client.labels)
    optimizer = optimizers.DPOptimizer(
        torch.optim.SGD(parameters.values(), lr=1.0), noise_multiplier=0.7, max_grad_norm=0.3,
        expected_batch_size=expected, generator=torch.Generator().manual_seed(5),
    )  # fmt: skip
    for name, p in parameters.items():
        if name == dp.TABLE:  # whole, as Opacus wants it
            p.grad_sample = torch.zeros(len(index), *p.shape)
            for b in range(len(index)):
                p.grad_sample[b].index_add_(0, ids[b], rows[name][b])
        else:
            p.grad_sample = rows[name]
    optimizer.pre_step()
    theirs = {name: p.grad.clone() for name, p in parameters.items()}
    client.generator = torch.Generator().manual_seed(5)
    client.backward(index)
    for name, p in parameters.items():
        assert torch.allclose(p.grad, theirs[name], rtol=1e-5, atol=2e-7), name


@pytest.mark.parametrize(("noise", "rate", "steps"), [(1.0, 0.1, 100), (1.0, 0.02, 500), (3.0, 0.5, 20)])
def test_epsilon_equals_opacus(noise, rate, steps):
    analysis = opacus(".accountants.analysis.rdp")
    theirs = analysis.compute_rdp(q=rate, noise_multiplier=noise, steps=steps, orders=dp.ORDERS)
    own = [steps * dp.renyi(noise, rate, order) for order in dp.ORDERS]
    assert own == pytest.approx(list(theirs), rel=1e-9)
    expected, _ = analysis.get_privacy_spent(orders=dp.ORDERS, rdp=theirs, delta=1e-5)
    assert dp.epsilon(noise, rate, steps, 1e-5) == pytest.approx(expected, rel=1e-9)
    # and it is a bound: never below what Opacus finds over fractional orders, and close to it
    accountant = opacus(".accountants").RDPAccountant()
    accountant.history = [(noise, rate, steps)]
    finer = accountant.get_epsilon(1e-5)
    assert finer <= dp.epsilon(noise, rate, steps, 1e-5) * (1 + 1e-9)
    assert dp.epsilon(noise, rate, steps, 1e-5) < 1.05 * finer


def test_epsilon_at_its_limits():
    # every row in every step, one step: the Gaussian mechanism, α / 2σ²
    assert dp.renyi(2.0, 1, 8) == 8 / 8
    assert dp.renyi(2.0, 1 - 1e-12, 8) == pytest.approx(1.0)
    assert dp.epsilon(0.0, 0.1, 10, 1e-5) == math.inf
    assert dp.epsilon(1e5, 0.1, 10, 1e-5) < 0.1
    grown = [dp.epsilon(1.0, 0.1, steps, 1e-5) for steps in (1, 10, 100)]
    assert grown == sorted(grown)
    with pytest.raises(UserError, match="--delta is 1"):
        dp.epsilon(1.0, 0.1, 10, 1.0)


@pytest.mark.parametrize("target", [10.0, 3.0, 1.0, 0.2])
def test_noise_is_found_for_a_target(target):
    noise = dp.noise_for(target, 0.1, 100, 1e-5)
    assert 0.97 * target < dp.epsilon(noise, 0.1, 100, 1e-5) <= target
    assert dp.epsilon(noise * 0.99, 0.1, 100, 1e-5) > 0.97 * target


@pytest.mark.parametrize(("noise", "rate"), [(0.5, 0.1), (1.0, 0.02), (2.0, 0.5)])
def test_a_validation_gradient_costs_no_more_than_a_round(noise, rate):
    settings = Settings(client="private", dp_noise=noise, dp_rate=rate)
    steps, found = dp.steps_of_an_epoch(rate), dp.validation_noise(noise, settings)
    for order in dp.ORDERS:
        assert dp.renyi(found, 1, order) <= steps * dp.renyi(noise, rate, order) * (1 + 1e-9)
    assert dp.renyi(found, 1, 2) == pytest.approx(steps * dp.renyi(noise, rate, 2))


def test_steps_are_those_that_a_client_takes():
    for method in (PF, replace(PF, phases="heads_last", head_epochs=2), METHODS["fedavg"]):
        settings = Settings(**PRIVATE, local_epochs=2, dp_rate=0.25)
        client = Federation(scenarios(2), method, settings, 0).clients[0]
        client.asking, taken = [], []
        backward = client.backward
        client.backward = lambda index, taken=taken, backward=backward: taken.append(1) or backward(index)
        client.train()
        assert len(taken) == dp.steps_of(settings, method, 1)


def test_a_mini_batch_takes_each_row_with_the_same_chance():
    client = clients(dp_rate=0.2, made=[scenario("a", rows=200), scenario("b")])[0]
    batches = [client.batches() for _ in range(40)]
    assert {len(epoch) for epoch in batches} == {5}
    sizes = torch.tensor([len(index) for epoch in batches for index in epoch]).float()
    assert abs(float(sizes.mean()) - 40) < 2 and 4 < float(sizes.std()) < 8  # binomial: 5.7
    times = torch.cat([torch.cat(epoch) for epoch in batches]).bincount(minlength=200).float() / 200
    assert abs(float(times.mean()) - 0.2) < 0.01 and float(times.std()) < 0.05


def test_an_empty_mini_batch_is_noise_alone():
    client = clients(dp_noise=1.0, dp_clip=0.5, dp_rate=0.1)[0]
    losses = client.backward(torch.zeros(0, dtype=torch.long))
    drawn = torch.cat([p.grad.flatten() for p in client.model.parameters()])
    assert not losses.any()
    assert float(drawn.std()) == pytest.approx(0.5 / (0.1 * len(client.labels)), rel=0.1)


def test_noise_hits_every_entry_and_every_part():
    client = clients(dp_noise=1.0)[0]
    before = {name: p.detach().clone() for name, p in client.model.named_parameters()}
    client.train()
    for name, p in client.model.named_parameters():
        assert (p != before[name]).float().mean() > 0.99, name


def test_base_rates_stay_out_and_the_model_at_home_trains_in_the_open():
    client, open_one = clients()[0], clients(client="open")[0]
    assert not client.model.intercept.any() and open_one.model.intercept.any()
    twin = client.personal
    assert sum(map(len, twin.batches())) == len(client.labels)  # every row once
    losses = twin.backward(torch.arange(8))
    assert torch.allclose(losses, twin.losses(torch.arange(8)).detach())


def test_validation_gradients_are_noised():
    quiet = clients(dp_noise=0.0, dp_clip=1e12)[0]
    quiet.model.intercept.zero_()
    plain, found = Client.validation_gradient(quiet), quiet.validation_gradient()
    assert plain.keys() == found.keys()
    for name, part in plain.items():
        assert torch.allclose(part, found[name], atol=1e-6), name
    loud = clients(dp_noise=1.0, dp_clip=1.0)[0]
    noise = torch.cat([p.flatten() for p in loud.validation_gradient().values()])
    wanted = dp.spread(loud.settings, validation=True) / 80
    assert float(noise.std()) == pytest.approx(wanted, rel=0.2)
    assert all(p.requires_grad for p in loud.model.parameters())


def test_the_same_seed_gives_the_same_run_and_a_secret_client_does_not():
    first, again = (run(scenarios(2), PF, 2, seed=1, **PRIVATE) for _ in range(2))
    assert first.results.equals(again.results)
    secret = [run(scenarios(2), PF, 1, seed=1, **{**SMALL, "client": "secret"}) for _ in range(2)]
    assert not secret[0].results.equals(secret[1].results)


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("pf_msmtrec", {"batch_norm": True}, "BatchNorm mixes rows"),
        ("pf_msmtrec", {"embedding_optimizer": "lazy_adam"}, "--embedding-optimizer adam"),
        ("pf_msmtrec", {"precision": "bf16"}, "--precision fp32"),
        ("pooled", {}, "all rows in one place"),
    ],
)
def test_what_cannot_be_private_is_refused(method, settings, words):
    with pytest.raises(UserError, match=words):
        clients(METHODS[method], **settings)


def test_hidden_ids_and_missing_labels_train(monkeypatch):
    made = [scenario("a", missing=("conversion",)), scenario("b", seed=1)]
    history = run(made, PF, 2, seed=0, **PRIVATE, unknown_rate=0.4)
    assert history.rounds_done == 2 and history.results["auc"].notna().any()


def test_epsilon_of_a_run():
    settings = Settings(client="private", dp_noise=1.0, dp_rate=0.1, local_epochs=2)
    assert dp.epsilon_of(settings, PF, 10) == dp.epsilon(1.0, 0.1, 200, 1e-5)
    assert dp.epsilon_of(replace(settings, client="open"), PF, 10) == math.inf

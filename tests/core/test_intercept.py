"""`intercept=home`: a client's own base rate is added to its logits and never leaves it."""

import math
from dataclasses import replace

import pytest
import torch
from small import SMALL, scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables
from pfmsm_lite import METHODS, Federation, Settings, run
from pfmsm_lite.client import log_odds
from pfmsm_lite.errors import UserError

PF, FEDAVG = METHODS["pf_msmtrec"], METHODS["fedavg"]


def home(method):
    return replace(method, intercept="home")


def test_log_odds_by_hand():
    nan = math.nan
    labels = torch.tensor([[1, 0, nan], [0, 0, nan], [1, 0, nan], [1, nan, nan]])
    odds = [3.5 / 1.5, 0.5 / 3.5, 0.5 / 0.5]  # half a row of each class more: finite, and 0 without labels
    assert log_odds(labels).tolist() == pytest.approx([math.log(o) for o in odds])
    both = torch.tensor([[1.0, 1], [1, 0], [0, 0], [1, 0]])
    parent, child = 3.5 / 5, 1.5 / 5
    expected = [math.log(parent / (1 - parent)), math.log(child / (parent - child))]
    assert log_odds(both, (0, 1)).tolist() == pytest.approx(expected)  # of the child among the parent's
    assert log_odds(torch.ones(4, 2), (0, 1)).isfinite().all()


@pytest.mark.parametrize("ctcvr", ["", "click,conversion"])
def test_before_any_training_a_silent_model_predicts_its_clients_base_rates(ctcvr):
    data = scenarios(3)
    for scenario_ in data:  # a conversion is a click that goes on
        labels = scenario_.train.labels
        labels[:, 1] *= labels[:, 0]
    alone = replace(home(PF), personal="none")  # a second model speaks with a voice of its own
    federation = Federation(data, alone, Settings(**SMALL, ctcvr=ctcvr), 0)
    for client in federation.clients:
        with torch.no_grad():
            client.model.towers.weight[1].zero_()
            client.model.towers.bias[1].zero_()
        labels, predicted = client.train_rows.labels, client.predict(client.train_rows).mean(0)
        assert torch.allclose(predicted, (labels.sum(0) + 0.5) / (len(labels) + 1), atol=1e-6)


def test_for_one_client_it_is_a_tower_that_starts_at_the_log_odds():
    """Two ways to one function, so they stay together under any training."""
    data = [scenario()]
    fixed, moved = (Federation(data, m, Settings(**SMALL), 0) for m in (home(FEDAVG), FEDAVG))
    with torch.no_grad():
        bias = moved.clients[0].model.towers.bias[1]
        bias += log_odds(data[0].train.labels).view_as(bias)
    for federation in (fixed, moved):
        federation.server = federation.make_server()  # it starts from what the clients hold now
        for _ in range(3):
            federation.serve(federation.train()[2])
    rows = data[0].test._replace(categorical=fixed.clients[0].views[0][1]["test"].categorical)
    first, second = (f.clients[0].predict(rows) for f in (fixed, moved))
    assert torch.allclose(first, second, atol=1e-5)


def test_it_is_not_sent_not_stored_and_not_learned():
    data = scenarios(3)
    with_it, without = (Federation(data, m, Settings(**SMALL), 0) for m in (home(PF), PF))
    assert with_it.payload() == without.payload() and with_it.stored_bytes() == without.stored_bytes()
    before = [client.model.intercept.clone() for client in with_it.clients]
    with_it.serve(with_it.train()[2])
    assert all(torch.equal(b, c.model.intercept) for b, c in zip(before, with_it.clients, strict=True))
    assert all("intercept" not in client.model.state_dict() for client in with_it.clients)
    assert not any(torch.equal(a, b) for a, b in zip(before, before[1:], strict=False))


@pytest.mark.parametrize("name", ["pf_msmtrec", "ditto"])
def test_a_checkpoint_goes_on_with_the_same_numbers(name, tmp_path):
    data, method = scenarios(3), home(METHODS[name])
    whole = run(data, method, rounds=4, **SMALL)

    def keep(history, federation):
        torch.save({"history": history.state(), "federation": federation.state()}, tmp_path / "state.pt")

    run(data, method, rounds=2, **SMALL, after_round=keep)
    kept = torch.load(tmp_path / "state.pt", weights_only=True)
    assert run(data, method, rounds=4, **SMALL, state=kept).results.equals(whole.results)


def test_the_second_model_of_ditto_has_it_too():
    federation = Federation(scenarios(2), home(METHODS["ditto"]), Settings(**SMALL), 0)
    for client in federation.clients:
        assert torch.equal(client.personal.model.intercept, client.model.intercept)
        assert client.model.intercept.abs().sum() > 0


def test_a_model_that_has_none_says_so():
    with pytest.raises(UserError, match="'star' contradicts itself: intercept is 'home', but only mmoe"):
        home(METHODS["star"])

"""`kin` in the loop: what the clients send for it and when, its limits, and who is whose kin."""

from dataclasses import replace

import pytest
import torch
from small import SMALL, scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 the yardsticks' rules
from pfmsm_lite import METHODS, Federation, Method, Settings, run
from pfmsm_lite.client import cross_entropy
from pfmsm_lite.data import synthetic
from pfmsm_lite.errors import UserError
from pfmsm_lite.mmoe import GRADIENT

PF = METHODS["pf_msmtrec"]
MIXED = {"expert.scenario": "personalized", "tower": "personalized"}
KIN = Method("kin alone", "", MIXED, aggregate="kin")


def test_validation_gradients_travel_in_the_first_rounds_alone_and_are_counted():
    found = Federation(scenarios(3), replace(PF, kin_rounds=2), Settings(**SMALL), 0)
    asked = {GRADIENT + name for group in MIXED for name in found.clients[0].shared[group]}
    for number in (1, 2, 3):
        _, _, accepted = found.train()
        message = found.clients[0].upload()
        extra = {name for name in message if name.startswith(GRADIENT)}
        assert extra == (asked if number < 3 else set())
        found.serve(accepted)
        assert found.sent[0] == sum(part.nbytes for part in message.values())


@pytest.mark.parametrize("name", ["local", "fedavg", "pf_msmtrec_partners"])
def test_no_other_rule_asks_for_a_gradient(name):
    found = Federation(scenarios(2), METHODS[name], Settings(**SMALL), 0)
    found.train()
    assert not [key for client in found.clients for key in client.upload() if key.startswith(GRADIENT)]


def test_the_gradient_is_that_of_the_validation_loss_at_what_was_received():
    """Against the difference quotient, in float64, some labels missing."""
    made = scenario(evaluated=50)
    made.valid.labels[::7, 0] = float("nan")
    client = Federation([made], PF, Settings(**SMALL), 0).clients[0]
    client.model.double()
    rows = client.views[0][1]["valid"]
    rows = rows._replace(numerical=rows.numerical.double(), labels=rows.labels.double())
    client.views = [("a", {"valid": rows})]
    found = client.validation_gradient()
    name, part = next(iter(client.shared["tower"].items()))

    def loss():
        there = ~rows.labels.isnan()
        logits = client.model(rows.categorical, rows.numerical)
        return cross_entropy(logits.double(), rows.labels.nan_to_num(), there.double()).sum()

    with torch.no_grad():
        place = found[name].abs().flatten().argmax()
        values = []
        for step in (1e-3, -2e-3):
            part.view(-1)[place] += step
            values.append(float(loss()))
    assert found[name].flatten()[place] == pytest.approx((values[0] - values[1]) / 2e-3, rel=1e-3)


def test_clients_without_validation_labels_stay_alone_and_are_then_local_training():
    data = scenarios(3)
    for made in data:
        made.valid.labels[:] = float("nan")
    alone, local = (Federation(data, method, Settings(**SMALL), 0) for method in (KIN, METHODS["local"]))
    for federation in (alone, local):
        for _ in range(3):
            federation.serve(federation.train()[2])
    for one, other in zip(alone.clients, local.clients, strict=True):
        states = one.model.state_dict(), other.model.state_dict()
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_twins_are_kin_and_then_fedavg():
    """Clients with the same rows in the same order agree wholly: their mixture is the mean."""
    twins = [scenario("a"), scenario("b")]
    kin, mean = (
        Federation(twins, replace(KIN, aggregate=rule), Settings(**SMALL), 0) for rule in ("kin", "mean")
    )
    for federation in (kin, mean):
        for client in federation.clients:
            client.generator.manual_seed(5)
        for _ in range(3):
            record = federation.serve(federation.train()[2])
        assert torch.allclose(record["weights"], torch.tensor(0.5), atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_in_a_world_without_structure_no_partner_gets_twice_the_even_share(seed):
    data, _ = synthetic(sizes=(1500,) * 6, relatedness=(0,) * 6, test_rows=10, seed=seed)
    history = run(data, PF, rounds=4, seed=seed, experts=2, hidden=(16, 8), tower=8)
    weights = torch.from_numpy(history.weights.values[-1])  # they stay after the third round
    others = weights * (1 - torch.eye(6))
    assert (others / others.sum(-1, keepdim=True)).max() < 2 / 5


def test_opposed_clients_are_left_alone():
    data, _ = synthetic(sizes=(3000, 600), relatedness=(0, 1), across=-0.9, test_rows=10)
    history = run(data, PF, rounds=3, experts=2, hidden=(16, 8), tower=8)
    experts = [unit for unit in history.units if unit.startswith("expert")]  # towers may be alike
    weights = history.weights.sel(round=3, unit=experts).values
    assert (weights.diagonal(axis1=1, axis2=2) > 0.95).all()


def test_a_resumed_run_asks_no_more_than_an_unbroken_one():
    data, kept = scenarios(3), {}

    def keep(history, federation):
        kept[history.rounds_done] = {"history": history.state(), "federation": federation.state()}

    whole = run(data, PF, rounds=4, after_round=keep, **SMALL)
    resumed = run(data, PF, rounds=4, state=kept[2], **SMALL)
    assert whole.rounds["bytes"].tolist() == resumed.rounds["bytes"].tolist()
    assert (whole.weights == resumed.weights).all()


def test_no_round_to_ask_in_is_refused_by_name():
    with pytest.raises(UserError, match="--kin-rounds is 0, but it must be at least 1"):
        replace(PF, kin_rounds=0)

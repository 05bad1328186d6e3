"""Logistic regression: scikit-learn's on columns made by hand, each scenario's own or one for all."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from small import SMALL, scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables
from pfmsm_lite import METHODS, Federation, Method, Rows, Scenario, Settings, run
from pfmsm_lite.errors import UserError
from pfmsm_lite.rivals.logistic import Encoded, KeptLogistic, numbered_columns

OWN, POOLED = METHODS["logistic"], METHODS["logistic_pooled"]


def by_hand(train, test, ridge):
    """Probabilities [R, T] by scikit-learn, from dense one-hot columns of the training rows' values."""
    mean, deviation = train.numerical.double().mean(0), train.numerical.double().std(0, correction=0)

    def dense(rows):
        parts = [(rows.numerical.double() - mean) / deviation]
        for ids, known in zip(rows.categorical.T, train.categorical.T, strict=True):
            parts.append((ids[:, None] == known.unique()).double())
        return torch.cat(parts, 1).numpy()

    found = []
    for labels in train.labels.numpy().T:
        there = ~np.isnan(labels)
        model = LogisticRegression(C=1 / ridge, max_iter=1000).fit(dense(train)[there], labels[there])
        found.append(model.predict_proba(dense(test))[:, 1])
    return np.stack(found, 1)


def test_each_scenario_has_scikit_learns_regression_on_its_own_rows():
    data = [scenario("a", rows=300), scenario("b", rows=200, seed=1)]
    labels = data[1].train.labels.clone()
    labels[:50, 0] = float("nan")
    data[1] = Scenario(**{**vars(data[1]), "train": data[1].train._replace(labels=labels)})
    federation = Federation(data, OWN, Settings(), 0)
    federation.train()
    assert [client.name for client in federation.clients] == ["a", "b"]
    for made, client in zip(data, federation.clients, strict=True):
        want = by_hand(made.train, made.test, OWN.ridge)
        assert client.predict(made.test).numpy() == pytest.approx(want, abs=1e-3)  # L-BFGS stops at 1e-4


def test_the_pooled_one_has_all_rows_and_the_scenario_as_a_feature():
    data = scenarios(3)
    client = Federation(data, POOLED, Settings(), 0).clients[0]
    client.train()
    assert len(client.rows.labels) == sum(len(made.train.labels) for made in data)
    for number, (_, view) in enumerate(client.views, 1):
        assert (view["test"].categorical[:, -1] == number).all()
        want = by_hand(client.rows, view["test"], POOLED.ridge)
        assert client.predict(view["test"]).numpy() == pytest.approx(want, abs=1e-3)


def test_the_encoding_of_bags_gaps_and_unseen_values_by_hand():
    fields, bags = {"tags": 4, "item": 3}, {"tags": 2}
    ids = torch.tensor([[1, 3, 2], [1, -1, 1]])
    train = Rows(ids, torch.tensor([[1.0, 5.0], [3.0, 5.0]]), torch.tensor([[0.0], [1.0]]))
    made = Scenario("a", ("click",), fields, ("x", "same"), train, train, train, bags=bags)
    starts = numbered_columns(made)
    assert starts.tolist() == [0, 0, 4]
    encoded = Encoded.fitted(starts, train)
    assert encoded.entries.tolist() == [1, 3, 5, 6]  # tags 1 and 3, items 1 and 2
    assert encoded(train).toarray().tolist() == [[1, 1, 0, 1, -1, 0], [1, 0, 1, 0, 1, 0]]
    new = Rows(torch.tensor([[2, -1, 0]]), torch.tensor([[2.0, 6.0]]), torch.zeros(1, 1))
    assert encoded(new).toarray().tolist() == [[0, 0, 0, 0, 0, 1]]


def test_with_an_endless_penalty_it_says_the_base_rate_and_before_training_too():
    made = scenario(rows=200)
    method = Method("mine", "a test", model="logistic", ridge=1e9)
    client = Federation([made], method, Settings(), 0).clients[0]
    rate = (made.train.labels.sum(0) + 0.5) / 201
    assert torch.allclose(client.predict(made.test), rate.expand(80, 2))
    client.train()
    assert torch.allclose(client.predict(made.test), made.train.labels.mean(0).expand(80, 2), atol=1e-4)


@pytest.mark.parametrize(("value", "said"), [(0.0, 0.5 / 121), (1.0, 120.5 / 121), (float("nan"), 0.5)])
def test_a_task_with_labels_of_one_kind_or_none_has_its_base_rate(value, said):
    made = scenario()
    labels = made.train.labels.clone()
    labels[:, 1] = value
    made = Scenario(**{**vars(made), "train": made.train._replace(labels=labels)})
    client = Federation([made], OWN, Settings(), 0).clients[0]
    assert client.train()[0].isfinite().all()
    assert torch.allclose(client.predict(made.test)[:, 1], torch.tensor(said))
    assert client.predict(made.test)[:, 0].std() > 0.1


@pytest.mark.parametrize("method", [OWN, POOLED], ids=lambda method: method.name)
def test_as_a_method_it_is_done_after_one_round_and_sends_nothing(method):
    kept = {}

    def keep(history, federation):
        kept.update(history=history.state(), federation=federation.state())

    history = run(scenarios(3), method, 2, after_round=keep)
    assert list(history.results["scenario"].unique()) == ["s0", "s1", "s2"]
    assert (history.rounds["bytes"] == 0).all() and history.best_round == 1
    assert history.rounds.groupby("round")["valid_auc"].mean().nunique() == 1
    resumed = run(scenarios(3), method, 3, state=kept)
    assert resumed.results.equals(history.results)
    federation = Federation(scenarios(3), method, Settings(), 0)
    assert federation.payload() == [[]] * len(federation.clients)


def test_what_is_kept_predicts_the_same_to_the_last_bit():
    made = scenarios(2)[1]
    client = Federation([made], OWN, Settings(), 0).clients[0]
    client.train()
    assert torch.equal(KeptLogistic(client.kept())(made.test), client.predict(made.test))


def test_a_weaker_penalty_fits_the_training_rows_better():
    losses = []
    for ridge in (100.0, 10.0, 1.0, 0.1):
        method = Method("mine", "a test", model="logistic", ridge=ridge)
        losses.append(Federation([scenario()], method, Settings(), 0).clients[0].train()[0])
    assert (torch.stack(losses).diff(dim=0) < 0).all()


def test_it_has_nothing_to_send_and_no_template():
    with pytest.raises(UserError, match="model is 'logistic', which needs all rows in one place"):
        Method("mine", "a test", {"tower": "mean"}, model="logistic")
    with pytest.raises(UserError, match="compose is 'rank1', but only mmoe"):
        Method("mine", "a test", model="logistic", compose="rank1")
    with pytest.raises(UserError, match="--ridge is 0.0"):
        Method("mine", "a test", model="logistic", ridge=0.0)


def test_settings_of_a_network_change_nothing():
    first, second = (run(scenarios(2), OWN, 1, seed, **more) for seed, more in ((0, {}), (1, SMALL)))
    assert list(first.results["auc"]) == list(second.results["auc"])


def test_its_probabilities_are_corrected_at_home_like_all_others():
    """--calibrate moves the log loss and leaves the AUC, as for a network and for trees."""
    plain, other = (run(scenarios(3), "logistic", 1, 0, calibrate=how, **SMALL) for how in ("none", "platt"))
    assert plain.results["auc"].tolist() == pytest.approx(other.results["auc"].tolist(), nan_ok=True)
    assert (plain.results["logloss"] != other.results["logloss"]).any()

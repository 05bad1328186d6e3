"""Boosted trees in the place of a client: what scikit-learn gives by hand, and a method among the others."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import TargetEncoder
from small import scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables
from pfmsm_lite import METHODS, Federation, Settings, run
from pfmsm_lite.data import Rows, Scenario, from_dataframe
from pfmsm_lite.rivals.trees import LEVELS, TREES, KeptTrees, TreeClient

METHOD = METHODS["boosted_tree"]
SIZES = {"user": 400, "item": 20, "scenario": 3}  # users are more than trees can split on


def rows(count, seed, users=400):
    draw = np.random.default_rng(seed)
    ids = np.stack([draw.integers(1, n, count) for n in (users, 20, 3)], 1)
    numbers = draw.normal(size=(count, 2))
    score = np.sin(ids[:, 0]) + np.cos(3 * ids[:, 1]) + numbers[:, 0]
    labels = (draw.random((count, 2)) < 1 / (1 + np.exp(-np.stack([score, -score], 1)))).astype(np.float32)
    return Rows(*(torch.from_numpy(block) for block in (ids, numbers.astype(np.float32), labels)))


def whole(train):
    return Scenario("all rows", ("a", "b"), SIZES, ("x", "y"), train, rows(200, 2), rows(200, 3))


def client(train, seed=0):
    made = whole(train)
    views = [("s0", {"valid": made.valid, "test": made.test})]
    return TreeClient(made, views, METHOD, Settings(), seed)


def test_it_is_scikit_learn_with_means_for_large_fields_and_classes_for_small_ones():
    train, test = rows(500, 0), rows(100, 1)
    found = client(train)
    for _ in range(3):
        found.train()
    X, Z = (
        np.concatenate([part.categorical, part.numerical], 1).astype(np.float32) for part in (train, test)
    )
    for task in range(2):
        y = train.labels[:, task].numpy().astype(int)
        encoder = TargetEncoder(target_type="binary", cv=StratifiedKFold(5, shuffle=True, random_state=0))
        A, B = X.copy(), Z.copy()
        A[:, [0]], B[:, [0]] = encoder.fit_transform(X[:, [0]], y), encoder.transform(Z[:, [0]])
        by_hand = HistGradientBoostingClassifier(
            max_iter=3 * TREES, categorical_features=[1, 2], early_stopping=False, random_state=0
        ).fit(A, y)
        assert SIZES["user"] > LEVELS >= SIZES["item"]
        assert found.predict(test)[:, task].numpy() == pytest.approx(by_hand.predict_proba(B)[:, 1], abs=1e-6)


def test_what_counts_are_the_values_that_occur_not_those_of_a_hashed_vocabulary():
    """A table as it is read without a list of values: two genders hashed into 4,096 buckets, 2,000 users."""
    draw = np.random.default_rng(0)
    count = 6000
    table = pd.DataFrame(
        {
            "app": draw.choice(["one", "two"], count),
            "gender": draw.choice(["f", "m"], count),
            "user": [f"u{n}" for n in draw.integers(0, 2000, count)],
            "x": draw.normal(size=count),
        }
    )
    table["click"] = (draw.random(count) < np.where(table["gender"] == "f", 0.7, 0.3)).astype(int)
    data = from_dataframe(table, scenario="app", tasks=["click"])
    sizes = data[0].fields
    assert sizes["gender"] > LEVELS < sizes["user"]
    found = Federation(data, METHOD, Settings(), 0).clients[0]
    places = {name: k for k, name in enumerate([*sizes, "scenario"])}
    booster = found.boosters[0]
    assert booster.means == [places["user"]]
    found.train()
    categories = booster.classifier.is_categorical_
    assert categories[[places["gender"], places["scenario"]]].all() and not categories[places["user"]]
    assert KeptTrees(found.kept())(found.views[0][1]["test"]).equal(found.predict(found.views[0][1]["test"]))


def test_before_the_first_tree_it_says_the_rate_and_each_round_lowers_the_training_loss():
    train = rows(500, 0)
    found = client(train)
    assert found.predict(rows(7, 1))[:, 0].tolist() == pytest.approx([train.labels[:, 0].mean().item()] * 7)
    losses = torch.stack([found.train()[0] for _ in range(4)])
    assert (losses.diff(dim=0) < 0).all()


def test_a_row_without_a_label_does_not_count():
    train = rows(500, 0)
    labels = train.labels.clone()
    labels[300:, 1] = float("nan")
    some = client(train._replace(labels=labels))
    fewer = client(Rows(*(part[:300] for part in train[:3])))
    for one in (some, fewer):
        one.train(), one.train()
    test = rows(50, 1)
    assert torch.equal(some.predict(test)[:, 1], fewer.predict(test)[:, 1])
    assert not torch.equal(some.predict(test)[:, 0], fewer.predict(test)[:, 0])


@pytest.mark.parametrize(("value", "said"), [(0.0, 0.0), (1.0, 1.0), (float("nan"), 0.5)])
def test_a_task_with_labels_of_one_kind_or_none_has_no_trees(value, said):
    train = rows(300, 0)
    labels = train.labels.clone()
    labels[:, 1] = value
    found = client(train._replace(labels=labels))
    assert found.train()[0].isfinite().all()
    assert found.predict(rows(5, 1))[:, 1].tolist() == [said] * 5


def test_from_its_state_the_same_trees_grow_again():
    first, second = client(rows(400, 0)), client(rows(400, 0))
    for _ in range(3):
        first.train()
    second.load(first.state())
    test = rows(50, 1)
    assert torch.equal(first.predict(test), second.predict(test))
    assert first.stored_bytes() == second.stored_bytes() > 1000
    first.train(), second.train()
    assert torch.equal(first.predict(test), second.predict(test))


def test_as_a_method_it_is_evaluated_in_every_scenario_and_sends_nothing():
    history = run(scenarios(3), METHOD, rounds=3)
    assert list(history.results["scenario"].unique()) == ["s0", "s1", "s2"]
    assert history.results["auc"].between(0, 1).all() and (history.rounds["bytes"] == 0).all()
    assert history.stored_bytes > 1000
    federation = Federation(scenarios(3), METHOD, Settings(), 0)
    assert federation.payload() == [[]] and len(federation.clients) == 1


def test_it_learns_what_there_is_to_learn():
    data = [scenario(f"s{n}", rows=600, seed=n) for n in range(2)]
    assert run(data, METHOD, rounds=5).results["auc"].mean() > 0.6


def test_a_stopped_run_goes_on_from_its_state():
    kept = {}

    def keep(history, federation):
        kept.update(history=history.state(), federation=federation.state())

    run(scenarios(2), METHOD, rounds=2, after_round=keep)
    resumed = run(scenarios(2), METHOD, rounds=4, state=kept)
    assert resumed.results.equals(run(scenarios(2), METHOD, rounds=4).results)

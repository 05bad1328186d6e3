"""Encoders against dense matrices, and what a ranking is worth against loops and scikit-learn."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from factored import model_and_batch, small
from sklearn.metrics import ndcg_score

from pfmsm_lite.rivals.feedback import interactions
from pfmsm_lite.rivals.ranking import Factors, evaluate, neighbours, popularity, ranking_metrics

# ---------------------------------------------------------------- encoders


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_propagation_is_a_mean_of_powers_of_the_normalized_matrix(layers):
    model, _ = model_and_batch(layers=layers)
    data = small(tasks={"click": "rank", "long_view": "pair", "group": "user", "category": "item"})
    clicks = np.zeros((data.users, data.items))
    clicks[tuple(data.positives.T.numpy())] = 1
    adjacency = np.block([[np.zeros((40, 40)), clicks], [clicks.T, np.zeros((30, 30))]])
    scale = np.diag(1 / np.sqrt(adjacency.sum(1).clip(1)))
    powers = [np.linalg.matrix_power(scale @ adjacency @ scale, k) for k in range(layers + 1)]
    tables = np.concatenate([model.tables[side].detach().numpy() for side in ("user", "item")])
    expected = np.mean(powers, 0) @ tables
    found = torch.cat(model.embeddings()).detach().numpy()
    assert np.allclose(found, expected, atol=1e-6)
    users = torch.tensor([3, 0])
    assert np.allclose(model.scores(users).detach(), expected[[3, 0]] @ expected[40:].T, atol=1e-5)


def test_only_training_clicks_are_edges_and_an_entry_without_any_keeps_its_own_share():
    data = small()
    graph = neighbours(data).to_dense()
    assert torch.equal(graph, graph.T) and (graph[:40, :40] == 0).all() and (graph[40:, 40:] == 0).all()
    assert set(map(tuple, graph[:40, 40:].nonzero().tolist())) == set(map(tuple, data.positives.tolist()))
    alone = replace(data, labels=data.labels.where(data.pairs[:, :1] != 7, torch.tensor(0.0)))
    model = Factors(alone, 4, torch.Generator().manual_seed(0), layers=2)
    assert torch.allclose(model.embeddings()[0][7], model.tables["user"][7] / 3)


# ---------------------------------------------------------------- metrics


def test_metrics_by_hand():
    scores = torch.tensor([[9.0, 8, 7, 6, 5], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]])
    seen = torch.tensor([[1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]).bool()
    relevant = torch.tensor([[0, 1, 0, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()
    found = ranking_metrics(scores, seen, relevant, (3, 1))
    # user 0 sees items 1, 2, 3: hits at places 1 and 3 of three wanted; user 1 sees 3, 2, 1: a hit at place 2
    assert found["recall@3"][:2].tolist() == pytest.approx([2 / 3, 1 / 2])
    best = [1 + 1 / math.log2(3) + 1 / 2, 1 + 1 / math.log2(3)]
    assert found["ndcg@3"][:2].tolist() == pytest.approx([1.5 / best[0], (1 / math.log2(3)) / best[1]])
    assert found["hit@3"][:2].tolist() == [1, 1] and found["hit@1"][:2].tolist() == [1, 0]
    assert found["ndcg@1"][:2].tolist() == [1, 0] and found["recall@1"][:2].tolist() == [1 / 3, 0]
    assert all(values[2].isnan() for values in found.values())


@pytest.mark.parametrize("k", [1, 5, 20, 40, 100])
def test_ndcg_is_that_of_scikit_learn_and_recall_and_hits_are_counted(k):
    draw = np.random.default_rng(k)
    scores, wanted = draw.standard_normal((6, 60)), draw.random((6, 60)) < 0.1
    seen = (draw.random((6, 60)) < 0.2) & ~wanted
    wanted[:, 0], seen[:, 0] = True, False
    found = ranking_metrics(*(torch.from_numpy(x) for x in (scores, seen, wanted)), at=(7, k))
    for u in range(6):
        open_items = np.flatnonzero(~seen[u])
        expected = ndcg_score(wanted[u, open_items][None], scores[u, open_items][None], k=k)
        assert float(found[f"ndcg@{k}"][u]) == pytest.approx(expected)
        top = sorted(open_items, key=lambda i: -scores[u, i])[:k]
        assert float(found[f"recall@{k}"][u]) == pytest.approx(wanted[u, top].sum() / wanted[u].sum())
        assert float(found[f"hit@{k}"][u]) == wanted[u, top].any()


def test_a_list_longer_than_the_items_left_finds_everything_and_nothing_seen():
    found = ranking_metrics(
        torch.tensor([[3.0, 2, 1]]), torch.tensor([[True, True, False]]), torch.tensor([[False, False, True]])
    )
    assert set(found) == {f"{name}@{k}" for name in ("recall", "ndcg", "hit") for k in (20, 40)}
    assert all(float(values) == 1.0 for values in found.values())


def test_evaluate_masks_what_is_known_and_counts_users_left_out():
    data = small()
    truth = torch.zeros(data.users, data.items)
    truth[data.test[:, 0], data.test[:, 1]] = 1
    truth[data.positives[:, 0], data.positives[:, 1]] = 5  # would fill the list if they were not masked
    truth[data.valid[:, 0], data.valid[:, 1]] = 5
    found = evaluate(lambda users: truth[users], data, "test", at=(2,), chunk=7)
    assert found["ndcg@2"] == 1.0 and found["users"] == data.users and found["left_out"] == 0
    fewer = replace(data, test=data.test[data.test[:, 0] > 3])
    found = evaluate(lambda users: truth[users], fewer, "test", at=(2,))
    assert (found["users"], found["left_out"], found["ndcg@2"]) == (data.users - 4, 4, 1.0)
    assert np.isnan(found["by_user"]["recall@2"]).tolist() == [True] * 4 + [False] * (data.users - 4)
    with pytest.raises(FloatingPointError, match="smaller learning rate"):
        evaluate(lambda users: truth[users] * math.nan, data)


def test_items_that_were_shown_and_not_chosen_stay_in_the_list():
    data = small()
    shown = torch.zeros(data.users, data.items)
    shown[tuple(data.pairs[data.labels[:, 0] == 0].T)] = 1  # all that was shown comes first
    counts = torch.bincount(data.pairs[data.labels[:, 0] == 0][:, 0], minlength=data.users)
    first = int(counts.min())
    assert first > 1 and evaluate(lambda users: shown[users], data, "test", at=(first,))[f"hit@{first}"] == 0


def test_popularity_counts_training_clicks():
    log = {"user": [0, 0, 0, 1, 1, 1], "item": [0, 1, 2, 0, 1, 2], "click": [1] * 6, "t": [1, 2, 3, 1, 2, 3]}
    import pandas as pd

    data = interactions(pd.DataFrame(log), ["click"], time="t")  # of each user the last two are held out
    assert popularity(data)(torch.arange(2)).tolist() == [[2.0, 0.0, 0.0]] * 2

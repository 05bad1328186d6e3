"""Clusters of clients: known ones against FedAvg inside each, found ones against a construction."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from small import SMALL, scenario

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables
from pfmsm_lite import METHODS, Federation, Settings, run
from pfmsm_lite.aggregation import Exchange, Past
from pfmsm_lite.errors import UserError
from pfmsm_lite.mmoe import parameter_groups
from pfmsm_lite.rivals import clustered
from pfmsm_lite.rivals.clustered import centred_cosines, found_clusters, inside

METHOD = METHODS["clustered"]
NO_ENTRIES = {group: policy for group, policy in METHOD.share.items() if group != "embedding"}


def updates(labels, noise=0.3, width=200, common=0.3, seed=0):
    """[N, P]: a direction for everybody, one of each group (their sum zero), one of each client's own."""
    draw = np.random.default_rng(seed)
    groups = draw.normal(size=(max(labels) + 1, width))[list(labels)]
    own = noise * draw.normal(size=(len(labels), width))
    found = common * draw.normal(size=width) + groups - groups.mean(0) + own
    return torch.from_numpy(found * np.arange(1, len(labels) + 1)[:, None]).float()  # lengths 1 to N


def exchange(delta, rows=None, present=None, previous=None):
    units, clients = delta.shape[0], delta.shape[1]
    there = torch.ones(units, clients, dtype=torch.bool)
    rows = torch.arange(1.0, clients + 1) if rows is None else rows
    gram, eye = delta @ delta.transpose(1, 2), torch.eye(clients).expand(units, -1, -1)
    present = there if present is None else present.expand(units, -1)
    return Exchange(torch.zeros_like(delta), delta, eye, delta, gram, rows, present, there, previous)


def same_groups(found, labels):
    pairs = combinations(range(len(labels)), 2)
    return all((found[a] == found[b]) == (labels[a] == labels[b]) for a, b in pairs)


def test_the_cosines_of_centred_updates_by_hand():
    delta = torch.tensor([[2.0, 0.0], [0.0, 0.5], [-3.0, 0.0]])  # of length one: east, north, west
    centred = torch.tensor([[1.0, -1 / 3], [0.0, 2 / 3], [-1.0, -1 / 3]])
    unit = centred / centred.norm(dim=1, keepdim=True)
    assert torch.allclose(centred_cosines(delta @ delta.t()), unit @ unit.t(), atol=1e-6)


@pytest.mark.parametrize("labels", [(0, 1, 0, 1, 1), (0, 0, 1, 1, 2, 2, 2), (0,) * 6])
@pytest.mark.parametrize("given", [True, False])
def test_clusters_are_found_whatever_the_lengths_and_the_common_direction(labels, given):
    delta = updates(labels)
    found = found_clusters(delta @ delta.t(), max(labels) + 1 if given else 0)
    assert same_groups(found, labels)


def test_with_a_number_it_is_scipys_average_linkage_of_the_centred_unit_updates():
    delta = torch.randn(9, 12, generator=torch.Generator().manual_seed(3)).double()
    unit = delta / delta.norm(dim=1, keepdim=True)
    tree = linkage((unit - unit.mean(0)).numpy(), "average", metric="cosine")
    for clusters in range(1, 10):
        found = found_clusters(delta @ delta.t(), clusters)
        assert same_groups(found, fcluster(tree, clusters, "maxclust"))


def test_updates_that_do_not_contradict_each_other_are_not_split_without_a_number():
    delta = updates((0, 0, 0, 1, 1, 1), common=2.0)  # two groups, clear, but all go the same way
    gram = delta @ delta.t()
    assert len(set(found_clusters(gram, 0))) == 1 and len(set(found_clusters(gram, 2))) == 2


def test_mixtures_are_by_rows_inside_a_cluster_by_hand():
    weights = inside(torch.tensor([7, 4, 7]), torch.tensor([1.0, 5.0, 3.0]))
    assert torch.allclose(weights, torch.tensor([[0.25, 0, 0.75], [0, 1, 0], [0.25, 0, 0.75]]))


def test_a_cluster_may_split_later_and_is_never_joined_again():
    one, two, three = (0,) * 6, (0, 0, 1, 1, 1, 1), (0, 0, 1, 1, 2, 2)
    past = None
    for labels, expected in ((one, one), (two, two), (one, two), (three, three), (one, three)):
        delta = updates(labels)[None]
        weights, memory = clustered.clustered(exchange(delta, previous=past), METHOD)
        assert same_groups(memory["labels"].tolist(), expected)
        assert torch.allclose(weights.sum(-1), torch.ones(1, 6))
        past = Past(delta, delta, weights, memory)


def test_who_is_not_there_goes_with_the_larger_part_and_hears_of_nobody_it_does_not_belong_to():
    labels = (0, 0, 1, 1, 1, 1)
    delta = updates(labels)[None]
    present = torch.tensor([[True, True, True, True, True, False]])
    first, memory = clustered.clustered(exchange(delta, present=present), METHOD)
    assert same_groups(memory["labels"].tolist(), labels)
    past = Past(delta, delta, first, memory)
    again, memory = clustered.clustered(
        exchange(delta, present=torch.ones(1, 6).bool(), previous=past), METHOD
    )
    assert same_groups(memory["labels"].tolist(), labels) and torch.equal(first, again)


def small(count):
    return [scenario(f"s{n}", rows=60 + 30 * n, seed=n) for n in range(count)]


def parameters(client):
    own = parameter_groups(client.model)
    return torch.cat([t.detach().flatten() for g in sorted(own) if g != "embedding" for t in own[g].values()])


@pytest.mark.parametrize("groups", [(0, 1, 0, 1), (0, 0, 0, 0), (0, 1, 2, 3), (0, 1, 1, 2)])
def test_known_groups_are_fedavg_inside_each_of_them(groups, monkeypatch):
    """Embeddings at home, where they would be everybody's. One group: FedAvg; each alone: local."""
    monkeypatch.setattr(clustered, "found_clusters", lambda gram, clusters: np.array(groups) + 1)
    data, settings = small(4), Settings(**SMALL)
    whole = Federation(data, replace(METHOD, clusters=max(groups) + 1, share=NO_ENTRIES), settings, 0)
    for _ in range(3):
        whole.serve(whole.train()[2])
    averaged = replace(METHODS["fedavg"], share=dict.fromkeys(NO_ENTRIES, "mean"))
    for group in set(groups):
        members = [n for n in range(4) if groups[n] == group]
        apart = Federation([data[n] for n in members], averaged, settings, 0)
        for _ in range(3):
            apart.serve(apart.train()[2])
        for n, client in zip(members, apart.clients, strict=True):
            assert torch.allclose(parameters(whole.clients[n]), parameters(client), atol=1e-6)


def test_with_one_cluster_it_is_fedavg_with_the_same_embedding_rule():
    first = run(small(3), replace(METHOD, clusters=1), 2, **SMALL)
    second = run(small(3), METHODS["fedavg_sum"], 2, **SMALL)
    assert np.allclose(first.results["auc"], second.results["auc"], atol=1e-6)


def test_permuting_the_clients_permutes_the_mixtures():
    labels, order = (0, 1, 0, 1, 1), torch.tensor([3, 0, 4, 1, 2])
    delta, rows = updates(labels), torch.tensor([5.0, 1.0, 2.0, 9.0, 4.0])
    straight, _ = clustered.clustered(exchange(delta[None], rows), METHOD)
    shuffled, _ = clustered.clustered(exchange(delta[order][None], rows[order]), METHOD)
    assert torch.allclose(shuffled[0], straight[0][order][:, order], atol=1e-6)


def test_two_opposed_groups_are_found_in_training():
    """Four clients of one table of ids: two of them have the other two's labels turned round."""
    data = [scenario(f"s{n}", rows=400, seed=n) for n in range(4)]
    for n in (1, 3):
        turned = data[n].train._replace(labels=1 - data[n].train.labels)
        data[n] = replace(data[n], train=turned)
    federation = Federation(data, METHOD, Settings(**{**SMALL, "learning_rate": 0.01}), 0)
    for _ in range(6):
        federation.serve(federation.train()[2])
    weights = federation.block("expert.scenario").previous.weights[0]
    assert same_groups([tuple(row.tolist()) for row in weights > 0], (0, 1, 0, 1))


def test_more_clusters_than_clients_are_refused_with_both_numbers():
    with pytest.raises(UserError, match="--clusters is 4, but there are 3 clients"):
        run(small(3), replace(METHOD, clusters=4), 1, **SMALL)
    with pytest.raises(UserError, match="--clusters is -1"):
        replace(METHOD, clusters=-1)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_clients_train(count):
    assert run(small(count), METHOD, 2, **SMALL).results["auc"].notna().all()

"""The estimate against what a small run really sends, and the sparse rule against the dense one."""

import pytest
import torch

import pfmsm_lite.rivals  # noqa: F401
from pfmsm_lite import METHODS, Settings
from pfmsm_lite.aggregation import Exchange, Past, aggregate, kin
from pfmsm_lite.data import synthetic
from pfmsm_lite.errors import UserError
from pfmsm_lite.federation import Federation, listed
from pfmsm_lite.lab.scale import BIG, CASES, Size, estimate, numbers_of, table
from pfmsm_lite.rivals.sparse import mix, nearest_kin

# ---- bytes ----


@pytest.fixture(scope="module")
def measured():
    """(bytes up, bytes down of each client, what a message holds) of two rounds of a small federation."""
    scenarios, _ = synthetic(sizes=(40, 60, 90), fields={"user": 50, "item": 30, "hour": 5}, test_rows=20)
    settings = Settings(embedding_size=6, experts=3, hidden=(16, 8), tower=5, learning_rate=1e-3)
    federation = Federation(scenarios, METHODS["no_blend"], settings, 0)
    uploads, downloads = [], []
    for client in federation.clients:
        take = client.download
        client.download = lambda message, take=take: (downloads.append(message), take(message))
    for _ in range(4):
        _, _, accepted = federation.train()
        federation.serve(accepted)
        uploads.append(federation.sent)
    sizes = [sum(entry[2] for entry in listed(message)) for message in downloads[:3]]
    return federation, uploads, sizes


def test_the_estimate_is_what_a_small_run_sends_to_the_byte(measured):
    federation, uploads, downloads = measured
    for n, client in enumerate(federation.clients):
        size = Size(
            scenarios=3, held=len(client.held.entries), used=int(client.in_use.sum()), width=6, fields=3,
            numericals=4, experts=3, hidden=(16, 8), tower=5,
        )  # fmt: skip
        found = estimate(size)
        assert [round_[n] for round_ in uploads] == [found["upload_asked"]] * 3 + [found["upload"]]
        assert downloads[n] == found["download"]


def test_one_expert_and_one_tower_by_hand():
    size = Size(fields=2, width=3, numericals=1, hidden=(4, 2), tower=3)
    # expert: 7·4 + 4, then 4·2 + 2; tower: 2·3 + 3, then 3·1 + 1
    assert numbers_of(size) == (42, 13)


def test_what_sampling_changes():
    whole, tenth = estimate(BIG), estimate(Size(sampled=0.1))
    assert tenth["round"] == pytest.approx(whole["round"] / 10)
    assert tenth["kin"] == pytest.approx(whole["kin"] / 100)
    assert whole["seen"] == 1 and tenth["seen"] == pytest.approx(1 - 0.99**3)
    assert tenth["weights"] == whole["weights"] and whole["sparse"] < whole["weights"] / 60


def test_the_table_has_a_line_for_each_case_and_nothing_negative():
    found = table()
    assert found["case"].tolist() == list(CASES)
    assert (found.drop(columns="case") >= 0).all().all()


# ---- weights ----


def rounds_of(clients, size, seed=0, count=3):
    """Validation gradients and updates [rounds, N, P] of clients in five groups of taste."""
    generator = torch.Generator().manual_seed(seed)
    taste = torch.randn(5, size, generator=generator)[torch.arange(clients) % 5]
    noise = torch.randn(2, count, clients, size, generator=generator)
    return taste + noise[0], -(taste + noise[1])


def by_kin(gradients, deltas, rows):
    """The dense weights [N, N] after these rounds, by the rule itself."""
    clients = len(rows)
    everywhere, previous = torch.ones(1, clients, dtype=torch.bool), None
    for gradient, delta in zip(gradients, deltas, strict=True):
        gram = (delta @ delta.T)[None]
        exchange = Exchange(
            delta[None], delta[None], gram, delta[None], gram, rows, everywhere, everywhere, previous,
            gradient[None],
        )  # fmt: skip
        weights, memory = kin(exchange, None)
        previous = Past(delta[None], delta[None], weights, memory)
    return weights[0]


def side_by_side(stack):
    return stack.transpose(0, 1).flatten(1)


@pytest.mark.parametrize("clients", [1, 2, 7, 1000])
@pytest.mark.parametrize("block", [64, 2000])
def test_all_sources_give_the_dense_rule(clients, block):
    gradients, deltas = rounds_of(clients, 12)
    rows = torch.linspace(30, 3000, clients)
    dense = by_kin(gradients, deltas, rows)
    found = nearest_kin(side_by_side(gradients), side_by_side(deltas), rows, clients, block)
    assert torch.allclose(found.dense(), dense, atol=1e-5)
    stack = deltas[-1]
    assert torch.allclose(mix(stack, found, block), aggregate(stack, dense), atol=1e-4)


def test_fewer_sources_are_the_largest_and_oneself_and_sum_to_one():
    gradients, deltas = rounds_of(1000, 12)
    rows = torch.linspace(3000, 30, 1000)
    dense = by_kin(gradients, deltas, rows)
    found = nearest_kin(side_by_side(gradients), side_by_side(deltas), rows, 20)
    assert found.numbers.shape == (1000, 20)
    assert torch.allclose(found.weights.sum(1), torch.ones(1000))
    for n in (0, 499, 999):
        others = dense[n].clone()
        others[n] = torch.inf  # itself, though the last has the fewest rows
        best = others.topk(20).indices
        assert set(found.numbers[n].tolist()) == set(best.tolist())
        expected = dense[n, found.numbers[n]]
        assert torch.allclose(found.weights[n], expected / expected.sum(), atol=1e-4)


def test_a_client_without_evidence_keeps_its_own():
    gradients, deltas = rounds_of(4, 6)
    gradients[:, 2] = 0
    found = nearest_kin(side_by_side(gradients), side_by_side(deltas), torch.ones(4) * 100, 4).dense()
    assert found[2].tolist() == [0, 0, 1, 0] and (found[[0, 1, 3], 2] == 0).all()


def test_no_sources_are_refused():
    with pytest.raises(UserError, match="k"):
        nearest_kin(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2), 0)

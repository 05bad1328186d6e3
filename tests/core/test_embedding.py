"""The shared embedding table: who holds which entry, how changes of it add up, what stays as it was."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pfmsm_lite.embedding import SharedTable

quick = settings(deadline=None, max_examples=40, derandomize=True)


def sent(exchange, trained, present=None):
    """What reaches the server of the clients' entries: those in use, of those who are there."""
    present = present or [True] * len(trained)
    pairs = zip(trained, exchange.uses, present, strict=True)
    return [own[uses > 0] if here else None for own, uses, here in pairs]


def two_clients(rule, own_rows=1.0):
    """Rows: 0 both use; 1 client a holds, but never uses; 2 client b alone uses; 3 nobody holds."""
    return SharedTable(
        torch.tensor([[10.0], [20.0], [30.0], [40.1]]),
        [torch.tensor([0, 1]), torch.tensor([0, 2])],
        [torch.tensor([3.0, 0.0]), torch.tensor([1.0, 2.0])],
        [6, 4],
        rule,
        own_rows,
    )


TRAINED = [torch.tensor([[16.0], [20.0]]), torch.tensor([[12.0], [33.3]])]


def column(values):
    return torch.tensor(values)[:, None]


def test_used_weighs_each_row_by_its_uses_by_hand():
    exchange = two_clients("used")
    first, second = exchange.step(sent(exchange, TRAINED))
    assert torch.equal(exchange.table, column([15.0, 20.0, 33.3, 40.1]))  # 16·3/4 + 12·1/4
    assert torch.equal(first, column([15.0, 20.0])) and torch.equal(second, column([15.0, 33.3]))


def test_rows_weighs_by_client_size_and_who_never_used_a_row_votes_for_the_old_one_by_hand():
    exchange = two_clients("rows")
    exchange.step(sent(exchange, TRAINED))
    want = column([0.6 * 16 + 0.4 * 12, 20.0, 0.6 * 30 + 0.4 * 33.3, 40.1])
    assert torch.allclose(exchange.table, want) and torch.equal(exchange.table[[1, 3]], want[[1, 3]])


def test_personal_is_used_and_then_back_to_ones_own_row_by_evidence_by_hand():
    exchange = two_clients("personal", own_rows=1.0)
    first, second = exchange.step(sent(exchange, TRAINED))
    assert torch.equal(exchange.table, column([15.0, 20.0, 33.3, 40.1]))
    assert torch.allclose(first, column([15 + 0.75 * 1, 20.0]))  # trust 3/(3 + 1) in its 16
    assert torch.allclose(second, column([15 - 0.5 * 3, 33.3]))  # trust 1/(1 + 1) in its 12


def test_a_server_step_goes_that_much_further_from_the_old_table():
    exchange = two_clients("used")
    first, _ = exchange.step(sent(exchange, TRAINED), server_step=2.0)
    assert torch.allclose(exchange.table, column([20.0, 20.0, 36.6, 40.1]))
    assert torch.equal(first, exchange.table[[0, 1]]) and torch.equal(
        exchange.table[[1, 3]], column([20.0, 40.1])
    )


@pytest.mark.parametrize("rule", ["used", "rows", "personal"])
def test_a_refused_client_leaves_no_trace_in_the_table_and_gets_the_others_rows(rule):
    tables = []
    for garbage in (0.0, 1e6):
        exchange = two_clients(rule)
        exchange.step(sent(exchange, TRAINED))  # shares of another round must not be remembered
        before = exchange.table.clone()
        first, second = exchange.step(
            sent(exchange, [TRAINED[0], torch.full((2, 1), garbage)], [True, False])
        )
        tables.append(exchange.table)
        assert torch.equal(exchange.table[1:], before[1:])  # of the rows in use, b alone used row 2
        assert torch.equal(second, exchange.table[[0, 2]])
    assert torch.equal(*tables) and torch.allclose(tables[0][0], torch.tensor(16.0))


def federation(rule, seed, clients=4, rows=30, width=3):
    """Clients with random parts of a random table, their random counts (many zero) and trained rows."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(rows, width, generator=generator)
    index, counts, trained = [], [], []
    for n in range(clients):
        held = torch.randperm(rows, generator=generator)[: 10 + 3 * n].sort().values
        uses = torch.randint(-5, 10, (len(held),), generator=generator).clamp(min=0).float()
        moved = torch.randn(len(held), width, generator=generator) * (uses > 0)[:, None]
        index.append(held), counts.append(uses), trained.append(table[held] + moved)
    return table, index, counts, [100, 300, 200, 50], trained


RULES = st.sampled_from(["used", "rows", "personal"])


@quick
@given(RULES, st.integers(0, 10**6), st.sampled_from([0.5, 1.0, 1.3]))
def test_the_table_is_the_weighted_mean_of_a_plain_loop(rule, seed, server_step):
    table, index, counts, sizes, trained = federation(rule, seed)
    exchange = SharedTable(table, index, counts, sizes, rule)
    present = [True, True, False, True]
    exchange.step(sent(exchange, trained, present), server_step)
    for row in range(len(table)):
        weights, moves = [], []
        for n in range(4):
            at = (index[n] == row).nonzero().flatten().tolist()
            uses = float(counts[n][at]) if at and present[n] else 0.0
            weights.append((sizes[n] if uses else 0.0) if rule == "rows" else uses)
            moves.append(trained[n][at[0]] - table[row] if at else 0 * table[row])
        total = 450 if rule == "rows" else sum(weights)
        if not sum(weights):
            assert torch.equal(exchange.table[row], table[row])  # nobody uses it: bit for bit
            continue
        move = sum(w / total * m for w, m in zip(weights, moves, strict=True))
        assert torch.allclose(exchange.table[row], table[row] + server_step * move, atol=1e-5)
        if rule != "rows" and server_step == 1.0 and sum(w > 0 for w in weights) == 1:
            n = max(range(4), key=weights.__getitem__)
            assert torch.equal(exchange.table[row], trained[n][index[n] == row][0])  # one alone uses it


@quick
@given(RULES, st.integers(0, 10**6), st.permutations(range(4)))
def test_permuting_the_clients_permutes_their_rows_and_leaves_the_table(rule, seed, order):
    table, index, counts, sizes, trained = federation(rule, seed)
    present = [True, True, False, True]
    one = SharedTable(table, index, counts, sizes, rule)
    received = one.step(sent(one, trained, present))
    parts = ([part[k] for k in order] for part in (index, counts, sizes))
    two = SharedTable(table, *parts, rule)
    shuffled = two.step(sent(two, [trained[k] for k in order], [present[k] for k in order]))
    assert torch.allclose(two.table, one.table, atol=1e-6)
    for k, rows in zip(order, shuffled, strict=True):
        assert torch.allclose(rows, received[k], atol=1e-6)

"""Aggregation: rows of weights that sum to one, who may appear in whose mixture, who is kin."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from playing import UNITS, exchanged, game, method, mixed, play, random

import pfmsm_lite.rivals  # noqa: F401 their rules in the table
from pfmsm_lite.aggregation import aggregate, cosines, kinship, mixing_weights, present_only
from pfmsm_lite.errors import UserError
from pfmsm_lite.registry import OPERATORS, lookup
from pfmsm_lite.rivals.mixtures import start_weights

quick = settings(deadline=None, max_examples=40, derandomize=True)
OWN = ("fedhca2", "attention")  # rules that add to a client's own parameters, and mix none
COMMON = [name for name in OPERATORS["aggregate"] if getattr(lookup("aggregate", name), "common", False)]
CHOSEN = ("median", "trimmed", "krum", "multikrum")  # common, too, but nobody's parameters count for sure
every_rule = pytest.mark.parametrize("rule", OPERATORS["aggregate"])


@every_rule
@pytest.mark.parametrize("clients", [1, 2, 5, 40])
def test_every_clients_weights_sum_to_one(rule, clients):
    inputs = game(clients)
    if clients == 5:
        inputs.present[1][0, 2] = inputs.present[2][:, 0] = False
    last = play(rule, inputs)
    assert last.weights.shape == (UNITS, clients, clients) and (last.weights >= 0).all()
    assert torch.allclose(last.weights.sum(-1), torch.ones(UNITS, clients).double())
    assert last.mixtures.isfinite().all()


@every_rule
def test_a_lone_client_keeps_its_own(rule):
    last = play(rule, game(1))
    kept = last.sources[:, :1].expand_as(last.sources) if rule in COMMON else last.sources
    assert torch.equal(last.mixtures, kept)


def test_aggregate_is_a_weighted_sum_and_refuses_other_shapes():
    sources, weights = random(2, 3, 4), random(2, 3, 3, seed=1).softmax(-1)
    mixtures = aggregate(sources, weights)
    for n in range(3):
        assert torch.allclose(mixtures[:, n], sum(weights[:, n, m, None] * sources[:, m] for m in range(3)))
    with pytest.raises(ValueError, match="4 weights per client for 3 sources"):
        aggregate(sources, torch.ones(2, 4, 4))


def test_mean_is_fedavg_weighted_by_rows_of_those_present():
    inputs = game(4)
    inputs.present[-1][:, 1] = False
    last = play("mean", inputs)
    there = [0, 2, 3]
    want = sum(inputs.rows[n] * last.sources[:, n] for n in there) / sum(inputs.rows[n] for n in there)
    for n in range(4):
        assert torch.allclose(last.mixtures[:, n], want)


def test_self_gives_half_to_oneself_and_the_rest_evenly():
    weights = play("self", game(5)).weights[0]
    assert torch.allclose(weights, torch.full((5, 5), 0.125).fill_diagonal_(0.5).double())
    assert start_weights(1, 0.5, weights).tolist() == [[1.0]]


def test_cosine_is_the_softmax_of_the_updates_similarity():
    last = play("cosine", game(4))
    for n in range(4):
        alike = [torch.cosine_similarity(last.delta[0, n], last.delta[0, m], dim=0) for m in range(4)]
        assert torch.allclose(
            last.weights[0, n], (torch.stack(alike) / method("cosine").temperature).softmax(0)
        )


@pytest.mark.parametrize("clients", [3, 40])
def test_fedamp_is_attention_by_distance_also_for_many_clients_that_differ_little(clients):
    base, noise = random(1, 1, 300), random(1, clients, 300, seed=1)
    sources = (base + 1e-3 * noise).float()
    got, _ = mixing_weights(exchanged(torch.zeros_like(sources), sources), method("fedamp"))
    squared = (sources.double()[0, :, None] - sources.double()[0]).square().sum(-1)
    want = (-squared / squared.mean() / method("fedamp").temperature).softmax(-1)
    assert torch.allclose(got[0].double(), want, atol=1e-3)


@pytest.mark.parametrize("clients", [3, 40])
def test_equal_models_or_updates_give_the_even_mean(clients):
    inputs = game(clients)
    inputs.start = inputs.start[:, :1].expand(-1, clients, -1)
    inputs.deltas = [delta[:, :1].expand(-1, clients, -1) for delta in inputs.deltas]
    even = torch.full((), 1 / clients).double()
    for rule in ("cosine", "fedamp"):
        assert torch.allclose(play(rule, inputs).weights, even), rule
    inputs.deltas = [0 * delta for delta in inputs.deltas]  # no update at all
    assert torch.allclose(play("cosine", inputs).weights, even)


def test_cosines_are_those_of_torch_and_zero_beside_a_zero_update():
    deltas = random(2, 4, 5)
    deltas[0, 1] = 0
    got = cosines(deltas @ deltas.transpose(-2, -1))
    want = torch.cosine_similarity(deltas[:, :, None], deltas[:, None], dim=-1)
    assert torch.allclose(got, want) and not got[0, 1].any()


@every_rule
@quick
@given(order=st.permutations(range(4)), seed=st.integers(0, 100))
def test_permuting_the_clients_permutes_the_result(rule, order, seed):
    inputs = game(4, seed)
    inputs.present[1][0, 2] = False
    inputs.has[1, 3] = False
    for present in inputs.present:
        present &= inputs.has
    straight = play(rule, inputs)
    shuffled = play(
        rule,
        SimpleNamespace(
            start=inputs.start[:, order],
            deltas=[delta[:, order] for delta in inputs.deltas],
            rows=inputs.rows[list(order)],
            present=[present[:, order] for present in inputs.present],
            has=inputs.has[:, order],
        ),
    )
    assert torch.allclose(shuffled.mixtures, straight.mixtures[:, order])
    assert torch.allclose(shuffled.weights, straight.weights[:, order][..., order])


@every_rule
def test_a_refused_client_is_in_nobodys_mixture_that_round_and_again_in_the_next(rule):
    inputs = game(4)
    inputs.present[1][:, 2] = False
    inputs.deltas[1][:, 2] = 0  # the loop takes it back to what it had received
    others = [0, 1, 3]
    refused = play(
        rule, SimpleNamespace(**{**vars(inputs), "deltas": inputs.deltas[:2], "present": inputs.present[:2]})
    )
    assert not refused.weights[:, others, 2].any()
    if rule not in COMMON:  # it keeps what it has; of FedAvg it gets the one model that there is
        assert torch.equal(refused.mixtures[:, 2], refused.sources[:, 2])
    if rule not in (*OWN, *CHOSEN, "kin"):  # these mix with nobody, or with kin alone
        assert (play(rule, inputs).weights[:, others, 2] > 0).all()


@every_rule
def test_a_client_without_this_unit_keeps_its_own_and_leaves_no_trace(rule):
    inputs = game(4)
    inputs.has[0, 1] = False
    for delta, present in zip(inputs.deltas, inputs.present, strict=True):
        present[0, 1] = False
        delta[0, 1] = 0
    before = play(rule, inputs)
    assert before.weights[0, 1].tolist() == [0, 1, 0, 0] and not before.weights[0, [0, 2, 3], 1].any()
    assert torch.equal(before.mixtures[0, 1], inputs.start[0, 1])
    inputs.start[0, 1] += 10.0
    inputs.rows[1] *= 3
    after = play(rule, inputs)
    assert torch.allclose(after.mixtures[0, [0, 2, 3]], before.mixtures[0, [0, 2, 3]])


@every_rule
def test_whoever_is_left_alone_and_whoever_is_refused_keeps_its_own(rule):
    inputs = game(3)
    inputs.present[-1][:, 1:] = False
    last = play(rule, inputs)
    kept = last.sources[:, :1].expand_as(last.sources) if rule in COMMON else last.sources
    assert torch.equal(last.mixtures, kept)


def test_absent_clients_are_taken_out_by_hand():
    weights = torch.tensor([[[0.5, 0.25, 0.25], [0.2, 0.6, 0.2], [0.0, 1.0, 0.0]]])
    present = torch.tensor([[True, False, True]])
    got = present_only(weights, present, present)
    assert torch.allclose(got, torch.tensor([[[2 / 3, 0, 1 / 3], [0, 1, 0], [0, 0, 1.0]]]))


def test_an_unknown_rule_is_refused_with_a_hint():
    with pytest.raises(UserError, match="Unknown aggregate 'learnt'. Did you mean 'learned'"):
        mixing_weights(None, SimpleNamespace(aggregate="learnt"))


@pytest.mark.parametrize(("turned", "share"), [(1.0, 0.6), (-1.0, 0.0)])
def test_fedhca2_adds_more_of_an_update_that_went_on_helping_and_less_of_another(turned, share):
    inputs = game(3)
    inputs.deltas = [inputs.deltas[0], turned * inputs.deltas[0]]
    inputs.present = inputs.present[:2]
    last = play("fedhca2", inputs)
    assert torch.allclose(last.mixtures, last.received + last.delta + share * (last.mix @ last.delta))
    assert torch.equal(last.weights, torch.eye(3).double().expand(UNITS, 3, 3))


def test_attention_by_hand():
    """Scores ⟨Δ_n, Δ_m⟩ / √P with P = 4: client 0 scores itself 2 and the others 0 and −2."""
    deltas = torch.tensor([[2.0, 0, 0, 0], [0, 2.0, 0, 0], [-2.0, 0, 0, 0]]).double()[None]
    last = mixed(exchanged(torch.zeros_like(deltas), deltas), method("attention"))
    e = torch.tensor([2.0, 0.0, -2.0]).double().exp()
    attended = (e[0] * deltas[0, 0] + e[1] * deltas[0, 1] + e[2] * deltas[0, 2]) / e.sum()
    assert torch.allclose(last.sources[0, 0], deltas[0, 0] + 0.1 * attended)


def test_the_share_of_what_is_added_moves_down_the_finite_difference_of_the_loss():
    """Quadratic losses |x − goal|²/2: one exact gradient step is what training does."""
    goal, received = random(1, 4, 5, seed=7), random(1, 4, 5, seed=8)
    first = 0.1 * (goal - received)
    to_the_mean = torch.full((1, 4, 4), 0.25).to(first)
    exchange = mixed(exchanged(received, first, to_the_mean), method("fedhca2"))
    start = exchange.sources
    second = 0.1 * (goal - start)
    following = mixed(exchanged(start, second, previous=exchange.past), method("fedhca2"))
    moved = following.memory["share"] - exchange.memory["share"]

    def loss(share):
        return ((received + first + share * first.mean(1, keepdim=True) - goal) ** 2).sum(-1) / 2

    slope = (loss(0.1 + 1e-5) - loss(0.1 - 1e-5)) / 2e-5
    free = (following.memory["share"] > 0)[..., 0] & (following.memory["share"] < 1)[..., 0]
    assert free.any() and (moved[..., 0][free] * slope[free] < 0).all()


def test_fedamp_with_equal_models_is_the_mean():
    inputs = game(4)
    inputs.start[:] = inputs.start[:, :1]
    inputs.deltas = [torch.zeros_like(inputs.start)]
    inputs.present = inputs.present[:1]
    assert torch.allclose(play("fedamp", inputs).weights, torch.tensor(0.25).double())


# ---- kin ----


def shared_out(delta, gradients, rows=None, rounds=1):
    """The weights [U, N, N] of `kin` after rounds of the same updates and validation gradients."""
    past = None
    for _ in range(rounds):
        exchange = exchanged(torch.zeros_like(delta), delta, rows=rows, previous=past, gradients=gradients)
        last = mixed(exchange, method("kin"))
        past = last.past
    return last.weights


def test_kinship_by_hand():
    """C = [[4, 1], [2, 9]]: ρ = sqrt(1·2 / (4·9)); a step that harms, or no evidence of one's own: 0."""
    helped = torch.tensor([[4.0, 1.0], [2.0, 9.0]])
    own = helped.diagonal()[:, None].expand(2, 2)
    found = kinship(helped, own)
    assert torch.allclose(found, torch.tensor([[1, (2 / 36) ** 0.5], [(2 / 36) ** 0.5, 1]]))
    assert torch.equal(kinship(helped * torch.tensor([[1.0, -1], [1, 1]]), own), torch.eye(2))
    assert torch.equal(kinship(helped, own * torch.tensor([[-1.0], [1.0]])), torch.eye(2))
    assert torch.equal(kinship(torch.full((2, 2), 50.0), own), torch.ones(2, 2))  # never above 1


def test_a_share_of_kin_by_hand():
    """ρ = 1/2 is a share of 1/2: with 300 and 100 rows the mixtures are 300 : 50 and 150 : 100."""
    delta = torch.tensor([[[2.0, 0.0], [1.0, 3.0**0.5]]]).double()  # length 2, at 60 degrees
    weights = shared_out(delta, -delta, rows=torch.tensor([300.0, 100.0]).double())[0]
    assert torch.allclose(weights, torch.tensor([[6 / 7, 1 / 7], [3 / 5, 2 / 5]]).double())


def test_kin_is_fedavg_where_all_agree_fedavg_in_groups_and_local_where_nobody_does():
    rows, clients = torch.tensor([100.0, 300.0, 200.0, 400.0]).double(), 4
    axes = torch.eye(6).double()
    alike = axes[:1].expand(1, clients, 6)
    want = (rows / rows.sum()).expand(1, clients, clients)
    assert torch.allclose(shared_out(alike, -alike, rows), want)
    grouped = axes[[0, 0, 1, 1]][None]
    want = torch.block_diag(*((part / part.sum()).expand(2, 2) for part in rows.split(2)))[None]
    assert torch.allclose(shared_out(grouped, -grouped, rows), want)
    apart = axes[:clients][None]
    assert torch.equal(shared_out(apart, -apart, rows), torch.eye(clients).double()[None])
    against = torch.stack([axes[0], -axes[0]])[None]
    assert torch.equal(shared_out(against, -against), torch.eye(2).double()[None])


@quick
@given(seed=st.integers(0, 10**6))
def test_lengths_of_steps_and_of_gradients_do_not_matter_to_kin(seed):
    common = random(1, 1, 6, seed=seed)
    delta, gradients = common + random(1, 4, 6, seed=seed + 1), -common - random(1, 4, 6, seed=seed + 2)
    scale = random(2, 4, 1, seed=seed + 3).exp()
    plain, scaled = shared_out(delta, gradients), shared_out(scale[:1] * delta, scale[1:] * gradients)
    assert torch.allclose(plain, scaled)


def test_evidence_adds_up_and_stays_when_no_more_comes():
    delta, gradients = random(1, 3, 6), -random(1, 3, 6).abs()
    delta = delta.abs()
    assert torch.allclose(shared_out(delta, gradients), shared_out(delta, gradients, rounds=4))
    first = mixed(exchanged(torch.zeros_like(delta), delta, gradients=gradients), method("kin"))
    later = mixed(exchanged(torch.zeros_like(delta), -delta, previous=first.past), method("kin"))
    assert torch.equal(first.weights, later.weights)


def test_kin_stay_alone_before_there_is_any_evidence_and_an_absent_client_brings_none():
    delta = random(1, 3, 6).abs()
    nothing = mixed(exchanged(torch.zeros_like(delta), delta), method("kin"))
    assert torch.equal(nothing.weights, torch.eye(3).double()[None])
    present = torch.tensor([[True, True, False]])
    absent = delta * present[..., None]
    one = mixed(exchanged(torch.zeros_like(delta), absent, present=present, gradients=-delta), method("kin"))
    two = mixed(exchanged(torch.zeros_like(delta), delta, previous=one.past, gradients=-delta), method("kin"))
    # the third is measured on the round in which it was there, the others on two that were alike
    assert torch.allclose(two.weights, shared_out(delta, -delta))

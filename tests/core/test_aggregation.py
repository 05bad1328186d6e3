"""Aggregation: rows of weights that sum to one, who may appear in whose mixture, whether `learned` learns."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pfmsm_lite.rivals  # noqa: F401 their rules in the table
from pfmsm_lite.aggregation import (
    Exchange,
    Past,
    aggregate,
    cosines,
    mixing_weights,
    present_only,
    pseudo_gradient,
    softmax_chain,
    start_weights,
)
from pfmsm_lite.errors import UserError
from pfmsm_lite.methods import Method
from pfmsm_lite.registry import OPERATORS

quick = settings(deadline=None, max_examples=40, derandomize=True)
UNITS, SIZE, ROUNDS = 2, 6, 3
OWN = ("fedhca2", "attention")  # rules that add to a client's own parameters, and mix none
every_rule = pytest.mark.parametrize("rule", OPERATORS["aggregate"])


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def method(rule):
    return Method("test", "a rule under test", share={"expert.scenario": "personalized"}, aggregate=rule)


def game(clients, seed=0):
    """Inputs of a few rounds: start, what each round's training changes, rows, and everybody there."""
    everybody = torch.ones(UNITS, clients, dtype=torch.bool)
    return SimpleNamespace(
        start=random(UNITS, clients, SIZE, seed=seed),
        deltas=list(0.3 * random(ROUNDS, UNITS, clients, SIZE, seed=seed + 1)),
        rows=torch.arange(1.0, clients + 1).double() * 100,
        present=[everybody.clone() for _ in range(ROUNDS)],
        has=everybody,
    )


def exchanged(received, delta, update=None, rows=None, present=None, has=None, previous=None):
    """An Exchange of one round; left out: the plain update, equal rows, everybody there."""
    everybody = torch.ones(delta.shape[:2], dtype=torch.bool)
    update = delta if update is None else update
    return Exchange(
        received,
        delta,
        update,
        received + update,
        delta @ delta.transpose(-2, -1),
        torch.ones(delta.shape[1]).double() if rows is None else rows,
        everybody if present is None else present,
        everybody if has is None else has,
        previous,
    )


def mixed(exchange, method):
    """What the server makes of an Exchange: its parts, weights, mixtures, and the Past for the next round."""
    weights, memory = mixing_weights(exchange, method)
    sources = memory.pop("sources", exchange.sources)
    return SimpleNamespace(
        **{**vars(exchange), "sources": sources},
        weights=weights,
        memory=memory,
        mixtures=aggregate(sources, weights),
        past=Past(exchange.delta, sources, weights, memory),
    )


def play(rule, inputs):
    """The rounds one after another, as the server plays them: the last one, with its mixtures."""
    received, past = inputs.start, None
    for delta, present in zip(inputs.deltas, inputs.present, strict=True):
        last = mixed(
            exchanged(received, delta, 1.1 * delta, inputs.rows, present, inputs.has, past), method(rule)
        )
        received, past = last.mixtures, last.past
    return last


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
    assert torch.equal(last.mixtures, last.sources)


def test_aggregate_is_a_weighted_sum_and_refuses_other_shapes():
    sources, weights = random(2, 3, 4), random(2, 3, 3, seed=1).softmax(-1)
    mixtures = aggregate(sources, weights)
    for n in range(3):
        assert torch.allclose(mixtures[:, n], sum(weights[:, n, m, None] * sources[:, m] for m in range(3)))
    with pytest.raises(ValueError, match="4 weights a client for 3 sources"):
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
    if rule in OWN:  # everyone keeps its own parameters
        assert torch.equal(refused.mixtures[:, 2], refused.sources[:, 2])
    else:
        assert not refused.weights[:, 2, 2].any()  # it gets what the others hold
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
def test_a_client_left_alone_keeps_its_own_and_the_refused_are_given_it_or_keep_theirs(rule):
    inputs = game(3)
    inputs.present[-1][:, 1:] = False
    last = play(rule, inputs)
    assert torch.equal(last.mixtures[:, 0], last.sources[:, 0])
    kept = last.sources[:, 2] if rule in OWN else last.sources[:, 0]
    assert torch.equal(last.mixtures[:, 2], kept)


def test_absent_clients_are_taken_out_by_hand():
    weights = torch.tensor([[[0.5, 0.25, 0.25], [0.2, 0.6, 0.2], [0.0, 1.0, 0.0]]])
    present, has = torch.tensor([[True, False, True]]), torch.tensor([[True, True, True]])
    got = present_only(weights, present, has)
    assert torch.allclose(got, torch.tensor([[[2 / 3, 0, 1 / 3], [0.5, 0, 0.5], [0, 0, 1.0]]]))


def test_an_unknown_rule_is_refused_with_a_hint():
    with pytest.raises(UserError, match="Unknown aggregate 'learnt'. Did you mean 'learned'"):
        mixing_weights(None, SimpleNamespace(aggregate="learnt"))


# ---- the learned weights ----


class Quadratic:
    """N clients with L_n(W) = ½ (W − t_n)ᵀ H_n (W − t_n), sources to mix and weights to mix them with."""

    def __init__(self, clients=5, size=8, seed=0):
        root = random(clients, size, size, seed=seed)
        self.hessian = root @ root.transpose(1, 2) / size + 0.1 * torch.eye(size)
        self.target, self.sources = random(2, clients, size, seed=seed + 1)
        self.logits = random(clients, clients, seed=seed + 2)
        self.weights = self.logits.softmax(-1)

    def losses(self, w):
        error = w - self.target
        return 0.5 * torch.einsum("ni,nij,nj->n", error, self.hessian, error)

    def train(self, w, steps, rate):
        """What plain gradient descent changes: Δ [N, P]."""
        moved = w.clone()
        for _ in range(steps):
            moved = moved - rate * torch.einsum("nij,nj->ni", self.hessian, moved - self.target)
        return moved - w

    def slopes(self, step=1e-5):
        """∂L_n/∂A_nm by finite differences of the true loss."""
        found = torch.empty_like(self.weights)
        for m in range(found.shape[1]):
            for sign in (1, -1):
                weights = self.weights.clone()
                weights[:, m] += sign * step
                loss = self.losses(weights @ self.sources) / (2 * step)
                found[:, m] = loss if sign == 1 else found[:, m] - loss
        return found


def centred(rows):
    return rows - rows.mean(-1, keepdim=True)


@pytest.mark.parametrize("seed", range(3))
def test_after_one_gradient_step_the_pseudo_gradient_is_the_true_one_times_the_rate(seed):
    problem = Quadratic(seed=seed)
    delta = problem.train(problem.weights @ problem.sources, steps=1, rate=0.01)
    pseudo = pseudo_gradient(delta, problem.sources)
    assert torch.allclose(pseudo, 0.01 * centred(problem.slopes()), atol=1e-7)
    logits = problem.logits.clone().requires_grad_()
    problem.losses(logits.softmax(-1) @ problem.sources).sum().backward()
    assert torch.allclose(softmax_chain(pseudo, problem.weights), 0.01 * logits.grad)


@pytest.mark.parametrize("seed", range(5))
def test_after_several_steps_the_pseudo_gradient_still_points_the_same_way(seed):
    problem = Quadratic(seed=seed)
    delta = problem.train(problem.weights @ problem.sources, steps=10, rate=0.02)
    pseudo, true = pseudo_gradient(delta, problem.sources), centred(problem.slopes())
    assert (torch.cosine_similarity(pseudo, true, dim=-1) > 0.9).all()
    clear = true.abs() > 0.3 * true.abs().amax(-1, keepdim=True)
    assert torch.equal(pseudo.sign()[clear], true.sign()[clear]) and clear.sum() > 5


@quick
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_softmax_chain_is_autograd(seed, clients):
    logits = random(2, clients, clients, seed=seed).requires_grad_()
    gradient = random(2, clients, clients, seed=seed + 1)
    (logits.softmax(-1) * gradient).sum().backward()
    assert torch.allclose(softmax_chain(gradient, logits.detach().softmax(-1)), logits.grad)


def test_centring_the_sources_changes_nothing_behind_the_softmax():
    delta, sources, weights = random(4, 6), 1 + random(4, 6, seed=1), random(4, 4, seed=2).softmax(-1)
    plain = -delta @ sources.T
    assert torch.allclose(
        softmax_chain(plain, weights), softmax_chain(pseudo_gradient(delta, sources), weights)
    )


def learn(problem, rounds, steps, rate, rule):
    """Rounds of local training and aggregation on the quadratic problem: (last Exchange, losses after)."""
    received, past = torch.zeros_like(problem.target)[None], None
    for _ in range(rounds):
        delta = problem.train(received[0], steps, rate)[None]
        last = mixed(exchanged(received, delta, previous=past), method(rule))
        received, past = last.mixtures, last.past
    return last, problem.losses(received[0])


def mixture(rule, logits):
    """The weights that a rule makes of its logits."""
    if rule == "learned":
        return logits.softmax(-1)
    own = torch.eye(logits.shape[-1]).to(logits)
    return 0.5 * own + 0.5 * logits.masked_fill(own > 0, -torch.inf).softmax(-1)


LEARNED = pytest.mark.parametrize("rule", ["learned", "partners"])


@LEARNED
def test_learned_weights_start_at_the_self_weight_and_step_against_the_gradient(rule):
    problem = Quadratic()
    first, _ = learn(problem, 1, 1, 0.01, rule)
    assert torch.allclose(first.weights[0], start_weights(5, 0.5, first.gram))
    logits = first.weights.log().requires_grad_()
    problem.losses((mixture(rule, logits) @ first.sources)[0]).sum().backward()
    second, _ = learn(problem, 2, 1, 0.01, rule)
    down = method(rule).mixing_step * torch.nn.functional.normalize(logits.grad, dim=-1)
    assert torch.allclose(second.weights, mixture(rule, logits - down).detach())


@LEARNED
def test_learned_weights_find_the_clusters(rule):
    problem = Quadratic(clients=6, size=10)
    cluster = torch.tensor([0, 1, 0, 1, 0, 1])
    problem.target = 3 * random(2, 10, seed=9)[cluster] + 0.3 * random(6, 10, seed=10)
    last, losses = learn(problem, 15, 3, 0.05, rule)
    mates = cluster[:, None] == cluster
    weights = last.weights[0]
    for n in range(6):
        assert weights[n, mates[n]].min() > 2 * weights[n, ~mates[n]].max()
    for other in ("mean", "self"):
        assert losses.mean() < learn(problem, 15, 3, 0.05, other)[1].mean()


@LEARNED
def test_a_client_that_did_not_move_keeps_its_weights(rule):
    inputs = game(4)
    for delta in inputs.deltas[1:]:
        delta[:, 1] = 0
    assert torch.allclose(play(rule, inputs).weights[:, 1], start_weights(4, 0.5, inputs.start)[1])


def test_with_partners_a_clients_own_weight_stays_while_all_weights_draw_it_home():
    problem = Quadratic(clients=6, size=10)
    partners, learned = (learn(problem, 40, 5, 0.1, rule)[0].weights[0] for rule in ("partners", "learned"))
    assert torch.allclose(partners.diagonal(), torch.tensor(0.5).double())
    assert (learned.diagonal() > 0.9).all()


def test_evidence_is_partners_where_all_have_as_many_rows():
    problem = Quadratic(clients=6, size=10)
    one, other = (learn(problem, 5, 3, 0.05, rule)[0].weights for rule in ("partners", "evidence"))
    assert torch.allclose(one, other)


def test_evidence_starts_by_rows_by_hand():
    """Rows 100, 200, 600, mean 300, self-weight 1/4: own weights r / (r + 900), the rest by rows."""
    rows = torch.tensor([100.0, 200.0, 600.0]).double()
    nothing = torch.zeros(1, 3, 4).double()
    exchange = exchanged(nothing, nothing, rows=rows)
    weights = mixing_weights(exchange, replace(method("evidence"), self_weight=0.25))[0][0]
    own = torch.tensor([0.1, 200 / 1100, 0.4]).double()
    assert torch.allclose(weights.diagonal(), own)
    assert torch.allclose(weights[0, 1:], 0.9 * torch.tensor([0.25, 0.75]).double())
    assert torch.allclose(weights[2, :2], 0.6 * torch.tensor([1 / 3, 2 / 3]).double())


@pytest.mark.parametrize(("turned", "share"), [(1.0, 0.6), (-1.0, 0.0)])
def test_fedhca2_adds_more_of_an_update_that_went_on_helping_and_less_of_another(turned, share):
    inputs = game(3)
    inputs.deltas = [inputs.deltas[0], turned * inputs.deltas[0]]
    inputs.present = inputs.present[:2]
    last = play("fedhca2", inputs)
    assert torch.allclose(last.mixtures, last.received + last.delta + share * last.update)
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
    common = first.mean(1, keepdim=True).expand_as(first)
    exchange = mixed(exchanged(received, first, common), method("fedhca2"))
    start = exchange.sources
    second = 0.1 * (goal - start)
    following = mixed(exchanged(start, second, previous=exchange.past), method("fedhca2"))
    moved = following.memory["share"] - exchange.memory["share"]

    def loss(share):
        return ((received + first + share * exchange.update - goal) ** 2).sum(-1) / 2

    slope = (loss(0.1 + 1e-5) - loss(0.1 - 1e-5)) / 2e-5
    free = (following.memory["share"] > 0)[..., 0] & (following.memory["share"] < 1)[..., 0]
    assert free.any() and (moved[..., 0][free] * slope[free] < 0).all()


def test_fedamp_with_equal_models_is_the_mean():
    inputs = game(4)
    inputs.start[:] = inputs.start[:, :1]
    inputs.deltas = [torch.zeros_like(inputs.start)]
    inputs.present = inputs.present[:1]
    assert torch.allclose(play("fedamp", inputs).weights, torch.tensor(0.25).double())

"""Mixtures by the pseudo-gradient: whether it is a gradient, and whether weights learn by it."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from playing import exchanged, game, method, mixed, play, random

from pfmsm_lite.aggregation import mixing_weights
from pfmsm_lite.rivals.mixtures import pseudo_gradient, softmax_chain, start_weights

quick = settings(deadline=None, max_examples=40, derandomize=True)


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


@pytest.mark.parametrize("rule", ["partners", "evidence"])
def test_own_weight_stays_where_another_client_lacks_the_unit_or_is_absent(rule):
    inputs = game(4)
    inputs.rows[:] = 100
    inputs.has[0, 2] = False
    for present in inputs.present:
        present &= inputs.has
    inputs.present[-1][:, 3] = False
    weights = play(rule, inputs).weights
    assert torch.allclose(weights[:, :2].diagonal(dim1=-2, dim2=-1), torch.tensor(0.5).double())
    assert not weights[:, :2, 3].any() and not weights[0, :2, 2].any()

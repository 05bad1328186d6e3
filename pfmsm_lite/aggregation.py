"""Personalized aggregation: who learns from whom, and how much.

A rule gets one round's Exchange and the Method, and returns (weights [U, N, N], memory): each client's
mixture weights, rows summing to one, and a dict of what it wants to find again next round. It changes
nothing that it is given.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from pfmsm_lite.errors import UserError
from pfmsm_lite.registry import is_finite, lookup, refuse, register


class Past(NamedTuple):
    """What is remembered of a round: delta and sources [U, N, P], weights [U, N, N], the rule's memory."""

    delta: Tensor
    sources: Tensor
    weights: Tensor
    memory: dict


@dataclass(frozen=True)
class Exchange:
    """One round at the server, for U experts (or towers, or gates) of N clients at once.

    received  [U, N, P]  what each client started the round from
    delta     [U, N, P]  what its training changed: trained − received (normalized, where asked)
    update    [U, N, P]  the coordinated update, server step included
    sources   [U, N, P]  received + update: what mixtures are made of
    gram      [U, N, N]  inner products of the deltas
    rows      [N]        training rows of each client
    present   [U, N]     bool: has this unit, and its upload was accepted
    has       [U, N]     bool: has this unit (a client may lack a task, and so that task's tower)
    previous  the Past of the round before, or None in the first
    """

    received: Tensor
    delta: Tensor
    update: Tensor
    sources: Tensor
    gram: Tensor
    rows: Tensor
    present: Tensor
    has: Tensor
    previous: Past | None = field(default=None, repr=False)


def aggregate(sources: Tensor, weights: Tensor) -> Tensor:
    """Every client's own mixture of what the clients hold.

    sources  [..., N, P],  weights [..., N, N], rows summing to one  →  [..., N, P]
    raises   ValueError where their numbers of clients differ

    PF-MSMTrec, section 3.3.3 (the server optimizes client weights: the paper; the rules: reconstruction).
    """
    if weights.shape[-1] != sources.shape[-2]:
        raise ValueError(f"{weights.shape[-1]} weights a client for {sources.shape[-2]} sources")
    return weights @ sources


def present_only(weights: Tensor, present: Tensor, has: Tensor) -> Tensor:
    """Take absent clients out of every mixture: their columns become 0, rows sum to one again.

    A client that lacks this unit, or that is left with nobody, keeps what it has.
    weights [U, N, N], present and has [U, N] bool  →  [U, N, N]
    """
    weights = weights * present[:, None, :] * has[:, :, None]
    total = weights.sum(-1, keepdim=True)
    alone = torch.eye(weights.shape[-1], device=weights.device).to(weights)
    return torch.where(total > 0, weights / torch.where(total > 0, total, 1.0), alone)


def cosines(gram: Tensor) -> Tensor:
    """Cosines [..., N, N] between updates from their inner products; 0 beside an update of length 0."""
    length = gram.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()
    product = length[..., :, None] * length[..., None, :]
    return torch.where(product > 0, gram / torch.where(product > 0, product, 1.0), 0.0).clamp(-1, 1)


def start_weights(clients: int, self_weight: float, like: Tensor) -> Tensor:
    """[N, N]: each client's own weight, the rest even. One client: 1."""
    if clients == 1:
        return torch.ones(1, 1).to(like)
    even = torch.full((clients, clients), (1 - self_weight) / (clients - 1))
    return even.fill_diagonal_(self_weight).to(like)


def pseudo_gradient(delta: Tensor, sources: Tensor) -> Tensor:
    """∂L_n/∂A_nm ≈ −⟨Δ_n, source_m⟩ [..., N, N], for mixtures W_n = sum_m A_nm source_m [..., N, P].

    Client n left its mixture and arrived at W_n + Δ_n, so −Δ_n stands for its loss gradient there. The
    sources are centred first: through the softmax that changes nothing but the numerics.
    """
    return -(delta @ (sources - sources.mean(-2, keepdim=True)).transpose(-2, -1))


def softmax_chain(gradient: Tensor, weights: Tensor) -> Tensor:
    """∂L/∂logits from ∂L/∂weights [..., N, N] where weights = softmax(logits), row by row."""
    return weights * (gradient - (weights * gradient).sum(-1, keepdim=True))


def descend(exchange: Exchange, method, free: Tensor) -> Tensor:
    """Logits after a step of fixed length down the pseudo-gradient, row by row; free [N, N]: 1 if learned."""
    last = exchange.previous
    assert last is not None
    # the mixture weights of the last round, without those that are fixed: [U, N, N]
    weights = last.weights * free
    weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)
    # where each client went since, as a gradient of its logits
    gradient = softmax_chain(pseudo_gradient(exchange.delta, last.sources) * free, weights)
    # one step per row, all rows of the same length
    length = gradient.norm(dim=-1, keepdim=True)
    return last.memory["logits"] - method.mixing_step * gradient / torch.where(length > 0, length, 1.0)


@register("aggregate", "mean", text="weighted by rows: FedAvg")
def mean(exchange: Exchange, method) -> tuple[Tensor, dict]:
    return (exchange.rows / exchange.rows.sum()).expand_as(exchange.gram), {}


@register("aggregate", "self", text="a fixed weight for oneself, the rest even")
def fixed_self(exchange: Exchange, method) -> tuple[Tensor, dict]:
    clients = exchange.gram.shape[-1]
    return start_weights(clients, method.self_weight, exchange.gram).expand_as(exchange.gram), {}


@register("aggregate", "learned", text="weights learned on the server from the updates (pseudo-gradient)")
def learned(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """Weights by gradient descent on the server, with no data and no extra traffic: a softmax over all
    clients, from the self-weight and the rest even.

    A client's pseudo-gradient is that of its training loss, which its own parameters fit best: given time,
    the weights draw back to the diagonal.
    """
    if exchange.previous is None:
        start = start_weights(exchange.gram.shape[-1], method.self_weight, exchange.gram)
        logits = start.log().expand_as(exchange.gram)
    else:
        logits = descend(exchange, method, torch.ones_like(exchange.gram))
    return logits.softmax(-1), {"logits": logits}


def fixed_own(exchange: Exchange, method, own: Tensor, start: Tensor, others: Tensor) -> tuple[Tensor, dict]:
    """Mixtures whose own weight is given: only what the others get of the rest is learned.

    own     [N, 1] or [U, N, 1]: each client's own weight
    start   [N, N] logits of the first round;  others  bool [.., N, N]: who may get some of the rest
    """
    eye = torch.eye(exchange.gram.shape[-1], device=exchange.gram.device).to(exchange.gram)
    first = exchange.previous is None
    logits = start.expand_as(exchange.gram) if first else descend(exchange, method, 1 - eye)
    weights = logits.masked_fill(~others | (eye > 0), -torch.inf).softmax(-1).nan_to_num()
    # own weight on the diagonal, the rest among the others; who has no others keeps all
    own = torch.where(weights.sum(-1, keepdim=True) > 0, own, 1.0)
    return own * eye + (1 - own) * weights, {"logits": logits}


@register("aggregate", "partners", text="as `learned`, a client's own weight fixed")
def partners(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """As `learned`, but a client's own weight stays: only what the others get of the rest is learned."""
    clients = exchange.gram.shape[-1]
    own = torch.full((clients, 1), method.self_weight).to(exchange.gram)
    everyone = torch.ones_like(exchange.has[:, None, :])
    return fixed_own(exchange, method, own, torch.zeros_like(exchange.gram), everyone)


@register("aggregate", "evidence", text="as `partners`, own weight and start by rows")
def evidence(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """As `partners`, but whoever has many rows trusts itself more and is trusted more to begin with.

    Own weight r / (r + r̄ (1 − s) / s) for a client of r rows, r̄ the mean of those that have this unit, and s
    the self-weight, which is then that of a client of average size; the partners' weights start in proportion
    to their rows.
    """
    rows, s = exchange.rows.to(exchange.gram), method.self_weight
    average = (rows * exchange.has).sum(-1) / exchange.has.sum(-1).clamp(min=1)  # [U]
    own = (rows / (rows + average[:, None] * (1 - s) / s))[..., None]
    return fixed_own(exchange, method, own, rows.log(), exchange.has[:, None, :])


def mixing_weights(exchange: Exchange, method, rule: str = "") -> tuple[Tensor, dict]:
    """The round's weights [U, N, N] by a rule (else the method's `aggregate`), absent clients left out.

    returns  (weights, the rule's memory)
    raises   UserError for a rule that returns another shape, NaN (in its `sources`, too), or rows that do
             not sum to one
    """
    name = rule or method.aggregate
    found = lookup("aggregate", name)(exchange, method)
    shape = tuple(exchange.gram.shape)
    wanted = f"(weights, memory): weights [U, N, N] = {shape}, rows summing to one, and a dict"
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], dict):
        refuse("aggregate", name, found, wanted)
    weights, memory = found
    if not is_finite(weights, shape):
        refuse("aggregate", name, weights, wanted)
    if (gap := float((weights.sum(-1) - 1).abs().max())) > 1e-3:
        raise UserError(
            f"The aggregate rule {name!r}: a row's sum is {gap:.2g} away from one. Wanted: {wanted}."
        )
    sources = memory.get("sources", exchange.sources)
    if sources is not exchange.sources and not is_finite(sources, shape := tuple(exchange.sources.shape)):
        refuse("aggregate", name, sources, f"memory['sources'] [U, N, P] = {shape}, finite")
    return present_only(weights, exchange.present, exchange.has), memory

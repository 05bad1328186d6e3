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
    """What is remembered of a round: delta and sources [U, N, P], weights [U, N, N], the rule's memory.

    While the next round is served, delta is empty, since stacks are large.
    """

    delta: Tensor
    sources: Tensor
    weights: Tensor
    memory: dict


@dataclass(frozen=True)
class Exchange:
    """One round at the server, for U experts (or towers, or gates) of N clients at once.

    received  [U, N, P]  what each client started the round from
    delta     [U, N, P]  what its training changed: trained − received (normalized, where asked)
    mix       [U, N, N]  update = mix @ delta: the coordinated updates, server step included
    sources   [U, N, P]  received + update: what mixtures are made of
    gram      [U, N, N]  inner products of the deltas
    rows      [N]        training rows of each client
    present   [U, N]     bool: has this unit, and its upload was accepted
    has       [U, N]     bool: has this unit (a client may lack a task, and so that task's tower)
    previous  the Past of the round before, or None in the first
    gradients [U, N, P]  gradients of the clients' validation losses at what they received, 0 where a client
              sent none; None in rounds in which nobody was asked for one
    """

    received: Tensor
    delta: Tensor
    mix: Tensor
    sources: Tensor
    gram: Tensor
    rows: Tensor
    present: Tensor
    has: Tensor
    previous: Past | None = field(default=None, repr=False)
    gradients: Tensor | None = field(default=None, repr=False)


def aggregate(sources: Tensor, weights: Tensor) -> Tensor:
    """Every client's own mixture of what the clients hold.

    sources  [..., N, P],  weights [..., N, N], rows summing to one  →  [..., N, P]
    raises   ValueError where their numbers of clients differ

    Source: PF-MSMTrec, as a summary tells it
    Paper: the server "optimize[s] client weights during parameter aggregation", for experts and for towers
    Ours: two readings. Here: one number per pair of clients and unit, N×N (`pf_msmtrec`). The likelier one: a
        number per client, as FedHCA2's α and as "client weights" in the same laboratory's FMTL-Bench
        (`pf_msmtrec_hca`, by the rule `fedhca2`)
    Fidelity: unknown
    """
    if weights.shape[-1] != sources.shape[-2]:
        raise ValueError(f"{weights.shape[-1]} weights per client for {sources.shape[-2]} sources")
    return weights @ sources


def present_only(weights: Tensor, present: Tensor, receives: Tensor) -> Tensor:
    """Take absent clients out of every mixture: their columns become 0, rows sum to one again.

    A client that does not receive, or is left with nobody, keeps what it has.
    weights [U, N, N], present and receives [U, N] bool  →  [U, N, N]
    """
    weights = weights * present[:, None, :] * receives[:, :, None]
    total = weights.sum(-1, keepdim=True)
    alone = torch.eye(weights.shape[-1], device=weights.device).to(weights)
    return torch.where(total > 0, weights / torch.where(total > 0, total, 1.0), alone)


def cosines(gram: Tensor) -> Tensor:
    """Cosines [..., N, N] between updates from their inner products; 0 beside an update of length 0."""
    length = gram.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()
    product = length[..., :, None] * length[..., None, :]
    return torch.where(product > 0, gram / torch.where(product > 0, product, 1.0), 0.0).clamp(-1, 1)


@register("aggregate", "mean", text="weighted by rows: FedAvg")
def mean(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """The same mixture for everybody.

    Source: FedAvg (McMahan et al., AISTATS 2017)
    Paper: the mean of the clients' parameters, weighted by their rows
    Ours: the same
    Fidelity: same
    """
    return (exchange.rows / exchange.rows.sum()).expand_as(exchange.gram), {}


mean.common = True  # one model for all: whoever was absent gets it, too


def kinship(helped: Tensor, own: Tensor) -> Tensor:
    """How much each client's steps help another as that one's own do: [N, N] in [0, 1], symmetric.

    helped  [N, N]  by how much client m's steps lowered client n's validation loss, in first order
    own     [N, N]  by how much n's own steps did, counted where m's were: on the same units and rounds

    ρ_nm = sqrt(C_nm⁺ C_mn⁺ / (C_nn C_mm)): lengths of steps and of gradients cancel, as in a cosine.
    """
    helped, own = helped.clamp(min=0), own.clamp(min=0)
    scale = (own * own.T).sqrt()
    found = (helped * helped.T).sqrt() / torch.where(scale > 0, scale, 1.0)
    return torch.where(scale > 0, found, 0.0).clamp(max=1).fill_diagonal_(1.0)


@register("aggregate", "kin")
def kin(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """FedAvg among kin: clients whose steps lower each other's validation loss

    In the first `kin_rounds` rounds clients also send g_n, the gradient of their validation loss at what they
    received. C_nm adds up −⟨g_n, Δ_m⟩ over these rounds and all units. Δ was trained on other rows, so the
    noise of the two is independent, given what was received. Kinship ρ (see `kinship`) becomes a share
    s = ρ³ / (ρ³ + (1 − ρ)³), one's own is 1, and a client's mixture is weighted by s · rows: all alike gives
    FedAvg, groups FedAvg in each; a client like no other, or without evidence, keeps these units at home.

    Source: PF-MSMTrec, as a summary tells it; relatives: FedFomo (Zhang et al., ICLR 2021), which asks
        whether another's model lowers one's own validation loss, clustered learning (Sattler et al.)
    Paper: the server "optimize[s] client weights during parameter aggregation"
    Ours: whether another's steps lower one's own validation loss, both ways; dividing by sqrt(C_nn C_mm) is
        Spearman's correction of a correlation for noise (1904)
    Fidelity: own
    """
    nothing = dict.fromkeys(("helped", "own"), torch.zeros_like(exchange.gram[0]))  # [N, N]
    memory = exchange.previous.memory if exchange.previous else nothing
    helped, own = memory["helped"], memory["own"]
    if exchange.gradients is not None:
        found = -(exchange.gradients @ exchange.delta.transpose(-2, -1))  # [U, N, N]
        both = exchange.present[:, :, None] & exchange.present[:, None, :]
        helped = helped + (found * both).sum(0)
        own = own + (found.diagonal(dim1=-2, dim2=-1)[..., None] * both).sum(0)
    alike = kinship(helped, own)
    weights = alike**3 / (alike**3 + (1 - alike) ** 3) * exchange.rows
    weights = weights / weights.sum(-1, keepdim=True)
    return weights.expand_as(exchange.gram), {"helped": helped, "own": own}


kin.asks = True  # for validation gradients


def mixing_weights(exchange: Exchange, method, rule: str = "") -> tuple[Tensor, dict]:
    """The round's weights [U, N, N] by a rule (else the method's `aggregate`), absent clients left out.

    returns  (weights, the rule's memory)
    raises   UserError for a rule that returns another shape, NaN (in its `sources`, too), or rows that do
             not sum to one
    """
    name = rule or method.aggregate
    found = lookup("aggregate", name)(exchange, method)
    shape = tuple(exchange.gram.shape)
    wanted = f"(weights, memory): weights [U, N, N] = {shape}, each client's summing to one, and a dict"
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], dict):
        refuse("aggregate", name, found, wanted)
    weights, memory = found
    if not is_finite(weights, shape):
        refuse("aggregate", name, weights, wanted)
    if (gap := float((weights.sum(-1) - 1).abs().max())) > 1e-3:
        raise UserError(
            f"The aggregate rule {name!r}: a client's sum is {gap:.2g} away from one. Wanted: {wanted}."
        )
    sources = memory.get("sources", exchange.sources)
    if sources is not exchange.sources and not is_finite(sources, shape := tuple(exchange.sources.shape)):
        refuse("aggregate", name, sources, f"memory['sources'] [U, N, P] = {shape}, finite")
    # a client's own mixture is kept through a round in which it was absent
    common = getattr(lookup("aggregate", name), "common", False)
    return present_only(weights, exchange.present, exchange.has if common else exchange.present), memory

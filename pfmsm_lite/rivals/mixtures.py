"""Mixtures by the pseudo-gradient: the server learns whom a client's mixture is made of, from updates alone.

Reconstruction. Its parts are published: weights over clients from the difference of what was sent and what
came back (FedAPA, Sun et al., IJCAI 2025; a share in FedHCA2's code), and per client and layer (pFedLA, Ma
et al., CVPR 2022).
"""

import torch
from torch import Tensor

from pfmsm_lite.aggregation import Exchange
from pfmsm_lite.registry import register


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


@register("aggregate", "self", text="a fixed weight for oneself, the rest even")
def fixed_self(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """A fixed own weight, the rest even.

    Ours: the control of `partners`: nothing is learned
    Fidelity: own
    """
    clients = exchange.gram.shape[-1]
    return start_weights(clients, method.self_weight, exchange.gram).expand_as(exchange.gram), {}


@register("aggregate", "learned", text="weights learned on the server from the updates (pseudo-gradient)")
def learned(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """Weights by gradient descent on the server, with no data and no extra traffic: a softmax over all
    clients, from the self-weight and the rest even.

    A client's pseudo-gradient is that of its training loss, which its own parameters fit best: given time,
    the weights draw back to the diagonal.

    Source: FedAPA (Sun et al., IJCAI 2025), pFedLA (Ma et al., CVPR 2022), FedHCA2's code
    Paper: FedAPA: W_n = Σ A_nm W_m, gradient of A from sent − trained, SGD of rate 0.01 and momentum 0.9,
        clamped to [0, 1], own weight set to 1 before normalizing; pFedLA: such weights per layer, made by
        hypernetworks from the updates
    Ours: that gradient per expert and tower, chained through a softmax, in steps of a fixed length
    Fidelity: differs
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
    # own weight on the diagonal, the rest among the others; a client without others keeps all
    own = torch.where(weights.sum(-1, keepdim=True) > 0, own, 1.0)
    return own * eye + (1 - own) * weights, {"logits": logits}


@register("aggregate", "partners", text="as `learned`, a client's own weight fixed")
def partners(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """As `learned`, but a client's own weight stays: only what the others get of the rest is learned.

    Source: FedAPA (Sun et al., IJCAI 2025)
    Paper: the weight of oneself is set to 1 before every row is normalized, so that weights do not drift home
    Ours: a client's own weight is a fixed share of the row, softmax and steps as in `learned`
    Fidelity: differs
    """
    clients = exchange.gram.shape[-1]
    own = torch.full((clients, 1), method.self_weight).to(exchange.gram)
    others = exchange.present[:, None, :]
    return fixed_own(exchange, method, own, torch.zeros_like(exchange.gram), others)


@register("aggregate", "evidence", text="as `partners`, own weight and start by rows")
def evidence(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """As `partners`, but whoever has many rows trusts itself more and is trusted more to begin with.

    Own weight r / (r + r̄ (1 − s) / s) for a client of r rows, r̄ the mean of those that have this unit, and s
    the self-weight, which is then that of a client of average size; the partners' weights start in proportion
    to their rows.

    Ours: a heuristic: shrinkage by the number of rows
    Fidelity: own
    """
    rows, s = exchange.rows.to(exchange.gram), method.self_weight
    average = (rows * exchange.has).sum(-1) / exchange.has.sum(-1).clamp(min=1)  # [U]
    own = (rows / (rows + average[:, None] * (1 - s) / s))[..., None]
    return fixed_own(exchange, method, own, rows.log(), exchange.present[:, None, :])

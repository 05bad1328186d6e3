"""Rules of other methods, in the tables of the method's own: aggregation and coordination."""

import numpy as np
import torch
from torch import Tensor

from pfmsm_lite.aggregation import Exchange, cosines
from pfmsm_lite.client import Client
from pfmsm_lite.registry import lookup, register


def cosine(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """Softmax of the cosines between the clients' updates.

    Ours: a simple yardstick, from no single paper
    Fidelity: own
    """
    return (cosines(exchange.gram) / method.temperature).softmax(-1), {}


def fedamp(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """Attention by distance (after FedAMP, Huang et al., AAAI 2021): softmax of −distance²/(τ · their mean).

    Differs from the source: there a client keeps its own model, predicts with it, and is only drawn towards
    its mixture; here it starts the round from the mixture and is evaluated with it. One's own weight follows
    from the softmax, 1/(1 + Σ e), where the source has 1 − α/σ · Σ e with constants α and σ: α/σ differs per
    client here. One attention per expert, gate and tower, not one for the whole model. The scale of the
    distances is their own mean, the zeros of the diagonal among them, not a constant to tune: at one
    temperature, clients at equal distances keep less of their own weight the more they are.

    Source: FedAMP (Huang et al., AAAI 2021)
    Paper: client i keeps its model and is drawn towards a mixture u_i, other weights A'(distance²), own
        weight what is left to one; one attention for the whole model
    Ours: a client restarts from u_i and is evaluated with it; softmax, own distance 0 included; one attention
        per expert, task and gate; scale: the mean distance
    Fidelity: differs
    """
    exact = "donot_use_mm_for_euclid_dist"
    squared = torch.cdist(exchange.sources, exchange.sources, compute_mode=exact).square()
    pairs = (exchange.present[:, :, None] & exchange.present[:, None, :]).to(squared)
    mean = (pairs * squared).sum((-2, -1), keepdim=True) / pairs.sum((-2, -1), keepdim=True).clamp(min=1)
    scale = method.temperature * mean
    return (-squared / torch.where(scale > 0, scale, 1.0)).softmax(-1), {}


def helped(exchange: Exchange, method, extra: Tensor) -> tuple[Tensor, dict]:
    """Everyone keeps its own update and adds `extra` [U, N, P], as much of it as has helped so far.

    A client's share of it starts at 0.1 and stays in [0, 1]; it grows when the next round of training goes on
    in the direction of what was added (the pseudo-gradient of the share), and shrinks when it goes back.
    Nothing is mixed: the weights are the identity, and memory["sources"] takes the place of the sources.
    """
    extra = extra * exchange.present[..., None]  # absent clients get nothing
    share = torch.full_like(exchange.delta[..., :1], 0.1)
    if exchange.previous is not None:
        last = exchange.previous.memory
        inner = (exchange.delta * last["extra"]).sum(-1, keepdim=True)
        length = exchange.delta.norm(dim=-1, keepdim=True) * last["extra"].norm(dim=-1, keepdim=True)
        cosine = inner / torch.where(length > 0, length, 1.0)
        share = (last["share"] + method.mixing_step * cosine).clamp(0, 1)
    sources = exchange.received + exchange.delta + share * extra
    alone = torch.eye(exchange.gram.shape[-1], device=exchange.gram.device).to(exchange.gram)
    return alone.expand_as(exchange.gram), {"share": share, "extra": extra, "sources": sources}


def fedhca2(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """Hyper conflict-averse aggregation of encoders: own update + share · common update.

    FedHCA2 (Lu et al., CVPR 2024), as in its figure 2 and its published code. Differs from the source: one
    common update per expert, not one for the whole encoder; clients with the same data set and tasks do not
    get the mean of their own updates first ("homo aggregation"); the share moves by `mixing_step` times a
    cosine, not by SGD with momentum and weight decay on the raw inner product; one share per expert.

    Source: FedHCA2 (Lu et al., CVPR 2024, arXiv 2311.13250), figure 2 and code
    Paper: θ_n + Δ_n + α_n·Ũ, one Ũ by CAGrad over the whole encoder; α_n starts at 0.1, in [0, 1], by SGD of
        rate 0.01, momentum 0.9; clients of equal data and tasks are averaged first
    Ours: the same step, one Ũ and one share per expert; the share moves by `mixing_step` times a cosine;
        nobody is averaged first
    Fidelity: differs
    """
    return helped(exchange, method, exchange.mix @ exchange.delta)


def attention(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """Hyper cross attention of decoders: own update + share · softmax(Δ Δᵀ / √P) Δ.

    FedHCA2, as above. Differs from the source: one attention and one share per tower, not per layer; between
    the clients' towers of one task, not between those of all tasks; the share moves as in `fedhca2`.

    Source: FedHCA2 (Lu et al., CVPR 2024, arXiv 2311.13250), figure 2 and code
    Paper: for every layer of a decoder Δ + β·softmax(Δ Δᵀ/√d)Δ, over the decoders of all tasks and clients
    Ours: for every tower as a whole, over the clients' towers of its task; β moves as `fedhca2`'s share
    Fidelity: differs
    """
    scores = exchange.gram / exchange.delta.shape[-1] ** 0.5
    scores = scores.masked_fill(~exchange.present[:, None, :], -torch.inf)
    return helped(exchange, method, scores.softmax(-1).nan_to_num() @ exchange.delta)


def fedapa(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """Weights over clients by SGD on the server: W_n = Σ A_nm W_m, the gradient of A_n from (sent − trained).

        ∂L_n/∂A_nm = ⟨sent_n − trained_n, W_m⟩;   velocity ← 0.9 velocity + gradient
        A ← clamp(A − step · velocity, 0, 1);     A_nn ← 1;   A_n ← A_n / Σ_m A_nm

    FedAPA (Sun et al., IJCAI 2025), by its published code: everyone starts with itself alone, one matrix for
    the whole body (here: all experts), `mixing_step` 0.01; gates and towers stay at home, as its head does.
    Differs from the source: all clients take their turn at once (there one after the other, each mixture made
    of what those before have just sent, and every row's velocity counts in every turn); Adam at the clients.

    Source: FedAPA (Sun et al., IJCAI 2025), its published code
    Paper: W_n = Σ A_nm W_m for the whole body, A by SGD (0.01, momentum 0.9) on (sent − trained), clamped,
        own weight 1 before normalizing; clients in turn
    Ours: the same, but all clients at once; Adam at the clients
    Fidelity: differs
    """
    alone = torch.eye(exchange.gram.shape[-1], device=exchange.gram.device).to(exchange.gram)
    weights, velocity = alone, torch.zeros_like(alone)
    if exchange.previous is not None:
        last = exchange.previous
        # −Δ_n stands for the gradient at the mixture, over all units: [N, N]
        sources = last.sources * exchange.has[..., None]  # a client that lacks a unit has no say in it
        gradient = -(exchange.delta @ sources.transpose(-2, -1)).sum(0)
        velocity = 0.9 * last.memory["velocity"] + gradient
        weights = (last.memory["weights"] - method.mixing_step * velocity).clamp(0, 1)
        weights = torch.where(alone > 0, 1.0, weights)
        weights = weights / weights.sum(1, keepdim=True)
    return weights.expand_as(exchange.gram), {"weights": weights, "velocity": velocity}


def cagrad(gram: Tensor, share: Tensor, radius: float, rescale: str) -> Tensor:
    """CAGrad over all clients (Liu et al., NeurIPS 2021): one update for everybody.

    min over the simplex of ⟨g_w, g_0⟩ + radius·‖g_0‖·‖g_w‖; small and convex: scipy solves it.

    Source: CAGrad (Liu et al., NeurIPS 2021); FedHCA2's code for encoders
    Paper: one update for all tasks (clients); FedHCA2 then adds a share of it to each client's own update
    Ours: the same with aggregate `fedhca2`, one problem per expert. With another rule it takes the place of
        everybody's update: an ablation, and not FedHCA2
    Fidelity: same
    """
    rows = [
        weights_of_all(matrix, share, radius) for matrix in gram.cpu().double().reshape(-1, *gram.shape[-2:])
    ]
    common = torch.as_tensor(np.array(rows)).to(gram).reshape(*gram.shape[:-1])
    moved = torch.einsum("...n,...nm,...m->...", common, gram, common).clamp(min=0).sqrt()
    length = torch.einsum("n,...nm,m->...", share, gram, share).clamp(min=0).sqrt()
    common = common * lookup("rescale", rescale)(length, moved, radius)[..., None]
    return common[..., None, :].expand_as(gram)


def weights_of_all(gram: Tensor, share: Tensor, radius: float) -> np.ndarray:
    """CAGrad's update as weights [N] of the clients' updates, from their inner products [N, N]."""
    from scipy.optimize import minimize  # slow to import, and only needed here

    matrix, even = gram.numpy(force=True), share.cpu().double().numpy(force=True)
    matrix = matrix / max(float(np.trace(matrix)), 1e-30)
    length = radius * np.sqrt(max(even @ matrix @ even, 0.0))

    def dual(w):
        norm = np.sqrt(max(w @ matrix @ w, 1e-30))
        return w @ matrix @ even + length * norm, matrix @ even + length * (matrix @ w) / norm

    found = minimize(
        dual,
        even,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, float(there)) for there in even > 0],
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 200},
    )
    norm = np.sqrt(max(found.x @ matrix @ found.x, 0.0))
    return even + (length / norm * found.x if norm > 1e-12 else 0.0)


def pcgrad(gram: Tensor, share: Tensor, radius: float, rescale: str) -> Tensor:
    """PCGrad (Yu et al., NeurIPS 2020): project each update against the others' ORIGINAL updates.

    Source: PCGrad (Yu et al., NeurIPS 2020)
    Paper: the others in random order, gradients of tasks
    Ours: the others in the order of the list, updates of clients
    Fidelity: differs
    """
    clients = gram.shape[-1]
    coefficients = torch.eye(clients, device=gram.device).to(gram).expand_as(gram).clone()
    for other in range(clients):
        inner = coefficients @ gram[..., other, :, None]  # [..., N, 1]: ⟨current update, Δ_other⟩
        norm = gram[..., other, other, None, None]
        conflict = torch.where((norm > 0) & (inner < 0) & (share[other] > 0), inner / norm, 0.0)
        conflict[..., other, :] = 0
        coefficients[..., other] -= conflict[..., 0]
    return coefficients


def local_first(every: set, home: set, heads: set) -> list[set]:
    """The order of FedRep (Collins et al., ICML 2021): the head at home first, then the shared body.

    Differs from the source: as many epochs for the head as for the body, unless `head_epochs` says more (its
    scripts: ten to one, five to one); the head is not trained anew before the last test; Adam, not SGD.
    """
    return [home, every - home]


def heads_first(every: set, home: set, heads: set) -> list[set]:
    return [heads, every - heads]


def heads_last(every: set, home: set, heads: set) -> list[set]:
    return [every, heads]


def divided(power: float):
    """A factor on coordinated updates: 1 / (1 + radius²) to a power."""
    return lambda length, moved, radius: torch.full_like(length, (1 + radius**2) ** -power)


register("rescale", "none", lambda a, moved, c: torch.ones_like(a), "leave the length as it comes out")
register("rescale", "sqrt", divided(0.5), "divide by sqrt(1 + radius^2)")
register("rescale", "cagrad", divided(1), "divide by 1 + radius^2")
register("phases", "local_first", local_first, "an epoch for what stays at home, then one for what is shared")
register("phases", "heads_first", heads_first, "an epoch for home, gates and towers, then one for the rest")
register("phases", "heads_last", heads_last, "an epoch for everything, then one for home, gates and towers")
register("aggregate", "cosine", cosine, "softmax of the updates' similarity")
register("aggregate", "fedamp", fedamp, "attention by distance between models, after FedAMP")
register(
    "aggregate", "fedapa", fedapa, "weights over clients by SGD on the server, one's own pinned, as FedAPA"
)
register(
    "aggregate",
    "fedhca2",
    fedhca2,
    "each client adds the common update to its own, as much of it as has helped (encoders)",
)
register(
    "aggregate",
    "attention",
    attention,
    "each client adds the updates that resemble its own, as much as has helped (decoders)",
)
register("coordinate", "cagrad", cagrad, "one common update by CAGrad over all clients, as in FedHCA2")
register("coordinate", "pcgrad", pcgrad, "project away what conflicts with another client's update")
register("optimizer_state", "reset", Client.forget_optimizer, "each round starts with fresh Adam moments")

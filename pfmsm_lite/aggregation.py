"""Personalized aggregation: who learns from whom, and how much."""

from dataclasses import dataclass, field

import torch

from pfmsm_lite.errors import choose


@dataclass
class Exchange:
    """One round at the server, for U experts (or towers, or gates) of N clients at once.

    received  [U, N, P]  what each client started the round from
    delta     [U, N, P]  what its training changed: trained − received (normalized, where asked)
    update    [U, N, P]  the coordinated update, server step included
    gram      [U, N, N]  inner products of the deltas
    rows      [N]        training rows of each client
    present   [U, N]     bool: has this unit, and its upload was accepted
    has       [U, N]     bool: has this unit (a client may lack a task, and so that task's tower)
    previous  the Exchange of the round before, or None; sources [U, N, P] and weights [U, N, N] were its
              ingredients and its mixtures
    """

    received: torch.Tensor | None = None
    delta: torch.Tensor | None = None
    update: torch.Tensor | None = None
    gram: torch.Tensor | None = None
    rows: torch.Tensor | None = None
    present: torch.Tensor | None = None
    has: torch.Tensor | None = None
    previous: "Exchange | None" = None
    sources: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    memory: dict = field(default_factory=dict)  # what a rule wants to find again next round


def aggregate(sources, weights):
    """Every client's own mixture of what the clients hold.

    sources  [..., N, P],  weights [..., N, N], rows summing to one  →  [..., N, P]

    PF-MSMTrec, section 3.3.3 (the server optimizes client weights: the paper; the rules: reconstruction).
    """
    if weights.shape[-1] != sources.shape[-2]:
        raise ValueError(f"{weights.shape[-1]} weights a client for {sources.shape[-2]} sources")
    return weights @ sources


def present_only(weights, present, has):
    """Take absent clients out of every mixture: their columns become 0, rows sum to one again.

    A client that lacks this unit, or that is left with nobody, keeps what it has.
    weights [U, N, N], present and has [U, N] bool  →  [U, N, N]
    """
    weights = weights * present[:, None, :] * has[:, :, None]
    total = weights.sum(-1, keepdim=True)
    alone = torch.eye(weights.shape[-1], device=weights.device).to(weights)
    return torch.where(total > 0, weights / torch.where(total > 0, total, 1.0), alone)


def start_weights(clients, self_weight, like):
    """[N, N]: each client's own weight, the rest even. One client: 1."""
    if clients == 1:
        return torch.ones(1, 1).to(like)
    even = torch.full((clients, clients), (1 - self_weight) / (clients - 1))
    return even.fill_diagonal_(self_weight).to(like)


def _mean(exchange, method):
    return (exchange.rows / exchange.rows.sum()).expand_as(exchange.gram)


def _self(exchange, method):
    clients = exchange.gram.shape[-1]
    return start_weights(clients, method.self_weight, exchange.gram).expand_as(exchange.gram)


def _cosine(exchange, method):
    return (cosines(exchange.gram) / method.temperature).softmax(-1)


def _fedamp(exchange, method):
    """Attention by distance (after FedAMP, Huang et al., AAAI 2021): softmax of −distance²/(τ · their mean).

    Differs from the source: the scale of the distances is their own mean, not a constant to tune.
    """
    exact = "donot_use_mm_for_euclid_dist"
    squared = torch.cdist(exchange.sources, exchange.sources, compute_mode=exact).square()
    pairs = (exchange.present[:, :, None] & exchange.present[:, None, :]).to(squared)
    mean = (pairs * squared).sum((-2, -1), keepdim=True) / pairs.sum((-2, -1), keepdim=True).clamp(min=1)
    scale = method.temperature * mean
    return (-squared / torch.where(scale > 0, scale, 1.0)).softmax(-1)


def pseudo_gradient(delta, sources):
    """∂L_n/∂A_nm ≈ −⟨Δ_n, source_m⟩ [..., N, N], for mixtures W_n = sum_m A_nm source_m [..., N, P].

    Client n left its mixture and arrived at W_n + Δ_n, so −Δ_n stands for its loss gradient there. The
    sources are centred first: through the softmax that changes nothing but the numerics.
    """
    return -delta @ (sources - sources.mean(-2, keepdim=True)).transpose(-2, -1)


def softmax_chain(gradient, weights):
    """∂L/∂logits from ∂L/∂weights [..., N, N] where weights = softmax(logits), row by row."""
    return weights * (gradient - (weights * gradient).sum(-1, keepdim=True))


def _descend(exchange, method, free):
    """Logits after a step of fixed length down the pseudo-gradient, row by row; free [N, N]: 1 if learned."""
    last = exchange.previous
    weights = last.weights * free
    weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)
    gradient = softmax_chain(pseudo_gradient(exchange.delta, last.sources) * free, weights)
    length = gradient.norm(dim=-1, keepdim=True)
    return last.memory["logits"] - method.mixing_step * gradient / torch.where(length > 0, length, 1.0)


def _learned(exchange, method):
    """Weights by gradient descent on the server, with no data and no extra traffic: a softmax over all
    clients, from the self-weight and the rest even.

    A client's pseudo-gradient is that of its training loss, which its own parameters fit best: given time,
    the weights draw back to the diagonal.
    """
    if exchange.previous is None:
        start = start_weights(exchange.gram.shape[-1], method.self_weight, exchange.gram)
        logits = start.log().expand_as(exchange.gram)
    else:
        logits = _descend(exchange, method, torch.ones_like(exchange.gram))
    exchange.memory["logits"] = logits
    return logits.softmax(-1)


def _fixed_own(exchange, method, own, start, others):
    """Mixtures whose own weight is given: only what the others get of the rest is learned.

    own     [N, 1] or [U, N, 1]: each client's own weight
    start   [N, N] logits of the first round;  others  bool [.., N, N]: who may get some of the rest
    """
    eye = torch.eye(exchange.gram.shape[-1], device=exchange.gram.device).to(exchange.gram)
    first = exchange.previous is None
    logits = start.expand_as(exchange.gram) if first else _descend(exchange, method, 1 - eye)
    exchange.memory["logits"] = logits
    weights = logits.masked_fill(~others | (eye > 0), -torch.inf).softmax(-1)
    return own * eye + (1 - own) * weights.nan_to_num()  # one client has no others


def _partners(exchange, method):
    """As `learned`, but a client's own weight stays: only what the others get of the rest is learned."""
    clients = exchange.gram.shape[-1]
    own = torch.full((clients, 1), method.self_weight).to(exchange.gram)
    everyone = torch.ones_like(exchange.has[:, None, :])
    return _fixed_own(exchange, method, own, torch.zeros_like(exchange.gram), everyone)


def _evidence(exchange, method):
    """As `partners`, but whoever has many rows trusts itself more and is trusted more to begin with.

    Own weight r / (r + r̄ (1 − s) / s) for a client of r rows, r̄ the mean of those that have this unit, and s
    the self-weight, which is then that of a client of average size; the partners' weights start in proportion
    to their rows.
    """
    rows, s = exchange.rows.to(exchange.gram), method.self_weight
    average = (rows * exchange.has).sum(-1) / exchange.has.sum(-1).clamp(min=1)  # [U]
    own = (rows / (rows + average[:, None] * (1 - s) / s))[..., None]
    return _fixed_own(exchange, method, own, rows.log(), exchange.has[:, None, :])


def _helped(exchange, method, extra):
    """Everyone keeps its own update and adds `extra` [U, N, P], as much of it as has helped so far.

    A client's share of it starts at 0.1 and stays in [0, 1]; it grows when the next round of training goes on
    in the direction of what was added (the pseudo-gradient of the share), and shrinks when it goes back.
    """
    extra = extra * exchange.present[..., None]  # who is not there gets nothing
    share = torch.full_like(exchange.delta[..., :1], 0.1)
    if exchange.previous is not None:
        last = exchange.previous.memory
        inner = (exchange.delta * last["extra"]).sum(-1, keepdim=True)
        length = exchange.delta.norm(dim=-1, keepdim=True) * last["extra"].norm(dim=-1, keepdim=True)
        cosine = inner / torch.where(length > 0, length, 1.0)
        share = (last["share"] + method.mixing_step * cosine).clamp(0, 1)
    exchange.memory.update(share=share, extra=extra)
    exchange.sources = exchange.received + exchange.delta + share * extra
    alone = torch.eye(exchange.gram.shape[-1], device=exchange.gram.device).to(exchange.gram)
    return alone.expand_as(exchange.gram)


def _fedhca2(exchange, method):
    """Hyper conflict-averse aggregation of encoders: own update + share · common update.

    FedHCA2 (Lu et al., CVPR 2024), as in its published code; the paper was not at hand. Differs from the
    source: the share moves by `mixing_step` times a cosine, not by an optimizer on the raw inner product.
    """
    return _helped(exchange, method, exchange.update)


def _attention(exchange, method):
    """Hyper cross attention of decoders: own update + share · softmax(Δ Δᵀ / √P) Δ.

    FedHCA2, as above. Differs from the source: one attention and one share per tower, not per layer; between
    the clients' towers of one task, not between those of all tasks.
    """
    scores = exchange.gram / exchange.delta.shape[-1] ** 0.5
    scores = scores.masked_fill(~exchange.present[:, None, :], -torch.inf)
    return _helped(exchange, method, scores.softmax(-1).nan_to_num() @ exchange.delta)


AGGREGATE = {
    "mean": _mean,
    "self": _self,
    "cosine": _cosine,
    "fedamp": _fedamp,
    "learned": _learned,
    "partners": _partners,
    "evidence": _evidence,
    "fedhca2": _fedhca2,
    "attention": _attention,
}


def mixing_weights(exchange, method, rule=None):
    """The round's weights [U, N, N] by a rule (else the method's `aggregate`), absent clients left out."""
    mix = AGGREGATE[choose("aggregate", rule or method.aggregate, AGGREGATE)]
    return present_only(mix(exchange, method), exchange.present, exchange.has)


def cosines(gram):
    """Cosines [..., N, N] between updates from their inner products; 0 beside an update of length 0."""
    length = gram.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()
    product = length[..., :, None] * length[..., None, :]
    return torch.where(product > 0, gram / torch.where(product > 0, product, 1.0), 0.0).clamp(-1, 1)


class EmbeddingExchange:
    """The shared embedding table. Only rows that some client's training rows use are ever touched.

    table    [V, K]  the server's table
    index    per client [R_n]: rows of the shared table that this client holds
    counts   per client [R_n]: how often its training rows use each of them
    sizes    per client: its training rows
    """

    def __init__(self, table, index, counts, sizes, rule, evidence=20.0):
        self.table, self.index, self.counts, self.sizes = table, index, counts, sizes
        self.rule, self.evidence = rule, evidence
        self._shares = {}

    def shares(self, present):
        """Per client [R_n]: what its row counts for in the new shared row.

        `rows`: by client size; a client that never used a row still votes, for what it was sent.
        `used`, `personal`: by uses. What is missing to a sum of one stays with the old row.
        """
        key = tuple(present)
        if key not in self._shares:
            here = [float(p) for p in present]
            if self.rule == "sum":
                shares = [h * (count > 0) for h, count in zip(here, self.counts, strict=True)]
            elif self.rule == "rows":
                total = max(sum(h * size for h, size in zip(here, self.sizes, strict=True)), 1.0)
                shares = [
                    (count > 0) * (h * size / total)
                    for h, size, count in zip(here, self.sizes, self.counts, strict=True)
                ]
            else:
                total = torch.zeros(len(self.table), device=self.table.device)
                for h, index, count in zip(here, self.index, self.counts, strict=True):
                    total.index_add_(0, index, h * count)
                shares = [
                    h * count / total[index].clamp(min=1)
                    for h, index, count in zip(here, self.index, self.counts, strict=True)
                ]
            self._shares = {key: [share[:, None] for share in shares]}
        return self._shares[key]

    def step(self, trained, present, server_step=1.0):
        """Average the clients' rows [R_n, K] into the table; returns each client's new rows [R_n, K]."""
        shares = self.shares(present)
        left = torch.ones(len(self.table), 1, device=self.table.device)
        moved = torch.zeros_like(self.table)
        for index, rows, share in zip(self.index, trained, shares, strict=True):
            left.index_add_(0, index, -share)
            moved.index_add_(0, index, share * rows)
        average = left * self.table + moved
        self.table = average if server_step == 1 else torch.lerp(self.table, average, server_step)
        received = [self.table[index] for index in self.index]
        if self.rule != "personal":
            return received
        trust = [(count / (count + self.evidence))[:, None] for count in self.counts]
        return [
            torch.lerp(shared, own, t * float(here))
            for shared, own, t, here in zip(received, trained, trust, present, strict=True)
        ]

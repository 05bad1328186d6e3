"""The server: normalize → coordinate → aggregate, on one flat matrix [U, N, P] per kind of parameter."""

import math

import torch

from pfmsm_lite.aggregation import Exchange, aggregate, cosines, mixing_weights
from pfmsm_lite.coordination import coefficients
from pfmsm_lite.mmoe import parameter_groups
from pfmsm_lite.normalization import normalize

PER_TASK = ("gate", "tower", "expert.task")
PER_EXPERT = ("expert.scenario",)
NORMALIZED = COORDINATED = ("expert.scenario",)  # the stages that the paper has for experts only


class Block:
    """One group of parameters that leaves the clients: how it is packed, and its state at the server.

    A model's tensors of this group become U rows of P numbers: one row per expert (expert.scenario), one per
    task (gates, towers, expert.task), or a single one.
    """

    def __init__(self, group, policy, clients, tasks):
        self.group, self.policy, self.clients = group, policy, clients
        named = [parameter_groups(client.model)[group] for client in clients]
        self.tensors = [list(tensors.values()) for tensors in named]
        self.shapes = {name: tuple(tensor.shape) for name, tensor in named[0].items()}
        first = self.tensors[0]
        split = group in PER_TASK + PER_EXPERT
        self.units = first[0].shape[0] if split else 1
        self.segments = [tensor.numel() // self.units for tensor in first]
        labels = {"gate": tasks, "tower": tasks, "expert.task": tasks}.get(group, range(self.units))
        head = group.removesuffix(".scenario")
        self.labels = [f"{head} {label}" for label in labels] if split else [group]
        has = torch.stack([client.has_task for client in clients], 1)  # [T, N]
        self.has = has if group in PER_TASK else torch.ones(self.units, len(clients), dtype=torch.bool)
        self.has = self.has.to(first[0].device)
        self.previous = None  # last round's Exchange
        self.received = self.pack()

    def upload(self, client):
        """What one client sends of this block: [(name, shape, bytes)]; of a task that it lacks, nothing."""
        units = int(self.has[:, client].sum())
        shapes = {name: (units, *s[1:]) if self.units > 1 else s for name, s in self.shapes.items()}
        return [(name, shape, 4 * math.prod(shape)) for name, shape in shapes.items() if units]

    @torch.no_grad()
    def pack(self, tensors=None):
        """Clients' tensors → [U, N, P]."""
        tensors = tensors or self.tensors
        device = tensors[0][0].device
        stack = torch.empty(self.units, len(tensors), sum(self.segments), device=device)
        for n, own in enumerate(tensors):
            start = 0
            for tensor, size in zip(own, self.segments, strict=True):
                stack[:, n, start : start + size] = tensor.reshape(self.units, size)
                start += size
        return stack

    @torch.no_grad()
    def unpack(self, stack):
        """[U, N, P] → the clients' tensors, in place."""
        for n, own in enumerate(self.tensors):
            for tensor, part in zip(own, stack[:, n].split(self.segments, dim=-1), strict=True):
                tensor.copy_(part.reshape(tensor.shape))

    def state(self):
        last = self.previous
        memory = (
            {}
            if last is None
            else {"sources": last.sources, "update": last.update, "weights": last.weights, **last.memory}
        )
        return {"received": self.received, "last": memory}

    def load(self, state):
        self.received, last = state["received"], dict(state["last"])
        if last:
            kept = {key: last.pop(key) for key in ("sources", "update", "weights")}
            self.previous = Exchange(**kept, memory=last)


@torch.no_grad()
def serve(block, trained, accepted, rows, method, clock):
    """One block's round at the server: what every client gets back, and what the history keeps.

    trained   [U, N, P] the uploads;  accepted [N] bool;  rows [N] training rows;  clock(stage) times a stage
    returns   (mixtures [U, N, P], record of tensors on [U, ...])

    PF-MSMTrec, section 3.3 (the order of the stages: the paper).
    """
    received, present = block.received, block.has & accepted
    kind = method.normalize if block.group in NORMALIZED and block.policy == "personalized" else "none"
    with clock("normalize"):
        moved = torch.zeros(trained.shape[:2], device=trained.device)
        undo = None
        if kind != "none":
            normalized, undo = normalize(trained, kind, block.segments)
            moved = (normalized - trained).norm(dim=-1) / trained.norm(dim=-1).clamp(min=1e-12)
            received, trained = undo.apply(received), normalized
    with clock("coordinate"):
        delta = trained - received
        gram = delta @ delta.transpose(-2, -1)
        share = accepted.to(gram) / accepted.sum()
        kind = method.coordinate if block.group in COORDINATED and block.policy == "personalized" else "none"
        if kind == "none":
            update, after = delta * method.server_step if method.server_step != 1 else delta, gram
        else:
            mix = coefficients(kind, gram, share, method.radius, method.rescale)
            update = (mix * method.server_step) @ delta
            after = mix @ gram @ mix.transpose(-2, -1)
    with clock("aggregate"):
        exchange = Exchange(received, delta, update, gram, rows, present, block.has, block.previous)
        exchange.sources = received + update if update is not delta else trained
        rule = method.aggregate if block.policy == "personalized" else block.policy
        exchange.weights = mixing_weights(exchange, method, rule)
        mixtures = aggregate(exchange.sources, exchange.weights)
        if undo is not None and method.undo == "yes":
            mixtures = undo.undo(mixtures)
    exchange.previous = None  # one round back is enough
    block.previous = exchange
    record = {
        "norm": gram.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt(),
        "cosine_before": cosines(gram),
        "cosine_after": cosines(after),
        "weights": exchange.weights,
        "normalized": moved,
    }
    return mixtures, record

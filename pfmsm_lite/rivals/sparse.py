"""The rule `kin` for many clients: the k best sources of each, found block by block; no N × N matrix is made.

A function, not a row of the table of rules: a server's record of weights [U, N, N] is dense.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pfmsm_lite.errors import at_least_one


class Sources(NamedTuple):
    """Of each client its k sources: numbers [N, k] int64 and weights [N, k], which sum to one."""

    numbers: Tensor
    weights: Tensor

    def dense(self) -> Tensor:
        """The same as a matrix [N, N], for small N."""
        clients = len(self.numbers)
        return torch.zeros(clients, clients).scatter_(1, self.numbers, self.weights)


def nearest_kin(gradients: Tensor, deltas: Tensor, rows: Tensor, k: int, block: int = 256) -> Sources:
    """Each client's k largest mixture weights by the rule `kin`, itself among them; the rest is left out.

    gradients  [N, D] of the clients' validation losses;  deltas  [N, D] what training changed: the units of
               the first rounds side by side, so that an inner product adds up over them
    rows       [N] training rows;  k  sources of each, at most N;  block  clients at a time
    returns    Sources; with k = N they are those of `kin` where every client was there in every round
    raises     UserError for k or block below 1

    Memory beside what is given and returned: a few blocks [block, N]. Time: N²·D, as that of the dense rule.
    """
    at_least_one(k=k, block=block)
    clients, k = len(deltas), min(k, len(deltas))
    own = -(gradients * deltas).sum(-1).clamp(max=0)  # [N]: by how much a client's own steps helped it
    numbers, weights = torch.empty(clients, k, dtype=torch.int64), torch.empty(clients, k)
    for part in torch.arange(clients).split(block):
        # how much m's steps helped n, and n's m, for the n of this block: [B, N]
        helps = (gradients[part] @ deltas.T).neg_().clamp_(min=0)
        helps.mul_((deltas[part] @ gradients.T).neg_().clamp_(min=0)).sqrt_()
        scale = (own[part, None] * own).sqrt_()
        alike = torch.where(scale > 0, helps / torch.where(scale > 0, scale, 1.0), 0.0).clamp_(max=1)
        mine = torch.arange(len(part))
        alike[mine, part] = 1.0
        share = alike**3 / (alike**3 + (1 - alike) ** 3) * rows
        # one's own stays, however few rows it has
        order = share.clone()
        order[mine, part] = torch.inf
        numbers[part] = order.topk(k, dim=1).indices
        best = share.gather(1, numbers[part])
        weights[part] = best / best.sum(1, keepdim=True)
    return Sources(numbers, weights)


def mix(stack: Tensor, sources: Sources, block: int = 256) -> Tensor:
    """Each client's mixture of its k sources, [N, P] → [N, P]: a block of clients, a source at a time."""
    found = torch.zeros_like(stack)
    for part in torch.arange(len(stack)).split(block):
        for weight, number in zip(sources.weights[part].T, sources.numbers[part].T, strict=True):
            found[part] += weight[:, None] * stack[number]
    return found

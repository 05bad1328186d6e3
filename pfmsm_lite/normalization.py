"""Federated batch normalization, second meaning: the server normalizes parameters, not data."""

from typing import NamedTuple

import torch
from torch import Tensor

from pfmsm_lite.registry import fits, is_finite, lookup, refuse, register


class Affine(NamedTuple):
    """W → W · scale + shift, tensor by tensor, and back.

    segments  sizes of the tensors that lie side by side in a stack [..., N, P]
    maps      per tensor (scale, shift), both broadcast against its part of the stack
    """

    segments: list[int]
    maps: list[tuple[Tensor, Tensor]]

    def apply(self, stack: Tensor, out: Tensor | None = None) -> Tensor:
        """`out`: where to write the result; memory of its own if None."""
        out = torch.empty_like(stack) if out is None else out
        parts = zip(stack.split(self.segments, -1), out.split(self.segments, -1), self.maps, strict=True)
        for part, to, (scale, shift) in parts:
            torch.mul(part, scale, out=to).add_(shift)
        return out

    def undo(self, stack: Tensor) -> Tensor:
        parts = zip(stack.split(self.segments, -1), self.maps, strict=True)
        return torch.cat([(part - shift).div_(scale) for part, (scale, shift) in parts], -1)


def spread(stack: Tensor) -> Tensor:
    """Standard deviation over the last axis: [..., P] → [..., 1].

    Long rows one by one: over one axis of a float32 tensor on a CPU, PyTorch takes several times as long.
    """
    if stack.shape[-1] < 4096 or stack.device.type != "cpu":
        return stack.std(-1, keepdim=True, correction=0)
    rows = [row.double().std(correction=0) for row in stack.flatten(0, -2)]
    return torch.stack(rows).to(stack.dtype).view(*stack.shape[:-1], 1)


@register("normalize", "moment", text="give every client's tensor the average mean and deviation")
def moment(stack: Tensor) -> tuple[Tensor, Tensor]:
    """W_n ← (W_n − μ_n)/σ_n · σ̄ + μ̄: moments over a tensor's own entries, bars over clients.

    Source: PF-MSMTrec, eq. 8
    Paper: the shared parameters are "normalized across all clients"
    Ours: statistics of each client's tensor, then their average over clients; no source suggests exactly this
    Fidelity: unknown
    """
    # per client, over the entries of the tensor: [..., N, 1]
    mean, deviation = stack.mean(-1, keepdim=True), spread(stack)
    return towards(mean, deviation, deviation.mean(-2, keepdim=True), mean.mean(-2, keepdim=True))


@register("normalize", "none", text="leave the uploads as they are")
def unchanged(stack: Tensor) -> tuple[Tensor, Tensor]:
    """Nothing is normalized.

    Ours: the control
    Fidelity: own
    """
    return torch.ones_like(stack[..., :1, :1]), torch.zeros_like(stack[..., :1, :1])


def towards(mean, deviation, new_deviation, new_mean):
    """The map from one mean and deviation to another; where there is no deviation, only the mean moves."""
    scale = torch.where((deviation > 1e-12) & (new_deviation > 1e-12), new_deviation / deviation, 1.0)
    return scale, new_mean - mean * scale


register("undo", "yes", Affine.undo, "a client undoes the normalization on download with its own moments")
register("undo", "no", lambda affine, stack: stack, "a client keeps the normalized parameters")


def normalize(
    stack: Tensor, kind: str = "moment", segments: list[int] | None = None
) -> tuple[Tensor, Affine]:
    """Normalize the clients' parameters against each other, tensor by tensor.

    stack     [..., N, P]  the uploads of N clients, for one expert or for many
    kind      moment: W_n ← (W_n − μ_n)/σ_n · σ̄ + μ̄, moments over a tensor's entries, bars over clients ·
              elementwise: each entry over the clients, then the tensor's average deviation · none ·
              or one that was registered: rule(stack [..., N, P]) → (scale, shift), broadcast against it
    segments  sizes of the tensors that lie side by side in P; None: one tensor
    returns   (normalized [..., N, P], Affine): the map can be undone with a client's own moments
    raises    UserError for an unknown kind; ValueError if the segments do not add up to P

    Source: PF-MSMTrec, section 3.3.1, eq. 8, as descriptions tell it
    Paper: after local BN the shared parameters "are normalized across all clients on the server"; figure 2
        draws BN layers in the clients. One description speaks of "simple averaging", another says
        "aggregates": the equation may end in a mean over the clients
    Ours: three operators to choose from, none of them with that mean; BN layers are off by default
    Fidelity: unknown
    """
    rule = lookup("normalize", kind)
    segments = list(segments or [stack.shape[-1]])
    if sum(segments) != stack.shape[-1]:
        raise ValueError(f"segments {segments} do not add up to the {stack.shape[-1]} columns of the stack")
    # tensor by tensor, as they lie side by side: [..., N, P]
    maps = [_checked(kind, rule(part), part) for part in stack.split(segments, -1)]
    affine = Affine(segments, maps)
    return stack if kind == "none" else affine.apply(stack), affine


def _checked(kind: str, found: tuple, stack: Tensor) -> tuple:
    """Refuse, by its name, a rule that does not return a finite scale and shift that fit the stack."""
    parts = found if isinstance(found, tuple) and len(found) == 2 else (None, None)
    for part in parts:
        if not (torch.is_tensor(part) and fits(part, stack) and is_finite(part, part.shape)):
            wanted = f"(scale, shift), finite, each broadcastable to [U, N, P] = {tuple(stack.shape)}"
            refuse("normalize", kind, part if torch.is_tensor(part) else found, wanted)
    return found

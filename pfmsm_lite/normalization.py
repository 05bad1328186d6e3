"""Federated batch normalization, second meaning: the server normalizes parameters, not data."""

from typing import NamedTuple

import torch

from pfmsm_lite.errors import choose


class Affine(NamedTuple):
    """W → W · scale + shift, and back; both broadcast against the stack [..., N, P]."""

    scale: torch.Tensor
    shift: torch.Tensor

    def apply(self, stack):
        return stack * self.scale + self.shift

    def undo(self, stack):
        return (stack - self.shift) / self.scale


def _moment(stack):
    mean, deviation = stack.mean(-1, keepdim=True), stack.std(-1, keepdim=True, correction=0)
    return _towards(mean, deviation, deviation.mean(-2, keepdim=True), mean.mean(-2, keepdim=True))


def _elementwise(stack):
    mean, deviation = stack.mean(-2, keepdim=True), stack.std(-2, keepdim=True, correction=0)
    return _towards(mean, deviation, deviation.mean(-1, keepdim=True), mean)


def _towards(mean, deviation, new_deviation, new_mean):
    """The map from one mean and deviation to another; where there is no deviation, only the mean moves."""
    scale = torch.where((deviation > 1e-12) & (new_deviation > 1e-12), new_deviation / deviation, 1.0)
    return scale, new_mean - mean * scale


def _none(stack):
    return torch.ones_like(stack[..., :1, :1]), torch.zeros_like(stack[..., :1, :1])


NORMALIZE = {"moment": _moment, "elementwise": _elementwise, "none": _none}


def normalize(stack, kind="moment", segments=None):
    """Normalize the clients' parameters against each other, tensor by tensor.

    stack     [..., N, P]  the uploads of N clients, for one expert or for many
    kind      moment: W_n ← (W_n − μ_n)/σ_n · σ̄ + μ̄, moments over a tensor's entries, bars over clients ·
              elementwise: each entry over the clients, then the tensor's average deviation · none
    segments  sizes of the tensors that lie side by side in P; None: one tensor
    returns   (normalized [..., N, P], Affine): the map can be undone with a client's own moments
    raises    UserError for an unknown kind; ValueError if the segments do not add up to P

    PF-MSMTrec, section 3.3.1, eq. 8 (normalizing parameters on the server: the paper; the operator:
    reconstruction).
    """
    rule = NORMALIZE[choose("normalize", kind, NORMALIZE)]
    segments = list(segments or [stack.shape[-1]])
    if sum(segments) != stack.shape[-1]:
        raise ValueError(f"segments {segments} do not add up to the {stack.shape[-1]} columns of the stack")
    if kind == "none":
        return stack, Affine(*rule(stack))
    scale, shift = torch.ones_like(stack), torch.zeros_like(stack)
    start = 0
    for size in segments:
        part = slice(start, start := start + size)
        scale[..., part], shift[..., part] = rule(stack[..., part])
    affine = Affine(scale, shift)
    return affine.apply(stack), affine

"""Conflict coordination: pull each client's update towards the others without leaving its neighbourhood.

Everything is computed from inner products. A rule gets the Gram matrix of the clients' updates and answers
with coefficients: U_n = sum_m C_nm Δ_m. That is exact, and as cheap as two matrix products.
"""

import torch
from torch import Tensor

from pfmsm_lite.errors import UserError
from pfmsm_lite.registry import fits, is_finite, lookup, refuse, register


def keep_length(length: Tensor, moved: Tensor, radius: float) -> Tensor:
    """Factor on U so that ‖U‖ = ‖a‖, from ‖a‖ and ‖U‖."""
    return torch.where(moved > 0, length / moved, 1.0)


register("rescale", "norm", keep_length, "keep each update's length: turn only")


def turn(aa: Tensor, ab: Tensor, bb: Tensor, radius: float, rescale: str = "norm") -> tuple[Tensor, Tensor]:
    """Solve max_U min(⟨a,U⟩, ⟨b,U⟩) subject to ‖U − a‖ ≤ radius·‖a‖, given only inner products.

    aa, ab, bb   ‖a‖², ⟨a,b⟩, ‖b‖², tensors of one shape
    returns      (x, y) of that shape with U = x·a + y·b

    The dual is w* = argmin over [0, 1] of ⟨g_w, a⟩ + radius·‖a‖·‖g_w‖ with g_w = w·a + (1 − w)·b. Split g_w
    into its part along a, linear in w, and the rest, h·(1 − w) with h the distance of b from the line of a:
    the derivative then has one zero, in closed form.
    """
    like = aa
    # in float64, as a reference much shorter than the update cancels; on the CPU, as MPS has no float64
    aa, ab, bb = (product.cpu().double() for product in (aa, ab, bb))
    # a along itself and b split into its part along a and the rest, in units of ‖a‖
    length = aa.clamp(min=0).sqrt()
    safe = torch.where(aa > 0, aa, 1.0)
    along = ab / safe  # b = along·a + rest, ‖rest‖ = height·‖a‖; all lengths below in units of ‖a‖
    height = (bb / safe - along**2).clamp(min=0).sqrt()
    # with v = 1 − w: p(v) = 1 − slope·v along a, q(v) = height·v across; minimize p + radius·sqrt(p² + q²)
    slope = 1 - along
    square = slope**2 + height**2  # p² + q² = square·v² − 2·slope·v + 1
    # zero of −slope + radius·(square·v − slope)/sqrt(square·v² − 2·slope·v + 1), by moving v to the vertex
    vertex = slope / torch.where(square > 0, square, 1.0)
    rest = height / torch.where(square > 0, square, 1.0)  # sqrt(p² + q²) at the vertex is height/sqrt(square)
    under = (radius**2 * square - slope**2).clamp(min=0)
    reach = torch.where(under > 0, slope * rest / torch.where(under > 0, under, 1.0).sqrt(), torch.inf)
    reach = torch.where((slope == 0) | ((height == 0) & (under > 0)), torch.zeros_like(reach), reach)
    reach = torch.where((under == 0) & (slope < 0), -torch.inf, reach)
    # the best v in [0, 1]
    v = (vertex + reach).clamp(0, 1)
    v = torch.where(square > 0, v, 0.0)  # a = b: any w will do
    p, q = 1 - slope * v, height * v
    norm = (p**2 + q**2).sqrt()
    stays = (aa <= 0) | (bb <= 0) | (norm <= 1e-12)  # nothing to turn, or nothing to turn towards
    # U = a + radius·‖a‖·g/‖g‖, as multiples of a and b
    step = torch.where(stays, 0.0, radius / torch.where(stays, 1.0, norm))
    x, y = 1 + step * (1 - v), step * v
    # its length, and what rescaling makes of it
    moved = (x**2 * aa + 2 * x * y * ab + y**2 * bb).clamp(min=0).sqrt()
    factor = lookup("rescale", rescale)(length, moved, radius)
    factor = torch.where(stays, 1.0, factor)
    return (x * factor).to(like.dtype).to(like.device), (y * factor).to(like.dtype).to(like.device)


def coordinate(local: Tensor, reference: Tensor, radius: float = 0.4, rescale: str = "norm") -> Tensor:
    """Pull each client's update towards the others' mean without leaving its own neighbourhood.

    local      [..., N, P]  a client's update, Δ_n = trained − received
    reference  [..., N, P]  the update to agree with, usually the mean of all rows; [P] is broadcast
    radius     0 ≤ c < 1, how far U may lie from `local`, as a share of its norm
    rescale    norm: each row keeps the norm of its `local`, it is turned, not lengthened · sqrt, cagrad:
               divided by sqrt(1 + c²), by 1 + c² · none
    returns    [..., N, P]  U
    raises     ValueError for other shapes, UserError for another radius or rescale; FloatingPointError for
               NaN or inf

    Source: PF-MSMTrec, section 3.3.2, eq. 13, as a summary tells it
    Paper: "parameters U that maximize alignment between local ΔW_n_j and global ΔW̄_n_j while constraining
        the difference"; the difference of what from what is not said
    Ours: two readings. `two_vector`, here: a ball around the client's own update. `cagrad` with the rule
        `fedhca2`: one Ũ for all in a ball around the mean, of which each client adds a share to its own
        update; the likelier one, since the same laboratory's FedHCA2 writes it so, with the same letter
    Fidelity: unknown
    """
    if not 0 <= radius < 1:
        raise UserError(f"The radius of coordination is {radius}, but it must be at least 0 and below 1.")
    if not (reference.ndim and fits(reference, local)) or reference.shape[-1:] != local.shape[-1:]:
        raise ValueError(f"updates {tuple(local.shape)} and reference {tuple(reference.shape)} do not fit")
    if not (local.isfinite().all() and reference.isfinite().all()):
        raise FloatingPointError("an update to coordinate holds NaN or inf; leave that client out")
    reference = reference.expand_as(local)
    products = ((local * local).sum(-1), (local * reference).sum(-1), (reference * reference).sum(-1))
    x, y = turn(*products, radius, rescale)
    return x[..., None] * local + y[..., None] * reference


@register("coordinate", "two_vector")
def two_vector(gram: Tensor, share: Tensor, radius: float, rescale: str) -> Tensor:
    """turn each update towards the clients' mean (eq. 13, two-vector CAGrad)

    Source: PF-MSMTrec, eq. 13; CAGrad (Liu et al., NeurIPS 2021)
    Paper: alignment of local and global update, their difference constrained; CAGrad: one update for all
        tasks, in a ball around the mean
    Ours: an update of its own for each client, in a ball around that client's own, and as long as before
    Fidelity: unknown
    """
    # inner products of each update with the mean, and of the mean with itself: [..., N]
    with_mean = gram @ share
    mean_norm = (with_mean * share).sum(-1, keepdim=True).expand_as(with_mean)
    own = gram.diagonal(dim1=-2, dim2=-1)
    x, y = turn(own, with_mean, mean_norm, radius, rescale)
    # U_n = x_n·Δ_n + y_n·mean, written as coefficients of all updates: [..., N, N]
    return torch.diag_embed(x) + y[..., None] * share


@register("coordinate", "none", text="leave the updates as they are")
def unchanged(gram: Tensor, share: Tensor, radius: float, rescale: str) -> Tensor:
    """Nothing is coordinated.

    Ours: the control
    Fidelity: own
    """
    return torch.eye(gram.shape[-1], device=gram.device).to(gram).expand_as(gram)


def coefficients(kind: str, gram: Tensor, share: Tensor, radius: float, rescale: str) -> Tensor:
    """How each coordinated update is mixed out of the clients' updates.

    kind     a name of OPERATORS["coordinate"]; its rule gets the other four arguments
    gram     [..., N, N]  inner products ⟨Δ_n, Δ_m⟩
    share    [N]          each client's weight in the mean update, summing to one; 0: not there this round
    returns  [..., N, N]  C with U_n = sum_m C_nm Δ_m
    raises   UserError for an unknown kind, or a rule that returns another shape, NaN or infinity
    """
    found = lookup("coordinate", kind)(gram, share, radius, rescale)
    if not is_finite(found, gram.shape):
        refuse("coordinate", kind, found, f"finite coefficients [U, N, N] = {tuple(gram.shape)}")
    return found

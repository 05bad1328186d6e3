"""Conflict coordination: pull each client's update towards the others without leaving its neighbourhood.

Everything is computed from inner products. A rule gets the Gram matrix of the clients' updates and answers
with coefficients: U_n = sum_m C_nm Δ_m. That is exact, and as cheap as two matrix products.
"""

import numpy as np
import torch

from pfmsm_lite.errors import UserError, choose


def _rescale_norm(length, moved, radius):
    return torch.where(moved > 0, length / moved, 1.0)


RESCALE = {
    "norm": _rescale_norm,
    "sqrt": lambda length, moved, radius: torch.full_like(length, (1 + radius**2) ** -0.5),
    "cagrad": lambda length, moved, radius: torch.full_like(length, 1 / (1 + radius**2)),
    "none": lambda length, moved, radius: torch.ones_like(length),
}


def turn(aa, ab, bb, radius, rescale="norm"):
    """Solve max_U min(⟨a,U⟩, ⟨b,U⟩) subject to ‖U − a‖ ≤ radius·‖a‖, given only inner products.

    aa, ab, bb   ‖a‖², ⟨a,b⟩, ‖b‖², tensors of one shape
    returns      (x, y) of that shape with U = x·a + y·b

    The dual is w* = argmin over [0, 1] of ⟨g_w, a⟩ + radius·‖a‖·‖g_w‖ with g_w = w·a + (1 − w)·b. Split g_w
    into its part along a, linear in w, and the rest, h·(1 − w) with h the distance of b from the line of a:
    the derivative then has one zero, in closed form.
    """
    kind = aa.dtype
    aa, ab, bb = aa.double(), ab.double(), bb.double()  # a reference much shorter than the update cancels
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
    v = (vertex + reach).clamp(0, 1)
    v = torch.where(square > 0, v, 0.0)  # a = b: any w will do
    p, q = 1 - slope * v, height * v
    norm = (p**2 + q**2).sqrt()
    stays = (aa <= 0) | (bb <= 0) | (norm <= 1e-12)  # nothing to turn, or nothing to turn towards
    step = torch.where(stays, 0.0, radius / torch.where(stays, 1.0, norm))
    x, y = 1 + step * (1 - v), step * v
    moved = (x**2 * aa + 2 * x * y * ab + y**2 * bb).clamp(min=0).sqrt()
    factor = RESCALE[choose("rescale", rescale, RESCALE)](length, moved, radius)
    factor = torch.where(stays, 1.0, factor)
    return (x * factor).to(kind), (y * factor).to(kind)


def coordinate(local, reference, radius=0.4, rescale="norm"):
    """Pull each client's update towards the others' mean without leaving its own neighbourhood.

    local      [..., N, P]  a client's update, Δ_n = trained − received
    reference  [..., N, P]  the update to agree with, usually the mean of all rows; [P] is broadcast
    radius     0 ≤ c < 1, how far U may lie from `local`, as a share of its norm
    rescale    norm: each row keeps the norm of its `local`, it is turned, not lengthened · sqrt, cagrad:
               divided by sqrt(1 + c²), by 1 + c² · none
    returns    [..., N, P]  U
    raises     ValueError for other shapes, UserError for another radius or rescale; FloatingPointError for
               NaN or inf

    PF-MSMTrec, section 3.3.2, eq. 13 (objective: the paper; two-vector CAGrad solution: reconstruction).
    """
    if not 0 <= radius < 1:
        raise UserError(f"The radius of coordination is {radius}, but it must be at least 0 and below 1.")
    fits = local.ndim >= reference.ndim >= 1 and all(
        r in (1, n) for r, n in zip(reference.shape[::-1], local.shape[::-1], strict=False)
    )
    if not fits or reference.shape[-1] != local.shape[-1]:
        raise ValueError(f"updates {tuple(local.shape)} and reference {tuple(reference.shape)} do not fit")
    if not (local.isfinite().all() and reference.isfinite().all()):
        raise FloatingPointError("an update to coordinate holds NaN or inf; leave that client out")
    reference = reference.expand_as(local)
    products = ((local * local).sum(-1), (local * reference).sum(-1), (reference * reference).sum(-1))
    x, y = turn(*products, radius, rescale)
    return x[..., None] * local + y[..., None] * reference


def _two_vector(gram, share, radius, rescale):
    with_mean = gram @ share  # ⟨Δ_n, mean⟩
    mean_norm = (with_mean * share).sum(-1, keepdim=True).expand_as(with_mean)
    own = gram.diagonal(dim1=-2, dim2=-1)
    x, y = turn(own, with_mean, mean_norm, radius, rescale)
    return torch.diag_embed(x) + y[..., None] * share


def _cagrad(gram, share, radius, rescale):
    """CAGrad over all clients (Liu et al., NeurIPS 2021): one update for everybody.

    min over the simplex of ⟨g_w, g_0⟩ + radius·‖g_0‖·‖g_w‖; small and convex: scipy solves it.
    """
    from scipy.optimize import minimize

    rows = []
    for matrix in gram.double().reshape(-1, *gram.shape[-2:]).numpy(force=True):
        even = share.double().numpy(force=True)
        scale = max(float(np.trace(matrix)), 1e-30)
        matrix = matrix / scale
        length = radius * np.sqrt(max(even @ matrix @ even, 0.0))

        def dual(w, matrix=matrix, even=even, length=length):
            norm = np.sqrt(max(w @ matrix @ w, 1e-30))
            return w @ matrix @ even + length * norm, matrix @ even + length * (matrix @ w) / norm

        active = even > 0
        found = minimize(
            dual,
            even,
            jac=True,
            method="SLSQP",
            bounds=[(0.0, float(a)) for a in active],
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
            options={"ftol": 1e-12, "maxiter": 200},
        )
        norm = np.sqrt(max(found.x @ matrix @ found.x, 0.0))
        rows.append(even + (length / norm * found.x if norm > 1e-12 else 0.0))
    common = torch.as_tensor(np.array(rows)).to(gram).reshape(*gram.shape[:-1])
    moved = torch.einsum("...n,...nm,...m->...", common, gram, common).clamp(min=0).sqrt()
    length = torch.einsum("n,...nm,m->...", share, gram, share).clamp(min=0).sqrt()
    common = common * RESCALE[rescale](length, moved, radius)[..., None]
    return common[..., None, :].expand_as(gram)


def _pcgrad(gram, share, radius, rescale):
    """PCGrad (Yu et al., NeurIPS 2020): project each update against the others' ORIGINAL updates."""
    clients = gram.shape[-1]
    coefficients = torch.eye(clients, device=gram.device).to(gram).expand_as(gram).clone()
    for other in range(clients):
        inner = coefficients @ gram[..., other, :, None]  # [..., N, 1]: ⟨current update, Δ_other⟩
        norm = gram[..., other, other, None, None]
        conflict = torch.where((norm > 0) & (inner < 0) & (share[other] > 0), inner / norm, 0.0)
        conflict[..., other, :] = 0
        coefficients[..., other] -= conflict[..., 0]
    return coefficients


def _none(gram, share, radius, rescale):
    return torch.eye(gram.shape[-1], device=gram.device).to(gram).expand_as(gram)


COORDINATE = {"two_vector": _two_vector, "cagrad": _cagrad, "pcgrad": _pcgrad, "none": _none}


def coefficients(kind, gram, share, radius, rescale):
    """How each coordinated update is mixed out of the clients' updates.

    gram     [..., N, N]  inner products ⟨Δ_n, Δ_m⟩
    share    [N]          each client's weight in the mean update, summing to one; 0: not there this round
    returns  [..., N, N]  C with U_n = sum_m C_nm Δ_m
    """
    return COORDINATE[choose("coordinate", kind, COORDINATE)](gram, share, radius, rescale)

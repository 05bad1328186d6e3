"""Means that a few hostile clients cannot carry away: for shared groups, and for embedding entries.

All are meant for up to a third of the clients, and treat clients alike, whatever their rows: a client that
could claim many rows would else count for many. Each unit (expert, tower, …) is on its own.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from pfmsm_lite.aggregation import Exchange
from pfmsm_lite.embedding import SharedTable, sum_shares
from pfmsm_lite.registry import register

HOSTILE = 1 / 3  # share of the clients that may be hostile, at most
TRIM = 1 / 4  # share that `trimmed` leaves out at each end


def middle(values: Tensor, trim: float | None = None) -> Tensor:
    """The middle of values [N, ...] over the first axis, number by number: [...]. NaN are left out.

    trim  share of the values left out at each end (rounded down), the mean of the rest; None: the median
    """
    ordered = values.sort(0).values  # NaN come last
    count = (~values.isnan()).sum(0)
    cut = (count * (1 / 2 if trim is None else trim)).long().minimum((count - 1).clamp(min=0) // 2)
    place = torch.arange(len(values), device=values.device).view(-1, *[1] * (values.ndim - 1))
    inside = (place >= cut) & (place < count - cut)
    return ordered.where(inside, 0.0).sum(0) / inside.sum(0)


def common(exchange: Exchange, found: Callable[[Tensor], Tensor]) -> tuple[Tensor, dict]:
    """One model for all: in each unit `found` of the sources [M, P] of the M clients that are there."""
    sources = exchange.sources.clone()
    for unit, present, has in zip(sources, exchange.present, exchange.has, strict=True):
        if present.any():
            unit[has] = found(unit[present])
    alone = torch.eye(exchange.gram.shape[-1], device=exchange.gram.device).to(exchange.gram)
    return alone.expand_as(exchange.gram), {"sources": sources}


@register("aggregate", "median", text="each number's median over the clients")
def median(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """One model for all: each parameter's median over the clients, the mean of two in the middle.

    Source: Yin et al. (ICML 2018, arXiv 1803.01498), option I of algorithm 1
    Paper: the coordinate-wise median of the clients' gradients, then a step of gradient descent
    Ours: of their parameters after local training
    Fidelity: differs
    """
    return common(exchange, middle)


@register("aggregate", "trimmed", text="each number's mean without the highest and the lowest quarter")
def trimmed(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """One model for all: each parameter's mean, the largest and the smallest quarter of the clients left out.

    Source: Yin et al. (ICML 2018, arXiv 1803.01498), option II of algorithm 1
    Paper: the coordinate-wise mean of gradients without the largest and smallest share β of them
    Ours: of parameters after local training; β is a quarter, rounded down to whole clients
    Fidelity: differs
    """
    return common(exchange, partial(middle, trim=TRIM))


def krum_scores(points: Tensor, near: int | None = None) -> Tensor:
    """Of points [M, P] each one's sum of squared distances to its `near` nearest: [M].

    near  by default M − f − 2, f = M // 3
    """
    count = len(points)
    exact = "donot_use_mm_for_euclid_dist"
    squared = torch.cdist(points, points, compute_mode=exact).square().fill_diagonal_(torch.inf)
    near = max(1, count - int(count * HOSTILE) - 2) if near is None else near
    return squared.sort(1).values[:, : min(near, max(count - 1, 0))].sum(1)


def chosen(exchange: Exchange, many: Callable[[int], int]) -> tuple[Tensor, dict]:
    """Weights alike for all: even over the `many`(M) of M clients with the lowest Krum scores, by unit."""
    weights = torch.zeros_like(exchange.gram)
    for own, points, present in zip(weights, exchange.sources, exchange.present, strict=True):
        there = present.nonzero()[:, 0]
        if len(there):
            scores = krum_scores(points[there])
            # where scores are level, as those of two nearest neighbours are, the distances to all decide
            order = krum_scores(points[there], len(there)).argsort(stable=True)
            best = there[order[scores[order].argsort(stable=True)][: many(len(there))]]
            own[:, best] = 1 / len(best)
    nobody = weights.sum(-1, keepdim=True) == 0
    alone = torch.eye(weights.shape[-1], device=weights.device).to(weights)
    return torch.where(nobody, alone, weights), {}


@register("aggregate", "krum", text="the one client that is nearest to its neighbours, for all")
def krum(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """Everybody gets the parameters of one client: whose M − f − 2 nearest others are nearest.

    Source: Krum (Blanchard et al., NeurIPS 2017)
    Paper: of M gradients with f hostile among them, 2f + 2 < M, the one with the lowest score
    Ours: of parameters after local training, unit by unit; f = M // 3, more than the paper's bound allows
    Fidelity: differs
    """
    return chosen(exchange, lambda count: 1)


@register("aggregate", "multikrum", text="the mean of the clients that are nearest to their neighbours")
def multikrum(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """The even mean of the M − f clients with the lowest scores of `krum`.

    Source: Krum (Blanchard et al., NeurIPS 2017), section 4
    Paper: the mean of the m gradients with the lowest scores
    Ours: m = M − f, of parameters after local training, unit by unit
    Fidelity: differs
    """
    return chosen(exchange, lambda count: count - int(count * HOSTILE))


for rule in (median, trimmed, krum, multikrum):
    rule.common = True  # one model for all: whoever was absent gets it, too


def in_the_middle(table: SharedTable, trained: list, trim: float | None = None) -> list:
    """What clients sent, [U_n, K] or None, each change replaced by the middle of all of that number."""
    changes = torch.full((len(trained), *table.table.shape), torch.nan).to(table.table)  # [N, V, K]
    indices = [index[uses > 0] for index, uses in zip(table.index, table.uses, strict=True)]
    for own, index, rows in zip(changes, indices, trained, strict=True):
        if rows is not None:
            own[index] = rows - table.table[index]
    found = middle(changes, trim)
    return [
        None if rows is None else table.table[index] + found[index]
        for index, rows in zip(indices, trained, strict=True)
    ]


@register("embedding", "sum_median", text="as `sum`, but each change the median of all of that entry")
def sum_median(table: SharedTable, here: list[float]) -> list[Tensor]:
    """Each number of an entry moves by the median of its users' changes, as often as it has users.

    An entry of one or two users is at their mercy.

    Source: Yin et al. (ICML 2018), as `median`
    Paper: the coordinate-wise median of all clients' gradients
    Ours: over the clients that use the entry, times their number, so that it is a robust `sum`
    Fidelity: differs
    """
    return sum_shares(table, here)


@register("embedding", "sum_trimmed", text="as `sum`, each change the mean without the extreme quarters")
def sum_trimmed(table: SharedTable, here: list[float]) -> list[Tensor]:
    """Each number of an entry moves by the trimmed mean of its users' changes, as often as it has users.

    An entry of less than four users is not trimmed.

    Source: Yin et al. (ICML 2018), as `trimmed`
    Paper: the coordinate-wise trimmed mean of all clients' gradients
    Ours: over the clients that use the entry, times their number, so that it is a robust `sum`
    Fidelity: differs
    """
    return sum_shares(table, here)


sum_median.guard = in_the_middle
sum_trimmed.guard = partial(in_the_middle, trim=TRIM)

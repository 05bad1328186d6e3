"""A rule for shared embedding entries by which a client keeps something of its own."""

import torch
from torch import Tensor

from pfmsm_lite.embedding import SharedTable, used_shares
from pfmsm_lite.registry import register


def by_own_rows(uses: Tensor, own_rows: float) -> Tensor:
    """Trust [R] in one's own entry: half at `own_rows` uses, more with more."""
    return uses / (uses + own_rows)


@register("embedding", "personal", text="as `used`, but a client keeps some of its own entry")
def personal(table: SharedTable, here: list[float]) -> list[Tensor]:
    """As `used`, but the more often a client's rows use an entry, the more of its own entry it keeps.

    Ours: as `used`, and a client keeps some of its own entry
    Fidelity: own
    """
    return used_shares(table, here)


def keeps(table: SharedTable, trained: list, received: list[Tensor]) -> list[Tensor]:
    """Each client's new entries [R_n, K], mixed with those that it sent [U_n, K] as far as it trusts them."""
    for rows, own, uses in zip(trained, received, table.uses, strict=True):
        if rows is not None:
            used = uses > 0
            own[used] = torch.lerp(own[used], rows, by_own_rows(uses[used], table.own_rows)[:, None])
    return received


personal.keeps = keeps

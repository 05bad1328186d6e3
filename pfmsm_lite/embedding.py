"""One embedding table: who holds which of its entries, and how their changes add up.

An entry is one vector of the table. A client holds only the entries that its own ids name; the server knows
which these are, and how often the client's training rows use each, from the client's first message.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pfmsm_lite.registry import is_finite, lookup, refuse, register
from pfmsm_lite.scenario import Rows

LAZY_ABOVE = 20_000  # entries of the federation; embedding_optimizer "auto" is lazy above


class Embedding(nn.Module):
    """One table for all categorical fields: those of field f start at offset[f]. Bags: see `data.bags`."""

    PARTS = {"weight": "embedding"}
    offset: Tensor

    def __init__(self, fields: dict[str, int], width: int, generator=None, spread: float = 0.05):
        super().__init__()
        sizes = torch.tensor([0, *fields.values()])
        self.register_buffer("offset", sizes.cumsum(0)[:-1], persistent=False)
        self.weight = nn.Parameter(torch.randn(int(sizes.sum()), width, generator=generator) * spread)
        with torch.no_grad():
            self.weight[self.offset] = 0  # the unknown entries: the middle of what they stand for
        self.sparse = False

    def forward(self, categorical: Tensor) -> Tensor:
        """[B, F] ids within each field → [B, F * K], the fields' vectors side by side."""
        return F.embedding(categorical + self.offset, self.weight, sparse=self.sparse).flatten(1)


class Held(NamedTuple):
    """What one client holds of the table.

    entries  [R] numbers of its entries, ascending;  uses [R] how often its training rows use each
    unknown  [C] where the columns' unknown entries lie among them
    """

    entries: Tensor
    uses: Tensor
    unknown: Tensor


def numbered(ids: Tensor, offset: Tensor) -> Tensor:
    """Ids [R, C] of each column's field → numbers in the one table; −1, no entry, stays."""
    return torch.where(ids < 0, ids, ids + offset)


def in_use(train: Rows, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of the entries that training rows use, ascending, and how often: ([R], [R])."""
    numbers = numbered(train.categorical, offset)
    return torch.unique(numbers[numbers >= 0], return_counts=True)


def trained(used: list[Tensor], size: int) -> Tensor:
    """[V] bool: entries that somebody trains; used: numbers that each one's rows use; size: V."""
    known = torch.zeros(size, dtype=torch.bool)
    known[torch.cat(used)] = True
    return known


@register("entries", "counted", text="which, and how often its training rows use each")
def hold(train: Rows, views: list, offset: Tensor, known: Tensor, hidden: float) -> tuple[Held, Rows, list]:
    """What a client holds, and its rows with ids that point into it.

    views    list of (scenario name, {split: Rows});  offset [F] as in Embedding
    known    [V] bool: entries that somebody trains; ids of others are read as their field's unknown entry
    hidden   how many ids a field of training rows loses to its unknown entry (see Settings.unknown_rate)
    returns  (Held, training rows, views)
    """
    # entries that the training rows use: [U], and how often
    used, counts = in_use(train, offset)

    def global_ids(rows: Rows) -> Rows:
        ids = numbered(rows.categorical, offset)
        return rows._replace(categorical=torch.where((ids < 0) | known[ids], ids, offset.expand_as(ids)))

    # ids of each field become numbers in the one table [V, K]; entries that nobody trains are read as unknown
    train = train._replace(categorical=numbered(train.categorical, offset))
    views = [(name, {split: global_ids(rows) for split, rows in view.items()}) for name, view in views]
    # the client holds what its rows name, and every field's unknown entry: [R]
    blocks = [train.categorical, *(rows.categorical for _, view in views for rows in view.values())]
    entries = torch.unique(torch.cat([offset, *(torch.unique(block) for block in blocks)]))
    entries = entries[entries >= 0]

    def local_ids(rows: Rows) -> Rows:
        ids = rows.categorical
        own = torch.searchsorted(entries, ids, out_int32=True)
        return rows._replace(categorical=torch.where(ids < 0, -1, own))

    # how often its training rows use each: [R]; hidden ids count as uses of the unknown entries
    uses = torch.zeros(len(entries))
    uses[torch.searchsorted(entries, used)] = counts.float()
    unknown = torch.searchsorted(entries, offset)
    uses[unknown] = uses[unknown].clamp(min=hidden)
    views = [(name, {split: local_ids(rows) for split, rows in view.items()}) for name, view in views]
    return Held(entries, uses, unknown), local_ids(train), views


# How changes of shared entries add up: (SharedTable, here [N] 0 or 1) → per client [R_n], what the change of
# each of its entries counts for in the new one; what is missing from a sum of one stays with the old entry. A
# rule may have two attributes: guard(table, trained) → trained, what is used of what was sent, and
# keeps(table, trained, received) → received, where a client keeps something of its own.
@register("embedding", "used", text="each entry by how often a client's training rows use it")
def used_shares(table: "SharedTable", here: list[float]) -> list[Tensor]:
    """A client's change counts by how often its rows use the entry.

    Source: FedSubAvg (Ding et al., NeurIPS 2022, arXiv 2109.07704); FedCA (Zhang et al., arXiv 2406.03933)
        calls what it avoids "embedding skew"
    Paper: a parameter's change is the average over the clients that involve it
    Ours: weighted by uses, where FedSubAvg counts every such client once
    Fidelity: differs
    """
    # uses of every entry by all who are there: [V]
    total = torch.zeros(len(table.table), device=table.table.device)
    each = list(zip(here, table.index, table.uses, strict=True))
    for h, index, uses in each:
        total.index_add_(0, index, h * uses)
    return [h * uses / total[index].clamp(min=1) for h, index, uses in each]


@register("embedding", "rows", text="by client size, as FedAvg does")
def rows_shares(table: "SharedTable", here: list[float]) -> list[Tensor]:
    """FedAvg's: a client that never used an entry still votes, for what it was sent.

    Source: FedAvg (McMahan et al., AISTATS 2017)
    Paper: the mean of the clients' parameters, weighted by their rows
    Ours: the same
    Fidelity: same
    """
    total = max(sum(h * size for h, size in zip(here, table.sizes, strict=True)), 1.0)
    shares = [h * size / total for h, size in zip(here, table.sizes, strict=True)]
    return [(uses > 0) * share for uses, share in zip(table.uses, shares, strict=True)]


@register("embedding", "sum", text="every client's change added up, as if they had trained in turn")
def sum_shares(table: "SharedTable", here: list[float]) -> list[Tensor]:
    """Every change counts in full, whoever else changed the entry.

    Source: FedSubAvg, as `used`
    Paper: a parameter's change is the average over the clients that involve it
    Ours: the sum, so with n clients that use the entry the step is up to n times as long
    Fidelity: differs
    """
    return [h * (uses > 0) for h, uses in zip(here, table.uses, strict=True)]


class SharedTable:
    """The embedding table at the server. Only entries that some client's training rows use ever change.

    Source: PF-MSMTrec, as described
    Paper: no description says whether embedding tables are shared, or how
    Ours: shared, as federated recommenders do (FedMF, FedNCF); changes of an entry are added up (`sum`)
    Fidelity: unknown

    table    [V, K] the server's entries
    index    per client [R_n]: which of them it holds;  uses: per client [R_n], see Held
    sizes    per client: its training rows
    rule     a name of OPERATORS["embedding"];  own_rows: see Method
    """

    def __init__(self, table: Tensor, index: list, uses: list, sizes: list, rule: str, own_rows=20.0):
        self.table, self.index, self.uses, self.sizes = table, index, uses, sizes
        self.rule, self.own_rows, self._kept = rule, own_rows, {}

    def shares(self, present: list[bool]) -> list[Tensor]:
        """Per client [R_n, 1]: what the change of each of its entries counts for."""
        key = tuple(present)
        if key not in self._kept:  # the same every round, as long as the same clients are there
            shares = lookup("embedding", self.rule)(self, [float(p) for p in present])
            for share, uses in zip(shares, self.uses, strict=True):
                if not is_finite(share, uses.shape):
                    refuse("embedding", self.rule, share, f"a number per entry held: {tuple(uses.shape)}")
            self._kept = {key: [share[:, None] for share in shares]}
        return self._kept[key]

    def step(self, trained: list, server_step: float = 1.0) -> list[Tensor]:
        """Add up the entries that clients sent; returns each client's new entries [R_n, K].

        trained      per client [U_n, K], its entries in use (uses > 0), or None: nothing came
        server_step  factor on the change of the table
        """
        # by some rules what was sent is first made safe
        rule = lookup("embedding", self.rule)
        guard, keeps = (getattr(rule, name, None) for name in ("guard", "keeps"))
        trained = guard(self, trained) if guard else trained
        shares = self.shares([rows is not None for rows in trained])
        # new entry = Σ share · sent + (1 − Σ share) · old:  left [V, 1] and moved [V, K]
        left = torch.ones(len(self.table), 1, device=self.table.device)
        moved = torch.zeros_like(self.table)
        for rows, index, uses, share in zip(trained, self.index, self.uses, shares, strict=True):
            if rows is not None:
                used = uses > 0
                left.index_add_(0, index[used], -share[used])
                moved.index_add_(0, index[used], share[used] * rows)
        # a server step other than one goes further, or less far: [V, K]
        average = left * self.table + moved
        self.table = average if server_step == 1 else torch.lerp(self.table, average, server_step)
        # every client gets all entries that it holds: [R_n, K]
        received = [self.table[index] for index in self.index]
        # by some rules it keeps something of its own entry
        return keeps(self, trained, received) if keeps else received

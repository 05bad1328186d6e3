"""Models that rank items for users, and how good a ranking is.

Shapes: U users, I items, B rows of a batch, T tasks, D the width of an embedding, k the length of a list.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pfmsm_lite.rivals.feedback import KINDS, Interactions

# ---------------------------------------------------------------- the model


def neighbours(data: Interactions) -> Tensor:
    """Symmetric-normalized graph of users and items, [U + I, U + I] sparse: D^−1/2 A D^−1/2, no self-loops.

    Its edges are the training pairs with a positive main label. A user or item without an edge has a row of
    zeros. LightGCN (He et al., SIGIR 2020), eq. 3.
    """
    users, items = data.positives.T
    edge = torch.stack([users, data.users + items])
    edge, size = torch.cat([edge, edge.flip(0)], 1), data.users + data.items
    degree = torch.bincount(edge[0], minlength=size).clamp(min=1).float()
    weights = degree[edge].prod(0).rsqrt()
    return torch.sparse_coo_tensor(edge, weights, (size, size), check_invariants=True).coalesce()


class Factors(nn.Module):
    """User and item embeddings whose dot product is a score, with one head per auxiliary task.

    layers  0: matrix factorization, the two tables themselves. 1 and more: LightGCN, the mean of what the
            tables are after 0, 1, …, `layers` steps along the graph of training clicks
    """

    def __init__(self, data: Interactions, width: int, generator: torch.Generator, layers: int = 0):
        super().__init__()
        sizes = {"user": data.users, "item": data.items}
        self.tables = nn.ParameterDict(
            {
                side: nn.Parameter(torch.empty(count, width).normal_(std=0.1, generator=generator))
                for side, count in sizes.items()
            }
        )
        self.heads = nn.ModuleList(
            KINDS[kind][0](width, data.classes(name)) for name, kind in data.tasks.items()
        )
        self.kinds, self.layers = tuple(data.tasks.values()), layers
        self.graph = neighbours(data) if layers else None

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """(users [U, D], items [I, D]) as scores and heads see them: mean over k of (D^−1/2 A D^−1/2)^k E."""
        if self.graph is None:
            return self.tables["user"], self.tables["item"]
        both = self.tables["user"], self.tables["item"]
        total = step = torch.cat(both)  # [U + I, D]
        graph = self.graph.to(step.dtype)
        for _ in range(self.layers):
            step = graph @ step
            total = total + step
        users, items = (total / (self.layers + 1)).split([len(table) for table in both])
        return users, items

    def scores(self, users: Tensor) -> Tensor:
        """Dot products [B, I] of the users [B] int64 with every item."""
        own, items = self.embeddings()
        return own[users] @ items.T

    def forward(self, users: Tensor, items: Tensor, negatives: Tensor, labels: Tensor) -> Tensor:
        """One loss per task, [T]; users, items, negatives [B] int64, labels [B, T], NaN where unknown."""
        of_users, of_items = self.embeddings()
        rows = of_users[users], of_items[items], of_items[negatives]  # [B, D] each
        each = zip(self.kinds, self.heads, labels.T, strict=True)
        return torch.stack([KINDS[kind][1](head, *rows, column) for kind, head, column in each])


# ---------------------------------------------------------------- metrics


def ranking_metrics(
    scores: Tensor, seen: Tensor, relevant: Tensor, at: Sequence[int] = (20, 40)
) -> dict[str, Tensor]:
    """Recall, NDCG and hit ratio at each k of `at`, over all items but those already seen.

    scores    [B, I] float;  seen, relevant  [B, I] bool: items left out of the list, items to find
    returns   {"recall@20": [B], "ndcg@20": [B], "hit@20": [B], …} in 0 to 1, NaN for a user without relevant
              items
    raises    FloatingPointError for NaN among the scores

    recall = hits among the first k / relevant items;  ndcg = Σ_hits 1/log2(1 + place) / its largest value;
    hit = 1 if there is any hit. Items of equal score are in an arbitrary order.
    """
    if scores.isnan().any():
        raise FloatingPointError("There is NaN among the scores. Train with a smaller learning rate.")
    first = min(max(at), scores.shape[1])
    top = scores.masked_fill(seen, -torch.inf).topk(first, 1).indices
    hits = (relevant & ~seen).gather(1, top).double()  # [B, first]
    number = relevant.sum(1)
    nan = torch.full(number.shape, math.nan, dtype=torch.float64)
    discount = 1 / torch.arange(2, first + 2, dtype=torch.float64).log2()
    best = torch.cat([torch.zeros(1, dtype=torch.float64), discount.cumsum(0)])  # [first + 1]
    found = {}
    for k in at:
        own = hits[:, :k]
        found[f"recall@{k}"] = own.sum(1) / number
        found[f"ndcg@{k}"] = own @ discount[:k] / best[number.clamp(max=min(k, first))]
        found[f"hit@{k}"] = own.sum(1).clamp(max=1)
    return {name: torch.where(number > 0, values, nan) for name, values in found.items()}


def _mask(pairs, users, items):
    """[B, I] bool: which items each of the consecutive users [B] has among `pairs`."""
    own = pairs[(pairs[:, 0] >= users[0]) & (pairs[:, 0] <= users[-1])]
    mask = torch.zeros(len(users), items, dtype=torch.bool)
    mask[own[:, 0] - users[0], own[:, 1]] = True
    return mask


@torch.no_grad()
def evaluate(
    score: Callable[[Tensor], Tensor],
    data: Interactions,
    split: str = "valid",
    at: Sequence[int] = (20, 40),
    chunk: int = 1024,
) -> dict:
    """Recall, NDCG and hit ratio of each user's held-out items, in a full ranking.

    score    users [B] int64 → scores [B, I];  split  "valid" or "test";  at  lengths of the list
    returns  dict: "recall@20", … (means over users with items to find, see `ranking_metrics`); users and
             left_out: how many of each; by_user: {"recall@20": [U] float64, …}, NaN for the users left out
    raises   FloatingPointError for NaN among the scores

    Out of a user's list: the items of its training pairs with a positive main label; for "test" those of its
    validation pairs, too. All others are ranked, also items that it was shown and did not choose.
    """
    seen = data.positives if split == "valid" else torch.cat([data.positives, data.valid])
    wanted, found = getattr(data, split), []
    for users in torch.arange(data.users).split(chunk):
        masks = (_mask(pairs, users, data.items) for pairs in (seen, wanted))
        found.append(ranking_metrics(score(users), *masks, at))
    by_user = {name: torch.cat([part[name] for part in found]).numpy() for name in found[0]}
    number = int((~torch.from_numpy(by_user[f"recall@{at[0]}"]).isnan()).sum())
    means = {name: float(torch.from_numpy(values).nanmean()) for name, values in by_user.items()}
    return {**means, "users": number, "left_out": data.users - number, "by_user": by_user}


def popularity(data: Interactions) -> Callable[[Tensor], Tensor]:
    """The baseline to beat, for `evaluate`: scores every item by its number of positive training rows.

    returns  users [B] int64 → scores [B, I], the same for every user
    """
    counts = torch.bincount(data.positives[:, 1], minlength=data.items).float()
    return lambda users: counts.expand(len(users), -1)

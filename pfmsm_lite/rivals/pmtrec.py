"""PMTRec: every user and every item has task weights of its own, from its gradient norms.

PMTRec (IEEE BigData 2024, arXiv 2407.21364). Its abstract names three modules: task weights from the gradient
norms of each user and item, Task Focusing towards the main task, Gradient Magnitude Balancing. How they are
computed is not in what we have: every formula below is a reconstruction, and so are encoder, data and loop.

Shapes: U users, I items, N entries of either embedding table, R rows of a log, B rows of a batch, T tasks, D
the width of an embedding. Task 0 is the main one.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.rivals.feedback import (
    KINDS,
    SYNTHETIC_TASKS,
    Factors,
    Interactions,
    held_out,
    interactions,
    synthetic_log,
)

__all__ = [
    "KINDS",
    "SYNTHETIC_TASKS",
    "VARIANTS",
    "WEIGHTS",
    "Factors",
    "History",
    "Interactions",
    "Variant",
    "balance",
    "combine",
    "direction",
    "evaluate",
    "even_weights",
    "focus",
    "focus_share",
    "gradient_norms",
    "held_out",
    "interactions",
    "personal_weights",
    "popularity",
    "ranking_metrics",
    "row_gradients",
    "sample_negatives",
    "shared_weights",
    "synthetic_log",
    "take_step",
    "train",
]

# ---------------------------------------------------------------- the steps, by name


def row_gradients(losses: Tensor, tables: Iterable[Tensor]) -> list[Tensor]:
    """∂L_t/∂e_n for every entry e_n of all embedding tables at once; 0 where it has no part in a task.

    losses   [T], of one batch;  tables  parameters [N, D] that they were computed with
    returns  a list of [N, T, D], one per table

    One backward pass per task: the n-th part of the gradient of the whole table is the gradient of e_n.
    """
    tables, columns = list(tables), []
    for loss in losses:
        found = torch.autograd.grad(loss, tables, retain_graph=True, allow_unused=True)
        columns.append([torch.zeros_like(t) if g is None else g for g, t in zip(found, tables, strict=True)])
    return [torch.stack(column, 1) for column in zip(*columns, strict=True)]


def gradient_norms(gradients: Tensor) -> Tensor:
    """n_{u,t} = ‖∂L_t/∂e_u‖: [N, T, D] → [N, T]."""
    return gradients.norm(dim=-1)


def balance(gradients: Tensor) -> Tensor:
    """Gradient Magnitude Balancing: g'_{u,t} = g_{u,t} · (mean norm of the entry's tasks / n_{u,t}).

    gradients  [N, T, D];  returns [N, T, D]

    An entry's tasks then have one norm, and every direction is kept. The mean is over the tasks in which the
    entry takes part (norm above 0); the others stay 0, and an entry with a single task is unchanged.
    Reconstruction.
    """
    norms = gradient_norms(gradients)
    there = norms > 0
    mean = norms.sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
    return gradients * torch.where(there, mean / norms.where(there, torch.ones(())), 0.0)[..., None]


def even_weights(norms: Tensor, temperature: float = 1.0) -> Tensor:
    """1/T for every entry and task: [N, T] → [N, T]."""
    return torch.full_like(norms, 1 / norms.shape[1])


def personal_weights(norms: Tensor, temperature: float = 1.0) -> Tensor:
    """Task weights of each entry: w_u = softmax_t(n_{u,t} / τ), the task that pulls hardest has most.

    norms    [N, T];  temperature  τ > 0, in the unit of the norms
    returns  [N, T], each entry's weights sum to one

    A task in which the entry takes no part (norm 0) has weight 0: its share goes to the others. An entry
    without any gradient has even weights. Reconstruction (weights from norms: the abstract; softmax and τ:
    ours).
    """
    there = norms > 0
    nowhere = ~there.any(1, keepdim=True)
    return torch.where(there | nowhere, norms / temperature, -torch.inf).softmax(1)


def shared_weights(norms: Tensor, temperature: float = 1.0) -> Tensor:
    """One weight per task for everybody: softmax of the mean norm over the entries that have one, [N, T]."""
    mean = norms.sum(0, keepdim=True) / (norms > 0).sum(0, keepdim=True).clamp(min=1)
    return personal_weights(mean, temperature).expand_as(norms)


def focus(weights: Tensor, share: float) -> Tensor:
    """Task Focusing: w' = (1 − λ) w + λ · onehot(task 0), [N, T]; share: λ from 0 to 1. Reconstruction."""
    onehot = F.one_hot(torch.tensor(0), weights.shape[1]).to(weights)
    return (1 - share) * weights + share * onehot


def focus_share(schedule: str, epoch: int, length: float) -> float:
    """λ_k of epoch k, from 0: `ramp` min(1, k / length), `none` 0, `start` 1: the main task alone."""
    ramp = min(1.0, epoch / length) if length > 0 else 1.0
    return {"ramp": ramp, "none": 0.0, "start": 1.0}[schedule]


def combine(gradients: Tensor, weights: Tensor) -> Tensor:
    """Σ_t w_{u,t} g_{u,t}: [N, T, D] and [N, T] → [N, D]."""
    return torch.einsum("ntd,nt->nd", gradients, weights)


WEIGHTS = {"even": even_weights, "shared": shared_weights, "personal": personal_weights}


@dataclass(frozen=True)
class Variant:
    """Which modules are on: weights (see WEIGHTS), balance, and the focus schedule (see focus_share)."""

    summary: str
    weights: str = "even"
    balance: bool = False
    focus: str = "none"


VARIANTS = {
    "main_only": Variant("the recommendation task alone: focus from the start", focus="start"),
    "equal": Variant("all tasks alike"),
    "shared": Variant("one weight per task, for everybody", "shared"),
    "personal": Variant("personal weights, nothing else", "personal"),
    "no_weights": Variant("pmtrec with equal weights", "even", True, "ramp"),
    "no_personal": Variant("pmtrec with one weight per task for everybody", "shared", True, "ramp"),
    "no_focus": Variant("pmtrec without Task Focusing", "personal", True),
    "no_balance": Variant("pmtrec without Gradient Magnitude Balancing", "personal", False, "ramp"),
    "pmtrec": Variant("personal weights, balanced and focused", "personal", True, "ramp"),
}


def direction(
    gradients: Tensor, variant: Variant, temperature: float = 1.0, share: float = 0.0
) -> tuple[Tensor, Tensor]:
    """What a step of size 1 subtracts from every entry of a table, and with which weights.

    gradients    [N, T, D];  variant  a Variant;  share  λ
    temperature  of the weights, in units of the mean norm of this table's gradients (those above 0), so that
                 it means the same for users, for items and at every stage of training
    returns      ([N, D], weights [N, T])

    Weights come from the norms before balancing, which would make them all alike. Reconstruction.
    """
    norms = gradient_norms(gradients)
    unit = float(norms.sum() / (norms > 0).sum().clamp(min=1)) or 1.0
    weights = focus(WEIGHTS[variant.weights](norms, temperature * unit), share)
    return combine(balance(gradients) if variant.balance else gradients, weights), weights


# ---------------------------------------------------------------- metrics


def ranking_metrics(scores: Tensor, seen: Tensor, relevant: Tensor, k: int = 20) -> tuple[Tensor, Tensor]:
    """Recall@k and NDCG@k over all items but those already seen.

    scores    [B, I] float;  seen, relevant  [B, I] bool: items left out of the list, items to find
    returns   (recall [B], ndcg [B]) in 0 to 1; NaN for a user without relevant items
    raises    FloatingPointError for NaN among the scores

    recall = hits among the first k / relevant items; ndcg = Σ_hits 1/log2(1 + place) / its largest value.
    """
    if scores.isnan().any():
        raise FloatingPointError("There is NaN among the scores. Train with a smaller step.")
    first = min(k, scores.shape[1])
    top = scores.masked_fill(seen, -torch.inf).topk(first, 1).indices
    hits = (relevant & ~seen).gather(1, top).double()
    number = relevant.sum(1)
    discount = 1 / torch.arange(2, first + 2, dtype=torch.float64).log2()
    best = torch.cat([torch.zeros(1, dtype=torch.float64), discount.cumsum(0)])[number.clamp(max=first)]
    nan = torch.full(number.shape, math.nan, dtype=torch.float64)
    recall, ndcg = hits.sum(1) / number, hits @ discount / best
    return torch.where(number > 0, recall, nan), torch.where(number > 0, ndcg, nan)


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
    k: int = 20,
    chunk: int = 1024,
) -> dict:
    """Recall@k and NDCG@k of each user on held-out items; training items are left out of the list.

    score    users [B] int64 → scores [B, I];  split  "valid", or "test": without validation items too
    returns  dict: recall, ndcg (means over users with items to find), users, left_out (how many of each), and
             by_user: {"recall", "ndcg"} → [U] float64, NaN for the users left out
    raises   FloatingPointError for NaN among the scores
    """
    seen = data.positives if split == "valid" else torch.cat([data.positives, data.valid])
    wanted = getattr(data, split)
    found = []
    for users in torch.arange(data.users).split(chunk):
        masks = (_mask(pairs, users, data.items) for pairs in (seen, wanted))
        found.append(torch.stack(ranking_metrics(score(users), *masks, k)))
    recall, ndcg = torch.cat(found, 1)
    number = int((~recall.isnan()).sum())
    means = {"recall": float(recall.nanmean()), "ndcg": float(ndcg.nanmean())}
    by_user = {"recall": recall.numpy(), "ndcg": ndcg.numpy()}
    return {**means, "users": number, "left_out": data.users - number, "by_user": by_user}


def popularity(data: Interactions) -> Callable[[Tensor], Tensor]:
    """The baseline to beat, for `evaluate`: scores every item by its number of positive training rows.

    returns  users [B] int64 → scores [B, I], the same for every user
    """
    counts = torch.bincount(data.positives[:, 1], minlength=data.items).float()
    return lambda users: counts.expand(len(users), -1)


# ---------------------------------------------------------------- training


@dataclass
class History:
    """What a training run was.

    epochs   one dict per epoch: epoch, focus (λ), loss {task: mean over rows}, recall, ndcg (validation)
    weights  {"user": [E, U, T], "item": [E, I, T]} float32 for E epochs: mean over the batches of an epoch
             in which the embedding entry had a gradient; even weights for an entry without any
    best     number of the epoch with the best validation NDCG
    test     what `evaluate` found on test items with that epoch's embeddings
    model    the model of that epoch
    """

    variant: str
    seed: int
    tasks: tuple[str, ...]
    epochs: list[dict] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)
    best: int = -1
    test: dict = field(default_factory=dict)
    model: Factors | None = None
    seconds: float = 0.0


def sample_negatives(
    users: Tensor, known: Tensor, items: int, generator: torch.Generator, tries: int = 10
) -> Tensor:
    """An item for each of `users` [B] at random, not among its positives (or, after `tries` draws, any): [B].

    known  [·] int64 ascending: user · items + item of the positive pairs;  items  how many there are
    """
    found = torch.randint(items, users.shape, generator=generator)
    for _ in range(tries if len(known) else 0):
        key = users * items + found
        hit = known[torch.searchsorted(known, key).clamp(max=len(known) - 1)] == key
        if not hit.any():
            break
        found[hit] = torch.randint(items, (int(hit.sum()),), generator=generator)
    return found


def take_step(
    model: Factors,
    batch: tuple[Tensor, Tensor, Tensor, Tensor],
    variant: Variant,
    step: float,
    temperature: float = 1.0,
    share: float = 0.0,
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """e ← e − η Σ_t w'_{u,t} g'_{u,t} for every user and item, from one batch.

    batch    (users, items, negatives [B] int64, labels [B, T]);  step  η;  share  λ
    returns  (losses [T], {"user": weights [U, T], "item": …}, {"user": [U] bool had a gradient, "item": …})

    Leaves the heads' gradients in their .grad: a head has one task, so there is nothing to weight.
    """
    losses = model(*batch)
    gradients = dict(zip(model.tables, row_gradients(losses, model.tables.values()), strict=True))
    heads = list(model.heads.parameters())
    if heads:
        losses.sum().backward(inputs=heads)
    weights = {}
    for side, table in model.tables.items():
        update, weights[side] = direction(gradients[side], variant, temperature, share)
        table.data -= step * update
    return losses.detach(), weights, {side: (g != 0).flatten(1).any(1) for side, g in gradients.items()}


def _check(data, name, variant, positive):
    """Refuse, before training, what cannot be trained."""
    for what, value in positive.items():
        if not value > 0:
            raise UserError(f"{what} is {value}, but it must be above 0.")
    if len(data.tasks) < 2 and variant.focus != "start":
        raise UserError(
            f"{name!r} weighs tasks against each other, so it needs at least one auxiliary task besides "
            f"{next(iter(data.tasks))!r}. Name another column, or use the variant 'main_only'."
        )


def train(
    data: Interactions,
    variant: str | Variant = "pmtrec",
    epochs: int = 40,
    seed: int = 0,
    *,
    width: int = 16,
    step: float = 0.1,
    temperature: float = 1.0,
    focus_epochs: int | None = None,
    batch_size: int = 256,
    head_step: float = 0.01,
    k: int = 20,
    progress: Callable[[int, int, float], object] | None = None,
) -> History:
    """Train one variant on Interactions and return its History; the same seed gives the same numbers.

    variant       name in VARIANTS, or a Variant
    width         of an embedding;  step  η of the embeddings (plain gradient steps)
    head_step     of Adam, for the heads
    temperature   τ of the weights, see `direction`
    focus_epochs  K of Task Focusing, in epochs: λ = min(1, epoch / K), epochs from 0; left out: `epochs`
    k             of Recall@k and NDCG@k; the epoch with the best validation NDCG@k is tested, once
    progress      called after each epoch with (epoch, epochs, validation NDCG)
    raises        UserError for a bad setting or without an auxiliary task; FloatingPointError for NaN
    """
    name = variant if isinstance(variant, str) else variant.summary
    if isinstance(variant, str):
        variant = VARIANTS[choose("variant", name, VARIANTS)]
    positive = {"epochs": epochs, "width": width, "step": step, "temperature": temperature, "k": k}
    _check(data, name, variant, {**positive, "batch_size": batch_size, "head_step": head_step})
    start = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    model = Factors(data, width, generator)
    adam = torch.optim.Adam([*model.heads.parameters(), torch.zeros(0)], lr=head_step)  # there may be no head
    history, weights, best = History(name, seed, tuple(data.tasks)), [], -math.inf
    for epoch in range(epochs):
        share = focus_share(variant.focus, epoch, epochs if focus_epochs is None else focus_epochs)
        batches = _batches(data, batch_size, generator)
        loss, found = _train_epoch(model, adam, batches, variant, step, temperature, share)
        weights.append(found)
        valid = evaluate(model.scores, data, "valid", k)
        losses = dict(zip(data.tasks, (loss / data.known_labels).tolist(), strict=True))
        scores = {"recall": valid["recall"], "ndcg": valid["ndcg"]}
        history.epochs.append({"epoch": epoch, "focus": share, "loss": losses, **scores})
        if valid["ndcg"] > best:
            best, history.best = valid["ndcg"], epoch
            state = {key: value.clone() for key, value in model.state_dict().items()}
        if progress:
            progress(epoch + 1, epochs, valid["ndcg"])
    model.load_state_dict(state)
    history.model = model
    history.weights = {side: torch.stack([found[side] for found in weights]) for side in model.tables}
    history.test = evaluate(model.scores, data, "test", k)
    history.seconds = time.perf_counter() - start
    return history


def _batches(data, batch_size, generator):
    """The training rows once, in random order: (users, items, negatives [B], labels [B, T]) at a time."""
    known = (data.positives[:, 0] * data.items + data.positives[:, 1]).sort().values
    for batch in torch.randperm(len(data.pairs), generator=generator).split(batch_size):
        users, items = data.pairs[batch].T.contiguous()
        yield users, items, sample_negatives(users, known, data.items, generator), data.labels[batch]


def _train_epoch(model, adam, batches, variant, step, temperature, share):
    """(losses [T] summed over the batches, {"user": weights [U, T], "item": …} as in History)."""
    total = torch.zeros(())
    sums, counts = dict.fromkeys(model.tables, total), dict.fromkeys(model.tables, total)
    for batch in batches:
        losses, weights, active = take_step(model, batch, variant, step, temperature, share)
        adam.step()
        total = total + losses
        for side, own in active.items():
            sums[side] = sums[side] + weights[side] * own[:, None]
            counts[side] = counts[side] + own[:, None].float()
    even = torch.tensor(1 / len(model.kinds))
    return total, {s: (sums[s] / n.clamp(min=1)).where(n > 0, even) for s, n in counts.items()}

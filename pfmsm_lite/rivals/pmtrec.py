"""PMTRec: every user and every item has task weights of its own, from the norms of its gradients.

PMTRec (Yang et al., IEEE BigData 2024, arXiv 2407.21364), algorithm 1. In epoch s = 1, 2, …, for every batch:

    g_t    = ∂L_t/∂E             a gradient per task, for each user's and each item's vector
    n_t    = ‖g_t‖₂              per user and per item, over the vector's width
    n_main ← n_main · α^s        Task Focusing, eq. 4: before the softmax
    w      = softmax_t(n / τ)    Gradient Magnitude Balancing, eq. 5: a temperature, nothing is rescaled
    E      ← a step along Σ_t w_t g_t, eq. 6: of the raw gradients

Differs from the source: the softmax is over the tasks in which an entry takes part (n_t > 0), where the paper
has all of them, so that absent tasks take no weight away. Losses are sums over a batch; means over it are the
same with τ divided by its size. Not here: the paper's auxiliary tasks on pairs of users (social) or of items
(viewed together), and its encoder NGCF. Unknown: how it scales losses, and how it trains the heads.

Shapes: U users, I items, N entries of either embedding table, B rows of a batch, T tasks, D the width of an
embedding. Task 0 is the main one.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.rivals.feedback import Interactions
from pfmsm_lite.rivals.ranking import Factors, evaluate

# ---------------------------------------------------------------- the steps of algorithm 1


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


def focused(norms: Tensor, epoch: int, alpha: float, temperature: float, drawn: Tensor) -> Tensor:
    """The logits of PMTRec's weights: n / τ, the main task's norm times α^s first (eqs. 4 and 5).

    norms    [N, T];  epoch  s, from 1;  alpha  α ≥ 1;  temperature  τ > 0, in the unit of the norms
    returns  [N, T]
    """
    gain = math.exp(min(epoch * math.log(alpha), 40))  # beyond e^40 nothing changes but for an overflow
    return torch.cat([gain * norms[:, :1], norms[:, 1:]], 1) / temperature


def even(norms: Tensor, epoch: int, alpha: float, temperature: float, drawn: Tensor) -> Tensor:
    """Logits of equal weights: zeros [N, T]."""
    return torch.zeros_like(norms)


def random(norms: Tensor, epoch: int, alpha: float, temperature: float, drawn: Tensor) -> Tensor:
    """Logits of random weights, the same for every entry: normal numbers `drawn` [T] once per epoch.

    Random loss weighting (RLW, Lin et al., TMLR 2022). It draws in every step; once per epoch as in PMTRec's
    comparison.
    """
    return drawn.to(norms).expand_as(norms)


def main_alone(norms: Tensor, epoch: int, alpha: float, temperature: float, drawn: Tensor) -> Tensor:
    """Logits of the main task alone: 0 and −∞, [N, T]."""
    return torch.zeros_like(norms).index_fill(1, torch.arange(1, norms.shape[1]), -torch.inf)


@dataclass(frozen=True)
class Arm:
    """One way of weighing tasks, a row of ARMS.

    logits       function of (norms [N, T], epoch, α, τ, drawn [T]) → [N, T]
    alpha, temperature  what this arm fixes; None: a setting of the training
    """

    summary: str
    logits: Callable[[Tensor, int, float, float, Tensor], Tensor]
    alpha: float | None = 1.0
    temperature: float | None = 1.0


ARMS = {
    "main_only": Arm("the main task alone", main_alone),
    "equal": Arm("all tasks alike", even),
    "random": Arm("weights drawn anew in every epoch", random),
    "no_focus": Arm("pmtrec without Task Focusing: α = 1", focused, temperature=None),
    "no_temperature": Arm("pmtrec without Gradient Magnitude Balancing: τ = 1", focused, alpha=None),
    "pmtrec": Arm("weights from focused norms", focused, None, None),
}


def task_weights(
    norms: Tensor,
    arm: str | Arm = "pmtrec",
    epoch: int = 1,
    alpha: float = 1.1,
    temperature: float = 1.0,
    drawn: Tensor | None = None,
) -> Tensor:
    """Task weights of each entry: a softmax over the tasks in which it takes part.

    norms    [N, T] norms of an entry's gradients, 0: no part in that task;  arm  name in ARMS, or an Arm
    epoch    s, from 1;  alpha, temperature  α and τ, where the arm does not fix them
    drawn    [T] normal numbers, for the arm `random`
    returns  [N, T]; the weights of an entry sum to one, whatever tasks it lacks. All are 0 for an entry that
             takes part in none (under main_only: not in the main task)

    PMTRec, eqs. 4 and 5. At α = 1 and τ → ∞ weights are equal, at τ → 0 the longest gradient has all of it.
    """
    arm = ARMS[choose("arm", arm, ARMS)] if isinstance(arm, str) else arm
    alpha = alpha if arm.alpha is None else arm.alpha
    temperature = temperature if arm.temperature is None else arm.temperature
    drawn = torch.zeros(norms.shape[1]) if drawn is None else drawn
    logits = arm.logits(norms, epoch, alpha, temperature, drawn)
    return logits.masked_fill(norms == 0, -torch.inf).softmax(1).nan_to_num()


def combine(gradients: Tensor, weights: Tensor) -> Tensor:
    """Σ_t w_{u,t} g_{u,t}, eq. 6: [N, T, D] and [N, T] → [N, D]."""
    return torch.einsum("ntd,nt->nd", gradients, weights)


# ---------------------------------------------------------------- training

OPTIMIZERS = {"adam": torch.optim.Adam, "plain": torch.optim.SGD}  # plain: the last line of algorithm 1


@dataclass
class History:
    """A training run and its results.

    epochs   one dict per epoch: epoch (from 1), loss {task: mean over rows}, and of validation recall, ndcg,
             hit at each k
    weights  {"user": [E, U, T], "item": [E, I, T]} float32 for E epochs: mean over the batches of an epoch
             in which the embedding entry had a gradient; 0 for an entry without any
    best     number of the epoch with the best validation NDCG, and valid: that NDCG
    test     what `evaluate` found on test items with that epoch's embeddings
    model    the model of that epoch
    """

    arm: str
    seed: int
    tasks: tuple[str, ...]
    epochs: list[dict] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)
    best: int = 0
    valid: float = -math.inf
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
    optimizer: torch.optim.Optimizer,
    weigh: Callable[[Tensor], Tensor],
) -> tuple[Tensor, dict[str, Tensor]]:
    """One step of every user's and item's vector along its own Σ_t w_t g_t, and of the heads.

    batch    (users, items, negatives [B] int64, labels [B, T]);  weigh  norms [N, T] → weights [N, T]
    returns  (losses [T], {"user": weights [U, T], "item": [I, T]}, 0 for an entry without a gradient)

    A head has one task, so there is nothing to weigh: it gets its own loss's gradient.
    """
    losses, weights = model(*batch), {}
    gradients = row_gradients(losses, model.tables.values())
    optimizer.zero_grad()
    heads = list(model.heads.parameters())
    if heads:
        losses.sum().backward(inputs=heads)
    for (side, table), own in zip(model.tables.items(), gradients, strict=True):
        weights[side] = weigh(own.norm(dim=-1))
        table.grad = combine(own, weights[side])
    optimizer.step()
    return losses.detach(), weights


def _check(data, name, arm, alpha, layers, positive):
    """Refuse, before training, what cannot be trained."""
    for what, value in positive.items():
        if not value > 0:
            raise UserError(f"{what} is {value}, but it must be above 0.")
    if layers < 0:
        raise UserError(f"layers is {layers}, but it must be 0 (matrix factorization) or more (LightGCN).")
    if not alpha >= 1:
        raise UserError(f"alpha is {alpha}, but it must be at least 1: α^s is to favour the main task.")
    if len(data.tasks) < 2 and arm.logits is not main_alone:
        raise UserError(
            f"{name!r} weighs tasks against each other, so it needs at least one auxiliary task besides "
            f"{next(iter(data.tasks))!r}. Name another column, or use the arm 'main_only'."
        )


def train(
    data: Interactions,
    arm: str | Arm = "pmtrec",
    epochs: int = 60,
    seed: int = 0,
    *,
    layers: int = 0,
    width: int = 16,
    learning_rate: float = 0.02,
    alpha: float = 1.1,
    temperature: float = 1.0,
    optimizer: str = "adam",
    weight_decay: float = 0.0,
    batch_size: int = 512,
    patience: int = 10,
    at: Sequence[int] = (20, 40),
) -> History:
    """Train one arm on Interactions and return its History; the same seed gives the same numbers.

    arm           name in ARMS, or an Arm;  alpha, temperature  α and τ, see `task_weights`
    layers        0: matrix factorization; 1 and more: LightGCN with that many layers
    width         of an embedding;  optimizer  name in OPTIMIZERS, for embeddings and heads
    patience      stop after this many epochs without a better validation NDCG
    at            lengths of the list, see `evaluate`; the epoch with the best validation NDCG at the first of
                  them is tested, once
    raises        UserError for a bad setting or without an auxiliary task; FloatingPointError for NaN
    """
    name = arm if isinstance(arm, str) else arm.summary
    arm = ARMS[choose("arm", arm, ARMS)] if isinstance(arm, str) else arm
    positive = {"epochs": epochs, "width": width, "learning_rate": learning_rate, "temperature": temperature}
    _check(data, name, arm, alpha, layers, {**positive, "batch_size": batch_size, "patience": patience})
    start, generator = time.perf_counter(), torch.Generator().manual_seed(seed)
    chance = torch.Generator().manual_seed(seed)  # of the arm `random`: no other arm depends on it
    model = Factors(data, width, generator, layers)
    kind = OPTIMIZERS[choose("optimizer", optimizer, OPTIMIZERS)]
    steps = kind(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    history, weights = History(name, seed, tuple(data.tasks)), []
    for epoch in range(1, epochs + 1):
        drawn = torch.randn(len(data.tasks), generator=chance)
        rule = {"arm": arm, "epoch": epoch, "alpha": alpha, "temperature": temperature, "drawn": drawn}
        batches = _batches(data, batch_size, generator)
        loss, found = _train_epoch(model, steps, batches, partial(task_weights, **rule))
        weights.append(found)
        valid = evaluate(model.scores, data, "valid", at)
        losses = dict(zip(data.tasks, (loss / data.known_labels).tolist(), strict=True))
        scores = {key: value for key, value in valid.items() if "@" in key}
        history.epochs.append({"epoch": epoch, "loss": losses, **scores})
        if valid[f"ndcg@{at[0]}"] > history.valid:
            history.valid, history.best = valid[f"ndcg@{at[0]}"], epoch
            state = {key: value.clone() for key, value in model.state_dict().items()}
        if epoch - history.best >= patience:
            break
    model.load_state_dict(state)
    history.model = model
    history.weights = {side: torch.stack([found[side] for found in weights]) for side in model.tables}
    history.test = evaluate(model.scores, data, "test", at)
    history.seconds = time.perf_counter() - start
    return history


def _batches(data, batch_size, generator):
    """The training rows once, in random order: (users, items, negatives [B], labels [B, T]) at a time."""
    known = (data.positives[:, 0] * data.items + data.positives[:, 1]).sort().values
    for batch in torch.randperm(len(data.pairs), generator=generator).split(batch_size):
        users, items = data.pairs[batch].T.contiguous()
        yield users, items, sample_negatives(users, known, data.items, generator), data.labels[batch]


def _train_epoch(model, optimizer, batches, weigh):
    """(losses [T] summed over the batches, {"user": weights [U, T], "item": …} as in History)."""
    total = torch.zeros(())
    sums, counts = dict.fromkeys(model.tables, total), dict.fromkeys(model.tables, total)
    for batch in batches:
        losses, weights = take_step(model, batch, optimizer, weigh)
        total = total + losses
        for side, own in weights.items():
            sums[side] = sums[side] + own
            counts[side] = counts[side] + own.any(1, keepdim=True)
    return total, {side: sums[side] / number.clamp(min=1) for side, number in counts.items()}

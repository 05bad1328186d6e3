"""PMTRec: every user and every item has task weights of its own, from its gradient norms.

PMTRec (IEEE BigData 2024, arXiv 2407.21364). Its abstract names three modules: task weights from the gradient
norms of each user and item, Task Focusing towards the main task, Gradient Magnitude Balancing. How they are
computed is not in what we have: every formula below is a reconstruction, and so are encoder, data and loop.

Shapes: U users, I items, N rows of either table, R rows of a log, B rows of a batch, T tasks, D the width of
an embedding. Task 0 is the main one.
"""

import math
import time
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pfmsm_lite.data.columns import read_labels, refuse
from pfmsm_lite.errors import UserError, choose

# ---------------------------------------------------------------- tasks: one entry each
# A task is a column of the log and its kind; a kind is a head over the embeddings and a loss of (head, users,
# items, negatives [B, D], labels [B] with NaN where unknown) → scalar. Losses are sums over the batch's rows:
# the gradient of one user does not depend on who else is in the batch.


class Product(nn.Module):
    """Logit [B] of a pair: Σ_d r_d · u_d · i_d + b, the dot product with dimensions weighed by the task."""

    def __init__(self, width, classes):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(()))

    def forward(self, users, items):
        return (users * items) @ self.weight + self.bias


def linear(width, classes):
    """Logits [B, classes] from one embedding; starts at zero, so that it draws no random numbers."""
    head = nn.utils.skip_init(nn.Linear, width, classes)
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    return head


def ranking_loss(head, users, items, negatives, labels):
    """Bayesian personalized ranking (Rendle et al., UAI 2009): Σ −log σ(u·i − u·j) over rows labelled 1."""
    return -(F.logsigmoid((users * (items - negatives)).sum(-1)) * (labels == 1)).sum()


def pair_loss(head, users, items, negatives, labels):
    """Binary cross-entropy of a second kind of feedback, over rows whose label is known."""
    known = ~labels.isnan()
    loss = F.binary_cross_entropy_with_logits(head(users, items), labels.nan_to_num(), reduction="none")
    return (loss * known).sum()


def _class_loss(head, rows, labels):
    codes = labels.nan_to_num(nan=-1).long()
    return F.cross_entropy(head(rows), codes, ignore_index=-1, reduction="sum")


def user_loss(head, users, items, negatives, labels):
    """Cross-entropy of a class of the user (its age group, say), read off its embedding."""
    return _class_loss(head, users, labels)


def item_loss(head, users, items, negatives, labels):
    """Cross-entropy of a class of the item (its category, say), read off its embedding."""
    return _class_loss(head, items, labels)


KINDS = {  # kind → (head made of (width, classes), loss)
    "rank": (lambda width, classes: nn.Identity(), ranking_loss),
    "pair": (Product, pair_loss),
    "user": (linear, user_loss),
    "item": (linear, item_loss),
}


class Factors(nn.Module):
    """Matrix factorization (user and item embeddings, dot product) with one head per auxiliary task."""

    def __init__(self, data, width, generator):
        super().__init__()
        self.tables = nn.ParameterDict(
            {
                side: nn.Parameter(0.1 * torch.randn(rows, width, generator=generator))
                for side, rows in (("user", data.users), ("item", data.items))
            }
        )
        self.heads = nn.ModuleList(
            KINDS[kind][0](width, data.classes(name)) for name, kind in data.tasks.items()
        )
        self.kinds = tuple(data.tasks.values())

    def scores(self, users):
        """Dot products [B, I] of the users [B] int64 with every item."""
        return self.tables["user"][users] @ self.tables["item"].T

    def forward(self, users, items, negatives, labels):
        """One loss per task, [T]; users, items, negatives [B] int64, labels [B, T], NaN where unknown."""
        rows = self.tables["user"][users], self.tables["item"][items], self.tables["item"][negatives]
        each = zip(self.kinds, self.heads, labels.T, strict=True)
        return torch.stack([KINDS[kind][1](head, *rows, column) for kind, head, column in each])


# ---------------------------------------------------------------- the steps, by name


def row_gradients(losses, tables):
    """∂L_t/∂e_n for all rows of all tables at once; a row without a part in a task has 0.

    losses   [T], of one batch;  tables  parameters [N, D] that they were computed with
    returns  a list of [N, T, D], one per table

    One backward pass per task: row n of the gradient of the whole table is the gradient of e_n.
    """
    tables, columns = list(tables), []
    for loss in losses:
        found = torch.autograd.grad(loss, tables, retain_graph=True, allow_unused=True)
        columns.append([torch.zeros_like(t) if g is None else g for g, t in zip(found, tables, strict=True)])
    return [torch.stack(column, 1) for column in zip(*columns, strict=True)]


def gradient_norms(gradients):
    """n_{u,t} = ‖∂L_t/∂e_u‖: [N, T, D] → [N, T]."""
    return gradients.norm(dim=-1)


def balance(gradients):
    """Gradient Magnitude Balancing: g'_{u,t} = g_{u,t} · (mean norm of the row's tasks / n_{u,t}).

    gradients  [N, T, D];  returns [N, T, D]

    A row's tasks then have one norm, and every direction is kept. The mean is over the tasks in which the row
    takes part (norm above 0); the others stay 0, and a row with a single task is unchanged. Reconstruction.
    """
    norms = gradient_norms(gradients)
    there = norms > 0
    mean = norms.sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
    return gradients * torch.where(there, mean / norms.where(there, torch.ones(())), 0.0)[..., None]


def even_weights(norms, temperature=1.0):
    """1/T for every row and task: [N, T] → [N, T]."""
    return torch.full_like(norms, 1 / norms.shape[1])


def personal_weights(norms, temperature=1.0):
    """Task weights of each row: w_u = softmax_t(n_{u,t} / τ), the task that pulls hardest has most.

    norms    [N, T];  temperature  τ > 0, in the unit of the norms
    returns  [N, T], each row sums to one

    A task in which the row takes no part (norm 0) has weight 0: its share goes to the others. A row without
    any gradient has even weights. Reconstruction (weights from norms: the abstract; softmax and τ: ours).
    """
    there = norms > 0
    nowhere = ~there.any(1, keepdim=True)
    return torch.where(there | nowhere, norms / temperature, -torch.inf).softmax(1)


def shared_weights(norms, temperature=1.0):
    """One weight per task for everybody: the softmax of the mean norm over the rows that have one, [N, T]."""
    mean = norms.sum(0, keepdim=True) / (norms > 0).sum(0, keepdim=True).clamp(min=1)
    return personal_weights(mean, temperature).expand_as(norms)


def focus(weights, share):
    """Task Focusing: w' = (1 − λ) w + λ · onehot(task 0), [N, T]; share: λ from 0 to 1. Reconstruction."""
    onehot = F.one_hot(torch.tensor(0), weights.shape[1]).to(weights)
    return (1 - share) * weights + share * onehot


def focus_share(schedule, epoch, length):
    """λ_k of epoch k, from 0: `ramp` min(1, k / length), `none` 0, `start` 1: the main task alone."""
    ramp = min(1.0, epoch / length) if length > 0 else 1.0
    return {"ramp": ramp, "none": 0.0, "start": 1.0}[schedule]


def combine(gradients, weights):
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


def direction(gradients, variant, temperature=1.0, share=0.0):
    """What a step of size 1 takes off every row of a table, and with which weights.

    gradients    [N, T, D];  variant  a Variant;  share  λ
    temperature  of the weights, in units of the mean norm of this table's gradients (those above 0), so that
                 it means the same for users, for items and at every stage of training
    returns      ([N, D], weights [N, T])

    Weights are of the norms before balancing, which would make them all alike. Reconstruction.
    """
    norms = gradient_norms(gradients)
    unit = float(norms.sum() / (norms > 0).sum().clamp(min=1)) or 1.0
    weights = focus(WEIGHTS[variant.weights](norms, temperature * unit), share)
    return combine(balance(gradients) if variant.balance else gradients, weights), weights


# ---------------------------------------------------------------- data


@dataclass(frozen=True)
class Interactions:
    """A log of users and items, and what is held out of it.

    users, items  how many there are
    tasks         {name: kind}, the main one ("rank") first, see KINDS
    pairs         [R, 2] int64 user and item of the training rows, each pair once
    labels        [R, T] float32, one column per task, NaN where unknown: 0 or 1, or for the kinds user and
                  item the number of the class
    valid, test   [·, 2] int64 pairs with a positive main label; they are in no training row
    """

    users: int
    items: int
    tasks: dict
    pairs: torch.Tensor
    labels: torch.Tensor
    valid: torch.Tensor
    test: torch.Tensor

    def classes(self, name):
        """Number of classes of a task."""
        column = self.labels[:, list(self.tasks).index(name)].nan_to_num()
        return int(column.max()) + 1 if len(column) else 1

    @property
    def positives(self):
        """[·, 2] training pairs with a positive main label."""
        return self.pairs[self.labels[:, 0] == 1]

    @property
    def known_labels(self):
        """[T] rows that each task's loss adds up over (at least 1): for the main task, positive ones."""
        return torch.cat([self.labels[:, :1] == 1, ~self.labels[:, 1:].isnan()], 1).sum(0).clamp(min=1)


def held_out(users, order, valid=0.1, test=0.2):
    """Which of each user's rows are kept for validation and test: its last ones.

    users        [R] int64;  order [R] within a user: a time, or random numbers
    valid, test  shares of its rows, at least one row each; 0: leave the last one out, and the one before it
    returns      [R] int64: 0 train, 1 valid, 2 test. Training comes first: a user with one row has it there,
                 one with two rows has none for validation
    """
    import pandas as pd

    own = pd.DataFrame({"user": users, "order": order}).groupby("user")["order"]
    last = own.rank(method="first", ascending=False).to_numpy()  # 1 for the last row of its user
    n = own.transform("size").to_numpy()
    tests = np.where(n > 1, np.round(test * n).clip(1, None), 0).clip(None, n - 1 - (n > 2))
    valids = np.where(n > 2, np.round(valid * n).clip(1, None), 0).clip(None, n - 1 - tests)
    return np.where(last <= tests, 2, np.where(last <= tests + valids, 1, 0))


def interactions(df, tasks, user="user", item="item", time=None, valid=0.1, test=0.2, seed=0):
    """Interactions of a pandas DataFrame with one row per event.

    tasks   {column: kind}, the main one first and of the kind "rank" (see KINDS); or a list of 0/1 columns,
            the first the main one and the others of the kind "pair". Empty cells are unknown labels.
    time    column by which each user's last positive rows are held out; without it they are drawn with `seed`
    valid, test  shares of a user's positive rows

    A pair that occurs more than once is one row: for 0/1 columns with its largest label, for classes with its
    first, for time with its latest. Rows of held-out pairs leave training for all tasks.
    raises  UserError for missing columns, an empty table, labels that are none, or nothing to hold out
    """
    import pandas as pd

    if not isinstance(tasks, dict):
        tasks = {name: "rank" if t == 0 else "pair" for t, name in enumerate(tasks)}
    source, times = "the interactions", [] if time is None else [time]
    if not tasks or not len(df):
        raise UserError(
            "The interactions have no rows." if tasks else "Name at least one task: the main one."
        )
    for name in (user, item, *tasks, *times):
        choose("column of the interactions:", name, df.columns)
        if name not in tasks:
            refuse(
                df[name].isna().to_numpy(), df[name], source, "is empty: every row needs one. Drop the row."
            )
    for t, (name, kind) in enumerate(tasks.items()):
        choose(f"kind of task {name!r}", kind, KINDS)
        if (kind == "rank") != (t == 0):
            raise UserError(f"The first task, and no other, has the kind 'rank'; {name!r} is {kind!r}.")
    if not (valid >= 0 and test >= 0 and valid + test < 1):
        raise UserError(f"valid={valid} and test={test} must be shares whose sum is below 1.")
    binary = {name: kind in ("rank", "pair") for name, kind in tasks.items()}
    rows = pd.DataFrame({side: pd.factorize(df[name])[0] for side, name in (("user", user), ("item", item))})
    for name, zero_one in binary.items():
        column = read_labels(df[name], source) if zero_one else pd.factorize(df[name])[0].astype(np.float32)
        rows["task", name] = np.where(column < 0, np.nan, column)
    rows["order"] = pd.factorize(df[time], sort=True)[0] if times else 0.0
    how = {("task", name): "max" if zero_one else "first" for name, zero_one in binary.items()}
    rows = rows.groupby(["user", "item"]).agg({**how, "order": "max"}).reset_index()
    pairs, labels = rows[["user", "item"]].to_numpy(), rows[list(how)].to_numpy(np.float32)
    order = rows["order"].to_numpy() if times else np.random.default_rng(seed).random(len(rows))
    part, positive = np.zeros(len(rows), np.int64), labels[:, 0] == 1
    part[positive] = held_out(pairs[positive, 0], order[positive], valid, test)
    if not (part == 1).any():
        raise UserError(
            f"No user has three rows with a positive {next(iter(tasks))!r}, one each for training, "
            "validation and test. Give more rows."
        )
    pairs, labels = torch.tensor(pairs), torch.tensor(labels)
    splits = (pairs[part == 0], labels[part == 0], pairs[part == 1], pairs[part == 2])
    counts = (int(rows[side].max()) + 1 for side in ("user", "item"))
    return Interactions(*counts, dict(tasks), *splits)


def synthetic_log(
    users=300, items=200, clicks=10, views=20, harmed=0.3, categories=8, opposite=1.0, signal=3.0, seed=0
):
    """A log in which an auxiliary task helps some users and misleads the others.

    clicks, views  events per user: items it chose (click 1), and items it was shown at random (click 0)
    harmed         share of users whose `long_view` follows another taste than their clicks
    opposite       what that other taste is: 1 the opposite of their own, 0 one that has nothing to do with it
    categories     an item's `category`: one of so many centres around which the items' true factors lie
    signal         how sharply a choice follows taste
    returns        (DataFrame with user, item, click, long_view, category;  misled [users] bool)
    """
    import pandas as pd

    for name, value, low, high in (
        ("users", users, 1, 10**7),
        ("items", items, 2, 10**7),
        ("clicks", clicks, 0, items),
        ("views", views, 0, items - clicks),
        ("harmed", harmed, 0, 1),
        ("opposite", opposite, 0, 1),
        ("categories", categories, 1, items),
    ):
        if not low <= value <= high:
            raise UserError(f"{name} is {value}, but it must be between {low} and {high}.")
    draw, width = np.random.default_rng(seed), 4
    centres = draw.standard_normal((categories, width))
    category = np.arange(items) % categories
    item = 0.8 * centres[category] + 0.6 * draw.standard_normal((items, width))
    taste, unrelated = draw.standard_normal((2, users, width))
    misled = np.arange(users) < round(harmed * users)
    other = -opposite * taste + math.sqrt(1 - opposite**2) * unrelated
    score = signal * taste @ item.T / math.sqrt(width)
    viewed = signal * np.where(misled[:, None], other, taste) @ item.T / math.sqrt(width)
    # clicks: a draw without replacement by softmax of the score (Gumbel top-k); then items shown at random
    rank = np.argsort(-(score + draw.gumbel(size=score.shape)), 1)
    shown = np.take_along_axis(rank, clicks + np.argsort(draw.random((users, items - clicks)), 1), 1)
    seen = np.concatenate([rank[:, :clicks], shown[:, :views]], 1)  # [U, clicks + views]
    probability = 1 / (1 + np.exp(-np.take_along_axis(viewed, seen, 1)))
    log = pd.DataFrame(
        {
            "user": np.repeat(np.arange(users), seen.shape[1]),
            "item": seen.ravel(),
            "click": np.tile(np.arange(seen.shape[1]) < clicks, users).astype(int),
            "long_view": (draw.random(seen.shape) < probability).astype(int).ravel(),
            "category": category[seen.ravel()],
        }
    )
    return log, misled


SYNTHETIC_TASKS = {"click": "rank", "long_view": "pair", "category": "item"}


# ---------------------------------------------------------------- metrics


def ranking_metrics(scores, seen, relevant, k=20):
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
    return tuple(
        torch.where(number > 0, value, nan) for value in (hits.sum(1) / number, hits @ discount / best)
    )


def _mask(pairs, users, items):
    """[B, I] bool: which items each of the consecutive users [B] has among `pairs`."""
    own = pairs[(pairs[:, 0] >= users[0]) & (pairs[:, 0] <= users[-1])]
    mask = torch.zeros(len(users), items, dtype=torch.bool)
    mask[own[:, 0] - users[0], own[:, 1]] = True
    return mask


@torch.no_grad()
def evaluate(score, data, split="valid", k=20, chunk=1024):
    """Recall@k and NDCG@k of each user on held-out items; training items are left out of the list.

    score    users [B] int64 → scores [B, I];  split  "valid", or "test": without validation items too
    returns  dict: recall, ndcg (means over users with items to find), users, left_out (how many of each), and
             by_user: {"recall", "ndcg"} → [U] float64, NaN for the users left out
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


def popularity(data):
    """The baseline to beat, for `evaluate`: every user gets the items by their number of training rows."""
    counts = torch.bincount(data.positives[:, 1], minlength=data.items).float()
    return lambda users: counts.expand(len(users), -1)


# ---------------------------------------------------------------- training


@dataclass
class History:
    """What a training run was.

    epochs   one dict per epoch: epoch, focus (λ), loss {task: mean over rows}, recall, ndcg (validation)
    weights  {"user": [E, U, T], "item": [E, I, T]} float32: mean over the batches of an epoch in which the
             row had a gradient; even weights for a row without any
    best     number of the epoch with the best validation NDCG
    test     what `evaluate` found on test items with that epoch's embeddings
    model    the model of that epoch
    """

    variant: str
    seed: int
    tasks: tuple
    epochs: list = field(default_factory=list)
    weights: dict = field(default_factory=dict)
    best: int = -1
    test: dict = field(default_factory=dict)
    model: Factors = None
    seconds: float = 0.0


def sample_negatives(users, known, items, generator, tries=10):
    """An item for each of `users` [B] at random, not among its positives (or, after `tries` draws, any): [B].

    known  [·] int64 ascending: user · items + item of the positive pairs
    """
    found = torch.randint(items, users.shape, generator=generator)
    for _ in range(tries if len(known) else 0):
        key = users * items + found
        hit = known[torch.searchsorted(known, key).clamp(max=len(known) - 1)] == key
        if not hit.any():
            break
        found[hit] = torch.randint(items, (int(hit.sum()),), generator=generator)
    return found


def take_step(model, batch, variant, step, temperature=1.0, share=0.0):
    """e ← e − η Σ_t w'_{u,t} g'_{u,t} for every user and item, from one batch.

    batch    (users, items, negatives [B] int64, labels [B, T]);  step  η;  share  λ
    returns  (losses [T], {"user": weights [U, T], "item": …}, {"user": [U] bool had a gradient, "item": …})

    Leaves the heads' gradients in their .grad: a head has one task, so there is nothing to weigh.
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
            f"{name!r} weighs tasks against each other, so it needs at least one auxiliary task beside "
            f"{next(iter(data.tasks))!r}. Name another column, or use the variant 'main_only'."
        )


def train(
    data,
    variant="pmtrec",
    epochs=40,
    seed=0,
    *,
    width=16,
    step=0.1,
    temperature=1.0,
    focus_epochs=None,
    batch_size=256,
    head_step=0.01,
    k=20,
    progress=None,
):
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
    known = (data.positives[:, 0] * data.items + data.positives[:, 1]).sort().values
    history = History(name, seed, tuple(data.tasks))
    weights, best = {side: [] for side in model.tables}, -math.inf
    for epoch in range(epochs):
        share = focus_share(variant.focus, epoch, epochs if focus_epochs is None else focus_epochs)
        total, sums = 0.0, {side: 0.0 for side in model.tables}
        counts = dict(sums)
        for batch in torch.randperm(len(data.pairs), generator=generator).split(batch_size):
            users, items = data.pairs[batch].T.contiguous()
            rows = users, items, sample_negatives(users, known, data.items, generator), data.labels[batch]
            losses, found, active = take_step(model, rows, variant, step, temperature, share)
            adam.step()
            total = total + losses
            for side, own in active.items():
                sums[side] = sums[side] + found[side] * own[:, None]
                counts[side] = counts[side] + own[:, None].float()
        for side, number in counts.items():
            mean = sums[side] / number.clamp(min=1)
            weights[side].append(mean.where(number > 0, torch.tensor(1 / len(data.tasks))))
        valid = evaluate(model.scores, data, "valid", k)
        loss = dict(zip(data.tasks, (total / data.known_labels).tolist(), strict=True))
        scores = {"recall": valid["recall"], "ndcg": valid["ndcg"]}
        history.epochs.append({"epoch": epoch, "focus": share, "loss": loss, **scores})
        if valid["ndcg"] > best:
            best, history.best = valid["ndcg"], epoch
            state = {key: value.clone() for key, value in model.state_dict().items()}
        if progress:
            progress(epoch + 1, epochs, valid["ndcg"])
    model.load_state_dict(state)
    history.model, history.weights = model, {side: torch.stack(found) for side, found in weights.items()}
    history.test = evaluate(model.scores, data, "test", k)
    history.seconds = time.perf_counter() - start
    return history

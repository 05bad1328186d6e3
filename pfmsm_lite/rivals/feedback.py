"""Feedback of users on items: the log, its tasks, and synthetic worlds whose truth is known.

Shapes: U users, I items, R rows of a log, B rows of a batch, T tasks, D the width of an embedding. Task 0 is
the main one: which items to recommend.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pfmsm_lite.data.columns import read_labels, refuse
from pfmsm_lite.errors import UserError, choose

# ---------------------------------------------------------------- tasks: one entry per kind
# A task is a column of the log and its kind; a kind is a head over the embeddings and a loss of (head, users,
# items, negatives [B, D], labels [B] with NaN where unknown) → scalar. Losses are sums over the batch's rows:
# the gradient of one user does not depend on who else is in the batch.


class Product(nn.Module):
    """Logit [B] of a pair: Σ_d r_d · u_d · i_d + b, the dot product with dimensions weighted by the task."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(()))

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users, items [B, D] → logits [B]."""
        return (users * items) @ self.weight + self.bias


def linear(width: int, classes: int) -> nn.Linear:
    """Logits [B, classes] from one embedding [B, width]; starts at zero, so it draws no random numbers."""
    head = nn.utils.skip_init(nn.Linear, width, classes)
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    return head


def ranking_loss(head: nn.Module, users: Tensor, items: Tensor, negatives: Tensor, labels: Tensor) -> Tensor:
    """Bayesian personalized ranking (Rendle et al., UAI 2009): Σ −log σ(u·i − u·j) over rows labelled 1.

    users, items, negatives [B, D] embeddings of u, i, j;  labels [B] 0, 1 or NaN;  head: not used → scalar
    """
    return -(F.logsigmoid((users * (items - negatives)).sum(-1)) * (labels == 1)).sum()


def pair_loss(head: nn.Module, users: Tensor, items: Tensor, negatives: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy of a second kind of feedback, summed over rows whose label is known.

    users, items [B, D];  labels [B] 0, 1 or NaN;  head: (users, items) → logits [B];  negatives: not used
    """
    known = ~labels.isnan()
    loss = F.binary_cross_entropy_with_logits(head(users, items), labels.nan_to_num(), reduction="none")
    return (loss * known).sum()


def _class_loss(head, embeddings, labels):
    codes = labels.nan_to_num(nan=-1).long()
    return F.cross_entropy(head(embeddings), codes, ignore_index=-1, reduction="sum")


def user_loss(head: nn.Module, users: Tensor, items: Tensor, negatives: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of a class of the user (its age group, say), predicted from its embedding.

    users [B, D];  labels [B] number of the class, or NaN;  head: users → logits [B, classes] → scalar
    """
    return _class_loss(head, users, labels)


def item_loss(head: nn.Module, users: Tensor, items: Tensor, negatives: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of a class of the item (its category, say), predicted from its embedding.

    items [B, D];  labels [B] number of the class, or NaN;  head: items → logits [B, classes] → scalar
    """
    return _class_loss(head, items, labels)


KINDS: dict[str, tuple[Callable, Callable]] = {  # kind → (head made of (width, classes), loss)
    "rank": (lambda width, classes: nn.Identity(), ranking_loss),
    "pair": (Product, pair_loss),
    "user": (linear, user_loss),
    "item": (linear, item_loss),
}


# ---------------------------------------------------------------- the log


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
    tasks: dict[str, str]
    pairs: Tensor
    labels: Tensor
    valid: Tensor
    test: Tensor

    def classes(self, name: str) -> int:
        """Number of classes of a task."""
        column = self.labels[:, list(self.tasks).index(name)].nan_to_num()
        return int(column.max()) + 1 if len(column) else 1

    @property
    def positives(self) -> Tensor:
        """[·, 2] training pairs with a positive main label."""
        return self.pairs[self.labels[:, 0] == 1]

    @property
    def known_labels(self) -> Tensor:
        """[T] number of rows in each task's loss (at least 1): for the main task, positive ones."""
        return torch.cat([self.labels[:, :1] == 1, ~self.labels[:, 1:].isnan()], 1).sum(0).clamp(min=1)


def held_out(
    users: Sequence | np.ndarray, order: Sequence | np.ndarray, valid: float = 0.1, test: float = 0.2
) -> np.ndarray:
    """Which of each user's rows are kept for validation and test: its last ones.

    users        [R] int64;  order [R] within a user: a time, or random numbers
    valid, test  shares of its rows, at least one row each; 0: leave the last one out, and the one before it
    returns      [R] int64: 0 train, 1 valid, 2 test. Training comes first: a user with one row has it there,
                 one with two rows has none for validation
    """
    own = pd.DataFrame({"user": users, "order": order}).groupby("user")["order"]
    last = own.rank(method="first", ascending=False).to_numpy()  # 1 for the last row of its user
    n = own.transform("size").to_numpy()
    tests = np.where(n > 1, np.round(test * n).clip(1, None), 0).clip(None, n - 1 - (n > 2))
    valids = np.where(n > 2, np.round(valid * n).clip(1, None), 0).clip(None, n - 1 - tests)
    return np.where(last <= tests, 2, np.where(last <= tests + valids, 1, 0))


def interactions(
    df: pd.DataFrame,
    tasks: Mapping[str, str] | Sequence[str],
    user: str = "user",
    item: str = "item",
    time: str | None = None,
    valid: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> Interactions:
    """Interactions of a pandas DataFrame with one row per event.

    tasks   {column: kind}, the main one first and of the kind "rank" (see KINDS); or a list of 0/1 columns,
            the first the main one and the others of the kind "pair". Empty cells are unknown labels.
    time    column by which each user's last positive rows are held out; without it they are drawn with `seed`
    valid, test  shares of a user's positive rows

    A pair that occurs more than once is one row: for 0/1 columns with its largest label, for classes with its
    first, for time with its latest. Rows of held-out pairs leave training for all tasks.
    raises  UserError for missing columns, an empty table, bad labels, or nothing to hold out
    """
    if not isinstance(tasks, Mapping):
        tasks = {name: "rank" if t == 0 else "pair" for t, name in enumerate(tasks)}
    _check_log(df, tasks, user, item, time)
    if not (valid >= 0 and test >= 0 and valid + test < 1):
        raise UserError(f"valid={valid} and test={test} must be shares whose sum is below 1.")
    rows, columns = _pairs(df, tasks, user, item, time)
    pairs, labels = rows[["user", "item"]].to_numpy(), rows[columns].to_numpy(np.float32)
    order = np.random.default_rng(seed).random(len(rows)) if time is None else rows["order"].to_numpy()
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


SOURCE = "the interactions"


def _check_log(df, tasks, user, item, time):
    """Refuse an empty log, columns that are missing or have gaps, and tasks of the wrong kind."""
    if not tasks or not len(df):
        raise UserError(
            "The interactions have no rows." if tasks else "Name at least one task: the main one."
        )
    for name in (user, item, *tasks, *([] if time is None else [time])):
        choose("column of the interactions:", name, df.columns)
        if name not in tasks:
            gap = df[name].isna().to_numpy()
            refuse(gap, df[name], SOURCE, "is empty: every row needs one. Drop the row.")
    for t, (name, kind) in enumerate(tasks.items()):
        choose(f"kind of task {name!r}", kind, KINDS)
        if (kind == "rank") != (t == 0):
            raise UserError(f"The first task, and no other, has the kind 'rank'; {name!r} is {kind!r}.")


def _pairs(df, tasks, user, item, time):
    """(DataFrame of one row per pair: user, item, order and the tasks' labels;  the label columns)."""
    rows = pd.DataFrame({side: pd.factorize(df[name])[0] for side, name in (("user", user), ("item", item))})
    how = {}
    for name, kind in tasks.items():
        zero_one = kind in ("rank", "pair")
        column = read_labels(df[name], SOURCE) if zero_one else pd.factorize(df[name])[0].astype(np.float32)
        rows["task", name] = np.where(column < 0, np.nan, column)
        how["task", name] = "max" if zero_one else "first"
    rows["order"] = 0.0 if time is None else pd.factorize(df[time], sort=True)[0]
    return rows.groupby(["user", "item"]).agg({**how, "order": "max"}).reset_index(), list(how)


SYNTHETIC_TASKS = {"click": "rank", "long_view": "pair", "category": "item"}


def synthetic_log(
    users: int = 300,
    items: int = 200,
    clicks: int = 10,
    views: int = 20,
    harmed: float = 0.3,
    categories: int = 8,
    opposite: float = 1.0,
    signal: float = 3.0,
    seed: int = 0,
) -> tuple[pd.DataFrame, np.ndarray]:
    """A log in which an auxiliary task helps some users and misleads the others; its tasks: SYNTHETIC_TASKS.

    clicks, views  events per user: items it chose (click 1), and items it was shown at random (click 0)
    harmed         share of users whose `long_view` follows a taste other than their clicks'
    opposite       what that other taste is: 1 the opposite of their own, 0 one that has nothing to do with it
    categories     an item's `category`: number of centres around which the items' true factors lie
    signal         how sharply a choice follows taste
    returns        (DataFrame with user, item, click, long_view, category;  misled [users] bool)
    raises         UserError for a number outside its range
    """
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


WORLDS = {  # they differ in one number: whose `long_view` follows the opposite of the taste of its clicks
    "helps": {"harmed": 0.0},
    "misleads": {"harmed": 0.5},
}


def world(name: str, seed: int = 0, **knobs) -> tuple[Interactions, np.ndarray]:
    """A log in which the auxiliary task `long_view` helps, or one in which it misleads every second user.

    name     name in WORLDS
    knobs    of `synthetic_log`, instead of 200 users, 200 items, and per user 10 clicks and 30 views
    returns  (Interactions with SYNTHETIC_TASKS, a fifth of the clicks for validation and a fifth for test;
             misled [users] bool)
    """
    chosen: dict[str, Any] = {"users": 200, "items": 200, "clicks": 10, "views": 30}
    chosen |= WORLDS[choose("world", name, WORLDS)] | knobs
    log, misled = synthetic_log(**chosen, seed=seed)
    return interactions(log, SYNTHETIC_TASKS, valid=0.2, test=0.2, seed=seed), misled

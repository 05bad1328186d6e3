"""What the server learns besides the parameters, and switches that make a client tell less.

What is handed over, array by array, is written down by `engine.audit`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pfmsm_lite.embedding import Held, hold
from pfmsm_lite.registry import register
from pfmsm_lite.scenario import Rows


class Told(NamedTuple):
    """What the server learns besides the parameters, in which array or plain value, and what stops it."""

    what: str
    where: str
    switch: str


TOLD = (
    Told(
        "which entries its training rows name", "embedding.entries", "--entries whole, and --client private"
    ),
    Told("how often its training rows name each of them", "uses", "--entries named, or whole"),
    Told("which entries only its validation and test rows name", "entries", "--entries whole"),
    Told("how many entries it holds", "stored_bytes", "--entries whole"),
    Told("how many training rows it has", "rows", "flower server --home rows"),
    Told("how long it trains", "seconds", "none: the time to its answer tells it, too"),
    Told("which tasks it has", "has_task", "none: it sends their towers alone"),
    Told("how its validation loss slopes", "gradient of …", "--aggregate partners, or --client private"),
    Told("its AUC, log loss, rows and positives of evaluated rows", "scores", "flower server --home scores"),
    Told("its training loss", "losses", "flower server --home scores"),
    Told(
        "the values behind the numbers",
        "the vocabulary",
        "--categories hash: whoever guesses one can check it",
    ),
)


# ---- switches ----


@register("entries", "named", text="which, but not how often: each that its training rows name counts once")
def named(train: Rows, views: list, offset: Tensor, known: Tensor, hidden: float) -> tuple[Held, Rows, list]:
    """As `hold`, but every entry in use counts once: the rule `used` becomes a plain mean over its users."""
    held, train, views = hold(train, views, offset, known, hidden)
    return held._replace(uses=(held.uses > 0).float()), train, views


@register("entries", "whole", text="neither: it holds, sends and receives the whole table")
def whole(train: Rows, views: list, offset: Tensor, known: Tensor, hidden: float) -> tuple[Held, Rows, list]:
    """As `hold`, but a client holds all V entries and counts each once.

    Nobody knows which entries nobody trains: their ids keep their untrained entry. What a client did not use
    comes back as it was sent, which tells the same again, unless noise hits every entry (--client private).
    """
    held, train, views = hold(train, views, offset, torch.ones_like(known), hidden)

    def numbers(rows: Rows) -> Rows:
        ids = rows.categorical
        return rows._replace(categorical=torch.where(ids < 0, -1, held.entries[ids].int()))

    views = [(name, {split: numbers(rows) for split, rows in view.items()}) for name, view in views]
    return Held(torch.arange(len(known)), torch.ones(len(known)), offset.clone()), numbers(train), views

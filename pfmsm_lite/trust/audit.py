"""What leaves a client and what comes back, name by name; what it tells; switches that make it tell less."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pfmsm_lite.embedding import Held, hold
from pfmsm_lite.federation import Federation, listed
from pfmsm_lite.methods import Method, Settings
from pfmsm_lite.registry import register
from pfmsm_lite.scenario import Rows, Scenario


class Line(NamedTuple):
    """One tensor that was sent: round 0 is what a client says first; way: up, to the server, or down."""

    round: int
    client: str
    way: str
    name: str
    shape: tuple
    bytes: int


class Told(NamedTuple):
    """What the server learns beside the parameters, in which tensor, and the switch that stops it."""

    what: str
    where: str
    switch: str


TOLD = (
    Told(
        "which entries its training rows name", "embedding.entries", "--entries whole, and --client private"
    ),
    Told("how often its training rows name each of them", "uses", "--entries named, or whole"),
    Told("which entries only its validation and test rows name", "entries", "--entries whole"),
    Told("how many training rows it has", "rows", "none: FedAvg weighs by them"),
    Told("which tasks it has", "has_task", "none: it sends their towers alone"),
    Told("how its validation loss slopes", "gradient of …", "--aggregate partners, or --client private"),
    Told("its AUC, log loss and positives on evaluated rows", "scores", "none: they choose the round"),
    Told("its training loss", "losses", "none: a loss that is not finite refuses the upload"),
    Told(
        "the values behind the numbers",
        "the vocabulary",
        "--categories hash: whoever guesses one can check it",
    ),
)


# ---- the audit ----


def audit(
    scenarios: list[Scenario], method: Method, rounds: int = 1, seed: int = 0, **settings
) -> list[Line]:
    """Play some rounds and write down every tensor that leaves a client or reaches it.

    settings  fields of Settings;  returns lines in the order in which they were sent: round 0 first
    """
    federation = Federation(scenarios, method, Settings(**settings), seed)
    lines: list[Line] = []
    now = {"round": 0}

    def write(client, way, message):
        lines.extend(Line(now["round"], client.name, way, *part) for part in listed(message))

    for client in federation.clients:
        write(client, "up", client.first_message())
        _tap(client, write)
    for now["round"] in range(1, rounds + 1):
        losses, _, accepted = federation.train(now["round"])
        for client, own, fine in zip(federation.clients, losses, accepted, strict=True):
            if fine is not None:  # it was drawn
                write(client, "up", {"losses": own})
        federation.serve(accepted)
        federation.personalize()
        for client in federation.clients:
            scores = [line[2:] for split in ("valid", "test") for line in client.evaluate(split)]
            write(client, "up", {"scores": torch.tensor(scores)})
    return lines


def _tap(client, write: Callable) -> None:
    """From now on what a client uploads and downloads is written down, too."""
    upload, download = client.upload, client.download

    def tapped_upload():
        message = upload()
        write(client, "up", message)
        return message

    def tapped_download(message):
        write(client, "down", message)
        return download(message)

    client.upload, client.download = tapped_upload, tapped_download


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

"""Hostile clients, for experiments: `--attack SCENARIO=KIND`, or run(…, attack=("SCENARIO=KIND",)).

An attack takes hold of one client of a Federation before its first round; nothing in the core knows of it.
Most replace what the client sends. All keep names, shapes and types, and `nan` and `huge` apart they send
numbers that are possible. A hostile client may know everything: what others send, and what they received.

    Of methods that send nothing (or train on all rows in one place) no client can be hostile.

    register("attack", "triple", sending(lambda own, received, noise: received + 3 * (own - received)))
"""

import zlib
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from pfmsm_lite.client import Message
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.federation import Federation
from pfmsm_lite.registry import OPERATORS, register

ENTRIES = "embedding.weight"
Change = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def refuse_unknown(attacks: Iterable[str], names: Iterable[str]) -> None:
    """UserError for what is not SCENARIO=KIND with one of these names, is given twice, or spares nobody."""
    attacks, names = list(attacks), list(names)
    for attack in attacks:
        name, sign, kind = attack.rpartition("=")
        if not sign:
            raise UserError(f"--attack {attack!r} is not of the form SCENARIO=KIND, such as {names[0]}=flip.")
        choose("scenario in --attack", name, names)
        choose("kind of --attack", kind, OPERATORS["attack"])
    if twice := [attack for attack in attacks if attacks.count(attack) > 1]:
        raise UserError(f"--attack {twice[0]} is given twice. Leave one out.")
    if attacks and {attack.rpartition("=")[0] for attack in attacks} == set(names):
        raise UserError("--attack makes every client hostile. Leave somebody honest.")


def number_of(federation: Federation, name: str) -> int:
    """Which client is meant. UserError for an unknown one."""
    names = [client.name for client in federation.clients]
    return names.index(choose("scenario in --attack", name, names))


def received(federation: Federation, n: int) -> Message:
    """What client n started the round from, in the form of its upload."""
    server = federation.server
    found = {k: part for block in server.blocks for k, part in block.write(block.received, n).items()}
    if "embedding" in federation.method.sent:
        table = server.table
        found[ENTRIES] = table.table[table.index[n][table.uses[n] > 0]]
    return found


def replaced(federation: Federation, name: str, make: Callable[[int, Message], Message]) -> None:
    """From now on the client sends what `make` returns of (its number, its honest upload)."""
    if not federation.method.sent:
        return
    n = number_of(federation, name)
    client = federation.clients[n]
    honest = client.upload

    def upload() -> Message:
        message = honest()
        return message | make(n, message)

    client.upload = upload
    client.honest = honest  # for those who look at it


def sending(change: Change, first: int = 1, only: str = "") -> Callable[[Federation, str], None]:
    """An attack on every shared tensor.

    change  (own tensor, as trained; the tensor that was received; a generator) → what is sent
    first   round from which on; before, the client is honest
    only    begin of the names of the tensors that are attacked; "": all
    """

    def attack(federation: Federation, name: str) -> None:
        def make(n: int, message: Message) -> Message:
            client = federation.clients[n]
            if client.rounds < first:
                return {}
            seed = zlib.crc32(name.encode()) + client.rounds
            generator = torch.Generator().manual_seed(seed)
            start = received(federation, n)
            hit = [key for key in start if key.startswith(only)]
            return {key: change(message[key], start[key].to(message[key]), generator) for key in hit}

        replaced(federation, name, make)

    return attack


def scaled(factor: float) -> Change:
    """The update times a factor."""
    return lambda own, start, generator: start + factor * (own - start)


def noisy(factor: float) -> Change:
    """A normal draw in place of the update, `factor` times as long."""

    def change(own: Tensor, start: Tensor, generator: torch.Generator) -> Tensor:
        drawn = torch.randn(own.shape, generator=generator).to(own)
        return start + drawn * (factor * (own - start).norm() / drawn.norm().clamp(min=1e-12))

    return change


def labels(federation: Federation, name: str) -> None:
    """Train honestly, but on labels turned round: 1 for 0 and 0 for 1. What it is evaluated on stays."""
    if not federation.method.sent:
        return
    client = federation.clients[number_of(federation, name)]
    client.labels = 1 - client.labels
    if hasattr(client.model, "intercept"):  # zeros, or the log-odds of its labels
        for model in {client.model, client.used}:
            model.intercept.neg_()


def table_change(federation: Federation, n: int, message: Message) -> Tensor:
    """[V, K]: what a client's upload changes of the server's table; NaN in entries that it does not use."""
    table = federation.server.table
    found = torch.full_like(table.table, torch.nan)
    index = table.index[n][table.uses[n] > 0]
    found[index] = message[ENTRIES] - table.table[index]
    return found


def together(federation: Federation, n: int, others: list[int], of: Callable[[Tensor], Tensor]) -> Message:
    """What client n sends if it changes everything as `of` says, from the changes of others.

    of  changes [M, ...] of M others → a change [...]; in embedding entries NaN where one does not use it
    """
    start = received(federation, n)
    uploads = [getattr(federation.clients[m], "honest", federation.clients[m].upload)() for m in others]
    starts = [received(federation, m) for m in others]
    found = {}
    for key, own in start.items():
        if key == ENTRIES:
            changes = [table_change(federation, m, u) for m, u in zip(others, uploads, strict=True)]
            table = federation.server.table
            index = table.index[n][table.uses[n] > 0]
            found[key] = own + of(torch.stack(changes)[:, index]).nan_to_num()
            continue
        pairs = [(u[key], s[key]) for u, s in zip(uploads, starts, strict=True)]
        alike = [sent - began for sent, began in pairs if sent.shape == own.shape]
        found[key] = own + of(torch.stack(alike)) if alike else own
    return found


def copy(federation: Federation, name: str) -> None:
    """Send what the next client of the list sends: its update, on one's own start."""
    if not federation.method.sent:
        return
    n = number_of(federation, name)
    other = (n + 1) % len(federation.clients)
    replaced(federation, name, lambda n, message: together(federation, n, [other], lambda part: part[0]))


def colluding(of: Callable[[Tensor], Tensor]) -> Callable[[Federation, str], None]:
    """An attack by all who are told to: each sends `of` the changes [M, ...] of those who are not."""

    def attack(federation: Federation, name: str) -> None:
        if federation.method.sent:
            federation.clients[number_of(federation, name)].colludes = True

        def make(n: int, message: Message) -> Message:
            honest = [m for m, c in enumerate(federation.clients) if not getattr(c, "colludes", False)]
            return together(federation, n, honest, of) if honest else {}

        replaced(federation, name, make)

    return attack


def against(changes: Tensor) -> Tensor:
    """Minus the mean of the others' changes, as long as these are on average (root mean square)."""
    mean, squared = (part.nanmean(0).nan_to_num() for part in (changes, changes.square()))
    return -mean * (squared.sum().sqrt() / mean.norm().clamp(min=1e-12))


def little(changes: Tensor) -> Tensor:
    """The others' mean less 1.5 of their standard deviations, entry by entry."""
    mean = changes.nanmean(0)
    return mean - 1.5 * (changes - mean).square().nanmean(0).sqrt()


for kind, attack, text in (
    ("nan", sending(lambda own, start, generator: own * torch.nan), "NaN in every tensor"),
    (
        "huge",
        sending(lambda own, start, generator: torch.full_like(own, 1e30)),
        "1e30 in every tensor",
    ),
    ("flip", sending(scaled(-1)), "its update times −1"),
    ("scale10", sending(scaled(-10)), "its update times −10"),
    ("noise", sending(noisy(10)), "a normal draw ten times as long as its update"),
    ("labels", labels, "an honest update, trained on labels turned round"),
    ("copy", copy, "the update of the next client in the list"),
    ("collude", colluding(against), "with all who collude: minus the honest mean, at an honest length"),
    ("little", colluding(little), "with all who collude: the honest mean less 1.5 standard deviations"),
    ("entries", sending(scaled(-2), only=ENTRIES), "its embedding update times −2, all else honest"),
    ("late", sending(scaled(-10), first=4), "honest for three rounds, then its update times −10"),
):
    register("attack", kind, attack, text)

"""Scenario: the rows of one client, encoded and split. A client reads its own; nobody else does."""

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from pfmsm_lite.errors import UserError

SPLITS = ("train", "valid", "test")
EVALUATED = ("valid", "test")


class Rows(NamedTuple):
    """A block of encoded rows.

    categorical  [R, F] int64    entry of each field's embedding table; 0 is the field's "unknown"
    numerical    [R, D] float32  standardized as the reader was told to
    labels       [R, T] float32  0, 1, or NaN where the label is missing
    probability  [R, T] float64  the true P(label = 1), where a generator knows it; else None
    """

    categorical: Tensor
    numerical: Tensor
    labels: Tensor
    probability: Tensor | None = None


def shortened(names, most: int = 6) -> str:
    """Names for a person: the first few, and how many more there are."""
    names = list(map(str, names))
    more = f", … {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"


@dataclass(frozen=True, repr=False)
class Scenario:
    """One business scenario: one client of the federation.

    name        what people call it
    tasks       names of the T binary tasks, the same in every scenario of a federation
    fields      categorical field → entries of its embedding table (the unknown entry 0 included),
                the same in every scenario of a federation
    numericals  names of the D numerical columns
    train, valid, test   Rows
    """

    name: str
    tasks: tuple[str, ...]
    fields: dict[str, int]
    numericals: tuple[str, ...]
    train: Rows
    valid: Rows
    test: Rows
    notes: dict = field(default_factory=dict)  # how the reader typed and encoded the columns

    def __repr__(self) -> str:
        sizes = " + ".join(f"{len(self.rows(split).labels):,}" for split in SPLITS)
        return (
            f"Scenario {self.name!r}: {sizes} rows (train + valid + test)\n"
            f"  tasks: {shortened(self.tasks)}\n"
            f"  categorical: {shortened(f'{name} ({size:,})' for name, size in self.fields.items())}\n"
            f"  numerical: {shortened(self.numericals)}"
        )

    @property
    def has_task(self) -> Tensor:
        """[T] bool: the tasks of which at least one training row has a label."""
        return (~self.train.labels.isnan()).any(0)

    def rows(self, split: str) -> Rows:
        """The Rows of `split`: train, valid or test."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[split]


def digest(scenarios: list[Scenario]) -> str:
    """sha256 of everything that a model sees of the scenarios: names, sizes and every tensor."""
    found = hashlib.sha256()
    for scenario in scenarios:
        head = (scenario.name, scenario.tasks, sorted(scenario.fields.items()), scenario.numericals)
        found.update(repr(head).encode())
        for split in SPLITS:
            for tensor in scenario.rows(split)[:3]:
                found.update(repr(tuple(tensor.shape)).encode())
                found.update(tensor.contiguous().numpy().data)
    return found.hexdigest()


def check(scenarios: list[Scenario]) -> list[Scenario]:
    """Refuse scenarios that cannot form a federation; the message names the client."""
    if not scenarios:
        raise UserError("There is no scenario to train on.")
    first, names = scenarios[0], [scenario.name for scenario in scenarios]
    if len(set(names)) < len(names):
        raise UserError(f"Two scenarios share a name: {', '.join(sorted(names))}. Give each its own.")
    for scenario in scenarios:
        for what in ("tasks", "fields", "numericals"):
            if getattr(scenario, what) != getattr(first, what):
                raise UserError(
                    f"Scenario {scenario.name!r} has other {what} than {first.name!r}: "
                    f"{getattr(scenario, what)} against {getattr(first, what)}. Encode them together."
                )
        for split in ("train", *EVALUATED):
            if not len(scenario.rows(split).labels):
                raise UserError(
                    f"Scenario {scenario.name!r} has no {split} rows. Leave it out, or split anew."
                )
        if not scenario.has_task.any():
            raise UserError(
                f"Scenario {scenario.name!r} has no labels among its training rows. Leave it out."
            )
    return scenarios


def pool(scenarios: list[Scenario]) -> tuple[Scenario, list]:
    """All rows in one place: a Scenario "all rows" with one more field, the scenario that a row is from.

    returns  (Scenario, views: list of (scenario name, {"valid": Rows, "test": Rows}))
    """
    name = "scenario"
    while name in scenarios[0].fields:  # somebody's own column
        name += "_"
    fields = {**scenarios[0].fields, name: len(scenarios) + 1}

    def tagged(rows, number):
        tag = torch.full((len(rows.labels), 1), number)
        return rows._replace(categorical=torch.cat([rows.categorical, tag], 1), probability=None)

    parts = {
        split: [tagged(scenario.rows(split), n + 1) for n, scenario in enumerate(scenarios)]
        for split in ("train", *EVALUATED)
    }
    whole = {
        split: Rows(*(torch.cat(column) for column in list(zip(*rows, strict=True))[:3]))
        for split, rows in parts.items()
    }
    first = scenarios[0]
    views = [
        (scenario.name, {split: parts[split][n] for split in EVALUATED})
        for n, scenario in enumerate(scenarios)
    ]
    return Scenario("all rows", first.tasks, fields, first.numericals, **whole), views

"""Scenario: the rows of one client, encoded, split, and never handed to anybody else."""

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

SPLITS = ("train", "valid", "test")


class Rows(NamedTuple):
    """A block of encoded rows.

    categorical  [R, F] int64    row of each field's embedding table; 0 is the field's "unknown"
    numerical    [R, D] float32  standardized as the reader was told to
    labels       [R, T] float32  0, 1, or NaN where the label is missing
    probability  [R, T] float64  the true P(label = 1), where a generator knows it; else None
    """

    categorical: torch.Tensor
    numerical: torch.Tensor
    labels: torch.Tensor
    probability: torch.Tensor | None = None


@dataclass(frozen=True)
class Scenario:
    """One business scenario: one client of the federation.

    name        what people call it
    tasks       names of the T binary tasks, the same in every scenario of a federation
    fields      categorical field → rows of its embedding table (the unknown row 0 included),
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

    @property
    def has_task(self):
        """[T] bool: the tasks of which at least one training row has a label."""
        return (~self.train.labels.isnan()).any(0)

    def rows(self, split):
        """The Rows of `split`: train, valid or test."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[split]


def digest(scenarios):
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

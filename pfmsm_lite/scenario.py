"""Scenario: the rows of one client, encoded and split. In a round only the client itself reads them."""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from pfmsm_lite.errors import UserError

SPLITS = ("train", "valid", "test")
EVALUATED = ("valid", "test")


class Rows(NamedTuple):
    """A block of encoded rows.

    categorical  [R, C] int32 or int64   entry of each field's embedding table; 0 is the field's "unknown". A
                 field has one column, a bag several, where −1 is no entry
    numerical    [R, D] float32  in the scale that the reader was told to give them
    labels       [R, T] float32  0, 1, or NaN where the label is missing
    probability  [R, T] float64  the true P(label = 1), where a generator knows it; else None
    source       [R] int64       number of the row in the table that it was read from, from 0; else None
    """

    categorical: Tensor
    numerical: Tensor
    labels: Tensor
    probability: Tensor | None = None
    source: Tensor | None = None


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
    bags        field → its columns, for fields of which a row may have several entries; the others have one
    apart       columns, fields or numericals, that not every scenario has: the weights that read them stay
                at home (see `data.complete`)
    """

    name: str
    tasks: tuple[str, ...]
    fields: dict[str, int]
    numericals: tuple[str, ...]
    train: Rows
    valid: Rows
    test: Rows
    notes: dict = field(default_factory=dict)  # how the reader typed and encoded the columns
    bags: dict[str, int] = field(default_factory=dict)
    apart: tuple[str, ...] = ()

    def __repr__(self) -> str:
        sizes = " + ".join(f"{len(self.rows(split).labels):,}" for split in SPLITS)
        fields = shortened(f"{name} ({size:,})" for name, size in self.fields.items())
        head = f"Scenario {self.name!r}: {sizes} rows (train + valid + test), tasks: {shortened(self.tasks)}"
        return f"{head}\n  categorical: {fields}\n  numerical: {shortened(self.numericals)}"

    @property
    def has_task(self) -> Tensor:
        """[T] bool: the tasks of which at least one training row has a label."""
        return (~self.train.labels.isnan()).any(0)

    def rows(self, split: str) -> Rows:
        """The Rows of `split`: train, valid or test."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[split]


def fault(scenario: "Scenario", rows: Rows) -> str:
    """What no client can train on in a split's rows, in words; "" where there is nothing."""
    columns = [name for name in scenario.fields for _ in range(scenario.bags.get(name, 1))]
    low = torch.tensor([-(name in scenario.bags) for name in columns])  # in a bag, −1 is no entry
    high = torch.tensor([scenario.fields[name] for name in columns])
    ids, numerical, labels = rows[:3]
    checks = {  # part → names of its columns, its types, what its cells must be, which are wrong
        "categorical": (columns, (torch.int64, torch.int32), "an entry of its field's table",
                        lambda: (ids < low) | (ids >= high)),
        "numerical": (scenario.numericals, (torch.float32,), "finite", lambda: ~numerical.isfinite()),
        "labels": (scenario.tasks, (torch.float32,), "0, 1 or NaN",
                   lambda: ~(labels.isnan() | (labels == 0) | (labels == 1))),
    }  # fmt: skip
    for part, (names, types, wanted, wrong) in checks.items():
        block, shape = getattr(rows, part), (len(labels), len(names))
        if tuple(block.shape) != shape or block.dtype not in types:
            return f"{part} is {tuple(block.shape)} {block.dtype}, but it must be {shape} {types[0]}"
        for row, column in wrong().nonzero()[:1].tolist():
            return f"row {row}, {names[column]}: {block[row, column].item()}, but it must be {wanted}"
    return ""


def check(scenarios: list[Scenario]) -> list[Scenario]:
    """Refuse scenarios that cannot form a federation; the message names the client."""
    if not scenarios:
        raise UserError("There is no scenario to train on.")
    if not all(isinstance(scenario, Scenario) for scenario in scenarios):
        raise UserError("Give a list of Scenario. Of two things returned: scenarios, truth = synthetic().")
    first, names = scenarios[0], [scenario.name for scenario in scenarios]
    if len(set(names)) < len(names):
        raise UserError(f"Two scenarios share a name: {', '.join(sorted(names))}. Give each its own.")
    for scenario in scenarios:
        who = f"Scenario {scenario.name!r}"
        for what in ("tasks", "fields", "numericals", "bags", "apart"):
            own, other = getattr(scenario, what), getattr(first, what)
            if own != other:
                found = f"has other {what} than {first.name!r}: {own} against {other}"
                raise UserError(f"{who} {found}. Encode them together.")
        if not len(scenario.train.labels):
            raise UserError(f"{who} has no train rows. Leave it out, or split anew.")
        for split in SPLITS:
            if wrong := fault(scenario, scenario.rows(split)):
                raise UserError(f"{who}, {split} rows: {wrong}.")
        if not scenario.has_task.any():
            raise UserError(f"{who} has no labels among its training rows. Leave it out.")
    if not any(len(scenario.valid.labels) for scenario in scenarios):
        raise UserError("No scenario has valid rows, which choose the best round. Split anew.")
    return scenarios

"""predictions.csv: what every method and seed says of validation and test rows, in the reported round."""

import csv
import shutil
from collections.abc import Iterable
from itertools import repeat
from pathlib import Path

import torch

from pfmsm_lite.lab import models
from pfmsm_lite.lab.writing import harmless, whole
from pfmsm_lite.scenario import EVALUATED, Scenario

COLUMNS = ("row", "scenario", "method", "seed", "split", "task", "label", "probability")
LINES = 65_536  # that are made at a time


def write_part(path: Path, model: models.Model, scenarios: list[Scenario]) -> None:
    """The lines of one method and seed, without a header.

    row          number of the row in the table, from 1; empty where the rows come from no table
    label        0, 1, or empty where it is missing
    probability  with all its digits, so that results.csv can be computed from it
    """
    with whole(path, "w", encoding="utf-8", newline="") as file:
        if not model.there:
            return
        lines = csv.writer(file, lineterminator="\n")
        for scenario in scenarios:
            for split in EVALUATED:
                rows = scenario.rows(split)
                found = model.probabilities(scenario.name, rows)
                for t, task in enumerate(model.tasks):
                    same = [scenario.name, model.method, model.seed, split, task]
                    constant = [repeat(harmless(cell)) for cell in same]
                    for some in torch.arange(len(found)).split(LINES):
                        labels = ["" if y != y else int(y) for y in rows.labels[some, t].tolist()]
                        source = repeat("") if rows.source is None else (rows.source[some] + 1).tolist()
                        lines.writerows(zip(source, *constant, labels, found[some, t].tolist(), strict=False))


def join(path: Path, parts: Iterable[Path]) -> None:
    """Put parts together under a header; each goes as soon as it has been copied."""
    with whole(path) as file:
        file.write((",".join(COLUMNS) + "\n").encode())
        for part in parts:
            with open(part, "rb") as lines:
                shutil.copyfileobj(lines, file, 2**20)
            part.unlink()

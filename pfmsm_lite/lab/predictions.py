"""What every method and seed predicts for validation and test rows, in the reported round.

`run` writes them as text, predictions.csv. `compare` keeps those of the test rows in predictions/: 4 bytes
for each row and task, one file per training, and once for all trainings on the same data what these rows are.
"""

import csv
import json
import shutil
from collections.abc import Iterable
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from pfmsm_lite.history import score
from pfmsm_lite.lab import models
from pfmsm_lite.lab.writing import harmless, whole
from pfmsm_lite.scenario import EVALUATED, Scenario

COLUMNS = ("row", "scenario", "method", "seed", "split", "task", "label", "probability")
LINES = 65_536  # that are written at a time


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


# ---- of a comparison ----

FOLDER = "predictions"
SAME = 1e-3  # AUC by which the last digits of probabilities may move it


class ScoredRows(NamedTuple):
    """The test rows of N scenarios, one after the other: R rows, T tasks.

    names, tasks  of the scenarios and tasks;  starts  [N + 1] where each scenario begins
    labels        [R, T] 0, 1 or NaN
    people        [R] who a row belongs to, or None: every row for itself
    rates         [N, T] of the training labels, NaN where there is none
    digest        of all the data, training rows included
    """

    names: list[str]
    tasks: list[str]
    starts: list[int]
    labels: np.ndarray
    people: np.ndarray | None
    rates: np.ndarray
    digest: str

    @property
    def slices(self) -> dict[str, slice]:
        """scenario → where its rows are."""
        return {n: slice(a, b) for n, a, b in zip(self.names, self.starts, self.starts[1:], strict=False)}

    def by_cell(self) -> dict[str, dict[str, float]]:
        """scenario → task → rate of its training labels."""
        own = (dict(zip(self.tasks, rates, strict=True)) for rates in self.rates)
        return dict(zip(self.names, own, strict=True))


def scored_rows(scenarios: list[Scenario], digest: str, notes: dict[str, Any]) -> ScoredRows:
    """What the predictions of a comparison are about; notes: of the reader, persons are those of "group"."""
    tests = [scenario.test.labels.numpy() for scenario in scenarios]
    groups = notes.get("group")
    people = np.concatenate([np.asarray(groups[s.name]["test"]) for s in scenarios]) if groups else None
    starts = np.concatenate([[0], np.cumsum([len(own) for own in tests])]).tolist()
    rates = np.stack([s.train.labels.nanmean(0).numpy() for s in scenarios]).astype(float)
    names, tasks = [s.name for s in scenarios], list(scenarios[0].tasks)
    return ScoredRows(names, tasks, starts, np.concatenate(tests), people, rates, digest)


def keep_rows(path: Path, rows: ScoredRows) -> None:
    """Write ScoredRows; labels take a byte each."""
    arrays = {"labels": np.where(np.isnan(rows.labels), -1, rows.labels).astype(np.int8), "rates": rows.rates}
    if rows.people is not None:
        arrays["people"] = rows.people
    about = {"names": rows.names, "tasks": rows.tasks, "starts": rows.starts, "digest": rows.digest}
    with whole(path) as file:
        np.savez_compressed(file, about=json.dumps(about), **arrays)


def kept_rows(path: Path) -> ScoredRows:
    """What `keep_rows` wrote."""
    with np.load(path, allow_pickle=False) as kept:
        about = json.loads(str(kept["about"]))
        labels = np.where(kept["labels"] < 0, np.nan, kept["labels"].astype(float))
        people = kept["people"] if "people" in kept else None
        own = about["names"], about["tasks"], about["starts"]
        return ScoredRows(*own, labels, people, kept["rates"], about["digest"])


def keep(path: Path, model: models.Model, scenarios: list[Scenario], results: pd.DataFrame) -> None:
    """Write a training's probabilities of all test rows, [R, T] float32; an empty array of a model of which
    nothing is kept.

    results  of its History;  raises  RuntimeError where they do not give its AUCs: another model was kept
    """
    found = [model.probabilities(s.name, s.test).numpy() for s in scenarios] if model.there else []
    test = results[results["split"] == "test"].set_index(["scenario", "task"])["auc"]
    for scenario, own in zip(scenarios, found, strict=bool(found)):
        for t, task in enumerate(scenario.tasks):
            auc = score(scenario.test.labels[:, t].numpy(), own[:, t])[2]
            if abs(auc - test[scenario.name, task]) > SAME:
                raise RuntimeError(
                    f"The kept model has an AUC of {auc:.4f} on {scenario.name} ({task}), the training had "
                    f"{test[scenario.name, task]:.4f}: models.snapshot does not know what it predicts with."
                )
    with whole(path) as file:
        np.save(file, np.concatenate(found).astype(np.float32) if found else np.zeros((0, 0), np.float32))


def kept(path: Path) -> np.ndarray | None:
    """What `keep` wrote, [R, T]; None where a model left nothing."""
    found = np.load(path, allow_pickle=False)
    return found if found.size else None


def as_lines(probabilities: np.ndarray, rows: ScoredRows, method: str, seed: int) -> pd.DataFrame:
    """Kept probabilities [R, T] as lines of predictions.csv, without the column `row`."""
    count = len(rows.labels)
    scenario = np.repeat(np.arange(len(rows.names)), np.diff(rows.starts))
    frame = {
        "scenario": pd.Categorical.from_codes(np.tile(scenario, len(rows.tasks)), rows.names),
        "task": pd.Categorical.from_codes(np.repeat(np.arange(len(rows.tasks)), count), rows.tasks),
        "label": rows.labels.T.ravel(),
        "probability": probabilities.T.ravel().astype(float),
    }
    return pd.DataFrame(frame).assign(method=method, seed=seed, split="test")

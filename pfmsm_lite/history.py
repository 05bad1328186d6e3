"""What a run leaves behind: results, one line per round, and arrays with named axes."""

import math
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch

from pfmsm_lite.errors import UserError

RESULTS = ("method", "seed", "scenario", "task", "split", "rows", "positives", "auc", "logloss")
ROUNDS = ("method", "seed", "round", "scenario", "task")
ROUNDS += ("valid_auc", "train_loss", "seconds", "bytes", "refused")
# its tables and named arrays need pandas and xarray: who makes them, looked up when they are asked for
VIEWS = dict.fromkeys(("results", "rounds", "array", "weights", "cosines", "norms", "refused"), "data.views")
VIEWS["verdict"] = "lab.views"


def score(labels: np.ndarray, probabilities: np.ndarray) -> tuple[int, int, float, float]:
    """(rows with a label, positives, AUC, logloss); AUC is NaN where only one class is there.

    labels [R] 0, 1 or NaN, probabilities [R]. The AUC is counted: the share of pairs of a positive and a
    negative row that are in the right order, half where the two tie (Mann and Whitney).
    """
    there = ~np.isnan(labels)
    labels, probabilities = labels[there], probabilities[there].astype(np.float64)
    rows, positives = len(labels), int(labels.sum())
    if not rows:
        return 0, 0, math.nan, math.nan
    clipped = probabilities.clip(1e-7, 1 - 1e-7)
    logloss = float(-np.where(labels > 0, np.log(clipped), np.log1p(-clipped)).mean())
    if positives in (0, rows) or not np.isfinite(probabilities).all():
        return rows, positives, math.nan, logloss
    below, above = np.sort(probabilities[labels == 0]), np.sort(probabilities[labels > 0])
    won = sum(np.searchsorted(below, above, side).sum() for side in ("left", "right"))  # a tie counts once
    return rows, positives, float(won / (2 * len(below) * len(above))), logloss


def average_auc(scores: list[tuple], place: int = 4) -> float:
    """Mean AUC over scenarios and tasks that have one, NaN where none has; place 5: of log losses."""
    found = [entry[place] for entry in scores if not math.isnan(entry[place])]
    return sum(found) / len(found) if found else math.nan


class Round(NamedTuple):
    """What one round of N clients gave.

    record    name → [units, ...], as in Server.serve
    valid     per client the lines of Client.evaluate("valid");  test: likewise, or None: not the best round
    losses    [N, T] training losses;  seconds, bytes: per client
    accepted  per client: whether its upload was used; None: it took no part
    elapsed   seconds of the whole round;  said: [N] what the server's checks found in an upload, else ""
    """

    record: dict
    valid: list[list[tuple]]
    test: list[list[tuple]] | None
    losses: torch.Tensor
    seconds: list[float]
    bytes: list[int]
    accepted: list[bool | None]
    elapsed: float
    said: list[str]


class History:
    """One method, one seed. `.results` and `.rounds` are DataFrames; `.weights`, `.cosines`, `.norms` and
    `.array(name)` are xarray.DataArrays with named axes, one unit per expert and tower: see `data.views`."""

    def __init__(self, method: str, seed: int, clients, units, choose: str = "auc"):
        self.method, self.seed, self.clients, self.units = method, seed, list(clients), list(units)
        self.chosen_by = choose  # what chooses the round: auc or logloss
        self.lines: list[list] = []
        self.said: list[tuple[int, str, str]] = []  # (round, client, what the server found in its upload)
        self.best: dict | None = None
        self.arrays: dict[str, list] = {}
        self.best_round, self.best_auc, self.last_auc, self.best_loss = 0, -math.inf, math.nan, math.inf
        self.rounds_done, self.seconds, self.stopped = 0, 0.0, ""
        self.stored_bytes = 0.0

    def __repr__(self) -> str:
        size = f"{self.rounds_done} rounds of {len(self.clients)} clients"
        best = f"best round {self.best_round}, validation AUC {self.best_auc:.3f}"
        arrays = ", ".join(self.arrays) or "none"
        return f"History of {self.method}, seed {self.seed}: {size}, {best}\n  arrays: {arrays}"

    def improves(self, valid: list[tuple]) -> bool:
        """Whether this is the best round so far: by AUC, or by log loss where nothing has an AUC."""
        self.last_auc, loss = average_auc(valid), average_auc(valid, 5)
        if self.best is None and all(line[3] in (0, line[2]) for line in valid):
            self.chosen_by = "logloss"
        by_auc = not (math.isnan(self.last_auc) or self.last_auc <= self.best_auc)
        better = self.best is None or (by_auc if self.chosen_by == "auc" else loss < self.best_loss)
        self.best_loss = loss if better else self.best_loss
        return better

    def goes_on(self, rounds: int, patience: int) -> bool:
        """Whether there is another round: of `rounds`, and at most `patience` after the best one."""
        waited = self.rounds_done - self.best_round
        return self.rounds_done < rounds and waited < patience and not self.stopped

    def stop(self, number: int, reason: str) -> None:
        """Nothing could be learned in this round: keep what there is, or give up if there is nothing."""
        if self.best is None:
            raise UserError(f"Round {number} of {self.method}: {reason}. Try a smaller --learning-rate.")
        self.stopped = f"stopped in round {number}: {reason}; results are those of round {self.best_round}"

    def add(self, done: "Round") -> None:
        """Take in one finished round."""
        number, valid = self.rounds_done + 1, [score for own in done.valid for score in own]
        if done.test is not None:
            test = [score for own in done.test for score in own]
            self.best, self.best_round, self.best_auc = {"valid": valid, "test": test}, number, self.last_auc
        for n, own in enumerate(done.valid):
            cost = done.seconds[n], done.bytes[n], int(done.accepted[n] is False)
            for k, (scenario, task, _, _, auc, _) in enumerate(own):
                loss = float(done.losses[n, k % done.losses.shape[1]])
                self.lines.append([number, scenario, task, auc, loss, *cost])
        self.said += [(number, *pair) for pair in zip(self.clients, done.said, strict=True) if pair[1]]
        for name, values in done.record.items():
            self.arrays.setdefault(name, []).append(values.numpy(force=True))
        self.rounds_done, self.seconds = number, self.seconds + done.elapsed

    def __getattr__(self, name: str) -> Any:
        """A view of it, see VIEWS: `results`, `rounds`, `weights`, …; `array` and `verdict` are called."""
        if name not in VIEWS:
            raise AttributeError(f"a History has no {name!r}; it has {', '.join(VIEWS)}")
        return getattr(import_module(f"pfmsm_lite.{VIEWS[name]}"), name)(self)

    def state(self) -> dict:
        """For a checkpoint: plain lists, numbers and tensors."""
        kept = {key: value for key, value in vars(self).items() if key not in ("method", "seed", "arrays")}
        arrays = {name: [torch.from_numpy(v) for v in values] for name, values in self.arrays.items()}
        return {**kept, "arrays": arrays}

    def load(self, state: dict) -> None:
        arrays = {name: [v.numpy() for v in values] for name, values in state["arrays"].items()}
        vars(self).update({**state, "arrays": arrays})

"""What a run leaves behind: results, one line per round, and arrays with named axes."""

import math

import numpy as np
import torch

from pfmsm_lite.errors import UserError

RESULTS = ("method", "seed", "scenario", "task", "split", "rows", "positives", "auc", "logloss")
ROUNDS = (
    "method",
    "seed",
    "round",
    "scenario",
    "task",
    "valid_auc",
    "train_loss",
    "seconds",
    "bytes",
    "refused",
)
AXES = {  # array → its axes
    "norm": ("round", "unit", "client"),
    "cosine_before": ("round", "unit", "client", "other"),
    "cosine_after": ("round", "unit", "client", "other"),
    "weights": ("round", "unit", "client", "source"),
    "normalized": ("round", "unit", "client"),
    "probe_alignment": ("round", "expert", "client"),
    "probe_cosine": ("round", "expert", "client", "other"),
}


def score(labels, probabilities):
    """(rows with a label, positives, AUC, logloss); AUC is NaN where only one class is there.

    labels [R] 0, 1 or NaN, probabilities [R]. AUC by scikit-learn.
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
    from sklearn import config_context
    from sklearn.metrics import auc, roc_curve

    with config_context(assume_finite=True, skip_parameter_validation=True):
        false, true, _ = roc_curve(labels, probabilities)  # roc_auc_score spends most of its time on checks
        return rows, positives, float(auc(false, true)), logloss


def average_auc(scores):
    """Mean AUC over scenarios and tasks that have one; NaN where none has."""
    found = [entry[4] for entry in scores if not math.isnan(entry[4])]
    return sum(found) / len(found) if found else math.nan


class History:
    """One method, one seed. `.results` and `.rounds` are DataFrames; `.weights`, `.cosines`, `.norms` and
    `.array(name)` are xarray.DataArrays with named axes (see AXES), one unit per expert and tower."""

    def __init__(self, method, seed, clients, units):
        self.method, self.seed, self.clients, self.units = method, seed, list(clients), list(units)
        self.lines, self.best, self.arrays = [], None, {}
        self.best_round, self.best_auc, self.last_auc = 0, -math.inf, math.nan
        self.rounds_done, self.seconds, self.stopped = 0, 0.0, ""
        self.stage_seconds, self.stored_bytes = {}, 0.0

    def improves(self, valid):
        self.last_auc = average_auc(valid)
        return self.best is None or self.last_auc > self.best_auc

    def goes_on(self, rounds, patience):
        """Whether there is another round: of `rounds`, and at most `patience` after the best one."""
        waited = self.rounds_done - self.best_round
        return self.rounds_done < rounds and waited < patience and not self.stopped

    def stop(self, number, reason):
        """Nothing could be learned in this round: keep what there is, or give up if there is nothing."""
        if self.best is None:
            raise UserError(f"Round {number} of {self.method}: {reason}. Try a smaller --learning-rate.")
        self.stopped = f"stopped in round {number}: {reason}; results are those of round {self.best_round}"

    def add(self, number, federation, record, valid, test, losses, seconds, accepted, payload, elapsed):
        if test is not None:
            self.best, self.best_round, self.best_auc = {"valid": valid, "test": test}, number, self.last_auc
        views = [n for n, client in enumerate(federation.clients) for _ in client.views]
        tasks = len(federation.tasks)
        for k, (scenario, task, _, _, auc, _) in enumerate(valid):
            n = views[k // tasks]
            self.lines.append(
                [
                    number,
                    scenario,
                    task,
                    auc,
                    float(losses[n, k % tasks]),
                    seconds[n],
                    payload[n],
                    int(not accepted[n]),
                ]
            )
        for name, values in record.items():
            self.arrays.setdefault(name, []).append(values.numpy(force=True))
        self.rounds_done, self.seconds = number, self.seconds + elapsed

    @property
    def results(self):
        """One line per scenario, task and split (valid, test), of the round that validation chose."""
        import pandas as pd

        lines = [
            (self.method, self.seed, scenario, task, split, *rest)
            for split, scores in (self.best or {}).items()
            for scenario, task, *rest in scores
        ]
        return pd.DataFrame(lines, columns=RESULTS)

    @property
    def rounds(self):
        """One line per round, scenario and task; seconds: that client's training; bytes: its upload."""
        import pandas as pd

        return pd.DataFrame([(self.method, self.seed, *line) for line in self.lines], columns=ROUNDS)

    def array(self, name):
        """A recorded array as an xarray.DataArray; see AXES for the names."""
        import xarray as xr

        if name not in self.arrays:
            raise KeyError(f"{self.method} recorded no {name!r}; it has {', '.join(self.arrays) or 'none'}")
        values = np.stack(self.arrays[name])
        return xr.DataArray(values, dims=AXES[name], coords=self._coordinates(AXES[name], values), name=name)

    def _coordinates(self, axes, values):
        names = {
            "round": range(1, len(values) + 1),
            "unit": self.units,
            "expert": [unit for unit in self.units if unit.startswith("expert ")],
        }
        return {axis: list(names.get(axis, self.clients)) for axis in axes}

    @property
    def weights(self):
        """[round, unit, client, source]: how much each client's mixture takes from each source."""
        return self.array("weights")

    @property
    def cosines(self):
        """[stage, round, unit, client, other]: cosines between updates, before and after coordination."""
        import xarray as xr

        both = [self.array("cosine_before"), self.array("cosine_after")]
        return xr.concat(both, xr.Variable("stage", ["before", "after"])).rename("cosine")

    @property
    def norms(self):
        """[round, unit, client]: length of each client's update."""
        return self.array("norm")

    def save(self, path):
        """Write the arrays and the names of their axes to a .npz file."""
        arrays = {name: np.stack(kept) for name, kept in self.arrays.items()}
        np.savez_compressed(path, clients=self.clients, units=self.units, **arrays)

    @property
    def refused(self):
        """[(round, client)]: uploads that were NaN or infinite and were left out."""
        return list(dict.fromkeys((line[0], line[1]) for line in self.lines if line[7]))

    def state(self):
        """For a checkpoint: plain lists, numbers and tensors."""
        kept = {key: value for key, value in vars(self).items() if key not in ("method", "seed", "arrays")}
        arrays = {name: [torch.from_numpy(v) for v in values] for name, values in self.arrays.items()}
        return {**kept, "arrays": arrays}

    def load(self, state):
        arrays = {name: [v.numpy() for v in values] for name, values in state["arrays"].items()}
        vars(self).update({**state, "arrays": arrays})

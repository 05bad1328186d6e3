"""How the methods of a comparison stand: one line per method, with intervals over seeds and test rows.

What an interval is about depends on the data, see `Scores.varies`: new data with each seed, several windows
in time, or one set of rows whose test rows (or the persons in them) are resampled.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pfmsm_lite.lab.metrics import base_rate, calibration_error, few, normalized_entropy
from pfmsm_lite.lab.predictions import ScoredRows, as_lines
from pfmsm_lite.lab.resampling import Interval, best_set, combined, drawn, resampled_auc
from pfmsm_lite.lab.statistics import results_of, simplest_first

LOCAL = "local"
CONSTANT = "constant"  # the row of the base rates
STANDING = (
    "method", "auc", "auc_by_rows", "difference", "low", "high", "best_set", "worst", "worst_client", "below",
    "below_1", "logloss", "normalized_entropy", "calibration_error",
)  # fmt: skip


class Training(NamedTuple):
    """One training of a chosen setting.

    world          which data it had: a key of `Scores.rows`
    kept           as in `statistics.kept`;  probabilities  [R, T] of its test rows, or None
    """

    method: str
    seed: int
    world: str
    kept: dict[str, Any]
    probabilities: np.ndarray | None


class Scores(NamedTuple):
    """What a comparison measured.

    results  columns of results.csv, test rows alone, and `world`
    rows     world → its test rows
    draws    method → [B] average AUC in resamples of the test rows; empty where new data come with each seed
    units    how many rows of the rarer classes, or persons, were resampled
    varies   what differs between the averages that an interval is over: "seed" or "world"
    """

    results: pd.DataFrame
    rows: dict[str, ScoredRows]
    draws: dict[str, np.ndarray]
    units: int
    varies: str

    @property
    def averages(self) -> pd.DataFrame:
        """AUC, mean over cells: per seed or per world (mean over its seeds) a row, per method a column."""
        single = self.results.groupby(["world", "seed", "method"], sort=False)["auc"].mean()
        found = single.groupby([self.varies, "method"], sort=False).mean().unstack("method")
        return found[list(dict.fromkeys(self.results["method"]))]

    def difference(self, first: str, second: str) -> Interval:
        """AUC of `first` minus AUC of `second`, with its interval."""
        averages, draws = self.averages, None
        if {first, second} <= self.draws.keys():
            draws = self.draws[first] - self.draws[second]
        return combined(averages[first] - averages[second], draws, self.units)


def measured(trainings: list[Training], rows: dict[str, ScoredRows], fresh: bool) -> Scores:
    """Put the trainings of a comparison together.

    fresh  whether each seed has data of its own: then seeds differ in their test rows, too, and these are not
           resampled beside them, but for a single seed
    """
    parts = [results_of([own.kept]).assign(world=own.world) for own in trainings]
    results = pd.concat(parts, ignore_index=True).query("split == 'test'")
    several = len({own.world for own in trainings}) > 1
    if fresh and several:
        return Scores(results, rows, {}, 0, "seed")
    draws = _draws(trainings, rows)
    cells = results.drop_duplicates(["world", "scenario", "task"])
    units = int(np.minimum(cells["positives"], cells["rows"] - cells["positives"]).sum())
    people = [own.people for own in rows.values() if own.people is not None]
    units = min(units, len(np.unique(np.concatenate(people)))) if people else units
    return Scores(results, rows, draws, units, "world" if several else "seed")


def _draws(trainings, rows):
    """{method: [B] average AUC}: mean over seeds, cells and worlds, in resamples common to all methods."""
    numbers, shared = _people(rows)
    methods = dict.fromkeys(own.method for own in trainings)
    found: dict[str, list] = {name: [] for name in methods}
    for number, (world, tests) in enumerate(rows.items()):
        own = {
            name: [t.probabilities for t in trainings if t.method == name and t.world == world]
            for name in methods
        }
        for n, part in enumerate(tests.slices.values()):
            labels = tests.labels[part]
            weights = shared if shared is not None else drawn(len(labels), seed=1000 * number + n)
            codes = None if shared is None else numbers[world][part]
            for name, kept in own.items():
                if kept and all(p is not None and len(p) == len(tests.labels) for p in kept):
                    some = np.stack([p[part] for p in kept])  # [S, R of the scenario, T]
                    found[name] += [
                        resampled_auc(labels[:, t], some[:, :, t], codes, weights)
                        for t in range(labels.shape[1])
                    ]
    cells = max(map(len, found.values()), default=0)
    complete = {name: np.stack(own) for name, own in found.items() if own and len(own) == cells}
    return {name: _mean(own) for name, own in complete.items()}


def _mean(draws):
    """[B] of [cells, B]: of each resample those cells that have an AUC."""
    known = np.isfinite(draws)
    return np.where(known, draws, 0).sum(0) / np.maximum(known.sum(0), 1)


def _people(rows):
    """({world: [R] number of the person of each row}, how often each is drawn); ({}, None): rows alone."""
    if not rows or any(own.people is None for own in rows.values()):
        return {}, None
    names, numbers = np.unique(np.concatenate([own.people for own in rows.values()]), return_inverse=True)
    parts = np.split(numbers, np.cumsum([len(own.people) for own in rows.values()])[:-1])
    return dict(zip(rows, parts, strict=True)), drawn(len(names))


# ---- the table ----


def standing(scores: Scores, trainings: list[Training], reference: str) -> pd.DataFrame:
    """One line per method, SIMPLEST first, then by AUC, and the line CONSTANT: columns STANDING.

    returns  auc (mean over cells), auc_by_rows (cells weighted by their rows), difference to the reference
             with its interval (points), best_set (1: not told apart from the best), worst: the client that
             loses most against LOCAL, or gains least (points), below, below_1: how many clients are below
             LOCAL, by more than 1 point; the rest mean over cells
    """
    averages = scores.averages
    table = pd.DataFrame({"auc": averages.mean(), "auc_by_rows": _by_rows(scores.results)})
    for name in table.index.drop(reference, errors="ignore") if reference in table.index else []:
        interval = scores.difference(name, reference)
        table.loc[name, ["difference", "low", "high"]] = [100 * v for v in interval[:3]]
    draws = [scores.draws.get(name) for name in averages]
    known = next((own for own in draws if own is not None), None)
    stacked = None
    if known is not None:
        stacked = np.stack([np.full(len(known), np.nan) if own is None else own for own in draws], 1)
    best = best_set(averages.to_numpy(float), stacked, scores.units)
    table["best_set"] = pd.Series(best.astype(float), averages.columns)
    table = table.join(_against_local(scores.results))
    results = scores.results.assign(normalized_entropy=normalized_entropy(scores.results))
    table = table.join(results.groupby("method")[["logloss", "normalized_entropy"]].mean())
    table["calibration_error"] = _calibration(scores, trainings)
    table = table.sort_values("auc", ascending=False, kind="stable")
    table = table.loc[simplest_first(table.index)]
    table = pd.concat([table, _constant(scores)])
    return table.rename_axis("method").reset_index().reindex(columns=list(STANDING))


def _by_rows(results):
    known = results.dropna(subset=["auc"])
    weighted = (known["auc"] * known["rows"]).groupby(known["method"]).sum()
    return weighted / known.groupby("method")["rows"].sum()


def client_gains(results: pd.DataFrame) -> pd.DataFrame:
    """AUC points over LOCAL by scenario and method, mean over tasks, seeds, worlds; empty without LOCAL."""
    aucs = results.groupby(["scenario", "method"], sort=False)["auc"].mean().unstack("method")
    if LOCAL not in aucs:
        return pd.DataFrame()
    return 100 * aucs.drop(columns=LOCAL).sub(aucs[LOCAL], axis=0)


def _against_local(results):
    gains = client_gains(results)
    known = gains.columns[gains.notna().any()] if len(gains) else []
    found = {
        name: (gains[name].min(), gains[name].idxmin(), (gains[name] < 0).sum(), (gains[name] < -1).sum())
        for name in known
    }
    return pd.DataFrame.from_dict(found, "index", columns=["worst", "worst_client", "below", "below_1"])


def _calibration(scores, trainings):
    """Expected calibration error by method, mean over seeds, worlds and cells."""
    errors = [
        calibration_error(as_lines(own.probabilities, scores.rows[own.world], own.method, own.seed))
        for own in trainings
        if own.probabilities is not None and len(own.probabilities)
    ]
    if not errors:
        return np.nan
    return pd.concat(errors).groupby("method").mean()


def _constant(scores):
    """The line CONSTANT: each scenario and task is predicted by the rate of its training labels."""
    parts = [
        base_rate(own, scores.rows[world].by_cell())
        for world, own in scores.results.groupby("world", sort=False)
    ]
    cells = pd.concat(parts)
    mean = cells[["auc", "logloss", "normalized_entropy", "calibration_error"]].mean()
    return pd.DataFrame({CONSTANT: {**mean, "auc_by_rows": mean["auc"]}}).T


def cells(scores: Scores) -> pd.DataFrame:
    """cells.csv: a line for each scenario and task, with its rows and positives (the fewest of all worlds),
    few (1: fewer than FEW positives or negatives), and the AUC of each method, mean over seeds and worlds.
    """
    marked = scores.results.assign(few=few(scores.results["positives"], scores.results["rows"]).astype(int))
    by_cell = marked.groupby(["scenario", "task"], sort=False)
    table = by_cell[["rows", "positives"]].min().join(by_cell["few"].max())
    aucs = scores.results.groupby(["scenario", "task", "method"], sort=False)["auc"].mean().unstack("method")
    return table.join(aucs[list(dict.fromkeys(scores.results["method"]))]).reset_index()


def pairs(scores: Scores) -> pd.DataFrame:
    """pairs.csv: first minus second of every two methods, the better one first: points, low, high."""
    order = list(scores.averages.mean().sort_values(ascending=False, kind="stable").index)
    lines = [
        (a, b, *(100 * v for v in scores.difference(a, b)[:3]))
        for n, a in enumerate(order)
        for b in order[n + 1 :]
    ]
    return pd.DataFrame(lines, columns=["first", "second", "difference", "low", "high"])


def summary(trainings: list[Training]) -> pd.DataFrame:
    """By method: seeds, and means over its trainings: best_round, first and last (share of trainings whose
    best round was the first, or the last one played), sent_kb, stored_kb, seconds."""
    lines = [
        {
            "method": own.method,
            "best_round": (best := own.kept["best_round"]),
            "first": best == 1 < own.kept["rounds"],
            "last": best == own.kept["rounds"],
            **{key: own.kept[key] for key in ("sent_kb", "stored_kb", "seconds")},
        }
        for own in trainings
    ]
    found = pd.DataFrame(lines).groupby("method").mean()
    seeds = pd.DataFrame([(own.method, own.seed) for own in trainings], columns=["method", "seed"])
    return found.assign(seeds=seeds.groupby("method")["seed"].nunique())

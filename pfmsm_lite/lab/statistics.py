"""From results to statements: one table of results, averages, paired differences, the printed table."""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pfmsm_lite.history import RESULTS, History
from pfmsm_lite.methods import METHODS

COMPACT = ("method", "seed", "round", "valid_auc", "bytes", "seconds")


def pooled_names() -> list[str]:
    """The methods with all rows in one place: they send nothing but their rows."""
    return [name for name, method in METHODS.items() if method.pooled]


# ---- what is kept of a training, and the tables made of it ----


def kept(history: History) -> dict[str, Any]:
    """What the engine keeps of a training, plain enough for JSON."""
    spent, results = compact(history.rounds), history.results
    return {
        "valid_auc": history.best_auc,
        "test_auc": float(results[results["split"] == "test"]["auc"].mean()),
        "best_round": history.best_round,
        "results": json.loads(results.to_json(orient="values")),
        "sent_kb": float(spent["bytes"].mean()) / 1000,
        "stored_kb": history.stored_bytes / 1000,
        "seconds": float(spent["seconds"].sum()),
        "stopped": history.stopped,
    }


def results_of(runs: Iterable[History | dict[str, Any]]) -> pd.DataFrame:
    """The rows of results.csv of many trainings: of each the History, or what is `kept` of it."""
    lines = []
    for run in runs:
        lines += run["results"] if isinstance(run, dict) else run.results.itertuples(index=False, name=None)
    return pd.DataFrame(lines, columns=list(RESULTS)).astype({"auc": float, "logloss": float})


def compact(rounds: pd.DataFrame) -> pd.DataFrame:
    """One line per method, seed and round: COMPACT. What is kept of a long run under notebooks/results/.

    rounds   DataFrame of history.csv, or one that is compact already
    returns  valid_auc: mean over scenarios and tasks; bytes: a client's upload, mean; seconds: all clients
    """
    if "scenario" not in rounds:
        return rounds[list(COMPACT)]
    keys = ["method", "seed", "round"]
    auc = rounds.groupby(keys, sort=False)["valid_auc"].mean()
    single = rounds.drop_duplicates([*keys, "scenario"])  # not once more for every task
    alone = single.drop_duplicates(keys)
    # a pooled method is one model: its bytes and seconds stand beside every scenario, and count once
    single = single.where(~single["method"].isin(pooled_names()), alone).dropna(subset=keys)
    cost = single.groupby(keys, sort=False).agg({"bytes": "mean", "seconds": "sum"})
    return cost.join(auc).reset_index()[list(COMPACT)].astype({"seed": int, "round": int})


def costs(results: pd.DataFrame, rounds: pd.DataFrame) -> pd.DataFrame:
    """What a method needs and what it brings: DataFrame by method, sorted by AUC.

    results, rounds   of a Run; of `rounds` also its `compact` form will do
    returns  auc (test rows, mean), best_round (mean over seeds), kilobytes (a client's upload in a round,
             NaN for a pooled method: it moves the rows), seconds (all clients' training in a run: the
             quickest round × the rounds, for a busy machine makes a round slower and never quicker)
    """
    by_round = compact(rounds)
    there = by_round.dropna(subset=["valid_auc"])
    best = there.loc[there.groupby(["method", "seed"])["valid_auc"].idxmax()]
    by_method = by_round.groupby("method")
    kilobytes = by_method["bytes"].mean() / 1000
    table = {
        "auc": per_seed(results).mean(),
        "best_round": best.groupby("method")["round"].mean(),
        "kilobytes": kilobytes.where(~kilobytes.index.isin(pooled_names())),
        "seconds": by_method["seconds"].min() * by_method["round"].max(),
    }
    return pd.DataFrame(table).sort_values("auc", ascending=False)


def per_seed(results: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """Average AUC over scenarios and tasks: DataFrame, one row per seed, one column per method."""
    rows = results[results["split"] == split]
    order = list(dict.fromkeys(rows["method"]))
    return rows.groupby(["seed", "method"])["auc"].mean().unstack("method")[order]


# ---- paired differences ----


class Paired(NamedTuple):
    """first − second over paired seeds, in AUC points (hundredths of AUC): see `paired`."""

    difference: float
    low: float
    high: float
    p: float
    seeds: int


def paired(first: Sequence[float], second: Sequence[float]) -> Paired:
    """The difference first − second over paired seeds: the one that every table and figure shows.

    first, second  [S] AUCs, one value per seed; a pair that lacks one of the two is left out
    returns  difference (mean), low, high (95 % t interval) in AUC points, p of the paired t-test, the number
             of pairs; NaN for the interval and p of less than two pairs
    """
    both = np.stack([np.asarray(first, float), np.asarray(second, float)])
    both = both[:, np.isfinite(both).all(0)]
    mean, low, high = paired_interval(*both)
    return Paired(100 * mean, 100 * low, 100 * high, paired_p(*both), both.shape[1])


def paired_interval(
    first: Sequence[float], second: Sequence[float], level: float = 0.95
) -> tuple[float, float, float]:
    """Mean of first − second over paired seeds, with a t interval.

    first, second  [S] one value per seed;  returns (mean, low, high); NaN bounds for one seed
    """
    from scipy import stats

    difference = np.asarray(first, float) - np.asarray(second, float)
    difference = difference[np.isfinite(difference)]
    mean = float(difference.mean()) if len(difference) else math.nan
    if len(difference) < 2:
        return mean, math.nan, math.nan
    if np.ptp(difference) < 1e-12:  # no spread but that of rounding
        return mean, mean, mean
    error = stats.sem(difference)
    low, high = stats.t.interval(level, len(difference) - 1, loc=mean, scale=error)
    return mean, float(low), float(high)


def paired_p(first: Sequence[float], second: Sequence[float]) -> float:
    """p-value of the paired t-test of [S] and [S]; NaN for less than two pairs, or where they are equal."""
    from scipy import stats

    if len(first) < 2 or np.allclose(first, second):
        return math.nan
    if np.ptp(np.asarray(first) - np.asarray(second)) < 1e-12:
        return 0.0
    return float(stats.ttest_rel(first, second).pvalue)


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction of p-values [K]; NaN stay NaN and are not counted (Holm, 1979)."""
    p = np.asarray(p, float)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.maximum.accumulate(steps).clip(max=1.0)
    return adjusted


def against(results: pd.DataFrame, hero: str = "pf_msmtrec", split: str = "test") -> pd.DataFrame:
    """How far one method is ahead of every other: DataFrame indexed by method, sorted by AUC.

    results  rows of results.csv, of several methods over the same seeds
    returns  auc (mean of the seeds' averages), difference, low, high: hero − method in AUC points, 95 %
    """
    averages = per_seed(results, split)
    lines = {}
    for method in averages:
        found = paired(averages[hero], averages[method])[:3] if method != hero else [math.nan] * 3
        lines[method] = [averages[method].mean(), *found]
    columns = ["auc", "difference", "low", "high"]
    return pd.DataFrame.from_dict(lines, "index", columns=columns).sort_values("auc", ascending=False)


def share_of_the_way(
    results: pd.DataFrame, hero: str = "pf_msmtrec", low: str = "local", high: str = "pooled",
    split: str = "test",
) -> tuple[float, float, float]:  # fmt: skip
    """(hero − low) / (high − low) over seeds: mean and 95 % t interval; 1: as good as `high`."""
    averages = per_seed(results, split)
    ratio = (averages[hero] - averages[low]) / (averages[high] - averages[low])
    return paired_interval(ratio, np.zeros(len(ratio)))


# ---- the printed table of a run ----


def summary(histories: Sequence[History], reference: str = "fedavg", split: str = "test") -> pd.DataFrame:
    """One row per method: average AUC, paired difference to `reference` in AUC points, bytes, seconds.

    histories  of several methods over the same seeds
    returns    DataFrame indexed by method: auc, difference, low, high (points: hundredths of AUC; NaN where
               `reference` or a second seed is missing), bytes (mean upload of a client in a round), seconds
               (mean of a run), best_round (mean)
    """
    averages = per_seed(results_of(histories), split)
    lines = []
    for method in averages:
        own = [history for history in histories if history.method == method]
        difference = (math.nan,) * 3
        if reference in averages and method != reference:
            difference = paired(averages[method], averages[reference])[:3]
        lines.append(
            {
                "method": method,
                "auc": averages[method].mean(),
                **dict(zip(("difference", "low", "high"), difference, strict=True)),
                "bytes": np.mean([history.rounds["bytes"].mean() for history in own]),
                "seconds": np.mean([history.seconds for history in own]),
                "best_round": np.mean([history.best_round for history in own]),
            }
        )
    return pd.DataFrame(lines).set_index("method")


def points(row: Any) -> str:
    """A line's difference, low and high (AUC points; NaN where there is none) as text."""
    if math.isnan(row.difference):
        return "–"
    if math.isnan(row.low):
        return f"{row.difference:+.2f} (one seed)"
    return f"{row.difference:+.2f} [{row.low:+.2f}, {row.high:+.2f}]"


def _auc(value):
    return "n/a" if math.isnan(value) else f"{value:.3f}".removeprefix("0")


def _aligned(lines):
    """Lines of cells → text: first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in lines
    ], widths


def table(
    histories: Sequence[History], ceiling: Sequence[Sequence[float]] | None = None,
    reference: str = "fedavg", widest: int = 16,
) -> str:  # fmt: skip
    """The printed table, as text: task × scenario AUC on test rows by method, and what the method cost.

    ceiling  [N, T] best reachable AUC, where the data's truth is known
    widest   with more columns than this (scenarios × tasks) the single AUCs are left to results.csv
    """
    test = results_of(histories).query("split == 'test'")
    scenarios, tasks = (list(dict.fromkeys(test[column])) for column in ("scenario", "task"))
    cells = test.groupby(["method", "scenario", "task"], sort=False)["auc"].mean()
    keys = [(name, task) for task in tasks for name in scenarios]
    keys = keys if len(keys) <= widest else []
    difference = f"points over {reference} [95 %]"
    pooled = pooled_names()
    lines = [["method", *(name for name, _ in keys), "average", difference, "bytes", "seconds"]]
    for row in summary(histories, reference).itertuples():
        aucs = [_auc(cells.get((row.Index, *key), math.nan)) for key in keys]
        size = "its rows" if row.Index in pooled else f"{row.bytes:,.0f}"
        lines.append([row.Index, *aucs, _auc(row.auc), points(row), size, f"{row.seconds:.1f}"])
    if ceiling is not None:
        best = np.asarray(ceiling, float)
        known = [_auc(best[scenarios.index(name)][tasks.index(task)]) for name, task in keys]
        lines.append(["best reachable", *known, _auc(float(np.nanmean(best))), "", "", ""])
    text, widths = _aligned(lines)
    if keys:
        head = " " * (widths[0] + 2)
        for t, task in enumerate(tasks):
            block = widths[1 + t * len(scenarios) : 1 + (t + 1) * len(scenarios)]
            room = sum(block) + 2 * len(block)
            head += task[: room - 2].ljust(room)
        text.insert(0, head.rstrip())
    if any(" n/a" in line for line in text):
        text.append("n/a: one class only, so there is no AUC")
    return "\n".join(text)

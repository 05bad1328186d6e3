"""From results to statements: one table of results, averages, paired differences, the printed table."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pfmsm_lite.history import RESULTS, History
from pfmsm_lite.lab.metrics import FEW, base_rate, few, metrics
from pfmsm_lite.methods import METHODS, Method
from pfmsm_lite.registry import lookup

EVEN = 1.2  # times its even share of a mixture: a source that gets less is as good as any other
HERO = "pf_msmtrec"
SIMPLEST = ("logistic", "logistic_pooled")  # they come first in every table
COMPACT = ("method", "seed", "round", "valid_auc", "bytes", "seconds")


def pooled_names() -> list[str]:
    """The methods with all rows in one place: they send nothing but their rows."""
    return [name for name, method in METHODS.items() if method.pooled]


def has_network(method: Method | str) -> bool:
    """Whether a method, or the one of that name, trains a network; a name that nobody declared does."""
    found = METHODS.get(method) if isinstance(method, str) else method
    return found is None or not hasattr(lookup("model", found.model), "make_client")


def hero_of(results: pd.DataFrame) -> str:
    """The method that is judged and that titles are about; "" where no method is federated.

    pf_msmtrec, else the federated one that is best on validation rows (of results without any: on test rows)
    """
    split = "valid" if (results["split"] == "valid").any() else "test"
    return best_federated(per_seed(results, split).mean() if len(results) else pd.Series(dtype=float))


def best_federated(aucs: pd.Series) -> str:
    """pf_msmtrec, else the federated method with the best AUC, by method; "" for none."""
    aucs = aucs.drop([name for name, method in METHODS.items() if not method.sent], errors="ignore")
    if HERO in aucs or not len(aucs):
        return HERO if HERO in aucs else ""
    return str(aucs.idxmax()) if aucs.notna().any() else str(aucs.index[0])


def simplest_first(methods: Iterable[str]) -> list[str]:
    """The methods in their order, but for SIMPLEST, which come first."""
    names = list(methods)
    return [*(name for name in SIMPLEST if name in names), *(name for name in names if name not in SIMPLEST)]


# ---- what is kept of a training, and the tables made of it ----


def kept(history: History) -> dict[str, Any]:
    """What the engine keeps of a training, plain enough for JSON."""
    spent, results = compact(history.rounds), history.results
    return {
        "valid_auc": history.best_auc,
        "test_auc": float(results[results["split"] == "test"]["auc"].mean()),
        "best_round": history.best_round,
        "rounds": history.rounds_done,
        "curve": spent["valid_auc"].tolist(),
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
    # a pooled method is one model: its bytes and seconds are repeated for every scenario, and count once
    single = single.where(~single["method"].isin(pooled_names()), alone).dropna(subset=keys)
    cost = single.groupby(keys, sort=False).agg({"bytes": "mean", "seconds": "sum"})
    return cost.join(auc).reset_index()[list(COMPACT)].astype({"seed": int, "round": int})


def costs(results: pd.DataFrame, rounds: pd.DataFrame) -> pd.DataFrame:
    """What a method needs and what it brings: DataFrame by method, sorted by AUC.

    results, rounds   of a Run; of `rounds` also its `compact` form will do
    returns  auc (test rows, mean), best_round (mean over seeds), kilobytes (a client's upload in a round,
             NaN for a pooled method: it moves the rows), seconds (all clients' training in a run: the
             quickest round × the rounds, since a busy machine makes a round slower and never quicker)
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


def phrase(rival: str, difference: float, low: float, high: float, minus: str = "−") -> str:
    """How a difference to a rival is put in words. One rule for all titles and sentences.

    difference, low, high  in AUC points, as in `paired`; NaN bounds: one seed
    returns  "leads …" or "trails …" only where the interval excludes zero, "has no clear distance to …" where
             it includes it; one seed never leads: it "is … above …" or "below"
    """
    if low > 0:
        return f"leads {rival} by {difference:.1f}"
    if high < 0:
        return f"trails {rival} by {-difference:.1f}"
    if low <= 0 <= high:
        signed = f"{difference:+z.1f}".replace("-", minus)
        return f"has no clear distance to {rival} ({signed})"
    if math.isnan(difference):
        return f"cannot be compared with {rival}"
    return f"is {abs(difference):.1f} {'above' if difference >= 0 else 'below'} {rival}"


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


# ---- the printed table of a run ----

MARK = "°"  # of a cell with few positives or negatives
BESIDE = {"logloss": "log loss", "normalized_entropy": "NE", "calibration_error": "ECE"}
LEGEND = {
    "NE": "NE: normalized entropy, log loss ÷ that of knowing only the rate of these rows (below 1: better)",
    "ECE": "ECE: expected calibration error, 10 bins of equal mass",
}


def summary(
    histories: Sequence[History], reference: str = "fedavg", split: str = "test",
    calibration: pd.Series | None = None,
) -> pd.DataFrame:  # fmt: skip
    """One row per method: average AUC, paired difference to `reference` in AUC points, bytes, seconds.

    histories    of several methods over the same seeds
    calibration  as in `metrics.calibration_error`; None: it is NaN
    returns      DataFrame indexed by method: auc, difference, low, high (points: hundredths of AUC; NaN where
                 `reference` or a second seed is missing), bytes (mean upload of a client in a round), seconds
                 (mean of a run), best_round (mean), and averages over cells: logloss, normalized_entropy,
                 calibration_error
    """
    results = results_of(histories)
    averages = per_seed(results, split)
    beside = metrics(results[results["split"] == split], calibration)
    beside = beside.groupby("method")[list(BESIDE)].mean()
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
    return pd.DataFrame(lines).set_index("method").join(beside)


def points(row: Any) -> str:
    """A line's difference, low and high (AUC points; NaN where there is none) as text."""
    if math.isnan(row.difference):
        return "–"
    if math.isnan(row.low):
        return f"{row.difference:+.2f} (one seed)"
    return f"{row.difference:+.2f} [{row.low:+.2f}, {row.high:+.2f}]"


def decimals(value: float) -> str:
    """A share without its leading zero, such as .712; n/a for NaN."""
    return "n/a" if math.isnan(value) else f"{value:.3f}".removeprefix("0")


def aligned(lines: Sequence[Sequence[str]]) -> tuple[list[str], list[int]]:
    """(lines of cells as text: first column to the left, the others to the right; the columns' widths)."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in lines
    ], widths


def left_out(results: pd.DataFrame, split: str = "test") -> str:
    """What the average AUCs leave out, in words: the cells without an AUC; "" where there is none."""
    rows = results[results["split"] == split]
    cells = rows.groupby(["scenario", "task", "method"], sort=False)["auc"].agg(lambda auc: auc.isna().any())
    by_cell = cells.unstack("method").fillna(True).astype(bool)
    lost = by_cell.index[by_cell.all(axis=1)]
    said = []
    if len(lost):
        names = ", ".join(f"{scenario} ({task})" for scenario, task in lost[:6])
        more = f" and {len(lost) - 6} more" if len(lost) > 6 else ""
        said.append(f"{len(lost):,} of {len(by_cell):,} scenarios × tasks without an AUC: {names}{more}")
    for method, extra in by_cell[~by_cell.all(axis=1)].sum().items():
        if extra:
            said.append(f"of {method} {extra:,} {'more' if len(lost) else 'without an AUC'}")
    return f"Left out of the averages: {'; '.join(said)}." if said else ""


def table(
    histories: Sequence[History], ceiling: Sequence[Sequence[float]] | None = None,
    references: Sequence[str] = ("local", "fedavg"), widest: int = 16,
    calibration: pd.Series | None = None, rates: Mapping[str, Mapping[str, float]] | None = None,
) -> str:  # fmt: skip
    """The printed tables, as text: AUC on test rows by task and scenario; then the averages and the cost.

    ceiling      [N, T] best reachable AUC, where the data's truth is known
    references   methods from which the distance is shown, as far as they were run
    widest       with more cells than this (scenarios × tasks) the single AUCs are left to results.csv
    calibration  as in `metrics.calibration_error`; None: it is not shown
    rates        scenario → task → rate of the training labels: adds the line "base rate", the constant
    """
    results = results_of(histories)
    test = results.query("split == 'test'")
    scenarios, tasks = (list(dict.fromkeys(test[column])) for column in ("scenario", "task"))
    text = _cells(test, scenarios, tasks, ceiling) if len(scenarios) * len(tasks) <= widest else []
    found = {
        name: summary(histories, name, calibration=calibration)
        for name in references
        if name in set(test["method"])
    }
    first = next(iter(found.values()), None)
    first = summary(histories, calibration=calibration) if first is None else first
    beside = {key: head for key, head in BESIDE.items() if first[key].notna().any()}
    heads = [*(f"points over {name} [95 %]" for name in found), *beside.values(), "bytes", "seconds"]
    lines, pooled = [["method", "average", *heads]], pooled_names()
    for method, row in first.iterrows():
        size = "its rows" if method in pooled else f"{row['bytes']:,.0f}"
        distances = [points(own.loc[method]) for own in found.values()]
        shares = [decimals(row[key]) for key in beside]
        lines.append([str(method), decimals(row["auc"]), *distances, *shares, size, f"{row['seconds']:.1f}"])
    if rates and len(constant := base_rate(results, rates)):
        shares = [decimals(constant[key].mean()) for key in beside]
        lines.append(["base rate", decimals(constant["auc"].mean()), *[""] * len(found), *shares, "", ""])
    if ceiling is not None:
        best = decimals(float(np.nanmean(np.asarray(ceiling, float))))
        lines.append(["best reachable", best, *[""] * len(heads)])
    text += ["", *aligned(lines)[0]] if text else aligned(lines)[0]
    if any(" n/a" in line for line in text):
        text.append("n/a: one class only, so there is no AUC")
    notes = [f"{MARK}: fewer than {FEW} positives or negatives"] if any(MARK in line for line in text) else []
    notes += ["[95 %]: over paired seeds alone"] if found else []
    notes += [LEGEND[head] for head in beside.values() if head in LEGEND]
    notes += ["base rate: the constant rate of the training labels, by scenario and task"] if rates else []
    return "\n".join([*text, *notes, *filter(None, [left_out(results)])])


def _cells(test, scenarios, tasks, ceiling):
    """AUC by method, task and scenario: lines of text."""
    cells = test.groupby(["method", "scenario", "task"], sort=False)["auc"].mean()
    keys = [(name, task) for task in tasks for name in scenarios]
    averages = per_seed(test).mean()
    small = set(test[few(test["positives"], test["rows"])].set_index(["scenario", "task"]).index)
    lines = [["method", *(name + MARK * ((name, task) in small) for name, task in keys), "average"]]
    for method in averages.index:
        aucs = [decimals(cells.get((method, *key), math.nan)) for key in keys]
        lines.append([method, *aucs, decimals(averages[method])])
    if ceiling is not None:
        best = np.asarray(ceiling, float)
        known = [decimals(best[scenarios.index(name)][tasks.index(task)]) for name, task in keys]
        lines.append(["best reachable", *known, decimals(float(np.nanmean(best)))])
    text, widths = aligned(lines)
    head = " " * (widths[0] + 2)
    for t, task in enumerate(tasks):
        block = widths[1 + t * len(scenarios) : 1 + (t + 1) * len(scenarios)]
        room = sum(block) + 2 * len(block)
        head += task[: room - 2].ljust(room)
    return [head.rstrip(), *text]

"""From results to statements: averages, paired differences, the printed table."""

import math

import numpy as np

from pfmsm_lite.methods import POOLED


def per_seed(results, split="test"):
    """Average AUC over scenarios and tasks: DataFrame, one row per seed, one column per method."""
    rows = results[results["split"] == split]
    order = list(dict.fromkeys(rows["method"]))
    return rows.groupby(["seed", "method"])["auc"].mean().unstack("method")[order]


def paired_interval(first, second, level=0.95):
    """Mean of first − second over paired seeds, with a t interval.

    first, second  [S] one value a seed;  returns (mean, low, high); NaN bounds for one seed
    """
    from scipy import stats

    difference = np.asarray(first, float) - np.asarray(second, float)
    difference = difference[np.isfinite(difference)]
    mean = float(difference.mean()) if len(difference) else math.nan
    if len(difference) < 2:
        return mean, math.nan, math.nan
    if np.ptp(difference) == 0:
        return mean, mean, mean
    error = stats.sem(difference)
    low, high = stats.t.interval(level, len(difference) - 1, loc=mean, scale=error)
    return mean, float(low), float(high)


def against(results, hero="pf_msmtrec", split="test"):
    """How far one method is ahead of every other: DataFrame indexed by method, sorted by AUC.

    results  rows of results.csv, of several methods over the same seeds
    returns  auc (mean of the seeds' averages), difference, low, high: hero − method in AUC points, 95 %
    """
    import pandas as pd

    averages = per_seed(results, split)
    lines = {}
    for method in averages:
        found = [100 * x for x in paired_interval(averages[hero], averages[method])]
        found = found if method != hero else [math.nan] * 3
        lines[method] = [averages[method].mean(), *found]
    columns = ["auc", "difference", "low", "high"]
    return pd.DataFrame.from_dict(lines, "index", columns=columns).sort_values("auc", ascending=False)


def share_of_the_way(results, hero="pf_msmtrec", low="local", high="pooled", split="test"):
    """(hero − low) / (high − low) over seeds: mean and 95 % t interval; 1: as good as `high`."""
    averages = per_seed(results, split)
    ratio = (averages[hero] - averages[low]) / (averages[high] - averages[low])
    return paired_interval(ratio, np.zeros(len(ratio)))


def summary(histories, reference="fedavg", split="test"):
    """One row per method: average AUC, paired difference to `reference` in AUC points, bytes, seconds.

    histories  of several methods over the same seeds
    returns    DataFrame indexed by method: auc, difference, low, high (points: hundredths of AUC; NaN where
               `reference` or a second seed is missing), bytes (mean upload of a client in a round), seconds
               (mean of a run), best_round (mean)
    """
    import pandas as pd

    averages = per_seed(pd.concat([history.results for history in histories]), split)
    lines = []
    for method in averages:
        own = [history for history in histories if history.method == method]
        difference = (math.nan,) * 3
        if reference in averages and method != reference:
            difference = [100 * x for x in paired_interval(averages[method], averages[reference])]
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


def points(row):
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


def table(histories, ceiling=None, reference="fedavg", widest=16):
    """The printed table, as text: task × scenario AUC on test rows by method, and what the method cost.

    ceiling  [N, T] best reachable AUC, where the data's truth is known
    widest   with more columns than this (scenarios × tasks) the single AUCs are left to results.csv
    """
    import pandas as pd

    test = pd.concat([history.results for history in histories]).query("split == 'test'")
    scenarios, tasks = (list(dict.fromkeys(test[column])) for column in ("scenario", "task"))
    cells = test.groupby(["method", "scenario", "task"], sort=False)["auc"].mean()
    keys = [(name, task) for task in tasks for name in scenarios]
    keys = keys if len(keys) <= widest else []
    difference = f"points over {reference} [95 %]"
    lines = [["method", *(name for name, _ in keys), "average", difference, "bytes", "seconds"]]
    for row in summary(histories, reference).itertuples():
        aucs = [_auc(cells.get((row.Index, *key), math.nan)) for key in keys]
        size = "its rows" if row.Index in POOLED else f"{row.bytes:,.0f}"
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

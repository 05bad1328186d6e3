"""Who gains what by federating, scenario by scenario, with intervals; and whom each scenario learns from."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pfmsm_lite.history import History
from pfmsm_lite.lab.resampling import Interval, combined, drawn, resampled_gain
from pfmsm_lite.lab.statistics import EVEN

REFERENCE = "local"
FEWEST = 10  # positives and negatives (and persons) among the test rows, from which a scenario is judged
MOST_SOURCES = 50  # of a scenario, that sources.csv lists
GAINS = (
    "scenario", "training_rows", "test_rows", "test_positives", "auc_local", "auc_hero", "gain", "low",
    "high", "verdict", "main_sources",
)  # fmt: skip
SOURCES = ("scenario", "source", "weight", "ratio", "rank")


class Gains(NamedTuple):
    """What `gains` found.

    table     one line per scenario, sorted by gain: the columns GAINS but for main_sources. Gain, low and
              high in AUC points; verdict: pays, harms, not clear or too small
    total     gain over all cells in AUC points, with its interval
    seeds     how many seeds were paired;  resampled: of how many scenarios the test rows were resampled
    persons   whether persons were resampled, not rows
    cells     (scenario, task) that count;  left_out: [(scenario, task)] without an AUC
    """

    table: pd.DataFrame
    total: Interval
    seeds: int
    resampled: int
    persons: bool
    cells: int
    left_out: list[tuple[str, str]]


def gains(
    results: pd.DataFrame, hero: str, sizes: Mapping[str, int] | None = None,
    predictions: pd.DataFrame | None = None, groups: Mapping[str, Mapping[str, Any]] | None = None,
) -> Gains:  # fmt: skip
    """What `hero` gives every scenario over `local` on test rows: mean over tasks and paired seeds.

    results      rows of results.csv, both methods among them
    sizes        scenario → its training rows
    predictions  columns of predictions.csv, for the bootstrap of test rows; None: the seeds count alone
    groups       scenario → split → [R] the person of each row; None: rows are resampled one by one
    """
    test = results[(results["split"] == "test") & results["method"].isin([hero, REFERENCE])]
    wide = test.set_index(["scenario", "task", "seed", "method"])["auc"].unstack("method")
    wide = wide.reindex(columns=[hero, REFERENCE])
    order = list(dict.fromkeys(test["scenario"]))
    both = wide.dropna()
    single = (both[hero] - both[REFERENCE]).rename("gain")  # by scenario, task, seed
    seeds = sorted(both.index.unique("seed"))
    known = set(zip(*(both.index.get_level_values(k) for k in ("scenario", "task")), strict=True))
    cells = list(dict.fromkeys(zip(test["scenario"], test["task"], strict=True)))
    counts = _counts(test)
    draws, persons = _draws(predictions, hero, seeds, known, groups)
    by_seed = single.groupby(["scenario", "seed"]).mean().unstack("seed").reindex(order)
    aucs = both.groupby("scenario").mean().reindex(order)
    lines = []
    for name in order:
        rarer = [counts["rarer"][name, task] for task in counts["tasks"] if (name, task) in known]
        units = min([*rarer, *([persons[name]] if name in persons else [])], default=0)
        own = [draws[name, task] for task in counts["tasks"] if (name, task) in draws]
        one = combined(by_seed.loc[name], np.mean(own, axis=0) if own else None, units)
        small = max(rarer, default=0) < FEWEST or persons.get(name, FEWEST) < FEWEST
        size = math.nan if sizes is None else sizes.get(name, math.nan)
        scored = aucs[REFERENCE][name], aucs[hero][name]
        lines.append(
            (name, size, counts["rows"][name], counts["positives"][name], *scored,
             *(100 * value for value in one[:3]), word(*one[:3], small))
        )  # fmt: skip
    table = pd.DataFrame(lines, columns=list(GAINS[:-1]))
    table = table.sort_values("gain", ascending=False, kind="stable", ignore_index=True)
    resampled = {name for name, _ in draws}
    whole = np.mean(list(draws.values()), axis=0) if known and len(draws) == len(known) else None
    units = sum(counts["rarer"][cell] for cell in known)
    found = combined(single.groupby("seed").mean(), whole, units)
    total = Interval(*(100 * v for v in found[:3]), *(1e4 * v for v in found[3:]))
    left_out = [cell for cell in cells if cell not in known]
    return Gains(table, total, len(seeds), len(resampled), bool(persons), len(known), left_out)


def word(gain: float, low: float, high: float, small: bool = False) -> str:
    """pays, harms, not clear or too small: by the interval alone."""
    if small or math.isnan(gain):
        return "too small"
    return "pays" if low > 0 else "harms" if high < 0 else "not clear"


def _counts(test):
    """Of the test rows: rows and positives by scenario, the rarer class by cell, the tasks."""
    cells = test.drop_duplicates(["scenario", "task"]).set_index(["scenario", "task"])
    by_scenario = cells.groupby("scenario")
    return {
        "tasks": list(dict.fromkeys(test["task"])),
        "rows": by_scenario["rows"].max(),
        "positives": by_scenario["positives"].min(),
        "rarer": np.minimum(cells["positives"], cells["rows"] - cells["positives"]).to_dict(),
    }


def _draws(predictions, hero, seeds, known, groups):
    """({(scenario, task): [B] gains in resamples}, {scenario: persons}); empty without predictions.

    A person who is in several scenarios is drawn in all of them at once.
    """
    if predictions is None or not len(predictions) or not seeds:
        return {}, {}
    keep = predictions["split"].eq("test") & predictions["method"].isin([hero, REFERENCE])
    own = predictions[keep & predictions["seed"].isin(seeds)]
    place = own.groupby(["scenario", "task", "method", "seed"], sort=False, observed=True).indices
    labels, probability = own["label"].to_numpy(float), own["probability"].to_numpy(float)
    people, shared = _people(groups)
    draws, persons = {}, {}
    tasks = {}
    for name, task in sorted(known):
        tasks.setdefault(name, []).append(task)
    for number, name in enumerate(tasks):
        weights, codes = None, None
        for task in tasks[name]:
            parts = [[place.get((name, task, m, s), ()) for s in seeds] for m in (hero, REFERENCE)]
            length = len(parts[0][0])
            if not length or any(len(part) != length for side in parts for part in side):
                continue
            if weights is None:
                codes = people.get(name)
                codes = codes if codes is not None and len(codes) == length else None
                weights = drawn(length, seed=number) if codes is None else shared
                if codes is not None:
                    persons[name] = len(np.unique(codes))
            if codes is None and len(weights) != length:
                continue
            a, b = (np.stack([probability[part] for part in side]) for side in parts)
            draws[name, task] = resampled_gain(labels[parts[0][0]], a, b, codes, weights)
    return draws, persons


def _people(groups):
    """({scenario: [R] number of the person of each test row}, the weights of all persons)."""
    codes = {name: np.asarray(own["test"]) for name, own in (groups or {}).items() if "test" in own}
    if not codes:
        return {}, None
    names, numbers = np.unique(np.concatenate(list(codes.values())), return_inverse=True)
    parts = np.split(numbers, np.cumsum([len(own) for own in codes.values()])[:-1])
    return dict(zip(codes, parts, strict=True)), drawn(len(names))


# ---- whom each learns from ----


def mixture(histories: Iterable[History], method: str) -> tuple[list[str], np.ndarray] | None:
    """Mixture weights of a method: mean over experts (else all units) and seeds, in the round reported.

    returns  (names of the N clients, [N, N] client × source); None where no weights were recorded
    """
    own = [history for history in histories if history.method == method and history.arrays.get("weights")]
    if not own:
        return None
    experts = [u for u, unit in enumerate(own[0].units) if str(unit).startswith("expert ")]
    # [S, U, N, N]; a round that is not known (0) is the last
    chosen = np.stack([np.asarray(history.arrays["weights"][history.best_round - 1]) for history in own])
    chosen = chosen[:, experts] if experts else chosen
    return [str(name) for name in own[0].clients], chosen.mean((0, 1), dtype=float)


def sources(names: Sequence[str], weights: np.ndarray) -> pd.DataFrame:
    """sources.csv: what each scenario takes from the others, most first; columns SOURCES.

    weights  [N, N];  returns  weight (without one's own), ratio: that to the even share of what is taken from
             others (1: as if nothing had been learned), rank from 1; at most MOST_SOURCES of a scenario
    """
    count = len(names)
    if count < 2:
        return pd.DataFrame(columns=list(SOURCES))
    others = np.where(np.eye(count, dtype=bool), -1.0, weights)
    order = np.argsort(-others, axis=1, kind="stable")[:, : min(count - 1, MOST_SOURCES)]
    taken = np.take_along_axis(others, order, 1)
    even = (weights.sum(1) - weights.diagonal())[:, None] / (count - 1)
    ratio = np.divide(taken, even, out=np.full(taken.shape, np.nan), where=even > 0)
    name = np.asarray(names, object)
    columns = (
        np.repeat(name, order.shape[1]), name[order.ravel()], taken.ravel(), ratio.ravel(),
        np.tile(np.arange(1, order.shape[1] + 1), count),
    )  # fmt: skip
    return pd.DataFrame(dict(zip(SOURCES, columns, strict=True)))


def main_sources(table: pd.DataFrame, most: int = 3) -> dict[str, str]:
    """scenario → its preferred sources in words, such as "app 2.1×, web 1.4×"; "even split" where none is.

    Of two scenarios each has the other, 1.0×.
    """
    few = table[table["rank"] <= most]
    found = {}
    for name, own in few.groupby("scenario", sort=False):
        liked = own[(own["ratio"] >= EVEN) | (len(own) == 1)]
        said = ", ".join(f"{s} {r:.1f}×" for s, r in zip(liked["source"], liked["ratio"], strict=True))
        found[name] = said or ("even split" if own["ratio"].notna().any() else "")
    return found

"""What the page's slider moves through: weights, conflicts and AUC by round, packed small.

A cell is one byte. Where that is still too much, whole choices or rounds are left out, or
neighbouring clients averaged, and `thinned` says so.
"""

import base64
import math
from typing import Any

import numpy as np

from pfmsm_lite.history import History
from pfmsm_lite.lab.heatmaps import blocks, of_unit, ratios, sort_clients
from pfmsm_lite.lab.runs import Run
from pfmsm_lite.lab.style import method_style

MEAN = "mean over experts"
BUDGET = 2_400_000  # characters of all packed maps
LINES, ROUNDS = 100, 60  # at most: lines of a map, rounds of a choice
STEPS = 31  # of one doubling of the even share; four doublings fit a byte
UNKNOWN = -128


def replay(run: Run, budget: int = BUDGET) -> dict[str, Any]:
    """All that the page replays, ready for JSON.

    returns  names, block (clients of a line), labels (groups in that order, or None), reach (doublings at
             which the colours end), choices (method, seed, unit, rounds, and cells: base64 of int8
             [rounds, 2, K, K]: doublings of the even share × STEPS, own weight in % on the diagonal; cosines
             before coordination × 127; UNKNOWN where there is none), curves (method → seed → validation AUC
             by round), colors, thinned (sentences)
    """
    recorded = {
        cell: history
        for cell, history in run.histories.items()
        if "weights" in history.arrays and len(history.clients) > 1
    }
    first = next(iter(sorted(recorded, key=lambda cell: cell[0] != run.hero)), None)
    view: dict[str, Any] = {"names": [], "labels": None, "block": 1, "reach": 1, "steps": STEPS}
    order, thinned = np.arange(0), []
    if first:
        order = _ordered(run, recorded[first], view)
    choices, thinned = _choices(run, recorded, order, view["block"], budget)
    for method, seed in sorted(run.histories, key=lambda cell: cell[0] != run.hero):
        if (method, seed) not in recorded:
            rounds = sorted({int(r) for r in run.rounds.query("method == @method")["round"]})
            choices.append({"method": method, "seed": seed, "unit": "", "rounds": rounds})
    if view["block"] > 1:
        text = f"A cell of a map is a mean over {view['block']} × {view['block']} neighbouring scenarios."
        thinned.insert(0, text)
    colors = {method: method_style(method)[0] for method in run.methods}
    return {**view, "choices": choices, "curves": _curves(run), "colors": colors, "thinned": thinned}


def _ordered(run, history, view):
    """The order of the clients, by what the last round learned; fills in names, labels, block and reach."""
    count = len(history.clients)
    last, _ = of_unit(history.weights.isel(round=[-1]), None)
    logs = np.log2(ratios(last.values[0]).clip(2.0**-6))
    known = run.clusters if run.clusters and len(run.clusters) == count else None
    order, labels = sort_clients(known, count, logs)
    size = math.ceil(count / LINES)
    names = [str(history.clients[n]) for n in order]
    if size > 1:
        names = [f"{names[n]} … {names[min(n + size, count) - 1]}" for n in range(0, count, size)]
        labels = None
    far = np.abs(logs[np.isfinite(logs)])
    reach = float(np.clip(np.ceil(np.quantile(far, 0.98) - 0.05), 1, 4)) if far.size else 1.0
    view.update(names=names, labels=labels and [str(label) for label in labels], block=size, reach=reach)
    return order


def _choices(run, recorded, order, size, budget):
    """(the choices that fit the budget, sentences on what does not): the main method, its first seed and the
    mean over the experts first."""
    seeds = run.seeds
    wanted = [
        ((cell[0] != run.hero) + (cell[1] != seeds[0]) + (unit != MEAN), number, cell, unit)
        for number, (cell, unit) in enumerate(
            (cell, unit) for cell, history in recorded.items() for unit in (MEAN, *map(str, history.units))
        )
    ]
    found, left, thinner = [], 0, 0
    cost = 8 / 3 * math.ceil(len(order) / size) ** 2  # characters of one round: two maps in base64
    for *_, cell, unit in sorted(wanted, key=lambda entry: entry[:2]):
        there = len(recorded[cell].arrays["weights"])
        most = int(max(2, min(ROUNDS, budget / 4 // cost if found or there * cost > budget / 4 else there)))
        rounds = np.unique(np.linspace(1, there, min(there, most)).round().astype(int))
        if found and cost * len(rounds) > budget - sum(len(choice["cells"]) for choice in found):
            left += 1
            continue
        thinner = max(thinner, there if len(rounds) < there else 0)
        cells = _packed(recorded[cell], unit, rounds, order, size)
        found.append(
            {"method": cell[0], "seed": cell[1], "unit": unit, "rounds": rounds.tolist(), "cells": cells}
        )
    said = [f"The maps show at most {min(ROUNDS, thinner - 1)} of {thinner} rounds."] if thinner else []
    if left:
        said.append(f"To keep the file small, it has maps of {len(found)} of {len(found) + left} choices.")
    return found, said


def _packed(history: History, unit: str, rounds: np.ndarray, order: np.ndarray, size: int) -> str:
    """Base64 of int8 [rounds, 2, K, K] of one method, seed and unit."""
    name = None if unit == MEAN else unit
    weights = of_unit(history.array("weights").sel(round=rounds), name)[0].transpose(
        "round", "client", "source"
    )
    cosines = of_unit(history.array("cosine_before").sel(round=rounds), name)[0].transpose(
        "round", "client", "other"
    )
    weights, cosines = (np.asarray(a.values, float)[:, order][:, :, order] for a in (weights, cosines))
    own = np.eye(len(order), dtype=bool)
    logs = np.log2(ratios(weights).clip(2.0**-4, 2.0**4)) * STEPS
    cosines = np.where(own, np.nan, cosines) * 127
    if size > 1:
        logs, cosines = blocks(logs, size), blocks(cosines, size)
    else:
        logs = np.where(own, 100 * weights, logs)
    both = np.stack([logs, cosines], axis=1)  # [rounds, 2, K, K]
    packed = np.where(np.isfinite(both), both.round().clip(-127, 127), UNKNOWN).astype(np.int8)
    return base64.b64encode(packed.tobytes()).decode()


def _curves(run):
    """method → seed → mean validation AUC of rounds 1, 2, …; None where there is none."""
    means = run.rounds.groupby(["method", "seed", "round"], sort=False)["valid_auc"].mean()
    found: dict[str, dict[str, list]] = {}
    for (method, seed), own in means.groupby(level=[0, 1], sort=False):
        values = own.droplevel([0, 1]).sort_index()
        rounded = [None if math.isnan(value) else round(float(value), 5) for value in values]
        found.setdefault(str(method), {})[str(seed)] = rounded
    return found

"""Runs that were never trained: invented numbers of any many scenarios, for tests of pages and figures."""

import numpy as np
import pandas as pd

from pfmsm_lite.history import RESULTS, ROUNDS, History
from pfmsm_lite.lab.runs import Run

UNITS = ["expert 0", "expert 1", "tower click"]


def history(method, seed, names, rounds, mixes=True):
    """A History with arrays: in the course of the rounds every client finds the others of its third."""
    draw, count = np.random.default_rng(seed), len(names)
    made = History(method, seed, names, UNITS)
    if not mixes:
        return made
    same = (np.arange(count) % 3)[:, None] == (np.arange(count) % 3)
    own = np.eye(count, dtype=bool)
    weights, cosines = np.zeros((2, rounds, len(UNITS), count, count))
    for r, u in np.ndindex(rounds, len(UNITS)):
        grown = r / max(1, rounds - 1)
        raw = np.where(own, 0, np.exp(grown * (1.5 * same + 0.3 * draw.normal(size=(count, count)))))
        weights[r, u] = np.where(own, 0.5 if count > 1 else 1, raw / raw.sum(1, keepdims=True).clip(1e-9) / 2)
        noise = draw.normal(0, 0.1, (count, count))
        cosines[r, u] = np.where(own, 1, np.clip(0.4 - grown + 0.6 * same + (noise + noise.T) / 2, -1, 1))
    before, after = list(cosines.astype(np.float32)), list((cosines + (1 - cosines) / 3).astype(np.float32))
    made.arrays = {
        "cosine_before": before,
        "cosine_after": after,
        "weights": list(weights.astype(np.float32)),
    }
    return made


def run(
    names, methods=("local", "fedavg", "pf_msmtrec"), seeds=(0, 1, 2), rounds=8, tasks=("click",), **more
):
    """A Run of these scenarios; `more`: other fields of it."""
    draw, results, lines = np.random.default_rng(0), [], []
    base, gain = draw.uniform(0.6, 0.75, len(names)), draw.normal(0.03, 0.03, len(names))
    for method in methods:
        for seed in seeds:
            for n, name in enumerate(names):
                auc = base[n] + gain[n] * (method != "local") * (1 if method == "pf_msmtrec" else 0.4)
                for task in tasks:
                    found = auc + draw.normal(0, 0.005)
                    results += [
                        (method, seed, name, task, split, 300, 60, found, 0.5) for split in ("valid", "test")
                    ]
                    lines += [
                        (
                            method,
                            seed,
                            r,
                            name,
                            task,
                            found - 0.1 / r,
                            0.5,
                            0.1,
                            1000 * (method != "local"),
                            0,
                        )
                        for r in range(1, rounds + 1)
                    ]
    histories = {
        (m, seed): history(m, seed, list(names), rounds, m not in ("local", "pooled"))
        for m in methods
        for seed in seeds
    }
    sizes = {name: 500 + 10 * n for n, name in enumerate(names)}
    tables = {
        "results": pd.DataFrame(results, columns=RESULTS),
        "rounds": pd.DataFrame(lines, columns=ROUNDS),
    }
    named = {"name": "my.csv", "origin": "python -m pfmsm_lite run", "histories": histories, "sizes": sizes}
    return Run(**{**named, **tables, **more})

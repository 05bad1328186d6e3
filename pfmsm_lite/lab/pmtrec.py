"""PMTRec and its controls in two synthetic worlds: settings by validation rows, then new data for each seed.

python -m pfmsm_lite.lab.pmtrec                       writes runs/pmtrec: settings.csv, runs.csv, config.json
python -m pfmsm_lite.lab.pmtrec --processes 2 --out DIR
"""

import argparse
import itertools
import json
import time
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch

from pfmsm_lite.lab.versions import machine, versions
from pfmsm_lite.lab.writing import csv_text, replace_text
from pfmsm_lite.rivals.feedback import WORLDS, world
from pfmsm_lite.rivals.pmtrec import ARMS, train

ENCODERS = {"MF": 0, "LightGCN": 2}  # name → layers
SEARCHED, SEEDS = (100,), (0, 1, 2, 3, 4)
FIXED = {"epochs": 100, "batch_size": 2048, "patience": 10}
RATES = {"learning_rate": (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)}
FEW, SLOW = {"learning_rate": (0.02, 0.05)}, {"learning_rate": (0.01,)}
ROOM = {  # arm → grids of values to try: ten settings each, for those without a knob ten learning rates
    **dict.fromkeys(("main_only", "equal", "random"), [RATES]),
    "no_focus": [FEW | {"temperature": (10.0, 1.0, 0.1, 0.01)}, SLOW | {"temperature": (1.0, 0.1)}],
    "no_temperature": [FEW | {"alpha": (1.02, 1.05, 1.1, 1.2)}, SLOW | {"alpha": (1.1, 1.2)}],
    "pmtrec": [
        FEW | {"alpha": (1.05, 1.15), "temperature": (1.0, 0.1)},
        SLOW | {"alpha": (1.2,), "temperature": (1.0, 0.1)},
    ],
}
KEYS = ["world", "encoder", "arm"]


def trials(arm: str) -> list[dict[str, float]]:
    """The settings that an arm may try: every combination of the values of each of its grids."""
    combined = ((grid, values) for grid in ROOM[arm] for values in itertools.product(*grid.values()))
    return [dict(zip(grid, values, strict=True)) for grid, values in combined]


def cell(job: tuple[str, str, str, int, dict[str, float]]) -> dict[str, object]:
    """One training: (world, encoder, arm, seed of data and start, settings) → a line of a table."""
    name, encoder, arm, seed, settings = job
    torch.set_num_threads(1)
    data, _ = world(name, seed)
    found = train(data, arm, seed=seed, layers=ENCODERS[encoder], **FIXED, **settings)
    test = {key: value for key, value in found.test.items() if "@" in key}
    plain = {"world": name, "encoder": encoder, "arm": arm, "seed": seed}
    return {**plain, **settings, "best": found.best, "valid": found.valid, **test}


def chosen(searched: pd.DataFrame) -> pd.DataFrame:
    """Of each world, encoder and arm the settings whose validation NDCG@20 is best on average."""
    knobs = ["learning_rate", "alpha", "temperature"]
    mean = searched.groupby([*KEYS, *knobs], dropna=False, sort=False)["valid"].mean().reset_index()
    return mean.loc[mean.groupby(KEYS, sort=False)["valid"].idxmax()].drop(columns="valid")


def trained(pool, jobs: list[tuple], kept: Path) -> pd.DataFrame:
    """The lines of all jobs, in their order. Each is kept as soon as it is done, and not done again."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    done = {json.dumps(job): line for job, line in map(json.loads, lines)}
    missing = [job for job in jobs if json.dumps(job) not in done]
    with open(kept, "a", encoding="utf-8") as file:
        for job, line in zip(missing, pool.imap(cell, missing), strict=True):
            done[json.dumps(job)] = line
            print(json.dumps([job, line]), file=file, flush=True)
    return pd.DataFrame([done[json.dumps(job)] for job in jobs])


def main(arguments: list[str] | None = None) -> None:
    """Search, train, write; begun again with the same --out it goes on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/pmtrec"))
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args(arguments)
    places, kept = list(itertools.product(WORLDS, ENCODERS, ARMS)), asked.out / "cells.jsonl"
    columns = [*KEYS, "seed", "learning_rate", "alpha", "temperature"]
    with get_context("spawn").Pool(asked.processes) as pool:
        jobs = [(*place, seed, trial) for place in places for trial in trials(place[2]) for seed in SEARCHED]
        searched = trained(pool, jobs, kept).reindex(columns=[*columns, "best", "valid"])
        best = chosen(searched).set_index(KEYS)
        jobs = [(*place, seed, best.loc[place].dropna().to_dict()) for place in places for seed in SEEDS]
        runs = trained(pool, jobs, kept)
    runs = runs[[*columns, *(name for name in runs if name not in columns)]]
    told = {
        "command": "python -m pfmsm_lite.lab.pmtrec",
        "date": time.strftime("%Y-%m-%d"),
        "arguments": {"searched": SEARCHED, "seeds": SEEDS, "room": ROOM, **FIXED},
        "versions": versions(),
        "machine": machine(),
    }
    replace_text(asked.out / "settings.csv", csv_text(searched))
    replace_text(asked.out / "runs.csv", csv_text(runs))
    replace_text(asked.out / "config.json", json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()

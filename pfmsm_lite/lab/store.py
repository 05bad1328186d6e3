"""Rows that were read and encoded once, kept in files that all processes map into memory."""

import json
import shutil
from pathlib import Path

import numpy as np
import torch

from pfmsm_lite.data.table import cut_block
from pfmsm_lite.errors import UserError
from pfmsm_lite.scenario import SPLITS, Rows, Scenario

ROWS = "rows"  # the folder in a run's directory, while it trains
PARTS = ("categorical", "numerical", "labels", "source")


def save(scenarios: list[Scenario], folder: Path) -> None:
    """Write the rows of all scenarios, split after split, as one array for each part of Rows.

    raises  UserError where they do not fit on the disk
    """
    rows = [s.rows(split) for s in scenarios for split in SPLITS]
    starts = np.concatenate([[0], np.cumsum([len(own.labels) for own in rows])]).tolist()
    first = scenarios[0]
    parts = [part for part in PARTS if getattr(first.train, part) is not None]
    size = sum(getattr(own, part).nbytes for own in rows for part in parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if size > free:
            raise OSError(f"{size / 2**20:,.0f} MiB are needed, {free / 2**20:,.0f} MiB are free")
        for part in parts:
            model = getattr(first.train, part).numpy()
            shape = (starts[-1], *model.shape[1:])
            out = np.lib.format.open_memmap(folder / f"{part}.npy", "w+", model.dtype, shape)
            for own, start, end in zip(rows, starts, starts[1:], strict=False):
                out[start:end] = getattr(own, part).numpy()
            out.flush()
        head = {
            "names": [s.name for s in scenarios], "starts": starts, "tasks": list(first.tasks),
            "fields": first.fields, "numericals": list(first.numericals), "bags": first.bags,
            "apart": list(first.apart),
        }  # fmt: skip
        (folder / "head.json").write_text(json.dumps(head), encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(
            f"The rows could not be kept in {folder}: {error}. Make room, or choose another --out."
        ) from error


def load(folder: Path) -> list[Scenario]:
    """The scenarios of `save`, without notes; their rows stay in the files until they are looked at."""
    head = json.loads((folder / "head.json").read_text(encoding="utf-8"))
    found = {
        part: torch.from_numpy(np.load(folder / f"{part}.npy", mmap_mode="c"))  # changes stay in memory
        for part in PARTS
        if (folder / f"{part}.npy").exists()
    }
    of_all = {
        "tasks": tuple(head["tasks"]), "fields": head["fields"], "numericals": tuple(head["numericals"]),
        "bags": head["bags"], "apart": tuple(head.get("apart", ())),
    }  # fmt: skip
    return cut_block(Rows(**found), head["names"], head["starts"], of_all)


def drop(folder: Path) -> None:
    """Remove what `save` wrote."""
    shutil.rmtree(folder, ignore_errors=True)

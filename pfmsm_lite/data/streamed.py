"""Cached parts of published files → Scenarios, part by part: memory does not depend on the number of rows.

Two passes: what is fitted (counts, moments, values of training rows), then every row encoded into a file that
the Scenarios map into memory. The rules are the table reader's own; only repeated rows are not looked for.
"""

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pfmsm_lite.data.cache import Part
from pfmsm_lite.data.encoder import Encoder
from pfmsm_lite.data.encoding import zscores
from pfmsm_lite.data.leaks import SAMPLE, find_leaks
from pfmsm_lite.data.meter import Meter
from pfmsm_lite.data.passes import Chunk, Fitted, chunks, fit, sizes_of
from pfmsm_lite.data.splitting import LEAST, judged, keep_scenarios, no_score
from pfmsm_lite.data.table import cut_block
from pfmsm_lite.errors import UserError, at_least_one
from pfmsm_lite.scenario import Rows, Scenario


class Source(NamedTuple):
    """One file that was read.

    name   for errors;  parts  its cached parts;  scenario  of all its rows, "": the scenario column says
    split  of all its rows, "": drawn
    """

    name: str
    parts: list[Part]
    scenario: str = ""
    split: str = ""


class Plan(NamedTuple):
    """What the columns of published data are.

    scenario     the column that names a row's scenario, or what the name of a source is
    tasks        label columns;  implied  (b, a): where label b is 1, label a must be so, too
    categorical, numerical   feature columns;  bags  field → its columns of ids, in which 0 is no entry
    """

    scenario: str
    tasks: tuple[str, ...]
    categorical: tuple[str, ...]
    numerical: tuple[str, ...] = ()
    bags: Mapping[str, tuple[str, ...]] = {}
    implied: tuple[str, str] | tuple[()] = ()


USUAL: dict[str, Any] = {
    "seed": 0, "statistics": "client", "buckets": None, "categories": "hash", "minimum_rows": LEAST,
    "scenarios": None, "most_rows": None, "fractions": (0.8, 0.1, 0.1), "held": 0.2, "said": (),
}  # fmt: skip


def encode_stream(
    sources: Sequence[Source], plan: Plan, folder: str | Path, source: str, **options: Any
) -> list[Scenario]:
    """One Scenario for each value of the scenario column, or each name of the sources, in their order.

    folder   where the encoded rows lie while they are used: in files without a name, gone with the process
    source   what the data are called, for errors
    options  those of USUAL. `most_rows`: of each file about this many rows, each with the same chance;
             `fractions`: where the sources have no split; `held`: share of the training rows that validate
             where no source does; `said`: what the reader has to say of its files; the others as in
             `from_dataframe`. A row's place is drawn from its number
    raises   UserError that names source, row, column or scenario, and the remedy
    """
    o = {**USUAL, **options}
    at_least_one(minimum_rows=o["minimum_rows"])
    if o["most_rows"] is not None:
        at_least_one(most_rows=o["most_rows"])
    names, left_out = keep_scenarios(sizes_of(sources, plan, o), o["minimum_rows"], o["scenarios"], source)
    found = fit(sources, plan, names, o)
    more, unscored = judged(names, plan.tasks, found.rows, found.known, found.positive)
    kept = [n for n, name in enumerate(names) if name not in more]
    if not kept:
        name, why = next(iter(more.items()))
        raise UserError(f"{source}: no scenario can be trained; {name!r}: {why}.")
    if not found.rows[kept, 1].any():
        raise UserError(f"{source}: no row is for validation. Read more rows.")
    block, starts, warnings = _encoded(sources, plan, names, kept, found, folder, o)
    one_sided = _one_sided(found, names, kept, plan.tasks)
    names = [names[n] for n in kept]
    encoder = Encoder(
        plan.scenario, names, dict.fromkeys(plan.tasks), {c: one.spec for c, one in found.encoded.items()},
        dict.fromkeys(plan.numerical, False), found.flagged, o["statistics"],
        found.moments.mean[kept].tolist(), found.moments.deviation[kept].tolist(),
    )  # fmt: skip
    left_out |= more
    warnings += _unended(sources) + one_sided
    warnings += [f"left out: scenario {name} ({why})" for name, why in left_out.items()]
    warnings += [f"scenario {name} is trained, but {why}" for name, why in unscored.items()]
    of_all = {
        "tasks": plan.tasks,
        "fields": {c: one.size for c, one in found.encoded.items()},
        "numericals": (*plan.numerical, *(f"{c} (missing)" for c in found.flagged)),
        "bags": {c: one.spec["multi"]["width"] for c, one in found.encoded.items() if "multi" in one.spec},
        "notes": {
            "reading": _said(sources, o), "typing": _typing(plan, found, o), "warnings": warnings,
            "left_out": left_out, "unscored": unscored, "statistics": o["statistics"],
            "categories": o["categories"], "source": source, "encoder": encoder.state(), "examples": {},
        },
    }  # fmt: skip
    return cut_block(block, names, starts, of_all)


def _said(sources, o):
    """How the rows were read, in sentences."""
    rows = sum(part.rows for one in sources for part in one.parts)
    said = [f"{len(sources)} files, {rows:,} rows, kept as Parquet; repeated rows are not looked for"]
    if o["most_rows"] is not None:
        said.append(f"of each file about {o['most_rows']:,} rows, each with the same chance (--most-rows)")
    if not any(one.split == "valid" for one in sources) and any(one.split for one in sources):
        said.append(f"{o['held']:.0%} of the training rows are for validation: the publisher has none")
    if not all(one.split for one in sources):
        said.append("the publisher has no split: rows are for train, valid or test at random (--fractions)")
    return [*said, *o["said"]]


def _one_sided(found, names, kept, tasks):
    """A warning for each kept scenario whose training or validation rows lack one of the two labels."""
    warnings = []
    for n in kept:
        for place, word in ((0, "training"), (1, "validation")):
            if found.rows[n, place] and (
                why := no_score(found.known[n, place], found.positive[n, place], tasks)
            ):
                warnings.append(f"scenario {names[n]}: among its {found.rows[n, place]:,} {word} rows {why}")
    return warnings


def _unended(sources):
    """A warning for each file whose last line has no end: it may have been cut off within its last cell."""
    found = []
    for path in dict.fromkeys(one.name for one in sources if not one.name.endswith(".gz")):
        with open(path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                found.append(f"{path}: its last line has no end. Was the file cut off? Fetch it again if so")
    return found


def _typing(plan, found, o):
    fitted = (
        f"standard, fitted on training rows ({o['statistics']})" if o["statistics"] != "none" else "as it is"
    )
    typing = {c: one.how for c, one in found.encoded.items()}
    for c in plan.numerical:
        gaps = found.gaps[c]
        more = f", {gaps:,} missing: the client's mean, and a flag" if gaps else ""
        typing[c] = f"numerical, {fitted}{more}"
    return typing


# ---- the second pass ----


class _Filed:
    """One part of Rows in a file without a name, written row by row and then mapped into memory."""

    def __init__(self, folder: str | Path, rows: int, width: int | None, kind: type):
        self.shape, self.kind = (rows,) if width is None else (rows, width), np.dtype(kind)
        self.step = self.kind.itemsize * (1 if width is None else width)
        self.file = tempfile.TemporaryFile(dir=folder) if self.step and rows else None

    def __enter__(self) -> "_Filed":
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()

    def write(self, row: int, values: np.ndarray) -> None:
        if self.file is not None:
            self.file.seek(row * self.step)
            self.file.write(np.ascontiguousarray(values, self.kind).data)

    def tensor(self) -> torch.Tensor:
        if self.file is None:
            return torch.from_numpy(np.zeros(self.shape, self.kind))
        self.file.flush()
        return torch.from_numpy(np.memmap(self.file, self.kind, "c", 0, self.shape))


def _encoded(sources, plan, names, kept, found, folder, o):
    """(Rows of all scenarios by scenario and split, where each begins [3N + 1], warnings of leaks)."""
    sizes = found.rows[kept].reshape(-1)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    place = np.full(len(names) + 1, -1)  # number among all → number among those kept
    place[kept] = np.arange(len(kept))
    widths = sum(one.spec.get("multi", {}).get("width", 1) for one in found.encoded.values())
    columns = len(plan.numerical) + len(found.flagged)
    wanted = ((widths, np.int32), (columns, np.float32), (len(plan.tasks), np.float32), (None, np.int64))
    try:
        with contextlib.ExitStack() as stack:
            filed = [stack.enter_context(_Filed(folder, int(starts[-1]), *own)) for own in wanted]
            looked = _write(filed, chunks(sources, plan, names, o), starts, place, plan, found, o)
            block = Rows(*(file.tensor() for file in filed[:3]), source=filed[3].tensor())
    except OSError as error:
        raise UserError(
            f"The encoded rows could not be kept in {folder}: {error.strerror or error}. Make room, give "
            "another --cache-dir, or read fewer rows (--most-rows)."
        ) from error
    return block, starts, looked.leaks(plan, found)


def _write(filed, rows, starts, place, plan, found, o):
    """Encode the chunks `rows` into the files, by scenario and split; returns the rows to find leaks in."""
    next_row, looked = starts[:-1].copy(), _Looked(int((starts[1::3] - starts[:-1:3]).sum()))
    meter = Meter("encoding", int(starts[-1]))
    for chunk in rows:
        chunk = chunk.only(place[chunk.clients] >= 0)
        if not len(chunk.rows):
            continue
        ids, numbers, values = _values(chunk, plan, found, o)
        looked.look(chunk, ids, numbers)
        cell = 3 * place[chunk.clients] + chunk.part
        order = np.argsort(cell, kind="stable")
        cells, first = np.unique(cell[order], return_index=True)
        for one, begin, end in zip(cells, first, [*first[1:], len(order)], strict=True):
            own = order[begin:end]
            for file, part in zip(filed, (ids, values, chunk.labels, chunk.rows), strict=True):
                file.write(int(next_row[one]), part[own])
            next_row[one] += len(own)
        meter.at(int((next_row - starts[:-1]).sum()))
    meter.done()
    return looked


def _values(chunk: Chunk, plan: Plan, found: Fitted, o: dict[str, Any]):
    """(ids [R, C] int32, numbers as they stand [R, D] float64, what a model reads [R, D + flags] float32)."""
    ids = [found.ids(c, chunk) for c in found.encoded]
    numbers = chunk.numbers(plan.numerical)
    values = np.empty((len(numbers), len(plan.numerical) + len(found.flagged)), np.float32)
    for client in np.unique(chunk.clients):
        here = chunk.clients == client
        own = found.moments.mean[client], found.moments.deviation[client]
        values[here, : numbers.shape[1]] = zscores(numbers[here], *own, o["statistics"])
    for n, c in enumerate(found.flagged, numbers.shape[1]):
        values[:, n] = np.isnan(numbers[:, plan.numerical.index(c)])
    return np.concatenate(ids, 1) if ids else np.zeros((len(numbers), 0), np.int32), numbers, values


class _Looked:
    """The training rows in which leaks are looked for: those that `leaks.sample` would take."""

    def __init__(self, rows: int):
        wanted = np.arange(rows) if rows <= SAMPLE else np.linspace(0, rows - 1, SAMPLE).astype(int)
        self.wanted, self.before, self.found = wanted, 0, []

    def look(self, chunk: Chunk, ids: np.ndarray, numbers: np.ndarray) -> None:
        train = np.flatnonzero(chunk.part == 0)
        low, high = np.searchsorted(self.wanted, (self.before, self.before + len(train)))
        rows = train[self.wanted[low:high] - self.before]
        self.found.append((ids[rows], numbers[rows].astype(np.float32), chunk.labels[rows]))
        self.before += len(train)

    def leaks(self, plan: Plan, found: Fitted) -> list[str]:
        ids, numbers, labels = (np.concatenate(own) for own in zip(*self.found, strict=True))
        first = np.cumsum([0, *(one.spec.get("multi", {}).get("width", 1) for one in found.encoded.values())])
        return find_leaks(
            {c: ids[:, n] for c, n in zip(found.encoded, first, strict=False)},
            {c: numbers[:, n].astype(np.float64) for n, c in enumerate(plan.numerical)},
            {task: labels[:, n] for n, task in enumerate(plan.tasks)},
        )

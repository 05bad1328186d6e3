"""The one experiment engine: cells, trained side by side or here, kept when finished, gone on with when not.

`run`, `compare` and `map` are three lists of cells. One rule of resumption: what is finished is not done
again (`run` keeps whole histories in the checkpoints, the others a small file in cells/); what is begun goes
on from its checkpoint; what failed is named and done again.
"""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from multiprocessing import connection
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import torch

from pfmsm_lite.data import digest
from pfmsm_lite.errors import UserError
from pfmsm_lite.history import History
from pfmsm_lite.lab import models, plugins, predictions, sources, store
from pfmsm_lite.lab.checkpoint import run_resumable
from pfmsm_lite.lab.footprint import footprint
from pfmsm_lite.lab.own_round import own_rounds
from pfmsm_lite.lab.statistics import kept
from pfmsm_lite.lab.writing import TORN, replace_text
from pfmsm_lite.loop import run
from pfmsm_lite.methods import Method, Settings
from pfmsm_lite.scenario import Scenario


@dataclass(frozen=True)
class Cell:
    """One training; two cells with the same `file` are the same cell.

    file    its name in a directory;  name  what the progress display says, beside the seed
    number  of its setting among those tried for the method, or of its level on a map
    data    None, or arguments of the command that differ for this cell, and say which data it has
    rounds  None: as many as the command says;  own_rounds  whether each client keeps its own best round
    """

    file: str
    name: str = field(compare=False)
    method: Method = field(compare=False)
    settings: Settings = field(compare=False)
    seed: int = field(compare=False)
    number: int = field(default=0, compare=False)
    data: dict[str, Any] | None = field(default=None, compare=False)
    rounds: int | None = field(default=None, compare=False)
    own_rounds: bool = field(default=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """What a kept result belongs to, as text."""
        more = [own for own in (self.data, self.rounds, self.own_rounds or None) if own is not None]
        job = (self.method, self.settings, self.seed, *more)
        return json.dumps(job, sort_keys=True, default=asdict)


class Work(NamedTuple):
    """What all cells of a command have in common.

    arguments  of the command, in full: rounds, threads, processes, checkpoint_seconds, plugin, what says
               which data;  digest  of these data
    """

    out: Path
    arguments: dict[str, Any]
    digest: str


def train_cell(
    scenarios: list[Scenario], cell: Cell, rounds: int, checkpoint: Path, **options: Any
) -> History:
    """Train one cell on scenarios; options: as for `run_resumable`."""
    return run_resumable(
        scenarios, cell.method, rounds, cell.seed, settings=cell.settings, checkpoint=checkpoint, **options
    )


def here(
    cells: list[Cell],
    scenarios: list[Scenario],
    rounds: int,
    tell: Callable[[str], None],
    screen: TextIO | None = None,
) -> Iterator[tuple[Cell, History]]:
    """Train cells one after the other in this process; `tell` hears a line of text before each.

    screen  where the rounds are shown, if it is a terminal or a notebook
    """
    display = Progress(len(cells), rounds, screen) if screen else None
    for number, cell in enumerate(cells, 1):
        tell(f"run {number} of {len(cells)}: {cell.name}, seed {cell.seed}, {rounds} rounds")

        def follow(history: History, federation: Any, cell: Cell = cell) -> None:
            if display:
                display.round(cell, history.rounds_done, history.last_auc)

        settings = cell.settings
        yield cell, run(scenarios, cell.method, rounds, cell.seed, settings=settings, after_round=follow)
    if display:
        display.close()


def finished(
    cells: Iterable[Cell], work: Work, screen: TextIO | None = None, whole: bool = False,
    scored: bool = False, needed: bool = False, more: bool = False,
) -> tuple[dict[Cell, Any], dict[Cell, str]]:  # fmt: skip
    """Do those cells that are not done yet, side by side in worker processes.

    screen   where the progress is shown, if it is a terminal; None: stderr
    whole    keep the History of each in its checkpoint, its model in models/, and a `predictions_part`; the
             first failure is raised. Otherwise keep what `statistics.kept` makes of it, in a file in cells/
    scored   also keep the probabilities of its test rows, in a `scores_file`; `needed`: a cell without them
             is done again
    more     whether other cells on the same rows follow
    returns  ({cell: what is kept}, {cell: why it failed})
    """
    if whole:
        found, checkpoints = {}, {cell: f"{cell.file}.pt" for cell in cells}
    else:
        (work.out / "cells").mkdir(exist_ok=True)
        found = {
            cell: result
            for cell in cells
            if (result := _read(work.out, cell)) and (not needed or scores_file(work.out, cell).exists())
        }
        checkpoints = {cell: _checkpoint(cell) for cell in cells if cell not in found}
    failed = {}
    how = "whole" if whole else "scored" if scored else ""
    try:
        with contextlib.closing(_side_by_side(checkpoints, work, screen or sys.stderr, how)) as done:
            for cell, future in done:
                if (error := future.exception()) is None:
                    found[cell] = future.result() if whole else _keep(work.out, cell, future.result())
                elif whole:
                    raise error
                else:
                    failed[cell] = f"{type(error).__name__}: {error}"
    except BaseException:
        more = False
        raise
    finally:
        if not more:
            store.drop(work.out / store.ROWS)
    return found, failed


def finished_and_told(
    cells: list[Cell], work: Work, screen: TextIO | None, show: Callable[[str], None]
) -> tuple[dict[Cell, Any], dict[Cell, str]]:
    """As `finished`; says how many trainings are done, and in how many seconds."""
    started = time.monotonic()
    found, failed = finished(cells, work, screen)
    show(f"{len(found)} of {len(cells)} trainings are done, {time.monotonic() - started:.0f} s\n")
    return found, failed


def say_failed(failed: dict[Cell, str], command: str, show: Callable[[str], None]) -> None:
    """One line for each cell that failed, and how to do only these again."""
    for cell, reason in failed.items():
        show(f"FAILED {cell.file}: {reason}")
    if failed:
        show(f"Do only these again: python -m pfmsm_lite {command}")


# ---- files ----


def model_file(out: Path, cell: Cell) -> Path:
    """Where a cell's model is kept."""
    return out / "models" / f"{cell.file}.pt"


def predictions_part(out: Path, cell: Cell) -> Path:
    """Where a cell's lines of predictions.csv lie until all are there."""
    return out / "checkpoint" / f"{cell.file}.csv"


def scores_file(out: Path, cell: Cell) -> Path:
    """Where a cell's probabilities of its test rows are kept, for those that are `scored`."""
    return out / predictions.FOLDER / f"{cell.file}.npy"


def _checkpoint(cell):
    """Where a cell's training is kept up to date; another setting in the same cell has another file."""
    return f"{cell.file}-{zlib.crc32(cell.fingerprint.encode()):08x}.pt"


def _read(out, cell):
    """What is kept of a finished cell, or None. A damaged file, or one of another setting, is done again."""
    try:
        found = json.loads((out / "cells" / f"{cell.file}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if found.get("of") == cell.fingerprint and "test_auc" in found else None


def _keep(out, cell, result):
    found = {"of": cell.fingerprint, **result}
    replace_text(out / "cells" / f"{cell.file}.json", json.dumps(found) + "\n")
    for checkpoint in (out / "checkpoint").glob(f"{cell.file}-{8 * '?'}.*"):  # of an older setting, too
        checkpoint.unlink(missing_ok=True)
    return found


# ---- worker processes ----


_worker = {}  # what a worker process keeps between cells


def _start_worker(work, queue):
    """In a fresh process: remember what to do, and end with the parent, however that ends."""

    def watch():  # a resumed run must not meet the workers of a killed one
        connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the workers
    threading.Thread(target=watch, daemon=True).start()
    _worker.update(work=work, queue=queue)
    torch.set_num_threads(work.arguments["threads"])


def _in_worker(cell, checkpoint, how):
    """Train one cell: its History where `how` is "whole", else what is kept of it."""
    work, queue = _worker["work"], _worker["queue"]
    plugins.load_again(work.arguments)
    scenarios = _rows_of(cell)
    options = {key: work.arguments[key] for key in ("checkpoint_seconds",) if key in work.arguments}
    file = model_file(work.out, cell)
    if how == "scored":  # for as long as it takes to ask it
        file = (work.out / "checkpoint" / checkpoint).with_suffix(".model")
    if how:
        options |= {"model": file, "keep": bool(work.arguments.get("keep_checkpoints"))}
    rounds = cell.rounds or work.arguments["rounds"]

    def progress(done, total, auc):
        queue.put((cell, done, auc))

    with footprint() as spent:
        if cell.own_rounds:
            found = own_rounds(scenarios, cell.method, rounds, cell.seed, cell.settings, progress)
        else:
            history = train_cell(
                scenarios, cell, rounds, work.out / "checkpoint" / checkpoint, progress=progress, **options
            )
    if cell.own_rounds:
        return {**found, **spent}
    if how:
        model = models.Model(models.read(file))
    if how == "whole":
        predictions.write_part(predictions_part(work.out, cell), model, scenarios)
        return history
    if how == "scored":
        predictions.keep(scores_file(work.out, cell), model, scenarios, history.results)
        file.unlink()
    return {**kept(history), **spent}


def _rows_of(cell):
    """The scenarios that a cell trains on."""
    arguments, others = _worker["work"].arguments, cell.data or {}
    if all(arguments.get(name) == value for name, value in others.items()):
        return _data()
    return _other_data(json.dumps(others))


@lru_cache(maxsize=1)
def _other_data(data):
    return sources.read({**_worker["work"].arguments, **json.loads(data)})[0]


def _data():
    """The command's scenarios: the parent's, mapped into memory, or generated once more."""
    if "scenarios" not in _worker:
        rows = _worker["work"].out / store.ROWS
        if rows.exists():
            _worker["scenarios"] = store.load(rows)
            return _worker["scenarios"]
        scenarios, _ = sources.read(_worker["work"].arguments)
        if digest(scenarios) != _worker["work"].digest:
            raise UserError("The data changed while the run was going on. Start again with another --out.")
        _worker["scenarios"] = scenarios
    return _worker["scenarios"]


def _side_by_side(checkpoints, work, screen, how):
    """Train cells in worker processes, with a progress display.

    checkpoints  {cell: name of its checkpoint file};  how  "whole", "scored" or "", see `finished`
    gives        (cell, finished future) as they come; leaves no process behind, however it ends
    """
    if not checkpoints:
        return
    (work.out / "checkpoint").mkdir(exist_ok=True)
    for folder in (work.out, work.out / "checkpoint", work.out / "models"):
        for torn in folder.glob(TORN):  # a run was killed while it wrote one
            torn.unlink(missing_ok=True)
    context = multiprocessing.get_context("spawn")
    processes = max(1, min(work.arguments["processes"], len(checkpoints)))
    queue = context.Queue()
    display = Progress(len(checkpoints), work.arguments["rounds"], screen, work.out / "log.txt")
    executor = ProcessPoolExecutor(processes, context, initializer=_start_worker, initargs=(work, queue))
    try:
        waiting = {executor.submit(_in_worker, cell, name, how): cell for cell, name in checkpoints.items()}
        for future in _as_they_come(waiting, queue, display):
            if isinstance(future.exception(), BrokenProcessPool):
                raise future.exception()
            yield waiting[future], future
        executor.shutdown()
    except BrokenProcessPool as error:
        raise UserError(
            f"A worker process died (out of memory?). What was finished is kept: --resume {work.out}, with "
            "--processes 1 if memory is short."
        ) from error
    except BaseException:
        for process in list((executor._processes or {}).values()):
            process.kill()  # checkpoints are atomic: nothing is lost but the rounds since the last
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        display.close()


def _as_they_come(waiting: dict[Future, Cell], queue: Any, display: "Progress") -> Iterator[Future]:
    """Finished futures, while the progress display follows the rounds."""
    pending = set(waiting)
    while pending:
        try:
            for future in as_completed(pending, timeout=0.25):
                pending.discard(future)
                display.finished(waiting[future])
                yield future
        except TimeoutError:
            pass
        while not queue.empty():
            display.round(*queue.get())


class Progress:
    """One line on a terminal or in a notebook: runs, rounds, time left; silent elsewhere.

    log  a file that gets a line for each round: time, method, seed, round, validation AUC
    """

    def __init__(self, cells: int, rounds: int, screen: TextIO, log: Path | None = None) -> None:
        self.cells, self.rounds, self.screen, self.log = cells, rounds, screen, log
        self.done, self.ended, self.first, self.start = {}, set(), {}, time.monotonic()
        notebook = type(screen).__module__.startswith("ipykernel")
        self.visible = notebook or bool(getattr(screen, "isatty", lambda: False)())

    def round(self, cell: Cell, number: int, auc: float) -> None:
        """A cell has finished a round."""
        self.first.setdefault(cell, number - 1)  # rounds that a checkpoint already held
        self.done[cell] = number
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as log:
                now = time.strftime("%Y-%m-%d %H:%M:%S")
                log.write(f"{now}  {cell.name}  seed {cell.seed}  round {number}  AUC {auc:.4f}\n")
        self.draw(f"{cell.name}, seed {cell.seed}, round {number}: AUC {auc:.3f}")

    def finished(self, cell: Cell) -> None:
        """A cell is done."""
        self.first.setdefault(cell, self.rounds)
        self.done[cell] = self.rounds
        self.ended.add(cell)
        self.draw(f"{cell.name}, seed {cell.seed}: done")

    def draw(self, text: str) -> None:
        """The line anew, with `text` at its end."""
        if not self.visible:
            return
        total, done = self.cells * self.rounds, sum(self.done.values())
        fresh = done - sum(self.first.values())
        left = (total - done) * (time.monotonic() - self.start) / fresh if fresh > 0 else 0
        share = int(20 * done / total)
        line = (
            f"[{'#' * share}{'.' * (20 - share)}] {len(self.ended)}/{self.cells} runs, "
            f"{int(left) // 60}:{int(left) % 60:02d} left · {text}"
        )
        width = shutil.get_terminal_size().columns - 1
        self.screen.write("\r" + line[:width].ljust(width))
        self.screen.flush()

    def close(self) -> None:
        """Leave an empty line."""
        if self.visible and self.done:
            self.screen.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self.screen.flush()

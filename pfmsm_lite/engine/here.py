"""All processes of a federation on this machine: a `run` whose rounds Flower plays."""

import csv
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from pfmsm_lite.engine.client import Folder
from pfmsm_lite.engine.declared import Declaration, declaration
from pfmsm_lite.engine.fleet import Fleet
from pfmsm_lite.engine.jobs import AUDIT, Job
from pfmsm_lite.engine.rounds import Record
from pfmsm_lite.history import History
from pfmsm_lite.lab import checkpoint, models, predictions, sources, store
from pfmsm_lite.lab.engine import Cell, Work, model_file, predictions_part
from pfmsm_lite.lab.writing import whole
from pfmsm_lite.scenario import Scenario

FOLDER = "flower"  # in a run's directory, while it trains


def by_flower(cells: list[Cell], work: Work, screen: Any, whole: bool) -> tuple[dict[Cell, History], dict]:
    """As `lab.engine.finished`: each cell's History; its model and predictions are left where `run` does."""
    scenarios, folder = _rows(work), work.out / FOLDER
    declared = {cell: _declared(cell, scenarios, work) for cell in cells}
    done = {cell: history for cell in cells if (history := _done(cell, declared[cell], scenarios, work))}
    waiting = [cell for cell in cells if cell not in done]
    if waiting:
        with Fleet(folder, clients_of(scenarios, folder)) as fleet:
            for cell in waiting:
                done[cell] = _train(cell, declared[cell], fleet, scenarios, work)
    for cell in cells:
        model = models.Model(models.read(model_file(work.out, cell)))
        predictions.write_part(predictions_part(work.out, cell), model, scenarios)
    join_audits(work.out / AUDIT, [(cell, folder / "jobs" / cell.file) for cell in cells])
    if not work.arguments.get("keep_checkpoints"):
        shutil.rmtree(folder, ignore_errors=True)
    store.drop(work.out / store.ROWS)
    return done, {}


def shown(
    declared: Declaration, scenarios: list[Scenario], folder: Path, kill: str = "", after: int = 0
) -> History:
    """A training between real processes on this machine, each round printed.

    kill  name of a client whose node is killed after the letters of round `after`; it comes back by itself
    """
    with Fleet(folder, clients_of(scenarios, folder)) as fleet:
        job = Job.made(folder / "job", declared, {"timeout": 150})

        def follow(line: str) -> None:
            print(line, flush=True)
            if kill and line.startswith(f"letters {after}:"):
                fleet.kill(kill)

        fleet.submit(job)
        fleet.finish(job, follow)
    return job.history()


def clients_of(scenarios: list[Scenario], folder: Path) -> dict[str, dict[str, Any]]:
    """Write each scenario's rows to a place of its own; name → config of its node."""
    found = {}
    for number, scenario in enumerate(scenarios):
        own = folder.absolute() / "clients" / str(number)
        if not (own / "rows").exists():
            store.save([scenario], own / "rows")
        found[scenario.name] = {"data": own / "rows", "state": own / "state"}
    return found


def _declared(cell: Cell, scenarios: list[Scenario], work: Work) -> Declaration:
    rounds = cell.rounds or work.arguments["rounds"]
    return declaration(cell.method, cell.settings, cell.seed, rounds, [s.name for s in scenarios])


def _rows(work):
    rows = work.out / store.ROWS
    return store.load(rows) if rows.exists() else sources.read(work.arguments)[0]


def _checkpoint(cell, work):
    return work.out / "checkpoint" / f"{cell.file}.pt"


def _done(cell, declared, scenarios, work):
    """The History of a cell that is done with as many rounds, or None."""
    file, belongs_to = _checkpoint(cell, work), _belongs_to(declared, scenarios)
    state = checkpoint.load(file, belongs_to)
    if state is None or not model_file(work.out, cell).exists():
        return None
    history = History(cell.method.name, cell.seed, [], [])
    history.load(state["history"])
    goes_on = history.goes_on(declared.rounds, declared.settings.patience or declared.rounds)
    return None if goes_on else history


def _belongs_to(declared, scenarios):
    return checkpoint.fingerprint(scenarios, declared.method, declared.settings, declared.seed)


def _train(cell, declared, fleet, scenarios, work):
    """One cell on a fleet that is there; goes on after its last round where it was begun."""
    folder = work.out / FOLDER / "jobs" / cell.file
    if (folder / "job.json").exists() and Job(folder).text != declared.text:
        shutil.rmtree(folder)
    limits = {"wait": work.arguments["wait"], "timeout": work.arguments["timeout"]}
    job = Job.made(folder, declared, limits)
    fleet.submit(job)

    def tell(text: str) -> None:
        print(f"{cell.file}: {text}", file=sys.stderr)
        with (work.out / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {cell.name}  seed {cell.seed}  {text}\n")

    fleet.finish(job, tell)
    history = job.history()
    models.save(model_file(work.out, cell), _assembled(declared, job, history, fleet, scenarios))
    done = {"rounds": history.rounds_done, "ended": bool(history.stopped), "whole": False}
    state = {"history": history.state()}
    checkpoint.save(_checkpoint(cell, work), _belongs_to(declared, scenarios), state, **done)
    return history


def _assembled(declared, job, history, fleet, scenarios):
    """The model of the reported round, from what each client and the server keep of it."""
    state, shared = Folder(job.folder).load("server"), None
    made = state["side"]["best_models"]
    names = {name: f"{declared.digest}/model-{made[name]}" for name in declared.clients}
    own = [Folder(fleet.clients[name]["state"]).load(file) for name, file in names.items()]
    lines = {name: line for kept in own for name, line in kept["lines"].items()}
    if "embedding" in declared.method.sent:
        held = torch.unique(torch.cat([first["entries"] for _, first in state["joined"].values()]))
        shared = state["side"]["best_table"], held
    parts = [kept["tensors"] for kept in own]
    return models.assembled(declared.method, declared.settings, scenarios, history, parts, lines, shared)


def join_audits(path: Path, folders: Iterable[tuple[Cell, Path]]) -> None:
    """audit.csv of a run: what was handed over in all of its trainings."""
    with whole(path, "w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("method", "seed", *Record._fields))
        for cell, folder in folders:
            if (folder / AUDIT).exists():
                with open(folder / AUDIT, encoding="utf-8", newline="") as own:
                    found = csv.reader(own)
                    next(found)
                    lines.writerows([cell.method.name, cell.seed, *line] for line in found)

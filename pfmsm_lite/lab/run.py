"""`run`: methods × seeds on one data set, side by side, resumable, into one directory."""

import json
import time
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from pfmsm_lite.errors import UserError
from pfmsm_lite.history import History
from pfmsm_lite.lab import checkpoint, models, predictions
from pfmsm_lite.lab import options as given
from pfmsm_lite.lab.directory import DEFAULT_METHODS, Arguments, Job, Opened, Show, carry_out, opened
from pfmsm_lite.lab.ending import Ending, blended_said, corrected_said, ended, tell
from pfmsm_lite.lab.engine import Cell, finished, model_file, predictions_part
from pfmsm_lite.lab.statistics import results_of, table
from pfmsm_lite.lab.versions import decisive
from pfmsm_lite.lab.writing import csv_text, replace_text, whole
from pfmsm_lite.methods import METHODS
from pfmsm_lite.trust import dp


def add(commands: Any) -> None:
    """The command `run` and its options: what is basic first, then the method, stage by stage."""
    run = commands.add_parser(
        "run",
        help="train methods and compare them (the default command)",
        description="Train methods on scenarios and compare them. Without options: the synthetic default.",
        epilog="Methods:" + "".join(f"\n{m.name}: {m.summary}" for m in METHODS.values()),
        usage="%(prog)s [options]",
        formatter_class=given.Lines,
    )
    basic = given.basic_group(run)
    methods = f"default: {','.join(DEFAULT_METHODS)}"
    basic.add_argument("--methods", type=given.names, metavar="A,B", help=methods)
    seeds = {"type": given.numbers, "default": [0, 1, 2], "metavar": "0,1,2", "help": "default 0,1,2"}
    basic.add_argument("--seeds", **seeds)
    basic.add_argument(
        "--config",
        metavar="FILE",
        help="the config.json of an earlier run: what is not given here is taken from it, but for --out",
    )
    may_differ = ("rounds", "threads", "processes", "keep_checkpoints")
    given.training_options(basic, f"only --{', --'.join(may_differ).replace('_', '-')} may differ")
    basic.add_argument(
        "--checkpoint-seconds",
        type=float,
        default=5.0,
        metavar="S",
        help="save an unfinished run that often (default 5; 0: after each round)",
    )
    basic.add_argument(
        "--keep-checkpoints",
        action="store_true",
        default=None,
        help="a finished run keeps what it takes to go on with more --rounds; without it these begin anew",
    )
    given.data_options(run)
    given.epsilon_options(given.operator_options(run)["privacy"])

    def do(options: Namespace) -> int:
        job = Job("checkpoint_seconds", may_differ, dict, work)
        return carry_out(job, run, options)

    run.do = do


def work(out: Path, arguments: Arguments) -> dict:
    """As `directory.Job` wants it: nothing fails alone, a failure ends the run."""
    run_all(out, arguments)
    return {}


def run_all(
    out: Path, arguments: Arguments, show: Show = print, screen: TextIO | None = None, train: Any = finished
) -> list[History]:
    """Run every method with every seed, then write tables and figures. Returns the list of History.

    train  what trains the cells; called as `engine.finished` is, and leaves the same files
    """
    methods, settings = given.declared(arguments)
    cells = [
        Cell(f"{method.name}-{seed}", method.name, method, settings, seed)
        for seed in arguments["seeds"]
        for method in methods
    ]
    before_resuming(out, cells, arguments["rounds"], show)
    found = opened(out, arguments, show)
    cells = [replace(cell, settings=found.settings) for cell in cells]
    started = time.monotonic()
    done, _ = train(cells, found.work, screen, whole=True)
    show(f"{len(cells)} runs in {time.monotonic() - started:.0f} s\n")
    order = {method.name: number for number, method in enumerate(methods)}
    cells.sort(key=lambda cell: order[cell.method.name])
    histories = [done[cell] for cell in cells]
    models.save_encoder(out / "models", found.notes)
    predictions.join(out / "predictions.csv", (predictions_part(out, cell) for cell in cells))
    write(out, histories, found.sizes, found.truth)
    ending = ended(out, histories, found.sizes, found.notes.get("group"))
    mark_finished(out)
    say(out, histories, found, ending, show)
    return histories


def before_resuming(out: Path, cells: Iterable[Cell], rounds: int, show: Show) -> None:
    """Say what going on with these cells means; nothing where none has begun.

    raises  UserError for fewer rounds than are done
    """
    versions, anew = {}, []
    for cell in cells:
        file = out / "checkpoint" / f"{cell.file}.pt"
        said = checkpoint.glance(file)
        if not said:
            continue
        if said["rounds"] > rounds:
            raise UserError(checkpoint.fewer(file, said["rounds"], rounds))
        versions |= said["versions"]
        more = said["rounds"] < rounds and not said["ended"]
        if not said["whole"] and (more or not model_file(out, cell).exists()):
            anew.append(cell.file)
    here = decisive()
    for name in (name for name, version in versions.items() if here.get(name) != version):
        now = here.get(name, "none")
        show(f"Begun with {name} {versions[name]}, goes on with {name} {now}: numbers may differ.")
    if anew:
        show(
            f"Too little is kept of {len(anew)} finished trainings to go on: they begin with round 1 (the "
            "same seed gives the same rounds). --keep-checkpoints keeps it."
        )


def write(out: Path, histories: list[History], sizes: dict[str, int], truth: Any = None) -> None:
    """results.csv, history.csv, one .npz a run, and the figures."""
    from pfmsm_lite.lab import figures

    replace_text(out / "results.csv", csv_text(results_of(histories)))
    replace_text(out / "history.csv", csv_text(pd.concat([history.rounds for history in histories])))
    for history in histories:
        if history.arrays:
            save_arrays(history, out)
    known = {} if truth is None else {"ceiling": truth.ceiling, "clusters": truth.clusters}
    for name, figure in figures.draw_all(histories, sizes=sizes, **known).items():
        with whole(out / f"{name}.png") as file:
            figure.savefig(file, format="png")


def save_arrays(history: History, folder: Path) -> None:
    """METHOD-SEED.npz: a history's arrays, and the names of their axes."""
    arrays = {name: np.stack(kept) for name, kept in history.arrays.items()}
    with whole(folder / f"{history.method}-{history.seed}.npz") as file:
        np.savez_compressed(file, clients=history.clients, units=history.units, **arrays)


def mark_finished(out: Path) -> None:
    """The last file that a run writes: until then its directory can be resumed."""
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    replace_text(out / "config.json", json.dumps({**config, "finished": True}, indent=1) + "\n")


def say(out: Path, histories: list[History], found: Opened, ending: Ending, show: Show) -> None:
    """Print the tables and the verdict, and where everything lies."""
    ceiling, arguments = None if found.truth is None else found.truth.ceiling, found.work.arguments
    show(
        f"AUC on test rows, mean of {len({h.seed for h in histories})} seed(s); the round is chosen on "
        "validation rows; bytes: a client's upload in a round"
    )
    show(table(histories, ceiling, calibration=ending.calibration, rates=found.rates))
    if found.settings.choose == "auc" and any(history.chosen_by == "logloss" for history in histories):
        show("No validation rows of any scenario hold both classes: the round was chosen by log loss.")
    results = results_of(histories)
    for line in (*corrected_said(results, found.settings.calibrate), *blended_said(results)):
        show(line)
    for history in histories:
        if history.stopped:
            show(f"{history.method}, seed {history.seed}: {history.stopped}")
        for line in distrust(history):
            show(f"{history.method}, seed {history.seed}: {line}")
    tell(ending, results, found.notes, show)
    for line in dp.said(
        found.settings, found.methods, max(h.rounds_done for h in histories), arguments.get("delta", 1e-5)
    ):
        show(line)
    show(f"\n{out}/")
    for path in sorted(out.iterdir()):
        if path.suffix in (".csv", ".json", ".png", ".txt"):
            show(f"  {path.name}")
    arrays = len(list(out.glob("*.npz")))
    if arrays:
        show(f"  {arrays} × METHOD-SEED.npz (update norms, cosines, aggregation weights per round)")
    kept = len(list(out.glob("models/*-*.pt")))
    show(f"  {kept} × models/METHOD-SEED.pt: python -m pfmsm_lite predict {out} NEW.csv --out SCORED.csv")


def rounds_said(numbers: Sequence[int]) -> str:
    """Which rounds, in words; numbers in order."""
    return f"round {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} rounds from {numbers[0]} on"


def distrust(history: History) -> list[str]:
    """What the server refused or cut, a line per client for each: in which rounds, and why the first time."""
    said = {(number, client): words for number, client, words in history.said}
    refused = set(history.refused)
    found: dict[tuple, list[int]] = {}
    for number, client in dict.fromkeys([*said, *history.refused]):
        found.setdefault((client, (number, client) in refused), []).append(number)
    lines = []
    for (client, out), numbers in found.items():
        words = said.get((numbers[0], client), "its training gave NaN or infinity")
        some = rounds_said(numbers)
        what = "was refused" if out else "was used, but for a part"
        lines.append(f"{some}: the upload of {client} {what}: {words}")
    return lines

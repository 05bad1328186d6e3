"""`run`: methods × seeds on one data set, side by side, resumable, into one directory."""

import time
from argparse import Namespace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from pfmsm_lite.history import History
from pfmsm_lite.lab import options as given
from pfmsm_lite.lab.directory import DEFAULT_METHODS, Arguments, Job, Show, carry_out, opened
from pfmsm_lite.lab.engine import Cell, finished, replace_text
from pfmsm_lite.lab.statistics import results_of, table
from pfmsm_lite.methods import METHODS


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
    given.training_options(basic, "only --rounds, --threads, --processes may differ")
    basic.add_argument(
        "--checkpoint-seconds",
        type=float,
        default=5.0,
        metavar="S",
        help="save an unfinished run that often (default 5; 0: after each round)",
    )
    given.data_options(run)
    given.operator_options(run)

    def do(options: Namespace) -> int:
        job = Job("checkpoint_seconds", ("rounds", "threads", "processes"), dict, work)
        return carry_out(job, run, options)

    run.do = do


def work(out: Path, arguments: Arguments) -> dict:
    """As `directory.Job` wants it: nothing fails alone, a failure ends the run."""
    run_all(out, arguments)
    return {}


def run_all(
    out: Path, arguments: Arguments, show: Show = print, screen: TextIO | None = None
) -> list[History]:
    """Run every method with every seed, then write tables and figures. Returns the list of History."""
    found = opened(out, arguments, show)
    cells = [
        Cell(f"{method.name}-{seed}", method.name, method, found.settings, seed)
        for seed in arguments["seeds"]
        for method in found.methods
    ]
    started = time.monotonic()
    done, _ = finished(cells, found.work, screen, whole=True)
    show(f"{len(cells)} runs in {time.monotonic() - started:.0f} s\n")
    by_name = {(cell.method.name, cell.seed): history for cell, history in done.items()}
    histories = [by_name[method.name, seed] for method in found.methods for seed in arguments["seeds"]]
    write(out, histories, found.sizes, found.truth)
    say(out, histories, found.truth, show)
    return histories


def write(out: Path, histories: list[History], sizes: dict[str, int], truth: Any = None) -> None:
    """results.csv, history.csv, one .npz a run, and the figures."""
    from pfmsm_lite.lab import figures

    replace_text(out / "results.csv", results_of(histories).to_csv(index=False, lineterminator="\n"))
    rounds = pd.concat([history.rounds for history in histories])
    replace_text(out / "history.csv", rounds.to_csv(index=False, lineterminator="\n"))
    for history in histories:
        if history.arrays:
            save_arrays(history, out)
    known = {} if truth is None else {"ceiling": truth.ceiling, "clusters": truth.clusters}
    for name, figure in figures.draw_all(histories, sizes=sizes, **known).items():
        figure.savefig(out / f"{name}.png")


def save_arrays(history: History, folder: Path) -> None:
    """METHOD-SEED.npz: a history's arrays, and the names of their axes."""
    arrays = {name: np.stack(kept) for name, kept in history.arrays.items()}
    path = folder / f"{history.method}-{history.seed}.npz"
    np.savez_compressed(path, clients=history.clients, units=history.units, **arrays)


def say(out: Path, histories: list[History], truth: Any, show: Show) -> None:
    """Print the table, and where everything lies."""
    show(
        f"AUC on test rows, mean of {len({h.seed for h in histories})} seed(s); the round is chosen on "
        "validation rows; bytes: a client's upload in a round"
    )
    show(table(histories, None if truth is None else truth.ceiling))
    for history in histories:
        if history.stopped:
            show(f"{history.method}, seed {history.seed}: {history.stopped}")
        for number, client in history.refused:
            show(
                f"{history.method}, seed {history.seed}: round {number}: the upload of {client} was NaN or "
                "infinite and was refused"
            )
    show(f"\n{out}/")
    for path in sorted(out.iterdir()):
        if path.suffix in (".csv", ".json", ".png"):
            show(f"  {path.name}")
    arrays = len(list(out.glob("*.npz")))
    if arrays:
        show(f"  {arrays} × METHOD-SEED.npz (update norms, cosines, aggregation weights per round)")
    show("  checkpoint/")

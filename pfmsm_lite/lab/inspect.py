"""`inspect`: how a table is read and what is wrong with it, before anything is trained."""

import time
from argparse import Namespace
from typing import Any

from pfmsm_lite.errors import UserError
from pfmsm_lite.federation import Federation
from pfmsm_lite.lab import options as given
from pfmsm_lite.lab import sources, tables
from pfmsm_lite.lab.directory import DEFAULT_METHODS
from pfmsm_lite.methods import METHODS, Settings
from pfmsm_lite.scenario import SPLITS, Rows, Scenario

SECONDS = 1.5  # for how long training is tried
OVERHEAD = 1.4  # evaluation and the server beside training: measured on the synthetic default
PROCESS = 350  # MiB of a process before it holds any rows


def add(commands: Any) -> None:
    """The command `inspect`: the options of a table, and nothing of training."""
    command = commands.add_parser(
        "inspect",
        help="how a table is read and what is wrong with it, within seconds; trains nothing",
        description="Read a table as `run` would, and say how: every column with its typing and examples, "
        "scenarios with rows and positives, what is doubtful and which option settles it, and what a run "
        "would cost.",
        formatter_class=given.Lines,
    )
    command.add_argument(
        "file", nargs="?", metavar="FILE", help="the table: .csv, .tsv, .txt (.gz) or .parquet"
    )
    command.add_argument("--rounds", type=int, default=20, metavar="R", help="for the expected minutes (20)")
    command.add_argument("--seeds", type=given.numbers, default=[0, 1, 2], metavar="0,1,2", help="likewise")
    tables.add_options(command)

    def do(options: Namespace) -> int:
        inspect(vars(options))
        return 0

    command.do = do


def inspect(arguments: dict[str, Any], show: Any = print) -> list[Scenario]:
    """Print what is known of a table before training; returns its scenarios."""
    data = arguments.get("file") or arguments.get("train")
    if not data:
        raise UserError("inspect takes a table: python -m pfmsm_lite inspect my.csv --scenario … --tasks …")
    started = time.monotonic()
    scenarios, _ = sources.read({**arguments, "data": data})
    for line in tables.overview(scenarios):
        show(line)
    show("Positives of those with a label:")
    for line in tables.positives(scenarios):
        show(line)
    for line in expected(scenarios, arguments["rounds"], len(arguments["seeds"])):
        show(line)
    show(f"Read in {time.monotonic() - started:.0f} s. Nothing was trained; train with: run --data {data} …")
    return scenarios


def expected(scenarios: list[Scenario], rounds: int, seeds: int, processes: int = 2) -> list[str]:
    """Minutes and memory that `run` would take with its default methods: tried on a few mini-batches."""
    largest = max(scenarios, key=lambda s: len(s.train.labels))
    some = Rows(*(part[:4096] for part in largest.train[:3]))
    few = Rows(*(part[:64] for part in largest.train[:3]))
    tried = Scenario(
        largest.name, largest.tasks, largest.fields, largest.numericals, some, few, few, bags=largest.bags
    )
    client = Federation([tried], METHODS["local"], Settings(), 0).clients[0]
    client.fit(1)
    started, passes = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        client.fit(1)
        passes += 1
    per_row = (time.perf_counter() - started) / (passes * len(some.labels))
    rows = sum(len(s.train.labels) for s in scenarios)
    trainings = len(DEFAULT_METHODS) * seeds
    minutes = per_row * rows * rounds * trainings * OVERHEAD / processes / 60
    size = sum(
        part.numel() * part.element_size() for s in scenarios for k in SPLITS for part in s.rows(k)[:3]
    ) / 2**20  # fmt: skip
    memory = PROCESS * (processes + 1) + size * (1 + 3 * processes)
    return [
        f"Expected for run with {len(DEFAULT_METHODS)} methods, {seeds} seeds and {rounds} rounds on this "
        f"machine, {processes} processes: about {max(minutes, 0.1):,.1f} minutes and {memory / 1024:,.1f} GiB"
    ]

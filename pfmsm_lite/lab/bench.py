"""Speed and memory on this machine, measured in one run: look at the ratios, not at the seconds."""

import contextlib
import statistics
import time
from argparse import Namespace
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pfmsm_lite import MMoE, server
from pfmsm_lite.client import Client
from pfmsm_lite.data import Rows, Scenario
from pfmsm_lite.embedding import Held, SharedTable
from pfmsm_lite.federation import Federation
from pfmsm_lite.lab.bench_fresh import fresh, peak_mib
from pfmsm_lite.lab.bench_published import published
from pfmsm_lite.lab.bench_reading import reading
from pfmsm_lite.lab.versions import machine
from pfmsm_lite.methods import METHODS, Settings


def add(commands: Any) -> None:
    """The command `bench`, which has no options."""

    def do(options: Namespace) -> int:
        bench()
        return 0

    commands.add_parser("bench", help="measure speed and memory on this machine").do = do


BIG = {"embedding_size": 16, "experts": 8, "hidden": (128, 64), "tower": 64, "batch_size": 2048}
FIELDS, TASKS, REPEATS = 16, 2, 7


class LoopMMoE(nn.Module):
    """The same MMoE as it is usually written: a Python loop over experts, gates and towers of nn.Linear."""

    PARTS = {"embedding": "embedding", "experts": "expert.scenario", "gates": "gate", "towers": "tower"}

    def __init__(self, values, settings):
        super().__init__()
        width = FIELDS * settings.embedding_size
        first, second = settings.hidden
        self.embedding = nn.Embedding(FIELDS * values, settings.embedding_size)
        self.offset = torch.arange(FIELDS) * values
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU())
            for _ in range(settings.experts)
        )
        self.gates = nn.ModuleList(nn.Linear(width, settings.experts) for _ in range(TASKS))
        self.towers = nn.ModuleList(
            nn.Sequential(nn.Linear(second, settings.tower), nn.ReLU(), nn.Linear(settings.tower, 1))
            for _ in range(TASKS)
        )

    def forward(self, categorical, numerical):
        inputs = torch.cat([self.embedding(categorical + self.offset).flatten(1), numerical], 1)
        hidden = torch.stack([expert(inputs) for expert in self.experts], 1)
        mixed = [(gate(inputs).softmax(1)[..., None] * hidden).sum(1) for gate in self.gates]
        return torch.cat([tower(z) for tower, z in zip(self.towers, mixed, strict=True)], 1)


def scenario(
    rows: int, values: int, seed: int, evaluated: int = 256, fields: int = FIELDS, name: str | None = None
) -> Scenario:
    """One scenario of random rows: no signal, only work."""
    generator = torch.Generator().manual_seed(seed)

    def draw(count):
        ids = torch.randint(1, values, (count, fields), generator=generator)
        labels = (torch.rand(count, TASKS, generator=generator) < 0.3).float()
        return Rows(ids, torch.zeros(count, 0), labels)

    sizes = {f"field {f}": values for f in range(fields)}
    tasks = tuple(f"task {t}" for t in range(TASKS))
    return Scenario(name or f"s{seed}", tasks, sizes, (), draw(rows), draw(evaluated), draw(evaluated))


def big_client(values: int, rows: int, loop: bool = False, **changes: Any) -> Client:
    """A client with the large model of the targets: 16 fields of `values` values."""
    settings = Settings(**{**BIG, **changes})
    fields = {f"field {f}": values for f in range(FIELDS)}
    sizes = (settings.embedding_size, settings.experts, settings.hidden, settings.tower)
    model = LoopMMoE(values, settings) if loop else MMoE(fields, 0, TASKS, *sizes)
    data = scenario(rows, values, 0)
    entries = torch.arange(len(model.embedding.weight))
    held = Held(entries, torch.ones(len(entries)), torch.zeros(FIELDS, dtype=torch.long))
    return Client(
        "bench", data.tasks, data.has_task, model, held, data.train, [], METHODS["local"], settings, 0,
        lazy=values > 10_000,
    )  # fmt: skip


def matrix_products(settings: Settings) -> Callable[[], None]:
    """A function that does the experts' matrix products of one training step, and no more."""
    rows, width, (first, second) = settings.batch_size, FIELDS * settings.embedding_size, settings.hidden
    experts = settings.experts
    inputs, weight = torch.randn(rows, width), torch.randn(width, experts * first)
    out = torch.randn(rows, experts * first)
    inner, inner_weight = torch.randn(rows * experts, first), torch.randn(first, second)
    inner_out = torch.randn(rows * experts, second)

    def step():
        for a, w, b in ((inputs, weight, out), (inner, inner_weight, inner_out)):
            a @ w  # forward
            b @ w.t()  # gradient of the inputs
            a.t() @ b  # gradient of the weights

    return step


def seconds(*functions: Callable[[], Any], repeats: int = REPEATS) -> list[float]:
    """Median seconds of each function, run in turn so that a slow spell of the machine hits all alike."""
    for function in functions:
        function()
    taken = [[] for _ in functions]
    for _ in range(repeats):
        for own, function in zip(taken, functions, strict=True):
            start = time.perf_counter()
            function()
            own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in taken]


def federation_round(
    clients: int,
    rows: int,
    evaluated: int = 4096,
    values: int = 200,
    method: str = "pf_msmtrec",
    **changes: Any,
) -> dict[str, float]:
    """Seconds of one round by stage, for `rows` rows in all, dealt to `clients` clients."""
    settings = Settings(**{"batch_size": 512, **changes})
    scenarios = [scenario(rows // clients, values, n, evaluated // clients) for n in range(clients)]
    federation = Federation(scenarios, METHODS[method], settings, seed=0)
    seconds, stages = defaultdict(float), []
    with watched(seconds):
        for number in range(4):
            seconds.clear()
            start = time.perf_counter()
            _, fit, accepted = federation.train()
            seconds["train"] = time.perf_counter() - start
            federation.serve(accepted)
            before = time.perf_counter()
            federation.evaluate("valid")
            end = time.perf_counter()
            seconds |= {"evaluate": end - before, "round": end - start, "fit": sum(fit)}
            if number:
                stages.append(dict(seconds))
    return {stage: statistics.median(s.get(stage, 0) for s in stages) for stage in stages[0]}


@contextlib.contextmanager
def watched(seconds):
    """While it lasts, every stage of a round adds the seconds that it takes to seconds[stage]."""
    stages = {
        "pack": (server.Block, "read"), "normalize": (server, "normalized"),
        "coordinate": (server, "coordinated"), "aggregate": (server, "mixing_weights"),
        "unpack": (server.Block, "write"), "embedding": (SharedTable, "step"),
    }  # fmt: skip

    def timed(stage, function):
        def call(*arguments, **options):
            start = time.perf_counter()
            found = function(*arguments, **options)
            seconds[stage] += time.perf_counter() - start
            return found

        return call

    usual = {stage: getattr(*place) for stage, place in stages.items()}
    try:
        for stage, (place, name) in stages.items():
            setattr(place, name, timed(stage, usual[stage]))
        yield
    finally:
        for stage, (place, name) in stages.items():
            setattr(place, name, usual[stage])


def local_training(show: Callable[[str], None]) -> None:
    """Rows per second of a large client, beside its matrix products alone and the usual Python loop."""
    rows = 8 * BIG["batch_size"]
    clients = {
        "this MMoE": big_client(1000, rows),
        "a Python loop over experts": big_client(1000, rows, loop=True),
        "this MMoE, bf16": big_client(1000, rows, precision="bf16"),
        "this MMoE, 100,000 values per field": big_client(100_000, rows),
    }
    products = matrix_products(Settings(**BIG))

    def bare():
        for _ in range(rows // BIG["batch_size"]):
            products()

    taken = seconds(bare, *(lambda client=client: client.fit(1) for client in clients.values()))
    show("Local training: 16 fields of 1,000 values, embedding 16, 8 experts 128-64, towers 64, batch 2048")
    for name, own in zip(("the experts' matrix products alone", *clients), taken, strict=True):
        show(f"  {name:36s} {rows / own:8,.0f} rows/s   {own / taken[0]:.2f} × the matrix products")
    show(
        f"  bf16 is {taken[1] / taken[3]:.2f} × as fast; the large vocabulary runs at "
        f"{taken[1] / taken[4]:.0%} of the small one's speed"
    )


def bench(show: Callable[[str], None] = print) -> None:
    """Print what the module docstring promises."""
    torch.set_num_threads(1)
    show(f"{machine()}, PyTorch {torch.__version__}, 1 thread; medians of {REPEATS}")
    local_training(show)
    show("\nA round of pf_msmtrec: 16 fields of 200 values, default model, batch 512; seconds")
    stages = ("train", "pack", "normalize", "coordinate", "aggregate", "unpack", "embedding", "evaluate")
    show(f"  {'':34s}{'round':>8s}" + "".join(f"{stage:>11s}" for stage in stages) + "   beside training")
    cases = {
        "4 clients, 65,536 rows": (4, 65_536, {}),
        "16 clients, 65,536 rows": (16, 65_536, {}),
        "64 clients, 65,536 rows": (64, 65_536, {}),
        "256 clients, 65,536 rows": (256, 65_536, {}),
        "16 clients, fedavg_sum": (16, 65_536, {"method": "fedavg_sum"}),
        "16 clients, 131,072 rows": (16, 131_072, {}),
        "16 clients, 262,144 rows": (16, 262_144, {}),
        "16 clients, experts twice as wide": (16, 65_536, {"hidden": (128, 64)}),
        "16 clients, experts 4 × as wide": (16, 65_536, {"hidden": (256, 128)}),
    }
    for name, (clients, rows, changes) in cases.items():
        found = federation_round(clients, rows, **changes)
        beside = 1 - (found["fit"] + found["evaluate"]) / found["round"]
        show(
            f"  {name:34s}{found['round']:8.3f}"
            + "".join(f"{found.get(s, 0):11.4f}" for s in stages)
            + f"{beside:12.1%}"
        )
    reading(show)
    published(show)
    fresh(show)
    show(f"\nPeak memory of this process: {peak_mib():,.0f} MiB")

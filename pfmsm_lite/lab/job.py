"""The main job: methods × seeds on one data set, side by side, resumable, into one directory."""

import contextlib
import json
import os
import platform
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, fields, replace
from pathlib import Path

from pfmsm_lite import __version__
from pfmsm_lite.errors import UserError, at_least_one, choose
from pfmsm_lite.methods import GROUPS, METHODS, OPERATORS, SCENARIOS_NEEDED, Settings

DEFAULT_METHODS = (
    "pooled", "local", "embedding_only", "fedavg", "pf_msmtrec",
    "no_template", "no_normalization", "no_coordination", "no_personalization",
)  # fmt: skip
PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "scipy", "xarray")
ROOM = 200 * 2**20  # bytes that must be free before a run starts


# twelve scenarios: three groups that want little of each other, small clients, some labels wrong, other
# favourites everywhere, and numbers of other size that nobody standardizes
HARD = {
    "signal": 3.0,
    "sizes": (4000, 2000, 1000, 500) * 3,
    "relatedness": (0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2),
    "within": 0.85,
    "across": 0.1,
    "rates": (0.2, 0.1),
    "label_noise": 0.05,
    "popularity_shift": 0.5,
    "feature_scale_shift": 10.0,
    "statistics": "none",
    "test_rows": 2000,
}


def _synthetic(arguments, preset=None):
    from inspect import signature

    from pfmsm_lite.data import synthetic

    knobs = dict(arguments.get("knob") or ())
    for name in knobs:
        choose("--knob", name, [other for other in signature(synthetic).parameters if other != "seed"])
    try:
        return synthetic(**{**(preset or {}), **knobs}, seed=arguments["data_seed"])
    except (TypeError, ValueError) as error:
        raise UserError(f"--knob {knobs} does not suit the generator: {error}.") from error


def _hard(arguments):
    return _synthetic(arguments, HARD)


def _kuairand(arguments):
    from pfmsm_lite.data import read_kuairand

    if not arguments["data_dir"]:
        raise UserError("--data kuairand needs --data-dir, the folder with log_standard_*_pure.csv.")
    tasks = {"tasks": tuple(arguments["tasks"])} if arguments["tasks"] else {}
    return read_kuairand(arguments["data_dir"], **tasks), None


def _table(arguments):
    from pfmsm_lite.data import read_table

    if not (arguments["scenario"] and arguments["tasks"]):
        raise UserError(
            f"--data {arguments['data']} needs --scenario COLUMN and --tasks LABEL,LABEL: which column says "
            "what scenario a row belongs to, and which columns are the labels."
        )
    keys = ("scenario", "tasks", "categorical", "numerical", "time", "categories", "statistics")
    chosen = {key: arguments[key] for key in keys if arguments[key]}
    return read_table(arguments["data"], ignore=arguments["ignore"] or (), **chosen), None


# data → (reader: arguments → (scenarios, truth or None), defaults that suit it, unless asked otherwise)
DATA = {
    "synthetic": (_synthetic, {"rounds": 10}),
    "synthetic-hard": (_hard, {"rounds": 15}),
    "kuairand": (
        _kuairand,
        {"rounds": 20, "batch_size": 1024, "learning_rate": 1e-3, "unknown_rate": 0.5},
    ),
    "a table": (_table, {"rounds": 20}),
}


NAMED = tuple(name for name in DATA if name != "a table")
GENERATED = ("synthetic", "synthetic-hard")  # the data whose truth is known


def reader(arguments):
    """The entry of DATA for `--data`: a name, or a file."""
    name = arguments["data"]
    if arguments.get("knob") and name not in GENERATED:
        raise UserError(f"--knob turns the generator of {' and '.join(GENERATED)}; --data {name} has none.")
    if Path(name).suffix:
        return DATA["a table"]
    what = "--data (a name, or a file ending in .csv, .csv.gz, .tsv or .parquet)"
    return DATA[choose(what, name, NAMED)]


def with_defaults(arguments):
    """The arguments, and where nothing was asked for, what suits these data."""
    _, defaults = reader(arguments)
    return {**arguments, **{key: value for key, value in defaults.items() if arguments.get(key) is None}}


def declared(arguments):
    """The chosen methods, operators changed as asked, and the Settings.

    An operator option changes every chosen method that has pf_msmtrec's value of it: so an ablation goes on
    leaving out what it leaves out, and FedAvg does not turn into something else.
    """
    base = METHODS["pf_msmtrec"]
    asked = {
        f.name: arguments[f.name] for f in fields(base) if f.metadata and arguments.get(f.name) is not None
    }
    policies = {choose("--share", group, GROUPS): policy for group, policy in arguments.get("share") or ()}
    chosen = []
    for name in arguments["methods"]:
        method = METHODS[choose("method", name, METHODS)]
        changes = {k: v for k, v in asked.items() if getattr(method, k) == getattr(base, k)}
        if not method.sent:
            changes = {k: v for k, v in changes.items() if k not in ("personal", "phases")}
        if not method.pooled:
            changes.pop("model", None)
        if method.model != "mmoe":
            changes.pop("intercept", None)
        share = {g: p for g, p in policies.items() if method.share.get(g) == base.share.get(g)}
        if method.sent and share:
            changes["share"] = {**method.share, **share}
        chosen.append(replace(method, **changes))
    given = {f.name: arguments[f.name] for f in fields(Settings) if arguments.get(f.name) is not None}
    return chosen, Settings(**given)


def prepare(arguments):
    """Check what can be known before training; make the directory; returns (directory, arguments in full)."""
    filled = with_defaults(arguments)
    filled["methods"] = list(arguments["methods"] or DEFAULT_METHODS)
    at_least_one(rounds=filled["rounds"])
    for what in ("methods", "seeds"):
        if len(set(filled[what])) < len(filled[what]):
            raise UserError(f"--{what} names something twice: {','.join(map(str, filled[what]))}.")
    declared(filled)
    out = (
        Path(arguments["out"]) if arguments["out"] else _free_name(Path(arguments["data"]).stem.split(".")[0])
    )
    if out.exists() and (not out.is_dir() or {path.name for path in out.iterdir()} - {"checkpoint"}):
        raise UserError(f"{out} is there already. Go on with it: --resume {out}. Or choose another --out.")
    try:
        (out / "checkpoint").mkdir(parents=True, exist_ok=True)
        (out / "checkpoint" / "writable").touch()
        (out / "checkpoint" / "writable").unlink()
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror}. Choose another --out.") from error
    free = shutil.disk_usage(out).free
    if free < ROOM:
        discard(out)
        raise UserError(
            f"Only {free / 2**20:.0f} MiB are free where {out} lies; a run wants {ROOM / 2**20:.0f} MiB. "
            "Make room, or choose another --out."
        )
    return out, filled


def discard(out):
    """Remove what `prepare` made, if nothing else has been written there: the name is free again."""
    with contextlib.suppress(OSError):  # something lies in it after all
        if [path.name for path in out.iterdir()] == ["checkpoint"]:
            (out / "checkpoint").rmdir()
            out.rmdir()


def _free_name(stem):
    names = (Path("runs") / (stem if k == 1 else f"{stem}-{k}") for k in range(1, 100_000))
    return next(name for name in names if not name.exists())


def resume(directory, changes):
    """The arguments of an earlier run, and `changes`: rounds, threads and processes may differ."""
    path = Path(directory) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        arguments = config["arguments"]
    except FileNotFoundError as error:
        raise UserError(f"There is nothing to resume in {directory}: {path} is missing.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}). Start the run again with another --out.") from error
    arguments.update({key: value for key, value in changes.items() if value is not None})
    return Path(directory), arguments


def versions():
    """Version of Python and of every package that can change a number."""
    from importlib.metadata import version

    found = {package: version(package) for package in PACKAGES}
    return {"pfmsm_lite": __version__, "python": platform.python_version(), **found}


def machine():
    """The machine in words: processor, cores, system."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def write_config(out, arguments, digest, scenarios):
    chosen, settings = declared(arguments)
    config = {
        "command": arguments.get("command", "python -m pfmsm_lite run"),
        "date": time.strftime("%Y-%m-%d"),
        "arguments": arguments,
        "methods": [asdict(method) for method in chosen],
        "settings": asdict(settings),
        "data": {
            "digest": digest,
            "notes": scenarios[0].notes,
            "rows": {s.name: [len(s.rows(k).labels) for k in ("train", "valid", "test")] for s in scenarios},
        },
        "versions": versions(),
        "machine": machine(),
    }
    replace_text(out / "config.json", json.dumps(config, indent=1, default=str) + "\n")


def replace_text(path, text):
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, path)


_worker = {}  # what a worker process keeps between cells


def _start_worker(arguments, digest, queue):
    """In a fresh process: remember what to do, and end with the parent, however that ends."""
    import signal
    import threading
    from multiprocessing import connection, parent_process

    def watch():  # a resumed run must not meet the workers of a killed one
        connection.wait([parent_process().sentinel])
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the workers
    threading.Thread(target=watch, daemon=True).start()
    _worker.update(arguments=arguments, digest=digest, queue=queue)

    import torch

    from pfmsm_lite.lab.memory import keep_memory

    keep_memory()
    torch.set_num_threads(arguments["threads"])


def data():
    """The worker's scenarios, read once and checked to be those of the parent."""
    if "scenarios" not in _worker:
        from pfmsm_lite.data import digest

        read, _ = reader(_worker["arguments"])
        _worker["scenarios"], _ = read(_worker["arguments"])
        if digest(_worker["scenarios"]) != _worker["digest"]:
            raise UserError("The data changed while the run was going on. Start again with another --out.")
    return _worker["scenarios"]


def train(cell, method, settings, seed, checkpoint):
    """Train one method with one seed in a worker; returns its History. cell: its name on the display."""
    return train_on(data(), cell, method, settings, seed, checkpoint)


def train_on(scenarios, cell, method, settings, seed, checkpoint):
    """As `train`, on other scenarios than those of the command."""
    from pfmsm_lite import run
    from pfmsm_lite.loop import CHECKPOINT_SECONDS

    queue, arguments = _worker["queue"], _worker["arguments"]
    often = arguments.get("checkpoint_seconds", CHECKPOINT_SECONDS)
    return run(
        scenarios, method, arguments["rounds"], seed, settings=settings, checkpoint=checkpoint,
        checkpoint_seconds=often,
        progress=lambda done, total, auc: queue.put((cell, done, auc)),
    )  # fmt: skip


def opened(out, arguments, show):
    """Read the data, write down in `out` what is about to be done, and say it: (scenarios, truth, digest).

    raises  UserError where `out` was begun with other data
    """
    import torch

    from pfmsm_lite.data import digest

    torch.set_num_threads(arguments["threads"])
    read, _ = reader(arguments)
    scenarios, truth = read(arguments)
    data_digest, config = digest(scenarios), out / "config.json"
    if config.exists() and json.loads(config.read_text())["data"]["digest"] != data_digest:
        raise UserError(f"The data is not what {out} was begun with. Start again with another --out.")
    chosen = declared(arguments)[0]
    for method in chosen:
        needed = SCENARIOS_NEEDED.get(method.model, 1)
        if len(scenarios) < needed:
            raise UserError(
                f"The method {method.name} needs at least {needed} scenarios, and {arguments['data']} has "
                f"{len(scenarios)}. Leave it out of --methods."
            )
    write_config(out, arguments, data_digest, scenarios)
    describe(scenarios, truth, chosen, arguments, show)
    return scenarios, truth, data_digest


def main_job(out, arguments, show=print, screen=sys.stderr):
    """Run every method with every seed, then write tables and figures. Returns the list of History."""
    scenarios, truth, data_digest = opened(out, arguments, show)
    chosen, settings = declared(arguments)
    cells = [(method, seed) for seed in arguments["seeds"] for method in chosen]
    sizes = {s.name: len(s.train.labels) for s in scenarios}
    del scenarios
    started = time.monotonic()
    jobs = {
        (method.name, seed): (method, settings, seed, out / "checkpoint" / f"{method.name}-{seed}.pt")
        for method, seed in cells
    }
    found = run_cells(train, jobs, out, arguments, data_digest, screen)
    histories = {cell: future.result() for cell, future in found}
    show(f"{len(cells)} runs in {time.monotonic() - started:.0f} s\n")
    histories = [histories[method.name, seed] for method in chosen for seed in arguments["seeds"]]
    write(out, histories, sizes, truth)
    report(out, histories, truth, show)
    return histories


def describe(scenarios, truth, chosen, arguments, show):
    """Say what is about to happen, and how the columns were read."""
    first = scenarios[0]
    rows = sum(len(s.rows(split).labels) for s in scenarios for split in ("train", "valid", "test"))
    show(f"{len(scenarios)} scenarios, {rows:,} rows, tasks: {', '.join(first.tasks)}")
    for s in scenarios:
        sizes = " + ".join(f"{len(s.rows(split).labels):,}" for split in ("train", "valid", "test"))
        rates = ", ".join(
            f"{task} {rate:.3f}" if rate == rate else f"{task} –"
            for task, rate in zip(s.tasks, s.train.labels.nanmean(0).tolist(), strict=True)
        )
        show(f"  {s.name}: {sizes} rows (train + valid + test); rates: {rates}")
    for column, kind in first.notes.get("typing", {}).items():
        show(f"  column {column}: {kind}")
    for warning in first.notes.get("warnings", ()):
        show(f"Warning: {warning}")
    show(
        f"{len(chosen)} methods × {len(arguments['seeds'])} seeds × {arguments['rounds']} rounds: "
        f"{', '.join(method.name for method in chosen)}"
    )


def run_cells(work, jobs, out, arguments, data_digest, screen):
    """Do jobs side by side in worker processes, with a progress display.

    work  function of this package, called in a worker as work(cell, *job); it finds the data by `data()`
    jobs  cell (name, seed) → its job
    gives (cell, finished future) as they come; leaves no process behind, however it ends
    """
    import multiprocessing

    (out / "checkpoint").mkdir(exist_ok=True)
    for torn in (out / "checkpoint").glob("*.part*"):  # a run was killed while it wrote one
        torn.unlink(missing_ok=True)
    context = multiprocessing.get_context("spawn")
    processes = max(1, min(arguments["processes"], len(jobs)))
    queue = context.Queue()
    display = Progress(len(jobs), arguments["rounds"], screen)
    executor = ProcessPoolExecutor(
        processes, context, initializer=_start_worker, initargs=(arguments, data_digest, queue)
    )
    try:
        waiting = {executor.submit(work, cell, *job): cell for cell, job in jobs.items()}
        for future in _as_they_come(waiting, queue, display):
            if isinstance(future.exception(), BrokenProcessPool):
                raise future.exception()
            yield waiting[future], future
        executor.shutdown()
    except BrokenProcessPool as error:
        raise UserError(
            f"A worker process died (out of memory?). What was finished is kept: --resume {out}, with "
            "--processes 1 if memory is short."
        ) from error
    except BaseException:
        for process in list((executor._processes or {}).values()):
            process.kill()  # checkpoints are atomic: nothing is lost but the rounds since the last
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        display.close()


def _as_they_come(waiting, queue, display):
    """Finished futures, while the progress display follows the rounds."""
    from concurrent.futures import TimeoutError as NotYet

    pending = set(waiting)
    while pending:
        try:
            for future in as_completed(pending, timeout=0.25):
                pending.discard(future)
                display.finished(waiting[future])
                yield future
        except NotYet:
            pass
        while not queue.empty():
            display.round(*queue.get())


class Progress:
    """One line on a terminal: runs, rounds, time left. Silent when the screen is not a terminal."""

    def __init__(self, cells, rounds, screen):
        self.cells, self.rounds, self.screen = cells, rounds, screen
        self.done, self.ended, self.first, self.start = {}, set(), {}, time.monotonic()
        self.visible = bool(getattr(screen, "isatty", lambda: False)())

    def round(self, cell, number, auc):
        self.first.setdefault(cell, number - 1)  # rounds that a checkpoint already held
        self.done[cell] = number
        self.draw(f"{cell[0]}, seed {cell[1]}, round {number}: AUC {auc:.3f}")

    def finished(self, cell):
        self.first.setdefault(cell, self.rounds)
        self.done[cell] = self.rounds
        self.ended.add(cell)
        self.draw(f"{cell[0]}, seed {cell[1]}: done")

    def draw(self, text):
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

    def close(self):
        if self.visible and self.done:
            self.screen.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self.screen.flush()


def write(out, histories, sizes, truth=None):
    """results.csv, history.csv, one .npz a run, and the figures."""
    import pandas as pd

    from pfmsm_lite.lab import figures as plots

    results = pd.concat([history.results for history in histories])
    replace_text(out / "results.csv", results.to_csv(index=False, lineterminator="\n"))
    rounds = pd.concat([history.rounds for history in histories])
    replace_text(out / "history.csv", rounds.to_csv(index=False, lineterminator="\n"))
    for history in histories:
        if history.arrays:
            history.save(out / f"{history.method}-{history.seed}.npz")
    known = {} if truth is None else {"ceiling": truth.ceiling, "clusters": truth.clusters}
    for name, figure in plots.draw_all(histories, sizes=sizes, **known).items():
        figure.savefig(out / f"{name}.png")


def report(out, histories, truth, show):
    """Print the table, and where everything lies."""
    from pfmsm_lite.lab.statistics import table

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


def flags():
    """Command-line options of Method's operators and of Settings: name → dataclass field."""
    return {f.name: f for f in (*fields(METHODS["pf_msmtrec"]), *fields(Settings)) if f.metadata}


def explain(entry):
    """One line of help for an option: what it does, its default, its choices."""
    default = getattr(METHODS["pf_msmtrec"], entry.name, None)
    default = entry.default if default is None else default
    text = entry.metadata["help"]
    if entry.name in OPERATORS:
        choices = "; ".join(f"{name}: {what}" for name, what in OPERATORS[entry.name].items())
        return f"{text} ({choices}). Default {default}"
    return f"{text}. Default {','.join(map(str, default)) if isinstance(default, tuple) else default}"

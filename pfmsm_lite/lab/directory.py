"""A command's directory: made or gone on with, described in config.json, given up; the command's frame."""

import contextlib
import json
import os
import shlex
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pfmsm_lite.data import digest
from pfmsm_lite.errors import UserError, at_least_one
from pfmsm_lite.lab import config, lock, plugins, sources, store, tables
from pfmsm_lite.lab.effect import refuse_idle
from pfmsm_lite.lab.engine import Work, replace_text
from pfmsm_lite.lab.options import FRAME, Parser, declared, refuse_beside
from pfmsm_lite.lab.versions import machine, versions
from pfmsm_lite.loop import check_device
from pfmsm_lite.methods import Method, Settings
from pfmsm_lite.registry import lookup
from pfmsm_lite.rivals.attacks import refuse_unknown
from pfmsm_lite.scenario import Scenario, shortened

MOST_SEEDS = 10_000
ROOM = 200 * 2**20  # bytes that must be free before a run starts
UNTOLD = ("encoder", "group")  # notes that config.json leaves out: they are long
DEFAULT_METHODS = (
    "logistic", "pooled", "local", "embedding_only", "fedavg", "pf_msmtrec",
    "no_template", "no_normalization", "no_coordination", "no_personalization",
)  # fmt: skip

Arguments = dict[str, Any]
Show = Callable[[str], None]


class Job(NamedTuple):
    """A command that trains into a directory and can go on with it.

    mark     an argument that no other command has: a directory without it was begun by another one
    changes  what may differ when it goes on
    checked  arguments → arguments, refused where they are wrong;  work  (directory, arguments) → what failed
    """

    mark: str
    changes: tuple[str, ...]
    checked: Callable[[Arguments], Arguments]
    work: Callable[[Path, Arguments], dict]


class Opened(NamedTuple):
    """What a command knows before it trains, but for the rows: worker processes read these again.

    sizes  scenario → its training rows;  truth  of generated data, else None
    rates  scenario → task → rate of its training labels;  notes  of the reader, as in Scenario
    """

    work: Work
    sizes: dict[str, int]
    truth: Any
    methods: list[Method]
    settings: Settings
    rates: dict[str, dict[str, float]]
    notes: dict[str, Any]


def carry_out(job: Job, command: Parser, options: Namespace) -> int:
    """Begin a job, or go on with it: the exit code, 1 where a training failed, 130 after Ctrl-C.

    command  its parser, which knows what is usual;  options  as parsed
    raises   UserError for what is wrong, also where another process is at work in the directory, which is
             then as it was, or not there
    """
    arguments = {key: value for key, value in vars(options).items() if key not in FRAME}
    before, file = arguments.pop("resume"), arguments.pop("config", None)
    counts = {"rounds": arguments.get("rounds"), "threads": options.threads, "processes": options.processes}
    at_least_one(**{name: count for name, count in counts.items() if count is not None})
    if isinstance(arguments.get("seeds"), int) and arguments["seeds"] > MOST_SEEDS:
        raise UserError(f"--seeds is {arguments['seeds']}, but it says how many: at most {MOST_SEEDS:,}.")
    if before:
        beside = [name for name in options.given if name not in ("resume", *job.changes)]
        refuse_beside("--resume goes on with the run as it was:", beside)
        with lock.owned(_begun(before)):
            return _work(job, options, *resume(before, arguments, job, command))
    given = options.given
    if file:
        beside = {name: arguments[name] for name in given if name in arguments}
        arguments = config.given_back(file, command, beside, job.mark)
        chosen = arguments.get("suited") or {}
        given = [
            name
            for name, value in arguments.items()
            if value != command.get_default(name) and chosen.get(name) != value
        ]
    if arguments.get("plugin"):
        arguments["plugin"] = plugins.load(arguments["plugin"])
    arguments["threads"], arguments["processes"] = arguments["threads"] or 1, arguments["processes"] or 2
    arguments["command"] = f"python -m pfmsm_lite {shlex.join(options.words)}"
    filled = in_full(job.checked({**arguments, "folder": os.getcwd()}), given)
    with made(filled) as out:
        return _work(job, options, out, filled)


def _work(job: Job, options: Namespace, out: Path, arguments: Arguments) -> int:
    """Train; what was made is removed if nothing was begun."""
    try:
        failed = job.work(out, arguments)
    except KeyboardInterrupt:
        if not (out / config.NAME).exists():
            raise
        again = f"python -m pfmsm_lite {options.command} --resume {out}"
        print(f"\nInterrupted. Go on with: {again}", file=sys.stderr)
        return 130
    return 1 if failed else 0


def in_full(arguments: Arguments, given: Collection[str] = ()) -> Arguments:
    """Check what can be known before the data are read; returns the arguments in full.

    given  names of those that a person gave: each must change something
    """
    filled = sources.with_defaults(arguments)
    filled["methods"] = list(arguments["methods"] or DEFAULT_METHODS)
    at_least_one(rounds=filled["rounds"])
    for what in ("methods", "seeds"):
        if len(set(filled[what])) < len(filled[what]):
            raise UserError(f"--{what} names something twice: {','.join(map(str, filled[what]))}.")
    if min(filled["seeds"], default=0) < 0 or max(filled["seeds"], default=0) >= 2**63:
        raise UserError("--seeds takes whole numbers from 0 to 2^63 - 1.")
    if not filled.get("checkpoint_seconds", 0) >= 0:
        raise UserError(f"--checkpoint-seconds is {filled['checkpoint_seconds']}, but it must be at least 0.")
    _, settings = declared(filled)
    check_device(settings.device)
    refuse_idle(given, filled)
    return filled


@contextlib.contextmanager
def made(arguments: Arguments) -> Iterator[Path]:
    """Make and own the directory of a new run; it is removed again if nothing is begun in it."""
    out = Path(arguments["out"] or _free_name(_stem(arguments)))
    new = [folder for folder in (out, *out.parents) if not folder.exists()]
    taken = UserError(f"{out} already exists. Choose another --out.")
    if (out / config.NAME).exists():
        taken = UserError(f"{out} already exists. Go on with it: --resume {out}. Or choose another --out.")
    if out.exists() and (not out.is_dir() or _foreign(out)):
        raise taken
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror}. Choose another --out.") from error
    with lock.owned(out):
        try:
            if _foreign(out):  # another process was faster
                raise taken
            (out / "checkpoint").mkdir(exist_ok=True)
            free = shutil.disk_usage(out).free
            if free < ROOM:
                raise UserError(
                    f"Only {free / 2**20:.0f} MiB are free where {out} lies; a run wants "
                    f"{ROOM / 2**20:.0f} MiB. Make room, or choose another --out."
                )
            yield out
        except BaseException:
            discard(out)
            for folder in new:
                with contextlib.suppress(OSError):  # something else lies in it
                    folder.rmdir()
            raise


def _foreign(out: Path) -> set[str]:
    """What lies in a directory that a new run would not expect there."""
    return {path.name for path in out.iterdir()} - {"checkpoint", lock.NAME}


def _stem(arguments: Arguments) -> str:
    return Path(arguments.get("train") or arguments["data"]).stem.split(".")[0]


def discard(out: Path) -> None:
    """Remove what was made for a run, if nothing else has been written there: the name is free again."""
    if _foreign(out) if out.is_dir() else True:
        return
    for remove in ((out / "checkpoint").rmdir, (out / lock.NAME).unlink, out.rmdir):
        with contextlib.suppress(OSError):  # it is not there, or something lies in it after all
            remove()


def _free_name(stem):
    names = (Path("runs") / (stem if k == 1 else f"{stem}-{k}") for k in range(1, 100_000))
    return next(name for name in names if not name.exists())


def _begun(directory: str) -> Path:
    """The directory to go on with; refused where nothing was begun in it."""
    out = Path(directory)
    if not (out / config.NAME).exists():
        begin = f"begin with --out {directory}"
        if out.exists() and (not out.is_dir() or _foreign(out)):
            begin = "begin with another --out"
        raise UserError(f"There is nothing to resume in {directory}: config.json is missing; {begin}.")
    return out


def resume(directory: str, changes: Arguments, job: Job, command: Parser) -> tuple[Path, Arguments]:
    """(directory, arguments of the run that was begun there): what stands in job.changes may differ."""
    out = Path(directory)
    kept = config.read(out)
    if job.mark not in kept["arguments"]:
        raise UserError(
            f"{out} holds what another command began. Its config.json says which: go on with that one."
        )
    arguments = config.arguments_of(kept, command, out / config.NAME)
    asked = {name: changes[name] for name in job.changes if changes[name] is not None}
    if asked.get("rounds", arguments["rounds"]) < arguments["rounds"]:
        raise UserError(
            f"--rounds {asked['rounds']}: {out} was begun with {arguments['rounds']}. It can go on for more "
            "rounds, not for fewer; choose another --out for that."
        )
    arguments |= asked
    plugins.load_again(arguments)
    declared(arguments)
    return out, arguments


def opened(out: Path, arguments: Arguments, show: Show) -> Opened:
    """Read the data, write down in `out` what is about to be done, and say it.

    raises  UserError where `out` was begun with other data, or a method has too few scenarios
    """
    torch.set_num_threads(arguments["threads"])
    scenarios, truth = sources.read(arguments)
    arguments = sources.suited_to(scenarios, arguments)
    work = Work(out, arguments, digest(scenarios))
    if (out / config.NAME).exists() and (then := config.read(out)["data"])["digest"] != work.digest:
        other = config.other_data(then, scenarios)
        raise UserError(
            f"The data is not what {out} was begun with: {other}. Start again with another --out."
        )
    methods, settings = declared(arguments)
    for method in methods:
        needed = getattr(lookup("model", method.model), "scenarios_needed", 1)
        if len(scenarios) < needed:
            raise UserError(
                f"The method {method.name} needs at least {needed} scenarios, and {arguments['data']} has "
                f"{len(scenarios)}. Leave it out of --methods."
            )
    sizes = {s.name: len(s.train.labels) for s in scenarios}
    refuse_unknown(settings.attack, sizes)
    rates = {s.name: dict(zip(s.tasks, s.train.labels.nanmean(0).tolist(), strict=True)) for s in scenarios}
    found = Opened(work, sizes, truth, methods, settings, rates, scenarios[0].notes)
    _write_config(found, scenarios)
    if arguments["data"] not in sources.GENERATED:
        store.save(scenarios, out / store.ROWS)
    _describe(found, scenarios, show)
    return found


def _write_config(found: Opened, scenarios: list[Scenario]) -> None:
    arguments = found.work.arguments
    described = {
        "command": arguments.get("command", "python -m pfmsm_lite run"),
        "date": time.strftime("%Y-%m-%d"),
        "arguments": arguments,
        "methods": [asdict(method) for method in found.methods],
        "settings": asdict(found.settings),
        "data": {
            "digest": found.work.digest,
            "notes": {key: value for key, value in scenarios[0].notes.items() if key not in UNTOLD},
            "rows": {s.name: [len(s.rows(k).labels) for k in ("train", "valid", "test")] for s in scenarios},
        },
        "versions": versions(),
        "machine": machine(),
    }
    replace_text(found.work.out / config.NAME, json.dumps(described, indent=1, default=str) + "\n")


def quietly(text: str) -> None:
    """In place of `show`, for commands that train on other data than what is read: nothing is said of it."""


def _describe(found: Opened, scenarios: list[Scenario], show: Show) -> None:
    """Say what is about to happen, and how the columns were read."""
    arguments = found.work.arguments
    for line in tables.overview(scenarios, short=True):
        show(line)
    for line in tables.suited_said(arguments, found.sizes):
        show(line)
    show(
        f"{len(found.methods)} methods × {len(arguments['seeds'])} seeds × {arguments['rounds']} rounds: "
        f"{', '.join(method.name for method in found.methods)}"
    )
    norm = [m.name for m in found.methods if m.needs.get("batch_norm", found.settings.batch_norm)]
    single = [s.name for s in scenarios if len(s.train.labels) == 1]
    if norm and single:
        show(
            f"Note: BatchNorm ({shortened(norm)}) cannot train on a single row: {shortened(single)} "
            "will only use what it receives."
        )

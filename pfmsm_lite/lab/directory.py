"""A command's directory: made or gone on with, described in config.json, given up; the command's frame."""

import contextlib
import json
import shlex
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pfmsm_lite.data import digest
from pfmsm_lite.errors import UserError, at_least_one
from pfmsm_lite.lab import plugins, sources, store, tables
from pfmsm_lite.lab.engine import Work, replace_text
from pfmsm_lite.lab.options import FRAME, Parser, declared, refuse_beside
from pfmsm_lite.lab.versions import machine, versions
from pfmsm_lite.methods import Method, Settings
from pfmsm_lite.registry import lookup
from pfmsm_lite.scenario import Scenario

ROOM = 200 * 2**20  # bytes that must be free before a run starts
UNTOLD = ("encoder", "group")  # notes that config.json leaves out: they are long
DEFAULT_METHODS = (
    "pooled", "local", "embedding_only", "fedavg", "pf_msmtrec",
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
    raises   UserError for what is wrong; the directory is as it was, or not there
    """
    arguments = {key: value for key, value in vars(options).items() if key not in FRAME}
    before = arguments.pop("resume")
    if before:
        usual = vars(command.parse_args([]))
        given = (key for key, value in arguments.items() if value != usual.get(key))
        refuse_beside(
            "--resume goes on with the run as it was:", [key for key in given if key not in job.changes]
        )
        out, arguments = resume(before, {key: arguments[key] for key in job.changes})
        if job.mark not in arguments:
            raise UserError(
                f"{before} holds what another command began. Its config.json says which: go on with that one."
            )
        plugins.load_again(arguments)
    else:
        if "plugin" in arguments:
            arguments["plugin"] = plugins.load(arguments["plugin"])
        arguments["threads"], arguments["processes"] = options.threads or 1, options.processes or 2
        arguments["command"] = f"python -m pfmsm_lite {shlex.join(options.words)}"
        out, arguments = prepare(job.checked(arguments))
    try:
        failed = job.work(out, arguments)
    except UserError:
        discard(out)
        raise
    except KeyboardInterrupt:
        again = f"python -m pfmsm_lite {options.command} --resume {out}"
        print(f"\nInterrupted. Go on with: {again}", file=sys.stderr)
        return 130
    return 1 if failed else 0


def prepare(arguments: Arguments) -> tuple[Path, Arguments]:
    """Check what can be known before training; make the directory; returns (directory, arguments in full)."""
    filled = sources.with_defaults(arguments)
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


def discard(out: Path) -> None:
    """Remove what `prepare` made, if nothing else has been written there: the name is free again."""
    with contextlib.suppress(OSError):  # something lies in it after all
        if [path.name for path in out.iterdir()] == ["checkpoint"]:
            (out / "checkpoint").rmdir()
            out.rmdir()


def _free_name(stem):
    names = (Path("runs") / (stem if k == 1 else f"{stem}-{k}") for k in range(1, 100_000))
    return next(name for name in names if not name.exists())


def resume(directory: str, changes: Arguments) -> tuple[Path, Arguments]:
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


def opened(out: Path, arguments: Arguments, show: Show) -> Opened:
    """Read the data, write down in `out` what is about to be done, and say it.

    raises  UserError where `out` was begun with other data, or a method has too few scenarios
    """
    torch.set_num_threads(arguments["threads"])
    scenarios, truth = sources.read(arguments)
    work, config = Work(out, arguments, digest(scenarios)), out / "config.json"
    if config.exists() and json.loads(config.read_text())["data"]["digest"] != work.digest:
        raise UserError(f"The data is not what {out} was begun with. Start again with another --out.")
    methods, settings = declared(arguments)
    for method in methods:
        needed = getattr(lookup("model", method.model), "scenarios_needed", 1)
        if len(scenarios) < needed:
            raise UserError(
                f"The method {method.name} needs at least {needed} scenarios, and {arguments['data']} has "
                f"{len(scenarios)}. Leave it out of --methods."
            )
    sizes = {s.name: len(s.train.labels) for s in scenarios}
    rates = {s.name: dict(zip(s.tasks, s.train.labels.nanmean(0).tolist(), strict=True)) for s in scenarios}
    found = Opened(work, sizes, truth, methods, settings, rates, scenarios[0].notes)
    _write_config(found, scenarios)
    if arguments["data"] not in sources.GENERATED:
        store.save(scenarios, out / store.ROWS)
    _describe(found, scenarios, show)
    return found


def _write_config(found: Opened, scenarios: list[Scenario]) -> None:
    arguments = found.work.arguments
    config = {
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
    replace_text(found.work.out / "config.json", json.dumps(config, indent=1, default=str) + "\n")


def _describe(found: Opened, scenarios: list[Scenario], show: Show) -> None:
    """Say what is about to happen, and how the columns were read."""
    arguments = found.work.arguments
    for line in tables.overview(scenarios, short=True):
        show(line)
    show(
        f"{len(found.methods)} methods × {len(arguments['seeds'])} seeds × {arguments['rounds']} rounds: "
        f"{', '.join(method.name for method in found.methods)}"
    )

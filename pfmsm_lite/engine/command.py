"""`flower`: the rounds of `run` between real processes, on this machine or on several."""

import argparse
import shlex
import signal
import subprocess
import threading
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pfmsm_lite.engine import fleet, own
from pfmsm_lite.engine.declared import Declaration, declaration
from pfmsm_lite.engine.here import by_flower, join_audits
from pfmsm_lite.engine.home import HOME, SCORES, demanded
from pfmsm_lite.engine.jobs import AUDIT, LIMITS, Job
from pfmsm_lite.errors import UserError
from pfmsm_lite.history import History
from pfmsm_lite.lab import options as given
from pfmsm_lite.lab import tables
from pfmsm_lite.lab.directory import Arguments, carry_out
from pfmsm_lite.lab.directory import Job as Work
from pfmsm_lite.lab.engine import Cell
from pfmsm_lite.lab.run import run_all, save_arrays
from pfmsm_lite.lab.statistics import results_of, table
from pfmsm_lite.lab.writing import csv_text, replace_text

METHODS = ("pf_msmtrec",)
PARTS = ("server", "client")
# options of the parts that run on a machine each: name → (metavar, help)
MACHINES = {
    "clients": ("A,B", "server: names of all clients; it waits until they are there"),
    "host": ("ADDRESS", "server: where it listens (default 127.0.0.1, which other machines cannot reach)"),
    "port": ("P", "server: its port (default 8000)"),
    "tls": ("FOLDER", "server: with ca.crt, server.pem, server.key and NAME.pub of each client in it"),
    "home": (
        "A,B",
        "server: what stays with the owners; client: what must stay there, or it takes no part. "
        + ". ".join(f"{name}: {text}" for name, text in HOME.items()),
    ),
    "server": ("HOST:PORT", "client: where the server is"),
    "name": ("NAME", "client: its name"),
    "schema": ("FILE.json", "client: how all owners read their tables, see engine/own.py"),
    "state": ("FOLDER", "client: where it keeps its state (default state)"),
    "ca": ("FILE", "client: who signed the server's certificate, ca.crt"),
    "key": ("FILE", "client: its private key, of which the server has NAME.pub"),
}


def add(commands: Any) -> None:
    """The command `flower` and its options."""
    command = commands.add_parser(
        "flower",
        help="the same rounds between real processes, by Flower",
        description="Train as `run` does, between processes: a SuperLink, and a SuperNode for each scenario "
        "with its own file. The numbers are those of `run`, to the last bit. A round takes twenty seconds, "
        "or more: it is for showing and for deploying. `flower server` and `flower client` are for several "
        "machines.",
        usage="%(prog)s [server | client] [options]",
        formatter_class=given.Lines,
    )
    command.add_argument("part", nargs="?", choices=PARTS, help=argparse.SUPPRESS)
    basic = given.basic_group(command)
    basic.add_argument("--methods", type=given.names, metavar="A,B", help=f"default: {','.join(METHODS)}")
    basic.add_argument("--seeds", type=given.numbers, default=[0], metavar="0,1,2", help="default 0")
    basic.add_argument("--config", metavar="FILE", help="the config.json of an earlier one, as for `run`")
    given.training_options(basic, "only --rounds and --keep-checkpoints may differ")
    keep = "leave what Flower and the clients wrote, in flower/"
    basic.add_argument("--keep-checkpoints", action="store_true", default=None, help=keep)
    for name, text in (
        ("wait", "seconds in which all clients must have come"),
        ("timeout", "seconds in which a letter must be answered; a round goes on without who is slower"),
    ):
        default = LIMITS[name]
        how = f"{text} (default {default:.0f})"
        basic.add_argument(f"--{name}", type=float, default=default, metavar="S", help=how)
    several = command.add_argument_group("several machines: flower server, flower client")
    for name, (metavar, text) in MACHINES.items():
        several.add_argument(f"--{name}", metavar=metavar, help=text)
    several.add_argument("--print", action="store_true", help="say what would be started, and start nothing")
    given.data_options(command)
    given.operator_options(command)

    def do(options: Namespace) -> int:
        part, said = options.part, {name: vars(options).pop(name) for name in (*MACHINES, "print")}
        del options.part
        options.given = [name for name in options.given if name != "part"]
        if not part:
            _on_one_machine(said)
        if reason := "" if said["print"] else fleet.missing():
            raise UserError(reason)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _stopped)
        if part:
            return {"server": serve, "client": join}[part](options, Namespace(**said))
        return carry_out(Work("timeout", ("rounds", "keep_checkpoints"), _checked, _work), command, options)

    command.do = do


def _on_one_machine(said: Mapping[str, Any]) -> None:
    """Refuse options that belong to several machines."""
    if said["home"]:
        raise UserError(
            "--home belongs to `flower server` and `flower client`. Here all clients are on one machine, and "
            "the table shows their scores: there is nothing to keep from anybody."
        )
    beside = [name for name, value in said.items() if value]
    given.refuse_beside("Only `flower server` and `flower client` have more machines than this:", beside)


def _stopped(*_):
    """SIGTERM ends what was started, as Ctrl-C does."""
    raise KeyboardInterrupt


def _checked(arguments: Arguments) -> Arguments:
    if arguments.get("plugin"):
        raise UserError("--plugin cannot be sent: who owns a client installs what runs there.")
    return {**arguments, "methods": arguments["methods"] or list(METHODS)}


def _work(out: Path, arguments: Arguments) -> dict:
    methods, settings = given.declared(arguments)
    for method in methods:  # refused before anything is written
        declaration(method, settings, 0, 1, ())
    run_all(out, arguments, train=by_flower)
    return {}


# ---- several machines ----


def keys_in(folder: Path, clients: Sequence[str]) -> fleet.Keys:
    """The files of --tls, all of them there; a client's private key is not wanted."""
    found = fleet.Keys(
        folder / "ca.crt", folder / "server.pem", folder / "server.key", {n: folder / n for n in clients}
    )
    files = [
        found.ca,
        found.certificate,
        found.server_key,
        *(Path(f"{key}.pub") for key in found.nodes.values()),
    ]
    if absent := [str(file) for file in files if file is None or not file.exists()]:
        raise UserError(f"--tls {folder} lacks {', '.join(absent)}. See deploy/README.md.")
    return found


def serve(options: Namespace, said: Namespace) -> int:
    """`flower server`: the server's part of a training whose rows lie elsewhere."""
    if not said.clients:
        raise UserError("flower server needs --clients A,B: the names of all clients.")
    host, port, clients = said.host or fleet.HOST, int(said.port or 8000), given.names(said.clients)
    keys = keys_in(Path(said.tls), clients) if said.tls else None
    out = Path(options.out or "runs/flower")
    arguments = _checked({**vars(options), "rounds": options.rounds or 20})
    methods, settings = given.declared(arguments)
    cells = [Cell(f"{m.name}-{seed}", m.name, m, settings, seed) for m in methods for seed in options.seeds]
    home = given.names(said.home or "")
    jobs = [
        declaration(m, settings, seed, arguments["rounds"], clients, home)
        for m in methods
        for seed in options.seeds
    ]
    if said.print:
        command = fleet.link_command(port, out / "state.db", host, keys)
        print(_line(command))
        for name in clients if keys else ():
            register = ["flwr", "supernode", "register", f"{keys.nodes[name]}.pub", "mine", "--name", name]
            print(_line(register))
        return 0
    histories = []
    with fleet.Fleet(out / "flower", {}, keys, host, port) as running:
        for cell, declared in zip(cells, jobs, strict=True):
            limits = {"wait": options.wait, "timeout": options.timeout}
            job = Job.made(out / "flower" / "jobs" / cell.file, declared, limits)
            running.submit(job)
            running.finish(job, lambda text: print(text, flush=True))
            histories.append(job.history())
            save_arrays(histories[-1], out)
    join_audits(out / AUDIT, [(cell, out / "flower" / "jobs" / cell.file) for cell in cells])
    if "scores" in home:
        for cell, declared, history in zip(cells, jobs, histories, strict=True):
            print(kept_home(cell.file, declared, history))
        return 0
    replace_text(out / "results.csv", csv_text(results_of(histories)))
    print(table(histories))
    return 0


def kept_home(name: str, declared: Declaration, history: History) -> str:
    """What is said of a training in place of its scores."""
    ended = f" ({history.stopped})" if history.stopped else ""
    where = f"{declared.digest}/{SCORES} in each one's --state"
    return (
        f"{name}: played to round {history.rounds_done}{ended}. Its scores stay with their owners: {where}."
    )


def join(options: Namespace, said: Namespace) -> int:
    """`flower client`: one owner's part. It goes on until Ctrl-C, and comes back when it was cut off."""
    for name in ("server", "name", "schema"):
        if not getattr(said, name):
            raise UserError(f"flower client needs --{name}: {MACHINES[name][1]}.")
    place = {"data": Path(options.data), "schema": Path(said.schema), "state": Path(said.state or "state")}
    config = {**{name: path.absolute() for name, path in place.items()}, "name": said.name}
    if said.home:
        demanded(given.names(said.home), HOME)  # refuses an unknown name
        config["home"] = said.home
    files = [Path(file).absolute() if file else None for file in (said.ca, said.key)]
    command = fleet.node_command(said.server, fleet.free_port(), config, *files)
    if said.print:
        print(_line(command))
        return 0
    for line in tables.overview([own.rows_of({name: str(value) for name, value in config.items()})]):
        print(line)
    home = (place["state"] / "flower").absolute()
    home.mkdir(parents=True, exist_ok=True)
    try:
        while True:
            words = [fleet.program(command[0]) or command[0], *command[1:]]
            code = subprocess.run(words, env=fleet.environment(home)).returncode
            print(f"The node ended ({code}); once more in {fleet.AGAIN:.0f} s. Ctrl-C ends it.", flush=True)
            time.sleep(fleet.AGAIN)
    finally:
        fleet.end(lambda: fleet.family(home))


def _line(command: Sequence[str]) -> str:
    return shlex.join(command)

"""The processes of Flower: one SuperLink, a SuperNode for each client; started, watched and ended.

Every one of them, their children too, has this fleet's folder in its environment (FLWR_HOME): by that it is
found again, and nothing else is ever ended.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pfmsm_lite.engine.jobs import Job
from pfmsm_lite.errors import UserError

APP = Path(__file__).with_name("app")
HOST = "127.0.0.1"
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
GRACE = 8.0  # seconds from SIGTERM to SIGKILL
AGAIN = 15.0  # seconds until a node that ended is started again: at once it would be refused
READY = 120.0  # seconds that a process may take to start
KNOWN = "code: 23"  # what Flower says of a key that its database holds already


class Keys(NamedTuple):
    """Files of TLS and of a node's key. ca: who signed the server's certificate."""

    ca: Path
    certificate: Path | None = None
    server_key: Path | None = None
    nodes: Mapping[str, Path] = {}


def missing() -> str:
    """Why nothing of Flower can be started here, or ""."""
    if program("flower-superlink") is None:
        return "Flower is not installed here: python -m pip install 'flwr==1.42.*', or pfmsm-lite[flower]."
    if os.name != "posix":
        return (
            "The processes of Flower are started on Linux and macOS only; elsewhere use docker-compose.yml."
        )
    return ""


def program(name: str) -> str | None:
    """A program of Flower beside this Python, or on the path."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


def environment(home: Path) -> dict[str, str]:
    """What all processes are started with. home: where Flower keeps what it installs and writes."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # children find programs
    python = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
    own = {"FLWR_HOME": str(home), "PATH": path, "PYTHONPATH": python, "OMP_NUM_THREADS": "1"}
    return {**os.environ, **QUIET, **own, "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.05"}


def link_command(port: int, database: Path, host: str = HOST, keys: Keys | None = None) -> list[str]:
    """Start a SuperLink; with keys, only nodes whose key is registered may come."""
    how = ["--insecure"]
    if keys:
        how = ["--ssl-ca-certfile", str(keys.ca), "--ssl-certfile", str(keys.certificate),
               "--ssl-keyfile", str(keys.server_key), "--enable-supernode-auth"]  # fmt: skip
    where = ["--host", host, "--port", str(port), "--database", str(database)]
    return ["flower-superlink", *how, *where, "--disable-runtime-dependency-installation"]


def node_command(
    link: str, port: int, config: Mapping[str, Any], ca: Path | None = None, key: Path | None = None
) -> list[str]:
    """Start a SuperNode. link: host:port of the SuperLink;  port: its own, on loopback;  config: its own."""
    how = ["--root-certificates", str(ca)] if ca else ["--insecure"]
    how += ["--auth-supernode-private-key", str(key)] if key else []
    said = " ".join(f"{name}={json.dumps(str(value))}" for name, value in config.items())
    return ["flower-supernode", *how, "--superlink", link, "--host", HOST, "--port", str(port),
            "--node-config", said]  # fmt: skip


def profile(home: Path, port: int, host: str = HOST, ca: Path | None = None) -> None:
    """Write down for `flwr` where the SuperLink is."""
    home.mkdir(parents=True, exist_ok=True)
    how = f'root-certificates = "{ca}"' if ca else "insecure = true"
    text = f'[superlink]\ndefault = "mine"\n[superlink.mine]\naddress = "{host}:{port}"\n{how}\n'
    (home / "config.toml").write_text(text, encoding="utf-8")


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as own:
        own.bind((HOST, 0))
        return own.getsockname()[1]


def family(home: Path) -> list[int]:
    """Process ids of all that was started with this FLWR_HOME, children of children too; not of zombies."""
    wanted, found = f"FLWR_HOME={home}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    if Path("/proc/self/environ").exists():
        return found
    listed = subprocess.run(["ps", "-Aww", "-E", "-o", "pid=,command="], capture_output=True, text=True)
    lines = (line.split(None, 1) for line in listed.stdout.splitlines())
    return [int(own[0]) for own in lines if len(own) == 2 and wanted.decode() in own[1].split()]


def _parent(pid: int) -> int:
    """Who started a process; 0 where that is not known any more."""
    found = subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True)
    return int(found.stdout.strip() or 0)


def end(pids: Callable[[], list[int]], grace: float = GRACE) -> None:
    """SIGTERM, and after a while SIGKILL, until none of these is left."""
    for sign, limit in ((signal.SIGTERM, grace), (signal.SIGKILL, grace)):
        until, told = time.monotonic() + limit, set()
        while (left := pids()) and time.monotonic() < until:
            for pid in set(left) - told:  # a child may have come meanwhile
                with suppress(ProcessLookupError):
                    os.kill(pid, sign)
            told |= set(left)
            time.sleep(0.1)


class Fleet:
    """A SuperLink and its nodes. Use it as `with Fleet(...) as fleet`: it leaves no process.

    folder   for logs, Flower's own files and its database
    clients  name → node config, as in `flower.answer`; of those that are to run here
    keys     None: plain HTTP, on loopback only
    host, port  where the SuperLink listens; by default on loopback, at a port that is free
    app      folder of the app that is run
    """

    def __init__(
        self, folder: Path, clients: Mapping[str, Mapping[str, Any]], keys: Keys | None = None,
        host: str = HOST, port: int | None = None, app: Path = APP,
    ):  # fmt: skip
        if reason := missing():
            raise UserError(reason)
        if host != HOST and not keys:
            raise UserError(
                f"--host {host} is open to others, and without --tls anybody could come. Give --tls."
            )
        self.folder, self.home = folder.absolute(), folder.absolute() / "home"
        self.clients, self.keys, self.app = clients, keys, app
        self.host, self.port = host, port or free_port()
        self.reached = HOST if host == "0.0.0.0" else host  # from this machine
        self.processes: dict[str, subprocess.Popen] = {}
        self.again: dict[str, float] = {}  # when who ended is started again
        self.runs: dict[Path, str] = {}

    def __enter__(self) -> "Fleet":
        self.folder.mkdir(parents=True, exist_ok=True)
        end(lambda: family(self.home))  # of a fleet whose owner was killed
        profile(self.home, self.port, self.reached, self.keys.ca if self.keys else None)
        try:
            self.start_link()
            for name in self.clients:
                self.start_node(name)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def end(self) -> None:
        """End every process of this fleet, and wait for those that were started here."""
        end(lambda: [pid for pid in family(self.home) if pid != os.getpid()])
        for process in self.processes.values():
            process.wait()

    # ---- start ----

    def start_link(self) -> None:
        """The SuperLink; if there was one, with what it knew. Comes back when it listens."""
        database = self.folder / "state.db"
        knows = database.exists()
        command = link_command(self.port, database, self.host, self.keys)
        process, until = self._start("link", command), time.monotonic() + READY
        self._listening(process, until)
        for name, key in self.keys.nodes.items() if self.keys and not self.runs else ():
            try:
                self.flwr("supernode", "register", f"{key}.pub", "mine", "--name", name)
            except UserError as error:
                if not knows or KNOWN not in str(error):  # registered before the server was killed
                    raise

    def _listening(self, process, until):
        while time.monotonic() < until and process.poll() is None:
            with suppress(OSError), socket.create_connection((self.reached, self.port), 1):
                return
            time.sleep(0.2)
        raise UserError(f"The SuperLink did not start:\n{self.log('link')}")

    def start_node(self, name: str) -> None:
        """A client's SuperNode. It may still be refused, or on its way, when this comes back."""
        keys, key = self.keys, self.keys.nodes.get(name) if self.keys else None
        link = f"{self.reached}:{self.port}"
        command = node_command(link, free_port(), self.clients[name], keys.ca if keys else None, key)
        self._start(name, command)

    def kill(self, name: str) -> None:
        """SIGKILL, without a warning, for a client's node and all that it started, or for "link"."""
        home, first = self.home, self.processes[name].pid
        parents = {pid: _parent(pid) for pid in family(home)}
        found = {first}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.processes[name].wait()

    def _start(self, name, command):
        with (self.folder / f"{_file(name)}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [program(command[0]) or command[0], *command[1:]], env=environment(self.home), stdout=log,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=self.folder, start_new_session=True,
            )  # fmt: skip
        return self.processes[name]

    def log(self, name: str, last: int = 2000) -> str:
        """The end of what a process wrote."""
        file = self.folder / f"{_file(name)}.log"
        return file.read_text(encoding="utf-8", errors="replace")[-last:] if file.exists() else ""

    # ---- a training ----

    def flwr(self, *words: str) -> str:
        """A command of Flower's client; what it printed. Raises UserError where it failed."""
        found = subprocess.run(
            [program("flwr") or "flwr", *words], env=environment(self.home), capture_output=True, text=True,
            cwd=self.folder, timeout=READY,
        )  # fmt: skip
        if found.returncode:
            raise UserError(f"flwr {words[0]} failed:\n{found.stdout[-1500:]}{found.stderr[-1500:]}")
        return found.stdout

    def submit(self, job: Job) -> None:
        """Let the SuperLink start a job's server."""
        for word in ("history.pt", "error.txt"):
            (job.folder / word).unlink(missing_ok=True)
        config = f"folder={json.dumps(str(job.folder.absolute()))}"
        said = json.loads(self.flwr("run", str(self.app), "mine", "--run-config", config, "--format", "json"))
        self.runs[job.folder] = str(said.get("run-id", ""))

    def finish(self, job: Job, tell: Callable[[str], None] = lambda text: None, watch: bool = True) -> None:
        """Wait for a job's end; meanwhile start again what has ended, if `watch` says so.

        A SuperLink that ended takes the job with it: both are begun again, and the job goes on after its
        last round.
        """
        looked, said = time.monotonic(), job.said
        while not job.ended:
            time.sleep(0.2)
            said = _tell_new(job.folder / "log.txt", said, tell)
            if watch:
                self.restore(job, tell)
            if time.monotonic() - looked > 60:
                looked = time.monotonic()
                if self.status(job).startswith("finished") and not job.ended:
                    raise UserError(f"The server's process ended without a result:\n{self.log('link')}")

    def status(self, job: Job) -> str:
        """What Flower says of a job: running, finished:failed, …; "" where it cannot be asked."""
        try:
            found = json.loads(self.flwr("ls", "mine", "--run-id", self.runs[job.folder], "--format", "json"))
            return str(found["runs"][0]["status"])
        except (UserError, ValueError, KeyError, IndexError, subprocess.TimeoutExpired):
            return ""

    def restore(self, job: Job | None = None, tell: Callable[[str], None] = lambda text: None) -> None:
        """Start again what has ended: nodes after a while, for at once they would be refused."""
        if self.processes["link"].poll() is not None:
            tell("The SuperLink ended. It is started again, and the training goes on after its last round.")
            self.start_link()
            if job is not None:
                self.submit(job)
        for name in self.clients:
            if self.processes[name].poll() is None:
                continue
            if name not in self.again:
                tell(f"The node of {name} ended. It is started again in {AGAIN:.0f} s.")
                self.again[name] = time.monotonic() + AGAIN
            elif time.monotonic() > self.again[name]:
                del self.again[name]
                self.start_node(name)


def _file(name: str) -> str:
    """A name as that of a file."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)


def _tell_new(log: Path, said: int, tell: Callable[[str], None]) -> int:
    """Tell the lines of a log after the first `said`; returns how many there are."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    for line in lines[said:]:
        tell(line)
    return len(lines)

"""Real processes: the same bits as in one, whatever is killed, and nothing left behind."""

import contextlib
import csv
import filecmp
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import SMALL, scenarios

from pfmsm_lite import METHODS, Settings
from pfmsm_lite.engine import ClientSide, conduct, declaration, in_process
from pfmsm_lite.engine.fleet import HOST, Fleet, Keys, environment, family, free_port, node_command, program
from pfmsm_lite.engine.here import clients_of
from pfmsm_lite.engine.jobs import Job
from pfmsm_lite.errors import UserError

if importlib.util.find_spec("flwr") is None:
    pytest.skip("flwr is not installed: make test-flower installs it", allow_module_level=True)
if not Path("/proc/self/environ").exists():
    pytest.skip("processes and ports are looked up in /proc", allow_module_level=True)

pytestmark = pytest.mark.timeout(2400)  # a busy machine takes its time
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PF = METHODS["pf_msmtrec"]


def same(one, other):
    """Two histories are equal in all but the time that they took."""
    assert one.units == other.units and one.clients == other.clients
    for name, values in one.arrays.items():
        assert np.array_equal(np.stack(values), np.stack(other.arrays[name]), equal_nan=True), name
    plain = [[[*line[:5], *line[6:]] for line in history.lines] for history in (one, other)]
    assert repr(plain[0]) == repr(plain[1])
    assert repr(one.best) == repr(other.best) and one.best_round == other.best_round


def listening(home):
    """Addresses on which processes of this fleet listen, as /proc writes them."""
    inodes = set()
    for pid in family(home):
        try:
            for link in (Path("/proc") / str(pid) / "fd").iterdir():
                inodes.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue
    lines = [
        x.split() for file in ("tcp", "tcp6") for x in Path(f"/proc/net/{file}").read_text().splitlines()[1:]
    ]
    return {own[1].partition(":")[0] for own in lines if own[3] == "0A" and own[9] in inodes}


def commanded(words, folder):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}
    env["MPLCONFIGDIR"] = str(folder / "matplotlib")  # its own lists of fonts
    for name in ("home", "tmp", "work"):
        (folder / name).mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "pfmsm_lite", *words], env=env, cwd=folder / "work", text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


DATA = ["--knob", "sizes=(240,160,160)", "--knob", "relatedness=(0,0,1)", "--knob", "test_rows=160"]
EQUAL = ("results.csv", "predictions.csv", "metrics.csv", "sources.csv", "models/pf_msmtrec-0.pt")


def test_the_command_gives_the_table_and_the_files_of_run(tmp_path):
    words = [*DATA, "--methods", "pf_msmtrec", "--seeds", "0", "--rounds", "2"]
    process, seen = commanded(["flower", *words, "--out", "by_flower"], tmp_path), set()
    home = tmp_path / "work" / "by_flower" / "flower" / "home"

    def look():
        while process.poll() is None:
            seen.update(listening(home))
            time.sleep(0.5)

    watcher = threading.Thread(target=look)
    watcher.start()
    printed, told = process.communicate(timeout=1500)
    watcher.join()
    assert process.returncode == 0, told
    # nothing listens but on 127.0.0.1, no process is left, nothing is written but in --out
    assert seen == {"0100007F"}
    assert not family(home)
    assert not list((tmp_path / "home").iterdir()) and not list((tmp_path / "tmp").iterdir())
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["by_flower"]
    # the same table, the same files
    process = commanded(["run", *words, "--out", "by_run"], tmp_path)
    usual, _ = process.communicate(timeout=300)

    def table(text):
        lines = text[text.index("AUC on test rows") : text.index("Should these")].splitlines()
        return [x.split()[: -1 if x.startswith("pf_msmtrec ") else None] for x in lines]  # not the seconds

    assert table(printed) == table(usual)
    work = tmp_path / "work"
    files = {path.name for path in (work / "by_run").iterdir()}
    assert {path.name for path in (work / "by_flower").iterdir()} == files | {"audit.csv"}
    for name in EQUAL:
        assert filecmp.cmp(work / "by_flower" / name, work / "by_run" / name, shallow=False), name
    rows = [
        pd.read_csv(work / run / "history.csv").drop(columns="seconds") for run in ("by_flower", "by_run")
    ]
    assert rows[0].equals(rows[1])
    audit = pd.read_csv(work / "by_flower" / "audit.csv")
    sent = audit[(audit["direction"] == "up") & audit["round"].isin([1, 2]) & (audit["name"] != "head")]
    sums = sent.groupby(["round", "client"])["bytes"].sum()
    for line in rows[1].itertuples():
        assert sums[line.round, line.scenario] == line.bytes


@pytest.mark.slow
def test_an_interrupted_command_goes_on_with_resume_and_ends_as_run_does(tmp_path):
    """Ctrl-C after round 1; `flower --resume` plays the other rounds, and no round once more."""
    words = [*DATA, "--methods", "pf_msmtrec", "--seeds", "0", "--rounds", "3"]
    process = commanded(["flower", *words, "--out", "by_flower"], tmp_path)
    work = tmp_path / "work"
    log, home = work / "by_flower" / "log.txt", work / "by_flower" / "flower" / "home"
    # the letters of round 2 bring the scores of round 1: then it is done
    wait_for(lambda: process.poll() is not None or (log.exists() and "letters 2:" in log.read_text()), 900)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130 and "python -m pfmsm_lite flower --resume by_flower" in told
    assert not family(home) and not (work / "by_flower" / "results.csv").exists()
    process = commanded(["flower", "--resume", "by_flower"], tmp_path)
    _, told = process.communicate(timeout=1500)
    assert process.returncode == 0, told
    assert not family(home)
    rounds = re.findall(r"letters (\d):|(goes on after round \d)", log.read_text())
    assert ["".join(found) for found in rounds] == ["1", "2", "goes on after round 2", "3", "4"]
    process = commanded(["run", *words, "--out", "by_run"], tmp_path)
    process.communicate(timeout=300)
    for name in EQUAL:
        assert filecmp.cmp(work / "by_flower" / name, work / "by_run" / name, shallow=False), name
    audit = pd.read_csv(work / "by_flower" / "audit.csv")
    assert set(audit["round"]) == {0, 1, 2, 3, 4}


# ---- what goes wrong ----


@pytest.fixture
def three(tmp_path):
    """Three scenarios, their nodes' configs, a declaration of some rounds, and who tells what happens."""
    data = scenarios(3)

    def made(rounds, **options):
        names = [own.name for own in data]
        return declaration(PF, Settings(**{**SMALL, **options}), 5, rounds, names)

    return data, clients_of(data, tmp_path), made


def in_one(data, declared, lost=()):
    return conduct(declared, in_process([ClientSide(own) for own in data], lost))


def wait_for(found, seconds=300):
    until = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.1)


@pytest.mark.slow
def test_the_round_goes_on_without_who_was_killed_or_is_too_slow(three, tmp_path, monkeypatch):
    """Round 2: s1's ClientApp dies after saving; 3: s0's SuperNode is killed; 4: s2 is too slow."""
    data, clients, made = three
    (tmp_path / "done").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setenv("FAULTS", json.dumps({"s1": {"2": ["die after", 0]}, "s2": {"4": ["slow", 170]}}))
    monkeypatch.setenv("FAULTS_DONE", str(tmp_path / "done"))
    declared = made(6)
    with Fleet(tmp_path / "fleet", clients, app=HERE / "app") as fleet:
        job = Job.made(tmp_path / "job", declared, {"timeout": 150})
        fleet.submit(job)
        log = job.folder / "log.txt"
        wait_for(lambda: log.exists() and "letters 2:" in log.read_text(), 600)
        fleet.kill("s0")
        fleet.finish(job)
        told = log.read_text()
    assert not family(fleet.home)
    assert (tmp_path / "done" / "s1-2").exists() and (tmp_path / "done" / "s2-4").exists()
    for name, number in (("s1", 2), ("s0", 3), ("s2", 4)):
        assert f"letters {number}: 2 of 3" in told, told
        assert f"{name} did not answer" in told
    assert all(f"letters {number}: 3 of 3" in told for number in (1, 5, 6, 7)), told
    lost = [(2, "s1", "answer"), (3, "s0", "letter"), (4, "s2", "answer")]
    same(job.history(), in_one(data, declared, lost))


@pytest.mark.slow
def test_a_training_whose_superlink_is_killed_goes_on_with_the_same_bits(three, tmp_path):
    """Nodes are started in another order, too, and a share of the clients is drawn."""
    data, clients, made = three
    declared = made(4, sample=0.7)
    with Fleet(tmp_path / "fleet", dict(reversed(clients.items()))) as fleet:
        job = Job.made(tmp_path / "job", declared, {})
        fleet.submit(job)
        log = job.folder / "log.txt"
        wait_for(lambda: log.exists() and "letters 2:" in log.read_text(), 600)
        fleet.kill("link")
        told = []
        fleet.finish(job, told.append)
    assert not family(fleet.home)
    assert any("SuperLink ended" in line for line in told) and "goes on after round" in log.read_text()
    same(job.history(), in_one(data, declared))


@pytest.mark.slow
def test_too_few_nodes_are_named_after_a_while(three, tmp_path):
    data, clients, made = three
    with Fleet(tmp_path / "fleet", {name: clients[name] for name in ("s0", "s2")}) as fleet:
        job = Job.made(tmp_path / "job", made(1), {"wait": 60})
        fleet.submit(job)
        fleet.finish(job)
    with pytest.raises(UserError, match="2 of 3 clients are there; missing: s1"):
        job.history()
    assert not family(fleet.home)


# ---- keys, and machines apart ----


def made_keys(folder):
    """By the very commands of deploy/README.md."""
    folder.mkdir()
    text = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
    assert len(blocks) == 2
    subprocess.run(["bash", "-e"], input=blocks[0], cwd=folder, text=True, check=True, capture_output=True)
    for name in ("a", "b", "stranger"):
        subprocess.run(["bash", "-e"], input=blocks[1].replace("-f a", f"-f {name}"), cwd=folder, text=True,
                       check=True)  # fmt: skip
    return Keys(
        folder / "ca.crt", folder / "server.pem", folder / "server.key", {n: folder / n for n in "ab"}
    )


@pytest.mark.slow
def test_a_server_with_keys_that_was_killed_starts_again_with_the_same_command(tmp_path):
    keys = made_keys(tmp_path / "keys")
    for _ in range(2):  # the second finds the database of the first, and the keys in it
        running = Fleet(tmp_path / "fleet", {}, keys)
        running.__enter__()
        running.processes["link"].kill()  # nobody tidies up
        running.processes["link"].wait()
    twice = keys._replace(nodes={"a": keys.nodes["a"], "b": keys.nodes["a"]})
    with pytest.raises(UserError, match="already in use"), Fleet(tmp_path / "new", {}, twice):
        pass


def made_owners(folder):
    """a/ and b/ with a table each; returns the schema that both have."""
    generator, schema = np.random.default_rng(0), folder / "schema.json"
    schema.write_text(json.dumps({"tasks": ["click"], "categorical": {"item": 64, "kind": ["x", "y"]},
                                  "numerical": ["price"], "gaps": ["price"]}))  # fmt: skip
    for name, gap in (("a", True), ("b", False)):
        rows = 120
        frame = pd.DataFrame({
            "item": generator.integers(0, 20, rows), "kind": generator.choice(["x", "y"], rows),
            "price": generator.random(rows), "click": generator.integers(0, 2, rows), "note": "secret",
        })  # fmt: skip
        if gap:
            frame.loc[::7, "price"] = np.nan
        (folder / name).mkdir()
        frame.to_parquet(folder / name / "own.parquet")
    return schema


@pytest.mark.slow
def test_scores_and_rows_stay_with_owners_that_demand_it(tmp_path):
    schema, port = made_owners(tmp_path), free_port()
    own, pipes = (
        [sys.executable, "-m", "pfmsm_lite", "flower"],
        {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True,
         "env": {**os.environ, "PYTHONPATH": str(ROOT)}},
    )  # fmt: skip
    server = subprocess.Popen(
        [*own, "server", "--clients", "a,b", "--port", str(port), "--rounds", "1", "--out", "run",
         "--home", "scores,rows", "--entries", "named", "--batch-size", "32"], cwd=tmp_path, **pipes,
    )  # fmt: skip
    clients = [
        subprocess.Popen(
            [*own, "client", "--name", name, "--data", "own.parquet", "--schema", str(schema), "--server",
             f"{HOST}:{port}", "--home", "rows,scores"], cwd=tmp_path / name, **pipes,
        )
        for name in ("a", "b")
    ]  # fmt: skip
    try:
        printed, _ = server.communicate(timeout=1500)
    finally:
        for process in (server, *clients):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        told = [process.communicate(timeout=120)[0] for process in clients]
    assert server.returncode == 0, (printed, told)
    assert (
        "pf_msmtrec-0: played to round 1. Its scores stay with their owners" in printed
        and "AUC" not in printed
    )
    assert not (tmp_path / "run" / "results.csv").exists()
    place = re.search(r"(\w+)/scores.csv", printed)[1]
    for name in ("a", "b"):
        scores = pd.read_csv(tmp_path / name / "state" / place / "scores.csv")
        assert set(scores["scenario"]) == {name} and set(scores["round"]) == {1}
        assert (scores["rows"] > 0).all() and scores["logloss"].notna().all()


@pytest.mark.slow
def test_owners_with_tables_of_their_own_train_over_tls_and_strangers_are_refused(tmp_path):
    """`flower server` and two `flower client`, each in a folder of its own; and who is not let in."""
    keys, schema = made_keys(tmp_path / "keys"), made_owners(tmp_path)
    port, env = free_port(), {**os.environ, "PYTHONPATH": str(ROOT)}
    words = ["flower", "server", "--clients", "a,b", "--tls", str(keys.ca.parent), "--port", str(port),
             "--rounds", "1", "--out", str(tmp_path / "run"), "--batch-size", "32"]  # fmt: skip
    own = [sys.executable, "-m", "pfmsm_lite"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": env}
    server = subprocess.Popen([*own, *words], cwd=tmp_path, **pipes)
    wait_for(lambda: (tmp_path / "run" / "flower" / "jobs").exists() or server.poll() is not None)
    assert server.poll() is None, server.stdout.read()

    def node(ca, key):
        config = {
            "data": tmp_path / "a" / "own.parquet",
            "schema": schema,
            "name": "a",
            "state": tmp_path / "x",
        }
        command = node_command(f"{HOST}:{port}", free_port(), config, ca, key)
        home = tmp_path / "stranger"
        home.mkdir(exist_ok=True)
        return subprocess.Popen([program(command[0]), *command[1:]], env=environment(home), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    (tmp_path / "other").mkdir()
    another = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=other -keyout o.key -out o.crt"
    subprocess.run(another.split(), cwd=tmp_path / "other", check=True, capture_output=True)
    refused = {
        "a stranger's key": node(keys.ca, keys.ca.parent / "stranger"),
        "no key": node(keys.ca, None),
        "plain HTTP": node(None, None),
        "another CA": node(tmp_path / "other" / "o.crt", keys.nodes["a"]),
    }
    clients = [
        subprocess.Popen(
            [*own, "flower", "client", "--name", name, "--data", "own.parquet", "--schema", str(schema),
             "--server", f"{HOST}:{port}", "--ca", str(keys.ca), "--key", str(keys.nodes[name])],
            cwd=tmp_path / name, **pipes,
        )
        for name in ("b", "a")
    ]  # fmt: skip
    try:
        printed, _ = server.communicate(timeout=1500)
        assert server.returncode == 0, printed
        said = {}
        for what, process in refused.items():
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):  # one that is still trying hangs
                    process.wait(8)
                process.kill()
            said[what] = process.communicate(timeout=120)[0]
    finally:
        for process in (server, *clients):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        told = [process.communicate(timeout=120)[0] for process in clients]
    for what, text in said.items():
        assert "SuperNode ID" not in text, (what, text)
    assert not (tmp_path / "x").exists()  # no stranger was given a letter
    assert "pf_msmtrec" in printed and (tmp_path / "run" / "results.csv").exists()
    results = pd.read_csv(tmp_path / "run" / "results.csv")
    assert set(results["scenario"]) == {"a", "b"}
    with open(tmp_path / "run" / "audit.csv", encoding="utf-8") as file:
        audit = list(csv.DictReader(file))
    assert {line["client"] for line in audit} == {"a", "b"}
    for name in ("a", "b"):  # each keeps its state at home
        assert list((tmp_path / name / "state").rglob("2.pt"))
    assert not any("secret" in text for text in told)
    for home in (
        tmp_path / "run" / "flower" / "home",
        tmp_path / "a" / "state" / "flower",
        tmp_path / "stranger",
    ):
        assert not family(home), home

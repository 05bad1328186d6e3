"""What can be read from what leaves a client, and what bounds cost: measured, file by file, resumable.

python -m pfmsm_lite.lab.privacy --out notebooks/results/privacy               what is not there yet
python -m pfmsm_lite.lab.privacy --out … --parts epsilon --data kuairand --data-dir DIR

A part is one CSV file. A cell that has its rows there is not trained again.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import pfmsm_lite.lab  # noqa: F401  the rivals and the private clients
from pfmsm_lite.client import evaluate
from pfmsm_lite.data import read_kuairand, synthetic
from pfmsm_lite.embedding import in_use
from pfmsm_lite.federation import Federation, listed
from pfmsm_lite.history import average_auc
from pfmsm_lite.lab.versions import machine, versions
from pfmsm_lite.lab.writing import csv_text, replace_text
from pfmsm_lite.methods import METHODS, Method, Settings
from pfmsm_lite.scenario import Rows, Scenario
from pfmsm_lite.trust import dp, leaks

Line = dict[str, Any]
SIZES, ROUNDS, DELTA = (1200, 600, 300) * 2, 6, 1e-5
LEVELS = ("open", "inf", "10", "3", "1")  # clients in the open; clipped without noise; then ε
KUAIRAND = {"unknown_rate": 0.5, "embedding_optimizer": "adam"}
KEEP = {"train": 2000, "valid": 1000, "test": 4000}  # rows of a tab of KuaiRand, drawn anew with each seed
LARGE = {"user": 1500, "item": 1000, "category": 20, "hour": 24}  # so that many entries are not used
BATCHES, TRIES = (1, 2, 4, 8, 16, 32), 40


def data_of(name: str, seed: int, folder: str = "") -> tuple[list[Scenario], tuple | None]:
    """(scenarios, the cluster of each or None): new data with each seed, of KuaiRand another sample."""
    if name == "synthetic":
        scenarios, truth = synthetic(sizes=SIZES, test_rows=1000, seed=seed)
        return scenarios, truth.clusters
    draw = torch.Generator().manual_seed(seed)

    def some(rows: Rows, most: int) -> Rows:
        chosen = torch.randperm(len(rows.labels), generator=draw)[:most].sort().values
        return Rows(*(None if part is None else part[chosen] for part in rows))

    whole = read_kuairand(folder)
    return [replace(s, **{k: some(s.rows(k), most) for k, most in KEEP.items()}) for s in whole], None


def settings_of(level: str, method: Method, rounds: int = ROUNDS, **more) -> Settings:
    """Settings at a level of LEVELS."""
    if level == "open":
        return Settings(**more)
    if level == "inf":
        return Settings(client="private", dp_noise=0.0, **more)
    return dp.with_epsilon(Settings(client="private", **more), [method], rounds, float(level), DELTA)


def play(federation: Federation, rounds: int, after: Callable[[dict, list], None] | None = None) -> list:
    """Some rounds; after: called with (record, uploads) of each. Returns the uploads of the last."""
    kept: list = []
    for client in federation.clients:
        client.upload = _keeping(client.upload, kept)
    for _ in range(rounds):
        kept.clear()
        _, _, accepted = federation.train()
        record = federation.serve(accepted)
        federation.personalize()
        if after:
            after(record, kept)
    return kept


def _keeping(upload, kept):
    def keep():
        kept.append(upload())
        return kept[-1]

    return keep


# ---- AUC, cosines and weights against ε; membership, in the same trainings ----


def groups_of(stack: np.ndarray, clusters: tuple | None) -> tuple[float, float]:
    """Means of [U, N, N] over pairs of other clients: of one's own cluster, of the other ones."""
    other = ~np.eye(stack.shape[1], dtype=bool)
    alike = np.ones_like(other) if clusters is None else np.equal.outer(clusters, clusters)
    within, across = stack[:, other & alike], stack[:, other & ~alike]
    return float(within.mean()), float(across.mean()) if across.size else math.nan


def sent_auc(federation: Federation, split: str) -> float:
    """Mean AUC of the models as the server sent them, without a second model at home."""
    lines = []
    for c in federation.clients:
        lines += evaluate(c.views, c.tasks, lambda rows, c=c: c.logits(rows, c.model).sigmoid(), split)
    return average_auc(lines)


def epsilon(name: str, method: str, level: str, seed: int, folder: str) -> tuple[list[Line], list[Line]]:
    """One training: (a line of epsilon.csv, lines of membership.csv)."""
    scenarios, clusters = data_of(name, seed, folder)
    how, more = METHODS[method], KUAIRAND if name == "kuairand" else {}
    settings = settings_of(level, how, **more)
    federation = Federation(scenarios, how, settings, seed)
    cosines, weights, scores, started = [], [], [], time.monotonic()

    def after(record, uploads):
        cosines.append(groups_of(record["cosine_before"].numpy(), clusters))
        weights.append(groups_of(record["weights"].numpy(), clusters))
        own = average_auc(federation.evaluate("valid")), average_auc(federation.evaluate("test"))
        scores.append((*own, sent_auc(federation, "valid"), sent_auc(federation, "test")))

    uploads = play(federation, ROUNDS, after)
    table = np.array(scores)
    cosine, weight = np.mean(cosines, axis=0), np.array(weights[-1])
    key = {"data": name, "method": method, "epsilon": level, "seed": seed}
    line = {
        **key,
        "noise": settings.dp_noise if level != "open" else 0.0,
        "auc_used": table[table[:, 0].argmax(), 1],
        "auc_sent": table[table[:, 2].argmax(), 3],
        "auc_last": table[-1, 1],
        "cosine_within": cosine[0], "cosine_across": cosine[1],
        "weight_within": weight[0], "weight_across": weight[1],
        "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip
    start = Federation(scenarios, how, settings, seed).clients
    members = [
        {**key, "attacker": attacker, "scenario": c.name, "auc": leaks.membership(c, model)}
        for c, s, upload in zip(federation.clients, start, uploads, strict=True)
        for attacker, model in (
            ("the server", leaks.seen_by_server(s, upload)),
            ("who has the client's model", c.model),
            ("who has the model at home", c.used),
        )
    ]
    return [line], members


# ---- switches ----


def hashed(scenarios: list[Scenario]) -> list[Scenario]:
    """The same rows, each value of a field in a bucket drawn for it, with as many buckets as values."""
    draw, found = torch.Generator().manual_seed(99), []
    maps = [
        torch.cat([torch.zeros(1), torch.randint(1, size, (size - 1,), generator=draw)]).long()
        for size in scenarios[0].fields.values()
    ]
    for s in scenarios:
        parts = {}
        for split in KEEP:
            rows = s.rows(split)
            ids = torch.stack([own[rows.categorical[:, f].long()] for f, own in enumerate(maps)], 1)
            parts[split] = rows._replace(categorical=ids)
        found.append(replace(s, **parts))
    return found


PF = METHODS["pf_msmtrec"]
SWITCHES: dict[str, tuple[Method, dict, bool]] = {  # what is switched → method, settings, whether hashed
    "as declared": (PF, {}, False),
    "entries named": (PF, {"entries": "named"}, False),
    "entries whole": (PF, {"entries": "whole"}, False),
    "values hashed": (PF, {}, True),
    "no validation gradients": (replace(PF, aggregate="partners"), {}, False),
    "no base rate at home": (replace(PF, intercept="none"), {}, False),
    "rule used": (replace(PF, embedding="used"), {}, False),
    "rule used, entries named": (replace(PF, embedding="used"), {"entries": "named"}, False),
    "rule used, entries whole": (replace(PF, embedding="used"), {"entries": "whole"}, False),
}


def switches(name: str, seed: int) -> list[Line]:
    """What a switch costs: AUC of the best and of the last round; a client's bytes, of tensors alone, in its
    first message, up and down in round 1."""
    method, settings, in_buckets = SWITCHES[name]
    scenarios, _ = data_of("synthetic", seed)
    scenarios = hashed(scenarios) if in_buckets else scenarios
    federation, scores, up = Federation(scenarios, method, Settings(**settings), seed), [], []

    def after(record, uploads):
        scores.append([average_auc(federation.evaluate(split)) for split in ("valid", "test")])
        up.append(np.mean(federation.sent))

    play(federation, ROUNDS, after)
    table = np.array(scores)
    return [
        {
            "switch": name, "seed": seed, "auc": table[table[:, 0].argmax(), 1], "auc_last": table[-1, 1],
            "first": np.mean([weight(client.first_message()) for client in federation.clients]),
            "up": up[0],
            "down": np.mean([weight(federation.server.current(n)) for n in range(len(federation.clients))]),
        }
    ]  # fmt: skip


def weight(message: dict[str, torch.Tensor]) -> int:
    """Bytes of a message's tensors."""
    return sum(size for _, _, size in listed(message))


# ---- entries from uploads ----


def entries(kind: str, level: str, seed: int) -> list[Line]:
    """What one round's upload tells of the entries that training rows name: means over clients."""
    scenarios, _ = synthetic(sizes=SIZES, test_rows=1000, fields=LARGE, seed=seed)
    settings = settings_of(level, PF, entries=kind)
    federation = Federation(scenarios, PF, settings, seed)
    received = [c.model.embedding.weight.detach().clone() for c in federation.clients]
    offset = torch.tensor([0, *scenarios[0].fields.values()]).cumsum(0)[:-1]
    federation.train()
    found = []
    for scenario, client, before in zip(scenarios, federation.clients, received, strict=True):
        upload = client.upload()
        numbers = upload["embedding.entries"].long()
        own = in_use(scenario.train, offset)[0]
        universe = sum(scenario.fields.values())
        truth = torch.isin(torch.arange(universe), own)
        named, moved = torch.zeros(universe, dtype=torch.bool), torch.zeros(universe)
        named[numbers] = True
        moved[numbers] = leaks.changes(before[client.in_use], upload["embedding.weight"])
        ways = {
            "the numbers that it sends": (named, named.float()),
            "what moved at all": (moved > 0, moved),
            "what moved most": (leaks.likeliest(moved, int(truth.sum())), moved),
        }
        for way, (guess, evidence) in ways.items():
            precision, recall = leaks.precision_and_recall(guess, truth)
            auc = leaks.separates(evidence, truth)
            found.append(
                {
                    "way": way,
                    "precision": precision,
                    "recall": recall,
                    "auc": auc,
                    "base": float(truth.float().mean()),
                }
            )
    means = pd.DataFrame(found).groupby("way", sort=False).mean().reset_index()
    return means.assign(entries=kind, epsilon=level, seed=seed).to_dict("records")


# ---- labels from an update ----


COUNTED = [(attack, "open") for attack in ("gradient", "step", "blind")]
COUNTED += [("gradient", level) for level in LEVELS[1:]]  # attack, level of LEVELS


def labels(seed: int, warm: int) -> list[Line]:
    """How often a mini-batch's positives are counted exactly from one step, after `warm` rounds."""
    scenarios, _ = data_of("synthetic", seed)
    key = {"seed": seed, "rounds_before": warm}
    return [
        {**key, "rows": size, "attack": attack, "epsilon": level,
         "exact": _counted(scenarios, attack, level, size, warm, seed)}
        for attack, level in COUNTED
        for size in BATCHES
    ]  # fmt: skip


def _counted(scenarios, attack, level, size, warm, seed):
    """Share of (mini-batch, task) pairs whose positives are counted exactly."""
    client, model = _warmed(scenarios[0], scenarios, level, warm, seed)
    draw = torch.Generator().manual_seed(seed)
    ids = torch.stack([torch.randint(1, n, (500,), generator=draw) for n in scenarios[0].fields.values()], 1)
    numbers = torch.randn(500, len(scenarios[0].numericals), generator=draw)
    with torch.no_grad():  # what the server expects of the model that it sent; it knows no base rate
        predicted = model(ids, numbers).sigmoid().mean(0)
    rate, right = client.labels.mean(0), []
    for _ in range(TRIES):
        index = torch.randperm(len(client.labels), generator=draw)[:size]
        truth = client.labels[index].sum(0)
        if attack == "blind":
            guess = (size * rate).round()
        else:
            client.model.zero_grad()
            client.settings = replace(client.settings, dp_rate=min(size / len(client.labels), 0.999))
            client.backward(index)
            gradient = dict(client.model.named_parameters())[leaks.LAST_BIAS].grad.flatten()
            by = leaks.positives_by_sign if attack == "step" else leaks.positives_of
            guess = by(-gradient.sign() if attack == "step" else gradient, predicted, size)
        right.append((guess == truth).float().mean())
    return float(torch.stack(right).mean())


_kept: dict = {}


def _warmed(scenario, scenarios, level, rounds, seed):
    """The first client after some rounds, and its model as the server has it, all entries in place."""
    key = level, rounds, seed
    if key not in _kept:
        _kept.clear()
        federation = Federation(scenarios, PF, settings_of(level, PF, entries="whole"), seed)
        play(federation, rounds)
        start = Federation(scenarios, PF, settings_of(level, PF, entries="whole"), seed).clients[0]
        model = leaks.seen_by_server(start, federation.clients[0].upload())
        model.intercept.zero_()
        _kept[key] = federation.clients[0], model.eval()
    return _kept[key]


# ---- files ----


def cells(options: argparse.Namespace) -> Iterator[tuple[dict[str, Line], Callable[[], tuple]]]:
    """({file: what its rows are known by}, what makes the rows of each file, in this order)."""
    seeds = range(options.seeds)
    if "epsilon" in options.parts:
        for seed in seeds:
            for method in ("pf_msmtrec", "fedavg"):
                for level in LEVELS:
                    key = {"data": options.data, "method": method, "epsilon": level, "seed": seed}
                    work = options.data, method, level, seed, options.data_dir
                    yield {"epsilon": key, "membership": key}, lambda w=work: epsilon(*w)
    if options.data != "synthetic":
        return
    for seed in seeds:
        for name in SWITCHES if "switches" in options.parts else ():
            yield {"switches": {"switch": name, "seed": seed}}, lambda n=name, s=seed: (switches(n, s),)
        for kind in ("counted", "whole") if "entries" in options.parts else ():
            for level in LEVELS:
                key = {"entries": kind, "epsilon": level, "seed": seed}
                yield {"entries": key}, lambda k=kind, lv=level, s=seed: (entries(k, lv, s),)
        for warm in (0, 3) if "labels" in options.parts else ():
            yield {"labels": {"seed": seed, "rounds_before": warm}}, lambda s=seed, w=warm: (labels(s, w),)


def add(path: Path, key: Line, lines: list[Line] | None = None) -> bool:
    """Whether a file has rows of this key; with lines, they are added to it."""
    there = pd.read_csv(path, dtype={"epsilon": str}) if path.exists() else pd.DataFrame()
    if lines:
        both = pd.concat([there, pd.DataFrame(lines)]) if len(there) else pd.DataFrame(lines)
        replace_text(path, csv_text(both.round(5)))
    return bool(len(there)) and bool((there[list(key)] == pd.Series(key)).all(axis=1).any())


def main(words: list[str] | None = None) -> int:
    """Measure what is not there yet; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pfmsm_lite.lab.privacy", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--out", type=Path, default=Path("notebooks/results/privacy"), metavar="DIR")
    parser.add_argument("--parts", default="switches,entries,labels,epsilon", metavar="A,B")
    parser.add_argument("--data", default="synthetic", choices=("synthetic", "kuairand"))
    parser.add_argument("--data-dir", default="", metavar="DIR", help="folder of KuaiRand-Pure's files")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    options = parser.parse_args(words)
    options.parts, folder = options.parts.split(","), options.out
    torch.set_num_threads(1)
    for keys, work in cells(options):
        if all(add(folder / f"{file}.csv", key) for file, key in keys.items()):
            continue
        for (file, key), lines in zip(keys.items(), work(), strict=True):
            add(folder / f"{file}.csv", key, lines)
            print(file, *key.values(), flush=True)
    about = {"command": "python -m pfmsm_lite.lab.privacy", "date": time.strftime("%Y-%m-%d")}
    about |= {"sizes": SIZES, "rounds": ROUNDS, "delta": DELTA, "versions": versions(), "machine": machine()}
    replace_text(folder / "config.json", json.dumps(about, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

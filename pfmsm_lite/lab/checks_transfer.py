"""Check c: does a shared part transfer? Client m's part is put into client n, for all pairs, and measured."""

import math
from collections.abc import Iterable, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from pfmsm_lite.aggregation import cosines, kinship
from pfmsm_lite.federation import Federation
from pfmsm_lite.history import average_auc
from pfmsm_lite.lab.checks_data import groups_of
from pfmsm_lite.methods import METHODS, Settings
from pfmsm_lite.scenario import EVALUATED, Scenario

WORLDS = (
    "two groups, 1000 rows", "all alike, 1000 rows", "sixteen of 600 rows in four groups", "OULAD",
    "KuaiRand-Pure",
)  # fmt: skip
EXPERTS, TOWERS, BOTH = "experts", "towers", "both"
PARTS = {EXPERTS: ("expert.scenario",), TOWERS: ("tower",), BOTH: ("expert.scenario", "tower")}
ROUNDS = 10
METHOD = "no_blend"  # pf_msmtrec without its second model, which would answer in place of the first
LEARNED = ("weight", "kinship", "cosine")
PREDICTORS = ("weight", "cosine")  # those that are compared with what a part gained
SPEC = {"rounds": ROUNDS, "method": METHOD, "parts": PARTS, "splits": EVALUATED}
COLUMNS = ("round", "part", "split", "client", "source", "auc", "own", *LEARNED)
DRAWS = 1000  # of clients, for an interval; of orders of clients, for a p-value
Pairs = Sequence[tuple[np.ndarray, np.ndarray]]


def variants() -> list[tuple]:
    """One cell a seed."""
    return [()]


def measure(
    scenarios: list[Scenario], clusters: Sequence | None, variant: tuple, seed: int, **settings: Any
) -> pd.DataFrame:
    """Train by METHOD; in each round, before the server mixes, exchange the clients' parts.

    returns  DataFrame COLUMNS, a line for each split and each ordered pair of two clients. auc: of `client`
             on rows of the split, mean over tasks, with the part that `source` has just trained; own: with
             its own. weight: what the server then gave this source in the client's mixture; kinship: its
             share before rows count (see `kin`); cosine: of the two updates. Means over experts, or towers

    Validation rows have taught the rule its weights, so they flatter it; test rows have not. Nothing is
    chosen by either.
    """
    federation = Federation(scenarios, METHODS[METHOD], Settings(**settings), seed)
    names, lines = [client.name for client in federation.clients], []
    for number in range(1, ROUNDS + 1):
        _, _, accepted = federation.train()
        found = {
            (part, split): transfer(federation, PARTS[part], split) for part in PARTS for split in EVALUATED
        }
        federation.serve(accepted)
        for (part, split), aucs in found.items():
            predicted = {name: value.numpy() for name, value in learned(federation, PARTS[part][0]).items()}
            lines += [
                (number, part, split, names[n], names[m], aucs[n, m], aucs[n, n],
                 *(predicted[name][n, m] for name in LEARNED))
                for n, m in permutations(range(len(names)), 2)
            ]  # fmt: skip
    return pd.DataFrame(lines, columns=list(COLUMNS))


def transfer(federation: Federation, groups: Sequence[str], split: str) -> np.ndarray:
    """[N, N]: AUC on a split's rows, mean over tasks, of client n with client m's part; nothing is changed.

    groups  of parameters that are exchanged together. In shift k, client n has the part of client n + k, so
            N evaluations of all clients see all pairs
    """
    held = {group: federation.held(group) for group in groups}
    clients = federation.clients
    aucs = np.full((len(clients), len(clients)), np.nan)
    for shift in range(len(clients)):
        for group, stack in held.items():
            federation.put(group, stack.roll(-shift, 1))
        for n, client in enumerate(clients):
            aucs[n, (n + shift) % len(clients)] = average_auc(client.evaluate(split))
    for group, stack in held.items():
        federation.put(group, stack)
    return aucs


def learned(federation: Federation, group: str) -> dict[str, Tensor]:
    """What the server made of the round, [N, N] each: weight, kinship and cosine, means over units."""
    past = federation.block(group).previous
    gram = past.delta @ past.delta.transpose(-2, -1)
    kin = kinship(past.memory["helped"], past.memory["own"])
    return {"weight": past.weights.mean(0), "kinship": kin, "cosine": cosines(gram).mean(0)}


# ---- what a matrix says of another ----


def matrices(lines: pd.DataFrame, predictor: str = "weight") -> tuple[np.ndarray, np.ndarray]:
    """Of one seed, round and part: (gain, predictor) [N, N], row client, column source, NaN diagonals.

    gain  AUC points that the source's part gains over the client's own
    """
    names = list(dict.fromkeys(lines["client"]))
    table = lines.assign(gain=100 * (lines["auc"] - lines["own"]))
    found = (
        table.pivot(index="client", columns="source", values=value).reindex(index=names, columns=names)
        for value in ("gain", predictor)
    )
    gain, predicted = (part.to_numpy(float) for part in found)
    return gain, predicted


def row_ranks(matrix: np.ndarray) -> np.ndarray:
    """Each client's ranks of the other clients [N, N]: centred, in units of their number, 0 on the diagonal.

    Ranks within a row ask what the server decides: from whom should this client learn? That one client gains
    from everybody and another from nobody does not count. Equal values share their mean rank.
    """
    from scipy import stats

    found = np.zeros(matrix.shape)
    for n, row in enumerate(matrix):
        others = np.arange(len(row)) != n
        ranks = stats.rankdata(row[others])
        found[n, others] = (ranks - ranks.mean()) / len(ranks)
    return found


def agreement(first: np.ndarray, second: np.ndarray, times: np.ndarray | None = None) -> float:
    """Rank correlation in [−1, 1] of two matrices of `row_ranks` over their pairs; NaN if one is all ties.

    times  [N] how often each client counts, None: once. Where no ranks are tied and each counts once, it is
           the mean over clients of Spearman's correlation of their rows
    """
    each = np.ones(len(first)) if times is None else np.asarray(times, float)
    weight = np.outer(each, each)
    scale = (weight * first**2).sum() * (weight * second**2).sum()
    return float((weight * first * second).sum() / math.sqrt(scale)) if scale > 0 else math.nan


def interval(pairs: Pairs, seed: int = 0) -> tuple[float, float, float]:
    """(mean agreement over seeds, and a 95 % interval): seeds are drawn, and in each its clients.

    pairs  of each seed both `row_ranks` [N, N]. Entries of a matrix share their clients, so clients are drawn
    """
    generator, drawn = np.random.default_rng(seed), []
    for _ in range(DRAWS):
        chosen = [pairs[k] for k in generator.integers(len(pairs), size=len(pairs))]
        times = [np.bincount(generator.integers(len(a), size=len(a)), minlength=len(a)) for a, _ in chosen]
        drawn.append(_mean(agreement(*both, own) for both, own in zip(chosen, times, strict=True)))
    there = [value for value in drawn if not math.isnan(value)]
    low, high = np.percentile(there, [2.5, 97.5]) if there else (math.nan, math.nan)
    return _mean(agreement(*both) for both in pairs), float(low), float(high)


def mantel(pairs: Pairs, seed: int = 0) -> float:
    """p-value of the mean agreement over seeds: how often as large if the clients' names meant nothing.

    The clients of one matrix are put in another order, rows and columns alike (Mantel, Cancer Research,
    1967); one-sided. pairs: as for `interval`
    """
    observed = _mean(agreement(*both) for both in pairs)
    if math.isnan(observed):
        return math.nan
    generator, reached = np.random.default_rng(seed), 1
    for _ in range(DRAWS):
        orders = [generator.permutation(len(first)) for first, _ in pairs]
        moved = [(first, own[np.ix_(o, o)]) for (first, own), o in zip(pairs, orders, strict=True)]
        reached += _mean(agreement(*both) for both in moved) >= observed - 1e-12
    return reached / (DRAWS + 1)


def _mean(values: Iterable[float]) -> float:
    found = [value for value in values if not math.isnan(value)]
    return float(np.mean(found)) if found else math.nan


# ---- tables ----


def summary(lines: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """transfer.csv and transfer_pairs.csv.

    transfer.csv        by world, part, round, split and predictor: agreement, low, high, p (Mantel); the same
                        for both predictors: gain (AUC points, mean over pairs), and its means within groups
                        (kin) and between them (strangers), where the groups are known
    transfer_pairs.csv  the experts' pairs on test rows, means over seeds, in the last round
    """
    keys, found = ["world", "part", "round", "split"], []
    for (world, part, number, split), own in lines.groupby(keys, sort=False):
        known, gain = groups_of(world), 100 * (own["auc"] - own["own"])
        same = own["client"].map(known) == own["source"].map(known)
        spread = {
            "gain": gain.mean(),
            "kin": gain[same].mean() if known else math.nan,
            "strangers": gain[~same].mean() if known else math.nan,
        }
        for predictor in PREDICTORS:
            both = [matrices(one, predictor) for _, one in own.groupby("seed")]
            pairs = [(row_ranks(one), row_ranks(other)) for one, other in both]
            mean, low, high = interval(pairs)
            found.append({
                "world": world, "part": part, "round": number, "split": split, "predictor": predictor,
                "agreement": mean,
                "low": low, "high": high, "p": mantel(pairs), **spread, "seeds": len(pairs),
                "clients": len(pairs[0][0]),
            })  # fmt: skip
    last = lines[lines["round"] == lines["round"].max()]
    last = last[(last["part"] == EXPERTS) & (last["split"] == "test")]
    values = [*COLUMNS[COLUMNS.index("auc") :]]
    kept = last.groupby(["world", "client", "source"], sort=False)[values].mean().reset_index()
    return {"transfer.csv": pd.DataFrame(found), "transfer_pairs.csv": kept}

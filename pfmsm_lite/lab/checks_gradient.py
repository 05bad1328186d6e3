"""Check a: a server sees what training changed. How well does that stand for the true gradient?"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pfmsm_lite.aggregation import cosines
from pfmsm_lite.federation import Federation
from pfmsm_lite.history import average_auc, score
from pfmsm_lite.lab.statistics import paired_interval
from pfmsm_lite.methods import METHODS, Settings
from pfmsm_lite.scenario import Scenario

GROUP = "expert.scenario"
WORLDS = ("two groups, 1000 rows", "OULAD", "KuaiRand-Pure", "all alike, 1000 rows")
ROUNDS = {1: 6, 5: 3, 20: 2}  # local epochs → rounds
OPTIMIZERS = {  # name → (the method's optimizer_state, learning rate)
    "SGD": ("sgd", 1.0),
    "Adam": ("keep", 3e-3),
    "Adam, reset": ("reset", 3e-3),
}
MEASURES = (
    "alignment", "halves", "rank", "rank_halves", "conflicts", "seen", "false_alarm", "groups_gradient",
    "groups_difference", "valid_auc",
)  # fmt: skip
SPEC = {"rounds": ROUNDS, "optimizers": OPTIMIZERS, "method": "fedavg_sum"}


def variants() -> list[tuple[str, int]]:
    """(optimizer, local epochs) of every cell, the cheap ones first."""
    return [(optimizer, epochs) for epochs in ROUNDS for optimizer in OPTIMIZERS]


def measure(
    scenarios: list[Scenario], clusters: Sequence | None, variant: tuple[str, int], seed: int, **settings: Any
) -> pd.DataFrame:
    """Play rounds of FedAvg and compare, before each, true gradients with what training then changes.

    scenarios, clusters  the clients, and the group of each where that is known
    variant   (name in OPTIMIZERS, local epochs);  settings: fields of Settings beside these
    returns   DataFrame round and MEASURES, one line per round

    All clients start a round from the same parameters, so gradients are taken at the same point.
    """
    optimizer, epochs = variant
    state, step = OPTIMIZERS[optimizer]
    method = replace(METHODS["fedavg_sum"], optimizer_state=state)
    asked = Settings(**{"local_epochs": epochs, "learning_rate": step, **settings})
    federation = Federation(scenarios, method, asked, seed)
    lines = []
    for number in range(1, ROUNDS[epochs] + 1):
        whole, first, second = gradients(federation)
        received = federation.held(GROUP)
        _, _, accepted = federation.train()
        delta = federation.held(GROUP) - received  # [E, N, P]
        federation.serve(accepted)
        found = compared(whole, first, second, delta, clusters)
        lines.append({"round": number, **found, "valid_auc": average_auc(federation.evaluate("valid"))})
    return pd.DataFrame(lines, columns=["round", *MEASURES])


def gradients(federation: Federation) -> tuple[Tensor, Tensor, Tensor]:
    """True gradients of the shared experts, [E, N, P] each: on all training rows, and on each half of them.

    Losses are means over rows, so the second half's follows from the other two (no label may be missing).
    """
    block, clients = federation.block(GROUP), federation.clients
    sizes = torch.tensor([len(client.labels) for client in clients])
    halves = sizes // 2
    whole = block.read([client.gradient(len(client.labels)) for client in clients])
    first = block.read([client.gradient(len(client.labels) // 2) for client in clients])
    share = (halves / sizes)[:, None]
    return whole, first, (whole - share * first) / (1 - share)


def compared(
    gradient: Tensor, first: Tensor, second: Tensor, delta: Tensor, clusters: Sequence | None = None
) -> dict[str, float]:
    """How well differences stand for gradients, as numbers.

    gradient, first, second, delta  [E, N, P], E experts of N clients; first, second: on halves of the rows
    returns  alignment     mean cosine of −gradient and Δ, over clients and experts
             halves        the same of the gradients of both halves: what the rows themselves allow
             rank          rank correlation, over pairs of clients, of their cosine by gradients and by Δ
             rank_halves   the same of gradients of the two halves
             conflicts     share of pairs (and experts) whose gradients point apart
             seen          of these, the share whose Δ point apart, too
             false_alarm   of the others, the share whose Δ point apart
             groups_gradient, groups_difference  chance that a pair of one group has a larger cosine than
                           one of two groups; NaN where there are no two groups
    """
    truth, seen = pair_cosines(gradient), pair_cosines(delta)  # [E, pairs]
    apart, found = truth < 0, seen < 0
    same = None if clusters is None else [a == b for a, b in combinations(clusters, 2)]
    return {
        "alignment": float(_along(-gradient, delta).mean()),
        "halves": float(_along(first, second).mean()),
        "rank": rank_correlation(truth.mean(0), seen.mean(0)),
        "rank_halves": rank_correlation(pair_cosines(first).mean(0), pair_cosines(second).mean(0)),
        "conflicts": float(apart.mean()),
        "seen": float(found[apart].mean()) if apart.any() else math.nan,
        "false_alarm": float(found[~apart].mean()) if (~apart).any() else math.nan,
        "groups_gradient": _told_apart(same, truth.mean(0)),
        "groups_difference": _told_apart(same, seen.mean(0)),
    }


def pair_cosines(stack: Tensor) -> np.ndarray:
    """Cosines of all pairs of clients: [E, N, P] → [E, N(N−1)/2]."""
    upper = torch.triu_indices(stack.shape[1], stack.shape[1], 1)
    return cosines(stack @ stack.transpose(-2, -1))[:, upper[0], upper[1]].numpy(force=True)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's; NaN for fewer than three values, or where one side is constant."""
    from scipy import stats

    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(stats.spearmanr(first, second).statistic)


def _along(first, second):
    return torch.nn.functional.cosine_similarity(first, second, dim=-1)


def _told_apart(same, values):
    """AUC of the cosine as a judge of who is of one group."""
    if same is None or len(set(same)) < 2:
        return math.nan
    return score(np.array(same, float), values)[2]


def summary(lines: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """gradient.csv: by world, optimizer and epochs the mean of every measure over rounds, then over seeds.

    Each has a 95 % t interval over seeds: columns NAME, NAME_low, NAME_high.
    """
    keys, found = ["world", "optimizer", "epochs"], []
    by_seed = lines.groupby([*keys, "seed"], sort=False)[list(MEASURES)].mean().reset_index()
    for key, own in by_seed.groupby(keys, sort=False):
        line = dict(zip(keys, key, strict=True)) | {"seeds": len(own)}
        for name in MEASURES:
            mean, low, high = paired_interval(own[name], np.zeros(len(own)))
            line |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        found.append(line)
    return {"gradient.csv": pd.DataFrame(found), "gradient_rounds.csv": lines}

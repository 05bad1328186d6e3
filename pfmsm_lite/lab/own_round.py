"""A training of which each client keeps its own best round: for clients that are very unequal.

One round for all is the usual reading. It suits neither who has few rows and still learns, nor who has many
and has long overfitted, and it flatters what is compared with training alone.
"""

import json
import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from pfmsm_lite.client import Client
from pfmsm_lite.federation import Federation
from pfmsm_lite.history import History, average_auc
from pfmsm_lite.lab.statistics import kept
from pfmsm_lite.loop import run
from pfmsm_lite.methods import Method, Settings
from pfmsm_lite.scenario import Scenario

Best = tuple[float, int, list[tuple]]


def better(client: Client, number: int, best: Best | None) -> Best:
    """The better of a client's best round so far and the present one, by its own validation AUC.

    best     None before the first
    returns  (AUC, number of the round, lines (scenario, task, split, rows, positives, auc, logloss))
    """
    valid = client.evaluate("valid")
    auc = average_auc(valid)
    auc = -math.inf if math.isnan(auc) else auc
    if best and auc <= best[0]:
        return best
    both = (("valid", valid), ("test", client.evaluate("test")))
    return auc, number, [(s, t, split, *rest) for split, scored in both for s, t, *rest in scored]


def own_rounds(
    scenarios: list[Scenario], method: Method, rounds: int, seed: int, settings: Settings,
    progress: Callable[[int, int, float], None] = lambda *_: None,
) -> dict[str, Any]:  # fmt: skip
    """Train, and keep of it what `kept` does, with other results: of each client those of its own round.

    progress  called with (rounds done, rounds, validation AUC)
    returns   as `kept`; results: of the round in which a client's own validation AUC, mean over its tasks, is
              best; best_round: the mean of these rounds over clients
    """
    best: dict[str, Best] = {}

    def look(history: History, federation: Federation) -> None:
        for client in federation.clients:
            best[client.name] = better(client, history.rounds_done, best.get(client.name))
        progress(history.rounds_done, rounds, history.last_auc)

    history = run(scenarios, method, rounds, seed, settings=settings, after_round=look)
    lines = [(history.method, history.seed, *line) for _, _, own in best.values() for line in own]
    chosen = [number for _, number, _ in best.values()]
    found = {**kept(history), "best_round": sum(chosen) / len(chosen)}
    return {**found, "results": json.loads(pd.DataFrame(lines).to_json(orient="values"))}

"""A training of which each client keeps its own best round: for clients that are very unequal.

One round for all is the usual reading. It suits neither who has few rows and still learns, nor who has many
and has long overfitted, and it flatters what is compared with training alone.
"""

import json
import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from pfmsm_lite.federation import Federation
from pfmsm_lite.history import History, average_auc
from pfmsm_lite.lab.statistics import kept
from pfmsm_lite.loop import run
from pfmsm_lite.methods import Method, Settings
from pfmsm_lite.scenario import Scenario


def own_rounds(
    scenarios: list[Scenario], method: Method, rounds: int, seed: int, settings: Settings,
    progress: Callable[[int, int, float], None] = lambda *_: None,
) -> dict[str, Any]:  # fmt: skip
    """Train, and keep of it what `kept` does, with other results: of each client those of its own round.

    progress  called with (rounds done, rounds, validation AUC)
    returns   as `kept`; results: of the round in which a client's own validation AUC, mean over its tasks, is
              best; best_round: the mean of these rounds over clients
    """
    best: dict[str, tuple[float, int, dict[str, list]]] = {}

    def look(history: History, federation: Federation) -> None:
        for client in federation.clients:
            valid = client.evaluate("valid")
            auc = average_auc(valid)
            auc = -math.inf if math.isnan(auc) else auc
            if client.name not in best or auc > best[client.name][0]:
                both = {"valid": valid, "test": client.evaluate("test")}
                best[client.name] = auc, history.rounds_done, both
        progress(history.rounds_done, rounds, history.last_auc)

    history = run(scenarios, method, rounds, seed, settings=settings, after_round=look)
    lines = [
        (history.method, history.seed, scenario, task, split, *rest)
        for _, _, both in best.values()
        for split, scored in both.items()
        for scenario, task, *rest in scored
    ]
    chosen = [number for _, number, _ in best.values()]
    found = {**kept(history), "best_round": sum(chosen) / len(chosen)}
    return {**found, "results": json.loads(pd.DataFrame(lines).to_json(orient="values"))}

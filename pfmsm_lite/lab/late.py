"""A client that joins late: 50 rows, when half of the rounds are over. A federation, stepped by hand."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pfmsm_lite.data import synthetic
from pfmsm_lite.federation import Federation
from pfmsm_lite.lab.own_round import Best, better
from pfmsm_lite.lab.statistics import HERO
from pfmsm_lite.lab.studies import Scale
from pfmsm_lite.methods import METHODS, Settings
from pfmsm_lite.scenario import Scenario

ROUNDS, JOINS, ROWS = 32, 16, 50
LATE = -1  # its number: the last of the clients
WORLDS = {  # who comes, to three of one taste and three of another
    "of a taste that is there": (0, 0, 0, 1, 1, 1, 0),
    "a stranger": (0, 0, 0, 1, 1, 1, 2),
}


class Way(NamedTuple):
    """How a client joins: by which method, and what happens in the first round in which it is there."""

    method: str
    text: str
    leaves: bool = False  # it takes what the others have made, and trains at home from then on
    ask: bool = False  # everybody counts its rounds anew, so that `kin` asks everybody again


WAYS = {
    "local": Way("local", "trains alone from the round in which it comes"),
    "mean, then home": Way("fedavg_sum", "is given the mean of all, and then trains at home", leaves=True),
    "fedavg_sum": Way("fedavg_sum", "is given the mean of all, and stays"),
    "embedding_only": Way("embedding_only", "shares the embedding table alone"),
    HERO: Way(HERO, "as it is: older clients are not asked again"),
    "asked again": Way(HERO, "as it is, but when somebody comes all are asked again", ask=True),
}


def world(level: str, seed: int, scale: Scale) -> list[Scenario]:
    """Six clients of as many rows as the scale says, and the one that comes late."""
    sizes = (scale.rows,) * 6 + (ROWS,)
    return synthetic(sizes, relatedness=WORLDS[level], across=0.0, seed=seed, **scale.common)[0]


def joined(
    scenarios: list[Scenario], way: Way, seed: int, settings: Settings, look: Callable | None = None
) -> dict[str, Any]:
    """Train ROUNDS rounds; the last scenario's client is there from the one after JOINS on.

    look     called with (round, federation) after each
    returns  results: its lines (scenario, task, split, rows, positives, auc, logloss) of the round that its
             own validation rows choose; best_round; own: the weight of its own in its mixtures of experts and
             towers at the end, NaN where nothing is mixed
    """
    federation = Federation(scenarios, METHODS[way.method], settings, seed)
    late, others = federation.clients[LATE], range(len(scenarios) - 1)
    best: Best = (-1.0, 0, [])
    own = np.nan
    for number in range(1, ROUNDS + 1):
        there = number > JOINS
        if number == JOINS + 1:
            _comes(federation, way)
        # who is there trains, uploads and is served: None in `accepted` says who takes no part
        accepted = [federation.clients[n].train()[1] for n in others]
        mine = late.train()[1] if there else None
        record = federation.serve([*accepted, None if way.leaves else mine])
        federation.personalize()
        if there and "weights" in record and not way.leaves:
            own = float(record["weights"][:, LATE, LATE].mean())
        if look:
            look(number, federation)
        if there:
            best = better(late, number, best)
    return {"results": best[2], "best_round": best[1], "own": own}


def _comes(federation: Federation, way: Way) -> None:
    """The late client is given what the server has for it: by `mean` what all have, else the common start."""
    federation.clients[LATE].download(federation.server.current(len(federation.clients) - 1))
    for client in federation.clients if way.ask else ():
        client.rounds = 0

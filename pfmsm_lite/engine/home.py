"""What a declaration leaves at home, so that no letter brings it: a row of HOME each."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.history import History
from pfmsm_lite.lab.writing import csv_text
from pfmsm_lite.methods import Method, Settings

HOME = {
    "scores": "AUC, log loss, rows and positives of evaluated rows, and training loss; each client chooses "
    "its own best round and has scores.csv beside its state",
    "rows": "the number of training rows: where it would count, all clients weigh alike; scores still tell "
    "how many rows are evaluated",
}
SCORES = "scores.csv"
COLUMNS = ("round", "scenario", "task", "split", "rows", "positives", "auc", "logloss")


def fit(home: Collection[str], method: Method, settings: Settings) -> None:
    """Refuse, with UserError, an unknown name, and what cannot be done without what stays at home."""
    for name in home:
        choose("name in --home", name, HOME)
    if "scores" in home and settings.patience:
        raise UserError(
            "--patience ends a training by its scores, and --home scores keeps these from the server. Leave "
            "out one of them."
        )
    if "rows" in home and settings.entries == "counted" and "embedding" in method.sent:
        raise UserError(
            f"--home rows hides nothing while clients of {method.name} say how often their rows name each "
            "embedding entry: added up over a field, these are the rows. Add --entries named or whole."
        )


def demanded(owner: Collection[str], declared: Collection[str]) -> None:
    """Refuse, at a client, a training that does not leave at home what its owner wants there."""
    for name in owner:
        choose("name in --home", name, HOME)
    if missing := [name for name in owner if name not in declared]:
        names = ",".join(missing)
        raise UserError(f"its owner wants {names} to stay at home. Start the server with --home {names}.")


class OwnChoice:
    """A client's own scores, round by round, and which round is its best: as the server would choose it.

    Without a label among its validation rows the last round is taken.
    name  of its scenario;  choose  auc or logloss
    """

    def __init__(self, name: str, choose: str, kept: Mapping[str, Any] | None = None):
        self.history, self.lines = History("", 0, [name], [], choose), []
        if kept:
            self.history.load(kept["history"])
            self.lines = list(kept["lines"])

    @property
    def best(self) -> int:
        """The best round so far, 0 before the first."""
        return self.history.best_round

    def take(self, number: int, scores: Mapping[str, list]) -> None:
        """Take in the scores of a round: split → lines of Client.evaluate."""
        for split, lines in scores.items():
            self.lines += [[number, scenario, task, split, *rest] for scenario, task, *rest in lines]
        blind = not any(line[2] for line in scores["valid"])
        if self.history.improves(scores["valid"]) or blind:
            self.history.best, self.history.best_round = dict(scores), number
            self.history.best_auc = self.history.last_auc

    def state(self) -> dict[str, Any]:
        return {"history": self.history.state(), "lines": self.lines}

    def text(self) -> str:
        """scores.csv: COLUMNS."""
        return csv_text(pd.DataFrame(self.lines, columns=list(COLUMNS)))

"""The server half: it knows the declaration and what came in letters, and nothing else.

A letter of round r brings a client what the server made of round r − 1. The answer says what that is worth
on the client's rows, and brings its upload of round r: one message a round.
"""

import math
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from pfmsm_lite.engine.declared import Declaration
from pfmsm_lite.engine.wire import Letter, arrays, tensors
from pfmsm_lite.errors import UserError
from pfmsm_lite.federation import build, drawn
from pfmsm_lite.history import History, Round
from pfmsm_lite.mmoe import parameter_groups
from pfmsm_lite.scenario import EVALUATED
from pfmsm_lite.server import Server

Letters = dict[str, Letter]
KEPT = (
    "scores", "last", "models", "downloads", "open", "best_table", "best_models", "number", "ended",
)  # fmt: skip


def hello(declared: Declaration) -> Letter:
    """The first letter, alike to all: what is to be trained."""
    return Letter({"kind": "hello", "declaration": declared.text})


def join(declared: Declaration, common: Mapping[str, Any], hellos: Letters) -> Letter:
    """The second: which entries of the embedding table anybody's training rows use, a bit for each."""
    if "embedding" not in declared.method.sent:
        return Letter({"kind": "join", "declaration": declared.text})
    size = sum(count for _, count in common["fields"])
    known = np.zeros(size, bool)
    for name, letter in hellos.items():
        used = letter.arrays["used"]
        if len(used) and not 0 <= used.min() <= used.max() < size:
            raise UserError(f"Client {name!r} uses entry {used.max()} of an embedding table of {size:,}.")
        known[used] = True
    return Letter({"kind": "join", "declaration": declared.text}, {"known": np.packbits(known)})


class ServerSide:
    """A training at the server, between two letters.

    common  what all clients have in common, see `declared.agreed`
    joined  name → answer to `join`
    """

    def __init__(self, declared: Declaration, common: Mapping[str, Any], joined: Letters):
        self.declared, self.names, method = declared, list(declared.clients), declared.method
        shape = SimpleNamespace(**{**common, "fields": dict(common["fields"])})
        model = build(shape, method, declared.settings, declared.seed)
        groups = parameter_groups(model)
        start = {group: groups[group] for group in method.sent if group in groups and group != "embedding"}
        tasks, table = tuple(common["tasks"]), model.embedding.weight.data
        hellos = {name: tensors(joined[name]) for name in self.names}
        for name, first in hellos.items():
            self._check_first(name, first, len(tasks), len(table), "embedding" in method.sent)
        self.server = Server(method, tasks, start, table, hellos)
        units = [label for block in self.server.blocks for label in block.labels]
        self.history = History(method.name, declared.seed, self.names, units, declared.settings.choose)
        stored = [joined[name].about["stored_bytes"] for name in self.names]
        self.history.stored_bytes = sum(stored) / len(stored)
        self.tasks = tasks
        self.private = "scores" in declared.home
        self.scores = {
            name: unknown(name, tasks) if self.private else joined[name].about["scores"]
            for name in self.names
        }
        self.last = dict.fromkeys(self.names, 0)  # the last letter that each has answered
        self.downloads: dict[str, dict] = {}  # of who took part in the round before
        self.open: dict[str, Any] | None = None  # the round whose scores have not come yet
        # in the best round: the server's entries, and after which round each made what it predicts with
        self.best_table, self.best_models = table, dict.fromkeys(self.names, 0)
        self.models = dict(self.best_models)
        self.number, self.ended = 1, False  # of the next letters
        self.started = time.perf_counter()

    @staticmethod
    def _check_first(name, first, tasks, size, shared):
        """Refuse, by its name, a client whose first message cannot be. shared: entries belong to it."""
        try:
            right = first["has_task"].shape == (tasks,) and first["has_task"].dtype == torch.bool
            right = right and 0 < float(first["rows"]) < math.inf
            right = right and first.keys() == {"rows", "has_task", *(("entries", "uses") if shared else ())}
            if right and shared:
                entries, uses = first["entries"], first["uses"]
                right = entries.ndim == 1 and entries.shape == uses.shape and bool((uses >= 0).all())
                right = right and bool((entries[1:] > entries[:-1]).all())
                right = right and bool((entries >= 0).all()) and bool((entries < size).all())
        except (KeyError, RuntimeError, TypeError, ValueError):
            right = False
        if not right:
            raise UserError(
                f"Client {name!r}: its first message is none: entries, uses, rows or tasks are wrong."
            )

    def sound(self, name: str, letter: Letter) -> Letter:
        """An answer whose plain values are what they must be. Raises UserError for another one."""
        about = letter.about
        try:
            found: dict[str, Any] = {"fine": about["fine"] is True} if "fine" in about else {}
            for key in ("seconds", "seconds_home"):
                found |= {key: float(about[key])} if key in about else {}
            if "losses" in about and not self.private:
                found["losses"] = [float(loss) for loss in about["losses"]]
                if len(found["losses"]) != len(self.tasks):
                    raise ValueError("losses")
            if "scores" in about and not self.private:
                found["scores"] = {split: [_line(x) for x in about["scores"][split]] for split in EVALUATED}
                if any(
                    [x[:2] for x in own] != [(name, t) for t in self.tasks]
                    for own in found["scores"].values()
                ):
                    raise ValueError("scores")
            return Letter(found, letter.arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"its answer cannot be read: {type(error).__name__}: {error}") from error

    def letters(self) -> Letters:
        """The next letters: to who took part in the round before, and to who is drawn for this one."""
        here, found = self._here(), {}
        for n, name in enumerate(self.names):
            took = name in self.downloads
            if not (took or here[n]):
                continue
            message = {} if self.number == 1 else self.downloads[name] if took else self.server.current(n)
            about = {
                "kind": "round", "digest": self.declared.digest, "number": self.number,
                "last": self.last[name], "model": self.best_models[name], "home": took, "train": here[n],
            }  # fmt: skip
            found[name] = Letter(about, arrays(message))
        return found

    def _here(self):
        count, declared = len(self.names), self.declared
        if self.number > declared.rounds:
            return [False] * count
        return drawn(count, declared.settings.sample, declared.seed, self.number)

    def take(self, answers: Letters) -> None:
        """Take in what came: the scores of the round before, then the uploads of this one.

        answers  name → answer, of those who did answer
        raises   UserError where nothing came that could be used
        """
        for name, letter in answers.items():
            self.last[name] = self.number
            if "scores" in letter.about:
                self.scores[name], self.models[name] = letter.about["scores"], self.number - 1
        self._close(answers)
        settings, rounds = self.declared.settings, self.declared.rounds
        self.ended = not self.history.goes_on(rounds, settings.patience or rounds)
        if not self.ended:
            self._play(answers)
        self.number += 1

    def _close(self, answers):
        """The round before is over: all scores that will come have come."""
        if self.open is None:
            return
        done = self.open
        seconds = [own + answers[name].about.get("seconds_home", 0.0) if name in answers else own
                   for name, own in zip(self.names, done["seconds"], strict=True)]  # fmt: skip
        lines = {split: [[_line(line) for line in self.scores[name][split]] for name in self.names]
                 for split in ("valid", "test")}  # fmt: skip
        better = not self.private and self.history.improves([line for own in lines["valid"] for line in own])
        if better:
            self.best_table, self.best_models = self.server.table.table, dict(self.models)
        test = lines["test"] if better else None
        now = time.perf_counter()
        self.history.add(Round(
            done["record"], lines["valid"], test, done["losses"], seconds, done["bytes"], done["accepted"],
            now - self.started, done["said"],
        ))  # fmt: skip
        self.started, self.open = now, None

    def _play(self, answers):
        """A round at the server, from the uploads that came."""
        came = [
            answers.get(name) if here else None for name, here in zip(self.names, self._here(), strict=True)
        ]
        about = [letter.about if letter else {} for letter in came]
        accepted = [own.get("fine") for own in about]
        uploads = [tensors(letter) if letter and letter.about.get("fine") else None for letter in came]
        downloads, record = self.server.serve(uploads)
        if not any(self.server.accepted):
            self._stop("no upload came that could be used")
            return
        took = zip(self.names, downloads, accepted, strict=True)
        self.downloads = {name: own for name, own, fine in took if fine is not None}
        used = zip(accepted, self.server.accepted, strict=True)
        nothing = [float("nan")] * len(self.tasks)
        self.open = {
            "record": record,
            "losses": torch.tensor([own.get("losses", nothing) for own in about]),
            "seconds": [own.get("seconds", 0.0) for own in about],
            "bytes": [
                sum(part.nbytes for part in letter.arrays.values()) if letter else 0 for letter in came
            ],
            "accepted": [None if fine is None else own for fine, own in used],
            "said": self.server.said,
        }

    def _stop(self, reason):
        if self.private and self.history.rounds_done:  # who has the best round is not known here
            self.history.stopped = f"stopped in round {self.number}: {reason}"
        else:
            self.history.stop(self.number, reason)
        self.ended = True

    def state(self) -> dict:
        """For a checkpoint: plain tensors, lists and dicts."""
        return {
            **{name: getattr(self, name) for name in KEPT},
            "history": self.history.state(), "server": self.server.state(),
        }  # fmt: skip

    def load(self, state: dict) -> None:
        state = dict(state)
        self.history.load(state.pop("history"))
        self.server.load(state.pop("server"))
        vars(self).update(state)


def unknown(name: str, tasks: tuple[str, ...]) -> dict[str, list]:
    """What stands for the scores of a client that keeps them: NaN of no rows."""
    return {split: [(name, task, 0, 0, math.nan, math.nan) for task in tasks] for split in EVALUATED}


def _line(line):
    """(scenario, task, rows, positives, auc, logloss), as of Client.evaluate."""
    scenario, task, rows, positives, auc, logloss = line
    return scenario, task, int(rows), int(positives), float(auc), float(logloss)

"""The client half: one scenario, letters in, letters out, its state in files between two letters.

Each letter may find a new process: the state that belongs to it is read, and written before the answer.
"""

import copy
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pfmsm_lite.data  # noqa: F401 what its tables hold
from pfmsm_lite.client import Client
from pfmsm_lite.embedding import in_use, trained
from pfmsm_lite.engine.declared import Declaration, checked, described, digest_of, read
from pfmsm_lite.engine.home import SCORES, OwnChoice, demanded
from pfmsm_lite.engine.wire import Letter, arrays, pack, tensors, unpack
from pfmsm_lite.errors import UserError
from pfmsm_lite.federation import build, make_client, timed
from pfmsm_lite.lab import models, sealed
from pfmsm_lite.lab.writing import replace_text
from pfmsm_lite.scenario import EVALUATED, Scenario


class Memory:
    """Where a client keeps its state, of several trainings, while its process lives."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def save(self, name: str, content: Any) -> None:
        self.kept[name] = copy.deepcopy(content)

    def load(self, name: str) -> Any:
        """None where there is nothing of that name."""
        return copy.deepcopy(self.kept.get(name))

    def write(self, name: str, text: str) -> None:
        """A text for people, which is not read again."""
        self.kept[name] = text

    def names(self) -> list[str]:
        return list(self.kept)

    def drop(self, name: str) -> None:
        self.kept.pop(name, None)


class Folder:
    """The same in files, each written whole or not at all."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def save(self, name: str, content: Any) -> None:
        sealed.save(self.path / f"{name}.pt", content)

    def load(self, name: str) -> Any:
        """None where there is no such file. Raises UserError for a damaged one."""
        file = self.path / f"{name}.pt"
        try:
            return sealed.load(file)[0] if file.exists() else None
        except sealed.Damaged as error:
            raise UserError(
                f"{file} is damaged ({error}). Delete this client's state and start anew."
            ) from error

    def write(self, name: str, text: str) -> None:
        """A text for people, which is not read again."""
        replace_text(self.path / name, text)

    def names(self) -> list[str]:
        return [str(file.relative_to(self.path).with_suffix("")) for file in self.path.rglob("*.pt")]

    def drop(self, name: str) -> None:
        (self.path / f"{name}.pt").unlink(missing_ok=True)


class ClientSide:
    """One scenario at home. `answer` is all that the outside can do with it.

    scenario  its rows;  kept  Memory or Folder: where its state is between two letters
    home      names in HOME: it takes part in no training that does not leave these at home
    raises    UserError for a scenario that nobody can train on
    """

    def __init__(self, scenario: Scenario, kept: Memory | Folder | None = None, home: Collection[str] = ()):
        self.scenario, self.kept, self.home = checked(scenario), kept or Memory(), home
        self.name = scenario.name
        self._built: tuple[str, Declaration, Client] | None = None

    def answer(self, content: bytes) -> bytes:
        """The answer to one letter; what is wrong stands in its "error", to be told at the server."""
        kinds: dict[str, Callable[[Letter], Letter]] = {
            "hello": self._hello, "join": self._join, "round": self._round,
        }  # fmt: skip
        try:
            letter = unpack(content)
            return pack(kinds[letter.about["kind"]](letter))
        except UserError as error:
            said = str(error)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:  # no letter of ours
            said = f"The letter cannot be followed: {type(error).__name__}: {error}."
        return pack(Letter({"name": self.name, "error": said}))

    # ---- before the first round ----

    def _hello(self, letter: Letter) -> Letter:
        """Who it is, and the numbers of the entries that its training rows use, where these are shared."""
        text = letter.about["declaration"]
        declared = self._read(text)
        used = {}
        if "embedding" in declared.method.sent:
            used["used"] = in_use(self.scenario.train, self._start(declared)[0].embedding.offset)[0].int()
        return Letter({**described(self.scenario), "digest": digest_of(text)}, arrays(used))

    def _join(self, letter: Letter) -> Letter:
        """Its first message, from what anybody trains; and what the common start is worth on its rows."""
        text, known = letter.about["declaration"], letter.arrays.get("known")
        digest, home = digest_of(text), self._read(text).home
        joined = {"declaration": text, "known": torch.from_numpy(known) if known is not None else None}
        self._forget(digest)
        self.kept.save(f"{digest}/joined", joined)
        _, client = self._client(digest)
        self.kept.save(f"{digest}/0", client.state())
        self._keep_model(digest, 0, client)
        about: dict[str, Any] = {} if "scores" in home else {"scores": scores(client)}
        message = client.first_message() | ({"rows": torch.ones(())} if "rows" in home else {})
        return Letter({**about, "stored_bytes": client.stored_bytes()}, arrays(message))

    def _read(self, text: str) -> Declaration:
        """A declaration that leaves at home what its owner wants there."""
        declared = read(text)
        demanded(self.home, declared.home)
        return declared

    def _start(self, declared: Declaration):
        """(model, its table): what everybody draws from the seed."""
        model = build(self.scenario, declared.method, declared.settings, declared.seed)
        table, model.embedding.weight = model.embedding.weight.data, None
        return model, table

    def _client(self, digest: str) -> tuple[Declaration, Client]:
        """The client of the core, built from its own rows and what the server said when it joined."""
        if self._built is not None and self._built[0] == digest:
            return self._built[1:]
        joined = self.kept.load(f"{digest}/joined")
        if joined is None:
            raise UserError(
                f"Client {self.name!r} has no state of this training: it was lost, or lies elsewhere. Start "
                "the training anew."
            )
        declared = self._read(joined["declaration"])
        method, settings, rows = declared.method, declared.settings, self.scenario
        model, table = self._start(declared)
        if joined["known"] is None:
            known = trained([in_use(rows.train, model.embedding.offset)[0]], len(table))
        else:
            known = torch.from_numpy(np.unpackbits(joined["known"].numpy(), count=len(table)).astype(bool))
        views = [(rows.name, {split: rows.rows(split) for split in EVALUATED})]
        client = make_client(rows, views, model, table, known, method, settings, declared.seed)
        self._built = digest, declared, client
        return declared, client

    # ---- a round ----

    def _round(self, letter: Letter) -> Letter:
        """Take over what came, say what it is worth, train, upload: as far as the letter asks for it.

        about  number    of the round
               last      the last letter whose answer the server has: what happened after it never happened
               home      it took part in the round before: what came is used and evaluated
               train     it takes part in this one
               model     what it predicted with in the best round so far was made after this one: it is kept.
                         Where scores stay at home, its own choice says which
        """
        about = letter.about
        digest, number, last = about["digest"], int(about["number"]), int(about["last"])
        if not re.fullmatch("[0-9a-f]{16}", digest):  # it becomes the name of a folder
            raise ValueError(f"digest {digest!r}")
        client, choice = self._at(digest, last)
        model = int(about["model"]) if choice is None else choice.best
        if letter.arrays:
            client.download(tensors(letter))
        found: dict[str, Any] = {"number": number}
        upload = {}
        if about["home"]:
            _, found["seconds_home"] = timed(client.use_at_home, "cpu")
            found["scores"] = scores(client)
            self._keep_model(digest, number - 1, client)
            if choice:
                choice.take(number - 1, found.pop("scores"))
        if about["train"]:
            (losses, fine), found["seconds"] = timed(client.train, "cpu")
            found |= {"fine": fine} if choice else {"losses": losses.tolist(), "fine": fine}
            upload = client.upload() if fine else {}
        own = {"choice": choice.state()} if choice else {}
        self.kept.save(f"{digest}/{number}", client.state() | own)
        if choice:
            self.kept.write(f"{digest}/{SCORES}", choice.text())
        self._tidy(digest, number, last, model)
        return Letter(found, arrays(upload))

    def _at(self, digest: str, last: int) -> tuple[Client, OwnChoice | None]:
        """The client as it was after the letter `last`, and its choice of a round, where that is its own."""
        (declared, client), state = self._client(digest), self.kept.load(f"{digest}/{last}")
        if state is None:
            raise UserError(
                f"Client {self.name!r} has no state of round {last}, with which the server wants to go on. "
                "Start the training anew."
            )
        client.load(state)
        own = "scores" in declared.home
        return client, OwnChoice(self.name, declared.settings.choose, state.get("choice")) if own else None

    def _keep_model(self, digest, number, client):
        own = {name: tensor.detach().clone() for name, tensor in models.of_client(client).items()}
        lines = {name: tensor.clone() for name, tensor in models.lines_of(client).items()}
        self.kept.save(f"{digest}/model-{number}", {"tensors": own, "lines": lines})

    def _tidy(self, digest, number, last, model):
        """Drop what no letter can ask for any more; later numbers are left to who is at work on them."""
        for before, kept in (("", {last}), ("model-", {model, number - 1})):
            for name in self.kept.names():
                found = re.fullmatch(rf"{digest}/{before}(\d+)", name)
                if found and int(found[1]) < number and int(found[1]) not in kept:
                    self.kept.drop(name)

    def _forget(self, digest):
        self._built = None
        for name in [name for name in self.kept.names() if name.startswith(f"{digest}/")]:
            self.kept.drop(name)


def scores(client: Client) -> dict[str, list]:
    """split → lines of Client.evaluate, with what the client holds now."""
    return {split: [list(line) for line in client.evaluate(split)] for split in EVALUATED}

"""A whole training by letters, whoever carries them; and by function calls, in this process."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from pfmsm_lite.engine.client import ClientSide
from pfmsm_lite.engine.declared import Declaration, agreed, declaration
from pfmsm_lite.engine.server import Letters, ServerSide, hello, join
from pfmsm_lite.engine.wire import Letter, arrays, listed, pack, tensors, unpack
from pfmsm_lite.errors import UserError
from pfmsm_lite.history import History

# name → bytes of a letter  →  name → bytes of the answer, of those who answered in time
Post = Callable[[dict[str, bytes]], Mapping[str, bytes | None]]


class Record(NamedTuple):
    """One part of one letter as it was handed over.

    round      0 before the first
    direction  up: from the client;  down: to it
    name       of the array, or head: names, shapes and plain values;  bytes: of the whole letter these add up
    """

    round: int
    client: str
    direction: str
    name: str
    shape: tuple[int, ...]
    bytes: int


def conduct(
    declared: Declaration, post: Post, *, keep: Any = None, least: int = 1,
    tell: Callable[[str], None] = lambda text: None,
) -> History:  # fmt: skip
    """Play all rounds with whoever `post` reaches.

    keep    None, or where the state is kept after each round: its save(name, content) and load(name); what
            was begun there goes on
    least   answers without which a round does not go on
    tell    hears a line of text after each round
    raises  UserError for a client that refuses, by its name; in a round it counts as one that is away
    """
    ask = _asking(post, tell)
    said = ask(dict.fromkeys(declared.clients, hello(declared)), False)
    _all_there(declared, said)
    common = agreed(declared, {name: letter.about for name, letter in said.items()})
    state = keep.load("server") if keep else None
    if state is not None and state["digest"] != declared.digest:
        raise UserError("What is kept here belongs to another training. Choose another --out.")
    if state is None:
        joined = ask(dict.fromkeys(declared.clients, join(declared, common, said)), False)
        _all_there(declared, joined)
        first = {name: (own.about, tensors(own)) for name, own in joined.items()}
        state = {"digest": declared.digest, "joined": first}
    joined = {name: Letter(about, arrays(own)) for name, (about, own) in state["joined"].items()}
    side = ServerSide(declared, common, joined)
    if "side" in state:
        side.load(state["side"])
        tell(f"goes on after round {side.number - 1}; last answers: {side.last}")
    while not side.ended:
        number, letters = side.number, side.letters()
        answers = {}
        for name, letter in ask(letters, True).items():
            try:
                answers[name] = side.sound(name, letter)
            except UserError as error:
                tell(f"Client {name!r}: {error}")
        if len(answers) < min(least, len(letters)):
            raise UserError(
                f"Round {number}: {len(answers)} of {len(letters)} clients answered in time; {least} must. "
                "Start the others again, and then go on with --resume."
            )
        side.take(answers)
        if keep:
            keep.save("server", {**state, "side": side.state()})
        done = side.history.rounds_done
        known = done and not side.private
        auc = f"; validation AUC of round {done}: {side.history.last_auc:.4f}" if known else ""
        tell(f"letters {number}: {len(answers)} of {len(letters)} answered{auc}")
    return side.history


def _asking(post: Post, tell: Callable[[str], None]) -> Callable[[Letters, bool], Letters]:
    """The same post for letters. An answer that is none, or that says what is wrong, is told with its name,
    and counts as no answer; before the first round it is an error."""

    def ask(letters: Letters, begun: bool) -> Letters:
        found, same = {}, {}  # one letter to all is packed once
        packed = {name: same.setdefault(id(own), pack(own)) for name, own in letters.items()}
        for name, content in post(packed).items():
            if content is None:
                continue
            try:
                letter = unpack(content)
                if "error" in letter.about:
                    raise UserError(str(letter.about["error"]))
                found[name] = letter
            except UserError as error:
                said = f"Client {name!r}: {error}"
                if not begun:
                    raise UserError(said) from error
                tell(said)
        return {name: found[name] for name in letters if name in found}  # never in the order of arrival

    return ask


def _all_there(declared, answers):
    missing = [name for name in declared.clients if name not in answers]
    if missing:
        raise UserError(
            f"{len(answers)} of {len(declared.clients)} clients are there; missing: {', '.join(missing)}. "
            "Start them, and then this again."
        )


def in_process(sides: Collection[ClientSide], lost: Collection[tuple] = ()) -> Post:
    """A post that calls the clients of this process.

    lost  (round, name, "letter"): that letter does not arrive;  (round, name, "answer"): it does, and the
          client works on it, but its answer does not
    """
    by_name = {side.name: side for side in sides}

    def post(letters):
        found = {}
        for name, content in letters.items():
            number = unpack(content).about.get("number", 0)
            if (number, name, "letter") in lost:
                continue
            answer = by_name[name].answer(content)
            if (number, name, "answer") not in lost:
                found[name] = answer
        return found

    return post


def recorded(post: Post, records: list[Record]) -> Post:
    """The same post; what is handed over is also written down in `records`, both ways, the handshake too."""

    def carry(letters):
        answers = post(letters)
        for direction, contents in (("down", letters), ("up", answers)):
            for name, content in contents.items():
                if content is not None:
                    number = unpack(letters[name]).about.get("number", 0)
                    records.extend(Record(number, name, direction, *part) for part in listed(content))
        return answers

    return carry


def audit(scenarios, method, rounds: int, seed: int, settings) -> tuple[History, list[Record]]:
    """A training in this process by letters alone: its History, and all that was handed over."""
    declared = declaration(method, settings, seed, rounds, [scenario.name for scenario in scenarios])
    records: list[Record] = []
    sides = [ClientSide(scenario) for scenario in scenarios]
    return conduct(declared, recorded(in_process(sides), records)), records

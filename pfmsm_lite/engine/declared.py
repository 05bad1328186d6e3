"""What is to be trained, as text that travels, and what all clients must have in common."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from pfmsm_lite.engine.home import HOME, fit
from pfmsm_lite.errors import UserError, at_least_one
from pfmsm_lite.lab.versions import decisive
from pfmsm_lite.methods import Method, Settings
from pfmsm_lite.registry import lookup
from pfmsm_lite.scenario import Scenario, check

FORMAT = 1  # of the letters
SAME = ("tasks", "fields", "numericals", "bags", "apart")  # of all clients' scenarios


class Declaration(NamedTuple):
    """One training: the method, its settings (the method's needs among them), the seed, the rounds.

    clients  names of the scenarios, in the order in which the server counts them
    home     names in HOME: what stays with the owners
    """

    method: Method
    settings: Settings
    seed: int
    rounds: int
    clients: tuple[str, ...]
    home: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """As JSON; equal declarations give equal texts."""
        return json.dumps({"format": FORMAT, **self._asdict(), "method": asdict(self.method),
                           "settings": asdict(self.settings)}, sort_keys=True)  # fmt: skip

    @property
    def digest(self) -> str:
        """Short name of the text: both sides' files belong to it."""
        return digest_of(self.text)


def digest_of(text: str) -> str:
    """sha256 of a declaration's text, its first 16 digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def declaration(
    method: Method, settings: Settings, seed: int, rounds: int, clients: Iterable[str],
    home: Collection[str] = (),
) -> Declaration:  # fmt: skip
    """A training that can leave its process. Raises UserError for one that cannot, and says why."""
    at_least_one(rounds=rounds)
    why = ""
    if method.pooled:
        why = "it trains on all rows in one place"
    elif hasattr(lookup("model", method.model), "make_client"):
        why = f"its model, {method.model}, sends no messages"
    elif settings.probe:
        why = "--probe would need another upload in each round. Leave it out"
    elif settings.attack:
        why = "--attack takes hold of a client in this process. Leave it out"
    elif settings.device != "cpu":
        why = f"--device is {settings.device}, and messages are made on the CPU. Use --device cpu"
    if why:
        raise UserError(f"The method {method.name} cannot leave one process: {why}.")
    settings = replace(settings, **method.needs)
    fit(home, method, settings)
    return Declaration(
        method, settings, seed, rounds, tuple(clients), tuple(name for name in HOME if name in home)
    )


def read(text: str) -> Declaration:
    """The declaration with this text. Raises UserError for one that this version cannot follow."""
    try:
        found = json.loads(text)
        if found.pop("format") != FORMAT:
            raise UserError("The server's messages are of another version of pfmsm_lite.")
        found["method"], found["settings"] = Method(**found["method"]), Settings(**found["settings"])
        return Declaration(**{**found, **{name: tuple(found[name]) for name in ("clients", "home")}})
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise UserError(f"The declaration cannot be read by this version of pfmsm_lite: {error}.") from error


def described(scenario: Scenario) -> dict[str, Any]:
    """What a client says of its rows before the first round: no row, no count of a value."""
    return {
        "name": scenario.name,
        "tasks": list(scenario.tasks),
        "fields": [list(pair) for pair in scenario.fields.items()],
        "numericals": list(scenario.numericals),
        "bags": dict(scenario.bags),
        "apart": list(scenario.apart),
        "valid": bool(len(scenario.valid.labels)),
        "versions": decisive(),
    }


def checked(scenario: Scenario) -> Scenario:
    """The scenario of one client, refused where nobody could train on it; validation rows may be missing."""
    whole = scenario if len(scenario.valid.labels) else replace(scenario, valid=scenario.train)
    check([whole])
    return scenario


def agreed(declared: Declaration, said: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What all clients have in common: SAME.

    said    name → what that client said in its first letter, see `described`
    raises  UserError that names both sides of what is not the same
    """
    (first, common), *_ = said.items()
    for name, own in said.items():
        for what in SAME:
            if own[what] != common[what]:
                a, b = _apart(own[what], common[what])
                raise UserError(
                    f"Client {name!r} has other {what} than {first!r}: {a} against {b}. Let all owners read "
                    "their tables by the same schema."
                )
        for package, version in decisive().items():
            if (other := own["versions"].get(package, "none")) != version:
                raise UserError(
                    f"Client {name!r} has {package} {other}, the server has {version}. Install the same."
                )
        if own["digest"] != declared.digest:
            raise UserError(
                f"Client {name!r} read another declaration ({own['digest']}) than the server sent "
                f"({declared.digest})."
            )
    if not any(own["valid"] for own in said.values()):
        raise UserError("No client has validation rows, which choose the best round. Split anew.")
    return {what: common[what] for what in SAME}


def _apart(own, other):
    """Two lists or dicts without what they have in common, unless nothing is left of both."""
    pairs = [list(part.items()) if isinstance(part, dict) else part for part in (own, other)]
    left = [[entry for entry in part if entry not in pairs[1 - n]] for n, part in enumerate(pairs)]
    return left if any(left) else pairs

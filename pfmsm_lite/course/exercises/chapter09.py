"""Exercises of chapter 09, your data and your rule."""

import itertools
from dataclasses import fields

import torch

from pfmsm_lite.aggregation import Exchange
from pfmsm_lite.course.exercise import DECLARATION, FIGURE, Exercise, varied
from pfmsm_lite.methods import METHODS, Method

# of three clients: 0 and 1 agree, 1 and 2 cross, 0 and 2 clash
DELTAS = ((2.0, 0.0), (1.0, 1.0), (-1.0, 0.5))


def exchange(rows, lengths) -> Exchange:
    """A round of three clients with one unit of two numbers; lengths: factors of their updates."""
    delta = (torch.tensor(DELTAS) * torch.tensor(lengths, dtype=torch.float)[:, None])[None]
    there, eye = torch.ones(1, 3, dtype=torch.bool), torch.eye(3)[None]
    gram = delta @ delta.transpose(1, 2)
    return Exchange(0 * delta, delta, eye, delta, gram, torch.tensor(rows, dtype=torch.float), there, there)


def _harmed(answer):
    name = answer.strip().lower()
    if name == "kiosk":
        return ""
    if name in METHODS:
        return "that is a method; asked for is a shop"
    return "the deepest red cell of the row fedavg"


def friends(rows=(100, 300, 600), lengths=(1, 1, 1)):
    """Exercise 2, on three clients with these rows."""
    both = rows[0] + rows[1]
    right = ((rows[0] / both, rows[1] / both, 0.0),) * 2 + ((0.0, 0.0, 1.0),)
    hint = "cosines(exchange.gram), keep what is above 0, times rows, divide by the sum"
    return Exercise("function", lambda answer: _friends(answer, exchange(rows, lengths), right), hint)


def _friends(answer, given, right):
    found = answer(given, METHODS["pf_msmtrec"])
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], dict):
        return "a rule returns two things: the weights, and a dict of what it wants to find next round ({})"
    weights = torch.as_tensor(found[0]).float()
    if tuple(weights.shape) != (1, 3, 3):
        return f"the weights must be [U, N, N], here [1, 3, 3]; yours are {list(weights.shape)}"
    if torch.allclose(weights[0], torch.tensor(right), atol=1e-4):
        return ""
    if (weights < 0).any():
        return "a weight is negative: whoever pulls the other way gets 0"
    if (weights.sum(-1) - 1).abs().max() > 1e-4:
        return "the weights of a client must sum to one: divide each line by its sum"
    if (weights[0].diagonal() == 0).any():
        return "a client is its own friend, too: its cosine with itself is 1"
    if weights[0, 2, 1] > 0:
        return "clients 1 and 2 have a cosine below zero: they are no friends"
    return "weigh the friends by their rows, exchange.rows, as FedAvg weighs everybody"


def _home(answer):
    if not isinstance(answer, Method):
        return f"expected a Method, such as replace(METHODS['pf_msmtrec'], …), not {type(answer).__name__}"
    ours = METHODS["pf_msmtrec"]
    if "embedding" in answer.sent:
        return "the embedding table still leaves home: say 'local' for it in `share`, or leave it out"
    other = [f.name for f in fields(Method) if f.name not in ("name", "summary", "share")]
    changed = [name for name in other if getattr(answer, name) != getattr(ours, name)]
    rest = {group: policy for group, policy in ours.sent.items() if group != "embedding"}
    if changed or answer.sent != rest:
        return (
            f"change one thing only: {', '.join(changed) or 'another group of `share`'} was changed as well"
        )
    return ""


EXERCISES = {
    "ex1": Exercise("text", _harmed, "look for the deepest red in the figure", stays=FIGURE),
    "ex2": varied(
        friends, rows=tuple(itertools.permutations((100, 200, 300, 500, 800), 3)),
        lengths=tuple(itertools.product((0.5, 1, 3), repeat=3)),
    ),
    "ex3": Exercise("any", _home, "replace(METHODS['pf_msmtrec'], name=…, share={…})", stays=DECLARATION),
}  # fmt: skip

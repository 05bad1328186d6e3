"""Exercises of chapter 09, your data and your rule."""

from dataclasses import fields

import torch

from pfmsm_lite.aggregation import Exchange
from pfmsm_lite.course.notebook import Exercise
from pfmsm_lite.methods import METHODS, Method

DELTAS = [
    [2.0, 0.0],
    [1.0, 1.0],
    [-1.0, 0.5],
]  # of three clients: 0 and 1 agree, 1 and 2 cross, 0 and 2 clash
ROWS = [100.0, 300.0, 600.0]
RIGHT = [[0.25, 0.75, 0.0], [0.25, 0.75, 0.0], [0.0, 0.0, 1.0]]


def exchange() -> Exchange:
    """A round of three clients with one unit of two numbers."""
    delta = torch.tensor(DELTAS)[None]
    there, eye = torch.ones(1, 3, dtype=torch.bool), torch.eye(3)[None]
    gram = delta @ delta.transpose(1, 2)
    return Exchange(0 * delta, delta, eye, delta, gram, torch.tensor(ROWS), there, there)


def _harmed(answer):
    name = answer.strip().lower()
    if name == "kiosk":
        return ""
    if name in METHODS:
        return "that is a method; asked for is a shop"
    return "the deepest red cell of the row fedavg"


def _friends(answer):
    found = answer(exchange(), METHODS["pf_msmtrec"])
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], dict):
        return "a rule returns two things: the weights, and a dict of what it wants to find next round ({})"
    weights = torch.as_tensor(found[0]).float()
    if tuple(weights.shape) != (1, 3, 3):
        return f"the weights must be [U, N, N], here [1, 3, 3]; yours are {list(weights.shape)}"
    if torch.allclose(weights[0], torch.tensor(RIGHT), atol=1e-4):
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
    "ex1": Exercise("text", _harmed, "look for the deepest red in the figure"),
    "ex2": Exercise(
        "function", _friends, "cosines(exchange.gram), keep what is above 0, times rows, divide by the sum"
    ),
    "ex3": Exercise("any", _home, "replace(METHODS['pf_msmtrec'], name=…, share={…})"),
}

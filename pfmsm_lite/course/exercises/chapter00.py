"""Exercises of chapter 00: a mixture by hand, what is sent, one mixture for all."""

from dataclasses import replace

import pfmsm_lite.rivals  # noqa: F401 their rules are answers too
from pfmsm_lite.course.notebook import Exercise
from pfmsm_lite.methods import METHODS, Method

HELD = (4.0, 6.0, -10.0)
LINE = (0.1, 0.2, 0.7)  # client C's weights


def one_mixture(method):
    """Exercise 3, ours: the method with one mixture for all."""
    return replace(method, aggregate="mean")


def _mixture(answer):
    value = float(answer)
    if abs(value + 5.4) < 1e-6:
        return ""
    if abs(value) < 1e-6:
        return "that is the plain mean, the same for everybody. Use the weights in C's line."
    if abs(value + 6.0) < 1e-6:
        return "those are the weights in C's column. What C receives stands in C's line."
    if abs(value - 1.6) < 1e-6:
        return "that leaves C itself out: its own value counts too, with its own weight."
    if abs(value - 5.4) < 1e-6:
        return "the sign: C holds a negative number."
    return "multiply each weight in C's line by what that client holds, then add up the three products."


def _stays(answer):
    word = answer.strip().lower()
    if word in ("gate", "gates", "the gate"):
        return ""
    if word in ("rows", "row", "data"):
        return "rows stay too, but they are no part of the model. Look at the orange boxes on the map."
    if word in ("embedding", "tower", "expert", "experts", "expert.scenario", "shared", "shared part"):
        return f"{word} does leave: it is blue on the map, and the list above has a line for it."
    if "local" in word or "task" in word or "client" in word:
        return "that stays, but it is a part of an expert's weights. Which WHOLE box on the map is orange?"
    return "compare the list above with the boxes of the map: embedding, expert, gate, tower."


def _one_mixture(answer):
    before = METHODS["pf_msmtrec"]
    after = answer(before)
    if not isinstance(after, Method):
        return f"return a Method, such as replace(method, ...); this returned a {type(after).__name__}."
    if after.aggregate == "self":
        return (
            "`self` gives every client a mixture of its own, with fixed weights. All should get the same one."
        )
    if after.aggregate == before.aggregate:
        return "the server still mixes for each client by itself: it is the field `aggregate` that decides."
    if after.aggregate != "mean":
        return f"`{after.aggregate}` still mixes for each client by itself. Which rule is FedAvg's?"
    fields = [name for name in vars(before) if getattr(before, name) != getattr(after, name)]
    changed = [name for name in fields if name not in ("aggregate", "name", "summary")]
    if changed:
        return f"change one thing only: `{changed[0]}` was changed as well, so nobody knows which did it."
    return ""


EXERCISES = {
    "ex1": Exercise("number", _mixture, "one number: what client C holds after the download."),
    "ex2": Exercise("text", _stays, "one word, the name of a box on the map."),
    "ex3": Exercise("function", _one_mixture, "a function of a method: lambda method: replace(method, ...)"),
}

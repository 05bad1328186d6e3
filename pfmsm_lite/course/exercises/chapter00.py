"""Exercises of chapter 00: a mixture by hand, what is sent, one mixture for all."""

from dataclasses import replace

import pfmsm_lite.rivals  # noqa: F401 their rules are answers too
from pfmsm_lite.course.exercise import DECLARATION, Exercise, by_cases, say, varied
from pfmsm_lite.methods import METHODS, Method

MAP = "it reads the map of the method, which is what it is"


def one_mixture(method):
    """Exercise 3, ours: the method with one mixture for all."""
    return replace(method, aggregate="mean")


def mixture(a=4, b=6, c=-10, from_a=0.1, from_b=0.2):
    """Exercise 1: what the clients hold, and two weights of C's line."""
    held, line = (a, b, c), (from_a, from_b, round(1 - from_a - from_b, 6))
    parts = [weight * value for weight, value in zip(line, held, strict=True)]
    column = 0.1 * a + 0.1 * b + line[2] * c
    cases = (
        (sum(parts), ""),
        (sum(held) / 3, "that is the plain mean, the same for everybody. Use the weights in C's line."),
        (column, "those are the weights in C's column. What C receives stands in C's line."),
        (parts[0] + parts[1], "that leaves C itself out: its own value counts too, with its own weight."),
        (-sum(parts), "the sign: C holds a negative number."),
    )
    task = f"""Three clients; a model is one number. What they hold, and the server's weights:

client|holds|… from A|… from B|… from C
---|---|---|---|---
**A**|{say(a)}|0.5|0.4|0.1
**B**|{say(b)}|0.3|0.6|0.1
**C**|{say(c)}|{say(line[0])}|{say(line[1])}|{say(line[2])}

What does client C receive? A number."""
    return by_cases(
        "number", cases,
        "multiply each weight in C's line by what that client holds, then add up the three products.", 1e-6,
        "one number: what client C holds after the download.", task=task,
        why=" + ".join(f"{say(w)} · {say(v)}" for w, v in zip(line, held, strict=True)),
    )  # fmt: skip


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
    "ex1": varied(
        mixture, a=(2, 3, 5, 7), b=(3, 4, 6, 8), c=(-4, -6, -10, -12), from_a=(0.1, 0.2, 0.3),
        from_b=(0.1, 0.2, 0.3),
    ),
    "ex2": Exercise("text", _stays, "one word, the name of a box on the map.", stays=MAP),
    "ex3": Exercise(
        "function", _one_mixture, "a function of a method: lambda method: replace(method, ...)",
        stays=DECLARATION,
    ),
}  # fmt: skip

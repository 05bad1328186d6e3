"""What a person did wrong, said so that they can fix it."""

import difflib
from collections.abc import Iterable
from numbers import Integral


class UserError(ValueError):
    """Bad input or a bad setting: one paragraph that names the place and the remedy."""

    def _render_traceback_(self) -> list[str]:
        """In a notebook IPython shows this in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


def at_least_one(**numbers: int) -> None:
    """Refuse, by the name of its option, a number that is below 1 or not whole."""
    for name, number in numbers.items():
        if not isinstance(number, Integral) or number < 1:
            raise UserError(f"--{name.replace('_', '-')} is {number!r}, but it must be at least 1 and whole.")


def choose(kind: str, name: str, choices: Iterable) -> str:
    """Return `name` if it is one of `choices`; else raise a UserError that suggests the nearest.

    Nearest are names that look alike, that contain it, or that it abbreviates: lr for learning_rate.
    """
    choices = list(choices)
    if name in choices:
        return name
    near = difflib.get_close_matches(str(name), choices, n=1)
    for words in (choice.split("_") for choice in choices if name and not near):
        near += ["_".join(words)] * (name in (*words, "".join(word[:1] for word in words)))
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UserError(f"Unknown {kind} {name!r}.{hint} Choose one of: {', '.join(choices)}.")

"""Open tables: every choice that a method can name, with the function behind it.

The built-in choices come in by the same door as one of your own, which a cell of a notebook may open:

    register("aggregate", "mine", my_rule, "one line for --help")
"""

import re
from typing import Any, NamedTuple, NoReturn

import torch

from pfmsm_lite.errors import UserError, choose


class Operator(NamedTuple):
    """One row of a table: what is called, and one line that says what it does."""

    function: Any
    text: str


# kind → name → Operator; the kinds in the order in which a round uses them
KINDS = (
    "reader", "model", "compose", "optimizer_state", "phases", "intercept", "attack", "check", "normalize",
    "undo", "coordinate", "rescale", "aggregate", "embedding", "personal", "calibrate", "fields", "client",
    "entries",
)  # fmt: skip
OPERATORS: dict[str, dict[str, Operator]] = {kind: {} for kind in KINDS}


def _home(function: Any) -> tuple:
    """Where a function was written: running its cell once more gives another function of the same home."""
    return getattr(function, "__module__", None), getattr(function, "__qualname__", "<lambda>")


def register(kind: str, name: str, function: Any = None, text: str = "") -> Any:
    """Add a choice to a table; from then on `Method(...)`, `run` and the command line know it.

    kind      a key of OPERATORS: which stage it is for
    name      what methods call it
    function  what the stage calls; the module of the stage says with what, and what comes back.
              Without one, `register` is a decorator
    text      one line for --help; "": the first line of the function's docstring
    returns   the function
    raises    UserError for an unknown kind, a name that is taken, or what cannot be called. The same
              function, defined anew in its cell, takes its own place again
    """
    if function is None:
        return lambda found: register(kind, name, found, text)
    table = OPERATORS[choose("kind of operator", kind, OPERATORS)]
    if not callable(function):
        raise UserError(f"register({kind!r}, {name!r}, …): {function!r} is not a function.")
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
        raise UserError(f"register({kind!r}, {name!r}, …): a name is letters, digits, - and _.")
    home = _home(function)
    if name in table and (home != _home(table[name].function) or "<lambda>" in home[1]):
        raise UserError(f"{name!r} is already a choice of {kind}: {table[name].text}. Choose another name.")
    table[name] = Operator(function, text or (function.__doc__ or "").partition("\n")[0].rstrip("."))
    return function


def lookup(kind: str, name: str) -> Any:
    """The function behind a choice. Raises UserError, with the nearest name, for an unknown one."""
    return OPERATORS[kind][choose(kind, name, OPERATORS[kind])].function


def is_finite(found: Any, shape: tuple) -> bool:
    """Whether a rule returned a tensor of this shape, without NaN or infinity."""
    return torch.is_tensor(found) and tuple(found.shape) == tuple(shape) and bool(found.isfinite().all())


def fits(part: torch.Tensor, whole: torch.Tensor) -> bool:
    """Whether a tensor can be broadcast against another, to its shape."""
    pairs = zip(part.shape[::-1], whole.shape[::-1], strict=False)
    return part.ndim <= whole.ndim and all(own in (1, other) for own, other in pairs)


def refuse(kind: str, name: str, found: Any, wanted: str) -> NoReturn:
    """Say what a rule returned, and what it should: UserError."""
    what = f"a {type(found).__name__}"
    if torch.is_tensor(found):
        holes = "" if found.isfinite().all() else " with NaN or infinity"
        what = f"a tensor of shape {tuple(found.shape)}{holes}"
    raise UserError(f"The {kind} rule {name!r} returned {what}; it should return {wanted}.")

"""Open tables: every choice that a method can name, with the function behind it.

The built-in choices come in by the same door as one of your own, which a cell of a notebook may open:

    register("aggregate", "mine", my_rule, "one line for --help")
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from pfmsm_lite.errors import UserError, choose


class Operator(NamedTuple):
    """One row of a table: what is called, and one line that says what it does."""

    function: Any
    text: str


# kind → name → Operator; the kinds in the order in which a round uses them
OPERATORS: dict[str, dict[str, Operator]] = {
    "reader": {},
    "model": {},
    "compose": {},
    "optimizer_state": {},
    "phases": {},
    "intercept": {},
    "normalize": {},
    "undo": {},
    "coordinate": {},
    "rescale": {},
    "aggregate": {},
    "embedding": {},
    "personal": {},
}


def _home(function: Any) -> tuple:
    """Where a function was written: running its cell once more gives another function of the same home."""
    return getattr(function, "__module__", None), getattr(function, "__qualname__", "<lambda>")


def register(kind: str, name: str, function: Callable, text: str) -> Callable:
    """Add a choice to a table; from then on `Method(...)`, `run` and the command line know it.

    kind      a key of OPERATORS: which stage it is for
    name      what methods call it;  text: one line for --help
    function  what the stage calls; the module of the stage says with what, and what comes back
    returns   the function
    raises    UserError for an unknown kind, a name that is taken, or what cannot be called. The same function,
              defined anew in its cell, takes its own place again
    """
    table = OPERATORS[choose("kind of operator", kind, OPERATORS)]
    if not callable(function):
        raise UserError(f"register({kind!r}, {name!r}, …): {function!r} is not a function.")
    if not isinstance(name, str) or not name.replace("_", "a").replace("-", "a").isalnum():
        raise UserError(f"register({kind!r}, {name!r}, …): a name is letters, digits, - and _.")
    if name in table:
        home = _home(function)
        if home != _home(table[name].function) or "<lambda>" in home[1]:
            raise UserError(f"There is already a {kind} {name!r}: {table[name].text}. Choose another name.")
    table[name] = Operator(function, text)
    return function


def lookup(kind: str, name: str) -> Any:
    """The function behind a choice. Raises UserError, with the nearest name, for an unknown one."""
    return OPERATORS[kind][choose(kind, name, OPERATORS[kind])].function

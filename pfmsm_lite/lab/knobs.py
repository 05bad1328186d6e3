"""`--knob` and `--share`: NAME=VALUE on the command line, and what each knob of the generator may be."""

import argparse
import ast
import json
import math
from collections.abc import Callable, Iterable
from inspect import signature
from numbers import Integral, Real
from typing import Any

from pfmsm_lite.data import synthetic
from pfmsm_lite.errors import UserError, choose

LONGEST = 100_000  # entries of a list that is written as [500]*16


def knob(text: str) -> tuple[str, Any]:
    """NAME=VALUE → (name, value): JSON, or lists as Python writes them such as [500]*16, else a text."""
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name.strip(), value_of(value)


def value_of(text: str) -> Any:
    """What a value's text means, in the types of JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(json.dumps(_literal(ast.parse(text.strip(), mode="eval").body)))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return text


def _literal(node):
    """A literal, lists in it joined by + and repeated by *."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Add):
        left, right = _literal(node.left), _literal(node.right)
        if isinstance(node.op, ast.Add) and isinstance(left, list) and isinstance(right, list):
            return left + right
        some, times = (left, right) if isinstance(left, list) else (right, left)
        if isinstance(some, list) and isinstance(times, int) and len(some) * times <= LONGEST:
            return some * times
        raise ValueError("no literal")
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(part) for part in node.elts]
    return ast.literal_eval(node)


# ---- what a knob may be ----


def _number(value):
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value):
    return isinstance(value, Integral) and not isinstance(value, bool)


def _listed(value, test):
    return isinstance(value, list | tuple) and all(map(test, value))


def _nested(value):
    """A number, or lists of numbers in lists of one length."""
    if not isinstance(value, list | tuple):
        return _number(value)
    lengths = {len(own) if isinstance(own, list | tuple) else -1 for own in value}
    return all(map(_nested, value)) and len(lengths) <= 1


def _text(value):
    return isinstance(value, str)


def _names_by_number(value):
    return isinstance(value, dict) and all(
        str(number).isdecimal() and _listed(names, _text) for number, names in value.items()
    )


def _numbers_by_name(value):
    return isinstance(value, dict) and all(_text(name) and _whole(size) for name, size in value.items())


BY_NUMBER = "names by number"
NUMBER = ("a number", _number)
WHOLE = ("a whole number", _whole)
NESTED = ("a number, or lists of numbers", _nested)
# knob → (what it may be, in words; the test)
KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "sizes": ("a list of whole numbers, such as [500]*16", lambda v: _listed(v, _whole)),
    "relatedness": ("a list of labels, or a matrix", lambda v: _listed(v, lambda u: _text(u) or _nested(u))),
    "tasks": ('a list of names, such as ["click","buy"]', lambda v: _listed(v, _text)),
    "task_correlation": NESTED,
    "rates": NESTED,
    "missing_tasks": (f'{BY_NUMBER} of the scenario, such as {{"0":["click"]}}', _names_by_number),
    "missing_columns": (f'{BY_NUMBER} of the scenario, such as {{"0":["item"]}}', _names_by_number),
    "columns_home": ("true or false", lambda value: isinstance(value, bool)),
    "fields": ('numbers by name, such as {"user":300,"item":100}', _numbers_by_name),
    "statistics": ("client, federation or none", _text),
    "numericals": WHOLE,
    "test_rows": WHOLE,
}


def checked(knobs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Arguments of `synthetic` from knobs; keys that JSON made texts are numbers again.

    raises  UserError, by its name, for a knob that does not exist, is given twice or is of another type
    """
    parameters = {name: p.default for name, p in signature(synthetic).parameters.items() if name != "seed"}
    found: dict[str, Any] = {}
    for name, value in knobs:
        choose("--knob", name, parameters)
        if name in found:
            raise UserError(f"--knob {name} is given twice. Give it once.")
        words, fits = KINDS.get(name, NUMBER)
        if not fits(value):
            wanted = f"it must be {words}. Its default is {parameters[name]!r}"
            raise UserError(f"--knob {name} is {value!r}, but {wanted}.")
        found[name] = {int(n): own for n, own in value.items()} if words.startswith(BY_NUMBER) else value
    return found

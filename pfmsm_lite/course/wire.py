"""Answers on their way from a student's kernel to the grader: plain data as JSON, never a pickle.

A function stays in the kernel. The grader gets a stand-in that sends arguments there and gets plain data
back. So a student's code runs in the student's kernel alone, where it can give answers, and no verdict.

In JSON a value is null, true, a number or a text as it is; everything else is {kind: body}, see PACKED.
"""

import base64
import dataclasses
import io
import json
import math
import pickle
from collections.abc import Callable, Iterable
from multiprocessing.connection import Client, Connection
from typing import Any

from pfmsm_lite.methods import Method
from pfmsm_lite.scenario import Rows, Scenario

MOST = 64 * 2**20  # bytes of a message from a kernel
DEEPEST = 20  # levels of lists in lists
CALL, VERDICT = b"c", b"v"  # first byte of a message to a kernel
RECORDS = {"Method": Method, "Scenario": Scenario, "Rows": Rows}
DTYPES = {"bool", "float16", "float32", "float64", "complex64", "complex128"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


class Refused(ValueError):
    """What came over the wire is no answer."""


class Unknown:
    """Stands for an object that is not handed over; its class is named as the object's."""


def named(base: type, name: str) -> type:
    """A subclass with this name, for messages that say what type something is of."""
    return type("".join(c for c in str(name) if c.isprintable())[:60], (base,), {})


# ---- in the kernel ----


def pack(value: Any, functions: list, deep: int = 0) -> Any:
    """A value as JSON holds it; a function is put into the list `functions` and goes as its place there."""
    if value is None or isinstance(value, (bool, str, int, float)):
        plain = next((kind for kind in (bool, str, int, float) if isinstance(value, kind)), lambda none: None)
        return plain(value)
    if value is ...:
        return {"ellipsis": None}
    if deep < DEEPEST:
        for kind, fits, body in PACKED:
            if fits(value):
                return {kind: body(value, lambda part: pack(part, functions, deep + 1))}
    if callable(value):
        functions.append(value)
        return {"function": [len(functions) - 1, type(value).__name__]}
    return {"unknown": type(value).__name__}


def _is_array(value):
    import torch

    if isinstance(value, torch.Tensor):
        return True
    return hasattr(value, "__array__") and hasattr(value, "shape") and not isinstance(value, type)


def _array(value, inner):
    import numpy as np
    import torch

    if is_tensor := isinstance(value, torch.Tensor):
        value = value.detach().cpu().to_dense()
        value = (value.float() if value.dtype == torch.bfloat16 else value).resolve_conj().numpy()
    found = np.asarray(value)
    if found.dtype.name not in DTYPES:
        return [type(value).__name__]
    data = base64.b64encode(np.ascontiguousarray(found).tobytes()).decode()
    return [found.dtype.name, list(found.shape), data, is_tensor]


def _record(value, inner):
    kind = next(name for name, kind in RECORDS.items() if isinstance(value, kind))
    names = getattr(RECORDS[kind], "_fields", None) or [f.name for f in dataclasses.fields(RECORDS[kind])]
    return [kind, {name: inner(getattr(value, name)) for name in names}]


def _items(value, inner):
    return [inner(part) for part in value]


PACKED: tuple[tuple[str, Callable, Callable], ...] = (
    # kind, is a value of it, its body; the first that fits counts
    ("record", lambda value: isinstance(value, tuple(RECORDS.values())), _record),
    ("array", _is_array, _array),
    ("tuple", lambda value: isinstance(value, tuple), _items),
    ("list", lambda value: isinstance(value, list), _items),
    ("set", lambda value: isinstance(value, (set, frozenset)), _items),
    ("dict", lambda value: isinstance(value, dict), lambda value, inner: _items(value.items(), inner)),
    ("float", lambda value: hasattr(value, "__float__"), lambda value, inner: float(value)),
    (
        "iterator",
        lambda value: isinstance(value, Iterable) and not isinstance(value, type) and not callable(value),
        _items,
    ),
)


def dumps(value: Any) -> bytes:
    """JSON in bytes; what is too large or too long goes as an unknown."""
    try:
        text = json.dumps(value).encode()
    except ValueError:  # a number of thousands of digits
        text = b""
    return text if 0 < len(text) <= MOST else json.dumps({"too_large": None}).encode()


def ask(address: str, chapter: str, name: str, answer: Any) -> tuple[str, str]:
    """Hand an answer to the grader and serve its calls of functions: (state, hint)."""
    functions: list = []
    with Client(address) as line:
        packed = _packed(answer, functions)
        line.send_bytes(dumps({"chapter": chapter, "name": name, "answer": packed}))
        while True:
            message = line.recv_bytes()
            if message[:1] == VERDICT:
                state, hint = json.loads(message[1:])
                return state, hint
            line.send_bytes(dumps(_served(functions, *pickle.loads(message[1:]))))  # the grader's own


def _packed(answer, functions):
    try:
        return pack(answer, functions)
    except Exception:  # a class of the student's that raises where it is read
        return {"unknown": type(answer).__name__}


def _served(functions, number, arguments):
    """Call a function: its result, and the numbers of the models among its arguments, which it may change."""
    from torch import nn

    try:
        result = functions[number](*arguments)
    except Exception as error:
        return {"error": [type(error).__name__, str(error)[:1000]]}
    models = [dict(value.state_dict()) for value in arguments if isinstance(value, nn.Module)]
    return {"result": _packed(result, functions), "models": _packed(models, functions)}


# ---- in the grader ----


def unpack(data: Any, function: Callable, refused: Callable = lambda name: None) -> Any:
    """The value of what `pack` made; raises Refused for anything else.

    function  (number, name of its type) → what stands for a function of the kernel
    refused   is told the type of each object that could not be handed over
    """
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    if not isinstance(data, dict) or len(data) != 1:
        raise Refused("a value is one kind and its body")
    ((kind, body),) = data.items()
    if kind == "ellipsis":
        return ...
    if kind == "function":
        return function(int(body[0]), str(body[1]))
    if kind in UNPACKED:
        return UNPACKED[kind](body, lambda part: unpack(part, function, refused))
    if kind == "array":
        return _as_array(body, refused)
    refused(body if kind == "unknown" else "so large a size")
    return named(Unknown, body if kind == "unknown" else "answer of more than 64 MiB")()


def _as_array(body, refused):
    import numpy as np
    import torch

    if len(body) == 1:
        refused(body[0])
        return named(Unknown, body[0])()
    dtype, shape, data, is_tensor = body
    if dtype not in DTYPES or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise Refused("an array of numbers has a known type and a shape")
    raw = base64.b64decode(data, validate=True)
    if math.prod(shape) * np.dtype(dtype).itemsize != len(raw):
        raise Refused("an array's shape and its bytes do not agree")
    found = np.frombuffer(raw, dtype).reshape(shape).copy()
    return torch.from_numpy(found) if is_tensor else found


def _as_record(body, inner):
    name, fields = body
    return RECORDS[name](**{field: inner(value) for field, value in fields.items()})


UNPACKED: dict[str, Callable] = {
    "record": _as_record,
    "tuple": lambda body, inner: tuple(map(inner, body)),
    "list": lambda body, inner: list(map(inner, body)),
    "set": lambda body, inner: set(map(inner, body)),
    "dict": lambda body, inner: dict(map(inner, body)),
    "float": lambda body, inner: float(body),
    "iterator": lambda body, inner: iter(list(map(inner, body))),
}


class Gone(BaseException):
    """The kernel ended, or was interrupted, before it answered. No error of an answer's."""


class StandIn:
    """A student's function as the grader sees it. It may be called with anything that pickles."""

    def __init__(self, talk: Callable, unpacked: Callable, number: int):
        self._talk, self._unpacked, self._number = talk, unpacked, number

    def __call__(self, *arguments: Any) -> Any:
        from torch import nn

        sent = io.BytesIO()
        pickle.dump((self._number, arguments), sent)
        told = self._talk(CALL + sent.getvalue())
        if "error" in told:
            kind, text = map(str, told["error"])
            raise named(Exception, kind)(text)
        if "result" not in told:
            return self._unpacked(told)
        models = [value for value in arguments if isinstance(value, nn.Module)]
        for model, numbers in zip(models, self._unpacked(told["models"]), strict=True):
            model.load_state_dict(numbers)
        return self._unpacked(told["result"])


def receive(line: Connection, stopped: Callable[[], bool]) -> dict:
    """The next message of a kernel; raises Gone where none comes any more, Refused where it is none."""
    try:
        while not line.poll(0.1):
            if stopped():
                raise Gone
        text = line.recv_bytes(MOST + 1000)
    except (EOFError, OSError) as error:
        raise Gone from error
    told = json.loads(text)
    if not isinstance(told, dict):
        raise Refused("a message is an object")
    return told

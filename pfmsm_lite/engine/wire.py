"""What travels between a client and the server: a few plain values and named arrays, as bytes.

    8 bytes   length of the head, little-endian
    head      JSON: {"about": plain values, "arrays": [[name, type, shape], …]}
    arrays    their numbers, one array after the other, little-endian

Nothing of it is executed when it is read, whoever wrote it.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pfmsm_lite.errors import UserError

TYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")
LENGTH = 8  # bytes that say how long the head is


class Letter(NamedTuple):
    """One message. about: plain values that JSON can hold;  arrays: name → numpy array."""

    about: dict[str, Any]
    arrays: dict[str, np.ndarray] = {}


def pack(letter: Letter) -> bytes:
    """A letter as bytes; equal letters give equal bytes."""
    arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in letter.arrays.items()}
    listed = [[name, array.dtype.name, list(array.shape)] for name, array in arrays.items()]
    head = json.dumps({"about": letter.about, "arrays": listed}).encode()
    blocks = (array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes() for array in arrays.values())
    return b"".join([len(head).to_bytes(LENGTH, "little"), head, *blocks])


def unpack(content: bytes) -> Letter:
    """The letter that `pack` wrote. Raises UserError for bytes that are none."""
    head, start = _head(content)
    arrays = {}
    for name, kind, shape in head["arrays"]:
        count = math.prod(shape)
        found = np.frombuffer(content, np.dtype(kind).newbyteorder("<"), count, start)
        arrays[name] = found.astype(kind).reshape(shape)  # a copy, of its own
        start += found.nbytes
    return Letter(head["about"], arrays)


def listed(content: bytes) -> list[tuple[str, tuple[int, ...], int]]:
    """What these bytes are: [(name, shape, bytes)], the head first; the bytes add up to all of them."""
    head, start = _head(content)
    arrays = [
        (name, tuple(shape), math.prod(shape) * np.dtype(kind).itemsize)
        for name, kind, shape in head["arrays"]
    ]
    return [("head", (start,), start), *arrays]


def _head(content):
    """(the head, where the arrays begin), checked against the length of the whole."""
    try:
        start = LENGTH + int.from_bytes(content[:LENGTH], "little")
        head = json.loads(content[LENGTH:start])
        sizes = []
        for name, kind, shape in head["arrays"]:
            if (
                not isinstance(name, str)
                or kind not in TYPES
                or any(type(n) is not int or n < 0 for n in shape)
            ):
                raise ValueError(f"array {name!r} of type {kind!r}, shape {shape!r}")
            sizes.append(math.prod(shape) * np.dtype(kind).itemsize)
        if len({name for name, _, _ in head["arrays"]}) < len(sizes) or not isinstance(head["about"], dict):
            raise ValueError("a name is there twice")
        if start + sum(sizes) != len(content):
            raise ValueError(f"{len(content)} bytes instead of {start + sum(sizes)}")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"This is no message of this package, or a torn one: {error}.") from error
    return head, start


def arrays(message: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """A message of the core, ready to be packed."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in message.items()}


def tensors(letter: Letter) -> dict[str, Tensor]:
    """A letter's arrays as a message of the core."""
    return {name: torch.from_numpy(array) for name, array in letter.arrays.items()}

"""Tensors, lists, dicts, numbers and texts in a file of PyTorch's format with a checksum as its last line."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import torch

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.writing import whole

TAIL = 4096  # bytes in which the last line is looked for


class Damaged(Exception):
    """The file is torn, or not of this kind; content: what could be read of a file without a last line."""

    content: Any = None


class _Summed:
    """A file to write into that knows the checksum of what was written."""

    def __init__(self, file):
        self.file, self.sum = file, hashlib.sha256()

    def write(self, content):
        self.sum.update(content)
        return self.file.write(content)

    def flush(self):
        self.file.flush()


def save(path: str | Path, content: Any, **said: Any) -> None:
    """Write content to `path`, all of it or nothing; said: plain values that `last_line` reads alone.

    raises  UserError where the disk is full or read-only
    """
    with whole(path) as file:
        summed = _Summed(file)
        try:
            torch.save(content, summed)
        except RuntimeError as error:  # what PyTorch makes of a write that failed
            raise OSError(str(error).partition("\n")[0]) from error
        text = json.dumps(said, sort_keys=True)
        summed.sum.update(text.encode())
        line = json.dumps({"sha256": summed.sum.hexdigest(), "said": said}, sort_keys=True)
        file.write(f"\n{line}\n".encode())


def last_line(path: str | Path) -> dict[str, Any]:
    """What `save` was told to say, without reading the rest. Raises Damaged, or OSError without a file."""
    with open(path, "rb") as file:
        file.seek(0, io.SEEK_END)
        file.seek(max(0, file.tell() - TAIL))
        return _cut(file.read())[1]["said"]


def load(path: str | Path) -> tuple[Any, dict[str, Any]]:
    """(content, what was said) of a file that `save` wrote, with no bit changed since.

    raises  Damaged; UserError for a file that may not be read
    """
    try:
        found = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. See that you may read it.") from error
    try:
        content, line = _cut(found)
    except Damaged as damaged:
        damaged.content = _content(found)
        raise
    said = json.dumps(line["said"], sort_keys=True)
    if hashlib.sha256(content + said.encode()).hexdigest() != line["sha256"] or not _same(found, line):
        raise Damaged("the checksum differs")
    return _content(content), line["said"]


def _cut(found):
    """(the bytes before the last line, what it says)."""
    content, _, line = found[:-1].rpartition(b"\n")
    try:
        if not found.endswith(b"\n"):
            raise ValueError
        line = json.loads(line)
        line["sha256"], line["said"]
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged("the checksum is missing") from error
    return content, line


def _same(found, line):
    """Whether the last line is as `save` wrote it: no bit of it may change either."""
    return found.endswith(f"\n{json.dumps(line, sort_keys=True)}\n".encode())


def _content(found):
    try:
        return torch.load(io.BytesIO(found), weights_only=True)
    except Exception as error:  # torch.load raises whatever the torn bytes lead it to
        raise Damaged(type(error).__name__) from error

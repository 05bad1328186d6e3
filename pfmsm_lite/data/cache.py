"""What was read of a published file, kept as Parquet: so it is read once, and a killed reading goes on.

A file's folder, whose name tells it from any other version of the file, holds parts, each named after the
bytes and lines of the text that it is made of, and source.json, which says of what file. A part is written
beside its name and then renamed. `whole.json` comes last: until it is there, reading goes on after the last
part that follows on from the first. One process reads at a time, the others wait for it.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet

from pfmsm_lite.data.chunks import Layout, blocks, header
from pfmsm_lite.data.lock import in_turn
from pfmsm_lite.data.meter import Meter
from pfmsm_lite.data.room import room
from pfmsm_lite.errors import UserError

USUAL = Path("runs") / "cache"  # where nothing else is said
VERSION = 1  # of what is kept
SHARE = 0.7  # of a text file's size that its Parquet takes at most, by measurement
EDGE = 2**16  # bytes at both ends of a file that tell it from another one


class Part(NamedTuple):
    """A Parquet file of some rows: the text's bytes from `start` to `end`, its lines from `line` on."""

    path: Path
    start: int
    end: int
    line: int
    following: int
    rows: int


def kept(path: str | Path, layout: Layout, folder: str | Path, name: str) -> list[Part]:
    """The parts of a text file in folder/name-…, read now where they are not there.

    raises  UserError for what `chunks.blocks` refuses, and where the disk is full: what was read is kept
    """
    about = _about(Path(path), layout)
    place = Path(folder) / f"{name}-{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]}"
    with _room(place):
        place.mkdir(parents=True, exist_ok=True)
        with in_turn(
            place / "lock", lambda: sys.stderr.write(f"{path}: another process reads it. Waiting.\n")
        ):
            return _read(Path(path), layout, place, name, about)


def _read(path, layout, place, name, about):
    """What `kept` does while no other process does."""
    _say_source(place, path, about)
    _sweep(place)
    found = _parts(place, header(path, layout)[1])
    if (place / "whole.json").exists() and found and _whole(place) == found[-1].end:
        return found
    _check_free(place, path, found)
    size, meter = os.path.getsize(path), Meter(f"reading {name}")
    begin = (found[-1].end, found[-1].following) if found else None
    rows = before = sum(part.rows for part in found)
    packed = str(path).endswith(".gz")
    for block in blocks(path, layout, begin):
        found.append(_write(place, block))
        rows += found[-1].rows
        meter.at(rows, None if packed else block.end / size, before)
    meter.done()
    if not rows:
        raise UserError(f"{path} has a header and no rows. Fetch it again.")
    _replace(place / "whole.json", json.dumps({"end": found[-1].end, "rows": rows}))
    return found


def fingerprint(path: Path) -> dict:
    """What tells a file from another one of its name: size, time of writing, and both ends."""
    about, found = path.stat(), hashlib.sha256()
    with path.open("rb") as file:
        found.update(file.read(EDGE))
        file.seek(max(0, about.st_size - EDGE))
        found.update(file.read(EDGE))
    return {"size": about.st_size, "time": about.st_mtime_ns, "edges": found.hexdigest()}


def refuse_copies(paths: Iterable[Path]) -> None:
    """UserError for two files that are one: cheap, and before the long reading. Those without rows may be."""
    seen: dict[str, Path] = {}
    for path in paths:
        with path.open("rb") as file:
            if len(file.read(EDGE).split(b"\n", 2)) < 3 and path.suffix != ".gz":
                continue
        other = seen.setdefault(fingerprint(path)["edges"], path)
        if other is not path:
            raise UserError(f"{other} and {path} begin and end alike: one is a copy. Fetch both again.")


def tables(parts: list[Part], columns: list[str] | None = None) -> Iterator[pa.Table]:
    """What the parts hold, one after the other."""
    for part in parts:
        yield pa.parquet.read_table(part.path, columns=columns, memory_map=False)


def _room(place):
    return room(
        f"No room is left where {place} lies. What was read is kept, and the next reading goes on "
        "from there: make room, or give another --cache-dir.",
        lambda why: f"{place} cannot be written: {why}. Give another --cache-dir.",
    )


def _about(path, layout):
    """What a folder holds: which file, as it is now, and how it is read."""
    if not path.exists():
        raise UserError(f"There is no file {path}.")
    layout = [[list(pair) for pair in layout.columns.items()], layout.sep]
    return {"version": VERSION, "layout": layout, **fingerprint(path)}


def _say_source(place, path, about):
    """Say whose the folder is; what was kept of an older version of the same file goes."""
    if not (place / "source.json").exists():
        _replace(place / "source.json", json.dumps({"file": str(path.resolve()), **about}))
    for said in place.parent.glob(f"{place.name[:-13]}-*/source.json"):
        with contextlib.suppress(OSError, ValueError):
            told = json.loads(said.read_text(encoding="utf-8"))
            same = told.get("file") == str(path.resolve()) and told["layout"] == about["layout"]
            if same and said.parent != place:
                shutil.rmtree(said.parent, ignore_errors=True)


def _sweep(place):
    """Remove what killed processes left half written; one that is at work keeps its own."""
    for torn in place.glob("*.torn") if os.name == "posix" else ():
        try:
            os.kill(int(torn.suffixes[-2][1:]), 0)
        except (ProcessLookupError, ValueError, IndexError):
            torn.unlink(missing_ok=True)
        except OSError:  # another user's
            continue


def _whole(place):
    try:
        return json.loads((place / "whole.json").read_text(encoding="utf-8"))["end"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parts(place, first):
    """The parts that follow on from one another, from the text's `first` byte on; a damaged one ends them."""
    found, at, there = [], first, sorted(place.glob("part-*.parquet"))
    for path in there:
        numbers = [int(word) for word in path.stem.split("-")[1:]]
        if len(numbers) != 5 or numbers[0] != at:
            break
        part = Part(path, *numbers)
        try:
            if pa.parquet.read_metadata(path).num_rows != part.rows:
                break
        except (OSError, ValueError):
            break
        found, at = [*found, part], part.end
    for path in set(there) - {part.path for part in found}:
        path.unlink(missing_ok=True)
    return found


def _check_free(place, path, found):
    done = found[-1].end if found else 0
    times = 4 if str(path).endswith(".gz") else 1
    need, free = SHARE * max(path.stat().st_size * times - done, 0), shutil.disk_usage(place).free
    if need > free:
        raise OSError(errno.ENOSPC, "no room")


def _write(place, block):
    """A block as a part: never half of it under its name."""
    numbers = (block.start, block.end, block.line, block.following, block.table.num_rows)
    path = place / f"part-{numbers[0]:015d}-{'-'.join(map(str, numbers[1:]))}.parquet"
    torn = path.with_suffix(f".{os.getpid()}.torn")
    try:
        pa.parquet.write_table(block.table, torn, compression="lz4", use_dictionary=False,
                               write_statistics=False)  # fmt: skip
        os.replace(torn, path)
    except BaseException:
        torn.unlink(missing_ok=True)
        raise
    return Part(path, *numbers)


def _replace(path, text):
    torn = path.with_suffix(f".{os.getpid()}.torn")
    try:
        torn.write_text(text + "\n", encoding="utf-8")
        os.replace(torn, path)
    except BaseException:
        torn.unlink(missing_ok=True)
        raise

"""Published data by name, `--data NAME --data-dir DIR`: readers, and which options each takes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pfmsm_lite.data.adult import read_adult
from pfmsm_lite.data.aliccp import read_aliccp
from pfmsm_lite.data.aliexpress import read_aliexpress
from pfmsm_lite.data.cache import USUAL
from pfmsm_lite.data.movielens import read_movielens
from pfmsm_lite.data.oulad import read_oulad
from pfmsm_lite.data.tenrec import read_tenrec
from pfmsm_lite.errors import UserError

Arguments = dict[str, Any]
EVERY = ("data_dir", "data_seed", "scenarios", "statistics", "categories", "buckets", "minimum_rows")
STREAMED = (*EVERY, "cache_dir", "most_rows")
OPTIONS = ("cache_dir", "most_rows", "order")  # that no other data have
CALLED = {"data_seed": "seed", "cache_dir": "cache"}  # an option → the argument of a reader


class Published(NamedTuple):
    """A reader, the options that it takes, those of them that it calls otherwise, and a line for --help."""

    read: Callable[..., list]
    options: tuple[str, ...]
    called: dict[str, str]
    text: str


PUBLISHED = {
    "aliexpress": Published(
        read_aliexpress, STREAMED, {},
        "AliExpress_{NL,ES,FR,US}/{train,test}.csv in --data-dir; scenario: the country",
    ),
    "tenrec": Published(
        read_tenrec, (*STREAMED, "tasks", "fractions"), {},
        "Tenrec's QK-video.csv, QB-video.csv, … in --data-dir; scenario: the file",
    ),
    "aliccp": Published(
        read_aliccp, STREAMED, {}, "ali_ccp_{train,val,test}.csv in --data-dir; scenario: column 301"
    ),
    "movielens": Published(
        read_movielens,
        ("data_dir", "data_seed", "scenarios", "minimum_rows", "scenario", "order", "fractions"), {},
        "MovieLens 100K or 1M in --data-dir; --scenario age (three groups) or occupation; --order",
    ),
    "oulad": Published(
        read_oulad, (*EVERY, "fractions", "duplicates"), {"fractions": "split"},
        "OULAD's files, or oulad.csv, in --data-dir; scenario: the course",
    ),
    "adult": Published(
        read_adult, EVERY, {}, "adult.data, adult.test, or adult.csv, in --data-dir; scenario: the occupation"
    ),
}  # fmt: skip


def reader(name: str) -> Callable[[Arguments], list]:
    """The reader of published data as a row of the table of readers: it takes a command's arguments."""
    own = PUBLISHED[name]

    def read(arguments: Arguments) -> list:
        if not arguments.get("data_dir"):
            raise UserError(f"--data {name} needs --data-dir: {own.text.partition(';')[0]}.")
        if not Path(arguments["data_dir"]).is_dir():
            raise UserError(f"--data-dir {arguments['data_dir']} is no folder. {own.text.partition(';')[0]}.")
        given = {option: arguments.get(option) for option in own.options[1:]}
        if "cache_dir" in given:
            given["cache_dir"] = cache_of(arguments)
        called = {**CALLED, **own.called}
        chosen = {called.get(k, k): value for k, value in given.items() if value not in (None, [], "")}
        return own.read(arguments["data_dir"], **chosen)

    read.__module__, read.__qualname__ = __name__, f"reader.{name}"
    return read


def cache_of(arguments: Arguments) -> Path:
    """Where what was read is kept: --cache-dir, else `cache` beside the run."""
    if arguments.get("cache_dir"):
        return Path(arguments["cache_dir"])
    return Path(arguments["out"]).parent / "cache" if arguments.get("out") else USUAL

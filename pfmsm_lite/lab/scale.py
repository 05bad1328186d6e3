"""How large it may get: bytes, memory and time of a round, computed from sizes; nothing is trained."""

from dataclasses import dataclass, replace

import pandas as pd

FLOAT, NUMBER = 4, 4  # bytes of a parameter, and of an embedding entry's number in an upload
INDEX = 8  # bytes of a client's number in a sparse matrix
CORE = 8e10  # multiplications and additions that a core does in a second (matrix products, measured)
LINK = 1.25e9  # bytes a second of a line of 10 Gbit/s
MESSAGE = 0.016  # seconds that Flower's simulation took for a client in a round in which nothing is trained


@dataclass(frozen=True)
class Size:
    """How large a federation is.

    scenarios  N clients;  entries: of the whole embedding table;  width: numbers of an entry
    held, used  entries that a client holds, and that its training rows use (it sends these)
    fields, numericals, tasks, experts, hidden, tower  of the MMoE
    sampled    share of the clients that take part in a round;  evidence: rounds in which `kin` asks
    sources    k of the sparse mixture
    """

    scenarios: int = 10_000
    entries: int = 10**8
    held: int = 10**6
    used: int = 10**6
    width: int = 8
    fields: int = 20
    numericals: int = 10
    tasks: int = 2
    experts: int = 4
    hidden: tuple[int, ...] = (64, 32)
    tower: int = 32
    sampled: float = 1.0
    evidence: int = 3
    sources: int = 50


def numbers_of(size: Size) -> tuple[int, int]:
    """Numbers of one expert's shared part (weights and biases), and of one task's tower."""
    widths = (size.fields * size.width + size.numericals, *size.hidden)
    expert = sum(o * i + o for i, o in zip(widths, widths[1:], strict=False))
    tower = size.tower * (size.hidden[-1] + 1) + size.tower + 1
    return expert, tower


def estimate(size: Size) -> dict[str, float]:
    """What a round of `pf_msmtrec` costs: bytes, seconds of one core or of the line, and shares.

    returns  upload, download      bytes of one client; upload_asked: in the first rounds, with gradients
             round                 bytes of all clients that take part, both ways
             waiting               bytes of all uploads, where they are collected before the server begins
             line                  seconds that the round's bytes take through LINK
             table, stacks         bytes at the server: the embedding table, and the clients' dense parts once
             weights, sparse       bytes of one matrix of weights: dense [N, N], or k sources each
             kin                   seconds of a core for the inner products of all pairs, per asking round
             mixing, mixing_sparse seconds of a core for all mixtures
             messages              seconds of Flower's own work
             seen                  share of the pairs of clients that meet in one of the asking rounds
    """
    expert, tower = numbers_of(size)
    dense, clients = size.experts * expert + size.tasks * tower, size.scenarios
    there = size.sampled * clients
    upload = FLOAT * dense + size.used * (FLOAT * size.width + NUMBER)
    download = FLOAT * dense + size.held * FLOAT * size.width
    whole = there * (upload + download)
    return {
        "upload": upload,
        "upload_asked": upload + FLOAT * dense,
        "download": download,
        "round": whole,
        "waiting": there * upload,
        "line": whole / LINK,
        "table": size.entries * size.width * FLOAT,
        "stacks": there * dense * FLOAT,
        "weights": clients**2 * FLOAT,
        "sparse": clients * min(size.sources, clients) * (FLOAT + INDEX),
        "kin": there**2 * dense * 2 / CORE,
        "mixing": there**2 * dense * 2 / CORE,
        "mixing_sparse": there * min(size.sources, there) * dense * 2 / CORE,
        "messages": there * MESSAGE,
        "seen": 1 - (1 - size.sampled**2) ** size.evidence,
    }


BIG = Size()
TENTH = replace(BIG, sampled=0.1)
CASES = {  # what the table of the results page shows
    "6 scenarios, 544 entries": Size(
        scenarios=6, entries=544, held=544, used=544, fields=4, numericals=4, sources=6
    ),
    "200 scenarios, 10⁵ entries": Size(scenarios=200, entries=10**5, held=2000, used=2000),
    "10,000 scenarios, 10⁸ entries, each client holds one in 100": BIG,
    "the same, a tenth of the clients a round": TENTH,
    "the same, each client holds one in 10,000": replace(BIG, held=10**4, used=10**4),
    "the same, each client holds all": replace(BIG, held=10**8, used=10**8),
}


def table() -> pd.DataFrame:
    """`estimate` of CASES: one line each, column `case` first."""
    return pd.DataFrame([{"case": name, **estimate(size)} for name, size in CASES.items()])

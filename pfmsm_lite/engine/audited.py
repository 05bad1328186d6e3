"""What is handed over in two rounds of the default, as a small table: notebooks/results/privacy/audit.csv.

python -m pfmsm_lite.engine.audited --out notebooks/results/privacy/audit.csv

    round          of the letter, 0: the handshake; that of round r brings down what became of round r − 1
    way            up: from a client to the server;  down: to it
    name           of the array, or head: names, shapes and plain values, scores and losses among them
    bytes          of all clients;  bytes_largest: of the one with most;  shape: at the first client
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from pfmsm_lite.engine.rounds import Record, audit
from pfmsm_lite.lab.privacy import PF, data_of
from pfmsm_lite.lab.writing import csv_text, replace_text
from pfmsm_lite.methods import Settings

ROUNDS = 2


def summed(records: Iterable[Record]) -> pd.DataFrame:
    """One line per round, way and name, in the order in which they were handed over."""
    found = pd.DataFrame(records).rename(columns={"direction": "way"})
    keys = ["round", "way", "name"]
    each = found.groupby([*keys, "client"], sort=False)["bytes"].sum()  # a handshake has two letters
    table = each.groupby(keys, sort=False).agg(["sum", "max"]).set_axis(["bytes", "bytes_largest"], axis=1)
    shapes = found.groupby(keys, sort=False)["shape"].first()
    sizes = ("" if name == "head" else "×".join(map(str, own)) or "1" for (*_, name), own in shapes.items())
    table["shape"] = list(sizes)
    return table.reset_index()


def main(words: list[str] | None = None) -> int:
    """Play the rounds and write the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pfmsm_lite.engine.audited", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--out", type=Path, default=Path("notebooks/results/privacy/audit.csv"), metavar="FILE"
    )
    options = parser.parse_args(words)
    scenarios, _ = data_of("synthetic", 0)
    _, records = audit(scenarios, PF, ROUNDS, 0, Settings())
    replace_text(options.out, csv_text(summed(records)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Drawings of chapter 18: what travels between a client and the server."""

import re

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pfmsm_lite.lab.style import GREY, finish, styled

KINDS = {  # what an array is → its colour
    "experts": "#0072B2",
    "validation gradients": "#E69F00",
    "towers": "#009E73",
    "embedding entries": "#CC79A7",
    "handshake": "#6A51A3",
    "head": GREY,
}
FIRST = ("rows", "has_task", "entries", "uses", "used", "known")  # arrays before the first round


def kind_of(name: str) -> str:
    """Which row of KINDS an array of a letter belongs to."""
    if name == "head" or name in FIRST:
        return "head" if name == "head" else "handshake"
    if name.startswith("gradient of "):
        return "validation gradients"
    return {"experts": "experts", "towers": "towers"}.get(re.split(r"\W", name)[0], "embedding entries")


def letters(records, client: str) -> pd.DataFrame:
    """One line per letter of a client, in order: bytes by kind, columns as in KINDS.

    records  list of engine.Record;  the index says which letter: "round 1 ↑" goes to the server, ↓ to it
    """
    found = pd.DataFrame(records)
    found = found[found["client"] == client].assign(kind=lambda f: f["name"].map(kind_of))
    last = found["round"].max()
    arrow = found["direction"].map({"up": "↑", "down": "↓"})
    names = {0: "handshake", last: "last"}
    label = found["round"].map(lambda r: names.get(r, f"round {r}")) + " " + arrow
    table = found.assign(letter=label).pivot_table(
        index="letter", columns="kind", values="bytes", aggfunc="sum", fill_value=0, sort=False
    )
    order = [f"{names.get(r, f'round {r}')} {way}" for r in range(last + 1) for way in ("↓", "↑")]
    return table.reindex([name for name in order if name in table.index]).reindex(
        columns=list(KINDS), fill_value=0
    )


@styled
def draw_letters(table: pd.DataFrame, title: str, most: float | None = None) -> Figure:
    """The letters of one client, one bar each, split by what is in them.

    table    of `letters`;  title  what it shows, in a sentence;  most  where the axis ends, in kB
    returns  Figure
    """
    figure = Figure(figsize=(8, 1.4 + 0.34 * len(table)))
    ax = figure.subplots()
    places, left = np.arange(len(table)), np.zeros(len(table))
    for kind, color in KINDS.items():
        values = table[kind].to_numpy(float) / 1000
        ax.barh(places, values, left=left, height=0.72, color=color, label=kind)
        left += values
    for place, total in zip(places, left, strict=True):
        ax.text(total, place, f"  {total:,.1f}", va="center", fontsize=9)
    ax.set_yticks(places, list(table.index))
    ax.set(xlim=(0, most or 1.12 * left.max()), ylim=(len(table) - 0.5, -0.5), xlabel="kB")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=9)
    alt = "; ".join(f"{name} {total:.1f} kB" for name, total in zip(table.index, left, strict=True))
    return finish(
        figure,
        title,
        "↑ from the client to the server, ↓ to the client. Measured on the bytes.",
        f"Bars. {alt}.",
    )

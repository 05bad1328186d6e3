"""Drawings of chapter 17: from whom a client borrows."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pfmsm_lite.lab.style import GREY, INK, finish, styled

KINDS = {"same taste": "#0072B2", "same base rate": "#E69F00", "neither": GREY}


@styled
def draw_borrowed(shares: pd.DataFrame, title: str) -> Figure:
    """From whom a client borrows, where each other client shares its taste, its base rate, or neither.

    shares   DataFrame, one line per bar, columns as in KINDS: shares of what is borrowed, summing to one
    title    what it shows, in a sentence
    returns  Figure
    """
    figure = Figure(figsize=(8, 1.3 + 0.4 * len(shares)))
    ax = figure.subplots()
    places, left = np.arange(len(shares)), np.zeros(len(shares))
    for kind, color in KINDS.items():
        values = 100 * shares[kind].to_numpy(float)
        ax.barh(places, values, left=left, height=0.7, color=color, label=kind)
        for place, start, value in zip(places, left, values, strict=True):
            if value >= 8:
                ax.text(
                    start + value / 2,
                    place,
                    f"{value:.0f}",
                    color=INK if color == "#E69F00" else "white",
                    weight="bold",
                    ha="center",
                    va="center",
                )
        left += values
    for edge in (100 / 3, 200 / 3):
        ax.axvline(edge, color=INK, lw=0.8, ls=":")
    ax.set_yticks(places, [str(name).strip() for name in shares.index])
    ax.set(xlim=(0, 100), ylim=(len(shares) - 0.5, -0.5), xlabel="% of what a client borrows")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=9)
    alt = "; ".join(
        f"{str(name).strip()}: " + ", ".join(f"{kind} {100 * row[kind]:.0f} %" for kind in KINDS)
        for name, row in shares.iterrows()
    )
    return finish(
        figure,
        title,
        "Dotted: the borders if the other three clients gave equal shares. Mean over seeds.",
        f"Stacked bars. {alt}.",
    )

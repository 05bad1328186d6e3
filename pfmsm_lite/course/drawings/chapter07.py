"""Drawings of chapter 07: who learns from whom as a graph, what noise looks like, why weights go home."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from pfmsm_lite.lab.heatmaps import client_map, ratios
from pfmsm_lite.lab.style import DIVERGING, GREY, INK, band, finish, styled

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
TRAIN, VALID = "#D55E00", "#0072B2"


def _node(number, count):
    angle = np.pi / 2 + 2 * np.pi * (count - 1 - number) / count + np.pi / count
    return np.array([np.cos(angle), np.sin(angle)])


@styled
def draw_graph(
    weights: np.ndarray, names: Sequence[str], rows: Sequence[int], clusters: Sequence, least: float = 0.05
) -> Figure:
    """Who learns from whom: an arrow from a source to the client that takes from it, as wide as its weight.

    weights   [N, N] a row for each client, summing to one;  names [N]
    rows      [N] training rows: size of a disc;  clusters [N]: its colour
    least     weights below it are not drawn
    returns   Figure
    """
    weights, count = np.asarray(weights, float), len(names)
    figure = Figure(figsize=(7, 4.4))
    ax = figure.subplots()
    ax.set(xlim=(-2.0, 2.0), ylim=(-1.45, 1.45), xticks=[], yticks=[])
    ax.set_aspect("equal")
    ax.spines[:].set_visible(False)
    labels = list(dict.fromkeys(clusters))
    size = 0.13 + 0.13 * np.sqrt(np.asarray(rows, float) / max(rows))
    drawn = 0
    for n in range(count):
        for m in range(count):
            if m == n or weights[n, m] < least:
                continue
            start, end = _node(m, count), _node(n, count)
            along = (end - start) / np.linalg.norm(end - start)
            ends = (start + along * size[m], end - along * size[n])
            same = clusters[n] == clusters[m]
            color = COLORS[labels.index(clusters[m]) % len(COLORS)] if same else GREY
            style = {"arrowstyle": "-|>", "mutation_scale": 10 + 12 * weights[n, m], "lw": 7 * weights[n, m]}
            arrow = FancyArrowPatch(*ends, connectionstyle="arc3,rad=0.12", color=color, alpha=0.75, **style)
            ax.add_patch(arrow)
            drawn += 1
    for n in range(count):
        place = _node(n, count)
        color = COLORS[labels.index(clusters[n]) % len(COLORS)]
        ax.plot(*place, "o", ms=128 * size[n], color=color, mec="white", zorder=3)
        ax.text(*place, names[n], color="white", weight="bold", ha="center", va="center", zorder=4)
        outside = place * (1.16 + size[n]) + [0.28 * place[0], 0]
        text = f"{rows[n]:,} rows\nown {100 * weights[n, n]:.0f} %"
        ax.text(*outside, text, ha="center", va="center", fontsize=9, color=INK)
    same = np.equal.outer(clusters, clusters)
    mates = weights[same & ~np.eye(count, dtype=bool)].sum() / count
    title = (
        f"Of what a client takes, {100 * np.diag(weights).mean():.0f} % is its own, {100 * mates:.0f} % is "
    )
    title += f"from its own cluster, {100 * weights[~same].sum() / count:.0f} % from strangers"
    note = "Colour: true cluster. Grey arrows: from another cluster. " + (
        f"Weights below {100 * least:.0f} % are not drawn." if drawn else "Nobody takes from anybody else."
    )
    alt = "; ".join(
        f"{names[n]} takes {100 * np.delete(weights[n], n).max():.0f} % from "
        f"{names[np.where(np.arange(count) == n, -1, weights[n]).argmax()]}"
        for n in range(count)
    )
    return finish(figure, title, note, f"A graph of {count} clients. {alt}.")


@styled
def draw_home(
    own: Mapping[str, np.ndarray], shares: np.ndarray, train: np.ndarray, valid: np.ndarray
) -> Figure:
    """Learned weights over the rounds, and the two losses that pull them to different places.

    own     {group of clients: [K, S] own weight over K rounds and S seeds}
    shares  [P] own share of a mixture that was tried by hand, the rest from cluster mates
    train   [P, S] loss of it on training rows, valid [P, S] on validation rows; mean over clients
    returns Figure
    """
    shares, train, valid = (np.asarray(values, float) for values in (shares, train, valid))
    figure = Figure(figsize=(8, 3.5))
    left, right = figure.subplots(1, 2)
    ends = {}
    for (name, values), color in zip(own.items(), COLORS, strict=False):
        values = np.asarray(values, float)
        rounds = np.arange(1, len(values) + 1)
        band(left, rounds, values, color, label=name)
        ends[name] = values.mean(1)[-1]
    left.set(xlabel="round", ylim=(-0.03, 1.05), yticks=[0, 0.5, 1])
    left.set_yticklabels(["0 %", "50 %", "100 %"])
    left.set_title("own weight under `learned`")
    left.grid(axis="y")
    left.legend(loc="center right", fontsize=9)
    best = {}
    words = {True: "nothing but oneself", False: "a mixture"}
    for values, color, name in ((train, TRAIN, "training rows"), (valid, VALID, "validation rows")):
        change = 1000 * (values - values[-1:])  # against: everything from itself
        band(right, 100 * shares, change, color, marker="o", label=name)
        best[name] = words[change.mean(1).argmin() == len(shares) - 1]
    right.axhline(0, color=INK, lw=0.8)
    right.set(xlabel="own share of the mixture, %", xticks=[0, 25, 50, 75, 100])
    right.set_title("loss against 100 %, thousandths")
    right.legend(fontsize=9)
    title = "Training rows want {}, validation rows {}".format(*best.values())
    note = "Band: range over seeds. Right: the last round, the rest taken evenly from cluster mates."
    alt = "; ".join(f"{name} end at {100 * end:.0f} % own weight" for name, end in ends.items())
    return finish(figure, title, note, f"Own weight by round, and loss by own share. {alt}. {note}")


KINDS = {"same taste": "#0072B2", "same base rate": "#E69F00", "neither": GREY}


@styled
def draw_borrowed(shares: pd.DataFrame) -> Figure:
    """From whom a client borrows, where every other client shares its taste, its base rate, or neither.

    shares   DataFrame, one line per bar, columns as in KINDS: shares of what is borrowed, summing to one; the
             first two lines are those of the experts without and with base rates at home
    returns  Figure
    """
    figure = Figure(figsize=(8, 1.3 + 0.55 * len(shares)))
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
                    color="white",
                    weight="bold",
                    ha="center",
                    va="center",
                )
        left += values
    for edge in (100 / 3, 200 / 3):
        ax.axvline(edge, color=INK, lw=0.8, ls=":")
    ax.set_yticks(places, shares.index)
    ax.set(xlim=(0, 100), ylim=(len(shares) - 0.5, -0.5), xlabel="% of what a client borrows")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=9)
    first, second = (shares.iloc[k] for k in (0, 1))
    title = (
        f"Here experts borrow {100 * first['same base rate']:.0f} % from the same base rate; once base rates "
        f"stay at home, {100 * second['same taste']:.0f} % from the same taste"
    )
    alt = "; ".join(
        f"{name}: " + ", ".join(f"{kind} {100 * row[kind]:.0f} %" for kind in KINDS)
        for name, row in shares.iterrows()
    )
    return finish(
        figure,
        title,
        "Dotted: where the borders would be if the other three gave the same.",
        f"Stacked bars. {alt}.",
    )


@styled
def draw_null(weights: np.ndarray, names: Sequence[str], largest: float, agreement: float) -> Figure:
    """Learned weights in a world without structure, one map per seed: what noise looks like.

    weights    [S, N, N] of one expert after the last round, S seeds;  names [N]
    largest    mean share of the largest partner in what a client takes from others
    agreement  mean correlation of the weights between two seeds
    returns    Figure
    """
    weights = np.asarray(weights, float)
    figure = Figure(figsize=(8, 3.1))
    axes = figure.subplots(1, len(weights), squeeze=False, sharey=True)[0]
    for number, (ax, ratio) in enumerate(zip(axes, ratios(weights), strict=True), 1):
        logs = np.log2(ratio.clip(2.0**-6))
        image = client_map(ax, logs, names, None, DIVERGING, (-2, 2))
        ax.set_title(f"seed {number} of {len(weights)}")
        ax.tick_params(labelleft=ax is axes[0])
    axes[0].set_ylabel("client …")
    axes[len(axes) // 2].set_xlabel("… learns from")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=20, ticks=[-2, 0, 2])
    bar.ax.set_yticklabels(["1/4", "even", "4 ×"])
    bar.set_label("times its even share")
    count = len(names)
    title = (
        f"{count} clients of one taste: one partner gets {100 * largest:.0f} % of what a client takes from "
        f"others, and seeds do not agree on which (correlation {agreement:.2f})"
    )
    note = f"Even: {100 / (count - 1):.0f} %. Grey: own weight. Maps: expert 0; numbers: mean over experts."
    favourites = "; ".join(
        f"seed {number}: " + ", ".join(f"{names[n]} from {names[m]}" for n, m in enumerate(row))
        for number, row in enumerate(np.nan_to_num(ratios(weights), nan=-1).argmax(-1), 1)
    )
    return finish(figure, title.replace("-", "−"), note, f"Maps of weights. Takes most, {favourites}. {note}")

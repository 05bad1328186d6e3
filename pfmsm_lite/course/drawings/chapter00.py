"""Drawings of chapter 00: who learns from whom, beside the truth; a small client of opposed taste."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pfmsm_lite.lab.heatmaps import client_map
from pfmsm_lite.lab.style import DIVERGING, GREY, SEQUENTIAL, finish, minus, styled


def group_share(weights: np.ndarray, groups: Sequence) -> float:
    """The part of a mixture that comes from the client's own group, itself among it; mean over clients.

    weights  [N, N] whose rows sum to one;  groups: N labels
    """
    labels = np.asarray(groups)
    return float((weights * (labels[:, None] == labels)).sum(1).mean())


@styled
def draw_worlds(
    worlds: Mapping[str, tuple], groups: Sequence, names: Sequence[str], title: str, numbers: bool = True
) -> Figure:
    """Of each world, on a line of its own: learned weights, beside them the true relatedness.

    worlds  name → (weights [N, N] whose row says what one client's mixture is made of, relatedness [N, N])
    groups  N labels, sorted: boxes around them;  names: of the N clients
    numbers whether they stand in the cells of the true relatedness
    """
    figure = Figure(figsize=(6.4, 1.1 + 2.4 * len(worlds)))
    panels, said, labels = figure.subplots(len(worlds), 2, squeeze=False), [], list(groups)

    def short(value):
        return minus(f"{value:.2g}").replace("0.", ".")

    brief = [name.partition(" · ")[0] for name in names]
    for (left, right), (world, (weights, relatedness)) in zip(panels, worlds.items(), strict=True):
        percent = client_map(left, weights, brief, labels, SEQUENTIAL, (0, 1), lambda v: f"{100 * v:.0f}")
        true = client_map(right, relatedness, brief, labels, DIVERGING, (-1, 1), short if numbers else None)
        left.set_title(f"{world}: learned", fontweight="bold")
        right.set_title("true relatedness", fontweight="bold")
        left.set(xlabel="… learns from", ylabel="client …", yticklabels=names)
        right.tick_params(labelleft=False)
        for ax, image, ticks in ((left, percent, (0, 0.5, 1)), (right, true, (-1, 0, 1))):
            bar = figure.colorbar(image, ax=ax, shrink=0.65, aspect=22, ticks=ticks)
            bar.ax.set_yticklabels([f"{t:.0%}" if ax is left else f"{t}".replace("-", "−") for t in ticks])
        said.append(f"{world}: {100 * group_share(weights, labels):.0f} % from its own group")
    note = "Boxes: the true groups. A line of the left map adds up to 100 %. One seed."
    what = f"Maps of {len(labels)} × {len(labels)} clients, learned weights beside true relatedness"
    return finish(figure, title, note, f"{what}. Of its mixture a client takes, {'; '.join(said)}. {note}")


def draw_beside_truth(
    worlds: Mapping[str, tuple], groups: Sequence, names: Sequence[str], at: int = 1
) -> Figure:
    """One round's weights of two worlds beside the true relatedness: first two tastes, then one for all.

    worlds  name → (weights [R, N, N] after rounds 1 to R, relatedness [N, N]);  at: a round
    """
    shown = {name: (np.asarray(weights, float)[at - 1], true) for name, (weights, true) in worlds.items()}
    two, one = (100 * group_share(weights, groups) for weights, _ in shown.values())
    title = (
        f"Round {at}: where two groups differ, {two:.0f}\u00a0% of a mixture comes from the client's own "
        f"group; where all are alike, {one:.0f}\u00a0%"
    )
    return draw_worlds(shown, groups, names, title)


@styled
def draw_learned(worlds: Mapping[str, tuple], groups: Sequence, names: Sequence[str], at: int = 1) -> Figure:
    """The learned weights of both worlds alone, side by side; arguments as in `draw_beside_truth`."""
    figure = Figure(figsize=(6.4, 3.3))
    axes, brief = figure.subplots(1, len(worlds), sharey=True), [name.partition(" · ")[0] for name in names]
    shares = []
    for ax, (world, (weights, _)) in zip(axes, worlds.items(), strict=True):
        own = np.asarray(weights, float)[at - 1]
        cells = client_map(ax, own, brief, list(groups), SEQUENTIAL, (0, 1), lambda v: f"{100 * v:.0f}")
        ax.set_title(world, fontweight="bold")
        ax.set_xlabel("… learns from")
        shares.append(f"{world}: {100 * group_share(own, groups):.0f} %")
    axes[0].set_ylabel("client …")
    bar = figure.colorbar(cells, ax=axes, shrink=0.75, aspect=22, ticks=(0, 0.5, 1))
    bar.ax.set_yticklabels(["0%", "50%", "100%"])
    title = f"Round {at}, what comes from a client's own group: {'; '.join(shares)}"
    return finish(figure, title, "Boxes: the true groups. One seed.", "Two maps of learned weights, in %.")


@styled
def draw_opposed(table: pd.DataFrame, words: Mapping[str, str]) -> Figure:
    """AUC of a small client of opposed taste under several methods: one panel per world, one dot per seed.

    table  DataFrame with columns world, method, seed, small (AUC of the small client)
    words  method → what stands beside its line, in this order; the first is being alone
    """
    worlds = list(dict.fromkeys(table["world"]))
    means = table.groupby(["world", "method"])["small"].mean()
    figure = Figure(figsize=(7.8, 4.2))
    for ax, world in zip(figure.subplots(1, len(worlds), sharey=True), worlds, strict=True):
        for y, method in enumerate(words):
            seeds = table.query("world == @world and method == @method")["small"]
            color = "#D55E00" if "partners" in method else GREY if y == 0 else "#0072B2"
            ax.plot(seeds, [y] * len(seeds), "o", color=color, alpha=0.45, markersize=5)
            ax.plot(means[world, method], y, "D", color=color, markersize=9, zorder=5)
            place = (means[world, method], y - 0.38)
            style = {"ha": "center", "va": "center", "fontsize": 9}
            bare = {"fc": "white", "ec": "none", "pad": 0.6}
            ax.text(*place, f"{means[world, method]:.2f}", bbox=bare, **style)
        ax.axvline(means[world, next(iter(words))], color=GREY, linestyle="--", linewidth=1)
        ax.axvline(0.5, color=GREY, linewidth=0.8)
        ax.set(xlim=(0.2, 0.8), ylim=(len(words) - 0.5, -0.7), xlabel="AUC of the small client")
        ax.set_title(world, fontweight="bold")
        ax.set_yticks(range(len(words)), words.values())
    first = means[worlds[0]]
    title = (
        f"A small client of opposed taste reaches {first['local']:.2f} alone, "
        f"{first['pf_msmtrec_partners']:.2f} under the older rule, {first['pf_msmtrec']:.2f} under today's"
    )
    count = table["seed"].nunique()
    note = f"Dots: {count} seed{'s' * (count > 1)}, each with other data and other starts. Diamonds: means. "
    note += "Dashed: alone. Grey line: guessing."
    alt = "; ".join(
        f"{world}: " + ", ".join(f"{words[m]} {means[world, m]:.2f}" for m in words) for world in worlds
    )
    return finish(figure, title, note, f"AUC of the small client. {alt}. {note}".replace("\n", " "))

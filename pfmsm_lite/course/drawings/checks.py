"""Drawings of the three checks: what a difference keeps of a gradient, how much to share, what transfers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pfmsm_lite.lab.checks_share import CONTROLS, HOME, KIN, LEVELS, MEAN, NOTHING
from pfmsm_lite.lab.heatmaps import client_map
from pfmsm_lite.lab.style import DIVERGING, GREY, INK, SEQUENTIAL, finish, handle, signed, styled

DPI = 82  # small files
DIRECTION, ORDER = "#D55E00", "#0072B2"
DASHES = {"Adam": "-", "SGD": "--"}
RULES = {  # rule → colour, marker and line; the controls are single points
    MEAN: ("#0072B2", "o-"),
    MEAN + HOME: ("#0072B2", "^"),
    KIN: ("#D55E00", "v"),
    KIN + HOME: ("#D55E00", "o-"),
}
BRIEF = ("nothing", "embedding", "experts", "towers", "gates", "all")  # LEVELS on an axis


@styled
def draw_gradient(table: pd.DataFrame, worlds: Sequence[str], finding: str = "") -> Figure:
    """What a parameter difference keeps of the gradient, by local epochs: its direction, the order of pairs.

    table    of gradient.csv;  worlds  those that are shown
    finding  the title; "": the numbers of Adam in the first world
    """
    figure = Figure(figsize=(7.6, 3.3), dpi=DPI)
    axes = figure.subplots(1, len(worlds), sharey=True, squeeze=False)[0]
    epochs = sorted(table["epochs"].unique())
    for ax, world in zip(axes, worlds, strict=True):
        for optimizer, dash in DASHES.items():
            own = table[(table["world"] == world) & (table["optimizer"] == optimizer)].sort_values("epochs")
            for name, color, marker in (("alignment", DIRECTION, "o"), ("rank", ORDER, "s")):
                low, high = own[f"{name}_low"].clip(-0.1, 1), own[f"{name}_high"].clip(-0.1, 1)
                ax.vlines(range(len(own)), low, high, color=color, lw=1, alpha=0.5)
                ax.plot(range(len(own)), own[name], dash, color=color, marker=marker, ms=5)
        ax.set_xticks(range(len(epochs)), [str(count) for count in epochs])
        ax.set(xlabel="local epochs", ylim=(-0.1, 1.05))
        ax.axhline(0, color=INK, lw=0.8)
        ax.grid(axis="y")
        ax.set_title(world.partition(",")[0])
    entries = [
        handle("order of the pairs", ORDER, "s"), handle("direction", DIRECTION, "o"),
        handle("Adam", INK, linestyle="-"), handle("SGD", INK, linestyle="--"),
    ]  # fmt: skip
    axes[0].legend(handles=entries, loc="lower left", fontsize=8)
    first = table[(table["world"] == worlds[0]) & (table["optimizer"] == "Adam")].set_index("epochs")
    ends = first.loc[[epochs[0], epochs[-1]]]
    title = finding or (
        f"After {epochs[-1]} epochs little is left of the direction ({ends['alignment'].iloc[-1]:.2f}), but "
        f"who is alike still shows ({ends['rank'].iloc[-1]:.2f})"
    )
    note = "Direction: cosine of Δ and −gradient. Order: rank correlation of the pairs' cosines by Δ and by "
    note += f"gradient. Means over rounds and {int(table['seeds'].max())} seeds, bars: 95 % over seeds."
    alt = "; ".join(
        f"{row.world}, {row.optimizer}, {row.epochs}: direction {row.alignment:.2f}, order {row.order:.2f}"
        for row in table[table["world"].isin(worlds)].rename(columns={"rank": "order"}).itertuples()
        if row.optimizer in DASHES
    )
    return finish(figure, title, note, alt.replace("-", "−"))


@styled
def draw_share(table: pd.DataFrame, worlds: Sequence[str], finding: str = "") -> Figure:
    """What is gained by sharing more and more: above the mean over clients, below the worst client.

    table    of share.csv;  worlds  one column each
    finding  the title; "": how far everything shared, by the mean, is from the best level of that curve
    """
    figure = Figure(figsize=(8.4, 5.2), dpi=DPI)
    axes = figure.subplots(2, len(worlds), sharex=True, squeeze=False)
    lost = []
    for (above, below), world in zip(axes.T, worlds, strict=True):
        own = table[table["world"] == world]
        for rule, (color, mark) in RULES.items():
            first = own["level"].isin(LEVELS[:2] if rule not in CONTROLS else ())
            curve = own[first | ((own["rule"] == rule) & ~own["level"].isin(LEVELS[:2]))]
            places, single = [LEVELS.index(level) for level in curve["level"]], rule in CONTROLS
            for ax, value in ((above, "gain"), (below, "worst")):
                ax.plot(
                    places,
                    curve[value],
                    mark,
                    color=color,
                    ms=7 if single else 4,
                    mfc="none" if single else color,
                )
            if rule == MEAN:
                lost.append(curve["gain"].max() - curve["gain"].iloc[-1])
        for ax in (above, below):
            ax.axhline(0, color=INK, lw=0.8)
            ax.grid(axis="y")
        above.set_title(_narrow(world), fontsize=10)
        below.set_xticks(range(len(LEVELS)), BRIEF, rotation=60, ha="right", fontsize=9)
    axes[0, 0].set_ylabel("all clients, mean")
    axes[1, 0].set_ylabel("worst client")
    entries = [
        handle(
            rule.replace("base rates", "rates"),
            color,
            mark[0],
            linestyle=mark[1:] or "",
            mfc="none" if rule in CONTROLS else color,
        )
        for rule, (color, mark) in RULES.items()
    ]
    axes[1, 0].legend(handles=entries, loc="lower left", fontsize=7)
    title = finding or (
        f"Sharing everything, by the mean, is {min(lost):.1f} to {max(lost):.1f} points behind sharing less"
    )
    note = "AUC points over sharing nothing. All: everything, no template. "
    note += f"{int(table['seeds'].max())} seeds with data of their own."
    alt = "; ".join(
        f"{row.world}, {row.level}, {row.rule}: {signed(row.gain)}, worst client {signed(row.worst)}"
        for row in table[table["world"].isin(worlds) & (table["level"] != NOTHING)].itertuples()
    )
    return finish(figure, title, note, alt)


def _narrow(world):
    """A world's name on at most two lines of a narrow panel."""
    head, comma, tail = world.partition(", ")
    if comma:
        return f"{head},\n{tail}"
    words = world.split()
    return world if len(words) < 5 else f"{' '.join(words[:4])}\n{' '.join(words[4:])}"


def square(pairs: pd.DataFrame, value: str, names: Sequence[str]) -> np.ndarray:
    """A column of transfer_pairs.csv of one world as [N, N], row client, column source, NaN diagonal."""
    return (
        pairs.pivot(index="client", columns="source", values=value)
        .reindex(index=names, columns=names)
        .to_numpy()
    )


@styled
def draw_transfer(
    pairs: pd.DataFrame, table: pd.DataFrame, world: str, groups: dict[str, object], finding: str = ""
) -> Figure:
    """What another's part is worth, the weights that the server learned, and how well they agree.

    pairs    of transfer_pairs.csv;  table  of transfer.csv;  world  whose matrices are shown
    groups   client → its group, in that world
    finding  the title; "": what a part of kin and of a stranger is worth
    """
    figure = Figure(figsize=(8.6, 3.5), dpi=DPI)
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1, 1.15])
    own = pairs[pairs["world"] == world].assign(gain=lambda frame: 100 * (frame["auc"] - frame["own"]))
    names = sorted(groups, key=lambda name: (groups[name], int(name[1:])))
    labels = [groups[name] for name in names]
    gain, weight = square(own, "gain", names), square(own, "weight", names)
    most = float(np.nanmax(np.abs(gain)))
    client_map(left, gain, names, labels, DIVERGING, (-most, most))
    client_map(middle, weight, names, labels, SEQUENTIAL, (0, float(np.nanmax(weight))))
    left.set_title("what m's part is worth to n", fontsize=10)
    middle.set_title("weight that n gives m", fontsize=10)
    for ax in (left, middle):
        ax.set(ylabel="client n" if ax is left else "", xlabel="part of client m")
    last = table[(table["part"] == "experts") & (table["predictor"] == "weight") & (table["split"] == "test")]
    last = last[last["round"] == last["round"].max()].reset_index(drop=True)
    for place, row in last.iterrows():
        color = ORDER if row["low"] > 0 else GREY
        right.plot([row["low"], row["high"]], [place, place], color=color, lw=2)
        right.plot(row["agreement"], place, "o", color=color, mfc=color if row["low"] > 0 else "white")
        right.text(-1.02, place - 0.28, row["world"], fontsize=8, va="center")
    right.axvline(0, color=INK, lw=0.8)
    right.set(
        xlim=(-1.05, 1.05), ylim=(len(last) - 0.5, -0.7), yticks=[], xlabel="rank correlation of the two"
    )
    right.grid(axis="x")
    right.set_title("do the weights know?", fontsize=10)
    shown = last[last["world"] == world].iloc[0]
    title = finding or (
        f"A part of kin costs nothing ({signed(shown['kin'])} points), a stranger's "
        f"{signed(shown['strangers'])}; the weights know which is which"
    )
    note = f"Maps: {world}, round {int(shown['round'])}, test rows; red: worse than its own part, by "
    note += f"{most:.0f} AUC points at most. Right: 95 % intervals; hollow: includes zero."
    alt = "; ".join(
        f"{row.world}: {row.agreement:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in last.itertuples()
    )
    return finish(figure, title, note, f"Two maps and rank correlations. {alt}".replace("-", "−"))

"""Drawings of the three checks: what a difference keeps of a gradient, how much to share, what transfers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pfmsm_lite.lab.checks_share import CONTROLS, HOME, KIN, LEVELS, MEAN, NOTHING
from pfmsm_lite.lab.heatmaps import client_map
from pfmsm_lite.lab.style import DIVERGING, INK, SEQUENTIAL, finish, handle, signed, styled

DPI = 82  # small files
DIRECTION, ORDER = "#D55E00", "#0072B2"
DASHES = {"Adam": "-", "SGD": "--"}
RULES = {  # rule → colour, marker and line; the controls are single points
    MEAN: ("#0072B2", "o-"),
    MEAN + HOME: ("#0072B2", "^"),
    KIN: ("#D55E00", "v"),
    KIN + HOME: ("#D55E00", "o-"),
}
LINES = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#6A51A3")  # worlds
BRIEF = ("nothing", "embedding", "experts", "towers", "gates", "all")  # LEVELS on an axis


@styled
def draw_gradient(table: pd.DataFrame, worlds: Sequence[str], finding: str = "") -> Figure:
    """What a parameter difference keeps of the gradient, by local epochs: its direction, the order of pairs.

    table    of gradient.csv;  worlds  those that are shown
    finding  the title; "": the numbers of Adam in the first world
    """
    figure = Figure(figsize=(8.8, 3.3), dpi=DPI)
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
    figure.legend(handles=entries, loc="outside right center", fontsize=8.5)
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
                look = {"ms": 7, "mfc": "none"} if single else {"ms": 4, "mfc": color}
                ax.plot(places, curve[value], mark, color=color, **look)
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
            rule.replace(", base rates", ",\nrates"),
            color,
            mark[0],
            linestyle=mark[1:] or "",
            mfc="none" if rule in CONTROLS else color,
        )
        for rule, (color, mark) in RULES.items()
    ]
    figure.legend(handles=entries, loc="outside right center", fontsize=8.5)
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


def _agreement(ax, lines):
    """Rank correlations by round, a line for each world; lines of transfer.csv, one for a world and round."""
    last, height = lines["round"].max(), -np.inf
    order = lines[lines["round"] == last].sort_values("agreement")["world"]
    for place, world in enumerate(order):
        color, own = LINES[place % len(LINES)], lines[lines["world"] == world].sort_values("round")
        ax.plot(own["round"], own["agreement"], color=color, lw=1.5)
        for row in own.itertuples():
            clear = row.low > 0 or row.high < 0
            ax.plot(row.round, row.agreement, "o", color=color, ms=4.5, mfc=color if clear else "white")
        ax.plot([last + 0.5 + 0.3 * place] * 2, [row.low, row.high], color=color, lw=1.5)
        height = max(row.agreement, height + 0.14)
        name = "four groups" if "four groups" in world else world.partition(",")[0].partition("-")[0]
        ax.text(last + 1 + 0.3 * len(order), height, name, color=color, fontsize=8.5, va="center",
                bbox={"fc": "white", "ec": "none", "pad": 1})  # fmt: skip
    ax.axhline(0, color=INK, lw=0.8)
    ax.set(xlabel="round", xlim=(0.5, 1.5 * last + 1.5), ylim=(-0.5, 1.05), xticks=range(1, last + 1, 3))
    ax.grid(axis="y")
    ax.set_title("do the weights know? (rank correlation)", fontsize=10)


@styled
def draw_transfer(
    pairs: pd.DataFrame, table: pd.DataFrame, world: str, groups: dict[str, object], finding: str = ""
) -> Figure:
    """What another's part is worth, the weights that the server learned, and how well they agree.

    pairs    of transfer_pairs.csv;  table  of transfer.csv;  world  whose matrices are shown
    groups   client → its group, in that world
    finding  the title; "": what a part of kin and of a stranger is worth
    """
    figure = Figure(figsize=(8.9, 3.4), dpi=DPI)
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1, 1.3])
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
    own = table[(table["part"] == "experts") & (table["predictor"] == "weight") & (table["split"] == "test")]
    last = own[own["round"] == own["round"].max()].reset_index(drop=True)
    _agreement(right, own)
    shown = last[last["world"] == world].iloc[0]
    title = finding or (
        f"A part of kin costs nothing ({signed(shown['kin'])} points), a stranger's "
        f"{signed(shown['strangers'])}; the weights know which is which"
    )
    note = f"Maps: {world}, round {int(shown['round'])}, test rows; red: worse than its own part, by "
    note += (
        f"{most:.0f} AUC points at most. Right: hollow: the 95 % interval includes zero; bars: the last one."
    )
    alt = "; ".join(
        f"{row.world}: {row.agreement:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in last.itertuples()
    )
    return finish(figure, title, note, f"Two maps and rank correlations. {alt}".replace("-", "−"))

"""Drawings of chapter 15: rows that nobody clicked, tasks at odds by layer, what Adam remembers."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pfmsm_lite.lab.style import GREY, INK, band, finish, signed, styled

PART_STYLE = {  # part of the model → colour, marker
    "embedding": ("#009E73", "o"),
    "experts, layer 1": ("#0072B2", "D"),
    "experts, layer 2": ("#D55E00", "^"),
}
RATE_COLORS = {"true": INK, "learned on clicked rows": "#D55E00", "learned on all rows": "#0072B2"}
PATH_STYLE = {"keep": ("#D55E00", "v"), "reset": ("#0072B2", "o")}


@styled
def draw_funnel(rates: pd.DataFrame) -> Figure:
    """How likely a purchase would have been, had the row been clicked: true, and predicted in two ways.

    rates    DataFrame with columns rows (clicked, not clicked) and those of RATE_COLORS; one line per seed
    returns  Figure
    """
    figure = Figure(figsize=(7.2, 3.7))
    ax = figure.subplots()
    ways = list(RATE_COLORS)
    single = rates.melt("rows", ways, var_name="way", value_name="rate")
    single = {"data": single, "x": "rows", "y": "rate", "hue": "way", "hue_order": ways, "ax": ax}
    sns.barplot(**single, palette=RATE_COLORS.values(), saturation=1, width=0.75, errorbar=None)
    sns.stripplot(**single, palette=[GREY] * 3, dodge=True, jitter=False, size=4, legend=False)
    for bars in ax.containers:
        for bar in bars:
            place = (bar.get_x() + bar.get_width() / 2, 0.02)
            ax.text(*place, f"{100 * bar.get_height():.0f} %", ha="center", color="white", fontsize=10)
    names = rates["rows"].unique()
    ax.set_xticks(range(len(names)), [f"rows that were {name}" for name in names])
    ax.set(xlabel="", ylabel="would buy, had they clicked", ylim=(0, 0.75))
    ax.yaxis.set_major_formatter(PercentFormatter(1, 0, " %"))
    ax.legend(loc="upper right", title=None)
    ax.grid(axis="y")
    gone = rates[rates["rows"] == "not clicked"].mean(numeric_only=True)
    true, by_clicked, by_all = (f"{100 * gone[way]:.0f} %" for way in ways)
    title = f"Where nobody clicked, {true} would have bought, had they clicked; "
    title += f"both models say about twice that ({by_clicked}, {by_all})"
    note = f"Bars: mean of {rates.groupby('rows').size().iloc[0]} seeds; dots: single seeds."
    return finish(figure, title, note, f"Three bars for clicked rows, three for the others. {note}")


@styled
def draw_layers(
    cosines: Mapping[str, np.ndarray], correlations: Sequence[float], epochs: Sequence[int]
) -> Figure:
    """Cosine of the two tasks' gradients by part of the model, over the tasks' true correlation.

    cosines       part → [C, S, epochs + 1]: correlation × seed × epoch
    correlations  the C correlations of the tasks' teachers;  epochs: the ones to show, a panel each
    returns       Figure
    raises        ValueError for an epoch that was not recorded
    """
    recorded = min(np.shape(values)[2] for values in cosines.values())
    if not all(0 <= epoch < recorded for epoch in epochs):
        raise ValueError(f"epochs {list(epochs)}: only 0 to {recorded - 1} were recorded")
    figure = Figure(figsize=(8, 3.9))
    axes = figure.subplots(1, len(epochs), squeeze=False, sharey=True)[0]
    for ax, epoch in zip(axes, epochs, strict=True):
        ax.axhspan(-1.05, 0, color="#f7ece4", linewidth=0, zorder=0)
        ax.axhline(0, color=INK, lw=0.8)
        for part, values in cosines.items():
            color, marker = PART_STYLE[part]
            band(ax, correlations, np.asarray(values)[:, :, epoch], color, marker=marker, label=part)
        ax.set(xlabel="true relation of the two tasks", ylim=(-1.05, 1.05), xlim=(-1, 1))
        ax.set_xticks([-0.9, 0, 0.9], ["opposite", "unrelated", "related"])
        ax.set_title(f"after {epoch} epoch{'' if epoch == 1 else 's'}" if epoch else "before training")
        ax.grid(axis="y")
    axes[0].set_ylabel("cosine of the two gradients")
    axes[0].legend(loc="lower left", fontsize=9)
    rise = {part: np.mean(values, 1)[-1] - np.mean(values, 1)[0] for part, values in cosines.items()}
    if len(epochs) == 1:
        parts = ", ".join(f"{signed(rise[part][epochs[0]])} ({part})" for part in rise)
        title = f"From opposite to related tasks the cosine changes by {parts}"
    else:
        title = f"After {epochs[1]} epochs the cosine rises with likeness, most in the embedding "
        title += f"({signed(rise['embedding'][epochs[1]])}); after {epochs[2]} the embedding's falls "
        title += f"({signed(rise['embedding'][epochs[2]])})"
    note = f"Lines: mean of {np.shape(values)[1]} seeds; bands: their range. "
    note += "Below 0: each undoes part of the other's step."
    return finish(figure, title, note, f"Lines by part of the model in {len(epochs)} panels. {note}")


@styled
def draw_adam(paths: Mapping[str, Sequence[float]], beta1: float) -> Figure:
    """Where one weight goes after a download has turned its gradient round.

    paths    keep and reset → position after each step, in learning rates, 0 first;  beta1: of Adam
    returns  Figure;  raises KeyError for another name
    """
    figure = Figure(figsize=(6.8, 3.5))
    ax = figure.subplots()
    for name, path in paths.items():
        color, marker = PATH_STYLE[name]
        ax.plot(range(len(path)), path, color=color, marker=marker, markersize=5)
        ax.text(len(path) - 0.6, path[-1], name, color=color, va="center")
    ax.axhline(0, color=INK, lw=0.8)
    ax.set(xlim=(0, 22.5), ylim=(-8, 21), xlabel="steps after the download")
    ax.set_xticks(range(0, 21, 5))
    ax.set_ylabel("position of the weight,\nin learning rates")
    ax.grid(axis="y")
    wrong = {name: int((np.diff(path) < -1e-6).sum()) for name, path in paths.items()}
    title = f"With kept averages {wrong['keep']} steps keep the old direction before the weight turns; "
    title += f"starting afresh, {wrong['reset'] or 'none'}"
    note = f"Up: the direction of the new gradient's steps. β₁ = {beta1:.2f}."
    return finish(figure, title, note, f"Two lines over {len(paths['keep']) - 1} steps. {note}")

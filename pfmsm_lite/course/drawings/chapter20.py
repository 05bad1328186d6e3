"""Drawings of chapter 20: the open questions."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pfmsm_lite.lab.heatmaps import heatmap
from pfmsm_lite.lab.style import DIVERGING, GREY, INK, finish, method_style, method_styles, signed, styled

DPI = 86  # small files


def _zero(ax: Axes, along: str) -> None:
    """The line of training alone."""
    (ax.axhline if along == "x" else ax.axvline)(0, color=INK, lw=0.8, zorder=1)


def _names(ax: Axes, x: float, ends: Mapping[str, tuple[float, str]]) -> None:
    """Names at the ends of lines, so far apart that each can be read; ends: name → (height, colour)."""
    low, high = ax.get_ylim()
    gap, last = (high - low) / 14, -np.inf
    for name, (height, color) in sorted(ends.items(), key=lambda item: item[1][0]):
        last = max(height, last + gap)
        ax.text(x + 0.12, last, name, va="center", color=color, fontsize=9)


@styled
def draw_many(table: pd.DataFrame, costs: pd.DataFrame, title: str, methods: Sequence[str]) -> Figure:
    """What federating gains over training alone, and what a round costs, by the number of scenarios.

    table    lines of questions.csv of the study how-many;  costs: of costs.csv
    title    what it shows, in a sentence;  methods: which are drawn
    """
    figure = Figure(figsize=(8, 3.9), dpi=DPI)
    ax, right = figure.subplots(1, 2, width_ratios=(2.2, 1))
    counts = sorted(table["clients"].unique())
    places = {count: place for place, count in enumerate(counts)}
    said, ends = [], {}
    for n, (method, (color, marker)) in enumerate(method_styles(methods).items()):
        own = table[table["method"] == method].sort_values("clients")
        x = own["clients"].map(places) + 0.06 * (n - (len(methods) - 1) / 2)  # bars side by side
        spread = np.vstack([own["gain"] - own["low"], own["high"] - own["gain"]])
        ax.errorbar(x, own["gain"], np.nan_to_num(spread), color=color, marker=marker, ms=6, capsize=3)
        spent = costs[costs["method"] == method].sort_values("clients")
        right.plot(spent["clients"].map(places), spent["cpu_seconds"], color=color, marker=marker, ms=6)
        gains = ", ".join(f"{c}: {signed(g)}" for c, g in zip(own["clients"], own["gain"], strict=True))
        said.append(f"{method} {gains}")
        ends[method] = own["gain"].iloc[-1], color
    _zero(ax, "x")
    _names(ax, len(counts) - 0.9, ends)
    for one in (ax, right):
        one.set_xticks(range(len(counts)), [str(count) for count in counts])
        one.set_xlabel("scenarios")
    ax.set_xlim(-0.3, len(counts) + 0.35)
    ax.set_ylabel("AUC points over training alone")
    right.set(ylabel="CPU seconds per round", ylim=(0, None))
    note = "Four groups that have nothing in common. Bars: 95 % over seeds, each with data of its own"
    note += "; no bar: one seed." if table["low"].isna().any() else "."
    return finish(figure, title, note, f"Points over training alone, by scenarios. {'; '.join(said)}.")


@styled
def draw_curves(curves: pd.DataFrame, clients: int, title: str) -> Figure:
    """Validation AUC by what was trained: rounds times the share of clients that take part.

    curves   lines of curves.csv of the study sampled;  clients: of the federation;  title: a sentence
    """
    figure = Figure(figsize=(8, 2.9), dpi=DPI)
    axes = figure.subplots(1, curves["level"].nunique(), sharey=True)
    methods = method_styles(curves["method"].unique())
    said = []
    for ax, (level, own) in zip(np.atleast_1d(axes), curves.groupby("level", sort=False), strict=True):
        mean = own.groupby(["method", "round"], sort=False)["valid_auc"].mean()
        for method in own["method"].unique():
            color, _ = methods[method]
            ax.plot(mean[method].index, 100 * mean[method], color=color, lw=2, label=method)
            said.append(f"{level}, {method}: {100 * mean[method].max():.1f}")
        ax.set(title=f"{level} of {clients} per round", xlabel="round")
        ax.legend(loc="lower right", fontsize=8)
    np.atleast_1d(axes)[0].set_ylabel("validation AUC × 100")
    note = "Every panel has the same number of local trainings. Mean over clients, tasks and seeds."
    return finish(figure, title, note, f"Best validation AUC. {'; '.join(said)}.")


@styled
def draw_poor(table: pd.DataFrame, method: str, title: str, limit: float = 12.0) -> Figure:
    """Who gains and who is harmed: a map of conditions and sizes of a client.

    table    lines of questions.csv of the study data-poor;  method: whose gains over training alone
    title    what it shows, in a sentence;  limit: points of the darkest colour
    """
    own = table[table["method"] == method]
    order = sorted(own["part"].unique(), key=lambda part: int(part.split()[0]))
    frame = own.pivot(index="level", columns="part", values="gain")
    frame = frame.loc[list(dict.fromkeys(own["level"])), order]
    clear = own.assign(clear=(own["low"] > 0) | (own["high"] < 0)).pivot(
        index="level", columns="part", values="clear"
    )
    figure = Figure(figsize=(8, 3.7), dpi=DPI)
    ax = figure.subplots()
    texts = np.array([[signed(value) for value in line] for line in frame.to_numpy()])
    cells = heatmap(
        ax, frame, DIVERGING, (-limit, limit), texts, xticklabels=order, yticklabels=list(frame.index),
        linewidths=1, annot_kws={"fontsize": 11},
    )  # fmt: skip
    for text, sure in zip(ax.texts, clear.loc[frame.index, order].to_numpy().ravel(), strict=True):
        text.set_weight("bold" if sure else "normal")
    ax.set(xlabel="training rows of the client", ylabel="")
    ax.set_xticklabels([part.split()[0] for part in order])
    bar = figure.colorbar(cells, ax=ax, pad=0.02)
    bar.set_label("points over training alone")
    bar.outline.set_visible(False)
    note = f"{method}. Blue gains, red is harmed; bold: the 95 % interval over seeds excludes zero."
    alt = "; ".join(
        f"{level}: " + ", ".join(f"{part} {signed(frame.loc[level, part])}" for part in order)
        for level in frame.index
    )
    return finish(figure, title, note, f"Map of gains in AUC points. {alt}.")


@styled
def draw_dots(
    groups: Mapping[str, pd.DataFrame],
    title: str,
    xlabel: str,
    note: str,
    colors: Mapping[str, str] | None = None,
) -> Figure:
    """Gains with their intervals, one line each, in panels side by side.

    groups   name of a panel → DataFrame by line's name, with gain, low, high
    title    what it shows, in a sentence
    """
    figure = Figure(figsize=(8, 1.7 + 0.33 * max(map(len, groups.values()))), dpi=DPI)
    axes = np.atleast_1d(figure.subplots(1, len(groups), sharey=True, sharex=True))
    said = []
    for ax, (name, lines) in zip(axes, groups.items(), strict=True):
        for place, (label, line) in enumerate(lines.iterrows()):
            color = (colors or {}).get(str(label), method_style(str(label))[0])
            clear = line["low"] > 0 or line["high"] < 0
            ax.plot([line["low"], line["high"]], [place] * 2, color=color, lw=2.5, alpha=1 if clear else 0.45)
            ax.plot(line["gain"], place, "o", color=color, ms=8, mfc=color if clear else "white")
            said.append(f"{name}, {label}: {signed(line['gain'])}")
        _zero(ax, "y")
        ax.set(title=name, xlabel=xlabel, ylim=(len(lines) - 0.5, -0.5))
        ax.set_yticks(range(len(lines)), [str(label) for label in lines.index])
        ax.grid(axis="x", color=GREY, lw=0.4, alpha=0.5)
    return finish(figure, title, note, "; ".join(said) + ".")


@styled
def draw_known(known: np.ndarray, title: str) -> Figure:
    """Of which pairs of clients a server has heard both ways.

    known  [N, N] bool, symmetric;  title: how the clients were drawn; the share of pairs is added
    """
    count = len(known)
    share = known[np.triu_indices(count, 1)].mean()
    figure = Figure(figsize=(5.2, 4.6))
    ax = figure.subplots()
    ax.imshow(np.where(np.eye(count, dtype=bool), np.nan, known), cmap="Blues", vmin=0, vmax=1.25)
    ax.set(xlabel="client", ylabel="client")
    alt = f"Matrix of {count} clients, dark where each of two was asked while the other trained: {share:.0%}."
    note = "Dark: the server can tell whether these two are kin."
    return finish(figure, f"{title}: {100 * share:.0f} % of the pairs are known", note, alt)

"""Matrices as colours: who learns from whom, and whose updates conflict."""

import math
from collections.abc import Callable, Sequence

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pfmsm_lite.lab.style import DIVERGING, INK, MISSING, SEQUENTIAL, axis_labels, finish, minus, styled


def heatmap(ax: Axes, values, colors: str, limits: tuple[float, float], texts=None, **options) -> QuadMesh:
    """A matrix as colours, grey where it is NaN; returns what a colour bar needs.

    values   [R, C], an array or a DataFrame
    texts    [R, C] strings written in the cells that have a value, dark or white as the cell demands
    options  as of `seaborn.heatmap`
    """
    import seaborn as sns
    from seaborn.utils import relative_luminance

    options = {"cbar": False, "xticklabels": False, "yticklabels": False, **options}
    colors = mpl.colormaps[colors].with_extremes(bad=MISSING)
    low, high = limits
    sns.heatmap(values, cmap=colors, vmin=low, vmax=high, annot=texts, fmt="", ax=ax, **options)
    ax.tick_params(length=0, rotation=0)
    cells = ax.collections[0]
    shades = cells.get_facecolors()[np.ravel(np.isfinite(values))] if texts is not None else ()
    for text, shade in zip(ax.texts, shades, strict=True):  # seaborn's own choice has too little contrast
        text.set_color(INK if relative_luminance(shade) > 0.245 else "white")
    return cells


def client_map(
    ax: Axes,
    values,
    names: Sequence[str],
    labels: list | None,
    colors: str,
    limits: tuple[float, float],
    numbers: Callable[[float], str] | None = None,
) -> QuadMesh:
    """A heatmap [N, N] of clients with their names, and boxes around the clusters.

    labels   [N] clusters of the clients, which are sorted by them, or None
    numbers  value → what is written in its cell, or None
    returns  what a colour bar needs
    """
    import pandas as pd

    count, names = len(values), axis_labels(names, 12)
    step, size = math.ceil(count / 16), 10 if count <= 8 else 8 if count <= 12 else 7
    texts = np.vectorize(numbers)(values) if numbers else None
    cells = heatmap(
        ax, pd.DataFrame(np.asarray(values, float), names, names), colors, limits, texts, square=True,
        xticklabels=step, yticklabels=step, annot_kws={"fontsize": 9},
    )  # fmt: skip
    ax.tick_params(labelsize=size)
    ax.tick_params(axis="x", rotation=90 if max(map(len, names[::step])) > 2 or count > 8 else 0)
    box_clusters(ax, labels)
    return cells


def box_clusters(ax: Axes, labels: list | None) -> None:
    """Boxes around the clusters on a heatmap of clients that are sorted by them."""
    for label in dict.fromkeys(labels or ()):
        start, length = labels.index(label), labels.count(label)
        style = {"fill": False, "edgecolor": "black", "linewidth": 1.8, "clip_on": False}
        ax.add_patch(Rectangle((start, start), length, length, **style))


def of_unit(array: xr.DataArray, unit: str | None) -> tuple[xr.DataArray, str]:
    """One unit by its name, or the mean over the experts (over all units where there is none)."""
    if unit is not None:
        return array.sel(unit=unit), str(unit)
    experts = [name for name in array["unit"].values if str(name).startswith("expert ")]
    over = array.sel(unit=experts) if experts else array
    return over.mean("unit"), f"mean over {len(experts)} experts" if experts else "mean over all units"


def _rounds(array, rounds):
    """The asked rounds, or the first, the middle and the last."""
    there = [int(r) for r in array["round"].values]
    if rounds is None:
        rounds = [there[0], there[(len(there) - 1) // 2], there[-1]]
    rounds = list(dict.fromkeys(int(r) for r in rounds))
    if not set(rounds) <= set(there):
        raise ValueError(f"rounds {rounds} asked for, but rounds {there[0]} to {there[-1]} were recorded")
    return rounds


def sort_clients(clusters: Sequence | None, count: int) -> tuple[np.ndarray, list | None]:
    """Clients sorted by cluster: (order [N], labels in that order or None)."""
    if clusters is None:
        return np.arange(count), None
    labels = list(clusters)
    if len(labels) != count:
        raise ValueError(f"{len(labels)} cluster labels for {count} clients")
    first = list(dict.fromkeys(labels))
    order = sorted(range(count), key=lambda n: first.index(labels[n]))
    return np.array(order), [labels[n] for n in order]


def pairs(labels: Sequence | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks [N, N]: pairs of the same cluster, of different ones (without clusters all of them)."""
    other = ~np.eye(count, dtype=bool)
    if labels is None or len(set(labels)) < 2:
        return np.zeros_like(other), other
    same = np.array(labels)[:, None] == np.array(labels)[None]
    return same & other, ~same


def _mean(values, mask):
    kept = values[mask & np.isfinite(values)]
    return float(kept.mean()) if kept.size else math.nan


@styled
def conflicts(
    cosines: xr.DataArray,
    unit: str | None = None,
    rounds: Sequence[int] | None = None,
    clusters: Sequence | None = None,
) -> Figure:
    """Cosines between the clients' updates, before (upper row) and after coordination, in several rounds.

    cosines   History.cosines [stage, round, unit, client, other]
    unit      its name, or None: the mean over the experts
    rounds    numbers of rounds, or None: first, middle, last
    clusters  N labels of the clients, or None: clients are sorted by them and boxes drawn around them
    returns   Figure; one row only where coordination changed nothing
    raises    ValueError for a round that was not recorded or another number of labels; KeyError for the unit
    """
    values, where = of_unit(cosines, unit)
    rounds = _rounds(values, rounds)
    names = [str(name) for name in values["client"].values]
    if len(names) < 2:
        raise ValueError("conflicts need at least two clients")
    order, labels = sort_clients(clusters, len(names))
    shown = (
        values.sel(round=rounds).transpose("stage", "round", "client", "other").sel(stage=["before", "after"])
    )
    shown = np.array(shown.values[:, :, order][:, :, :, order], float)
    changed = not np.allclose(shown[0], shown[1], atol=5e-4, equal_nan=True)
    within, across = pairs(labels, len(names))
    kind = "between clusters" if within.any() else "of two clients"

    stages = ("before\ncoordination", "after\ncoordination") if changed else ("no coordination",)
    figure = Figure(figsize=(8, 1.5 + 2.55 * len(stages)))
    axes = figure.subplots(len(stages), len(rounds), squeeze=False, sharex=True, sharey=True)
    for s, stage in enumerate(stages):
        for k, number in enumerate(rounds):
            ax, matrix = axes[s, k], shown[s, k].copy()
            mean = _mean(matrix, across)
            np.fill_diagonal(matrix, np.nan)
            image = client_map(ax, matrix, [names[n] for n in order], labels, DIVERGING, (-1, 1))
            ax.set_title((f"round {number}\n" if s == 0 else "") + minus(f"{mean:+z.2f}"))
            ax.tick_params(labelbottom=s == len(stages) - 1, labelleft=k == 0)
        axes[s, 0].set_ylabel(stage, fontweight="bold")
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=25, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.set_label("cosine of two updates")
    bar.ax.set_yticklabels(["−1 opposed", "−0.5", "0", "0.5", "1 same"])

    before, after = (_mean(shown[s, -1], across) for s in (0, 1))
    verb = "oppose" if before < -0.05 else "agree" if before > 0.05 else "neither agree nor oppose"
    whose = "different clusters" if within.any() else "different clients"
    title = f"Round {rounds[-1]}: updates of {whose} {verb} (mean cosine {before:+z.2f}); "
    title += f"coordination turns them to {after:+z.2f}" if changed else "nothing coordinates them"
    note = f"Number above a map: mean cosine {kind}. Updates: {where}. Grey diagonal: 1 by definition."
    if within.any():
        own = [_mean(shown[s, -1], within) for s in (0, 1)]
        note += f" Boxes: true clusters; inside, round {rounds[-1]}: {own[0]:+z.2f} before"
        note += f", {own[1]:+z.2f} after." if changed else "."
    alt = f"Maps of {len(names)} × {len(names)} cosines, rounds {', '.join(map(str, rounds))}. {note}"
    return finish(figure, minus(title), note.replace(" -", " −"), alt)


@styled
def mixing(
    weights: xr.DataArray,
    unit: str | None = None,
    rounds: Sequence[int] | None = None,
    clusters: Sequence | None = None,
) -> Figure:
    """Who learns from whom: a row is what one client's mixture is made of, on one scale from 0 to 1.

    weights   History.weights [round, unit, client, source]
    unit      its name, or None: the mean over the experts
    rounds    numbers of rounds, or None: first, middle, last
    clusters  N labels of the clients, or None: clients are sorted by them and boxes drawn around them
    returns   Figure
    raises    ValueError for a round that was not recorded or another number of labels; KeyError for the unit
    """
    values, where = of_unit(weights, unit)
    rounds = _rounds(values, rounds)
    names = [str(name) for name in values["client"].values]
    order, labels = sort_clients(clusters, len(names))
    shown = values.sel(round=rounds).transpose("round", "client", "source").values
    shown = np.array(shown[:, order][:, :, order], float)

    figure = Figure(figsize=(8, 4.4 if len(names) > 1 else 3.6))
    axes = figure.subplots(1, len(rounds), squeeze=False, sharey=True)[0]
    numbers = (lambda v: f"{100 * v:.0f}") if len(names) <= 8 else None
    for ax, number, matrix in zip(axes, rounds, shown, strict=True):
        image = client_map(ax, matrix, [names[n] for n in order], labels, SEQUENTIAL, (0, 1), numbers)
        ax.set_title(f"round {number}", fontweight="bold")
        ax.set_xlabel("… learns from")
        ax.tick_params(labelleft=ax is axes[0])
    axes[0].set_ylabel("client …")
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=25, ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.ax.set_yticklabels(["0 %", "25 %", "50 %", "75 %", "100 %"])
    bar.set_label("share of its mixture")

    within, across = pairs(labels, len(names))
    own = 100 * np.nanmean(np.diag(shown[-1]))
    mates, others = (100 * float(np.nansum(shown[-1] * mask)) / len(names) for mask in (within, across))
    parts = [f"{own:.0f} % from itself"]
    if within.any():
        parts.append(f"{mates:.0f} % from its own cluster")
    parts.append(f"{others:.0f} % from others")
    title = f"Round {rounds[-1]}: a client takes {', '.join(parts[:-1])} and {parts[-1]}"
    note = f"Each row adds up to 100 %. Weights: {where}, average over the clients in the title."
    note += " Boxes: true clusters." if within.any() else ""
    top = [names[order[m]] for m in np.nan_to_num(shown[-1]).argmax(1)]
    alt = "; ".join(f"{names[n]} takes most from {source}" for n, source in zip(order, top, strict=True))
    return finish(figure, title, note, f"Maps of weights, rounds {', '.join(map(str, rounds))}. {alt}.")

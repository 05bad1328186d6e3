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

from pfmsm_lite.lab.statistics import EVEN
from pfmsm_lite.lab.style import DIVERGING, MISSING, axis_labels, finish, named, signed, styled

LARGE = 16  # clients up to which a figure shows three rounds
NAMED = 60  # clients whose names are beside a map; there is no room for more
ORDERED = 500  # clients up to which the order within the tree is the best one: it takes seconds beyond
BLOCKS = 250  # lines of a map; of more clients, neighbours are averaged


def heatmap(ax: Axes, values, colors: str, limits: tuple[float, float], texts=None, **options) -> QuadMesh:
    """A matrix as colours, grey where it is NaN; returns what a colour bar needs.

    values   [R, C], an array or a DataFrame
    texts    [R, C] strings written in the cells that have a value, dark or white as the cell demands
    options  as for `seaborn.heatmap`
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
        text.set_color("black" if relative_luminance(shade) > 0.179 else "white")  # at least 4.5 : 1
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
    numbers  value → what is written in its cell, or None;  or the texts themselves, [N, N]
    returns  what a colour bar needs

    As many names as have room; none beyond NAMED clients. Beyond BLOCKS clients a cell is a mean over
    neighbours.
    """
    import pandas as pd

    count, names = len(values), axis_labels(names, 12)
    values = np.asarray(values, float)
    texts = np.vectorize(numbers)(values) if callable(numbers) else numbers
    extent = ax.get_figure().bbox
    pixels = extent.height * ax.get_position().height
    step = max(1, math.ceil(count * 11 / pixels))  # pixels that a name of 7 points needs
    size = 10 if count <= 8 else 8 if count <= 12 else 7
    shown = step if count <= NAMED else False
    if count > BLOCKS:
        values = blocks(values, math.ceil(count / BLOCKS))
        names = [""] * len(values)
    cells = heatmap(
        ax, pd.DataFrame(values, names, names), colors, limits, texts, square=True,
        xticklabels=shown, yticklabels=shown, annot_kws={"fontsize": 9 if count <= 6 else 8},
    )  # fmt: skip
    ax.tick_params(labelsize=size)
    ax.tick_params(axis="x", rotation=90 if max(map(len, names[::step])) > 2 or count > 8 else 0)
    box_clusters(ax, labels, math.ceil(count / BLOCKS))
    return cells


def blocks(values: np.ndarray, size: int) -> np.ndarray:
    """Means over squares of `size` neighbours: [.., N, N] → [.., K, K], K = N / size, rounded up.

    Last blocks are smaller where N is not a multiple; NaN are left out; NaN where a block has nothing else.
    """
    count = values.shape[-1]
    start = np.arange(0, count, size)
    there = np.isfinite(values)
    sums, counts = np.where(there, values, 0.0), there.astype(float)
    for axis in (-1, -2):
        sums, counts = (np.add.reduceat(part, start, axis=axis) for part in (sums, counts))
    with np.errstate(invalid="ignore"):
        return sums / counts


def box_clusters(ax: Axes, labels: list | None, size: int = 1) -> None:
    """Boxes around the clusters on a heatmap of clients that are sorted by them; size: clients of a cell."""
    for label in dict.fromkeys(labels or ()):
        start, length = labels.index(label) / size, labels.count(label) / size
        style = {"fill": False, "edgecolor": "black", "linewidth": 1.8, "clip_on": False}
        ax.add_patch(Rectangle((start, start), length, length, **style))


def of_unit(array: xr.DataArray, unit: str | None) -> tuple[xr.DataArray, str]:
    """One unit by its name, or the mean over the experts (over all units where there is none)."""
    if unit is not None:
        return array.sel(unit=unit), str(unit)
    experts = [name for name in array["unit"].values if str(name).startswith("expert ")]
    over = array.sel(unit=experts) if experts else array
    return over.mean("unit"), f"mean over {len(experts)} experts" if experts else "mean over all units"


def _rounds(array, rounds, count, attrs):
    """The given rounds, or first, middle and the chosen one (else the last); of many clients that alone."""
    there = [int(r) for r in array["round"].values]
    if rounds is None:
        there = [r for r in there if r <= (attrs.get("chosen") or there[-1])]
        rounds = [there[0], there[(len(there) - 1) // 2], there[-1]] if count <= LARGE else [there[-1]]
    rounds = list(dict.fromkeys(int(r) for r in rounds))
    if not set(rounds) <= set(there):
        raise ValueError(f"rounds {rounds} are wanted, but rounds {there[0]} to {there[-1]} were recorded")
    return rounds


def sort_clients(
    clusters: Sequence | None, count: int, likeness: np.ndarray | None = None
) -> tuple[np.ndarray, list | None]:
    """Clients sorted by cluster, or so that those who are alike stand together.

    likeness  [N, N] larger is more alike, NaN where unknown; used where there are no clusters
    returns   (order [N], labels in that order or None)
    """
    if clusters is None:
        return by_likeness(likeness) if likeness is not None else np.arange(count), None
    labels = list(clusters)
    if len(labels) != count:
        raise ValueError(f"{len(labels)} cluster labels for {count} clients")
    first = list(dict.fromkeys(labels))
    order = sorted(range(count), key=lambda n: first.index(labels[n]))
    return np.array(order), [labels[n] for n in order]


def by_likeness(likeness: np.ndarray) -> np.ndarray:
    """The order [N] of clients by hierarchical clustering of their likeness [N, N] (average linkage)."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    count = len(likeness)
    alike = (likeness + likeness.T) / 2
    known = alike[~np.eye(count, dtype=bool) & np.isfinite(alike)]
    if count < 3 or not known.size or np.ptp(known) < 1e-9:
        return np.arange(count)
    distance = known.max() - np.where(np.isfinite(alike), alike, known.mean())
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=count <= ORDERED)
    return leaves_list(tree)


def ratios(weights: np.ndarray) -> np.ndarray:
    """Mixture weights as what was learned: how often the even share of what goes to others each source gets.

    weights  [.., N, N], rows sum to one
    returns  [.., N, N] 1: an even split of what the client does not keep; NaN on the diagonal and where a
             client takes nothing from others
    """
    count = weights.shape[-1]
    own = np.eye(count, dtype=bool)
    others = np.where(own, 0.0, np.asarray(weights, float))
    given = others.sum(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = others / np.where(given > 1e-6, given, np.nan) * (count - 1)
    return np.where(own, np.nan, found)


def main_sources(ratio: np.ndarray) -> np.ndarray:
    """[N] whom each client takes most from beside itself, of `ratios` [N, N]; −1: its split is even."""
    known = np.nan_to_num(ratio, nan=-1.0)
    return np.where(known.max(-1) >= EVEN, known.argmax(-1), -1)


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


def _cells(count):
    """What a cell is, where it is not one pair of clients."""
    size = math.ceil(count / BLOCKS)
    return f" A cell is a mean over {size} × {size} clients." if size > 1 else ""


def _from(array):
    """Where an array comes from, such as "pf_msmtrec, seed 0", if `recorded_of` has said so; then a blank."""
    if "of" not in array.attrs:
        return "One seed. "
    chosen = array.attrs.get("chosen")
    return f"{array.attrs['of']}; validation chose round {chosen}. " if chosen else f"{array.attrs['of']}. "


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
    rounds    numbers of rounds, or None: first, middle, and the one that validation chose
              (attrs "chosen", else the last); of more than LARGE clients that alone
    clusters  N labels of the clients, who are sorted by them, with boxes around them; None: those whose
              updates are alike stand together
    returns   Figure; one row only where coordination changed nothing
    raises    ValueError for a round that was not recorded or another number of labels; KeyError for the unit
    """
    values, where = of_unit(cosines, unit)
    names = [str(name) for name in values["client"].values]
    if len(names) < 2:
        raise ValueError("conflicts need at least two clients")
    rounds = _rounds(values, rounds, len(names), cosines.attrs)
    shown = (
        values.sel(round=rounds).transpose("stage", "round", "client", "other").sel(stage=["before", "after"])
    )
    shown = np.array(shown.values, float)
    order, labels = sort_clients(clusters, len(names), shown[0, -1])
    shown = shown[:, :, order][:, :, :, order]
    changed = not np.allclose(shown[0], shown[1], atol=5e-4, equal_nan=True)
    within, across = pairs(labels, len(names))

    stages = ("before coordination", "after coordination") if changed else ("no coordination",)
    figure = _conflict_maps(shown[: len(stages)], stages, rounds, [names[n] for n in order], labels, across)
    title = _conflict_title(shown[:, -1], rounds[-1], across, within.any(), changed)
    kind = "between groups" if within.any() else "of two clients"
    note = f"Number above a map: mean cosine {kind}. {_from(cosines)}Updates: {where}. Grey: 1 by definition."
    if within.any():
        own = [signed(_mean(shown[s, -1], within), 2) for s in (0, 1)]
        note += f" Boxes: true groups; inside, round {rounds[-1]}: {own[0]} before"
        note += f", {own[1]} after." if changed else "."
    elif labels is None and len(names) > 2:
        note += " Clients whose updates are alike stand together."
    note += _cells(len(names))
    alt = f"Maps of {len(names)} × {len(names)} cosines, rounds {', '.join(map(str, rounds))}. {note}"
    return finish(figure, title, note, alt)


def _conflict_maps(shown, stages, rounds, names, labels, across):
    """The figure: a row of maps per stage, a column per round; of one round the stages side by side."""
    beside = len(rounds) == 1
    lines, columns = (1, len(stages)) if beside else (len(stages), len(rounds))
    figure = Figure(figsize=(8, 4.9 if beside else 1.3 + 2.2 * lines))
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for s, stage in enumerate(stages):
        for k, number in enumerate(rounds):
            ax, matrix = axes[0, s] if beside else axes[s, k], shown[s, k].copy()
            mean = signed(_mean(matrix, across), 2)
            np.fill_diagonal(matrix, np.nan)
            image = client_map(ax, matrix, names, labels, DIVERGING, (-1, 1))
            over = f"round {number}, {stage}: " if beside else f"round {number}\n" if s == 0 else ""
            ax.set_title(over + mean, fontsize=10 if beside else None)
            ax.tick_params(labelbottom=beside or s == lines - 1, labelleft=(s if beside else k) == 0)
        if not beside:
            axes[s, 0].set_ylabel(stage.replace(" ", "\n"), fontweight="bold")
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=25, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.set_label("cosine of two updates")
    bar.ax.set_yticklabels(["−1 opposed", "−0.5", "0", "0.5", "1 same"])
    return figure


def _conflict_title(last, number, across, clustered, changed):
    """In words: how many pairs oppose each other in a round [stage, N, N], and what coordination does."""
    before, after = (signed(_mean(stage, across), 2) for stage in last)
    cosines = last[0][across & np.isfinite(last[0])]
    whose = "of different groups" if clustered else "of clients"
    what = f"{100 * (cosines < 0).mean():.0f} % of the pairs {whose} pull in opposite directions"
    if len(cosines) <= 2:
        what = f"the two updates {'oppose' if (cosines < 0).any() else 'do not oppose'} each other"
    if not len(cosines):
        what = "no update was recorded"
    title = f"Round {number}: {what} (mean cosine {before}); "
    return title + (f"coordination turns them to {after}" if changed else "nothing coordinates them")


@styled
def mixing(
    weights: xr.DataArray,
    unit: str | None = None,
    rounds: Sequence[int] | None = None,
    clusters: Sequence | None = None,
) -> Figure:
    """Who learns from whom: a row is one client, a cell how often the even share it takes from a source.

    weights   History.weights [round, unit, client, source]
    unit      its name, or None: the mean over the experts
    rounds    numbers of rounds, or None: first, middle, and the one that validation chose
              (attrs "chosen", else the last); of more than LARGE clients that alone
    clusters  N labels of the clients, who are sorted by them, with boxes around them; None: those who take
              from each other stand together
    returns   Figure; blue is more than an even split of what goes to others, red less, grey its own weight
    raises    ValueError for a round that was not recorded or another number of labels; KeyError for the unit
    """
    values, where = of_unit(weights, unit)
    names = [str(name) for name in values["client"].values]
    rounds = _rounds(values, rounds, len(names), weights.attrs)
    shown = np.array(values.sel(round=rounds).transpose("round", "client", "source").values, float)
    order, labels = sort_clients(clusters, len(names), np.log2(ratios(shown[-1]).clip(1 / 64)))
    names, shown = [names[n] for n in order], shown[:, order][:, :, order]
    ratio = ratios(shown)

    figure = _mixing_maps(shown, ratio, rounds, names, labels)
    within, _ = pairs(labels, len(names))
    title = f"Round {rounds[-1]}: {_mixing_title(shown[-1], ratio[-1], within, names)}"
    own = 100 * float(np.diag(shown[-1]).mean())
    note = f"Even: every other client alike. Grey: own weight, {own:.0f} % on average. {_from(weights)}"
    note += f"Weights: {where}."
    if within.any():
        note += " Boxes: true groups."
    elif labels is None and len(names) > 2:
        note += " Clients who take from each other stand together."
    note += _cells(len(names))
    alt = f"Maps of {len(names)} × {len(names)} weights, rounds {', '.join(map(str, rounds))}. "
    return finish(figure, title, note, f"{alt}{_sources_in_words(ratio[-1], names)} {note}")


def _mixing_maps(shown, ratio, rounds, names, labels):
    """The figure: a map of log ratios per round, and numbers where they have room."""
    count, large = len(names), len(rounds) == 1 and len(names) > 2
    figure = Figure(figsize=(8, 7.2 if large and count > LARGE else 5.6 if large else 4.4))
    axes = figure.subplots(1, len(rounds), squeeze=False, sharey=True)[0]
    logs = np.log2(ratio.clip(2.0**-6))
    far = np.abs(logs[np.isfinite(logs)])
    reach = float(np.clip(np.ceil(np.quantile(far, 0.98) - 0.05), 1, 4)) if far.size else 1.0
    for ax, number, weights, matrix in zip(axes, rounds, shown, logs, strict=True):
        texts = _cell_texts(weights, matrix) if 640 / len(rounds) / count >= 34 else None
        image = client_map(ax, matrix, names, labels, DIVERGING, (-reach, reach), texts)
        if texts is not None:
            for n, weight in enumerate(np.diag(weights)):
                style = {"ha": "center", "va": "center", "fontsize": 8, "color": "black"}
                ax.text(n + 0.5, n + 0.5, f"{100 * weight:.0f}%", **style)
        ax.set_title(f"round {number}", fontweight="bold")
        ax.set_xlabel("… learns from")
        ax.tick_params(labelleft=ax is axes[0])
    axes[0].set_ylabel(f"client …{f' (of {count:,})' if count > NAMED else ''}")
    steps = np.arange(-reach, reach + 1, 1 if reach <= 2 else 2 if reach == 4 else 3)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=25, ticks=steps)
    bar.ax.set_yticklabels([_times(step) for step in steps])
    bar.set_label("times its even share")
    return figure


def _times(step):
    """A power of two as a colour bar says it."""
    return "even" if step == 0 else f"{2**step:.0f} ×" if step > 0 else f"1/{2**-step:.0f}"


def _cell_texts(weights, logs):
    """The text of the cells: the ratio, 0 where nothing is taken."""
    ratio = np.nan_to_num(2.0**logs)
    return np.where(
        weights < 1e-6, "0", np.vectorize(lambda r: f"{r:.1f}" if r < 9.95 else f"{r:.0f}")(ratio)
    )


def _mixing_title(weights, ratio, within, names):
    """In words: how far the weights have left the even split, and whose they are now."""
    count = len(names)
    if count < 2:
        return "one client, so there is nobody to learn from"
    if not np.isfinite(ratio).any():
        return "nobody learns from anybody; every client keeps to itself"
    if count == 2:
        shares = [f"{named(names[n])} takes {100 * weights[n, 1 - n]:.0f} %" for n in (0, 1)]
        return f"of the other, {' and '.join(shares)}"
    top = main_sources(ratio)
    most = float(np.nanmax(ratio))
    if most < EVEN:
        return f"hardly left the even split; no source gets more than {most:.2f} times its even share"
    if within.any():
        mates = np.where(within, ratio, np.nan)[within.any(1)]
        times = float(np.nanmean(mates))
        if abs(times - 1) < EVEN - 1:
            return f"groups are not found; clients take {times:.2f} times the even share from their own group"
        return f"clients take {times:.1f} times as much from their own group as an even split would"
    sources, counts = np.unique(top[top >= 0], return_counts=True)
    first, *second = np.argsort(-counts, kind="stable")[:2]
    if counts[first] < max(3, 0.25 * (count - 1)):
        n, m = np.unravel_index(np.nanargmax(ratio), ratio.shape)
        said = f"no source leads for many; strongest: {named(names[n])} takes {most:.1f} times the even"
        return f"{said} share from {named(names[m])}"
    said = f"{named(names[sources[first]])} is the main source of {counts[first]} of {count - 1} others"
    if second and counts[second[0]] >= max(2, 0.25 * (count - 1)):
        said += f", {named(names[sources[second[0]]])} of {counts[second[0]]}"
    return said


def _sources_in_words(ratio, names, most=20):
    """Whom every client takes most from; of many clients the strongest."""
    if len(names) < 3:
        return ""
    top = main_sources(ratio)
    order = [n for n in np.argsort(-np.nan_to_num(ratio).max(1), kind="stable") if top[n] >= 0][:most]
    kept = order if len(names) > most else sorted(order)
    said = "; ".join(f"{names[n]} takes most from {names[top[n]]} ({ratio[n, top[n]]:.1f} ×)" for n in kept)
    even = int((top < 0).sum())
    said = f"{'Strongest: ' if len(names) > most else ''}{said}." if said else ""
    return said + (f" {even} of {len(names)} clients split evenly or take nothing." if even else "")

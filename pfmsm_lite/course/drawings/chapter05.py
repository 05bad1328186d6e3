"""Figures of chapter 05: parameters before and after normalization, and what it gains world by world."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from pfmsm_lite import normalize
from pfmsm_lite.lab.style import GREY, finish, signed, styled

BLUE, ORANGE = "#0072B2", "#D55E00"


def curve(ax, values, edges, color, label):
    """A histogram as a line: share of the values in each bin."""
    counts, _ = np.histogram(values, edges)
    ax.plot((edges[:-1] + edges[1:]) / 2, counts / len(values), color=color, linewidth=1.6, label=label)


def _distributions(axes, both, told, names, width, top):
    """The entries of each client's tensor, before and after; the clients of `told` in colour, on top."""
    edges = np.linspace(-width, width, 26)
    order = sorted(range(len(names)), key=lambda n: n in told)
    for ax, values, title in zip(axes, both, ("before", "after"), strict=True):
        for n in order:
            color, label = told.get(n, (GREY, "the others" if n == order[0] else None))
            curve(ax, values[n], edges, color, label)
        ax.set_title(title, fontweight="bold")
        ax.set(xlabel="value of a parameter", yticks=[], ylim=(0, top))
    axes[0].set_ylabel("share of the entries")
    axes[0].legend(loc="upper left", fontsize=8.5, handlelength=1)


@styled
def draw_parameters(
    stack: torch.Tensor, names: Sequence[str], kind: str = "moment", times: float = 1.0, reach: float = 1.0
) -> Figure:
    """One tensor's entries as each client uploads them, and after the server's normalization.

    stack    [N, P] the uploads;  names: of the N clients
    kind     moment, elementwise or none: see `normalize`
    times    the last client's upload is multiplied by this first: a knob to see what normalization does
    reach    the largest `times` that the axes have room for: so they stay fixed under a slider
    returns  Figure: before, after, and each client's deviation
    """
    largest = float(stack.std(1, correction=0).max())
    stack = stack.clone()
    stack[-1] *= times
    after, _ = normalize(stack, kind)
    both = [stack.numpy(), after.numpy()]
    spread = [values.std(axis=1) for values in both]
    narrow, wide = int(spread[0].argmin()), int(spread[0].argmax())
    told = {narrow: (BLUE, f"{names[narrow]}, narrowest"), wide: (ORANGE, f"{names[wide]}, widest")}
    figure = Figure(figsize=(8, 3.9))
    *pair, right = figure.subplots(1, 3, width_ratios=(1, 1, 0.85))
    wider, top = (3.5, 0.17) if reach == 1 else (5.5, 0.65)
    _distributions(pair, both, told, names, wider * largest, top)
    for n in range(len(names)):
        color, _ = told.get(n, (GREY, None))
        right.plot([spread[0][n], spread[1][n]], [n, n], color=color, linewidth=1.2)
        right.plot(spread[0][n], n, "o", color=color, markerfacecolor="white")
        right.plot(spread[1][n], n, "o", color=color)
    right.set_yticks(range(len(names)), names)
    right.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, 1.15 * reach * largest), xlabel="standard deviation")
    right.set_title("○ before, ● after", fontweight="bold")
    right.grid(axis="x")
    ratios = [values.max() / values.min() for values in spread]
    title = f"Deviations differ by a factor of {ratios[0]:.2f} before, and of {ratios[1]:.2f} after {kind}"
    note = "One seed." if times == 1 else f"The last upload: times {times:g}."
    moved = float(torch.linalg.norm(after - stack) / torch.linalg.norm(stack))
    note = f"Normalization moves the uploads by {100 * moved:.1f} % of their length. {note}"
    return finish(figure, title, note, f"{len(names)} clients. {note}")


@styled
def draw_gains(gains: pd.Series) -> Figure:
    """What normalization gains in every world of the map of modules.

    gains    AUC points, indexed by (factor, level, seed); a level that stands in several factors, the
             default, is drawn once
    returns  Figure: a line for each factor, a dot for each world
    """
    again = gains.duplicated(keep=False)
    worlds = pd.concat([gains[~again], gains[again].drop_duplicates()])
    default = worlds.index.isin(gains[again].index)
    rows = {"default": worlds[default]} | dict(iter(worlds[~default].groupby(level="factor")))
    factor, level, seed = worlds.idxmax()
    figure = Figure(figsize=(8, 4))
    ax = figure.subplots()
    ax.axvline(0, color=GREY, linewidth=1.2)
    for y, points in enumerate(rows.values()):
        far = points.to_numpy() == worlds.max()
        ax.plot(points[~far], [y] * (~far).sum(), "o", color=BLUE, markersize=7, alpha=0.45)
        ax.plot(points[far], [y] * far.sum(), "o", color=ORANGE, markersize=9)
        if far.any():
            ax.text(worlds.max() - 0.06, y, f"{level}, seed {seed}", ha="right", va="center", fontsize=10)
    ax.set_yticks(range(len(rows)), rows)
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlabel="AUC points that normalization gains")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    second = worlds.abs().nlargest(2).iloc[1]
    title = (
        f"In {len(worlds) - 1} of {len(worlds)} worlds normalization moves the AUC by at most {second:.1f}"
    )
    title += f" points; one gains {worlds.max():.1f}"
    note = "A dot is one world; five of every kind, with data and starts of their own. Left: what is varied."
    said = f"Mean {signed(worlds.mean(), 2)}. The one: {factor} {level}, seed {seed}."
    return finish(figure, title, note, f"{said} {note}")

"""Figures of chapter 05: what batch normalization sees, and parameters before and after normalization."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from pfmsm_lite import normalize
from pfmsm_lite.lab.style import GREY, finish, styled

COLORS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#D55E00")


def _curve(ax, values, edges, color, label):
    """A histogram as a line: share of the values in each bin."""
    counts, _ = np.histogram(values, edges)
    ax.plot((edges[:-1] + edges[1:]) / 2, counts / len(values), color=color, linewidth=1.6, label=label)


@styled
def draw_parameters(
    stack: torch.Tensor, names: Sequence[str], kind: str = "moment", times: float = 1.0
) -> Figure:
    """One tensor's entries as each client uploads them, and after the server's normalization.

    stack    [N, P] the uploads;  names: of the N clients
    kind     moment, elementwise or none: see `normalize`
    times    the last client's upload is multiplied by this first: a knob to see what normalization does
    returns  Figure: before, after, and each client's deviation
    """
    stack = stack.clone()
    stack[-1] *= times
    after, _ = normalize(stack, kind)
    both = [stack.numpy(), after.numpy()]
    figure = Figure(figsize=(8, 3.9))
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 0.85))
    width = 3.5 * float(np.median([values.std(axis=1).max() for values in both]))
    edges = np.linspace(-width, width, 26)
    spread = [values.std(axis=1) for values in both]
    narrow, wide = int(spread[0].argmin()), int(spread[0].argmax())
    told = {narrow: (COLORS[0], f"{names[narrow]}, narrowest"), wide: (COLORS[5], f"{names[wide]}, widest")}
    order = sorted(range(len(names)), key=lambda n: n in told)  # the two in colour come last, so on top
    for ax, values, title in zip(axes, both, ("before", "after"), strict=False):
        for n in order:
            color, label = told.get(n, (GREY, "the others" if n == order[0] else None))
            _curve(ax, values[n], edges, color, label)
        ax.set_title(title, fontweight="bold")
        ax.set(xlabel="value of a parameter", yticks=[])
    axes[0].set_ylabel("share of the entries")
    top = max(ax.get_ylim()[1] for ax in axes[:2])
    for ax in axes[:2]:
        ax.set_ylim(0, 1.35 * top)
    axes[0].legend(loc="upper left", fontsize=8.5, handlelength=1)
    places = np.arange(len(names))
    for n in places:
        color, _ = told.get(n, (GREY, None))
        axes[2].plot([spread[0][n], spread[1][n]], [n, n], color=color, linewidth=1.2)
        axes[2].plot(spread[0][n], n, "o", color=color, markerfacecolor="white")
        axes[2].plot(spread[1][n], n, "o", color=color)
    axes[2].set_yticks(places, names)
    axes[2].set_ylim(len(names) - 0.5, -0.5)
    axes[2].set_xlim(0, 1.15 * max(map(np.max, spread)))
    axes[2].set_xlabel("standard deviation")
    axes[2].set_title("○ before, ● after", fontweight="bold")
    axes[2].grid(axis="x")
    ratios = [values.max() / values.min() for values in spread]
    title = f"Largest over smallest deviation: {ratios[0]:.2f} before, {ratios[1]:.2f} after {kind}"
    note = "" if times == 1 else f"The last client's upload was multiplied by {times:g}."
    moved = float(torch.linalg.norm(after - stack) / torch.linalg.norm(stack))
    note = f"Normalization moves the uploads by {100 * moved:.1f} % of their length. {note}".strip()
    return finish(figure, title, note, f"{len(names)} clients. {note}")


@styled
def draw_activations(values: Sequence[np.ndarray], names: Sequence[str]) -> Figure:
    """What one hidden unit computes before and after each client's own batch normalization.

    values   list of [R] arrays: one unit's output on each client's rows;  names: of the clients
    returns  Figure
    """
    figure = Figure(figsize=(8, 3.6))
    left, right = figure.subplots(1, 2)
    widest = 1.5 * float(max(v.std() for v in values))
    for ax, title, edges in (
        (left, "before: the unit's raw output", np.linspace(-widest, widest, 32)),
        (right, "after each client's own batch norm", np.linspace(-4, 4, 24)),
    ):
        for v, name, color in zip(values, names, (COLORS[0], COLORS[2], COLORS[5]), strict=False):
            shown = v if ax is left else (v - v.mean()) / v.std()
            _curve(ax, shown, edges, color, name)
        ax.set_title(title, fontweight="bold")
        ax.set(xlabel="value", yticks=[])
    left.set_ylabel("share of the rows")
    left.legend()
    spread = [v.std() for v in values]
    ends = " and ".join(f"{spread[n]:.2g} at {names[n]}" for n in (0, -1))
    title = f"One unit, the same weights, other rows: deviation {ends}"
    return finish(figure, title, None, "Batch norm at home gives every client mean 0 and deviation 1.")

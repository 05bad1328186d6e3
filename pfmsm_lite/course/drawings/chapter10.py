"""Figure of further 10: what batch normalization makes of one unit, by own and by averaged statistics."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pfmsm_lite.course.drawings.chapter05 import curve
from pfmsm_lite.lab.style import finish, styled

COLORS = ("#0072B2", "#009E73", "#D55E00")
RAW, NORMALIZED = 10.5, 4.0  # ends of the axes, the same for all data


def _averaged(values):
    """(mean, deviation) that a server makes of the clients' means and variances, weighted by rows."""
    rows = [len(v) for v in values]
    mean = np.average([v.mean() for v in values], weights=rows)
    return mean, np.average([v.var() for v in values], weights=rows) ** 0.5


def spreads(values: Sequence[np.ndarray]) -> list[float]:
    """Deviation of each client's outputs after batch norm with averaged statistics; with its own it is 1.

    values   list of [R] arrays: one unit's output on each client's rows
    """
    deviation = _averaged(values)[1]
    return [float(v.std() / deviation) for v in values]


@styled
def draw_activations(values: Sequence[np.ndarray], names: Sequence[str]) -> Figure:
    """What one hidden unit computes: raw, after batch norm with own statistics, and with averaged ones.

    values   list of [R] arrays: one unit's output on each client's rows;  names: of the clients
    returns  Figure; its axes are the same for all data
    """
    figure = Figure(figsize=(9, 3.4))
    axes = figure.subplots(1, 3)
    mean, deviation = _averaged(values)
    panels = (
        ("the unit's raw output", RAW, 1.02, values),
        ("BN, own statistics", NORMALIZED, 0.25, [(v - v.mean()) / v.std() for v in values]),
        ("BN, averaged statistics", NORMALIZED, 0.25, [(v - mean) / deviation for v in values]),
    )
    for ax, (title, width, top, shown) in zip(axes, panels, strict=True):
        for own, name, color in zip(shown, names, COLORS, strict=False):
            curve(ax, own, np.linspace(-width, width, 28), color, name)
        ax.set_title(title, fontweight="bold")
        ax.set(xlabel="value", yticks=[], xlim=(-width, width), ylim=(0, top))
    axes[0].set_ylabel("share of the rows")
    axes[0].legend(loc="upper right")
    spread = spreads(values)
    title = (
        f"Averaged statistics give {names[0]} deviation {spread[0]:.2f} and {names[-1]} {spread[-1]:.2f}; "
    )
    title += "own statistics give 1"
    note = (
        f"Raw deviations: {', '.join(f'{v.std():.2g} ({n})' for v, n in zip(values, names, strict=True))}. "
    )
    note += "One seed. Peaks and tails are cut off."
    return finish(figure, title, note, f"Three panels, one curve per client. {note}")

"""Figure of further 10: what batch normalization sees."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pfmsm_lite.course.drawings.chapter05 import curve
from pfmsm_lite.lab.style import finish, styled

COLORS = ("#0072B2", "#009E73", "#D55E00")


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
        for v, name, color in zip(values, names, COLORS, strict=False):
            shown = v if ax is left else (v - v.mean()) / v.std()
            curve(ax, shown, edges, color, name)
        ax.set_title(title, fontweight="bold")
        ax.set(xlabel="value", yticks=[])
    left.set_ylabel("share of the rows")
    left.legend()
    spread = [v.std() for v in values]
    ends = " and ".join(f"{spread[n]:.2g} at {names[n]}" for n in (0, -1))
    title = f"The same unit on other rows: deviation {ends}"
    note = "One seed. Batch norm at home gives every client mean 0 and deviation 1."
    return finish(figure, title, note, f"Two panels, one curve per client. {note}")

"""Chapter 08: who is ahead by how much, and what failure looks like."""

import numpy as np
from matplotlib.figure import Figure

from pfmsm_lite.analysis import against, per_seed
from pfmsm_lite.plots import INK, METHOD_STYLE, finish, method_style, styled


@styled
def forest(results, hero="pf_msmtrec", data="these data"):
    """Paired differences hero − method on test rows, in AUC points, with 95 % intervals; a dot is a seed.

    results  rows of results.csv, of several methods over the same seeds;  data: their name, for the title
    returns  Figure;  raises  KeyError where the hero is not among the methods
    """
    table = against(results, hero).drop(index=hero).sort_values("difference")
    averages = per_seed(results)
    figure = Figure(figsize=(8, 1.6 + 0.42 * len(table)))
    ax = figure.subplots()
    ax.axvline(0, color=INK, linewidth=1)
    for y, row in enumerate(table.itertuples()):
        color = method_style(row.Index)[0]
        clear = row.low > 0 or row.high < 0
        ax.plot(100 * (averages[hero] - averages[row.Index]), [y] * len(averages), "o", color="#b5b5b5", ms=4)
        ax.plot([row.low, row.high], [y, y], color=color, linewidth=2.5, alpha=1 if clear else 0.45)
        ax.plot(row.difference, y, "o", color=color, ms=8, mfc=color if clear else "white")
        ax.text(1.02, y, f"{row.difference:+.2f}", transform=ax.get_yaxis_transform(), va="center")
    ax.set_yticks(range(len(table)), table.index)
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.set_xlabel(f"{hero} minus method, AUC points")
    ax.grid(axis="x")
    won = int((table["low"] > 0).sum())
    lost = int((table["high"] < 0).sum())
    title = f"On {data}, {hero} is clearly ahead of {won} of {len(table)} methods, clearly behind {lost}"
    seeds = len(averages)
    note = (
        f"Line: 95 % interval over {seeds} paired seeds. Hollow: the interval holds zero. Grey: single seeds."
    )
    said = "; ".join(
        f"{row.Index} {row.difference:+.2f} [{row.low:+.2f}, {row.high:+.2f}]" for row in table.itertuples()
    )
    return finish(figure, title, note, f"Differences in AUC points: {said}.")


@styled
def side_by_side(curves, title, note=None, chance=0.5):
    """Curves of average validation AUC by round, one panel per case.

    curves  case → {label: [R] values};  returns Figure
    """
    figure = Figure(figsize=(8, 3.4))
    axes = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    colors = ("#D55E00", "#0072B2", "#009E73", "#E69F00")
    for ax, (case, lines) in zip(axes, curves.items(), strict=True):
        ax.axhline(chance, color=INK, linewidth=0.8, linestyle=":")
        for color, (label, values) in zip(colors, lines.items(), strict=False):
            color = METHOD_STYLE[label][0] if label in METHOD_STYLE else color
            values = np.asarray(values, float)
            ax.plot(range(1, len(values) + 1), values, color=color, label=label)
        ax.set_title(case, fontweight="bold")
        ax.set_xlabel("round")
        ax.legend(loc="best")
    axes[0].set_ylabel("validation AUC")
    said = "; ".join(
        f"{case}: "
        + ", ".join(f"{label} ends at {np.asarray(v, float)[-1]:.3f}" for label, v in lines.items())
        for case, lines in curves.items()
    )
    return finish(figure, title, note, said + ".")

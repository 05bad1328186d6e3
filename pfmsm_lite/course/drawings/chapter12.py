"""Drawings of chapter 12: what a module gains along each knob, and again on new seeds."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.lab.charts import SENT
from pfmsm_lite.lab.map import WHOLE, WITHOUT
from pfmsm_lite.lab.statistics import paired_interval
from pfmsm_lite.lab.style import GREY, INK, METHOD_STYLE, finish, interval_line, styled


def _gained(aucs, module):
    """AUC points that a module gains, by factor, level and seed; only seeds that have both methods."""
    return (100 * (aucs[WHOLE] - aucs[WITHOUT[module]])).dropna()


def _reach(aucs, module):
    """Limits of the gains: the same for all modules; those of SENT have a scale of their own."""
    alike = SENT if module in SENT else [name for name in WITHOUT if name not in SENT]
    gains = [_gained(aucs, name) for name in alike if WITHOUT[name] in aucs]
    found = [
        paired_interval(own.to_numpy(), 0 * own.to_numpy())[1:]
        for g in gains
        for _, own in g.groupby(level=[0, 1])
    ]
    values = np.concatenate([*(g.to_numpy() for g in gains), np.ravel(found), [0.0]])
    low, high = np.nanmin(values), np.nanmax(values)
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _line(ax, levels, seeds_of):
    """One panel of `along`: the levels of a knob; returns level → (mean, low, high)."""
    found, color = {}, METHOD_STYLE[WHOLE][0]
    ax.axhline(0, color=INK, linewidth=1)
    for x, level in enumerate(levels):
        seeds = seeds_of(level)
        if not len(seeds):  # its trainings failed
            continue
        mean, low, high = found[level] = paired_interval(seeds, 0 * seeds)
        clear = low > 0 or high < 0
        ax.plot(np.full(len(seeds), x + 0.22), seeds, ".", color=GREY, ms=5, zorder=1)
        ax.plot([x, x], [low, high], color=color, linewidth=2.2, zorder=2)
        ax.plot(x, mean, "o", color=color, mfc=color if clear else "white", ms=7, zorder=3)
    ax.set_xticks(range(len(levels)), [level.replace("-", "−").replace(" : ", ":") for level in levels])
    ax.set_xlim(-0.5, len(levels) - 0.3)
    ax.grid(axis="y")
    return found


@styled
def along(results: pd.DataFrame, module: str) -> Figure:
    """One line of the map at full size: what a module gains along every knob, one dot per seed.

    results  as in `pfmsm_lite.lab.map.results`;  module: one of WITHOUT
    returns  Figure; the axis of the gains is the same for every module
    """
    rows = results.assign(level=results["level"].astype(str))
    aucs = rows.pivot(index=["factor", "level", "seed"], columns="method", values="auc")
    if lacking := {WHOLE, WITHOUT[choose("module", module, WITHOUT)]} - set(aucs):
        raise UserError(f"What {module} gains cannot be drawn: these results have no {', '.join(lacking)}.")
    gained = _gained(aucs, module)
    if gained.empty:
        raise UserError(
            f"What {module} gains cannot be drawn: no seed has both {WHOLE} and {WITHOUT[module]}."
        )
    factors = {}
    for factor, level in rows.set_index(["factor", "level"]).index.unique():
        factors.setdefault(factor, []).append(level)
    figure = Figure(figsize=(10, 3.6))
    axes = figure.subplots(
        1, len(factors), sharey=True, squeeze=False, width_ratios=[len(levels) for levels in factors.values()]
    )
    found, keys = {}, gained.index.droplevel("seed")
    for ax, (factor, levels) in zip(axes[0], factors.items(), strict=True):
        panel = _line(ax, levels, lambda level, factor=factor: gained[keys == (factor, level)].to_numpy())
        found |= {(factor, level): values for level, values in panel.items()}
        ax.set_title(textwrap.fill(factor, 7 * len(levels)), fontsize=10)
    axes[0][0].set(ylabel="gain, AUC points", ylim=_reach(aucs, module))
    most = max(found, key=lambda place: found[place][0])
    kinds = set(found.values())  # the same data under two knobs is one kind
    clear = [kind for kind in kinds if kind[1] > 0 or kind[2] < 0]
    title = f"{module}: best {found[most][0]:+.2f} ({' '.join(most)}), "
    title += f"clear on {len(clear)} of {len(kinds)} kinds of data"
    note = (
        "Dot: mean, with its 95 % interval over paired seeds. Hollow: it includes zero. Grey: single seeds."
    )
    if gained.groupby(["factor", "level"]).size().max() < 2:
        note = "One seed only, so there is no interval and nothing is clear."
    said = "; ".join(f"{' '.join(place)} {found[place][0]:+.2f}" for place in found)
    return finish(figure, title.replace("-", "−"), note, f"Gains from {module}, in AUC points. {said}.")


@styled
def again(found: pd.DataFrame, tested: pd.DataFrame) -> Figure:
    """What a search showed, and what new seeds say of the same cells: gains in points with 95 % intervals.

    found, tested  as `pfmsm_lite.lab.map.table` makes them, with the same levels and modules
    returns  Figure;  raises  UserError where they have no cell in common
    """
    pairs = found.merge(tested, on=["level", "module"], suffixes=("", "_new"))
    if pairs.empty:
        raise UserError("What was found and what was tested have no level and module in common.")
    levels, modules = (list(dict.fromkeys(pairs[key])) for key in ("level", "module"))
    figure = Figure(figsize=(9, 1.7 + 0.36 * len(modules)))
    axes = figure.subplots(1, len(levels), sharex=True, sharey=True, squeeze=False)[0]
    color = METHOD_STYLE[WHOLE][0]
    for ax, level in zip(axes, levels, strict=True):
        own = pairs[pairs["level"] == level]
        ax.axvline(0, color=INK, linewidth=1)
        for row in own.itertuples():
            y = modules.index(row.module)
            ax.plot(row.gain, y - 0.16, "D", color=GREY, ms=6)
            interval_line(ax, y + 0.16, [], row.gain_new, row.low_new, row.high_new, color)
        ax.set_yticks(range(len(modules)), modules)
        ax.set_ylim(len(modules) - 0.5, -0.5)
        ax.set_title(level, fontweight="bold")
        ax.grid(axis="x")
    axes[0].set_xlabel("gain, AUC points")
    clear = (pairs["low_new"] > 0) | (pairs["high_new"] < 0)
    kept = int((clear & (pairs["gain"] * pairs["gain_new"] > 0)).sum())
    title = (
        f"On new seeds {kept} of {len(pairs)} gains and costs are clear, with the same sign as in the search"
    )
    seeds = int(pairs["seeds_new"].max())
    note = "Grey: what the search showed. Line and dot: "
    note += f"{seeds} new seeds with their 95 % interval. Hollow: it includes zero."
    said = "; ".join(
        f"{row.level}, {row.module}: {row.gain:+.2f} found, {row.gain_new:+.2f} on new seeds"
        for row in pairs.itertuples()
    )
    return finish(figure, title, note, f"Gains in AUC points. {said}.")

"""The figures of `compare` and `map`: who is ahead by how much, and what each module gains on which data."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.statistics import against, per_seed, points
from pfmsm_lite.lab.style import (
    DIVERGING,
    GREY,
    INK,
    finish,
    interval_line,
    method_style,
    minus,
    signed,
    styled,
)


@styled
def forest(
    results: pd.DataFrame, hero: str = "pf_msmtrec", data: str = "these data", title: str = ""
) -> Figure:
    """Paired differences hero − method on test rows, in AUC points, with 95 % intervals; a dot is a seed.

    results  rows of results.csv, of several methods over the same seeds;  data: their name, for the title
    title    the finding, in a sentence; "": of how many methods the hero is clearly ahead
    returns  Figure;  raises  UserError where there is nothing to compare with
    """
    table = against(results, hero).drop(index=hero).sort_values("difference")
    averages = per_seed(results)
    if table.empty:
        raise UserError(
            f"{hero} is alone in these results. Run it beside others: --methods {hero},local,fedavg"
        )
    figure = Figure(figsize=(8, 1.6 + 0.42 * len(table)))
    ax = figure.subplots()
    ax.axvline(0, color=INK, linewidth=1)
    for y, row in enumerate(table.itertuples()):
        seeds = 100 * (averages[hero] - averages[row.Index])
        interval_line(ax, y, seeds, row.difference, row.low, row.high, method_style(row.Index)[0])
        ax.text(1.02, y, signed(row.difference, 2), transform=ax.get_yaxis_transform(), va="center")
    ax.set_yticks(range(len(table)), table.index)
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.set_xlabel(f"{hero} minus method, AUC points")
    ax.grid(axis="x")
    won = int((table["low"] > 0).sum())
    lost = int((table["high"] < 0).sum())
    found = f"On {data}, {hero} is clearly ahead of {won} of {len(table)} methods, clearly behind {lost}"
    seeds = len(averages)
    if seeds < 2:
        above = int((table["difference"] > 0).sum())
        found = f"On {data}, {hero} is above {above} of {len(table)} methods; one seed, so nothing is clear"
    note = f"Line: 95 % interval over {seeds} paired seeds. Hollow: it includes zero. Grey: single seeds."
    note = (
        note
        if seeds > 1
        else "One seed only, so there is no interval and nothing is clear: take --seeds 0,1,2."
    )
    said = "; ".join(
        f"{row.Index} {row.difference:+.2f}" + (f" [{row.low:+.2f}, {row.high:+.2f}]" if seeds > 1 else "")
        for row in table.itertuples()
    )
    return finish(figure, title or found, note, f"Differences in AUC points: {said}.")


@styled
def standings(table: pd.DataFrame, reference: str, data: str, varies: str = "seed") -> Figure:
    """Each method's AUC points over a reference with its interval, the best set filled.

    table    as compare.csv;  data: their name, for the title
    varies   what the interval is over besides test rows, see `standing.Scores`
    returns  Figure;  raises  UserError where there is nothing to compare with
    """
    known = table[table["best_set"].notna() & (table["method"] != reference)].iloc[::-1]
    if known.empty:
        raise UserError(f"{reference} is alone in this comparison. Compare it with others: --methods all")
    figure = Figure(figsize=(8, 1.6 + 0.42 * len(known)))
    ax = figure.subplots()
    ax.axvline(0, color=INK, linewidth=1)
    for y, row in enumerate(known.itertuples()):
        style = {"clear": bool(row.best_set)}
        interval_line(ax, y, [], row.difference, row.low, row.high, method_style(row.method)[0], **style)
        ax.text(1.02, y, signed(row.difference, 2), transform=ax.get_yaxis_transform(), va="center")
    ax.set_yticks(range(len(known)), known["method"])
    ax.set_ylim(-0.6, len(known) - 0.4)
    ax.set_xlabel(f"method minus {reference}, AUC points")
    ax.grid(axis="x")
    best = list(table.loc[table["best_set"] == 1, "method"])
    names = f"{', '.join(best[:4])}{f' and {len(best) - 4} more' if len(best) > 4 else ''}"
    title = f"On {data}, {len(best)} of {len(known) + 1} methods cannot be told apart from the best: {names}"
    title = title if len(best) > 1 else f"On {data}, {names} is clearly the best of {len(known) + 1} methods"
    over = {"seed": "seeds", "world": "windows in time"}[varies]
    note = (
        f"Line: 95 % interval over {over} and test rows. Filled: with 95 % confidence this set has the best."
    )
    said = "; ".join(f"{row.method} {points(row)}" for row in known.itertuples())
    return finish(figure, title, note, f"Points over {reference}: {said}.")


@styled
def module_map(
    gains: pd.DataFrame, limit: float = 2.0, title: str | None = None, note: str | None = None
) -> Figure:
    """What each module gains (blue) or costs (red), a line per module, a column per level of a knob.

    gains    as `pfmsm_lite.lab.map.table` makes it;  limit: AUC points at which the colours end
    title, note  default: where each module gains or costs most, of what is clear; what is subtracted
    returns  Figure
    """
    gains = gains.assign(level=gains["level"].astype(str))  # "0.3" in a file is read as a number
    levels = list(dict.fromkeys(zip(gains["factor"], gains["level"], strict=True)))
    modules = list(dict.fromkeys(gains["module"]))
    factors = list(dict.fromkeys(gains["factor"]))
    figure = Figure(figsize=(max(7, 2.2 + 0.62 * len(levels)), 1.6 + 0.44 * len(modules)))
    widths = [sum(level[0] == factor for level in levels) for factor in factors]
    axes = figure.subplots(1, len(factors), sharey=True, squeeze=False, width_ratios=widths)[0]
    found = gains.set_index(["factor", "level", "module"])
    clear = (found["low"] > 0) | (found["high"] < 0)
    for ax, factor in zip(axes, factors, strict=True):
        own = [level for level in levels if level[0] == factor]
        values = np.array([[found["gain"].get((*level, m), np.nan) for level in own] for m in modules])
        ax.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto")
        for (y, x), value in np.ndenumerate(values):
            sure = clear.get((*own[x], modules[y]), False)
            color = "white" if abs(value) > 0.7 * limit else INK if sure or abs(value) > 0.3 * limit else GREY
            text = signed(value, 1 if abs(value) >= 9.95 else 2)
            text = "n/a" if np.isnan(value) else text  # its trainings failed
            weight = "bold" if sure else "normal"
            style = {"color": color, "fontweight": weight, "fontsize": 9}
            ax.text(x, y, text, ha="center", va="center", **style)
        ax.set_xticks(range(len(own)), [textwrap.fill(minus(level), 16) for _, level in own])
        ax.set_title(textwrap.fill(factor, 9 * len(own)), fontsize=10)
        ax.set_yticks(range(len(modules)), modules)
        ax.tick_params(length=0)
        for side in ax.spines.values():
            side.set_visible(False)
    title = title or _clear_gains(gains[~gains["module"].isin(SENT)])
    seeds = int(gains["seeds"].max())
    note = note or (
        "AUC points: pf_msmtrec minus itself without the module; the two lower lines: minus a plain MMoE "
        f"that sends less. Test rows, mean over {seeds} paired seeds, each with data of its own. Bold: the "
        "95 % interval excludes zero. Blue gains, red costs."
    )
    said = "; ".join(
        f"{row.module}, {row.factor} {row.level}: {row.gain:+.2f}"
        for row in gains.itertuples()
        if clear[row[1:4]] and row.module not in SENT
    )
    return finish(figure, title, note, f"{note} Clear ones of single modules: {said or 'none'}.")


SENT = ("experts and towers sent", "anything sent")  # lines of the map that take more away than one module


def _clear_gains(gains):
    """In words: where each module gains or costs most, of what is clear; and which are clear nowhere."""
    clear = gains[(gains["low"] > 0) | (gains["high"] < 0)]
    most = clear.loc[clear.groupby("module", sort=False)["gain"].apply(lambda g: g.abs().idxmax())]
    words = [
        f"{row.module} {signed(row.gain, 2)} ({row.factor} {minus(row.level)})"
        for row in most.sort_values("gain", ascending=False).itertuples()
    ]
    nowhere = [module for module in dict.fromkeys(gains["module"]) if module not in set(clear["module"])]
    if not words:
        return "Nothing is clear, not even before correction"
    found = f"Clear before correction: {', '.join(words)}"
    return f"{found}; nowhere: {', '.join(nowhere)}" if nowhere else found

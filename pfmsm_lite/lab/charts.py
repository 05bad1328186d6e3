"""The figures of `compare` and `map`: who is ahead by how much, and what each module gains on which data."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.heatmaps import heatmap
from pfmsm_lite.lab.statistics import against, per_seed, points
from pfmsm_lite.lab.style import (
    DIVERGING,
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
    returns  Figure; only cells whose interval excludes zero have a box and a number. The lines of SENT, if
             there are others, stand below in words: in the colours of the modules they would hide these
    """
    gains = gains.assign(level=gains["level"].astype(str))  # "0.3" in a file is read as a number
    gains = gains.assign(clear=(gains["low"] > 0) | (gains["high"] < 0))
    sent = gains["module"].isin(SENT)
    whole = gains[sent & ~sent.all()]
    _module_cells(figure := Figure(), gains.drop(whole.index), whole, limit)
    title = title or _clear_gains(gains[~sent])
    note = (
        note
        or (
            "Blue gains, red costs: pf_msmtrec minus itself without the module, test rows, mean over "
            f"{int(gains['seeds'].max())} paired seeds, each with data of its own. Box and number: the 95 % "
            "interval excludes zero. "
            f"{'Lower lines: minus a plain MMoE that sends less.' if len(whole) else ''}"
        ).strip()
    )
    said = "; ".join(
        f"{row.module}, {row.factor} {row.level}: {row.gain:+.2f}"
        for row in gains[~sent].query("clear").itertuples()
    )
    below = "".join(f" {module}: {_range(own)}." for module, own in whole.groupby("module", sort=False))
    return finish(figure, title, note, f"{note} Clear ones of single modules: {said or 'none'}.{below}")


def _module_cells(figure, gains, whole, limit):
    """The maps of `module_map`, one for each knob, their colour bar, and below them `whole` in words."""
    levels = list(dict.fromkeys(zip(gains["factor"], gains["level"], strict=True)))
    modules, sent = (list(dict.fromkeys(part["module"])) for part in (gains, whole))
    factors = {factor: [level for level in levels if level[0] == factor] for factor, _ in levels}
    figure.set_size_inches(max(7, 2.9 + 0.45 * len(levels)), 1.9 + 0.38 * len(modules) + 0.4 * len(sent))
    figure.get_layout_engine().set(w_pad=0.03, wspace=0.01)
    grid = figure.add_gridspec(
        1 + bool(sent), len(factors), width_ratios=[len(own) for own in factors.values()],
        height_ratios=[0.38 * len(modules), *([0.36 * len(sent)] if sent else [])],
    )  # fmt: skip
    axes = [figure.add_subplot(grid[0, k]) for k in range(len(factors))]
    found = gains.set_index(["factor", "level", "module"])
    for ax, (factor, own) in zip(axes, factors.items(), strict=True):
        table = found.reindex([(*level, module) for module in modules for level in own])
        values = table["gain"].to_numpy().reshape(len(modules), len(own))
        cells = _marked(ax, values, table["clear"].eq(True).to_numpy().reshape(values.shape), limit)
        ax.set_xticks(
            np.arange(len(own)) + 0.5,
            [textwrap.fill(minus(level), 16).replace(" : ", ":") for _, level in own],
        )
        ax.set_title(textwrap.fill(factor, max(8, int(6.5 * len(own)))), fontsize=9.5)
    axes[0].set_yticks(np.arange(len(modules)) + 0.5, modules)
    bar = figure.colorbar(cells, ax=axes, ticks=[-limit, 0, limit], aspect=12, pad=0.01)
    bar.ax.set_yticklabels([f"{signed(-limit)} points", "0", f"{signed(limit)} points"])
    if sent:
        _in_words(figure.add_subplot(grid[1, :]), whole, sent)


def _marked(ax, values, clear, limit):
    """A heatmap of gains; the clear ones have a box and their number. Returns what a colour bar needs."""
    texts = [
        [
            signed(value, 1 if abs(value) >= 9.95 else 2) if sure else ""
            for value, sure in zip(*line, strict=True)
        ]
        for line in zip(values, clear, strict=True)
    ]
    style = {"annot_kws": {"fontsize": 9, "fontweight": "bold"}, "linewidths": 0.8, "linecolor": "#e3e3e3"}
    cells = heatmap(ax, values, DIVERGING, (-limit, limit), np.array(texts, object), **style)
    for y, x in np.argwhere(clear):
        ax.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor=INK, linewidth=2, clip_on=False, zorder=3))
    for y, x in np.argwhere(np.isnan(values)):  # its trainings failed
        ax.text(x + 0.5, y + 0.5, "n/a", ha="center", va="center", color=INK, fontsize=9)
    return cells


def _in_words(ax, whole, modules):
    """The lower lines of `module_map`: the range of what a whole federation gains."""
    for y, module in enumerate(modules):
        ax.axhspan(y - 0.42, y + 0.42, color="#eeeeee")
        words = _range(whole[whole["module"] == module])
        ax.text(0.01, y, words, transform=ax.get_yaxis_transform(), va="center", color=INK, fontsize=10)
    ax.set_yticks(range(len(modules)), [textwrap.fill(module, 16) for module in modules])
    ax.set(xticks=[], ylim=(len(modules) - 0.5, -0.5))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _range(own):
    """In words: from which gain to which, and in how many cells it is clear."""
    ends = " to ".join(dict.fromkeys(signed(gain, 2) for gain in (own["gain"].min(), own["gain"].max())))
    return f"{ends} points, clear in {own['clear'].sum()} of {len(own)} columns"


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

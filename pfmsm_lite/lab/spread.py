"""What each scenario gains: a method's dots with intervals, of many the distribution; methods × scenarios."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.heatmaps import heatmap
from pfmsm_lite.lab.statistics import hero_of, paired
from pfmsm_lite.lab.style import (
    DIVERGING,
    GREY,
    INK,
    axis_labels,
    finish,
    interval_line,
    named,
    signed,
    styled,
)

DOTS, ENDS = 40, 10  # scenarios up to which each has a line; beyond, this many of the best and of the worst
ROWS, COLUMNS = 8, 12  # of `gains`: more scenarios become lines; more columns have no room for numbers
GAIN, LOSS = "#0072B2", "#D55E00"


def by_scenario(
    results: pd.DataFrame, method: str, reference: str | None = "local", split: str = "test"
) -> pd.DataFrame:
    """What a method gives each scenario over a reference, mean over the tasks: most first, NaN last.

    results    rows of results.csv;  reference: a method, or None for the AUC itself, in hundredths
    returns    by scenario: difference, low, high (points, 95 % t interval over paired seeds), p, seeds, and
               clear: 1 where the interval is above zero, −1 below, else 0; with one seed always 0
    """
    rows = results[results["split"] == split]
    single = rows.groupby(["method", "scenario", "seed"], sort=False)["auc"].mean().unstack("seed")
    order = list(dict.fromkeys(rows["scenario"]))
    own = single.loc[method].reindex(order)
    other = single.loc[reference].reindex(order) if reference else 0 * own
    found = [paired(own.loc[name], other.loc[name]) for name in order]
    table = pd.DataFrame(found, index=pd.Index(order, name="scenario"))
    table["clear"] = (table["low"] > 0).astype(int) - (table["high"] < 0).astype(int)
    return table.sort_values("difference", ascending=False, kind="stable")


def who_gains(table: pd.DataFrame, method: str, reference: str = "local") -> str:
    """In words: in how many scenarios a method is above the reference, in how many clearly, whom it harms.

    table  of `by_scenario`
    """
    known = table.dropna(subset=["difference"])
    if not len(known):
        return "No AUC: one class only in every scenario"
    above, count = int((known["difference"] > 0).sum()), len(known)
    of = f"{above} of {count} scenario{'s' * (count > 1)}"
    last, least = known.index[-1], known["difference"].iloc[-1]
    if known["seeds"].max() < 2:
        title = f"{method} is above {reference} in {of}; one seed, so nothing is clear"
        return f"{title} (least: {named(last)} {signed(least)} points)"
    up, lost = int((known["clear"] > 0).sum()), list(known.index[known["clear"] < 0])[::-1]
    title = f"{method} gains over {reference} in {of}, clearly in {up}; "
    if not lost:
        return f"{title}nobody clearly loses (least: {named(last)} {signed(least)} points)"
    names = ", ".join(
        f"{named(name)} {signed(known['difference'][name])}" for name in lost[: 3 if len(lost) < 4 else 2]
    )
    return f"{title}clearly harmed: {f'{len(lost)}, most ' if len(lost) > 3 else ''}{names} points"


def spread(
    results: pd.DataFrame,
    method: str,
    reference: str | None = "local",
    split: str = "test",
    sizes: Mapping[str, int] | None = None,
) -> Figure:
    """Each scenario's gain over a reference, sorted; of more than DOTS their distribution and both ends.

    Arguments as in `by_scenario`;  sizes: scenario → training rows, written beside its name, or None
    returns  Figure, at most 12 inches high
    """
    table = by_scenario(results, method, reference, split)
    known = table.dropna(subset=["difference"])
    if not reference:
        numbers = ["difference", "low", "high"]
        known = known.assign(**known[numbers] / 100, clear=1)
    many = len(known) > DOTS
    shown = pd.concat([known.iloc[:ENDS], known.iloc[-ENDS:]]) if many else known
    height = 1.9 + 0.235 * max(len(shown), 2) + (2.6 if many else 0)
    figure = Figure(figsize=(8, height))
    axes = figure.subplots(1 + many, 1, squeeze=False, height_ratios=[2.2, 0.24 * len(shown)][1 - many :])
    unit = f"AUC points over {reference}" if reference else "AUC"
    if many:
        _histogram(axes[0, 0], known["difference"], unit, bool(reference))
    _dots(axes[-1, 0], shown, sizes or {}, bool(reference), len(known) if many else 0)
    axes[-1, 0].set_xlabel(f"{method}: {unit}, mean over the tasks")
    title = who_gains(table, method, reference) if reference else _range(known, method)
    lines = [f"{name} {signed(v) if reference else f'{v:.3f}'}" for name, v in shown["difference"].items()]
    ends = f"The best and the worst {ENDS}: " if many else ""
    return finish(figure, title, _note(known, table, reference, sizes), f"{ends}{', '.join(lines)}.")


def _note(known, table, reference, sizes):
    """What the marks mean, what is missing, and how much of it may be luck."""
    seeds = int(table["seeds"].max())
    note = (
        f"Lines: 95 % interval over {seeds} seeds. " if seeds > 1 else "One seed, so there is no interval. "
    )
    if reference:
        note += "Filled: clear of zero. " if seeds > 1 else ""
        if seeds > 1 and len(known) > 20:
            luck = 0.025 * len(known)
            note += f"By luck alone about {luck:.0f} of {len(known):,} would be clear on either side. "
    if missing := len(table) - len(known):
        note += f"{missing} without AUC (one class only) left out. "
    return note + ("In brackets: training rows." if sizes else "")


def _range(known, method):
    if not len(known):
        return "No AUC: one class only in every scenario"
    first, last = known["difference"].iloc[0], known["difference"].iloc[-1]
    names = [named(known.index[k]) for k in (-1, 0)]
    return f"{method}: AUC from {last:.3f} ({names[0]}) to {first:.3f} ({names[1]}), {len(known)} scenarios"


def _histogram(ax: Axes, values: Sequence[float], unit: str, signs: bool) -> None:
    """How many scenarios have which gain; losses in another colour."""
    counts, edges = np.histogram(values, bins=min(40, 2 * math.ceil(math.sqrt(len(values)))))
    if signs and edges[0] < 0 < edges[-1]:  # zero is an edge: no bar is half a loss
        width = edges[1] - edges[0]
        edges = np.arange(math.floor(edges[0] / width), math.ceil(edges[-1] / width) + 1) * width
        counts, edges = np.histogram(values, bins=edges)
    colors = [LOSS if signs and right <= 1e-9 else GAIN for right in edges[1:]]
    ax.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colors, edgecolor="white", linewidth=0.5)
    if signs:
        ax.axvline(0, color=INK, linewidth=1)
    middle = float(np.median(values))
    ax.axvline(middle, color=INK, linewidth=1, linestyle="--")
    ax.set_title(
        f"all {len(values):,} scenarios; dashed: the median, {signed(middle) if signs else f'{middle:.3f}'}"
    )
    ax.set(ylabel="scenarios", xlabel=unit)


def _dots(ax: Axes, shown: pd.DataFrame, sizes: Mapping[str, int], signs: bool, total: int) -> None:
    """A line for each scenario: dot, interval, number; a gap between the best and the worst of many."""
    places = np.arange(len(shown)) + np.where(np.arange(len(shown)) >= ENDS, bool(total), 0)
    for y, row in zip(places, shown.itertuples(), strict=True):
        color = GAIN if row.difference >= 0 or not signs else LOSS
        interval_line(ax, y, [], row.difference, row.low, row.high, color, ms=6, clear=row.clear != 0)
        text = signed(row.difference) if signs else f"{row.difference:.3f}"
        ax.text(1.01, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=9)
    if signs:
        ax.axvline(0, color=INK, linewidth=1)
    if total:
        words = f"… {total - len(shown):,} between …"
        ax.text(
            0.5,
            ENDS,
            words,
            transform=ax.get_yaxis_transform(),
            ha="center",
            va="center",
            color="#6f6f6f",
            backgroundcolor="white",
        )
    if not len(shown):
        ax.text(0.5, 0.5, "n/a", transform=ax.transAxes, ha="center", color=GREY)
    labels = axis_labels(shown.index, 26)
    names = [f"{a} ({sizes[n]:,})" if n in sizes else a for a, n in zip(labels, shown.index, strict=True)]
    ax.set_yticks(places, names)
    ax.tick_params(axis="y", length=0, labelsize=9)
    ax.set_ylim((places[-1] if len(places) else 0) + 0.7, -0.7)
    ax.grid(axis="x")


@styled
def gains(results: pd.DataFrame, reference: str = "local", split: str = "test", title: str = "") -> Figure:
    """Which scenario gains and which pays: AUC points over learning alone, methods and scenarios.

    results    rows of results.csv, the reference among the methods; mean over seeds and tasks
    title      the finding, in a sentence; "": in how many scenarios the hero gains, and whom it harms
    returns    Figure; more than ROWS scenarios become lines, sorted by what pf_msmtrec gives them (or the
               best other method); of more than DOTS the best and the worst ENDS
    raises     UserError where the reference is missing or alone
    """
    rows = results[results["split"] == split]
    if reference not in set(rows["method"]) or rows["method"].nunique() < 2:
        raise UserError(
            f"Who gains and who pays is judged against {reference}. Run {reference} and another method: "
            f"--methods {reference},pf_msmtrec"
        )
    scenarios, methods = (list(dict.fromkeys(rows[key])) for key in ("scenario", "method"))
    methods.remove(reference)
    hero = hero_of(results[results["method"].isin(methods)]) or methods[0]
    own = by_scenario(rows, hero, reference, split)
    total, shown = len(scenarios), scenarios if len(scenarios) <= ROWS else list(own.index)
    if total > DOTS:
        known = list(own.dropna(subset=["difference"]).index)
        shown = [*known[:ENDS], *known[-ENDS:]]
    part = rows[rows["scenario"].isin(shown)]
    tables = {m: by_scenario(part, m, reference, split).reindex(shown) for m in methods}
    values = pd.DataFrame({m: tables[m]["difference"] for m in methods}).T  # [M, N]
    harmed = pd.DataFrame({m: tables[m]["clear"] < 0 for m in methods}).T
    figure = _gains_map(values, harmed, reference, total)

    seeds = results["seed"].nunique()
    note = f"Mean of {seeds} seed{'s' * (seeds > 1)} over the tasks, {split} rows. "
    if seeds == 1:
        note += "One seed, so there are no intervals."
    elif harmed.any(axis=None):
        note += "Bold with !: clearly below, the 95 % interval over seeds excludes zero."
    else:
        note += "No cell is clearly below: no 95 % interval over seeds excludes zero there."
    if total > DOTS:
        note += f" The {ENDS} of {total:,} to which {hero} gives most, and least."
    said = "; ".join(
        f"{method}: " + ", ".join(f"{s} {signed(v)}" for s, v in row.items())
        for method, row in values.iterrows()
    )
    title = title or who_gains(own, hero, reference)
    return finish(figure, title, note, f"Points over {reference}: {said}.")


def _gains_map(values, harmed, reference, total):
    """The figure: values [M, N] as colours and numbers, scenarios in lines where there are many."""
    long = max(map(len, map(str, values.columns))) > 64 // len(values.columns)
    turned = total > ROWS or long
    if turned:
        values, harmed = values.T, harmed.T
    lines, columns = values.shape
    names = {"yticklabels": axis_labels(values.index, 26), "xticklabels": axis_labels(values.columns, 22)}
    upright = columns > COLUMNS or max(map(len, names["xticklabels"])) > 56 // columns
    height = (0.24 if lines > 20 else 0.3 if turned else 0.42) * lines
    figure = Figure(figsize=(8, 1.9 + height + 1.1 * upright * (lines < 20)))
    ax = figure.subplots()
    texts = harmed.replace({True: "!", False: ""})
    if columns <= COLUMNS:
        texts = values.map(lambda value: "n/a" if math.isnan(value) else signed(value)) + texts
    reach = float(np.nanmax([1.0, *values.abs().max()]))
    bar = {"cbar_kws": {"aspect": 12, "label": f"points over {reference}"}, "cbar": True}
    size = {"annot_kws": {"fontsize": 10 if columns <= 8 else 8}}
    heatmap(ax, values, DIVERGING, (-reach, reach), texts, **names, **bar, **size)
    for text in ax.texts:
        text.set_fontweight("bold" if "!" in text.get_text() else "normal")
    for m, n in np.argwhere(values.isna()):
        ax.text(n + 0.5, m + 0.5, "n/a", ha="center", va="center", fontsize=8)
    ax.set(xlabel="", ylabel="")
    ax.tick_params(axis="x", rotation=90 * upright)
    if total > max(lines, columns):
        ax.axhline(ENDS, color="white", linewidth=6)
    return figure

"""Drawings of chapter 01: the generator, starving, harming, the misleading average, a live training."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from pfmsm_lite.course.drawings.chapter00 import draw_worlds, group_share
from pfmsm_lite.lab.heatmaps import heatmap
from pfmsm_lite.lab.style import DIVERGING, GREY, INK, band, finish, method_style, minus, signed, styled

DASHED = {"color": INK, "linewidth": 2, "linestyle": (0, (2, 1))}
PAIRS = (("#D55E00", "o"), ("#0072B2", "D"))  # colour and marker of two kinds of dots
WORDS = {"local": "one model each", "pooled": "one model for all"}


def _lines(ax, table, x):
    """Mean and range over seeds of each method, by column x."""
    for method, rows in table.groupby("method", sort=False):
        color, marker = method_style(method)
        aucs = rows.pivot(index=x, columns="seed", values="auc")
        band(ax, aucs.index, aucs, color, marker=marker, label=WORDS[method])
    best = table.groupby(x)["best"].mean()
    ax.plot(best.index, best, label="best reachable", **DASHED)
    ax.axhline(0.5, color=GREY, linewidth=0.8)
    ax.set_ylim(0.3, 0.98)
    ax.grid(axis="y")


@styled
def draw_sizes(table: pd.DataFrame) -> Figure:
    """AUC of a scenario against its training rows, alone and in one model for all.

    table  DataFrame with columns seed, method (local, pooled), rows, auc, best
    """
    figure = Figure(figsize=(6.6, 3.6))
    ax = figure.subplots()
    _lines(ax, table, "rows")
    ax.set_xscale("log")
    ticks = sorted(table["rows"].unique())
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    ax.set(xlabel="training rows of the scenario", ylabel="AUC on its test rows")
    ax.legend(loc="lower right")
    at = table.pivot_table(index="rows", columns="method", values="auc").loc[ticks[0]]
    best = table.loc[table["rows"] == ticks[0], "best"].mean()
    title = (
        f"With {ticks[0]} rows, a client's own model reaches AUC {at['local']:.2f} and one model for all "
        f"{at['pooled']:.2f}; {best:.2f} could be reached"
    )
    note = f"Lines: mean of {table['seed'].nunique()} seeds; bands: range. Grey: guessing."
    return finish(figure, title, note, f"Lines of AUC over {ticks[0]} to {ticks[-1]} training rows. {note}")


@styled
def draw_relatedness(table: pd.DataFrame, at: float) -> Figure:
    """Two scenarios whose true rules are more and more alike: alone, and in one model for all.

    table  DataFrame with columns seed, method (local, pooled), scenario, relatedness, auc, best
    at     a relatedness in the table (or near one): marked, and what the title is about
    """
    values = np.array(sorted(table["relatedness"].unique()))
    at = values[np.abs(values - at).argmin()]
    names = list(dict.fromkeys(table["scenario"]))
    means = table.pivot_table(index=["scenario", "relatedness"], columns="method", values="auc")
    figure = Figure(figsize=(7.6, 3.8))
    axes = figure.subplots(1, len(names), sharey=True)
    words = []
    for ax, name in zip(axes, names, strict=True):
        _lines(ax, table[table["scenario"] == name], "relatedness")
        ax.axvline(at, color=GREY, linewidth=6, alpha=0.25)
        ax.set_title(name, fontweight="bold")
        ax.set_xlabel("true relatedness of the two scenarios")
        ax.set_xticks(values)
        gain = 100 * (means.loc[(name, at), "pooled"] - means.loc[(name, at), "local"])
        words.append(f"{'gains' if gain > 0 else 'costs'} the {name} {abs(gain):.0f} points of AUC")
    axes[0].set_ylabel("AUC on its test rows")
    axes[0].legend(loc="lower right")
    title = f"At relatedness {signed(at)}, one model for all {' and '.join(words)}"
    seeds = table["seed"].nunique()
    note = f"Lines: mean of {seeds} seeds; bands: range. Grey bar: relatedness {signed(at)}."
    return finish(
        figure, title.replace(" -", " −"), note, f"A panel for each of {' and '.join(names)}. {note}"
    )


def average_aucs(
    logits: Sequence[np.ndarray], chance: Sequence[np.ndarray], gap: float
) -> dict[str, tuple[float, ...]]:
    """AUC in scenario A, in B, their mean, and over all rows together, of three ways to score rows.

    logits  true logits without constants, one array [R] per scenario;  chance: uniform numbers [R] likewise
    gap     how much more often B is clicked than A: base rates are 0.5 − gap/2 and 0.5 + gap/2
    """
    true, labels, rates = [], [], (0.5 - gap / 2, 0.5 + gap / 2)
    for score, lot, rate in zip(logits, chance, rates, strict=True):
        constant = brentq(lambda b, x=score, r=rate: expit(x + b).mean() - r, -40, 40)
        true.append(expit(score + constant))
        labels.append(lot < true[-1])
    known = [np.full(len(p), rate) for p, rate in zip(true, rates, strict=True)]
    scores = {"knows only the scenario": known, "knows only the rows": list(logits), "best reachable": true}
    found = {}
    for name, parts in scores.items():
        inside = [float(roc_auc_score(y, s)) for y, s in zip(labels, parts, strict=True)]
        whole = float(roc_auc_score(np.concatenate(labels), np.concatenate(parts)))
        found[name] = (*inside, sum(inside) / 2, whole)
    return found


@styled
def draw_average(logits: Sequence[np.ndarray], chance: Sequence[np.ndarray], gap: float) -> Figure:
    """AUC by scenario and over all rows: a model that knows only the scenario, one that knows only the rows,
    and the truth; arguments as in `average_aucs`."""
    found = average_aucs(logits, chance, gap)
    figure = Figure(figsize=(7, 3.8))
    ax = figure.subplots()
    low, high = 0.5 - gap / 2, 0.5 + gap / 2
    looks = (("#E69F00", "v", -0.16), ("#0072B2", "D", 0.0))
    for (name, values), look in zip(found.items(), (*looks, None), strict=True):
        if look is None:
            for x, value in enumerate(values):
                label = name if x == 0 else None
                ax.plot([x - 0.34, x + 0.34], [value, value], label=label, **DASHED)
            continue
        color, marker, shift = look
        ax.plot(np.arange(4) + shift, values, marker, color=color, markersize=10, label=name)
        for x, value in enumerate(values):
            place = (x + shift, value - 0.045)
            ax.text(*place, f"{value:.2f}", ha="center", va="center", fontsize=9)
    ax.axvspan(2.5, 3.5, color="#f4f4f4", linewidth=0, zorder=0)
    names = [f"scenario A\n{low:.0%} clicks", f"scenario B\n{high:.0%} clicks", "mean of\nA and B"]
    ax.set_xticks(range(4), [*names, "all rows\ntogether"])
    ax.set(ylabel="AUC", ylim=(0.4, 1.0), xlim=(-0.5, 3.5))
    ax.axhline(0.5, color=GREY, linewidth=0.8)
    ax.legend(loc="center", bbox_to_anchor=(0.36, 0.5))
    blind, rows = found["knows only the scenario"], found["knows only the rows"]
    verdict = (
        "beats" if blind[3] > rows[3] + 0.005 else "ties with" if blind[3] > rows[3] - 0.005 else "trails"
    )
    title = (
        f"Over all rows, knowing only the scenario ({blind[3]:.2f}) {verdict} ranking each scenario as well "
        f"as possible ({rows[3]:.2f})"
    )
    note = f"Inside the scenarios it is {blind[2]:.2f} against {rows[2]:.2f}. Rates {low:.0%}, {high:.0%}."
    return finish(figure, title, note, f"Dots for three ways to score rows. {note}")


@styled
def draw_generator(
    products: pd.DataFrame, tastes: Mapping[str, tuple], probability: np.ndarray, labels: np.ndarray
) -> Figure:
    """How a label comes about: hidden numbers, the scenario's taste, a chance, a coin.

    products     hidden numbers of a user (lines) times those of an item (columns)
    tastes       name of a pair of scenarios → their tastes, two arrays [D]
    probability  true P(click) of some rows [R];  labels [R]: how the coins fell
    """
    figure = Figure(figsize=(7.6, 3.5), dpi=94)
    left, middle, right = figure.subplots(1, 3, width_ratios=[0.8, 1, 1.15])
    texts = products.map(lambda v: f"{v:g}".replace("-", "−")).values
    heatmap(left, products, DIVERGING, (-2.5, 2.5), texts, square=True, xticklabels=True, yticklabels=True)
    left.set_title("1  products", fontweight="bold")
    left.set(xlabel="item", ylabel="user")
    for (name, (first, second)), (color, marker) in zip(tastes.items(), PAIRS, strict=True):
        said = minus(f"{np.corrcoef(first, second)[0, 1]:.2f}")
        middle.plot(first, second, marker, color=color, markersize=4, label=f"{name}: {said}")
    middle.set(xlabel="weights in one scenario", ylabel="in another")
    low, high = middle.get_ylim()
    middle.set_ylim(low - 0.35 * (high - low), high)
    middle.set_title("2  taste", fontweight="bold")
    middle.legend(loc="lower center", fontsize=9)
    score = logit(probability)
    line = np.linspace(-6, 6, 100)
    right.plot(line, expit(line), color=INK, label="chance")
    for value, name in ((1, "clicked"), (0, "not clicked")):
        color, marker = PAIRS[value]
        rows = labels == value
        beside = expit(score[rows]) + (0.05 if value else -0.05)  # above and below the curve
        right.plot(score[rows], beside, marker, color=color, markersize=4, label=name)
    right.set(xlabel="score", ylabel="chance of a click", xlim=(-6, 6), ylim=(-0.1, 1.1), xticks=(-5, 0, 5))
    right.set_title("3  coin", fontweight="bold")
    right.legend(loc="upper left", fontsize=9)
    unlikely = int(((probability < 0.5) & (labels == 1)).sum())
    title = (
        f"A click is a coin toss, and taste sets the chance: of {int(labels.sum())} clicks here, {unlikely} "
        "came with a chance below one half"
    )
    note = f"Middle: correlations of tastes. Right: {len(labels)} rows, above the curve if clicked. One seed."
    alt = f"Panels: products of hidden numbers; tastes of two pairs of scenarios; chance by score. {note}"
    return finish(figure, title, note, alt)


def draw_across(worlds: Mapping[float, tuple], groups: Sequence, names: Sequence[str]) -> Figure:
    """Weights that a short training has found, for one value of `across` or several, beside the truth.

    worlds  across → (weights [N, N], relatedness [N, N])
    """
    named = {minus(f"across {value:+.2f}"): found for value, found in worlds.items()}
    shares = [100 * group_share(weights, groups) for weights, _ in worlds.values()]
    said = ", ".join(f"{share:.0f}\u00a0% ({name})" for name, share in zip(named, shares, strict=True))
    title = f"From its own group a client takes {said}"
    return draw_worlds(named, groups, names, title, numbers=False)

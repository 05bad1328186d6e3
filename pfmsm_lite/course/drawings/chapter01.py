"""Drawings of chapter 01: starving, wronging, the misleading average, the funnel from view to purchase."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from pfmsm_lite.lab.style import GREY, INK, band, finish, method_style, styled

DASHED = {"color": INK, "linewidth": 2, "linestyle": (0, (2, 1))}
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
        f"With {ticks[0]} rows a model of its own reaches {at['local']:.2f}, the model of all rows "
        f"{at['pooled']:.2f}; best reachable {best:.2f}"
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
        words.append(f"{gain:+.0f} for the {name}".replace("-", "−"))
    axes[0].set_ylabel("AUC on its test rows")
    axes[0].legend(loc="lower right")
    title = f"Relatedness {at:+.1f}: one model for all against one each, in AUC points: {', '.join(words)}"
    note = f"Lines: mean of {table['seed'].nunique()} seeds; bands: range. Grey bar: what the title is about."
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
    for logit, lot, rate in zip(logits, chance, rates, strict=True):
        constant = brentq(lambda b, x=logit, r=rate: expit(x + b).mean() - r, -40, 40)
        true.append(expit(logit + constant))
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
    """AUC by scenario and over all rows, for a model that knows nothing of a row, one that knows all of it,
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
            ax.text(*place, f"{value:.2f}", ha="center", va="center", color=color, fontsize=9)
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
        f"Over all rows, knowing nothing of a row ({blind[3]:.2f}) {verdict} ranking every scenario as well "
        f"as can be ({rows[3]:.2f})"
    )
    note = f"Inside the scenarios it is {blind[2]:.2f} against {rows[2]:.2f}. Rates {low:.0%}, {high:.0%}."
    return finish(figure, title, note, f"Dots for three ways to score rows. {note}")


@styled
def draw_funnel(rates: pd.DataFrame, aucs: pd.DataFrame) -> Figure:
    """The conversion rate after a click, true and predicted, by whether a row was clicked; and the ranking.

    rates  DataFrame with columns rows (clicked, not clicked), true, predicted; one line per seed
    aucs   DataFrame, one line per seed, one column per way to rank impressions by click-and-buy; the last
           column is the best reachable
    """
    figure = Figure(figsize=(7.8, 3.8))
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
    means = rates.groupby("rows", sort=False)[["true", "predicted"]].mean()
    single = rates.melt("rows", ["true", "predicted"], var_name="rate", value_name="purchases")
    single = {"data": single, "x": "rows", "y": "purchases", "hue": "rate", "ax": left}
    sns.barplot(**single, palette=[INK, "#D55E00"], saturation=1, width=0.72, errorbar=None)
    sns.stripplot(**single, palette=[GREY, GREY], dodge=True, jitter=False, size=3, legend=False)
    for bars in left.containers:
        for bar in bars:
            place = (bar.get_x() + bar.get_width() / 2, 0.02)
            left.text(*place, f"{bar.get_height():.2f}", ha="center", color="white", fontsize=10)
    left.set_xticks(range(len(means)), [f"rows that were\n{name}" for name in means.index])
    left.set(xlabel="", ylabel="", ylim=(0, 1.25 * float(rates[["true", "predicted"]].max().max())))
    left.set_title("purchases per click", fontweight="bold")
    left.legend(loc="upper right")
    ways, best = list(aucs.columns[:-1]), float(aucs.iloc[:, -1].mean())
    for y, way in enumerate(ways):
        right.plot([aucs[way].min(), aucs[way].max()], [y, y], color="#0072B2")
        right.plot(aucs[way].mean(), y, "D", color="#0072B2")
        place = (float(aucs[way].mean()), y - 0.22)
        right.text(*place, f"{aucs[way].mean():.2f}", ha="center", color="#0072B2", fontsize=10)
    right.axvline(best, **DASHED)
    right.text(best, -0.62, f"best reachable {best:.2f} ", ha="right", va="center", fontsize=9)
    right.set_yticks(range(len(ways)), ways)
    right.set(ylim=(len(ways) - 0.5, -0.85), xlim=(0.5, 1.0), xlabel="AUC for click-and-buy")
    right.set_title("all impressions, ranked by", fontweight="bold")
    right.grid(axis="x")
    gone = means.loc["not clicked"]
    title = (
        f"Trained on clicked rows only, it expects {gone['predicted']:.2f} purchases per click where nobody "
        f"clicked; true: {gone['true']:.2f}"
    )
    note = f"{len(aucs)} seeds: small dots left, range right."
    alt = "; ".join(f"{way.replace(chr(10), ' ')} {aucs[way].mean():.3f}" for way in ways)
    return finish(
        figure, title, note, f"Bars of purchases per click; ranking: {alt}, best reachable {best:.3f}."
    )

"""Drawings of chapter 11: what choosing is worth, the rivals, equal work, and two ways to be lucky."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pfmsm_lite.lab.statistics import pooled_names
from pfmsm_lite.lab.style import GREY, INK, METHOD_STYLE, finish, signed, styled

HARMED = METHOD_STYLE["pf_msmtrec"][0]


@styled
def rivals(
    tables: Mapping[str, pd.DataFrame], title: str, methods: Sequence[str] | None = None, reach: float = 6.0,
    reference: str = "local", hero: str = "pf_msmtrec",
) -> Figure:  # fmt: skip
    """What each method gains on average, and for the client that fares worst with it: a panel per comparison.

    tables   data's name → compare.csv of that comparison, its differences to `reference`
    methods  the ones to draw; None: all
    reach    AUC points at which an axis ends; what is beyond is drawn at its edge
    hero     the method whose line is marked, with its place among those that keep their rows at home
    returns  Figure; the same lines in all panels: models that see all rows on top, best places first
    """
    found = {name: table.dropna(subset="best_set").set_index("method") for name, table in tables.items()}
    ranks = pd.concat([table["auc"].rank(ascending=False) for table in found.values()], axis=1).mean(axis=1)
    worst_first = sorted(ranks.index, key=lambda m: (m in pooled_names(), -ranks[m]))
    methods = [m for m in worst_first if m != reference and (methods is None or m in methods)]
    alone = sum(m not in pooled_names() for m in methods)
    figure = Figure(figsize=(2 + 1.45 * max(len(found), 4), 2.1 + 0.25 * len(methods)))
    axes = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for ax, (name, table) in zip(axes, found.items(), strict=True):
        ax.axvline(0, color=INK, linewidth=1)
        ax.axhline(alone - 0.5, color=GREY, linewidth=0.8)
        for y, method in enumerate(methods):
            if method not in table.index:
                ax.text(0.3, y, "not run", color=GREY, va="center", fontsize=8)
                continue
            _gain_and_harm(ax, y, table.loc[method], reach)
        _mark(ax, methods[:alone], table, hero, reach)
        ax.set_xlim(-1.06 * reach, 1.06 * reach)
        ax.set_title(name, fontweight="bold")
        ax.grid(axis="x")
    axes[0].set_yticks(range(len(methods)), methods)
    axes[0].set_ylim(-0.6, len(methods) - 0.4)
    axes[len(axes) // 2].set_xlabel(f"AUC points over {reference}")
    note = "Dot: mean and 95 % interval; filled: in the best set. Triangle: the client that fares worst; "
    note += f"red: more than a point below {reference}. Above the line: one model that sees everybody's "
    note += f"rows. Shaded: {hero}, its place among the methods shown below the line."
    said = "; ".join(
        f"{name}: " + ", ".join(
            f"{m} {table.difference[m]:+.1f}, worst {table.worst[m]:+.1f}"
            for m in reversed(methods) if m in table.index
        )
        for name, table in found.items()
    )  # fmt: skip
    return finish(figure, title, note, f"Points over {reference}, mean and worst client. {said}.")


def _gain_and_harm(ax, y, row, reach):
    """A line of `rivals`: the mean with its interval, and the worst client."""
    low, high, mean, worst = np.clip([row.low, row.high, row.difference, row.worst], -reach, reach)
    ax.plot([low, high], [y, y], color=INK, linewidth=1.8)
    ax.plot(mean, y, "o", color=INK, ms=5, mfc=INK if row.best_set else "white")
    ax.plot(worst, y, "v", color=HARMED if row.worst < -1 else GREY, ms=5, zorder=3)


def _mark(ax, methods, table, hero, reach):
    """The hero's line shaded, with its place among the methods [K] that were run, where no other mark is."""
    if hero not in methods or hero not in table.index:
        return
    y, aucs = methods.index(hero), table["auc"].reindex(methods).dropna()
    ax.axhspan(y - 0.5, y + 0.5, color="#fbe3d6", zorder=0)
    side, align = (-reach, "left") if table["worst"][hero] > -1 else (reach, "right")
    words = f"{aucs.rank(ascending=False)[hero]:.0f}/{len(aucs)}"
    ax.text(side, y, words, va="center", ha=align, fontsize=9, weight="bold")


@styled
def searching(reported: Mapping[str, Sequence[float]], tries: Sequence[int], title: str) -> Figure:
    """What a table reports of methods that are all alike, by the number of settings that each one tried.

    reported  label → [K] AUC points above the truth, one value for each of `tries`;  returns Figure
    """
    figure = Figure(figsize=(8, 3.2))
    ax = figure.subplots()
    ax.axhline(0, color=INK, linewidth=1)
    for color, (label, values) in zip(("#D55E00", "#E69F00", "#0072B2"), reported.items(), strict=True):
        ax.plot(tries, values, "o-", color=color, label=label)
    ax.set(xlabel="settings tried", ylabel="points above the truth", ylim=(-0.25, 4.1))
    ax.legend(loc="upper left")
    ax.grid(axis="y")
    said = "; ".join(f"{label}: {signed(values[-1])} at {tries[-1]}" for label, values in reported.items())
    return finish(figure, title, None, f"Points above the truth. {said}.")


@styled
def equal_steps(
    tables: Mapping[str, tuple[pd.Series, pd.Series]], methods: Sequence[str], title: str
) -> Figure:
    """Points over `local`, as compared and with as many gradient steps for all; a panel per comparison.

    tables  data's name → (AUC by method, the same with equal steps);  returns Figure
    """
    figure, said = Figure(figsize=(8, 1.7 + 0.27 * len(methods))), []
    axes = figure.subplots(1, len(tables), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (name, (usual, fewer)) in zip(axes, tables.items(), strict=True):
        for y, method in enumerate(reversed(methods)):
            if method not in usual:
                ax.text(0.3, y, "not run", color=GREY, va="center", fontsize=8)
                continue
            before, after = (100 * (auc[method] - usual["local"]) for auc in (usual, fewer))
            ax.plot([before, after], [y, y], color=GREY, linewidth=1.5)
            ax.plot(before, y, "o", color=INK, mfc="white", ms=7)
            ax.plot(
                after, y, "o", color=METHOD_STYLE["pf_msmtrec" if method == "pf_msmtrec" else "fedavg"][0]
            )
            said.append(f"{name}, {method}: {signed(before)} and {signed(after)}")
        ax.set_title(name, fontweight="bold")
        ax.grid(axis="x")
    axes[0].set_xlim(left=0)
    axes[0].set_yticks(range(len(methods)), list(reversed(methods)))
    axes[len(axes) // 2].set_xlabel("AUC points over local")
    note = "Hollow: as compared. Filled: as many gradient steps as with one epoch per round."
    return finish(
        figure, title, note, f"Points over local, as compared and with equal steps. {'; '.join(said)}."
    )


@styled
def two_lucks(starts: pd.DataFrame, both: pd.DataFrame, title: str) -> Figure:
    """Intervals of the same differences to `local`: over starts alone, and with the test rows drawn again.

    starts, both  by method, columns difference, low, high in points;  returns Figure; most on top
    """
    order = both.dropna(subset=["difference"]).sort_values("difference").index
    figure = Figure(figsize=(8, 1.6 + 0.24 * len(order)))
    ax = figure.subplots()
    ax.axvline(0, color=INK, linewidth=1)
    for y, method in enumerate(order):
        wide, narrow = both.loc[method], starts.loc[method]
        clear = narrow.low > 0 or narrow.high < 0
        ax.plot([wide.low, wide.high], [y, y], color="#56B4E9", linewidth=2)
        ax.plot([narrow.low, narrow.high], [y, y], color=INK, linewidth=4)
        ax.plot(wide.difference, y, "o", color=INK, mfc=INK if clear else "white", ms=6)
    ax.set_yticks(range(len(order)), list(order), fontsize=9)
    ax.set(ylim=(-0.7, len(order) - 0.3), xlabel="AUC points over local")
    ax.grid(axis="x")
    note = "Dark: 95 % interval over the starts; filled: it excludes zero. Light: test rows drawn again, too."
    said = ", ".join(f"{m} {signed(both.difference[m])}" for m in order[::-1])
    return finish(figure, title, note, f"Points over local: {said}.")

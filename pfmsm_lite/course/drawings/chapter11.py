"""Drawings of chapter 11: what choosing is worth, the rivals, equal work, and two ways to be lucky."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from pfmsm_lite.lab.statistics import pooled_names
from pfmsm_lite.lab.style import (
    GREY,
    INK,
    METHOD_STYLE,
    finish,
    handle,
    interval_line,
    signed,
    styled,
)

HARMED = METHOD_STYLE["pf_msmtrec"][0]
GROUPS = "one model sees all rows", "rows stay at home"


@styled
def rivals(
    tables: Mapping[str, pd.DataFrame], title: str, methods: Sequence[str] | None = None,
    placed: bool = False, reference: str = "local", hero: str = "pf_msmtrec",
) -> Figure:  # fmt: skip
    """What each method gains on average, and for the client that fares worst with it: a panel per comparison.

    tables   data's name → compare.csv of that comparison, its differences to `reference`
    methods  the ones to draw; None: all
    placed   whether each panel has the methods' places beside them, as `places` counts them
    hero     the method whose line is shaded
    returns  Figure; the same lines in all panels: models that see all rows on top, best places first
    """
    found = {name: compared(table) for name, table in tables.items()}
    lines = _lines(found, methods, reference)
    figure = Figure(figsize=(2.6 + (1.5 if placed else 1.3) * max(len(found), 4), 2.2 + 0.3 * len(lines)))
    axes = figure.subplots(1, len(found), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (name, table) in zip(axes, found.items(), strict=True):
        ax.axvline(0, color=INK, linewidth=1)
        for y, method in enumerate(lines):
            if method in table.index:
                _gain_and_harm(ax, y, table.loc[method])
            elif method not in GROUPS:
                ax.text(0.3, y, "not run", color=INK, va="center", fontsize=9)
        if placed:
            _places(ax, lines, places(tables[name], reference))
        if hero in lines:
            y, end = lines.index(hero), 1.16 if placed else 1
            ax.axhspan(y - 0.5, y + 0.5, 0, end, color="#e6edf5", zorder=0, clip_on=False)
        ax.set_title(name, fontweight="bold")
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
    axes[0].set_yticks(range(len(lines)), lines)
    for label in axes[0].get_yticklabels():
        label.set_fontweight("bold" if label.get_text() in (*GROUPS, hero) else "normal")
    axes[0].set_ylim(len(lines) - 0.5, -0.6)
    axes[len(axes) // 2].set_xlabel(f"AUC points over {reference}")
    figure.legend(handles=_key(), loc="outside lower left", ncols=2, fontsize=10)
    said = "; ".join(
        f"{name}: " + ", ".join(
            f"{m} {table.difference[m]:+.1f}, worst {table.worst[m]:+.1f}" for m in lines if m in table.index
        )
        for name, table in found.items()
    )  # fmt: skip
    return finish(figure, title, None, f"Points over {reference}, mean and worst client. {said}.")


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """The methods of a compare.csv, by name; without lines that were only measured beside them."""
    return table.dropna(subset="best_set").set_index("method")


def places(table: pd.DataFrame, reference: str = "local") -> pd.Series:
    """Places among the methods that keep their rows at home, without `reference`: 1 is the best."""
    auc = compared(table)["auc"]
    return auc.drop([m for m in auc.index if m in (*pooled_names(), reference)]).rank(ascending=False)


def in_full(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """All methods of several comparisons: "mean / worst client", in points, a star in the best set.

    tables   as for `rivals`, and in its order
    """
    found = {name: compared(table) for name, table in tables.items()}
    words = {
        name: {
            m: f"{signed(row.difference)} / {signed(row.worst)}{'*' if row.best_set else ''}"
            for m, row in table.iterrows()
        }
        for name, table in found.items()
    }
    return (
        pd.DataFrame(words).reindex([m for m in _lines(found, None, "local") if m not in GROUPS]).fillna("–")
    )


def _lines(found, methods, reference):
    """The lines of `rivals` from top to bottom: the two GROUPS' names, each above its methods, best first."""
    ranks = pd.concat([table["auc"].rank(ascending=False) for table in found.values()], axis=1).mean(axis=1)
    shown = [m for m in ranks.sort_values().index if m != reference and (methods is None or m in methods)]
    parts = [[m for m in shown if (m in pooled_names()) == pooled] for pooled in (True, False)]
    return [line for name, own in zip(GROUPS, parts, strict=True) if own for line in (name, *own)]


def _gain_and_harm(ax, y, row):
    """A line of `rivals`: the mean with its interval, and the worst client."""
    interval_line(ax, y, [], row.difference, row.low, row.high, INK, ms=6)
    color = HARMED if row.worst < -1 else GREY
    ax.plot(row.worst, y, "v", color=color, ms=8, mec="white", mew=0.8, zorder=3)


def _places(ax, lines, place):
    """Right of a panel of `rivals`: the places of the methods that are drawn; the first is white on dark."""
    style = {"transform": ax.get_yaxis_transform(), "va": "center"}
    ax.text(
        1.16, lines.index(GROUPS[1]), f"place of {len(place)}", ha="right", color=INK, fontsize=9, **style
    )
    style |= {"ha": "center", "fontsize": 10}
    for y, method in enumerate(lines):
        if place.get(method) == 1:
            badge = {"boxstyle": "circle,pad=0.25", "fc": INK, "ec": INK}
            ax.text(1.08, y, "1", color="white", fontweight="bold", bbox=badge, **style)
        elif method in place.index:
            ax.text(1.08, y, f"{place[method]:.0f}", color=INK, **style)


def _key():
    """The legend of `rivals`."""
    return [
        handle("mean over clients, 95 % interval", INK, "o", linestyle="-"),
        handle("the same, interval includes zero", INK, "o", linestyle="-", mfc="white", alpha=0.6),
        handle("client that fares worst", GREY, "v", ms=8),
        handle("worst client loses more than a point", HARMED, "v", ms=8),
    ]


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

"""Figures: pure functions from results to a matplotlib Figure; nothing is shown, saved or kept by pyplot.

Every title states what the data say, with numbers computed from them; `fig.alt` says it in words.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pfmsm_lite.history import History
from pfmsm_lite.lab.heatmaps import conflicts, mixing
from pfmsm_lite.lab.spread import gains as gains
from pfmsm_lite.lab.spread import spread
from pfmsm_lite.lab.statistics import best_federated, hero_of, paired, per_seed, phrase, pooled_names
from pfmsm_lite.lab.style import (
    GREY,
    INK,
    MAIN,
    METHOD_STYLE,
    axis_labels,
    band,
    finish,
    handle,
    method_style,
    method_styles,
    styled,
)

SCENARIOS, HIGHEST = 14, 12.0  # up to which there is a panel per task: scenarios, inches


def _highlighted(methods):
    """The methods drawn in colour: all of up to five, else the main ones and any outside the table."""
    if len(methods) <= 5:
        return list(methods)
    return [m for m in methods if m in MAIN or m not in METHOD_STYLE] or list(methods[:5])


def _finding(averages, hero):
    """What the averages [seeds × methods] say of a method against its rivals, as a title.

    It leads or trails where the interval over the seeds excludes zero; one seed never does. A method without
    an AUC gives way to the best one.
    """
    means, count = averages.mean(), len(averages)
    if not means.notna().any():
        return "No AUC: one class only in every scenario"
    hero = hero if pd.notna(means.get(hero)) else means.idxmax()
    rivals = [m for m in ("fedavg", "local") if m in means.dropna() and m != hero]
    others = [m for m in means.dropna().index if m not in (*pooled_names(), hero)]
    rivals = rivals or sorted(others, key=lambda m: -means[m])[:1]
    found = {rival: paired(averages[hero], averages[rival]) for rival in rivals}
    phrases = [phrase(rival, *line[:3]) for rival, line in found.items() if line.seeds]
    seeds = f"mean of {count} seeds" if count > 1 else "one seed, so nothing is clear"
    if not phrases:
        seeds = seeds if count > 1 else "one seed"
        return f"{hero}: average AUC {means[hero]:.3f}, {seeds}"
    return f"{hero} {' and '.join(phrases)}: AUC points, {seeds}"


@styled
def auc_by_scenario(
    results: pd.DataFrame,
    ceiling: np.ndarray | None = None,
    split: str = "test",
    sizes: Mapping[str, int] | None = None,
    title: str = "",
) -> Figure:
    """AUC of every method in every scenario, one panel per task; line through a mark: range over seeds.

    Of more than SCENARIOS scenarios, or where the panels would be too high: what one method gives each of
    them over `local`, as `pfmsm_lite.lab.spread.spread` draws it.

    results  DataFrame of History.results, over methods and seeds (columns of history.RESULTS)
    ceiling  [N, T] best reachable AUC, scenarios and tasks in the order of `results`, or None
    sizes    scenario → its training rows, to be written beside its name, or None
    title    the finding, in a sentence; "": whom the hero leads, by how much (always so where `spread` draws)
    returns  Figure; with more than five methods the minor ones are grey
    raises   ValueError where `split` has no rows, or for another shape of `ceiling`
    """
    rows = results[results["split"] == split]
    if not len(rows):
        raise ValueError(f"results have no rows of split {split!r}")
    methods, scenarios, tasks = (list(dict.fromkeys(rows[key])) for key in ("method", "scenario", "task"))
    if ceiling is not None and np.shape(ceiling) != (len(scenarios), len(tasks)):
        raise ValueError(
            f"ceiling has shape {np.shape(ceiling)}, not {len(scenarios)} scenarios × {len(tasks)} tasks"
        )
    averages = per_seed(results, split)
    if len(scenarios) > SCENARIOS or _height(len(tasks), len(scenarios)) > HIGHEST:
        hero = hero_of(results) or methods[0]
        return spread(
            results, hero, "local" if "local" in methods and hero != "local" else None, split, sizes
        )
    main = _highlighted(methods)
    styles, minor = method_styles(main), [method for method in methods if method not in main]
    figure, axes, side = _auc_panels(tasks, len(scenarios), len(main))
    rows = rows.assign(place=rows["scenario"].map(scenarios.index))
    for t, task in enumerate(tasks):
        own = rows[rows["task"] == task]
        for n in range(1, len(scenarios), 2):
            axes[t].axhspan(n - 0.5, n + 0.5, color="#f4f4f4", zorder=0, linewidth=0)
        for n, best in enumerate([] if ceiling is None else np.asarray(ceiling, float)[:, t]):
            axes[t].plot([best, best], [n - 0.42, n + 0.42], color=INK, linewidth=2, linestyle=(0, (2, 1)))
        _aucs(axes[t], own.dropna(subset="auc"), styles)
        _missing(axes[t], own)
    axes[0].set_yticks(range(len(scenarios)), _with_rows(scenarios, sizes or {}))
    axes[0].set_ylim(len(scenarios) - 0.5, -0.5)

    handles = [handle(method, *styles[method]) for method in main]
    handles += [handle(f"{len(minor)} others", GREY, "o", markersize=4)] if minor else []
    handles += [handle("best reachable", INK, linestyle=(0, (2, 1)))] if ceiling is not None else []
    side.legend(handles=handles, loc="upper left", borderaxespad=0)
    title = title or _finding(averages, hero_of(results))
    means = averages.mean().sort_values(ascending=False)
    ranking = ", ".join(f"{name} {value:.3f}" for name, value in means.items()).replace(" nan", " n/a")
    note = f"Average AUC on {split} rows: {ranking}."
    if len(averages) > 1:
        note += f" Marks: mean of {len(averages)} seeds; lines: their range."
    if rows["auc"].isna().any():
        note += " n/a: one class only, so there is no AUC."
    return finish(figure, title, note, f"{note} {len(scenarios)} scenarios, tasks {', '.join(tasks)}.")


def _with_rows(scenarios, sizes):
    """The scenarios' names, below them their training rows where these are known."""
    counts = {name: f"\n{count:,} rows" for name, count in sizes.items()}
    return [
        f"{label}{counts.get(name, '')}"
        for label, name in zip(axis_labels(scenarios), scenarios, strict=True)
    ]


def _height(tasks, scenarios):
    """Inches of the figure with a panel for each task."""
    return math.ceil(tasks / 3) * (0.85 + scenarios * (0.56 if scenarios <= 8 else 0.46)) + 1.15


def _auc_panels(tasks, scenarios, methods):
    """(figure, one panel per task, the axes for the legend), as high as this many scenarios need."""
    columns = min(len(tasks), 3)
    lines = math.ceil(len(tasks) / columns)
    height = _height(len(tasks), scenarios)
    figure = Figure(figsize=(8, max(height, 1.75 + 0.23 * (methods + 2))))  # the legend needs room too
    grid = figure.add_gridspec(lines, columns + 1, width_ratios=[1] * columns + [0.5])
    axes = []
    for t, title in enumerate(axis_labels(tasks, 20 if columns < 3 else 14)):
        shared = {"sharex": axes[0], "sharey": axes[0]} if axes else {}
        axes.append(figure.add_subplot(grid[t // columns, t % columns], **shared))
        axes[t].tick_params(labelleft=t % columns == 0, length=0)
        axes[t].set_title(title, fontweight="bold")
        axes[t].grid(axis="x")
    side = figure.add_subplot(grid[:, columns])
    side.axis("off")
    return figure, axes, side


def _aucs(ax, rows, styles):
    """One task's AUCs at the scenarios' places: in colour means and ranges, in grey the means of the rest."""
    import seaborn as sns

    rest = rows[~rows["method"].isin(list(styles))].groupby(["place", "method"])["auc"].mean()
    ax.plot(rest, rest.index.get_level_values("place") + 0.32, "o", color=GREY, markersize=4, alpha=0.75)
    colors, markers = map(list, zip(*styles.values(), strict=True))
    height, middle = (0.46, -0.07) if len(rest) else (0.6, 0)
    sns.pointplot(
        rows.assign(place=rows["place"] + middle), x="auc", y="place", hue="method", hue_order=list(styles),
        palette=colors, markers=markers, dodge=height * (len(styles) > 1), errorbar=("pi", 100),
        linestyle="none", markersize=6, markeredgewidth=1, err_kws={"linewidth": 1.5}, orient="y",
        native_scale=True, legend=False, ax=ax,
    )  # fmt: skip
    ax.set(xlabel="AUC", ylabel="")


def _missing(ax, rows):
    """Say which methods have no AUC in a scenario."""
    methods = list(dict.fromkeys(rows["method"]))
    known = rows.groupby(["place", "method"])["auc"].count().unstack("method")
    for place, counts in known.iterrows():
        lacking = [method for method in methods if not counts[method] > 0]
        few = ", ".join(lacking)
        few = few if len(few) < 20 else f"{len(lacking)} of {len(methods)} methods"
        text = "n/a" if len(lacking) == len(methods) else f"n/a: {few}" if lacking else ""
        style = {"transform": ax.get_yaxis_transform(), "color": GREY, "fontsize": 9, "va": "center"}
        ax.text(0.02, place, text, **style)


@styled
def convergence(rounds: pd.DataFrame) -> Figure:
    """Average validation AUC (over scenarios and tasks) by round: mean, range over seeds, best round.

    rounds   DataFrame of History.rounds, over methods and seeds (columns of history.ROUNDS)
    returns  Figure
    raises   ValueError where no round has a validation AUC
    """
    curves = rounds.groupby(["method", "round", "seed"], sort=False)["valid_auc"].mean().unstack("seed")
    curves = curves.dropna(how="all")
    if not len(curves):
        raise ValueError("rounds have no validation AUC")
    methods = [m for m in dict.fromkeys(rounds["method"]) if m in curves.index.get_level_values(0)]
    main, last = _highlighted(methods), int(rounds["round"].max())
    figure = Figure(figsize=(8, 4.6))
    ax = figure.subplots()
    ends, peaks = {}, {}
    for method in sorted(methods, key=main.__contains__):
        own = curves.loc[method].sort_index().ffill()  # a run that stopped keeps what it had
        mean, bold = own.mean(axis=1), method in main
        color = method_style(method)[0] if bold else GREY
        if bold:
            band(ax, own.index, own, color, linewidth=2.4, zorder=3)
        else:
            ax.plot(mean, color=GREY, linewidth=1.1, alpha=0.8, zorder=2)
        peaks[method] = (int(mean.idxmax()), float(mean.max()))
        ax.plot(*peaks[method], "o", color=color, markersize=8 if bold else 4, zorder=4)
        ends[method] = (int(mean.index[-1]), float(mean.iloc[-1]))
    margin = 0.02 * last if last > 1 else 0.5
    ax.set_xlim(1 - margin, last + margin)
    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    ax.set(xlabel="round (dot: best)", ylabel="average validation AUC")
    ax.grid(axis="y")
    _name_ends(ax, ends, main)

    best = curves.groupby("method").max().mean(axis=1)
    hero = best_federated(best) or best.idxmax()
    rivals = [m for m in ("fedavg", "local") if m in peaks and m != hero][:1]
    parts = [f"{m} peaks in round {peaks[m][0]} at {peaks[m][1]:.3f}" for m in (hero, *rivals)]
    title = f"{', '.join(parts)} (of {last} round{'s' if last > 1 else ''})"
    seeds = rounds["seed"].nunique()
    note = "" if seeds == 1 else f"Lines: mean of {seeds} seeds; bands: their range."
    peak = "; ".join(f"{m}: round {peaks[m][0]}, {peaks[m][1]:.3f}" for m in methods)
    return finish(figure, title, note, f"Average validation AUC by round; best round of each method: {peak}.")


def _name_ends(ax, ends, main):
    """Names beside the ends of the lines, joined to them, none over another.

    ends  method → (round, AUC) where its line ends;  main  the methods in colour
    """
    from scipy.optimize import isotonic_regression

    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    ax.set_ylim(low, high)
    order = sorted(ends, key=lambda m: ends[m][1])
    shift = 0.058 * (high - low) * np.arange(len(order))  # a line of text each
    places = isotonic_regression(np.array([ends[m][1] for m in order]) - shift).x + shift
    side = ax.get_yaxis_transform()  # x from 0 to 1 over the axes, y in AUC
    for method, y in zip(order, places, strict=True):
        x, end = ends[method]
        bold = method in main
        color = method_style(method)[0] if bold else "#6f6f6f"
        line = {"color": color, "linewidth": 0.8, "alpha": 0.7, "clip_on": False, "transform": side}
        ax.plot([(x - left) / (right - left), 1.01, 1.05], [end, end, y], **line)
        ink = INK if bold else color  # the line leads there in its colour; text has to be dark
        style = {"transform": side, "va": "center", "fontsize": 10, "weight": "bold" if bold else "normal"}
        ax.text(1.06, y, f"{method} {end:.3f}", color=ink, **style)


@styled
def side_by_side(
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    title: str,
    note: str | None = None,
    chance: float = 0.5,
) -> Figure:
    """Curves of average validation AUC by round, one panel per case.

    curves  case → {label: [R] values};  returns Figure
    """
    figure = Figure(figsize=(8, 3.4))
    axes = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    colors = ("#D55E00", "#0072B2", "#009E73", "#E69F00")
    for ax, (case, lines) in zip(axes, curves.items(), strict=True):
        ax.axhline(chance, color=INK, linewidth=0.8, linestyle=":")
        for color, (label, values) in zip(itertools.cycle(colors), lines.items(), strict=False):
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


FIGURES = {"auc": auc_by_scenario, "convergence": convergence, "conflicts": conflicts, "mixing": mixing}


def recorded_of(history: History) -> dict[str, str | int]:
    """attrs for an array of a History: whose it is, and which round is the reported one (0: not known)."""
    return {"of": f"{history.method}, seed {history.seed}", "chosen": history.best_round}


def draw_all(
    histories: Iterable[History],
    ceiling: np.ndarray | None = None,
    clusters: Sequence | None = None,
    sizes: Mapping[str, int] | None = None,
) -> dict[str, Figure]:
    """Every figure that the histories have data for: {name in FIGURES: Figure}.

    histories  list of History, over methods and seeds; conflicts and mixing show the first one of
               pf_msmtrec, else the first that recorded weights, and are left out where none did
    ceiling    [N, T] best reachable AUC;  clusters: N labels of the clients; or None
    sizes      scenario → its training rows, or None
    raises     ValueError for clusters, sizes or a ceiling of other shapes, as the single functions do
    """
    histories = list(histories)
    figures = {
        "auc": auc_by_scenario(pd.concat([h.results for h in histories]), ceiling, sizes=sizes),
    }
    rounds = pd.concat([h.rounds for h in histories])
    if rounds["valid_auc"].notna().any():
        figures["convergence"] = convergence(rounds)
    recorded = [h for h in histories if "weights" in h.arrays and len(h.clients) > 1]
    recorded.sort(key=lambda h: h.method != "pf_msmtrec")
    if recorded:
        of = recorded_of(recorded[0])
        figures["conflicts"] = conflicts(recorded[0].cosines.assign_attrs(of), clusters=clusters)
        figures["mixing"] = mixing(recorded[0].weights.assign_attrs(of), clusters=clusters)
    return figures

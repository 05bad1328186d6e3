"""Chapter 08: what an interval is about, one module less, three failures; and a look into a run."""

import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.heatmaps import box_clusters, client_map, heatmap, of_unit, pairs, sort_clients
from pfmsm_lite.lab.runs import Run
from pfmsm_lite.lab.statistics import paired_interval, per_seed, pooled_names
from pfmsm_lite.lab.style import (
    DIVERGING,
    GREY,
    INK,
    METHOD_STYLE,
    SEQUENTIAL,
    finish,
    interval_line,
    method_style,
    signed,
    styled,
)

MODULES = {  # the method without it → the module
    "no_template": "template",
    "no_normalization": "normalization",
    "no_coordination": "coordination",
    "no_personalization": "personalized\naggregation",
    "no_blend": "model at home",
}
MEAN = "mean over experts"
CLUSTERS = ("#0072B2", "#009E73", "#CC79A7", "#6A51A3", "#56B4E9", "#E69F00")
LEAST = 0.05  # weights below it are no arrows
ARROWS = 60  # at most: more are a ball of wool, and slow
PLACES = {  # panel → left, bottom, width, height, as shares of the figure
    "map": (0.1, 0.545, 0.27, 0.329),
    "graph": (0.5, 0.46, 0.48, 0.42),
    "before": (0.04, 0.12, 0.19, 0.231),
    "after": (0.25, 0.12, 0.19, 0.231),
}
WORSE = METHOD_STYLE["pf_msmtrec"][0]


@styled
def intervals(lines: Mapping[str, Sequence[float]], title: str, reach: tuple[float, float]) -> Figure:
    """Paired differences, a line for each comparison: single seeds, their mean and its 95 % interval.

    lines    what is compared → differences [S] in AUC points
    reach    ends of the axis: given, so that nothing jumps under a slider
    returns  Figure
    """
    figure = Figure(figsize=(8, 1.6 + 0.5 * len(lines)))
    ax, said = figure.subplots(), []
    ax.axvline(0, color=INK, linewidth=1)
    for y, seeds in enumerate(map(np.asarray, lines.values())):
        mean, low, high = paired_interval(seeds, 0 * seeds)
        interval_line(ax, y, seeds, mean, low, high, METHOD_STYLE["fedavg"][0])
        said.append(f"{signed(mean)} [{signed(low)}, {signed(high)}]")
        ax.text(1.02, y, said[-1], transform=ax.get_yaxis_transform(), va="center")
    ax.set_yticks(range(len(lines)), list(lines))
    ax.set(xlim=reach, ylim=(len(lines) - 0.5, -0.5), xlabel="AUC points")
    ax.grid(axis="x")
    note = "Grey: single seeds. Blue: their mean and its 95 % interval. Hollow: it includes zero."
    found = "; ".join(f"{name} {text}" for name, text in zip(lines, said, strict=True))
    return finish(figure, title, note, f"Differences in AUC points: {found}.")


@styled
def failures(panels: Mapping[str, Mapping[str, np.ndarray]], title: str) -> Figure:
    """Validation AUC by round: the mean over seeds bold, single seeds thin; a panel for each case.

    panels  case → {label: [S, R]};  returns Figure
    """
    figure, said = Figure(figsize=(8, 3.5)), []
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (case, lines) in zip(axes, panels.items(), strict=True):
        for (label, seeds), other in zip(lines.items(), (GREY, CLUSTERS[3], WORSE), strict=False):
            color = METHOD_STYLE[label][0] if label in METHOD_STYLE else other
            rounds, mean = range(1, np.shape(seeds)[1] + 1), np.mean(seeds, 0)
            ax.plot(rounds, np.transpose(seeds), color=color, linewidth=0.8, alpha=0.5)
            ax.plot(rounds, mean, color=color, linewidth=3, label=label)
            said.append(f"{case}: {label} ends at {mean[-1]:.3f}")
        ax.axhline(0.5, color=INK, linewidth=0.8, linestyle=":")
        ax.set_title(case, fontweight="bold")
        ax.set_xlabel("round")
        ax.legend(loc="upper left", ncols=len(lines), handlelength=1, borderaxespad=0.1)
        ax.grid(axis="y")
    axes[0].set(ylim=(None, axes[0].get_ylim()[1] + 0.05), ylabel="validation AUC")
    note = "Bold: mean of the seeds, each with data of its own; thin: single seeds. Dotted: a coin."
    return finish(figure, title, note, f"Validation AUC by round. {'; '.join(said)}.")


@styled
def harmed(points: pd.DataFrame, odd: str, title: str) -> Figure:
    """What each method gives the one odd client, and the others on average, seed by seed.

    points   AUC points over `local`: index (method, seed), a column for each client;  odd: one of them
    returns  Figure
    """
    methods = list(dict.fromkeys(points.index.get_level_values("method")))
    rest = points.drop(columns=odd).mean(axis=1)
    figure, said = Figure(figsize=(8, 1.7 + 0.5 * len(methods))), []
    ax = figure.subplots()
    ax.axvline(0, color=INK, linewidth=1)
    ax.grid(axis="y")
    for y, method in enumerate(methods):
        for seeds, mark, color in ((rest[method], "o", CLUSTERS[0]), (points[odd][method], "v", WORSE)):
            ax.plot(seeds, [y] * len(seeds), mark, color=color, ms=9, alpha=0.75, mec="white")
        values = ", ".join(map(signed, points[odd][method]))
        said.append(f"{method}: the odd one {values}; the others {signed(rest[method].mean())}")
    ax.set_yticks(range(len(methods)), methods)
    ax.set(ylim=(len(methods) - 0.4, -0.6), xlabel="AUC points over local")
    note = f"Triangle: the odd client, {odd}. Dot: the mean of the others. One mark for each seed, each "
    return finish(figure, title, note + "with data of its own.", f"Points over local. {'; '.join(said)}.")


@styled
def ablation(
    results: pd.DataFrame, hero: str = "pf_msmtrec", data: str = "these data", title: str | None = None
) -> Figure:
    """What is lost without each module: hero − method in AUC points, with 95 % intervals.

    results  rows of results.csv with the hero and at least one of MODULES over the same seeds
    title    None: what is lost most, and how many intervals include zero
    returns  Figure;  raises  UserError where a method is missing, or a second seed
    """
    averages = per_seed(results)
    there = [method for method in MODULES if method in averages]
    if not there or hero not in averages or len(averages) < 2:
        raise UserError(
            f"No ablation here: it needs two seeds or more of {hero} and of {', '.join(MODULES)}, "
            "as in the default of python -m pfmsm_lite run."
        )
    figure = Figure(figsize=(8, 1.7 + 0.5 * len(there)))
    ax = figure.subplots()
    ax.axvline(0, color=INK, linewidth=1)
    lines = {}
    for y, method in enumerate(there):
        lost = 100 * (averages[hero] - averages[method])
        mean, low, high = lines[MODULES[method].replace("\n", " ")] = paired_interval(lost, 0 * lost)
        interval_line(ax, y, lost, mean, low, high, method_style(method)[0])
        ax.text(1.02, y, signed(mean, 2), transform=ax.get_yaxis_transform(), va="center")
    ax.set_yticks(range(len(there)), [MODULES[method] for method in there])
    reach = max(1.0, *(abs(x) for line in lines.values() for x in line if math.isfinite(x)))
    ax.set_xlim(-1.1 * reach, 1.1 * reach)  # at least one point to each side: small stays small
    ax.set(ylim=(len(there) - 0.4, -0.6), xlabel="what is lost without it, AUC points")
    ax.grid(axis="x")
    held = [name for name, (_, low, high) in lines.items() if low <= 0 <= high]
    most = max(lines, key=lambda name: lines[name][0])
    found = f"Take one module away on {data}: most is lost without {most} ({lines[most][0]:+.2f} points), "
    found += f"and {len(held)} of {len(lines)} intervals include zero"
    note = f"Line: 95 % interval over {len(averages)} paired seeds. Hollow: it includes zero. Grey: seeds."
    said = "; ".join(f"{name} {m:+.2f} [{low:+.2f}, {high:+.2f}]" for name, (m, low, high) in lines.items())
    return finish(figure, title or found, note, f"Points lost without a module: {said}.")


@styled
def price(table: pd.DataFrame) -> Figure:
    """AUC against what a client uploads in a round, a mark for each method.

    table    `pfmsm_lite.lab.runs.costs`: by method, columns auc and kilobytes (NaN: it sends its rows)
    returns  Figure
    """
    figure = Figure(figsize=(8, 3.6))
    ax = figure.subplots()
    sent = table.dropna(subset=["kilobytes"])
    for row in table.itertuples():
        color, marker = method_style(row.Index)
        if math.isnan(row.kilobytes):
            ax.axhline(row.auc, color=color, linewidth=1, linestyle="--")
            ax.text(1.02, row.auc, row.Index, transform=ax.get_yaxis_transform(), va="center", fontsize=9)
        else:
            ax.plot(row.kilobytes, row.auc, marker, color=color, ms=9)
    _beside(ax, sent)
    ax.set(xlabel="a client's upload in a round, kilobytes", ylabel="average AUC, test rows")
    ax.grid()
    ax.margins(x=0.12, y=0.12)
    best = sent["auc"].idxmax()
    cheap = sent[sent["auc"] >= sent["auc"].max() - 0.01]["kilobytes"].idxmin()
    title = (
        f"{best} is the best that keeps rows at home: {sent.auc[best]:.3f} for {sent.kilobytes[best]:.0f} KB"
    )
    if cheap != best:
        title += f"; {cheap} comes within a point of it for {sent.kilobytes[cheap]:.0f} KB"
    note = "Dashed: all rows in one place, so no parameters are sent." if len(sent) < len(table) else None
    said = "; ".join(f"{r.Index}: {r.auc:.3f}, {r.kilobytes:.0f} KB" for r in sent.itertuples())
    return finish(figure, title, note, f"AUC and kilobytes of each method. {said}.")


def _beside(ax, table):
    """Names of methods beside their marks; of those that lie together, one under the other."""
    placed = []
    span = float(np.ptp(table["auc"])) or 0.01
    for row in table.sort_values("auc", ascending=False).itertuples():
        near = [y for x, y in placed if abs(x - row.kilobytes) < 12]
        y = min([row.auc, *(y - 0.085 * span for y in near)])
        placed.append((row.kilobytes, y))
        right = row.kilobytes < 0.6 * table["kilobytes"].max()
        at = {"xytext": (9 if right else -9, 0), "textcoords": "offset points", "fontsize": 9}
        ax.annotate(row.Index, (row.kilobytes, y), ha="left" if right else "right", va="center", **at)


# ---- the explorer ----


@styled
def look_into(run: Run, method: str, round: int, unit: str = MEAN, seed: int | None = None) -> Figure:
    """One round of one method in four panels: who learns from whom as a map and as a graph, the cosines of
    the clients' updates before and after coordination, and where the round lies on the AUC's way.

    run      a Run;  method: one of its methods;  round: from 1;  unit: a name of `run.units`, or MEAN
    seed     None: the first one
    returns  Figure; where a method or a unit has nothing to show, its panels say so and what to try instead
    raises   KeyError for a method that the run does not have
    """
    seed = run.seeds[0] if seed is None else seed
    history = run.histories[method, seed]
    figure = Figure(
        figsize=(8.4, 6.9), dpi=84, layout="none"
    )  # fixed places: quick, and nothing jumps under a slider
    auc, where = _way(figure.add_axes((0.61, 0.13, 0.29, 0.29)), run, method, round, seed)
    missing = _nothing(history, run, method, round, unit)
    if missing:
        panel = figure.add_axes((0.03, 0.52, 0.94, 0.37))
        panel.set(xticks=[], yticks=[], facecolor="#f4f4f4")
        panel.spines[:].set_visible(False)
        panel.text(0.5, 0.5, textwrap.fill(missing, 60), ha="center", va="center", fontsize=13)
        title = f"{method}, round {round}: {missing.partition('. ')[0].rstrip('.')}"
        return finish(figure, title, f"Seed {seed}. AUC on validation rows: {auc}, {where}.", missing)
    axes = {name: figure.add_axes(place) for name, place in PLACES.items()}
    clusters = run.clusters if run.clusters and len(run.clusters) == len(history.clients) else None
    order, labels = sort_clients(clusters, len(history.clients))
    names = [str(history.clients[n]) for n in order]
    weights, cosines = (
        of_unit(array.sel(round=round), None if unit == MEAN else unit)[0].values.astype(float)
        for array in (history.weights, history.cosines)
    )
    weights, cosines = weights[order][:, order], cosines[:, order][:, :, order]
    _map(axes["map"], weights, names, labels)
    _graph(axes["graph"], weights, names, labels)
    between = _cosines(axes, cosines, labels)
    share = np.nan_to_num(weights)
    own = 100 * np.diag(share).mean()
    finding = f"a client takes {own:.0f} % from itself"
    if labels and len(set(labels)) > 1:
        mates, _ = pairs(labels, len(names))
        finding += f", {100 * (share * mates).sum() / len(names):.0f} % from its cluster"
    whom = [names[k] for k in (share - np.diag(np.diag(share))).argmax(1)]
    title = f"{method}, round {round}: {finding}; AUC {auc}, {where}"
    note = f"{unit}, seed {seed}. " + ("Boxes and colours: true clusters. " if labels else "")
    note += f"Arrows: weights from {100 * LEAST:.0f} % on. Cosines: blue the same way, "
    note += f"red opposed; mean of two clients {between}."
    said = "; ".join(
        f"{name} takes most of the rest from {other}" for name, other in zip(names, whom, strict=True)
    )
    return finish(
        figure, title, note.replace(" -", " −"), f"{said if own < 99.5 else 'Nobody takes from others'}."
    )


def _nothing(history, run, method, round, unit):
    """Why there is no map of this choice, and what to choose instead; "" where there is one."""
    if "weights" not in history.arrays:
        others = [m for m in run.methods if "weights" in run.histories[m, history.seed].arrays]
        why = {
            **dict.fromkeys(pooled_names(), "one model on all rows, so nobody learns from anybody"),
            "local": "every client learns alone, so nothing is mixed",
        }.get(method, "no experts or towers are shared, so nothing is mixed")
        return f"{why}. " + (
            f"Choose {', '.join(others[:3])}." if others else "No method here mixes anything."
        )
    rounds = len(history.arrays["weights"])
    if not 1 <= round <= rounds:
        return f"it has rounds 1 to {rounds}, not {round}. Move the slider back."
    if unit != MEAN and unit not in history.units:
        there = ", ".join(dict.fromkeys(name.split()[0] for name in history.units))
        return f"{unit} is not sent by this method. It sends: {there}. Choose one of them."
    if len(history.clients) < 2:
        return "there is one client only, so nobody can learn from another."
    return ""


def _map(ax, weights, names, labels):
    numbers = (lambda v: f"{100 * v:.0f}") if len(names) <= 8 else None
    client_map(ax, weights, names, labels, SEQUENTIAL, (0, 1), numbers)
    ax.set_title("Who learns from whom, %", fontweight="bold")
    ax.set_xlabel("… learns from")
    ax.set_ylabel("client …")


def _graph(ax, weights, names, labels):
    count = len(names)
    angle = np.pi / 2 - 2 * np.pi * (np.arange(count) + 0.5) / count
    place = np.stack([np.cos(angle), np.sin(angle)], 1)
    kinds = list(dict.fromkeys(labels or [0]))
    color = [CLUSTERS[kinds.index(label) % len(CLUSTERS)] for label in labels or [0] * count]
    radius = min(0.2, 1.6 / count)
    ax.set(xlim=(-1.45, 1.45), ylim=(-1.3, 1.3), aspect="equal")
    ax.axis("off")
    others = np.nan_to_num(weights - np.diag(np.diag(weights)))
    drawn = sorted(zip(*np.nonzero(others >= LEAST), strict=True), key=lambda pair: -others[pair])
    for n, m in drawn[:ARROWS]:
        along = (place[n] - place[m]) / np.linalg.norm(place[n] - place[m])
        same = labels is None or labels[n] == labels[m]
        arrow = FancyArrowPatch(
            place[m] + radius * along, place[n] - radius * along, connectionstyle="arc3,rad=0.12",
            arrowstyle="-|>", mutation_scale=7 + 14 * others[n, m], lw=0.5 + 8 * others[n, m],
            color=color[m] if same else GREY, alpha=0.75,
        )  # fmt: skip
        ax.add_patch(arrow)
    for n, name in enumerate(names):
        ax.add_patch(Circle(place[n], radius, facecolor=color[n], edgecolor="white", zorder=3))
        short = len(name) <= 3 and count <= 8
        where = place[n] if short else place[n] * (1.08 + radius)
        side = "center" if short or abs(place[n][0]) < 0.3 else "left" if place[n][0] > 0 else "right"
        ink = "white" if short else INK
        ax.text(
            *where, name[:14], color=ink, ha=side, va="center", fontsize=9, weight="bold" if short else None
        )
    if not drawn:
        ax.text(0, 0, f"nobody takes {100 * LEAST:.0f} %\nor more from another", ha="center", va="center")
    ax.set_title("The same as a graph", fontweight="bold")


def _cosines(axes, cosines, labels):
    """Two maps [N, N] in the order of the map above; returns their mean cosines in words."""
    count = cosines.shape[-1]
    means = []
    for name, values in zip(("before", "after"), cosines, strict=True):
        ax, values = axes[name], np.where(np.eye(count, dtype=bool), np.nan, values)
        heatmap(ax, values, DIVERGING, (-1, 1), square=True)  # names take time; the map above has them
        box_clusters(ax, labels)
        means.append(float(np.nanmean(values)) if np.isfinite(values).any() else math.nan)
        ax.set_title(f"{name}: mean {means[-1]:+.2f}".replace("-", "−"))
    figure = axes["before"].figure
    words = "Cosines of the clients' updates"
    figure.text(PLACES["before"][0], 0.405, words, weight="bold", fontsize=11)
    if np.allclose(cosines[0], cosines[1], atol=5e-4, equal_nan=True):
        return f"{means[0]:+.2f}, coordination changed nothing"
    return f"{means[0]:+.2f} before, {means[1]:+.2f} after coordination"


def _way(ax, run, method, round, seed):
    """Validation AUC over the rounds, this method in colour, the round marked.

    returns  (AUC of this round, how it stands to the best one) in words
    """
    rounds = run.rounds[run.rounds["seed"] == seed]
    curves = rounds.groupby(["method", "round"], sort=False)["valid_auc"].mean().unstack("round")
    for name in curves.index:
        if name != method:
            ax.plot(curves.columns, curves.loc[name], color="#cfcfcf", linewidth=1.2, zorder=1)
            known = curves.loc[name].dropna()
            if name in ("local", "fedavg", "pooled") and len(known):
                ax.text(known.index[-1], known.iloc[-1], f" {name}", color="#777777", fontsize=8, va="center")
    own, color = curves.loc[method], method_style(method)[0]
    ax.plot(own.index, own, color=color, label=method, zorder=2)
    ax.axvline(round, color=INK, linewidth=0.8, linestyle=":")
    auc = float(own.get(round, math.nan))
    ax.plot(round, auc, "o", color=color, ms=9, mec="white", zorder=3)
    ax.set_title(f"{method}: AUC in round {round} of {int(curves.columns.max())}", fontweight="bold")
    ax.set(xlabel="round", ylabel="average validation AUC")
    ax.xaxis.get_major_locator().set_params(integer=True)
    if own.isna().all():
        return "none", "one class only"
    best = int(own.idxmax())
    where = "its best" if round == best else f"its best is {own[best]:.3f} in round {best}"
    return f"{auc:.3f}", where

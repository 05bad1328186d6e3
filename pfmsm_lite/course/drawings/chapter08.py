"""Chapter 08: what an interval is about, one module less, three failures."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.statistics import paired_interval, per_seed
from pfmsm_lite.lab.style import (
    GREY,
    INK,
    METHOD_STYLE,
    finish,
    interval_line,
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
CLUSTERS = ("#0072B2", "#009E73", "#CC79A7", "#6A51A3", "#56B4E9", "#E69F00")
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
        interval_line(ax, y, lost, mean, low, high, INK)
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

"""Drawings of chapter 14: who gets weight in PMTRec, what that gains, and two other answers beside it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from pfmsm_lite.lab.heatmaps import heatmap, pairs
from pfmsm_lite.lab.statistics import paired_interval
from pfmsm_lite.lab.style import GREY, INK, SEQUENTIAL, finish, interval_line, minus, styled
from pfmsm_lite.rivals.pmtrec import combine, task_weights

DPI = 72  # small files
STEP, AUXILIARY = "#D55E00", "#E69F00"
ENCODERS = ("#0072B2", "#E69F00", "#009E73")
TASKS = ("#0072B2", "#D55E00")  # the main task first


@styled
def draw_knobs(main: float, auxiliary: float, temperature: float, alpha: float) -> Figure:
    """What τ and α do to the task weights of one user whose gradient norms never change.

    main, auxiliary  norms of its two tasks;  temperature τ and alpha α are marked
    """
    figure = Figure(figsize=(7.6, 2.9), dpi=DPI)
    left, right = figure.subplots(1, 2, sharey=True)
    norms, epochs = torch.tensor([[main, auxiliary]]), np.arange(1, 41)
    grid = np.geomspace(0.05, 50, 80)
    by_tau = torch.cat([task_weights(norms, alpha=1.0, temperature=float(tau)) for tau in grid]).numpy()
    for name, color, weights in zip(("main task", "auxiliary task"), TASKS, by_tau.T, strict=False):
        left.semilogx(grid, weights, color=color, label=name)
    left.axvline(temperature, color=GREY, ls="--", lw=1.2)
    left.set(xlabel="τ (logarithmic)", ylim=(-0.03, 1.03), ylabel="weight")
    left.set_title("weights by τ, without focus (α = 1)")
    left.legend(loc="upper right", fontsize=9)
    shown = sorted({1.0, 1.05, 1.2, alpha})
    alone = 0
    for value, color in zip(shown, (GREY, "#56B4E9", "#0072B2", "#009E73", "#CC79A7"), strict=False):
        weights = [
            float(task_weights(norms, epoch=int(s), alpha=value, temperature=temperature)[0, 0])
            for s in epochs
        ]
        marked = value == alpha
        right.plot(epochs, weights, color=color, lw=3 if marked else 1.5, label=f"α = {value:g}")
        alone = next((s for s, w in zip(epochs, weights, strict=True) if w > 0.95), 0) if marked else alone
    right.set(xlabel="epoch s")
    right.set_title(f"weight of the main task, τ = {temperature:g}")
    right.legend(loc=(0.7, 0.33), fontsize=8)
    when = f"from epoch {alone}" if alone else "not within 40 epochs"
    title = f"Small τ: all weight to the longer gradient. α = {alpha:g}: main task alone {when}"
    note = f"One user, norms {main:g} and {auxiliary:g} throughout. Dashed: the τ of the right panel."
    alt = "Left: two lines, towards 1 and 0 as τ falls, one half each where τ is large. "
    return finish(
        figure, title, note, f"{alt}Right: the main task's weight rises, the faster the larger α. {note}"
    )


@styled
def draw_pull(angle: float, ratio: float = 1.0, temperature: float = 1.0) -> Figure:
    """Two users with the same gradient norms: one whom the auxiliary task helps, one whom it misleads.

    angle    degrees between the second user's gradients; between the first one's 40
    ratio    norm of the auxiliary gradient, up to 1.25; that of the main one is 1;  temperature  τ
    """
    figure = Figure(figsize=(7.2, 2.7), dpi=DPI)
    axes, along = figure.subplots(1, 2), []
    for ax, degrees, name in zip(axes, (40, angle), ("user A", "user B"), strict=True):
        turn = np.radians(degrees)
        gradients = torch.tensor([[[1.0, 0.0], [float(ratio * np.cos(turn)), float(ratio * np.sin(turn))]]])
        weights = task_weights(gradients.norm(dim=-1), alpha=1.0, temperature=temperature)
        step = combine(gradients, weights)[0].numpy()
        arrows = ((gradients[0, 0], TASKS[0], 2.4), (gradients[0, 1], AUXILIARY, 2.4), (step, STEP, 3.6))
        for vector, color, width in arrows:
            style = {"arrowstyle": "-|>", "color": color, "lw": width, "shrinkA": 0, "shrinkB": 0}
            if np.linalg.norm(vector) > 0.03:
                ax.annotate("", vector, (0, 0), arrowprops=style)
        ax.plot(0, 0, "o", color=INK, ms=4)
        ax.set(xlim=(-1.3, 1.3), ylim=(-0.12, 1.3), xticks=[], yticks=[], aspect="equal")  # fixed
        ax.spines[:].set_visible(False)
        own = weights[0].tolist()
        ax.set_title(f"{name}: weights {own[0]:.2f} and {own[1]:.2f}", fontsize=10.5)
        along.append(float(step[0]))
    for name, color in (("main task", TASKS[0]), ("auxiliary", AUXILIARY), ("weighted step", STEP)):
        axes[0].plot([], [], color=color, lw=2.6, label=name)
    axes[0].legend(loc="upper left", fontsize=9, handlelength=1.2)
    title = f"Same lengths, same weights; progress {along[0]:.2f} for A, {along[1]:.2f} for B"
    note = f"Progress: the step along the main task. Norms 1 and {ratio:g}, τ = {temperature:g}, α = 1. "
    note += f"Angles 40° and {angle:g}°."
    return finish(figure, minus(title), note, f"Arrows of two users in two panels. {note}")


@styled
def draw_worlds(runs: pd.DataFrame, metric: str = "ndcg@20", base: str = "main_only") -> Figure:
    """Every arm against the main task alone, in each world and with each encoder.

    runs     DataFrame with world, encoder, arm, seed and the metric, a line per training
    metric   its column;  base  the arm that is zero
    """
    worlds, encoders = (list(dict.fromkeys(runs[name])) for name in ("world", "encoder"))
    arms = [arm for arm in dict.fromkeys(runs["arm"]) if arm != base]
    figure = Figure(figsize=(7.8, 0.9 + 0.45 * len(arms)), dpi=DPI)
    axes, said, alt = figure.subplots(1, len(worlds), sharey=True, sharex=True, squeeze=False)[0], [], []
    for ax, world in zip(axes, worlds, strict=True):
        for encoder, color, shift in zip(encoders, ENCODERS, (-0.17, 0.17, 0), strict=False):
            own = runs[(runs["world"] == world) & (runs["encoder"] == encoder)]
            table = own.pivot(index="seed", columns="arm", values=metric)
            for k, arm in enumerate(arms):
                mean, low, high = paired_interval(table[arm], table[base])
                interval_line(ax, k + shift, table[arm] - table[base], mean, low, high, color, ms=7)
                if arm == arms[-1]:
                    alt.append(f"{world}, {encoder}, {arm} {mean:+.3f} [{low:+.3f}, {high:+.3f}]")
                    said.append(f"{mean:+.2f}")
            ax.plot([], [], "o-", color=color, label=encoder)
        ax.axvline(0, color=INK, lw=0.8)
        ax.set_title(f"the auxiliary task {world}")
        ax.set_xlabel(f"{metric.upper()} minus that of {base}")
        ax.grid(axis="x")
    axes[0].set_yticks(range(len(arms)), arms)
    axes[0].set_ylim(len(arms) - 0.5, -0.5)
    axes[0].legend(loc="lower left", fontsize=9)
    parts = [
        f"by\u00a0{gain} where the task {w}" for gain, w in zip(said[:: len(encoders)], worlds, strict=True)
    ]
    title = f"With {encoders[0]} {arms[-1]} changes {metric.upper()} {' and '.join(parts)}"
    seeds = runs["seed"].nunique()
    note = f"Mean and 95 % interval over {seeds} seeds, new data each; grey: seeds. Hollow: includes zero."
    return finish(figure, minus(title), note, minus("; ".join(alt)) + f". {note}")


@styled
def draw_three(
    worlds: Mapping[str, tuple], tasks: Sequence[str], parts: Sequence[str], names: Sequence[str],
    clusters: Sequence,
) -> Figure:  # fmt: skip
    """Three answers to "who gets weight", in a world with structure and, below, in one without.

    worlds   {name: (users [U, T], parts of M3oE's mixture [D, P], aggregation weights [N, N])}; two of them
    tasks    T names;  parts: P names;  names: of the N = D clients;  clusters [N]: their groups in the first
    returns  Figure; all maps have one scale
    """
    figure = Figure(figsize=(9, 5.6), dpi=DPI)
    axes = figure.subplots(2, 3, width_ratios=[0.9, 1.2, 1.2])
    heads = ("PMTRec: user × task", "M3oE: domain × part", "PF-MSMTrec: client × client")
    shares = []
    for below, (line, (world, maps)) in enumerate(zip(axes, worlds.items(), strict=True)):
        users, _, mixture = maps = [np.asarray(values, float) for values in maps]
        columns = (tasks, parts, names) if below else (False,) * 3
        for ax, values, head, ticks in zip(line, maps, heads, columns, strict=True):
            rows = False if values is users else names
            image = heatmap(ax, values, SEQUENTIAL, (0, 1), xticklabels=ticks, yticklabels=rows)
            ax.tick_params(labelsize=9)
            ax.set_title("" if below else head, fontsize=10.5)
        line[0].set_ylabel(f"{world}\n{len(users)} users")
        others = mixture[~np.eye(len(mixture), dtype=bool)].sum()
        shares.append(100 * mixture[pairs(list(clusters), len(mixture))[0]].sum() / max(others, 1e-9))
    for label in (*axes[1][0].get_xticklabels(), *axes[1][1].get_xticklabels()):
        label.set(rotation=35, ha="right")
    axes[1][2].set_xlabel("… learns from")
    for edge in (n for n in range(1, len(names)) if clusters[n] != clusters[n - 1]):
        axes[0][2].axhline(edge, color=AUXILIARY, lw=2)
        axes[0][2].axvline(edge, color=AUXILIARY, lw=2)
    axes[0][0].axhline(len(next(iter(worlds.values()))[0]) / 2, color=AUXILIARY, lw=2)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=28, ticks=[0, 0.5, 1])
    bar.set_label("weight")
    title = f"Of the weight on other clients, {shares[0]:.0f} % goes to its own group; "
    title += f"without groups {shares[1]:.0f} %"
    note = "A line: what one user, domain or client weights. Yellow: the truth (left: misled users above). "
    note += "One seed per map."
    return finish(figure, title, note, f"Three maps of weights in two worlds, {' and '.join(worlds)}. {note}")

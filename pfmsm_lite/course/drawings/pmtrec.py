"""Drawings of chapter 14: who gets weight in PMTRec, and what it is worth."""

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from pfmsm_lite.course.drawings.chapter13 import DOMAIN, GROUPS, TASK, TRAIN, VALID
from pfmsm_lite.lab.statistics import paired_interval
from pfmsm_lite.lab.style import GREY, INK, finish, interval_line, minus, styled
from pfmsm_lite.rivals.pmtrec import combine, task_weights

DPI = 72  # small files
TASKS = ("#0072B2", "#D55E00", "#8c8c8c", "#CC79A7")  # the main task first


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
    for value, color in zip(shown, (GREY, GROUPS[3], VALID, TASK, GROUPS[2]), strict=False):
        weights = [
            float(task_weights(norms, epoch=int(s), alpha=value, temperature=temperature)[0, 0])
            for s in epochs
        ]
        marked = value == alpha
        right.plot(epochs, weights, color=color, lw=3 if marked else 1.5, label=f"α = {value:g}")
        alone = next((s for s, w in zip(epochs, weights, strict=True) if w > 0.95), 0) if marked else alone
    right.set(xlabel="epoch s")
    right.set_title(f"weight of the main task, τ = {temperature:g}")
    right.legend(loc="lower right", fontsize=9)
    when = f"from epoch {alone} on" if alone else "not within 40 epochs"
    title = f"τ says how unequal the weights are; with α = {alpha:g} the main task has it all {when}"
    note = f"One user, norms {main:g} and {auxiliary:g} throughout. Dashed: the τ of the right panel."
    alt = "Left: two lines, towards 1 and 0 as τ falls, one half each where τ is large. "
    return finish(
        figure, title, note, f"{alt}Right: the main task's weight rises, the faster the larger α. {note}"
    )


@styled
def draw_pull(angle: float, ratio: float = 1.0, temperature: float = 1.0) -> Figure:
    """Two users with the same gradient norms: one whom the auxiliary task helps, one whom it misleads.

    angle    degrees between the second user's gradients; between the first one's 40
    ratio    norm of the auxiliary gradient, that of the main one is 1;  temperature  τ
    """
    figure = Figure(figsize=(7.2, 2.7), dpi=DPI)
    axes, along = figure.subplots(1, 2), []
    for ax, degrees, name in zip(axes, (40, angle), ("user A", "user B"), strict=True):
        turn = np.radians(degrees)
        gradients = torch.tensor([[[1.0, 0.0], [float(ratio * np.cos(turn)), float(ratio * np.sin(turn))]]])
        weights = task_weights(gradients.norm(dim=-1), alpha=1.0, temperature=temperature)
        step = combine(gradients, weights)[0].numpy()
        arrows = ((gradients[0, 0], TASKS[0], 2.4), (gradients[0, 1], DOMAIN, 2.4), (step, TRAIN, 3.6))
        for vector, color, width in arrows:
            style = {"arrowstyle": "-|>", "color": color, "lw": width, "shrinkA": 0, "shrinkB": 0}
            if np.linalg.norm(vector) > 0.03:
                ax.annotate("", vector, (0, 0), arrowprops=style)
        ax.plot(0, 0, "o", color=INK, ms=4)
        reach = max(1.15, 1.1 * ratio)
        ax.set(xlim=(-reach, reach), ylim=(-0.12, reach), xticks=[], yticks=[], aspect="equal")
        ax.spines[:].set_visible(False)
        own = weights[0].tolist()
        ax.set_title(f"{name}: weights {own[0]:.2f} and {own[1]:.2f}", fontsize=10.5)
        along.append(float(step[0]))
    for name, color in (("main task", TASKS[0]), ("auxiliary", DOMAIN), ("weighted step", TRAIN)):
        axes[0].plot([], [], color=color, lw=2.6, label=name)
    axes[0].legend(loc="upper left", fontsize=9, handlelength=1.2)
    title = f"The same norms, so the same weights; along the main task the step goes {along[0]:.2f} for A, "
    title += f"{along[1]:.2f} for B"
    note = f"Norms 1 and {ratio:g}, τ = {temperature:g}, α = 1. Angles 40° and {angle:g}°."
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
        for encoder, color, shift in zip(encoders, (VALID, DOMAIN, TASK), (-0.17, 0.17, 0), strict=False):
            own = runs[(runs["world"] == world) & (runs["encoder"] == encoder)]
            table = own.pivot(index="seed", columns="arm", values=metric)
            for k, arm in enumerate(arms):
                mean, low, high = paired_interval(table[arm], table[base])
                interval_line(ax, k + shift, table[arm] - table[base], mean, low, high, color, ms=7)
                if arm == arms[-1]:
                    alt.append(f"{world}, {encoder}, {arm} {mean:+.3f} [{low:+.3f}, {high:+.3f}]")
                    said.append(f"{mean:+.2f} ({encoder})")
            ax.plot([], [], "o-", color=color, label=encoder)
        ax.axvline(0, color=INK, lw=0.8)
        ax.set_title(f"the auxiliary task {world}")
        ax.set_xlabel(f"{metric.upper()} minus that of {base}")
        ax.grid(axis="x")
    axes[0].set_yticks(range(len(arms)), arms)
    axes[0].set_ylim(len(arms) - 0.5, -0.5)
    axes[0].legend(loc="lower left", fontsize=9)
    half = len(encoders)
    parts = [f"where it {w} {', '.join(said[n * half : (n + 1) * half])}" for n, w in enumerate(worlds)]
    title = f"What the auxiliary task is worth under {arms[-1]}: {'; '.join(parts)}"
    seeds = runs["seed"].nunique()
    note = f"Mean and 95 % interval over {seeds} seeds, new data each; grey: seeds. Hollow: includes zero."
    return finish(figure, minus(title), note, minus("; ".join(alt)) + f". {note}")

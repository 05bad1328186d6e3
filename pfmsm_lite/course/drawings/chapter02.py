"""Drawings of chapter 02: the model as boxes, gates as they specialize, tasks at odds."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from pfmsm_lite.lab.heatmaps import heatmap
from pfmsm_lite.lab.style import GREY, INK, SEQUENTIAL, band, finish, styled

TASK_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
PART_STYLE = {  # part of the model → colour, marker
    "embedding": ("#009E73", "o"),
    "experts, layer 1": ("#0072B2", "D"),
    "experts, layer 2": ("#D55E00", "^"),
}


def _box(ax, x, y, text, color="white", width=1.5):
    shape = "round,pad=0,rounding_size=0.12"
    ax.add_patch(
        FancyBboxPatch((x - width / 2, y - 0.32), width, 0.64, shape, fc=color, ec="#777777", lw=0.8)
    )
    ax.text(x, y, text, ha="center", va="center", fontsize=10, color=INK)


@styled
def draw_model(gates: np.ndarray, tasks: Sequence[str] = ("click", "conversion")) -> Figure:
    """An MMoE as boxes; a line from an expert to a task is as thick as the gate's weight.

    gates    [T, E] weights of the gates, each row adding up to 1
    tasks    names of the T tasks, at most 4
    returns  Figure
    raises   ValueError where a row does not add up to 1, or for another number of tasks
    """
    gates = np.asarray(gates, float)
    if gates.ndim != 2 or len(gates) != len(tasks) or not np.allclose(gates.sum(1), 1, atol=1e-3):
        raise ValueError(f"gates of shape {gates.shape} for {len(tasks)} tasks; every row must add up to 1")
    count = gates.shape[1]
    figure = Figure(figsize=(8, 3.6))
    ax = figure.add_subplot(xlim=(-1, 10.2), ylim=(-0.6, 3.9))
    ax.axis("off")
    across, down = np.linspace(0.4, 3.2, count), np.linspace(0.5, 3.1, len(tasks))[::-1]
    for e, y in enumerate(across[::-1]):
        ax.annotate("", (2.2, y), (0.8, 1.8), arrowprops={"arrowstyle": "-", "color": GREY, "lw": 1})
        for t, place in enumerate(down):
            ax.plot(
                (3.8, 6), (y, place), color=TASK_COLORS[t], lw=9 * gates[t, e] + 0.2, alpha=0.75, zorder=0
            )
        _box(ax, 3, y, f"expert {e}")
    _box(ax, 0, 1.8, "row x")
    for t, (task, y) in enumerate(zip(tasks, down, strict=True)):
        ax.text(
            6,
            y + 0.42,
            f"gate: {', '.join(f'{v:.2f}' for v in gates[t])}",
            fontsize=9.5,
            ha="center",
            bbox={"fc": "white", "ec": "none", "pad": 1},
        )
        _box(ax, 6, y, f"mixture {t}", "#f3f3f3")
        arrow = {"arrowstyle": "-|>", "color": TASK_COLORS[t], "lw": 1.5}
        ax.annotate("", (7.5, y), (6.75, y), arrowprops=arrow)
        ax.annotate("", (9, y), (8.75, y), arrowprops=arrow)
        _box(ax, 8.1, y, f"tower {t}", width=1.3)
        ax.text(9.1, y, f"P({task})", fontsize=10, va="center")
    most = [f"{task} listens most to expert {e}" for task, e in zip(tasks, gates.argmax(1), strict=True)]
    title = f"All experts see the row; {' and '.join(most)}"
    note = "Thickness of a coloured line: the gate's weight. A task's weights add up to 1."
    return finish(figure, title, note, f"Boxes and lines. {note}")


@styled
def draw_gates(
    gates: np.ndarray,
    distance: np.ndarray,
    epoch: int,
    tasks: Sequence[str] = ("click", "conversion"),
    about: str = "",
) -> Figure:
    """What the gates say at one epoch, and how far the tasks' gates have parted up to then.

    gates     [epochs + 1, T, E] mean gate of each task over the rows
    distance  [epochs + 1] mean distance between the two tasks' gates on the same row, 0 to 1
    epoch     the one to show;  about: words for the note, such as the data's task correlation
    returns   Figure
    raises    ValueError for an epoch that was not recorded
    """
    gates, distance = np.asarray(gates, float), np.asarray(distance, float)
    if not 0 <= epoch < len(gates):
        raise ValueError(f"epoch {epoch} was not recorded: 0 to {len(gates) - 1}")
    figure = Figure(figsize=(8, 3.3))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    experts = [f"expert {e}" for e in range(gates.shape[2])]
    texts = np.vectorize("{:.2f}".format)(gates[epoch])
    heatmap(left, gates[epoch], SEQUENTIAL, (0, 1), texts, xticklabels=experts, yticklabels=tasks)
    left.set_title(f"mean gate, epoch {epoch}")
    right.plot(range(len(distance)), 100 * distance, color=GREY)
    right.plot(epoch, 100 * distance[epoch], "o", color="#D55E00", markersize=9)
    right.set(xlabel="epochs trained", ylim=(0, max(40, 110 * distance.max())))
    right.set_title("share of gate weight that differs, %")
    right.grid(axis="y")
    title = f"Epoch {epoch}: the two tasks' gates differ in {100 * distance[epoch]:.0f} % of their weight"
    title += f" on the same row (at the start {100 * distance[0]:.0f} %)" if epoch else ", by chance"
    note = f"Differ: half the sum of |difference| over the experts, mean over the rows. {about}".strip()
    return finish(
        figure, title, note, f"A map of mean gates by task and expert, and a line over epochs. {note}"
    )


@styled
def draw_conflict(
    cosines: Mapping[str, np.ndarray], correlations: Sequence[float], epochs: Sequence[int]
) -> Figure:
    """Cosine of the two tasks' gradients by part of the model, over the tasks' true correlation.

    cosines       part → [C, S, epochs + 1]: correlation × seed × epoch
    correlations  the C correlations of the tasks' teachers;  epochs: the ones to show, a panel each
    returns       Figure
    raises        ValueError for an epoch that was not recorded
    """
    recorded = min(np.shape(values)[2] for values in cosines.values())
    if not all(0 <= epoch < recorded for epoch in epochs):
        raise ValueError(f"epochs {list(epochs)}: only 0 to {recorded - 1} were recorded")
    figure = Figure(figsize=(8, 3.9))
    axes = figure.subplots(1, len(epochs), squeeze=False, sharey=True)[0]
    for ax, epoch in zip(axes, epochs, strict=True):
        ax.axhline(0, color=INK, lw=0.8)
        for part, values in cosines.items():
            color, marker = PART_STYLE[part]
            band(ax, correlations, np.asarray(values)[:, :, epoch], color, marker=marker, label=part)
        ax.set(xlabel="true correlation of the tasks", ylim=(-1.05, 1.05), xlim=(-1, 1))
        ax.set_title(f"after {epoch} epoch{'' if epoch == 1 else 's'}" if epoch else "before training")
        ax.grid(axis="y")
    axes[0].set_ylabel("cosine of the two gradients")
    axes[0].legend(loc="lower left", fontsize=9)
    spread = [np.mean([np.mean(v, 1)[-1, e] - np.mean(v, 1)[0, e] for v in cosines.values()]) for e in epochs]
    rises = [f"{abs(v):.1f}" if v > -0.05 else f"−{abs(v):.1f}" for v in spread]
    moments = ["before training" if e == 0 else f"after {e} epoch{'s' * (e > 1)}" for e in epochs]
    best = int(np.argmax(spread))
    title = f"{moments[best].capitalize()} the cosine rises with the tasks' correlation, by {rises[best]}"
    others = [f"{rises[k]} {moments[k]}" for k in range(len(epochs)) if k != best]
    title += (
        f" ({', '.join(others)}; means of {len(cosines)} parts)"
        if others
        else f" (mean of {len(cosines)} parts)"
    )
    note = "Lines: mean over seeds; bands: range. Below 0: one task's step undoes the other's."
    return finish(figure, title, note, f"Lines by part of the model in {len(epochs)} panels. {note}")

"""Drawings of chapter 02: the model as boxes, gates as they specialize, two tasks at odds."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from pfmsm_lite.lab.heatmaps import heatmap
from pfmsm_lite.lab.style import GREY, INK, SEQUENTIAL, finish, signed, styled

TASK_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
MOMENT_STYLE = ((GREY, "s", 0.04), ("#0072B2", "o", 0.0), ("#D55E00", "v", -0.04))  # before, early, late


def _box(ax, x, y, text, width, color="white", edge="#777777"):
    shape = "round,pad=0,rounding_size=0.12"
    ax.add_patch(
        FancyBboxPatch((x - width / 2, y - 0.36), width, 0.72, shape, fc=color, ec=edge, lw=1, zorder=2)
    )
    ax.text(x, y, text, ha="center", va="center", fontsize=10, color=INK, zorder=3)


def _line(ax, start, end, color=GREY, **options):
    arrow = {"arrowstyle": "-|>", "color": color, "lw": 1.2, "shrinkA": 0, "shrinkB": 0} | options
    ax.annotate("", end, start, arrowprops=arrow, zorder=1)


def _task(ax: Axes, t: int, name: str, gate: np.ndarray, heights: tuple, experts: np.ndarray):
    """All that belongs to one task: its gate, its lines from the experts, its mixture and its tower.

    gate  [E];  heights: of the gate and of the tower;  experts: [E] heights
    """
    color, (above, y) = TASK_COLORS[t], heights
    _line(ax, (3.0, 2.0), (4.0, above), color, linestyle="--")
    _box(ax, 5, above, f"{name}\ngate", 2.0, edge=color)
    _line(ax, (6.0, above), (8.05, y + 0.3 * np.sign(above - y)), color, linestyle="--")
    for weight, height in zip(gate, experts, strict=True):
        ax.plot((6.0, 8.2), (height, y), color=color, lw=10 * weight + 0.3, alpha=0.7, zorder=0)
    percent = " + ".join(f"{100 * weight:.0f} %" for weight in gate)
    ax.text(7.3, above, percent, color=color, fontsize=10, ha="left", va="center")
    ax.plot(8.35, y, "o", markersize=19, markerfacecolor="white", markeredgecolor=color, zorder=2)
    ax.text(8.35, y, "Σ", ha="center", va="center", fontsize=11, color=INK, zorder=3)
    _line(ax, (8.7, y), (9.3, y), color)
    _box(ax, 10.3, y, f"{name}\ntower", 2.0, edge=color)
    _line(ax, (11.3, y), (11.8, y), color)
    ax.text(11.9, y, f"P({name})", fontsize=10, va="center")


@styled
def draw_model(gates: np.ndarray, tasks: Sequence[str] = ("click", "conversion")) -> Figure:
    """An MMoE as boxes; a line from an expert to a task is as thick as the gate's weight.

    gates    [2, E] weights of the gates, each row adding up to 1;  tasks: names of the two tasks
    returns  Figure
    raises   ValueError where a row does not add up to 1, or for another number of tasks
    """
    gates = np.asarray(gates, float)
    if gates.ndim != 2 or not len(gates) == len(tasks) == 2 or not np.allclose(gates.sum(1), 1, atol=1e-3):
        raise ValueError(f"gates of shape {gates.shape} for {len(tasks)} tasks; every row must add up to 1")
    figure = Figure(figsize=(8.4, 3.7))
    ax = figure.add_subplot(xlim=(-1.35, 13.9), ylim=(-0.5, 4.5))
    ax.axis("off")
    experts = np.linspace(2.7, 1.3, gates.shape[1])
    _box(ax, -0.2, 2.0, "one row:\nids, numbers", 2.1)
    _line(ax, (0.85, 2.0), (1.2, 2.0))
    _box(ax, 2.1, 2.0, "embedding\n→ input x", 1.8, "#e8f4ee")
    for e, y in enumerate(experts):
        _line(ax, (3.0, 2.0), (4.0, y))
        _box(ax, 5, y, f"expert {e}", 2.0, "#f3f3f3")
    for t, heights in enumerate(((4.0, 3.0), (0.0, 1.0))):
        _task(ax, t, tasks[t], gates[t], heights, experts)
    title = "Experts and gates read the same row; of expert 0, "
    title += f"{tasks[0]} takes {100 * gates[0, 0]:.0f} % and {tasks[1]} {100 * gates[1, 0]:.0f} %"
    note = "Solid: what experts say, as thick as the gate's weight. Dashed: what a gate reads and sets."
    return finish(figure, title, note, f"Boxes and arrows from a row through experts to two towers. {note}")


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
def draw_conflict(cosines: Mapping[int, np.ndarray], correlations: Sequence[float]) -> Figure:
    """Cosine of the two tasks' gradients over the tasks' true correlation, at three moments of training.

    cosines       epochs trained → [C, S]: correlation × seed; the first before training, then two more
    correlations  the C correlations of the tasks' teachers
    returns       Figure;  raises ValueError for another number of moments
    """
    if len(cosines) != len(MOMENT_STYLE):
        raise ValueError(f"{len(cosines)} moments of training: before, early and late are expected")
    figure = Figure(figsize=(7.4, 3.9))
    ax = figure.subplots()
    ax.axhspan(-1, 0, color="#f7ece4", linewidth=0, zorder=0)
    ax.axhline(0, color=INK, lw=0.8)
    for (epoch, values), (color, marker, shift) in zip(cosines.items(), MOMENT_STYLE, strict=True):
        words = f"after {epoch} epochs" if epoch else "before training"
        ax.plot(correlations, np.mean(values, 1), color=color, marker=marker, lw=2.4, markersize=7)
        for seed in np.transpose(values):
            ax.plot(np.add(correlations, shift), seed, ".", color=color, alpha=0.35, markersize=5)
        place = np.mean(values[-1]) - 0.09 * (epoch == 0)
        ax.text(1.0, place, words, color=color if epoch else INK, va="center", fontsize=10)
    ax.text(-0.9, 0.86, "above 0: one step helps both tasks", color=INK, fontsize=9.5)
    ax.text(-0.9, -0.93, "below 0: each undoes part of the other's step", color=INK, fontsize=9.5)
    ticks = {-0.9: "−0.9\nopposite wishes", 0.0: "0\nunrelated", 0.9: "0.9\nnearly the same"}
    ax.set_xticks(list(ticks), list(ticks.values()))
    ax.set_yticks([-1, -0.5, 0, 0.5, 1])
    ax.set(ylim=(-1, 1), xlim=(-1, 1.65), ylabel="cosine of the two gradients")
    ax.set_xlabel("what the two tasks truly want", loc="left")
    (_, early, late), ends = cosines, [np.mean(values, 1)[[0, -1]] for values in cosines.values()]
    (low, high), (first, last) = ends[1:]
    title = f"After {early} epochs the cosine tells opposite tasks ({signed(low)}) from related ones "
    title += f"({signed(high)}); after {late} it no longer does ({signed(first)} and {signed(last)})"
    seeds = len(next(iter(cosines.values()))[0])
    note = f"All shared weights together. Lines: mean of {seeds} seeds; dots: single seeds."
    return finish(figure, title, note, f"Three lines over five degrees of likeness. {note}")

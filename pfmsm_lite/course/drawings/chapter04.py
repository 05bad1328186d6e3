"""Figures of chapter 04: drift in one dimension, local epochs, what one choice is worth."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from pfmsm_lite.lab.style import GREY, INK, band, finish, styled

COLORS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
MARKERS = ("o", "s", "D", "^", "v", "P")


def after_steps(start: float, steps: int, size: float, curvature: float, minimum: float) -> float:
    """Where gradient descent stands after some steps on ½ · curvature · (w − minimum)²: exact, no loop."""
    return minimum + (1 - size * curvature) ** steps * (start - minimum)


def limit(steps: int, size: float, curvatures: Sequence[float], minima: Sequence[float]) -> float:
    """The point that FedAvg on parabolas of equal weight no longer leaves, for so many local steps."""
    pull = [1 - (1 - size * h) ** steps for h in curvatures]
    return sum(p * m for p, m in zip(pull, minima, strict=True)) / sum(pull)


@styled
def draw_drift(
    local_steps: int = 10,
    step_size: float = 0.1,
    curvatures: Sequence[float] = (1.0, 3.0),
    minima: Sequence[float] = (0.0, 4.0),
    rounds: int = 30,
) -> Figure:
    """FedAvg of two clients, each with a parabola for a loss: where the rounds lead, and why.

    local_steps  gradient steps of each client in a round;  step_size: of one step
    curvatures, minima  of the two parabolas
    returns      Figure: left the losses, right the common parameter by round
    """
    best = sum(h * m for h, m in zip(curvatures, minima, strict=True)) / sum(curvatures)
    end = limit(local_steps, step_size, curvatures, minima)
    path = [0.0]
    for _ in range(rounds):
        ends = [
            after_steps(path[-1], local_steps, step_size, h, m)
            for h, m in zip(curvatures, minima, strict=True)
        ]
        path.append(sum(ends) / 2)

    figure = Figure(figsize=(8, 4.2))
    left, right = figure.subplots(1, 2)
    w = np.linspace(-0.7, 5.2, 200)
    losses = [h * (w - m) ** 2 / 2 for h, m in zip(curvatures, minima, strict=True)]
    for name, loss, color in zip("AB", losses, COLORS, strict=False):
        left.plot(w, loss, color=color, label=f"client {name}")
    left.plot(w, sum(losses) / 2, color=INK, label="both")
    left.axvline(best, color=INK, linestyle=(0, (2, 1)), linewidth=1.2)
    left.axvline(end, color=COLORS[2], linewidth=1.6)
    left.set(ylim=(0, 22), xlabel="parameter w", ylabel="loss")
    left.legend(loc="upper right", frameon=True, framealpha=1, edgecolor="none")
    right.plot(range(rounds + 1), path, "o-", color=COLORS[2], markersize=3.5, label="FedAvg")
    right.axhline(best, color=INK, linestyle=(0, (2, 1)), linewidth=1.2)
    right.text(rounds, best + 0.06, f"best for both {best:g}", ha="right", va="bottom", fontsize=10)
    right.axhline(end, color=COLORS[2], linewidth=0.8)
    if best - end > 0.25:
        where = {"ha": "right", "va": "top", "fontsize": 10, "color": COLORS[2]}
        right.text(rounds, end - 0.08, f"FedAvg ends at {end:.2f}", **where)
    right.set(ylim=(-0.2, 4.4), xlabel="round", ylabel="common parameter w")
    right.grid(axis="y")
    many = "1 local step" if local_steps == 1 else f"{local_steps} local steps"
    title = f"{many} per round: FedAvg settles at {end:.2f}; the best for both is {best:g}"
    note = "Dashed: the minimum of the clients' average loss. Green: where FedAvg ends."
    return finish(
        figure, title, note, f"Two parabolas with minima at {minima[0]:g} and {minima[1]:g}. {note}"
    )


@styled
def draw_epochs(curves: Mapping[int, np.ndarray]) -> Figure:
    """Validation AUC by work at home and by traffic, one line per number of local epochs.

    curves   {local epochs: [S, rounds] average validation AUC of S seeds}; the first one is the yardstick:
             drawn are AUC points against its best round, seed by seed, since seeds differ by more
    returns  Figure: left by epochs at home, right by rounds
    """
    figure = Figure(figsize=(8, 4.3))
    axes = figure.subplots(1, 2, sharey=True)
    yardstick = np.max(next(iter(curves.values())), axis=1, keepdims=True)
    last, work = {}, set()
    for (epochs, values), color, marker in zip(curves.items(), COLORS, MARKERS, strict=False):
        points = 100 * (np.asarray(values) - yardstick)
        mean = points.mean(0)
        rounds = np.arange(1, len(mean) + 1)
        for ax, x in zip(axes, (rounds * epochs, rounds), strict=True):
            band(ax, x, points.T, color, marker=marker, markersize=5, label=f"{epochs} per round")
        last[epochs] = mean[-1]
        work.add(len(mean) * epochs)
    low = next(iter(curves))
    axes[0].set(xlabel="epochs at home", ylabel=f"AUC points to the best with {low} per round")
    axes[0].set_ylim(-6, 2)
    axes[1].set(xlabel="rounds (traffic)", xscale="log")
    axes[1].set_xticks([1, 2, 5, 10, 20, 40], [1, 2, 5, 10, 20, 40])
    axes[1].minorticks_off()
    axes[1].legend(title="local epochs", loc="lower right")
    for ax in axes:
        ax.grid(axis="y")
    seeds, high = len(yardstick), max(curves)
    when = f"At equal work ({max(work)} epochs at home)" if len(work) == 1 else "In the last round"
    gap = last[high] - last[low]
    side = f"{abs(gap):.1f} AUC points {'lower' if gap < 0 else 'higher'} than"
    side = "level with" if abs(gap) < 0.05 else side
    title = f"{when}, {high} local epochs per round end {side} {low}"
    note = f"Lines: mean of {seeds} seeds; bands: their range. Rounds further below are cut off."
    ends = ", ".join(f"{value:+.1f} with {epochs}" for epochs, value in last.items()).replace("-", "−")
    alt = f"AUC points to the best with {low} per round, by epochs at home and by rounds; at the end {ends}."
    return finish(figure, title, note, f"{alt} {note}")


@styled
def draw_worth(
    differences: Mapping[str, Mapping[str, Sequence[float]]],
    reference: str,
    subject: str,
    about: str | None = None,
) -> Figure:
    """What choices are worth against a reference: each dot is a seed, the diamond their mean.

    differences  {panel: {choice: [S] AUC points against the reference}}
    reference    its name, at zero;  subject: the beginning of the title
    about        the choice that the title tells of; None: the one with the largest mean
    returns      Figure, one panel beside the other
    """
    names = list(next(iter(differences.values())))
    figure = Figure(figsize=(8, 1.9 + 0.55 * len(names)))
    axes = figure.subplots(1, len(differences), sharex=True, sharey=True, squeeze=False)[0]
    phrases, last = [], None
    for ax, (panel, choices) in zip(axes, differences.items(), strict=True):
        ax.axvline(0, color=GREY, linewidth=1.2)
        means = {name: float(np.mean(points)) for name, points in choices.items()}
        for y, (name, points) in enumerate(choices.items()):
            color = COLORS[y % len(COLORS)]
            ax.plot(points, [y] * len(points), "o", color=color, markersize=4.5, alpha=0.5)
            ax.plot(means[name], y, "D", color=color, markersize=8)
            ax.text(means[name], y - 0.24, f"{means[name]:+.1f}".replace("-", "−"), ha="center", fontsize=10)
        ax.set_title(panel, fontweight="bold")
        ax.set_xlabel(f"AUC points over {reference}")
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.6)
        ax.margins(x=0.12)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
        top = about or max(means, key=means.get)
        told = f"{top} " if top != last else ""
        phrases.append(f"{told}{means[top]:+.1f}" + (f" ({panel})" if len(differences) > 1 else ""))
        last = top
    head = subject if about else f"{subject}: most for"
    title = f"{head}{':' if about else ''} {' and '.join(phrases)} points over {reference}".replace("-", "−")
    said = "; ".join(
        f"{panel}: " + ", ".join(f"{name} {np.mean(p):+.2f}" for name, p in choices.items())
        for panel, choices in differences.items()
    )
    note = "Diamond: mean over the seeds; dots: single seeds."
    return finish(figure, title, note, f"{said}. {note}")

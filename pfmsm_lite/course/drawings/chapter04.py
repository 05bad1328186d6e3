"""Figures of chapter 04: round after round, drift in one dimension, local epochs, what a choice is worth."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from pfmsm_lite.lab.style import GREY, INK, finish, handle, signed, styled

COLORS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")


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
def draw_rounds(auc: np.ndarray, kilobytes: float, first_group: int, last: int = 20) -> Figure:
    """Validation AUC of every client, round by round, up to the present round.

    auc          [R, N] of N clients after each of R rounds
    kilobytes    what one client sends per round
    first_group  so many clients, from the first on, are of the first group
    last         the axis ends at this round, however many have been played
    returns      Figure
    """
    rounds = np.arange(1, len(auc) + 1)
    figure = Figure(figsize=(8, 4))
    ax = figure.subplots()
    for n, values in enumerate(np.transpose(auc)):
        color = COLORS[0] if n < first_group else COLORS[1]
        ax.plot(rounds, values, "o-", color=color, linewidth=1, markersize=3, alpha=0.7)
    mean = auc.mean(axis=1)
    ax.plot(rounds, mean, "o-", color=INK, linewidth=2.6, markersize=6)
    ax.axhline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (2, 1)))
    ax.text(last + 0.4, 0.503, "guessing", ha="right", va="bottom", fontsize=10, color="#555555")
    ax.set(xlim=(0.5, last + 0.5), ylim=(0.42, 0.74), xlabel="round", ylabel="AUC on validation rows")
    ax.set_xticks(range(1, last + 1))
    ax.grid(axis="y")
    lines = [("mean of all", INK), ("a client of the first group", COLORS[0]), ("of the second", COLORS[1])]
    ax.legend(handles=[handle(label, color, "o", linestyle="-") for label, color in lines], loc="upper left")
    played = "1 round" if len(auc) == 1 else f"{len(auc)} rounds"
    sent = f"Each client has sent {len(auc) * kilobytes:.0f} kB."
    one, other = auc[-1, :first_group].mean(), auc[-1, first_group:].mean()
    title = f"After {played} of FedAvg the AUC is {one:.3f} in the first group, {other:.3f} in the second"
    note = f"{sent} One seed; another seed makes other data."
    return finish(figure, title, note, f"One line per client; mean of all {mean[-1]:.3f}. {note}")


@styled
def draw_epochs(points: Mapping[int, Sequence[float]], kilobytes: Mapping[int, float], work: int) -> Figure:
    """What local epochs cost and save at equal work: AUC points, and traffic.

    points     {local epochs per round: [S] AUC points to the fewest, in the last round}
    kilobytes  {local epochs per round: what one client sends in all rounds}
    work       epochs at home, the same for all
    returns    Figure: left the cost, right the traffic
    """
    figure = Figure(figsize=(8, 3.9))
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    means = {epochs: float(np.mean(values)) for epochs, values in points.items()}
    left.axhline(0, color=GREY, linewidth=1.2)
    for x, (epochs, values) in enumerate(points.items()):
        color = INK if x == 0 else COLORS[1]
        left.plot([x] * len(values), values, "o", color=color, markersize=5, alpha=0.45)
        left.plot(x, means[epochs], "D", color=color, markersize=9)
        left.text(x + 0.16, means[epochs], signed(means[epochs]) if x else "0", va="center", fontsize=11)
    low, high = min(points), max(points)
    left.set(ylabel=f"AUC points over {low} epoch", xlim=(-0.4, len(points) - 0.3))
    left.set_title("what it costs", fontweight="bold")
    left.grid(axis="y")
    bars = right.bar(range(len(kilobytes)), list(kilobytes.values()), color=COLORS[0], width=0.6)
    right.bar_label(bars, [f"{value:,.0f}" for value in kilobytes.values()], padding=2, fontsize=11)
    right.set(ylabel="kB sent per client", ylim=(0, 1.15 * max(kilobytes.values())))
    right.set_title("what it saves", fontweight="bold")
    for ax in (left, right):
        ax.set_xticks(range(len(points)), [f"{epochs}" for epochs in points])
        ax.set_xlabel("local epochs per round")
    less = kilobytes[low] / kilobytes[high]
    title = f"At equal work, {high} local epochs per round send {less:.0f} times less and cost "
    title += f"{-means[high]:.1f} AUC points"
    said = ", ".join(f"{epochs}: {signed(mean)} points" for epochs, mean in means.items())
    rounds = ", ".join(str(work // epochs) for epochs in points)
    seeds = len(points[low])
    note = f"{work} epochs at home for all, in {rounds} rounds. Diamond: mean of {seeds} seeds; dots: seeds."
    return finish(figure, title, note, f"Local epochs per round, against {low}: {said}. {note}")


@styled
def draw_worth(
    differences: Mapping[str, Mapping[str, Sequence[float]]],
    reference: str,
    title: str,
    told: Sequence[str] = (),
) -> Figure:
    """What choices are worth against a reference: each dot is a seed, the diamond their mean.

    differences  {panel: {choice: [S] AUC points against the reference}}
    reference    its name, at zero
    title        the finding, in a sentence
    told         choices that the title speaks of: they are in colour, the others grey; (): all in colour
    returns      Figure, one panel beside the other
    """
    names = list(next(iter(differences.values())))
    figure = Figure(figsize=(8, 1.9 + 0.55 * len(names)))
    axes = figure.subplots(1, len(differences), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (panel, choices) in zip(axes, differences.items(), strict=True):
        ax.axvline(0, color=GREY, linewidth=1.2)
        for y, (name, points) in enumerate(choices.items()):
            mean = float(np.mean(points))
            color = COLORS[0] if name in (told or names) else "#6f6f6f"
            ax.plot(points, [y] * len(points), "o", color=color, markersize=4.5, alpha=0.5)
            ax.plot(mean, y, "D", color=color, markersize=8)
            ax.text(mean, y - 0.24, signed(mean), ha="center", fontsize=10)
        if len(differences) > 1:
            ax.set_title(panel, fontweight="bold")
        ax.set_xlabel(f"AUC points over {reference}")
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.6)
        ax.margins(x=0.12)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
    said = "; ".join(
        f"{panel}: " + ", ".join(f"{name} {signed(np.mean(p), 2)}" for name, p in choices.items())
        for panel, choices in differences.items()
    )
    seeds = len(next(iter(next(iter(differences.values())).values())))
    note = f"Diamond: mean over {seeds} seeds; dots: single seeds."
    note += " Blue: what the title compares." if told else ""
    return finish(figure, title, note, f"{said}. {note}")

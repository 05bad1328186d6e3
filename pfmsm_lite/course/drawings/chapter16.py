"""Drawings of chapter 16: a ball around each client or one around the mean, and the shares that grow."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from pfmsm_lite.coordination import coefficients
from pfmsm_lite.course.drawings.chapter06 import DISC, MEAN, OWN, TURNED, _arrow, _degrees
from pfmsm_lite.lab.style import GREY, INK, band, finish, styled


@styled
def draw_balls(angle: float, length: float = 1.0, share: float = 0.5, radius: float = 0.4) -> Figure:
    """Both readings for two clients in the plane: a disc around each update, or one around their mean.

    angle    degrees between the two updates; the first has length 1, the second `length`, up to 1
    share    α, up to 0.5: how much of the common update each client adds;  radius: of the discs
    returns  Figure; its axes are the same for every value
    """
    direction = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    updates = torch.tensor(np.stack([[1.0, 0.0], length * direction]))
    gram, even = updates @ updates.T, torch.full((2,), 0.5, dtype=torch.float64)
    turned = (coefficients("two_vector", gram, even, radius, "norm") @ updates).numpy()
    common = (coefficients("cagrad", gram, even, radius, "cagrad") @ updates).numpy()[0]
    updates = updates.numpy()
    mean = updates.mean(0)

    figure = Figure(figsize=(9, 3.9))
    left, right = figure.subplots(1, 2)
    for ax in (left, right):
        ax.set_aspect("equal")
        ax.set(xlim=(-1.5, 1.8), ylim=(-0.75, 1.55), xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        for n, update in enumerate(updates):
            _arrow(ax, update, OWN, f"Δ{'₁₂'[n]}")
        ax.plot(*np.stack([0 * mean, mean]).T, color=INK, lw=1.5, ls=":")
    for n, update in enumerate(updates):
        left.add_patch(Circle(update, radius * np.linalg.norm(update), fc=DISC, ec=DISC, alpha=0.25))
        _arrow(left, turned[n], TURNED, "")
        _arrow(right, update + share * common, TURNED, "", start=update)
    left.set_title("two_vector: a disc around each")
    right.add_patch(Circle(mean, radius * np.linalg.norm(mean), fc=DISC, ec=DISC, alpha=0.25))
    _arrow(right, common, MEAN, "Ũ")
    right.set_title("FedHCA²: one disc, around the mean")
    for ax, text in ((left, "red: what each client gets"), (right, "red: the share of Ũ that each adds")):
        ax.text(-1.45, -0.62, text, color=TURNED, fontsize=9)
    title = "Left: each update is turned towards the mean. Right: each client adds some of Ũ, which "
    note = "Blue: updates of two clients. Dotted: their mean. Left: the lengths stay."
    alt = f"Two updates in the plane, twice. {note}"
    return finish(figure, title + _lean(updates, mean, common), note, alt)


def _lean(updates, mean, common):
    """Towards which client the common update leans, in words."""
    if np.linalg.norm(common) < 1e-6 or np.linalg.norm(mean) < 1e-6:
        return "is zero"
    degrees = _degrees(mean, common)
    if degrees < 0.5:
        return "points along the mean"
    first = _degrees(common, updates[0]) < _degrees(mean, updates[0])
    return f"is {degrees:.0f}° off the mean, towards client {1 if first else 2}"


@styled
def draw_shares(shares: Mapping[str, Mapping[str, np.ndarray]], seed: str) -> Figure:
    """How much of the common update each client adds, over the rounds, in several worlds.

    shares   {world: {kind of client: [K, S] α in K rounds, S seeds}}
    seed     what a seed changes
    returns  Figure
    """
    figure = Figure(figsize=(8, 3.2))
    axes = figure.subplots(1, len(shares), sharey=True, squeeze=False)[0]
    ends = []
    for ax, (world, kinds) in zip(axes, shares.items(), strict=True):
        for (kind, values), color in zip(kinds.items(), (OWN, TURNED), strict=False):
            rounds = np.arange(1, len(values) + 1)
            band(ax, rounds, values, color, marker="o")
            place = len(rounds) // 2
            above = kind == "small clients"
            at = values[place].mean() + (-0.14 if above else -0.2)
            ax.text(rounds[place], at, kind, color=color, weight="bold", fontsize=9)
        ends.append(np.mean([values[-1].mean() for values in kinds.values()]))
        ax.axhline(0.1, color=GREY, ls="--", lw=1)
        ax.set(ylim=(-0.05, 1.1), xlabel="round")
        ax.set_title(world)
        ax.grid(axis="y")
        ax.axhline(0, color=INK, lw=0.8)
    axes[0].set_ylabel("share α")
    said = ", ".join(f"{end:.2f} where {world}" for world, end in zip(shares, ends, strict=True))
    title = f"The learned share grows in both worlds: {said} in the last round"
    count = next(iter(next(iter(shares.values())).values())).shape[1]
    note = f"Mean over experts and clients. Band: range over {count} seeds ({seed}). Dashed: the start, 0.1."
    return finish(figure, title, note, f"Lines that rise from 0.1 towards 1. {note}")


@styled
def draw_ladder(steps: Mapping[str, Mapping[str, Sequence[float]]], seed: str) -> Figure:
    """What each difference between two runs is worth, one line per question.

    steps    {world: {question: [S] AUC points, paired by seed}}
    seed     what a seed changes
    returns  Figure
    """
    questions = list(next(iter(steps.values())))
    figure = Figure(figsize=(8, 1.5 + 0.38 * len(questions)))
    axes = figure.subplots(1, len(steps), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (world, found) in zip(axes, steps.items(), strict=True):
        for place, question in enumerate(questions):
            values = np.asarray(found[question])
            color = TURNED if (values > 0).all() or (values < 0).all() else GREY
            ax.plot(values, [place] * len(values), "o", color=color, ms=6, alpha=0.55)
            ax.vlines(values.mean(), place - 0.3, place + 0.3, color, lw=3)
        ax.axvline(0, color=INK, lw=0.8)
        ax.set_title(world)
        ax.set_xlabel("AUC points")
        ax.grid(axis="x")
    axes[0].set_yticks(range(len(questions)), questions)
    axes[0].set_ylim(len(questions) - 0.5, -0.5)
    first, second = steps
    title = (
        f"Against a step as long, Ũ costs {-np.mean(steps[first][questions[1]]):.1f} points where {first} "
    )
    title += f"and gains {np.mean(steps[second][questions[1]]):.1f} where {second}"
    count = len(steps[first][questions[0]])
    note = f"Dot: one of {count} seeds ({seed}); bar: their mean. Red: all seeds agree on the sign."
    alt = "; ".join(
        f"{world}: " + ", ".join(f"{question} {np.mean(found[question]):+.2f}" for question in questions)
        for world, found in steps.items()
    )
    return finish(figure, title.replace("-", "−"), note, alt.replace("-", "−"))

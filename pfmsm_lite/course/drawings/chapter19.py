"""Drawings of chapter 19: how far a hostile client pulls, whom weights trust, what honest clients lose."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from pfmsm_lite.lab.style import GREY, INK, finish, styled
from pfmsm_lite.rivals.robust import TRIM, krum_scores, middle

# updates of five honest clients in the plane, and the direction in which the hostile one goes
HONEST = torch.tensor([[1.0, 0.3], [0.8, 0.6], [1.2, 0.5], [0.9, 0.1], [1.1, 0.7]])
AWAY = torch.tensor([-0.8, -0.6])
BAD = "#D55E00"
COLORS = {"mean": BAD, "cut": "#B07800", "trimmed": "#009E73", "median": "#0072B2", "Krum": INK}
STYLES = {"median": "--", "Krum": ":"}  # where two curves lie on each other, both are seen


def cut(updates: Tensor, most: float = 2.0) -> Tensor:
    """The mean [P] of updates [M, P], none longer than `most` times the median length."""
    length = updates.norm(dim=1)
    return (updates * (most * length.quantile(0.5) / length).clamp(max=1)[:, None]).mean(0)


RULES: dict[str, Callable[[Tensor], Tensor]] = {  # name → [M, P] → [P]
    "mean": lambda updates: updates.mean(0),
    "cut": cut,
    "trimmed": lambda updates: middle(updates, TRIM),
    "median": middle,
    "Krum": lambda updates: updates[krum_scores(updates).argmin()],
}


def besieged(strength: float) -> Tensor:
    """[6, 2]: five honest updates, and one that goes the other way, `strength` long."""
    return torch.cat([HONEST, strength * AWAY[None]])


def pulled(strength: float) -> dict[str, float]:
    """Rule → how far its result is from the honest mean."""
    updates = besieged(strength)
    return {name: float((rule(updates) - HONEST.mean(0)).norm()) for name, rule in RULES.items()}


def _arrow(ax, point: Tensor, **how) -> None:
    how = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, **how}
    ax.annotate("", point.tolist(), (0, 0), arrowprops=how, annotation_clip=False)


@styled
def draw_siege(strength: float = 10.0, rule: str = "mean") -> Figure:
    """Six updates in the plane with what a rule makes of them, and how far rules are pulled by the strength.

    strength  length of the hostile update, 0 to 20;  rule: a key of RULES
    returns   Figure; its axes are the same for every value
    """
    figure = Figure(figsize=(9, 3.8))
    left, right = figure.subplots(1, 2)
    updates = besieged(strength)
    for point in HONEST:
        _arrow(left, point, color=GREY, lw=1.5)
    # longer than the panel: it ends at the border
    shown = AWAY * min(strength, 4.6)
    if strength:
        _arrow(left, shown, color=BAD, lw=1.5, ls="--")
        left.text(-1.7, -2.3, f"hostile,\n{strength:g} long", color=BAD, fontsize=9)
    _arrow(left, RULES[rule](updates), color=INK, lw=3)
    left.text(0.1, 1.15, f"black: {rule}", color=INK, fontsize=9)
    left.set(xlim=(-4, 2), ylim=(-3, 1.5), xlabel="first number", ylabel="second number")
    strengths = np.linspace(0, 20, 41)
    curves = pd.DataFrame([pulled(float(s)) for s in strengths], index=strengths)
    for name, curve in curves.items():
        chosen = name == rule
        right.plot(
            curve.index,
            curve,
            color=COLORS[str(name)],
            lw=3.5 if chosen else 1.4,
            ls=STYLES.get(str(name), "-"),
            label=name,
        )
    right.axvline(strength, color=INK, lw=0.8, ls=":")
    right.set(xlim=(0, 20), ylim=(0, 4), xlabel="length of the hostile update")
    right.set_ylabel("distance from the honest mean")
    right.legend(fontsize=9)
    far = pulled(strength)
    said = ", ".join(f"{name} {value:.2f}" for name, value in far.items())
    return finish(
        figure,
        f"One client of six, {strength:g} long, pulls the mean by {far['mean']:.1f} and the median by "
        f"{far['median']:.1f}",
        "Left: five honest updates, each about 1 long (grey), the hostile one (cut at the border), and what "
        "the rule makes of them (black).",
        f"Arrows in the plane, and five curves of distance by strength. At {strength:g}: {said}.",
    )


@styled
def draw_course(
    with_it: Sequence[float], without: Sequence[float], title: str, limits: tuple = (0.48, 0.72)
) -> Figure:
    """AUC of the honest clients round by round, with a hostile client and without it.

    with_it, without  [R] each, NaN where nothing can be ranked any more
    limits            of the axis;  returns  Figure
    """
    figure = Figure(figsize=(7.4, 3.2))
    ax, rounds = figure.subplots(), range(1, len(with_it) + 1)
    ax.plot(rounds, without, color=GREY, marker="s", ms=4, label="without the hostile client")
    ax.plot(rounds, with_it, color=BAD, marker="o", label="with it")
    ax.axhline(0.5, color=INK, lw=0.8, ls=":")
    ax.set(xlabel="round", ylabel="honest clients' AUC", ylim=limits)
    ax.set_xticks(list(rounds))
    ax.legend(fontsize=9, loc="upper left", ncols=2)
    alt = f"Two lines over rounds; at the end {with_it[-1]:.3f} with it and {without[-1]:.3f} without."
    return finish(figure, title, "Test rows, mean over clients and tasks; dotted: guessing.", alt)


@styled
def draw_trust(weights: Mapping[str, np.ndarray], controls: Mapping[str, np.ndarray], title: str) -> Figure:
    """What the other clients take from one client, round by round, where it flips its updates and where not.

    weights   rule → [R] mean weight of the others on the flipper;  controls  the same where it is honest
    returns   Figure
    """
    figure = Figure(figsize=(8, 3.4))
    ax = figure.subplots()
    for (name, values), color in zip(weights.items(), ("#0072B2", "#B07800", "#009E73", INK), strict=False):
        rounds = range(1, len(values) + 1)
        ax.plot(rounds, controls[name], color=color, ls="--", marker="s", ms=4, label=f"{name}, honest")
        ax.plot(rounds, values, color=color, marker="o", label=f"{name}, flipping")
    ax.set(xlabel="round", ylabel="weight on this client", ylim=(-0.005, None))
    ax.legend(fontsize=9, bbox_to_anchor=(1.01, 1), loc="upper left")
    alt = "; ".join(
        f"{name}: from {v[0]:.3f} to {v[-1]:.3f} if it flips, {controls[name][-1]:.3f} if it is honest"
        for name, v in weights.items()
    )
    return finish(figure, title, "Mean over the other clients, over experts and seeds.", f"Lines. {alt}.")


@styled
def draw_lost(lost: Mapping[tuple[str, str], Sequence[float]], title: str) -> Figure:
    """AUC points that honest clients lose, by attack and method: a dot per seed, a bar for their mean.

    lost     (method, attack) → points per seed, against the same federation without the hostile clients
    returns  Figure, a panel for each attack
    """
    methods, attacks = (list(dict.fromkeys(key[k] for key in lost)) for k in (0, 1))
    figure = Figure(figsize=(9, 1.7 + 0.4 * len(methods)))
    most = max(max(values) for values in lost.values())
    for ax, attack in zip(
        np.atleast_1d(figure.subplots(1, len(attacks), sharex=True, sharey=True)), attacks, strict=True
    ):
        for place, method in enumerate(methods):
            values = np.array(lost[method, attack])
            color = BAD if values.mean() > 0.5 else "#0072B2"
            ax.barh(place, values.mean(), 0.55, color=color, alpha=0.35)
            ax.plot(values, [place] * len(values), "o", color=color, ms=5)
            ax.text(
                max(values.max(), 0) + 0.04 * most, place, f"{values.mean():.1f}", va="center", fontsize=9
            )
        ax.axvline(0, color=INK, lw=0.8)
        ax.set_title(attack, fontsize=10)
        ax.set(xlim=(-0.12 * most - 0.3, 1.25 * most), xlabel="points lost")
        ax.set_yticks(range(len(methods)), methods)
        ax.set_ylim(len(methods) - 0.5, -0.5)
    alt = "; ".join(f"{m} under {a}: {np.mean(v):.1f}" for (m, a), v in lost.items())
    note = "Against the same federation without the hostile uploads. Dots: seeds, each with new rows."
    return finish(figure, title, note, f"Bars in points of AUC. {alt}.")

"""Drawings of chapter 19: what one hostile client does to a mean, and whom a learned mixture trusts."""

from collections.abc import Callable, Mapping

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
COLORS = {"mean": "#D55E00", "cut": "#E69F00", "trimmed": "#009E73", "median": "#0072B2", "Krum": INK}


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


@styled
def draw_siege(strength: float = 10.0, rule: str = "mean") -> Figure:
    """Six updates in the plane with what a rule makes of them, and how far rules are pulled by the strength.

    strength  length of the hostile update, 0 to 20;  rule: a key of RULES
    returns   Figure; its axes are the same for every value
    """
    figure = Figure(figsize=(9, 3.8))
    left, right = figure.subplots(1, 2)
    updates = besieged(strength)
    found = RULES[rule](updates)
    for point in HONEST.numpy():
        left.annotate("", point, (0, 0), arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 1.5})
    bad = updates[-1].numpy()
    left.annotate(
        "", bad, (0, 0), arrowprops={"arrowstyle": "-|>", "color": "#D55E00", "lw": 1.5, "ls": "--"}
    )
    left.annotate("", found.numpy(), (0, 0), arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 3})
    left.set(xlim=(-4, 2), ylim=(-3, 1.5), xlabel="first number", ylabel="second number")
    left.set_title(f"{rule}: black; hostile: dashed", fontsize=10)
    strengths = np.linspace(0, 20, 41)
    curves = pd.DataFrame([pulled(float(s)) for s in strengths], index=strengths)
    for name, curve in curves.items():
        chosen = name == rule
        right.plot(curve.index, curve, color=COLORS[str(name)], lw=3 if chosen else 1.4, label=name)
    right.axvline(strength, color=INK, lw=0.8, ls=":")
    right.set(xlim=(0, 20), ylim=(0, 3.5), xlabel="length of the hostile update", ylabel="distance")
    right.set_title("from the mean of the honest", fontsize=10)
    right.legend(fontsize=9)
    far = pulled(strength)
    title = f"One client of six, {strength:g} long, pulls the mean by {far['mean']:.1f} and the median by "
    said = ", ".join(f"{name} {value:.2f}" for name, value in far.items())
    return finish(
        figure,
        f"{title}{far['median']:.1f}",
        "Left: five honest updates (grey), the hostile one, and the result. An honest update is about 1 long.",
        f"Arrows in the plane, and five curves of distance by strength. At {strength:g}: {said}.",
    )


@styled
def draw_trust(weights: Mapping[str, np.ndarray], title: str) -> Figure:
    """What the honest clients take from the flipper, round by round.

    weights  rule → [R] mean weight of honest clients on the hostile one
    returns  Figure
    """
    figure = Figure(figsize=(8, 3.4))
    ax = figure.subplots()
    colors = ("#0072B2", "#E69F00", "#009E73", INK)
    for (name, values), color in zip(weights.items(), colors, strict=False):
        ax.plot(range(1, len(values) + 1), values, color=color, marker="o", label=name)
    ax.set(xlabel="round", ylabel="weight on the flipper", ylim=(0, None))
    ax.legend(fontsize=9)
    alt = "; ".join(f"{name} from {v[0]:.3f} to {v[-1]:.3f}" for name, v in weights.items())
    return finish(figure, title, "Mean over honest clients, experts and seeds.", f"Lines. {alt}.")

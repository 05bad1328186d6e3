"""Drawings of chapter 06: two arrows and a disc, turning against lengthening, two measures of conflict."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from pfmsm_lite.coordination import turn
from pfmsm_lite.lab.style import GREY, INK, band, finish, styled

OWN, MEAN, TURNED, DISC = "#0072B2", "#E69F00", "#D55E00", "#56B4E9"


def _turned(a, b, radius, rescale):
    """U [2] for two arrows in the plane, by the package."""
    products = (torch.tensor(float(x @ y), dtype=torch.float64) for x, y in ((a, a), (a, b), (b, b)))
    x, y = turn(*products, radius, rescale)
    return float(x) * a + float(y) * b


def _degrees(u, v):
    lengths = np.linalg.norm(u) * np.linalg.norm(v)
    return float(np.degrees(np.arccos(np.clip(u @ v / lengths, -1, 1)))) if lengths > 0 else 0.0


def _arrow(ax, end, color, label, **options):
    style = {"arrowstyle": "-|>", "lw": 2.4, "color": color, "shrinkA": 0, "shrinkB": 0, **options}
    if np.linalg.norm(end) > 0.02:
        ax.annotate("", end, (0, 0), arrowprops=style)
    place = end * (1 + 0.13 / max(np.linalg.norm(end), 0.13)) if label else end
    ax.text(*place, label, color=color, weight="bold", ha="center", va="center")


@styled
def draw_turn(angle: float, length: float = 1.0, radius: float = 0.4, rescale: str = "none") -> Figure:
    """Two updates in the plane, the disc in which U may lie, the dual, and both inner products.

    angle    degrees from a, which has length 1, to b;  length: of b
    radius   of the disc around a, 0 ≤ radius < 1;  rescale: see `coordinate`
    returns  Figure
    """
    a = np.array([1.0, 0.0])
    b = length * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    free, u = _turned(a, b, radius, "none"), _turned(a, b, radius, rescale)
    w = np.linspace(0, 1, 1001)
    g = w[:, None] * a + (1 - w[:, None]) * b
    dual = g @ a + radius * np.linalg.norm(g, axis=1)
    best = int(dual.argmin())

    figure = Figure(figsize=(9, 3.7))
    plane, curve, bars = figure.subplots(1, 3, width_ratios=[1.5, 1, 1])
    plane.set_aspect("equal")
    reach = max(1.5, length) + 0.25
    plane.set(xlim=(-reach, reach), ylim=(-0.7, reach), xticks=[], yticks=[])
    plane.spines[:].set_visible(False)
    plane.add_patch(Circle(a, radius, fc=DISC, ec=DISC, alpha=0.25))
    plane.plot(*np.stack([a, b]).T, color=GREY, lw=1, ls=":")
    if radius > 0 and length > 0:
        plane.plot(*g[best], "o", mec=INK, mfc="none", mew=1.5, ms=11)
    _arrow(plane, a, OWN, "")
    plane.text(1.0, -0.14, "a", color=OWN, weight="bold", ha="center", va="center")
    _arrow(plane, b, MEAN, "b")
    _arrow(plane, u, TURNED, "U")
    if not np.allclose(free, u):
        plane.plot(*free, "x", color=TURNED, ms=8, mew=2)
    plane.set_title("the plane (disc: where U may lie)")

    curve.plot(w, dual, color=INK)
    curve.plot(w[best], dual[best], "o", color=TURNED)
    curve.set(xlabel="w (0: b counts, 1: a)", ylim=(dual.min() - 0.2, dual.max() + 0.2))
    curve.set_title(f"the dual, least at w = {w[best]:.2f}")

    before, after = (a @ a, b @ a), (a @ u, b @ u)
    for k, (values, color, label) in enumerate(((before, OWN, "U = a"), (after, TURNED, "U"))):
        bars.bar(np.arange(2) + 0.38 * k - 0.19, values, 0.36, color=color, label=label)
    bars.axhline(0, color=INK, lw=0.8)
    bars.set_xticks([0, 1], ["⟨a, U⟩", "⟨b, U⟩"])
    low, high = min(*before, *after, 0), max(*before, *after)
    bars.set_ylim(low - 0.1, high + 0.35 * (high - low))
    bars.legend(loc="upper right", ncols=2, handlelength=1)
    bars.set_title("both inner products")

    turned, stretch = _degrees(a, u), float(np.linalg.norm(u))
    said = f"b at {angle:.0f}°: U is a turned by {turned:.0f}°, {stretch:.2f} times as long"
    title = f"{said}; ⟨b, U⟩ from {before[1]:.2f} to {after[1]:.2f}"
    note = _advice(angle, length, radius) or "Dotted: all mixtures of a and b. Ring: the one with weight w."
    if not np.allclose(free, u):
        note += " Cross: U before its length was set."
    return finish(figure, title.replace("-", "−"), note, f"Arrows a and b, a disc around a, and U. {note}")


def _advice(angle, length, radius):
    """What there is to say at the ends of the sliders."""
    if length == 0:
        return "b is zero: there is nothing to turn towards, so U = a."
    if radius == 0:
        return "Radius 0: the disc is the single point a, so U = a."
    if angle == 0:
        return (
            "Same direction: there is no conflict, and nothing to turn. Without rescaling U only gets longer."
        )
    if angle == 180 and length <= 1:
        return "Opposite: turning is no help. Without rescaling U only gets shorter: (1 − radius)·a."
    return ""


@styled
def draw_sweep(radius: float = 0.4, length: float = 1.0) -> Figure:
    """By how much U is turned, and how long it is, for every angle between a and b.

    radius, length  as for draw_turn;  returns Figure
    """
    a, angles = np.array([1.0, 0.0]), np.linspace(0, 180, 181)
    ends = [length * np.array([np.cos(t), np.sin(t)]) for t in np.radians(angles)]
    found = {rule: [_turned(a, b, radius, rule) for b in ends] for rule in ("none", "sqrt", "cagrad", "norm")}
    turned = np.array([_degrees(a, u) for u in found["none"]])

    figure = Figure(figsize=(8, 3.3))
    left, right = figure.subplots(1, 2)
    left.plot(angles, turned, color=TURNED)
    left.set(xlabel="angle between a and b (degrees)", ylim=(-1, max(6, 1.15 * turned.max())))
    left.set_title("degrees by which U is turned")
    styles = {"none": "-", "sqrt": "--", "cagrad": ":", "norm": "-"}
    colors = {"none": TURNED, "sqrt": MEAN, "cagrad": OWN, "norm": INK}
    for rule, updates in found.items():
        sizes = [np.linalg.norm(u) for u in updates]
        right.plot(angles, sizes, styles[rule], color=colors[rule], label=rule)
    right.set(xlabel="angle between a and b (degrees)", ylim=(0, 1.6))
    right.set_title("length of U, by rescale (‖a‖ = 1)")
    right.legend(ncols=2, loc="lower left")
    for ax in (left, right):
        ax.set_xticks([0, 45, 90, 135, 180])
        ax.grid(axis="y")
    most = int(turned.argmax())
    where = f", most at {angles[most]:.0f}°" if turned[most] > 0.05 else ""
    title = f"Radius {radius:g} turns by {turned[most]:.0f}° at the very most{where}"
    sizes = np.array([np.linalg.norm(u) for u in found["none"]])
    shorter = angles[sizes < 1 - 1e-9]
    title += f"; without rescaling it lengthens below {shorter[0]:.0f}°" if len(shorter) else ""
    note = (
        "" if length > 0 and radius > 0 else "Nothing to see here: radius 0 or a b of length 0 leaves U = a."
    )
    alt = f"Two curves over the angle: degrees turned, and the length of U under four rules. {note}"
    return finish(figure, title, note, alt)


@styled
def draw_probe(
    epochs: Sequence[int],
    alignment: np.ndarray,
    by_gradient: np.ndarray,
    by_difference: np.ndarray,
    adam: np.ndarray,
) -> Figure:
    """How a parameter difference stands for the true gradient, by local epochs.

    epochs         [K] local epochs
    alignment      [K, S] cosine of Δ and the negative true gradient, mean over clients and experts, S seeds
    by_gradient    [S] mean cosine between clients of different groups, from true gradients
    by_difference  [K, S] the same from parameter differences
    adam           [S] cosine of the gradient's signs and the gradient
    returns        Figure
    """
    alignment, by_difference = np.asarray(alignment), np.asarray(by_difference)
    figure = Figure(figsize=(8, 3.4))
    left, right = figure.subplots(1, 2)
    place = np.arange(len(epochs))
    for ax, values in ((left, alignment), (right, by_difference)):
        band(ax, place, values, TURNED, marker="o", label="Δ, parameter difference")
        ax.set_xticks(place, [str(e) for e in epochs])
        ax.set_xlabel("local epochs")
        ax.axhline(0, color=INK, lw=0.8)
        ax.grid(axis="y")
    left.axhline(1, color=OWN, ls="--")
    left.text(0, 0.93, "one plain gradient step: 1", color=OWN, va="top", fontsize=9)
    left.axhline(np.mean(adam), color=GREY, ls="--")
    left.text(place[-1], np.mean(adam) + 0.03, "signs of the gradient", color=GREY, ha="right", fontsize=9)
    left.set_ylim(-0.05, 1.08)
    left.set_title("cosine of Δ and −gradient")
    right.axhline(np.mean(by_gradient), color=OWN, ls="--", label="true gradient")
    low, high = min(by_difference.min(), 0), max(by_difference.max(), np.mean(by_gradient))
    right.set_ylim(low - 0.35, high + 0.1)
    right.legend(loc="lower right", fontsize=9)
    right.set_title("cosine between the two groups")
    ends = alignment.mean(1)
    title = (
        f"A parameter difference keeps a cosine of {ends[0]:.2f} with the gradient after {epochs[0]} epoch"
    )
    title += f", {ends[-1]:.2f} after {epochs[-1]}"
    note = f"Band: range over {alignment.shape[1]} seeds."
    alt = "Left, alignment falls with local epochs. Right, the cosine between groups is "
    by = [
        f"{found.mean():.2f} after {epochs[k]}"
        for k, found in ((0, by_difference[0]), (-1, by_difference[-1]))
    ]
    alt += f"{np.mean(by_gradient):.2f} by gradients, by differences {' and '.join(by)}. {note}"
    return finish(figure, title, note, alt.replace("-", "−"))


def _points(values):
    """A mean of AUC points in words; where seeds disagree about its sign it is no difference."""
    values = np.asarray(values)
    mean = f"{values.mean():+.2f}"
    if (values > 0).all() or (values < 0).all():
        return f"{mean} AUC points"
    return f"no difference that seeds show ({mean})"


@styled
def draw_control(points: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """What turning, lengthening and other rules do to the AUC, against the same run without.

    points   {world: {arm: [S] AUC points over the run without coordination, paired by seed}}
    returns  Figure
    """
    arms = list(next(iter(points.values())))
    figure = Figure(figsize=(8, 1.4 + 0.28 * len(arms)))
    axes = figure.subplots(1, len(points), sharex=True, sharey=True, squeeze=False)[0]
    colors = [MEAN if arm.startswith(("longer", "step", "own, not")) else TURNED for arm in arms]
    places = np.arange(len(arms))
    for ax, (world, found) in zip(axes, points.items(), strict=True):
        seeds = pd.DataFrame(found)[arms]
        sns.stripplot(seeds, orient="h", jitter=False, palette=colors, size=6, alpha=0.55, ax=ax)
        ax.vlines(seeds.mean(), places - 0.3, places + 0.3, colors, lw=3)
        ax.axvline(0, color=INK, lw=0.8)
        ax.set_title(world)
        ax.set_xlabel("AUC points over no coordination")
        ax.grid(axis="x")
    axes[0].set_yticks(range(len(arms)), arms)
    axes[0].set_ylim(len(arms) - 0.5, -0.5)
    worlds = list(points)
    parts = [f"{_points(points[world][arms[0]])} where {world}" for world in worlds]
    title = f"Turning alone ({arms[0]}): {', '.join(parts)}"
    seeds = len(next(iter(points[worlds[0]].values())))
    note = f"Dot: one of {seeds} seeds; bar: their mean. Zero: the same run without coordination."
    alt = "; ".join(
        f"{world}: " + ", ".join(f"{arm} {np.mean(found[arm]):+.2f}" for arm in arms)
        for world, found in points.items()
    )
    return finish(figure, title.replace("-", "−"), note, alt)

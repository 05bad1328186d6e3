"""Drawings of chapter 06: two arrows and a disc, turning against lengthening, two measures of conflict."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from pfmsm_lite.coordination import turn
from pfmsm_lite.lab.heatmaps import client_map
from pfmsm_lite.lab.style import DIVERGING, GREY, INK, band, finish, minus, signed, styled

OWN, MEAN, TURNED, DISC = "#0072B2", "#E69F00", "#D55E00", "#56B4E9"


def _turned(a, b, radius, rescale):
    """U [2] for two arrows in the plane, by the package."""
    products = (torch.tensor(float(x @ y), dtype=torch.float64) for x, y in ((a, a), (a, b), (b, b)))
    x, y = turn(*products, radius, rescale)
    return float(x) * a + float(y) * b


def _degrees(u, v):
    lengths = np.linalg.norm(u) * np.linalg.norm(v)
    return float(np.degrees(np.arccos(np.clip(u @ v / lengths, -1, 1)))) if lengths > 0 else 0.0


def _arrow(ax, end, color, label, start=(0, 0)):
    """An arrow with its letter behind the tip; too short a one is the letter alone."""
    end, start = np.asarray(end, float), np.asarray(start, float)
    way = end - start
    size = float(np.linalg.norm(way))
    if size > 0.02:
        style = {"arrowstyle": "-|>", "lw": 2.4, "color": color, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", end, start, arrowprops=style)
    place = end + way * 0.16 / max(size, 0.16)
    ax.text(*place, label, color=color, weight="bold", ha="center", va="center")


@styled
def draw_turn(angle: float, length: float = 1.0, radius: float = 0.4, rescale: str = "none") -> Figure:
    """Two updates in the plane, the disc in which U may lie, and both inner products, before and after.

    angle    degrees from a, which has length 1, to b;  length: of b, up to 2
    radius   of the disc around a, 0 ≤ radius < 1;  rescale: see `coordinate`
    returns  Figure; its axes are the same for every value
    """
    a = np.array([1.0, 0.0])
    b = length * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    free, u = _turned(a, b, radius, "none"), _turned(a, b, radius, rescale)
    figure = Figure(figsize=(8, 3.8))
    plane, bars = figure.subplots(1, 2, width_ratios=[1.25, 1])
    _draw_plane(plane, a, b, free, u, radius)
    before, after = (a @ a, b @ a), (a @ u, b @ u)
    for k, (values, color, label) in enumerate(((before, OWN, "before, U = a"), (after, TURNED, "after"))):
        places = np.arange(2) + 0.4 * k - 0.2
        bars.bar(places, values, 0.36, color=color, label=label)
        for place, value in zip(places, values, strict=True):
            up = value >= 0
            text = f"{value:.2f}".replace("-", "−")
            bars.annotate(text, (place, value), (0, 3 if up else -4), textcoords="offset points",
                          ha="center", va="bottom" if up else "top", fontsize=9)  # fmt: skip
    bars.axhline(0, color=INK, lw=0.8)
    bars.set_xticks([0, 1], ["⟨a, U⟩\nfor the client", "⟨b, U⟩\nfor the others"])
    bars.set(ylim=(-2.6, 4.8), yticks=[])
    bars.set_title("how well U serves each side")
    bars.legend(loc="upper left", fontsize=9)

    what = "there is no conflict with b"
    if b @ a < -1e-9:
        what = "the conflict with b stays" if b @ u < -1e-9 else "the conflict with b is gone"
    turned, size = _degrees(a, u), float(np.linalg.norm(u))
    title = f"U points {turned:.0f}° away from a and is {size:.2f} times as long: {what}, "
    title += f"⟨b, U⟩ goes from {before[1]:.2f} to {after[1]:.2f}"
    note = _advice(angle, length, radius)
    if not np.allclose(free, u):
        note += " Cross: U before its length was set."
    return finish(figure, title.replace("-", "−"), note, f"Arrows a, b and U, a disc around a; bars. {note}")


def _draw_plane(ax, a, b, free, u, radius):
    """The arrows and the disc, and what they are."""
    ax.set_aspect("equal", anchor="W")
    ax.set(xlim=(-2.2, 2.2), ylim=(-1.1, 2.15), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.add_patch(Circle(a, radius, fc=DISC, ec=DISC, alpha=0.25))
    _arrow(ax, b, MEAN, "b")
    _arrow(ax, a, OWN, "")
    ax.text(0.98, -0.16, "a", color=OWN, weight="bold", ha="center", va="center")
    _arrow(ax, u, TURNED, "U")
    if not np.allclose(free, u):
        ax.plot(*free, "x", color=TURNED, ms=8, mew=2)
    lines = (
        ("a: the update of one client", OWN),
        ("b: the mean update of all", MEAN),
        ("disc: where U may lie", INK),
        ("U: what takes its place", TURNED),
    )
    for k, (text, color) in enumerate(lines):
        ax.text(-2.2, -0.34 - 0.22 * k, text, color=color, fontsize=9, va="center")


def _advice(angle, length, radius):
    """What there is to say at the ends of the sliders."""
    if length == 0:
        return "b is zero: there is nothing to turn towards, so U = a."
    if radius == 0:
        return "Radius 0: the disc is the single point a, so U = a."
    if angle == 0:
        return "Same direction: nothing to turn. Without rescaling U only gets longer."
    if angle == 180 and length <= 1:
        return "Opposite: turning is no help. Without rescaling U only gets shorter."
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

    figure = Figure(figsize=(7, 2.8))
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
    where = f" (at {angles[most]:.0f}°)" if turned[most] > 0.05 else ""
    title = f"With radius {radius:g} an update turns by at most {turned[most]:.0f}°{where}"
    sizes = np.array([np.linalg.norm(u) for u in found["none"]])
    shorter = angles[sizes < 1 - 1e-9]
    title += f"; without rescaling it gets longer below {shorter[0]:.0f}°" if len(shorter) else ""
    note = (
        "" if length > 0 and radius > 0 else "Nothing to see here: radius 0 or a b of length 0 leaves U = a."
    )
    alt = f"Two curves over the angle: degrees turned, and the length of U under four rules. {note}"
    return finish(figure, title, note, alt)


@styled
def draw_worlds(cosines: Mapping[str, np.ndarray], groups: Sequence[int]) -> Figure:
    """The same map of conflicts in several worlds, side by side, before coordination.

    cosines  {world: [N, N]};  groups  [N], sorted
    returns  Figure
    """
    figure = Figure(figsize=(6.6, 3.1))
    names, apart = [f"s{k}" for k in range(len(groups))], np.not_equal.outer(groups, groups)
    means = {world: signed(np.asarray(matrix)[apart].mean(), 2) for world, matrix in cosines.items()}
    for ax, (world, matrix) in zip(figure.subplots(1, len(cosines)), cosines.items(), strict=True):
        shown = np.array(matrix, float)
        np.fill_diagonal(shown, np.nan)
        texts = np.vectorize(lambda value: minus(f"{value:.2f}").replace("0.", "."))(np.nan_to_num(shown))
        client_map(ax, shown, names, list(groups), DIVERGING, (-1, 1), texts)
        ax.set_title(world)
    found = ", ".join(f"{mean} where {world}" for world, mean in means.items())
    title = f"Between the groups the mean cosine is {found}"
    return finish(
        figure,
        title,
        "Cosines in the last round, before coordination. One seed.",
        "Two maps, 4 × 4.",
    )


@styled
def draw_probe(
    epochs: Sequence[int],
    alignment: np.ndarray,
    by_gradient: np.ndarray,
    by_difference: np.ndarray,
    adam: np.ndarray,
) -> Figure:
    """How well a parameter difference stands in for the true gradient, by local epochs.

    epochs         [K] local epochs
    alignment      [K, S] cosine of Δ and the negative true gradient, mean over clients and experts, S seeds
    by_gradient    [S] mean cosine between clients of different groups, from true gradients
    by_difference  [K, S] the same from parameter differences
    adam           [S] cosine of the gradient's signs and the gradient
    returns        Figure
    """
    alignment, by_difference = np.asarray(alignment), np.asarray(by_difference)
    figure = Figure(figsize=(7.2, 3))
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
    first, true = signed(by_difference[0].mean(), 2), signed(np.mean(by_gradient), 2)
    title = f"By parameter differences the cosine between the groups is {first}, by true gradients {true}"
    note = f"Band: range over {alignment.shape[1]} seeds."
    alt = "Left, alignment falls with local epochs. Right, the cosine between groups is "
    by = [
        f"{found.mean():.2f} after {epochs[k]}"
        for k, found in ((0, by_difference[0]), (-1, by_difference[-1]))
    ]
    alt += f"{np.mean(by_gradient):.2f} by gradients, by differences {' and '.join(by)}. {note}"
    return finish(figure, title, note, alt.replace("-", "−"))


def _points(values, world):
    """A mean of AUC points in words; where seeds disagree about its sign it is no difference."""
    values = np.asarray(values)
    mean = f"{values.mean():+.2f}"
    if (values > 0).all() or (values < 0).all():
        return f"{mean} AUC points where {world}"
    return f"no clear difference where {world} ({mean})"


@styled
def draw_control(
    points: Mapping[str, Mapping[str, Sequence[float]]],
    controls: Sequence[str],
    finding: str = "",
    zero: str = "no coordination",
    seed: str = "data and starts of its own",
) -> Figure:
    """What single changes do to the AUC, against the same run without any.

    points    {world: {arm: [S] AUC points over the run called `zero`, paired by seed}}
    controls  arms that are drawn as controls
    finding   the title; "": what the first arm does;  seed: what a seed changes
    returns   Figure
    """
    arms = list(next(iter(points.values())))
    figure = Figure(figsize=(7.2, 1.5 + 0.28 * len(arms)))
    axes = figure.subplots(1, len(points), sharex=True, sharey=True, squeeze=False)[0]
    colors = [MEAN if arm in controls else TURNED for arm in arms]
    places = np.arange(len(arms))
    for ax, (world, found) in zip(axes, points.items(), strict=True):
        seeds = pd.DataFrame(found)[arms]
        sns.stripplot(seeds, orient="h", jitter=False, palette=colors, size=6, alpha=0.55, ax=ax)
        ax.vlines(seeds.mean(), places - 0.3, places + 0.3, colors, lw=3)
        ax.axvline(0, color=INK, lw=0.8)
        ax.set_title(world)
        ax.set_xlabel(f"AUC points over {zero}")
        ax.grid(axis="x")
    axes[0].set_yticks(range(len(arms)), arms)
    axes[0].set_ylim(len(arms) - 0.5, -0.5)
    worlds = list(points)
    parts = [_points(points[world][arms[0]], world) for world in worlds]
    title = finding or f"Turning alone: {', '.join(parts)}"
    count = len(next(iter(points[worlds[0]].values())))
    note = f"Dot: one of {count} seeds ({seed}). Bar: mean. Yellow: controls."
    alt = "; ".join(
        f"{world}: " + ", ".join(f"{arm} {np.mean(found[arm]):+.2f}" for arm in arms)
        for world, found in points.items()
    )
    return finish(figure, title.replace("-", "−"), note, alt.replace("-", "−"))

"""Drawings of chapter 13: who gets weight in M3oE, and what can be learned about it."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from pfmsm_lite.lab.style import GREY, INK, finish, interval_line, minus, styled

SHARED, DOMAIN, TASK = "#0072B2", "#E69F00", "#009E73"
TRAIN, VALID = "#D55E00", "#0072B2"
GROUPS = ("#0072B2", "#E69F00")  # of scenarios that belong together
DPI = 80  # a page with many figures: smaller files


def _box(ax, left, low, width, height, color, text, size=9.5):
    style = {"boxstyle": "round,pad=0.4,rounding_size=1.5", "fc": color, "ec": "none"}
    ax.add_patch(FancyBboxPatch((left, low), width, height, **style))
    dark = color in (SHARED, INK)
    place = (left + width / 2, low + height / 2)
    ax.text(*place, text, ha="center", va="center", fontsize=size, color="white" if dark else "black")


def _arrow(ax, start, end, color=INK):
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.4})


@styled
def draw_modules(domains: int, tasks: int, shared: int) -> Figure:
    """M3oE as boxes: three modules of experts, fused in two levels, for D domains and T tasks.

    shared   number of shared experts
    returns  Figure
    """
    figure = Figure(figsize=(8.6, 3.7), dpi=DPI)
    ax = figure.subplots()
    ax.set(xlim=(0, 100), ylim=(2, 52), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    _box(ax, 2, 20, 11, 12, "#dddddd", "a row of\ndomain d\n\nh [B, H]")
    lanes = (
        (38, SHARED, f"{shared} shared experts", "gates of cell (d, t)", "S", "1", (78.6, 38)),
        (20, DOMAIN, f"{domains} domain experts", "β for d’s own,\nthe rest even", "D", "α", (75.6, 28.6)),
        (2.8, TASK, f"{tasks} task experts", "β for t’s own,\nthe rest even", "T", "α", (78.8, 14)),
    )
    for low, color, experts, rule, name, weight, place in lanes:
        _box(ax, 20, low, 19, 11, color, experts)
        _box(ax, 45, low, 17, 11, "#eeeeee", rule)
        _box(ax, 67, low + 2, 4, 7, color, name, 12)
        middle = low + 5.5
        _arrow(ax, (13.8, 26), (19.2, middle))
        _arrow(ax, (39.8, middle), (44.2, middle))
        _arrow(ax, (62.8, middle), (66.3, middle))
        _arrow(ax, (72, middle), (81, 26))
        ax.text(*place, weight, fontsize=13, ha="center", va="center")
    _box(ax, 82, 20, 5, 12, INK, "z", 13)
    _box(ax, 92.5, 20, 6, 12, "#dddddd", "tower\n(d, t)")
    _arrow(ax, (87.8, 26), (91.7, 26))
    ax.text(53.5, 50.4, "level 1: inside a module", ha="center", fontsize=10, color="#555555")
    ax.text(79, 50.4, "level 2: between them", ha="center", fontsize=10, color="#555555")
    title = "Three modules of experts, fused in two levels: z = S + α · D + α · T"
    note = f"β: weight of the domain’s or task’s own expert. α: weight of a module. {domains * tasks} towers."
    alt = f"Boxes from left to right: a row, {shared} shared, {domains} domain and {tasks} task experts, two "
    return finish(
        figure, title, note, f"{alt}levels of weights, and a tower for each domain and task. {note}"
    )


@styled
def draw_two_levels(
    tracks: Mapping[str, Sequence[float]], own: np.ndarray, train: np.ndarray, valid: np.ndarray, rows: int,
    noise: float,
) -> Figure:  # fmt: skip
    """A mixture weight with a known best value, learned on validation rows and on training rows.

    tracks   {"validation rows": [K], "training rows": [K]}: the weight a over the steps
    own      [D] what the domains' own experts say
    train    [D] means of the domains' training rows;  valid: of their validation rows
    rows     training rows per domain;  noise: deviation of a row from its domain's true mean
    returns  Figure
    """
    own, train, valid = (np.asarray(values, float) for values in (own, train, valid))
    known = float(own @ valid / (own @ own))  # least squares: where the error on validation rows is least
    figure = Figure(figsize=(8, 3.6), dpi=DPI)
    left, right = figure.subplots(1, 2)
    grid = np.linspace(0, 1, 101)
    for target, color, name in ((train, TRAIN, "training rows"), (valid, VALID, "validation rows")):
        losses = ((grid[:, None] * own - target) ** 2).mean(1) / (target**2).mean()
        left.plot(grid, losses, color=color, label=name)
        left.plot(grid[losses.argmin()], losses.min(), "o", color=color, clip_on=False)
        right.plot(tracks[name], color=color, label=f"learned on {name}")
    left.set(xlabel="a: weight of the domain’s own expert", ylim=(0, 2.1))  # never above 2, so fixed
    left.set_title("squared error (1: at a = 0; dot: least)")
    right.set(xlabel="step", ylim=(0, 1.05))
    right.set_title("a over the steps")
    left.axvline(known, color=INK, ls="--", lw=1.2)
    right.axhline(known, color=INK, ls="--", lw=1.2, label="known optimum")
    left.legend(loc="upper left", fontsize=9)
    right.legend(loc="lower left" if known > 0.45 else "center right", fontsize=9)
    ends = [f"{tracks[name][-1]:.2f}" for name in ("validation rows", "training rows")]
    title = f"Best weight {known:.2f}; learned on validation rows {ends[0]}, on training rows {ends[1]}"
    note = f"{len(own)} domains, {rows} training row{'s' * (rows > 1)} each. Dashed: the optimum in closed "
    note += f"form; expected is 1 / (1 + noise² / rows) = {1 / (1 + noise**2 / rows):.2f}."
    return finish(figure, title, note, f"Two error curves over the weight, and two paths of it. {note}")


@styled
def draw_undone(weights: Mapping[str, Sequence[float]], counts: Mapping[str, Sequence[float]]) -> Figure:
    """What becomes of a weight when the expert behind it learns through the mixture.

    weights  {name: [K]} the weight a over the steps;  counts  {name: [K]} a·w relative to the training mean
    returns  Figure
    """
    figure = Figure(figsize=(8, 3.3), dpi=DPI)
    left, right = figure.subplots(1, 2, sharey=True)
    for ax, found in ((left, weights), (right, counts)):
        for (name, values), color in zip(found.items(), (VALID, TASK), strict=True):
            ax.plot(values, color=color, label=name)
        ax.set(xlabel="step", ylim=(0, 1.08))
        ax.grid(axis="y")
    left.set_title("the weight a")
    right.set_title("what reaches the prediction: a · expert")
    right.legend(loc="lower right", fontsize=9)
    names = list(counts)
    final = counts[names[1]][-1]
    title = f"Trained through the mixture, the expert undoes the weight: {final:.2f} still arrives"
    note = "Right: 1 is the mean of the domain’s training rows, without any shrinking."
    alt = "; ".join(f"{name}: a ends at {weights[name][-1]:.2f}, {counts[name][-1]:.2f}" for name in names)
    return finish(figure, title, note, f"Two lines in two panels. {minus(alt)} arrives. {note}")


@styled
def draw_fusion(
    found: Mapping[str, np.ndarray], names: Sequence[str], groups: Mapping[str, Sequence[int]],
    title: str,
) -> Figure:  # fmt: skip
    """One fusion weight per domain: a column each, a dot per seed; the grey line is where all start.

    found    {panel: [S, D] weights};  names: of the D domains
    groups   {panel: [D] number of each domain's group}
    title    what is found
    returns  Figure; the axis is fixed
    """
    start = 1 / (1 + np.exp(-1))
    figure = Figure(figsize=(9, 3.3), dpi=DPI)
    axes = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    moved = {}
    for ax, (panel, weights) in zip(axes, found.items(), strict=True):
        weights = np.asarray(weights)
        moved[panel] = np.abs(weights - start).max()
        ax.axhline(start, color=GREY, lw=1.5)
        for place, (column, group) in enumerate(zip(weights.T, groups[panel], strict=True)):
            ax.plot([place] * len(column), column, "o", color=GROUPS[group], alpha=0.75, ms=7)
        ax.set_xticks(range(len(names)), names)
        ax.set(xlim=(-0.6, len(names) - 0.4), ylim=(0.4, 0.95), xlabel=f"farthest move: {moved[panel]:.3f}")
        ax.set_title(panel)
        ax.grid(axis="y")
    axes[0].set_ylabel("weight")
    seeds = len(next(iter(found.values())))
    note = (
        f"A column: one domain. A dot: one of {seeds} seeds. Grey: the start, σ(1). Colours: the true groups."
    )
    alt = "; ".join(f"{panel}: moved by {far:.3f} at most" for panel, far in moved.items())
    return finish(figure, title, note, f"Dots of {len(names)} domains in {len(found)} panels. {alt}. {note}")


@styled
def draw_code(moves: Mapping[str, np.ndarray], points: Mapping[str, tuple]) -> Figure:
    """How far each way of learning moves the fusion weights, and what it is worth.

    moves   {arm: [S] farthest move of a weight, S seeds}; an arm without such weights is missing
    points  {arm: ([S] AUC points, (mean, low, high))} against M3oE as the paper says
    returns Figure
    """
    figure = Figure(figsize=(8.4, 1.5 + 0.42 * len(points)), dpi=DPI)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.5], sharey=True)
    for k, (arm, (values, (mean, low, high))) in enumerate(points.items()):
        interval_line(right, k, values, mean, low, high, TRAIN)
        if arm in moves:
            left.plot(moves[arm], [k] * len(moves[arm]), "o", color=VALID, alpha=0.6, ms=6)
        else:
            left.text(0.01, k, "has no α, β", va="center", fontsize=9, color="#555555")
    left.set_yticks(range(len(points)), list(points))
    left.set(ylim=(len(points) - 0.5, -0.5), xlim=(0, None), xlabel="weight")
    left.set_title("farthest move of a weight")
    right.axvline(0, color=INK, lw=0.8)
    right.set_xlabel("AUC points")
    right.set_title("test AUC against the paper’s rule")
    for ax in (left, right):
        ax.grid(axis="x")
    means = {arm: minus(f"{mean:+.1f}") for arm, (_, (mean, _, _)) in points.items()}
    first, *_, last = means
    title = f"{first[0].upper()}{first[1:]}: {means[first]} AUC points; {last}: {means[last]}"
    note = "Mean and 95 % interval over paired seeds; hollow: it includes zero. Small dots: single seeds."
    alt = "; ".join(f"{name}: {mean:+.2f} [{a:+.2f}, {b:+.2f}]" for name, (_, (mean, a, b)) in points.items())
    return finish(figure, title, note, f"AUC points: {minus(alt)}. {note}")

"""Drawings of chapter 13: who gets weight in M3oE, beside PMTRec and the matrix of a federation."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from pfmsm_lite.lab.heatmaps import heatmap, pairs
from pfmsm_lite.lab.style import GREY, INK, SEQUENTIAL, finish, interval_line, minus, styled

SHARED, DOMAIN, TASK = "#0072B2", "#E69F00", "#009E73"
TRAIN, VALID = "#D55E00", "#0072B2"
GROUPS = ("#0072B2", "#E69F00", "#CC79A7", "#56B4E9")  # of scenarios that belong together
DPI = 80  # a page with many figures: smaller files


# ---------------------------------------------------------------- M3oE


def _box(ax, left, low, width, height, color, text, size=9.5):
    style = {"boxstyle": "round,pad=0.4,rounding_size=1.5", "fc": color, "ec": "none"}
    ax.add_patch(FancyBboxPatch((left, low), width, height, **style))
    dark = color in (SHARED, TASK, INK)
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
    note = f"β: how much of a module is one’s own. α: how much a module counts. {domains * tasks} towers."
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
    own      [D] what the domains' own experts say;  train, valid  [D] means of their rows of either kind
    rows     training rows per domain;  noise: deviation of a row from its domain's true mean
    returns  Figure
    """
    own, train, valid = (np.asarray(values, float) for values in (own, train, valid))
    known = float(own @ valid / (own @ own))  # least squares: where the error on validation rows is least
    figure = Figure(figsize=(8, 3.6), dpi=DPI)
    left, right = figure.subplots(1, 2)
    grid = np.linspace(0, 1, 101)
    for target, color, name in ((train, TRAIN, "training rows"), (valid, VALID, "validation rows")):
        losses = ((grid[:, None] * own - target) ** 2).mean(1)
        left.plot(grid, losses, color=color, label=name)
        left.plot(grid[losses.argmin()], losses.min(), "o", color=color, clip_on=False)
        right.plot(tracks[name], color=color, label=f"learned on {name}")
    left.set(xlabel="a: weight of one’s own expert", ylim=(0, 1.35 * left.get_ylim()[1]))
    left.set_title("squared error of a mixture (dot: least)")
    right.set(xlabel="step", ylim=(0, 1.05))
    right.set_title("a over the steps")
    left.axvline(known, color=INK, ls="--", lw=1.2)
    right.axhline(known, color=INK, ls="--", lw=1.2, label="known optimum")
    left.legend(loc="upper right", fontsize=9)
    right.legend(loc="lower left" if known > 0.45 else "center right", fontsize=9)
    ends = [f"{tracks[name][-1]:.2f}" for name in ("validation rows", "training rows")]
    title = f"Best weight {known:.2f}; learned on validation rows {ends[0]}, on training rows {ends[1]}"
    note = f"{len(own)} domains, {rows} training row{'s' * (rows > 1)} each. Dashed: the optimum in closed "
    note += f"form; by the truth it is 1 / (1 + noise² / rows) = {1 / (1 + noise**2 / rows):.2f}."
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
    title = f"An expert that learns through the mixture undoes its weight: {final:.2f} arrives, whatever a is"
    note = "Right: 1 is the mean of one’s own training rows, believed in full."
    alt = "; ".join(f"{name}: a ends at {weights[name][-1]:.2f}, {counts[name][-1]:.2f}" for name in names)
    return finish(figure, title, note, f"Two lines in two panels. {minus(alt)} arrives. {note}")


@styled
def draw_fusion(
    found: Mapping[str, np.ndarray], columns: Sequence[tuple[str, str]], clusters: Mapping[str, int],
    epoch: int,
) -> Figure:  # fmt: skip
    """The fusion weights of M3oE, one column each, a dot per seed; the grey line is where they start.

    found    {panel: [S, K] weights after `epoch` epochs}
    columns  [K] (kind, owner), the kinds in a row: ("α of a domain", "s0"), …
    clusters  owner → number of its group; owners without one are tasks
    returns  Figure
    """
    start = 1 / (1 + np.exp(-1))
    figure = Figure(figsize=(8, 1.5 + 1.75 * len(found)), dpi=DPI)
    axes = figure.subplots(len(found), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    kinds = [kind for kind, _ in columns]
    wide = np.array([0.5 if owner in clusters else 1.1 for _, owner in columns])  # half of a column
    gap = np.array([0.8 * (k > 0 and kinds[k] != kinds[k - 1]) for k in range(len(kinds))])
    places = np.cumsum(2 * wide + gap) - wide
    values = np.concatenate([np.ravel(v) for v in found.values()])
    low, high = min(0.5, values.min()) - 0.11, max(0.9, values.max()) + 0.05  # below: room for names
    for ax, (panel, weights) in zip(axes, found.items(), strict=True):
        ax.axhline(start, color=GREY, lw=1)
        for place, (_, owner), column in zip(places, columns, np.asarray(weights).T, strict=True):
            color = GROUPS[clusters[owner]] if owner in clusters else INK
            ax.plot([place] * len(column), column, "o", color=color, alpha=0.6, ms=6, clip_on=False)
        ax.set_ylabel("weight")
        ax.set_ylim(low, high)
        ax.set_title(panel, fontsize=10, loc="right")
        ax.grid(axis="y")
    axes[-1].set_xticks(places, [owner for _, owner in columns], rotation=0, fontsize=9)
    for kind in dict.fromkeys(kinds):
        where = places[[k == kind for k in kinds]].mean()
        style = {"ha": "center", "va": "bottom", "fontsize": 10, "color": "#555555"}
        axes[0].text(where, low + 0.02 * (high - low), kind, **style)
    moved = {panel: np.abs(np.asarray(weights) - start).max() for panel, weights in found.items()}
    said = "; ".join(f"at {panel} a weight has moved by {far:.3f} at most" for panel, far in moved.items())
    title = f"After {epoch} epochs: {said}"
    seeds = len(next(iter(found.values())))
    note = f"Dot: one of {seeds} seeds. Grey line: the start, σ(1). Blue, yellow: the two groups."
    alt = "Dots for " + ", ".join(dict.fromkeys(kinds))
    return finish(figure, title, note, f"{alt}. {note}")


@styled
def draw_code(
    paper: np.ndarray, code: np.ndarray, names: Sequence[str], points: Mapping[str, tuple]
) -> Figure:
    """The fusion weights under the paper's rule and under the code's, and what the difference is worth.

    paper    [S, E, K], code [S, E, 4] weights after 0, 1, … epochs, S seeds;  names: of the four
    points   {comparison: ([S] AUC points, (mean, low, high))}
    returns  Figure
    """
    paper, code = np.asarray(paper), np.asarray(code)
    figure = Figure(figsize=(8.4, 3.7), dpi=DPI)
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    epochs = np.arange(paper.shape[1])
    for k in range(paper.shape[2]):
        left.plot(epochs, paper[:, :, k].T, color=GREY, lw=1.5, zorder=3)
    for k, (name, color) in enumerate(zip(names, (DOMAIN, TASK, TRAIN, "#CC79A7"), strict=True)):
        left.plot(epochs, code[:, :, k].T, color=color, lw=1.3, alpha=0.7)
        left.plot([], [], color=color, label=f"{name}, as the code")
    left.plot([], [], color=GREY, label="all, as the paper")
    low, high = min(0.6, code.min() - 0.02), max(0.85, code.max() + 0.02)
    left.set(xlabel="epoch", ylim=(low - 0.55 * (high - low), high))
    left.set_title("weights, one line per seed")
    left.legend(loc="lower left", fontsize=8, ncols=2)
    for k, (values, (mean, least, most)) in enumerate(points.values()):
        interval_line(right, k, values, mean, least, most, TRAIN)
    right.axvline(0, color=INK, lw=0.8)
    right.set_yticks(range(len(points)), list(points), fontsize=9)
    right.set(ylim=(len(points) - 0.4, -0.6), xlabel="AUC points")
    right.set_title("against M3oE as the paper says")
    right.grid(axis="x")
    far = [np.abs(v - v[:, :1]).max() for v in (paper, code)]
    title = f"In {epochs[-1]} epochs a weight moves by {far[0]:.3f} at most by the paper’s rule, "
    title += f"by {far[1]:.2f} by the code’s"
    note = "Right: mean and 95 % interval over paired seeds; grey: single seeds. Hollow: it includes zero."
    alt = "; ".join(f"{name}: {mean:+.2f} [{a:+.2f}, {b:+.2f}]" for name, (_, (mean, a, b)) in points.items())
    return finish(figure, title, note, f"AUC points: {minus(alt)}. {note}")


# ---------------------------------------------------------------- side by side


@styled
def draw_three(
    users: np.ndarray, tasks: Sequence[str], cells: np.ndarray, parts: Sequence[str], rows: Sequence[str],
    mixture: np.ndarray, names: Sequence[str], clusters: Sequence,
) -> Figure:  # fmt: skip
    """Three answers to "who gets weight": per user, per domain and task, per client.

    users    [U, T] task weights of some users, sorted;  tasks  T names
    cells    [C, P] weights of the parts of M3oE's mixture, a line per cell;  parts, rows: names of both
    mixture  [N, N] aggregation weights;  names  of the N clients;  clusters [N]
    returns  Figure
    """
    figure = Figure(figsize=(9.4, 4.4), dpi=DPI)
    axes = figure.subplots(1, 3, width_ratios=[0.8, 1.25, 1.35])
    mixture, cells, users = (np.asarray(values, float) for values in (mixture, cells, users))
    panels = (
        ("PMTRec: per user", users, tasks, False),
        ("M3oE: domain × task", cells, parts, rows),
        ("PF-MSMTrec: per client", mixture, names, names),
    )
    for ax, (title, matrix, columns, lines) in zip(axes, panels, strict=True):
        image = heatmap(ax, matrix, SEQUENTIAL, (0, 1), xticklabels=columns, yticklabels=lines)
        ax.tick_params(labelsize=9 if len(lines or ()) <= 8 else 8)
        ax.set_title(title, fontweight="bold")
    for label in (*axes[0].get_xticklabels(), *axes[1].get_xticklabels()):
        label.set(rotation=40, ha="right")
    axes[0].set_ylabel(f"{len(users)} users")
    axes[2].set_xlabel("… learns from")
    for edge in (n for n in range(1, len(names)) if clusters[n] != clusters[n - 1]):
        axes[2].axhline(edge, color=DOMAIN, lw=2)
        axes[2].axvline(edge, color=DOMAIN, lw=2)
    bar = figure.colorbar(image, ax=axes, shrink=0.75, aspect=28, ticks=[0, 0.5, 1])
    bar.set_label("weight")
    rest = 1 - np.diag(mixture).mean()
    mates = mixture[pairs(list(clusters), len(mixture))[0]].sum() / len(mixture)
    title = (
        f"Users differ by up to {np.ptp(users, 0).max():.2f}, M3oE’s cells by {np.ptp(cells, 0).max():.3f}"
    )
    title += (
        f"; of what clients take from others, {100 * mates / max(rest, 1e-9):.0f} % is from their own group"
    )
    note = "A row: whom one user, one domain × task, one client listens to. Yellow lines: the true groups."
    alt = f"Three maps of weights on one scale: {len(users)} users by task, {len(cells)} cells by part, "
    return finish(figure, title, note, f"{alt}{len(mixture)} clients by source. {note}")

"""Drawings of chapter 07: who learns from whom, why weights go home, and who is harmed."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from pfmsm_lite.lab.heatmaps import client_map, ratios
from pfmsm_lite.lab.statistics import EVEN
from pfmsm_lite.lab.style import DIVERGING, GREY, INK, band, finish, styled

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
TRAIN, VALID = "#D55E00", "#0072B2"


def _most(names, n, ratio):
    """From whom client n takes most, in words; ratio [N] to the even share."""
    found = np.nan_to_num(ratio, nan=-1.0)
    return f"{names[n]} " + (f"most from {names[found.argmax()]}" if found.max() >= EVEN else "evenly")


@styled
def draw_maps(
    found: Mapping[str, np.ndarray],
    names: Sequence[str],
    title: str,
    groups: Mapping[str, list] | None = None,
) -> Figure:
    """Mixture weights as maps, one line of maps per world and one map per seed. Colours always mean the same.

    found    {world: [S, N, N] weights of S seeds, rows summing to one};  names [N] of the clients
    title    what they show, in a sentence
    groups   {world: [N] true groups}, drawn as boxes; worlds left out have none
    returns  Figure; blue is more than an even split of what goes to others, red less, grey its own weight
    """
    seeds = len(next(iter(found.values())))
    size = 8 if seeds > 1 else 5.5, 0.9 + 2.2 * len(found) + (seeds == 1)
    figure = Figure(figsize=size, dpi=84)  # small files
    axes = figure.subplots(len(found), seeds, squeeze=False, sharex=True, sharey=True)
    alt = []
    for place, (line, (world, weights)) in enumerate(zip(axes, found.items(), strict=True)):
        first, last = place == 0, place == len(found) - 1
        weights = np.asarray(weights, float)
        shown = ratios(weights)
        for number, (ax, own, ratio) in enumerate(zip(line, weights, shown, strict=True), 1):
            logs = np.log2(ratio.clip(2.0**-6))
            image = client_map(ax, logs, names, (groups or {}).get(world), DIVERGING, (-2, 2))
            for n, weight in enumerate(np.diag(own)):
                ax.text(n + 0.5, n + 0.5, f"{100 * weight:.0f}", ha="center", va="center", fontsize=8)
            ax.tick_params(labelleft=ax is line[0], labelbottom=last)
            if first and seeds > 1:
                ax.set_title(f"seed {number} of {seeds}")
            ax.set_xlabel("… learns from" if last else "")
        line[0].set_ylabel(f"{world}\nclient …")
        alt += [
            f"{world}, seed {number}: " + ", ".join(_most(names, n, row) for n, row in enumerate(ratio))
            for number, ratio in enumerate(shown, 1)
        ]
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=25, ticks=[-2, -1, 0, 1, 2])
    bar.ax.set_yticklabels(["1/4", "1/2", "even", "2 ×", "4 ×"])
    bar.set_label("times its even share")
    note = "Grey: own weight in %. Expert 0." + (" Boxes: true groups." if groups else "")
    note += "" if seeds > 1 else " One seed."
    return finish(figure, title.replace("-", "−"), note, f"Maps of weights. {'; '.join(alt)}. {note}")


@styled
def draw_home(
    own: Mapping[str, np.ndarray], shares: np.ndarray, train: np.ndarray, valid: np.ndarray
) -> Figure:
    """Learned weights over the rounds, and the two losses that pull them to different places.

    own     {group of clients: [K, S] own weight over K rounds and S seeds}
    shares  [P] own share of a mixture that was tried by hand, the rest evenly from the others
    train   [P, S] loss of it on training rows, valid [P, S] on validation rows; mean over clients
    returns Figure
    """
    shares, train, valid = (np.asarray(values, float) for values in (shares, train, valid))
    figure = Figure(figsize=(8, 3.5))
    left, right = figure.subplots(1, 2)
    ends = {}
    for (name, values), color in zip(own.items(), COLORS, strict=False):
        values = np.asarray(values, float)
        rounds = np.arange(1, len(values) + 1)
        band(left, rounds, values, color, label=name)
        ends[name] = values.mean(1)[-1]
    left.set(xlabel="round", ylim=(-0.03, 1.05), yticks=[0, 0.5, 1])
    left.set_yticklabels(["0 %", "50 %", "100 %"])
    left.set_title("own weight under `learned`")
    left.grid(axis="y")
    left.legend(loc="center", bbox_to_anchor=(0.52, 0.7), fontsize=9)
    best = {}
    words = {True: "one's own parameters alone", False: "a mixture"}
    for values, color, name in ((train, TRAIN, "training rows"), (valid, VALID, "validation rows")):
        change = 1000 * (values - values[-1:])  # against: everything of its own
        band(right, 100 * shares, change, color, marker="o", label=name)
        best[name] = words[change.mean(1).argmin() == len(shares) - 1]
    right.axhline(0, color=INK, lw=0.8)
    right.set(xlabel="own share of the mixture, %", xticks=[0, 25, 50, 75, 100])
    right.set_title("loss against 100 %, thousandths")
    right.legend(fontsize=9)
    title = "Training rows favour {}, validation rows {}".format(*best.values())
    note = "Band: range over seeds. Right: one taste, the last round; the rest comes evenly from the others."
    alt = "; ".join(f"{name} end at {100 * end:.0f} % own weight" for name, end in ends.items())
    return finish(figure, title, note, f"Own weight by round, and loss by own share. {alt}. {note}")


@styled
def draw_harmed(points: Mapping[str, np.ndarray], odd: int, title: str) -> Figure:
    """What methods give to one odd client, and to the others: a dot per seed, a mark for the mean.

    points   {method: [S, N] test AUC in points, S seeds}; the first one is what both panels are held against
    odd      number of the odd client;  title: what it shows, in a sentence
    returns  Figure
    """
    methods, places = list(points), np.arange(len(points))
    figure = Figure(figsize=(8, 1.5 + 0.36 * len(methods)))
    panels = {"the odd client": [], "mean of the others": []}
    for values in points.values():
        values = np.asarray(values, float)
        panels["the odd client"].append(values[:, odd])
        panels["mean of the others"].append(np.delete(values, odd, 1).mean(1))
    alt = []
    limits = (20, 90), (65, 90)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, limit, (name, values) in zip(axes, limits, panels.items(), strict=True):
        values = np.array(values)  # [M, S]
        means = values.mean(1)
        alone = means[0]
        ax.axvline(alone, color=INK, lw=1)
        ax.axvspan(0, 50, color=GREY, alpha=0.15, lw=0)
        for place, own, mean in zip(places, values, means, strict=True):
            ax.plot(own, np.full(len(own), place), "o", ms=5, mfc="none", mec=GREY)
            ax.plot(mean, place, "D", ms=7, color=TRAIN if mean < alone - 2 else VALID)
            ax.text(1.02, place, f"{mean:.0f}", transform=ax.get_yaxis_transform(), va="center")
        ax.set(xlim=limit, ylim=(len(methods) - 0.5, -0.5), xlabel="test AUC, points")
        ax.set_title(name)
        ax.grid(axis="x")
        alt.append(f"{name}: " + ", ".join(f"{m} {v:.0f}" for m, v in zip(methods, means, strict=True)))
    figure.axes[0].set_yticks(places, methods)
    note = (
        f"Line: {methods[0]}. Circle: a seed, with data of its own. Orange: more than two points below the "
    )
    note += "line. Grey: worse than a coin."
    return finish(figure, title, note, f"Points by method. {'; '.join(alt)}. {note}")

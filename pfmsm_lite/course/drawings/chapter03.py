"""Drawings of chapter 03: three parts and their composition, the price of sharing, an upload."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from pfmsm_lite import compose
from pfmsm_lite.course.pipeline import HOME, SHARED
from pfmsm_lite.lab.heatmaps import heatmap
from pfmsm_lite.lab.style import DIVERGING, GREY, INK, finish, minus, styled

LINES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"))
LEVEL = 0.003  # of AUC: means that differ by less are called level; seeds differ by more


def _map(ax, values, title, edge):
    """A small matrix with its numbers, framed in the colour of what leaves or stays."""
    values = np.atleast_2d(values)
    texts = np.vectorize(lambda value: minus(f"{value:.3g}"))(values)
    heatmap(
        ax,
        values,
        DIVERGING,
        (-8, 8),
        texts,
        square=True,
        annot_kws={"fontsize": 11 if values.shape[1] < 3 else 8},
    )
    ax.set_title(title, fontsize=10)
    for spine in ax.spines.values():
        spine.set(visible=True, color=edge, linewidth=3)


@styled
def draw_template(kind: str, shared: torch.Tensor, local: torch.Tensor, task: torch.Tensor) -> Figure:
    """One layer of one expert: its three parts, and what they compose for one task.

    kind      an operator of TEMPLATES;  shared [O, I];  local, task [O, I], or [O + I] for rank1
    returns   Figure; blue frames leave the client, orange ones stay
    raises    UserError for an unknown kind
    """
    shared, local, task = (torch.as_tensor(part).float() for part in (shared, local, task))
    result = compose(kind, shared[None], local, task[None])[0, 0]
    figure = Figure(figsize=(8, 2.6))
    axes = figure.subplots(1, 4)
    sign = {"additive": "+", "none": " "}.get(kind, "×")
    _map(axes[0], shared.numpy(), "shared part\n(leaves)", SHARED)
    for ax, part, name in ((axes[1], local, "local"), (axes[2], task, "task")):
        words = f"{name}: 2 for rows,\n2 for columns" if kind == "rank1" else f"{sign} {name}\n"
        words += "not used" if kind == "none" else "(stays)" if kind != "rank1" else " (stays)"
        _map(ax, part.numpy(), words, GREY if kind == "none" else HOME)
    _map(axes[3], result.numpy(), "= the weight in use\n(stays)", INK)
    change = (result - shared).abs().numpy()
    count = int((change > 1e-6).sum())
    title = f"{kind}: {count} of the {change.size} weights in use differ from what leaves the client"
    note = "Blue frame: leaves the client. Orange frame: stays at home."
    return finish(figure, title, note, f"Four small matrices. The weight in use: {result.tolist()}. {note}")


def _verdict(steps, means):
    """Where the line of means is highest: at one step, or level from some step on."""
    high = [mean > max(means) - LEVEL for mean in means]
    first = high.index(True)
    if first < len(steps) - 1 and all(high[first:]):
        return f"level from “{steps[first]}” on"
    best = int(np.argmax(means))
    return f"best at “{steps[best]}”"


def _seeds(ax, place, found, color, marker):
    ax.plot([place] * len(found), found, marker, color=color, alpha=0.3, markersize=4)


@styled
def draw_sharing(
    aucs: Mapping[str, Mapping[str, Sequence[float]]],
    steps: Sequence[str],
    apart: Sequence[str] = (),
    only: str | None = None,
    shown: int | None = None,
) -> Figure:
    """AUC over how much is shared, from nothing to everything; a line per kind of data.

    aucs     name of the data → {step: list of AUCs, one per seed}
    steps    the steps in order, joined by a line;  apart: further ones, drawn beside them
    only     the one kind of data to draw;  shown: how many steps to draw. The axes stay those of all
    returns  Figure;  raises KeyError for a step without AUCs
    """
    figure = Figure(figsize=(8, 4.4))
    ax = figure.subplots()
    phrases, shown = [], shown or len(steps)
    for (name, found), (color, marker) in zip(aucs.items(), LINES, strict=False):
        if only not in (None, name):
            continue
        means = [np.mean(found[step]) for step in steps[:shown]]
        ax.plot(range(shown), means, marker=marker, color=color, label=name)
        for x, step in enumerate(steps[:shown]):
            _seeds(ax, x, found[step], color, marker)
        for x, step in enumerate(apart, len(steps)):
            _seeds(ax, x + 0.3, found[step], color, marker)
            style = {"marker": marker, "color": color, "markerfacecolor": "white", "ls": "none"}
            ax.plot(x + 0.3, np.mean(found[step]), markersize=8, **style)
        phrases.append(f"{name} {_verdict(steps[:shown], means)}")
    places = [*range(len(steps)), *(x + 0.3 for x in range(len(steps), len(steps) + len(apart)))]
    ax.set_xticks(places, ["\n".join(step.rsplit(" ", 1)) for step in (*steps, *apart)], fontsize=9)
    every = [auc for found in aucs.values() for step in (*steps, *apart) for auc in found[step]]
    ax.set(xlim=(-0.3, places[-1] + 0.3), ylim=(min(every) - 0.01, max(every) + 0.01))
    ax.set_ylabel("average test AUC")
    ax.grid(axis="y")
    ax.legend(loc="lower left")
    title = f"How much to share depends on the data: {'; '.join(phrases)}"
    note = (
        "Large marks: mean over seeds; small: single seeds. Hollow: off the line from nothing to everything."
    )
    return finish(figure, title, note, f"Lines over {len(steps)} steps of sharing. {note}")


@styled
def draw_upload(leaves: Mapping[str, int], stays: Mapping[str, int]) -> Figure:
    """Bytes of one client's model by name: what each round sends and what it never sends.

    leaves, stays  name → bytes
    returns        Figure;  raises ValueError where both are empty
    """
    if not leaves and not stays:
        raise ValueError("there is nothing to draw: no name leaves and none stays")
    entries = [*((n, b, SHARED) for n, b in leaves.items()), *((n, b, HOME) for n, b in stays.items())]
    figure = Figure(figsize=(8, 0.75 + 0.27 * len(entries) + 0.9))
    ax = figure.subplots()
    names, sizes, colors = zip(*entries, strict=True)
    bars = ax.barh(range(len(names)), [size / 1000 for size in sizes], color=colors)
    ax.bar_label(bars, [f"{size:,}" for size in sizes], padding=3, fontsize=9)
    ax.set_xlim(0, 1.1 * max(sizes) / 1000)
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("thousand bytes")
    sent, kept = sum(leaves.values()), sum(stays.values())
    title = f"Each round {sent:,} bytes leave the client, and {kept:,} stay at home"
    note = "Blue: sent to the server. Orange: stays. At a bar's end: its bytes, four per number."
    return finish(figure, title, note, f"Bars: {', '.join(f'{n} {b}' for n, b, _ in entries)}. {note}")

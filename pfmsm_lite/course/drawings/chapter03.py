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
def draw_template(kind: str, scenario: torch.Tensor, local: torch.Tensor, task: torch.Tensor) -> Figure:
    """One layer of one expert: its three parts, and what they compose for one task.

    kind      an operator of TEMPLATES;  scenario [O, I];  local, task [O, I], or [O + I] for rank1
    returns   Figure; blue frames leave the client, orange ones stay
    raises    UserError for an unknown kind
    """
    scenario, local, task = (torch.as_tensor(part).float() for part in (scenario, local, task))
    result = compose(kind, scenario[None], local, task[None])[0, 0]
    figure = Figure(figsize=(8, 2.6))
    axes = figure.subplots(1, 4)
    sign = {"additive": "+", "none": " "}.get(kind, "×")
    _map(axes[0], scenario.numpy(), "scenario\n(leaves)", SHARED)
    for ax, part, name in ((axes[1], local, "local"), (axes[2], task, "task")):
        words = f"{name}: 2 for rows,\n2 for columns" if kind == "rank1" else f"{sign} {name}\n"
        words += "not used" if kind == "none" else "(stays)" if kind != "rank1" else " (stays)"
        _map(ax, part.numpy(), words, GREY if kind == "none" else HOME)
    _map(axes[3], result.numpy(), "= the weight in use\n(stays)", INK)
    change = (result - scenario).abs().numpy()
    count = int((change > 1e-6).sum())
    title = (
        f"{kind}: local and task parts change {count} of {change.size} weights, by {change.max():.3g} at most"
    )
    note = "Blue frame: leaves the client. Orange frame: stays at home."
    return finish(figure, title, note, f"Four small matrices. The weight in use: {result.tolist()}. {note}")


def _verdict(steps, means):
    """Where the line of means ends up: at one best step before the last, or level from some step on."""
    high = [mean > max(means) - LEVEL for mean in means]
    last, first = len(steps) - 1, high.index(True)
    if first == last:
        return f"best at '{steps[last]}' ({means[last]:.3f})"
    if all(high[first:]):
        low, top = min(means[first:]), max(means[first:])
        return f"level from '{steps[first]}' on ({low:.3f} to {top:.3f})"
    best = int(np.argmax(means))
    return f"best at '{steps[best]}' ({means[best]:.3f}; '{steps[last]}' {means[last]:.3f})"


@styled
def draw_sharing(
    aucs: Mapping[str, Mapping[str, Sequence[float]]], steps: Sequence[str], apart: Sequence[str] = ()
) -> Figure:
    """AUC over how much is shared, from nothing to everything; a line per kind of data.

    aucs     name of the data → {step: list of AUCs, one per seed}
    steps    the steps in order, joined by a line;  apart: further ones, drawn beside them
    returns  Figure;  raises KeyError for a step without AUCs
    """
    figure = Figure(figsize=(8, 4.3))
    ax = figure.subplots()
    phrases = []
    for (name, found), (color, marker) in zip(aucs.items(), LINES, strict=False):
        means = [np.mean(found[step]) for step in steps]
        ax.plot(range(len(steps)), means, marker=marker, color=color, label=name)
        for x, step in enumerate([*steps, *apart]):
            place = x + (0.3 if step in apart else 0)
            ax.plot([place] * len(found[step]), found[step], marker, color=color, alpha=0.3, markersize=4)
        for x, step in enumerate(apart, len(steps)):
            style = {"marker": marker, "color": color, "markerfacecolor": "white", "ls": "none"}
            ax.plot(x + 0.3, np.mean(found[step]), markersize=8, **style)
        phrases.append(f"{name}: {_verdict(steps, means)}")
    places = [*range(len(steps)), *(x + 0.3 for x in range(len(steps), len(steps) + len(apart)))]
    ax.set_xticks(places, ["\n".join(step.rsplit(" ", 1)) for step in (*steps, *apart)], fontsize=9)
    ax.set_ylabel("average test AUC")
    ax.grid(axis="y")
    ax.legend(loc="best")
    note = (
        "Large marks: mean over seeds; small: single seeds. Hollow: off the line from nothing to everything."
    )
    return finish(figure, "; ".join(phrases), note, f"Lines over {len(steps)} steps of sharing. {note}")


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
    title = f"{sent:,} bytes leave the client per round, {kept:,} stay at home"
    note = "Blue: sent to the server. Orange: stays. At a bar's end: its bytes, four per number."
    return finish(figure, title, note, f"Bars: {', '.join(f'{n} {b}' for n, b, _ in entries)}. {note}")

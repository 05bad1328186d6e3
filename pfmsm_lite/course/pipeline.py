"""The map of the whole method: one drawing, the same everywhere, with the present stage lit."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from pfmsm_lite.coordination import coordinate
from pfmsm_lite.errors import choose
from pfmsm_lite.lab.heatmaps import heatmap
from pfmsm_lite.lab.style import INK, SEQUENTIAL, finish, styled

SHARED, HOME, EDGE = "#0072B2", "#E69F00", "#777777"
COLORS = (SHARED, "#D55E00", "#009E73")  # of three clients, at the server
UPDATES = ((-1.05, 0.05), (0.75, 0.7), (0.2, 1.0))  # theirs, on the map
TIMES = "⊙  multiplied entry by entry: the\n     three parts make an expert"
STAGES = {  # stage → what it does, in a few words
    "rows": "the rows of a scenario never leave it",
    "train": "every client trains an MMoE of its own",
    "upload": "blue parts are sent, orange parts stay at home",
    "normalize": "the same mean and\nspread of parameters\nfor every client",
    "coordinate": "every update is\nturned a little\ntowards the mean",
    "aggregate": "every client has\nits own mixture\nof all of them",
    "download": "every client receives its own mixture",
}
PARTS = (  # part of a model, width on the map, whether it is sent
    ("embedding", 7.0, True),
    ("expert:\nshared", 5.9, True),
    ("⊙ client", 5.2, False),
    ("⊙ task", 4.6, False),
    ("gate", 3.6, False),
    ("tower", 4.4, True),
)


@styled
def pipeline(
    weights: np.ndarray | None = None,
    lit: str | None = None,
    clients: Sequence[str] = ("scenario A", "scenario B", "scenario C"),
) -> Figure:
    """The pipeline of PF-MSMTrec from rows to download.

    weights  [N, N] who learns from whom, to draw as the aggregation; None: an example of three
    lit      a stage of STAGES; the others are faded. None: all are lit
    clients  names of three clients to show
    returns  Figure
    raises   UserError for an unknown stage; ValueError for weights that are no square matrix
    """
    if lit is not None:
        choose("stage", lit, STAGES)
    real = weights is not None
    weights = np.array(weights if real else [[0.7, 0.3, 0.0], [0.4, 0.6, 0.0], [0.0, 0.0, 1.0]], float)
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
        raise ValueError(f"weights have shape {weights.shape}, not one row and one column per client")

    figure = Figure(figsize=(10, 5.2), layout="none")
    board = figure.add_axes((0, 0, 1, 1), xlim=(0, 100), ylim=(0, 52))
    board.axis("off")
    faded = {stage: 1.0 if lit in (None, stage) else 0.18 for stage in STAGES}

    board.text(1, 45.2, "Clients", weight="bold", fontsize=12)
    _number(board, 11, 45.8, "rows", faded)
    _number(board, 20, 45.8, "train", faded)
    seen = max(faded["train"], faded["upload"])
    board.text(30, 6.1, TIMES, fontsize=8.5, va="top", linespacing=1.5, alpha=seen)
    for y, name in zip((32.5, 20.5, 8.5), clients, strict=True):
        _client(board, y, name, faded)
    board.text(54, 45.2, "Server", weight="bold", fontsize=12)
    shape = "round,pad=0,rounding_size=1"
    board.add_patch(FancyBboxPatch((54, 8.5), 45, 35, shape, fc="#f6f6f6", ec=EDGE, lw=0.8))
    for x, stage, draw in ((55, "normalize", _bells), (70, "coordinate", _arrows), (85, "aggregate", None)):
        panel = figure.add_axes(((x + 0.4) / 100, 0.37, 0.12, 0.36))
        panel.set_anchor("C")
        if draw:
            panel.axis("off")
            draw(panel, faded[stage])
        else:
            heatmap(panel, weights, SEQUENTIAL, (0, 1), square=True, alpha=faded[stage])
            panel.set_xlabel("learns from …", fontsize=8, alpha=faded[stage])
            panel.set_ylabel("client …", fontsize=8, alpha=faded[stage])
        _number(board, x + 1, 40.6, stage, faded)
        style = {"fontsize": 8.5, "alpha": faded[stage], "va": "top", "linespacing": 1.3}
        board.text(x + 0.3, 16.6, STAGES[stage], **style)

    for stage, ends, y in (("upload", ((42, 35), (53.5, 35)), 39), ("download", ((53.5, 15), (42, 15)), 11)):
        style = {"arrowstyle": "-|>", "mutation_scale": 18, "lw": 2.5, "color": SHARED}
        arrow = FancyArrowPatch(*ends, connectionstyle="arc3,rad=-0.15", alpha=faded[stage], **style)
        board.add_patch(arrow)
        _number(board, 43, y, stage, faded)
    for x, y, stage in ((1, 4.6, "rows"), (1, 2, "train"), (54, 4.6, "upload"), (54, 2, "download")):
        board.text(x, y, f"{_place(stage)}  {STAGES[stage]}", fontsize=9, alpha=faded[stage])
    text = "; ".join(f"{k}. {stage}: {what}" for k, (stage, what) in enumerate(STAGES.items(), 1))
    title = "PF-MSMTrec: rows stay, parameters travel, and every client gets a model of its own"
    if lit is not None:
        title = f"Where we are: {_place(lit)}. {lit}"
    return finish(figure, title, None, f"A round in seven stages. {text.replace(chr(10), ' ')}.")


def _place(stage):
    """The number of a stage, from 1."""
    return list(STAGES).index(stage) + 1


def _number(board, x, y, stage, faded):
    """A stage's number in a disc, and its name."""
    disc = {"boxstyle": "circle,pad=0.25", "fc": INK, "ec": "none", "alpha": faded[stage]}
    board.text(
        x, y, _place(stage), color="white", fontsize=8, weight="bold", ha="center", va="center", bbox=disc
    )
    style = {"fontsize": 11, "weight": "bold", "va": "center", "alpha": faded[stage]}
    board.text(x + 1.7, y - 0.1, stage, **style)


def _client(board, y, name, faded):
    """One client: a small table of rows, an arrow, the parts of its model."""
    shape = "round,pad=0,rounding_size=1"
    board.add_patch(FancyBboxPatch((1, y), 41, 11, shape, fc="white", ec=EDGE, lw=0.8))
    board.text(2, y + 8.6, name, fontsize=9.5)
    for row in range(4):
        for column in range(3):
            tint = "#d9d9d9" if column < 2 else ("#bbbbbb" if row % 2 else "#888888")
            place = (2.2 + 1.7 * column, y + 1.2 + 1.6 * row)
            board.add_patch(Rectangle(place, 1.5, 1.3, fc=tint, ec="none", alpha=faded["rows"]))
    style = {"arrowstyle": "-|>", "mutation_scale": 10, "color": EDGE, "alpha": faded["train"]}
    board.add_patch(FancyArrowPatch((7.6, y + 4.4), (10.4, y + 4.4), **style))
    x, seen = 10.8, max(faded["train"], faded["upload"])
    for part, width, sent in PARTS:
        fill = SHARED if sent else HOME
        board.add_patch(Rectangle((x, y + 1.5), width - 0.4, 5.6, fc=fill, ec="none", alpha=seen))
        style = {"fontsize": 7, "color": "white" if sent else "black", "alpha": seen}
        board.text(x + width / 2 - 0.2, y + 4.3, part, ha="center", va="center", **style)
        x += width


def _bells(ax, alpha):
    """Three distributions of parameters, above as uploaded, below after normalization."""
    x = np.linspace(-4, 4, 200)
    moments = tuple(zip((-1.6, 0.0, 1.5), (0.45, 1.0, 0.7), COLORS, strict=True))
    for mean, spread, color in moments:
        ax.plot(
            x, 1.25 + 0.4 * np.exp(-((x - mean) ** 2) / (2 * spread**2)) / spread, color=color, alpha=alpha
        )
    for shift, (_, _, color) in zip((-0.04, 0, 0.04), moments, strict=True):
        ax.plot(x, shift + 0.75 * np.exp(-(x**2) / 1.1), color=color, alpha=alpha)
    ax.annotate("", (0, 0.88), (0, 1.2), arrowprops={"arrowstyle": "-|>", "color": EDGE, "alpha": alpha})


def turned() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The clients' updates on the map: (before [3, 2], after coordination [3, 2], their mean [2])."""
    before = torch.tensor(UPDATES, dtype=torch.float64)
    mean = before.mean(0)
    return before.numpy(), coordinate(before, mean).numpy(), mean.numpy()


def _arrows(ax, alpha):
    """Every client's update before and after it is turned towards their mean, computed by the package."""
    ax.set(xlim=(-1.2, 1.2), ylim=(-0.55, 1.55))
    before, after, mean = turned()
    ends = [(end, color, ":", 1.4) for end, color in zip(before, COLORS, strict=True)]
    ends += [(end, color, "-", 2) for end, color in zip(after, COLORS, strict=True)]
    for end, color, line, width in (*ends, (mean, EDGE, "-", 4)):
        style = {"arrowstyle": "-|>", "mutation_scale": 11, "shrinkA": 0, "shrinkB": 0}
        ax.add_patch(FancyArrowPatch((0, 0), end, lw=width, color=color, ls=line, alpha=alpha, **style))
    words = "dotted: before\nsolid: after\ngrey: their mean"
    ax.text(0, -0.15, words, fontsize=8, ha="center", va="top", alpha=alpha)

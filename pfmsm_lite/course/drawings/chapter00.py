"""Drawing of chapter 00: who learns from whom, beside what the generator knows."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pfmsm_lite.lab.heatmaps import client_map, pairs
from pfmsm_lite.lab.style import DIVERGING, SEQUENTIAL, finish, minus, styled


@styled
def draw_beside_truth(
    weights: np.ndarray, relatedness: np.ndarray, clusters: Sequence, names: Sequence[str], at: int = 1
) -> Figure:
    """One round's weights beside the true relatedness of the scenarios, boxes around the true clusters.

    weights      [R, N, N] whose row says what one client's mixture is made of, after rounds 1 to R
    relatedness  [N, N] correlation of the scenarios' true rules;  clusters: N labels, sorted
    names        of the N clients;  at: a round
    """
    weights = np.asarray(weights, float)
    matrix, labels = weights[at - 1], list(clusters)
    mates, others = ((matrix * mask).sum() / len(labels) for mask in pairs(labels, len(labels)))

    figure = Figure(figsize=(7.4, 4.0))
    left, right = figure.subplots(1, 2)
    image = client_map(left, matrix, names, labels, SEQUENTIAL, (0, 1), lambda v: f"{100 * v:.0f}")
    left.set_title(f"learned, round {at}", fontweight="bold")
    left.set(xlabel="… learns from", ylabel="client …")
    bar = figure.colorbar(image, ax=left, shrink=0.65, aspect=22, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"])
    image = client_map(right, relatedness, names, labels, DIVERGING, (-1, 1), lambda v: minus(f"{v:.2f}"))
    right.set_title("true relatedness", fontweight="bold")
    bar = figure.colorbar(image, ax=right, shrink=0.65, aspect=22, ticks=[-1, 0, 1])
    bar.ax.set_yticklabels(["−1", "0", "1"])
    title = (
        f"Round {at} of {len(weights)}: of its mixture a client takes {100 * mates:.0f}\u00a0% from its true "
        f"cluster mates, {100 * others:.0f}\u00a0% from the other cluster"
    )
    note = "Boxes: true clusters. Left: rows add up to 100 %, a client's own share among them."
    top = [names[m] for m in (matrix - np.diag(np.diag(matrix))).argmax(1)]
    alt = "; ".join(f"{name} learns most from {source}" for name, source in zip(names, top, strict=True))
    return finish(figure, title, note, f"Two maps of {len(labels)} × {len(labels)} clients. {alt}. {note}")

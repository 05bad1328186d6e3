"""Chapter 19's figure on privacy: what noise costs."""

import pandas as pd
from matplotlib.figure import Figure

from pfmsm_lite.lab.style import band, finish, styled

DPI = 72  # small files
LEVELS = {"open": "open", "inf": "clipped", "10": "10", "3": "3", "1": "1"}
FIRST, SECOND = "#0072B2", "#D55E00"


@styled
def draw_price(table: pd.DataFrame) -> Figure:
    """What ε costs one method on one data set: AUC, cosines between clients, mixture weights.

    table  rows of epsilon.csv: epsilon, seed, auc_used, auc_sent, cosine_* and weight_*
    """
    panels = {
        "AUC on test rows": {"auc_used": "with the model at home", "auc_sent": "what is sent alone"},
        "cosine of updates": {"cosine_within": "same group", "cosine_across": "other group"},
        "mixture weight of another": {"weight_within": "same group", "weight_across": "other group"},
    }
    figure = Figure(figsize=(8.2, 3.0), dpi=DPI)
    there = [level for level in LEVELS if level in set(table["epsilon"])]
    for ax, (name, lines) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for (column, label), color in zip(lines.items(), (FIRST, SECOND), strict=True):
            wide = table.pivot(index="epsilon", columns="seed", values=column).loc[there]
            if wide.notna().any(axis=None):
                band(ax, range(len(there)), wide.to_numpy(), color, label=label, marker="o")
        ax.set_xticks(range(len(there)), [LEVELS[level] for level in there])
        ax.set(xlabel="ε")
        ax.margins(y=0.3)  # room for the legend
        ax.set_title(name)
        ax.legend(fontsize=8)
    mean = table.groupby("epsilon")[["cosine_within", "auc_sent", "auc_used"]].mean()
    worst = there[-1] if there[-1] not in ("open", "inf") else there[0]
    before, after = mean.loc[there[0], "cosine_within"], mean.loc[worst, "cosine_within"]
    title = (
        f"Noise leaves little of the cosines: {before:.2f} in the open, {after:.2f} at ε = {LEVELS[worst]}; "
        f"what is sent falls to an AUC of {mean.loc[worst, 'auc_sent']:.2f}"
    )
    note = f"Lines: means of {table['seed'].nunique()} seeds, each with data of its own; bands: their range."
    alt = "Three panels over falling ε. What is sent falls to guessing, what is used less. "
    return finish(
        figure, title, note, f"{alt}Cosines fall to near zero, and the two groups become alike. {note}"
    )

"""Privacy on the results page: what leaves, what can be read from it, what bounds cost."""

import numpy as np
import pandas as pd

from pfmsm_lite.lab.markdown import grid, interval, section
from pfmsm_lite.lab.statistics import paired

DATA = {"synthetic": "generated rows", "kuairand": "KuaiRand"}
LEVELS = {"open": "in the open", "inf": "clipped, no noise", "10": "ε = 10", "3": "ε = 3", "1": "ε = 1"}


def table(folder, name):
    """A file of `lab.privacy`, or None where it was not measured; ε as text."""
    file = folder / "privacy" / f"{name}.csv"
    return pd.read_csv(file, dtype={"epsilon": str}) if file.exists() else None


def _shown(value, digits):
    """A number, or a dash where there is none: KuaiRand's groups are not known."""
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def _epsilon(folder):
    found, parts = table(folder, "epsilon"), []
    for data, own in () if found is None else found.groupby("data", sort=False):
        rows = []
        for (method, level), cell in own.groupby(["method", "epsilon"], sort=False):
            mean = cell.mean(numeric_only=True)
            rows.append(
                (f"`{method}`", LEVELS[level], len(cell), f"{mean.noise:.2f}", f"{mean.auc_used:.4f}",
                 f"{mean.auc_sent:.4f}", _shown(mean.cosine_within, 2), _shown(mean.cosine_across, 2),
                 _shown(mean.weight_within, 3), _shown(mean.weight_across, 3))
            )  # fmt: skip
        head = ["method", "clients", "seeds", "noise", "AUC of what is used", "AUC of what is sent",
                "cosine, own group", "cosine, others", "weight, own group", "weight, others"]  # fmt: skip
        parts += [f"### AUC, cosines and mixture weights against ε: {DATA[data]}", grid(head, rows)]
    return parts


def _members(folder):
    found = table(folder, "membership")
    if found is None:
        return []
    seeds = found.groupby(["data", "method", "epsilon", "attacker", "seed"], sort=False)["auc"].mean()
    rows = []
    for (data, method, level, attacker), own in seeds.groupby(level=[0, 1, 2, 3], sort=False):
        away = paired(own.to_numpy(), [0.5] * len(own))
        who = DATA[data], f"`{method}`", LEVELS[level], attacker
        rows.append((*who, interval(away.difference, away.low, away.high)))
    head = ["data", "method", "clients", "attacker", "AUC of the attack minus 50, points"]
    said = (
        "The attacker tells training rows from test rows. KuaiRand's test rows are of later days, so part of "
        "its success there may be the days."
    )
    return ["### Was this row trained on? By its loss", grid(head, rows), said]


def _entries(folder):
    found = table(folder, "entries")
    if found is None:
        return []
    mean = found.groupby(["entries", "epsilon", "way"], sort=False).mean(numeric_only=True)
    rows = [
        (
            f"`{kind}`",
            LEVELS[level],
            way,
            f"{own.precision:.2f}",
            f"{own.recall:.2f}",
            f"{own.auc:.2f}",
            f"{own.base:.2f}",
        )
        for (kind, level, way), own in mean.iterrows()
    ]
    head = ["`--entries`", "clients", "what is looked at", "precision", "recall", "AUC", "share in use"]
    return ["### Which entries do a client's rows name? From one upload", grid(head, rows)]


def _labels(folder):
    found = table(folder, "labels")
    if found is None:
        return []
    keys = ["rounds_before", "attack", "epsilon"]
    mean = found.groupby([*keys, "rows"], sort=False)["exact"].mean().unstack("rows")
    rows = [
        (before, attack, LEVELS[level], *(f"{value:.2f}" for value in own))
        for (before, attack, level), own in mean.iterrows()
    ]
    head = ["rounds before", "from", "clients", *(f"{size} row{'s' * (size > 1)}" for size in mean.columns)]
    said = (
        "In the open a client adds its base rate at home, which the server does not know: that spoils the "
        "count. A private client leaves it out, so clipping alone hides nothing; the noise has to."
    )
    return [
        "### How many rows of a mini-batch are positive? Counted exactly, share of tries",
        grid(head, rows),
        said,
    ]


def _switches(folder):
    found = table(folder, "switches")
    if found is None:
        return []
    usual, rows = found[found["switch"] == "as declared"].set_index("seed"), []
    for name, own in found.groupby("switch", sort=False):
        own = own.set_index("seed")
        seeds = own.index.intersection(usual.index)
        cost = paired(own.loc[seeds, "auc"].to_numpy(), usual.loc[seeds, "auc"].to_numpy())
        lead = "" if name == "as declared" else interval(cost.difference, cost.low, cost.high)
        sizes = [f"{own[way].mean() / 1000:,.0f}" for way in ("first", "up", "down")]
        rows.append((name, len(seeds), f"{own['auc'].mean():.4f}", lead, *sizes))
    last = paired(usual["auc_last"].to_numpy(), usual["auc"].to_numpy())
    gap = interval(last.difference, last.low, last.high)
    said = f"Without validation rows the last round has to do: {gap} points."
    head = ["switch", "seeds", "test AUC", "points over as declared", "kB first", "kB up", "kB down"]
    return ["### What a switch costs: a client's AUC and bytes per round", grid(head, rows), said]


def privacy(folder):
    """Everything that `lab.privacy` measured; "" where nothing was."""
    parts = [*_epsilon(folder), *_entries(folder), *_members(folder), *_labels(folder), *_switches(folder)]
    if not parts:
        return ""
    how = (
        "`python -m pfmsm_lite.lab.privacy`. Synthetic data of 1,200, 600 and 300 rows, twice, new with "
        "each seed; of KuaiRand 2,000 training rows of each tab, drawn anew. 6 rounds; δ = 1e-5, ε for a "
        "row, all rounds. *What is used*: with the model at home, which trains in the open and never leaves. "
        "*What is sent*: the shared model. Cosines are means over rounds and experts, weights those of the "
        "last round; both of other clients. Attacks that fail are listed, too: a stronger one may not. "
        "Files: [privacy](privacy)."
    )
    return section("Privacy: what leaves, what it tells, what noise costs", how, *parts)

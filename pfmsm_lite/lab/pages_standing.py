"""A comparison on the results page: the best set, harm, probabilities, equal gradient steps."""

import numpy as np
import pandas as pd

from pfmsm_lite.lab.markdown import config, grid, interval, signed, source
from pfmsm_lite.methods import METHODS


def standing(folder, name, title):
    """One comparison with intervals over seeds and test rows, the best set, harm and probabilities."""
    found = pd.read_csv(folder / name / "compare.csv")
    reference = next(
        iter(found.loc[found["difference"].isna() & found["best_set"].notna(), "method"]), "local"
    )
    rows = [
        (
            _named(row.method, row.best_set), f"{row.auc:.4f}", f"{row.auc_by_rows:.4f}",
            interval(row.difference, row.low, row.high),
            "" if np.isnan(row.worst) else f"{row.worst_client} {signed(row.worst, 1)}",
            "" if np.isnan(row.worst) else f"{row.below:.0f} ({row.below_1:.0f})",
            *("" if np.isnan(x) else f"{x:.3f}"
              for x in (row.logloss, row.normalized_entropy, row.calibration_error)),
            *_costs(row),
        )
        for row in found.itertuples()
    ]  # fmt: skip
    head = [
        "method", "test AUC", "weighted by rows", f"points over {reference}", "worst client over local",
        "below local (by > 1)", "log loss", "NE", "ECE", "kB up", "kB kept", "s", "best round", "setting",
    ]  # fmt: skip
    said = (folder / name / "protocol.txt").read_text(encoding="utf-8").splitlines()
    parts = [
        f"### {title}",
        "Methods with a * cannot be told apart from the best. kB up: what a client uploads in a round; kB "
        "kept: its parameters; s: seconds of training of all clients; setting: what the search chose.",
        grid(head, rows),
        "\n".join(f"- {sentence}" for sentence in said),
        _equal_steps(folder / name / "equal_steps.csv", found),
        source(folder, name),
        config(folder, name).get("note", ""),
    ]
    return "\n\n".join(part for part in parts if part)


def _named(method, best):
    return f"{method} *" if best == 1 else method


def _costs(row):
    """What a method sends, keeps and takes, and its setting; empty for the constant."""
    if np.isnan(row.stored_kb):
        return [""] * 5
    sent = "its rows" if METHODS[row.method].pooled else f"{row.sent_kb:,.0f}"
    return [sent, f"{row.stored_kb:,.0f}", f"{row.seconds:,.0f}", f"{row.best_round:.1f}", row.setting]


def _equal_steps(file, found):
    """The methods that have fewer rounds where all take as many gradient steps."""
    if not file.exists():
        return ""
    equal, whole = pd.read_csv(file).set_index("method"), found.set_index("method")
    own = equal[equal["epochs"] > equal["epochs"].min()]
    rows = [
        (_named(row.Index, row.best_set), f"{row.epochs:.0f}",
         f"{whole['auc'][row.Index]:.4f}", f"{row.auc:.4f}", interval(row.difference, row.low, row.high))
        for row in own.itertuples()
    ]  # fmt: skip
    head = ["at equal gradient steps", "epochs per round", "AUC at full length", "AUC",
            "points over the same"]  # fmt: skip
    return grid(head, rows)

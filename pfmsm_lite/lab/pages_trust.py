"""What honest clients lose to hostile ones, on the results page: the table of `trust`, and what it says."""

import pandas as pd

from pfmsm_lite.lab.markdown import grid, interval, section, signed, source
from pfmsm_lite.lab.trust import BOUND, COST, DEFAULT, GONE, NOBODY, ROUNDS, ROWS, cost

NAME = "trust"
HEAD = ["hostile", "attack", "method", "AUC of the honest", "they lose, points", "worst seed"]


def trust(folder):
    """The table of `trust`; "" where it was not run."""
    file = folder / NAME / "trust.csv"
    if not file.exists():
        return ""
    table = pd.read_csv(file, keep_default_na=False, na_values=[""])  # an attack is called nan
    return section(
        "What hostile clients do",
        f"Generated data of clients with {ROWS} rows each, {table['seeds'].max()} seeds with data of their "
        f"own, {ROUNDS} rounds. What the honest clients lose is counted against the same training without "
        f"the hostile clients, so that missing rows are nobody's fault. `{DEFAULT}` is the declared defence: "
        "`pf_msmtrec` with the server's check `screen` and a median for embedding entries. It was settled on "
        "other seeds. An upload with NaN or 1e30 is always refused: then the hostile clients are not there.",
        grid(HEAD, _rows(table)),
        _said(table),
        source(folder, NAME),
    )


def _attacked(table):
    return table[~table["attack"].isin([GONE, NOBODY])]


def _rows(table):
    found = []
    for row in _attacked(table).itertuples():
        lost = interval(row.lost, row.low, row.high)
        found.append((row.case, row.attack, f"`{row.method}`", f"{row.auc:.4f}", lost, signed(row.worst)))
    return found


def _said(table):
    """How many of the goals are met, in words."""
    own = _attacked(table[table["method"] == DEFAULT])
    kept, most = int((own["lost"] <= BOUND).sum()), own.loc[own["lost"].idxmax()]
    calm = cost(table)
    verdict = "kept" if calm <= COST else "missed"
    return (
        f"Two goals were set: under each attack the honest lose at most {BOUND} points, and without one the "
        f"defence costs at most {COST}. By the means `{DEFAULT}` keeps the first in {kept} of {len(own)} "
        f"cases; most is lost to `{most.attack}` ({most.case}): {most.lost:.2f} points. Without an attack it "
        f"costs {signed(calm)} points against `pf_msmtrec`: the second goal is {verdict}."
    )

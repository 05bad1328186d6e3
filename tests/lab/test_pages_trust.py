"""What hostile clients do, on the results page: its counts as the table has them."""

from pathlib import Path

import pandas as pd
import pytest

from pfmsm_lite.lab.pages_trust import trust
from pfmsm_lite.lab.trust import BOUND, COST, DEFAULT, GONE, NOBODY, cost, losses

KEPT = Path(__file__).parents[2] / "notebooks" / "results"


def read(name):
    return pd.read_csv(KEPT / "trust" / name, keep_default_na=False, na_values=[""])


def test_the_committed_table_is_that_of_the_committed_results():
    found, kept = losses(read("results.csv")), read("trust.csv")
    assert list(found["attack"]) == list(kept["attack"]) and GONE in set(kept["attack"])
    for name in ("auc", "lost", "worst", "lost_all"):
        assert found[name].to_numpy() == pytest.approx(kept[name].to_numpy(), abs=1e-6, nan_ok=True), name


def test_the_page_counts_the_goals_that_are_kept():
    table = read("trust.csv")
    own = table[(table["method"] == DEFAULT) & ~table["attack"].isin([NOBODY, GONE])]
    text = trust(KEPT)
    assert f"in {(own['lost'] <= BOUND).sum()} of {len(own)} cases" in text
    assert f"lost to `{own.loc[own['lost'].idxmax(), 'attack']}`" in text
    assert f"the second goal is {'kept' if cost(table) <= COST else 'missed'}" in text
    assert trust(KEPT / "nowhere") == ""

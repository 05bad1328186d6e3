"""PMTRec's two worlds: the same room for every arm, what is chosen, a run that goes on, the committed run."""

import json
from pathlib import Path

import pandas as pd
import pytest

from pfmsm_lite.lab import pmtrec as worlds
from pfmsm_lite.rivals.pmtrec import ARMS

KEPT = Path(__file__).parents[2] / "notebooks" / "results" / "pmtrec"


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_may_try_ten_settings_and_only_what_it_does_not_fix(arm):
    found = worlds.trials(arm)
    assert len({json.dumps(settings) for settings in found}) == len(found) == 10
    free = {"alpha": ARMS[arm].alpha is None, "temperature": ARMS[arm].temperature is None}
    knobs = {"learning_rate", *(name for name, is_free in free.items() if is_free)}
    assert all(set(settings) == knobs for settings in found)


def test_what_is_chosen_is_best_on_average_over_seeds():
    lines = [
        ("a", 0.1, 0, 0.9),
        ("a", 0.1, 1, 0.1),
        ("a", 0.2, 0, 0.6),
        ("a", 0.2, 1, 0.6),
        ("b", 0.1, 0, 0.3),
    ]
    table = pd.DataFrame(lines, columns=["arm", "learning_rate", "seed", "valid"])
    found = worlds.chosen(table.assign(world="w", encoder="e", alpha=float("nan"), temperature=1.0))
    assert found.set_index("arm")["learning_rate"].to_dict() == {"a": 0.2, "b": 0.1}


def test_a_run_writes_its_tables_and_goes_on_where_it_was(tmp_path, monkeypatch, capfd):
    class Pool:
        """Works here, so that `cell` can be replaced."""

        def __init__(self, processes):
            pass

        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *told: None  # noqa: E731
        imap = staticmethod(map)

    asked = []

    def cell(job):
        asked.append(job)
        if len(asked) == 7:
            raise KeyboardInterrupt
        name, encoder, arm, seed, settings = job
        plain = {"world": name, "encoder": encoder, "arm": arm, "seed": seed, **settings, "best": 1}
        return {**plain, "valid": settings["learning_rate"], "ndcg@20": 0.5}

    monkeypatch.setattr(worlds, "get_context", lambda kind: type("Context", (), {"Pool": Pool}))
    monkeypatch.setattr(worlds, "cell", cell)
    with pytest.raises(KeyboardInterrupt):
        worlds.main(["--out", str(tmp_path)])
    assert len((tmp_path / "cells.jsonl").read_text().splitlines()) == 6
    worlds.main(["--out", str(tmp_path)])
    places = 2 * 2 * len(ARMS)
    assert len(asked) == 1 + 10 * places + len(worlds.SEEDS) * places  # nothing twice but what failed
    runs = pd.read_csv(tmp_path / "runs.csv")
    assert len(runs) == 5 * places and (runs.groupby("arm")["learning_rate"].nunique() == 1).all()
    assert runs.query("arm == 'equal'")["learning_rate"].eq(0.5).all()  # the largest was scored best


def test_the_committed_run_used_what_its_search_chose():
    searched, runs = (pd.read_csv(KEPT / f"{name}.csv") for name in ("settings", "runs"))
    best = worlds.chosen(searched).set_index(worlds.KEYS).sort_index()
    used = runs.groupby(worlds.KEYS)[["learning_rate", "alpha", "temperature"]]
    assert (used.nunique() <= 1).all().all()
    pd.testing.assert_frame_equal(used.first(), best[["learning_rate", "alpha", "temperature"]])
    assert (searched.groupby(worlds.KEYS).size() == 10 * len(worlds.SEARCHED)).all()
    assert (runs.groupby(worlds.KEYS)["seed"].apply(sorted).map(tuple) == worlds.SEEDS).all()
    assert not set(searched["seed"]) & set(runs["seed"])


def test_a_cell_of_the_committed_run_comes_out_again():
    runs = pd.read_csv(KEPT / "runs.csv")
    row = runs.loc[runs["best"].idxmin()]
    settings = row[["learning_rate", "alpha", "temperature"]].dropna().to_dict()
    again = worlds.cell((*row[worlds.KEYS], int(row["seed"]), settings))
    assert again["ndcg@20"] == pytest.approx(row["ndcg@20"], abs=0.02)  # another machine rounds otherwise
    assert again["valid"] == pytest.approx(row["valid"], abs=0.02)

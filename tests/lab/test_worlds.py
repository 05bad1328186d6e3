"""The worlds: regret and the worst client by hand, the command from end to end, what it says of bad input."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import worlds
from pfmsm_lite.lab.cli import main, parser
from pfmsm_lite.lab.worlds import COLUMNS, WORLDS, YARDSTICKS, checked, printed, regrets

TINY = {"fields": {"user": 20, "item": 10}, "test_rows": 60}


def lines(aucs, split="test", world="w"):
    """{method: {scenario: [AUC of each seed]}} → results."""
    return pd.DataFrame(
        [
            (world, method, seed, scenario, "click", split, auc)
            for method, own in aucs.items()
            for scenario, values in own.items()
            for seed, auc in enumerate(values)
        ],
        columns=["world", "method", "seed", "scenario", "task", "split", "auc"],
    )


BY_HAND = {
    "local": {"a": [0.70, 0.72], "b": [0.60, 0.62]},  # 0.65, 0.67
    "fedavg_sum": {"a": [0.80, 0.82], "b": [0.50, 0.54]},  # 0.65, 0.68: the best
    "mine": {"a": [0.775, 0.795], "b": [0.585, 0.625]},  # 0.68, 0.71; b loses half a point
}


def test_regret_is_against_the_best_yardstick_and_the_worst_client_against_local():
    found = regrets(pd.concat([lines(BY_HAND), lines(BY_HAND, "valid")])).set_index("method")
    assert list(found.reset_index().columns) == ["method", *[c for c in COLUMNS if c != "method"]]
    gaps = np.array([-0.03, -0.03])
    assert found["regret"]["mine"] == pytest.approx(100 * gaps.mean())
    low, high = stats.t.interval(0.95, 1, loc=0.5, scale=stats.sem([0.0, 1.0]))
    assert found.loc["local", ["regret", "low", "high"]].tolist() == pytest.approx([0.5, low, high])
    assert found["worst_client"]["mine"] == "b" and found["worst"]["mine"] == pytest.approx(-0.5)
    assert found["worst_client"]["fedavg_sum"] == "b" and found["worst"]["fedavg_sum"] == pytest.approx(-9.0)
    assert found["losing"].to_dict() == {"local": 0, "fedavg_sum": 1, "mine": 0}
    assert found["valid_auc"]["mine"] == pytest.approx(0.695) and (found["clients"] == 2).all()


def test_each_world_has_a_best_of_its_own_and_a_method_of_ours_is_never_it():
    other = {name: {"a": [0.9, 0.9]} for name in ("local", "mine")}
    both = [(BY_HAND, "w"), (other, "v")]
    found = regrets(pd.concat([lines(own, split, w) for own, w in both for split in ("test", "valid")]))
    by_world = found.set_index(["world", "method"])["regret"]
    assert by_world["v", "mine"] == pytest.approx(0) and by_world["w", "mine"] < 0
    assert "+0.00" in printed(found) and "-3.00" in printed(found)


def test_the_command_from_end_to_end_and_taken_up_again(tmp_path, monkeypatch, capsys):
    small = {"one": {**TINY, "sizes": [60, 80]}, "two": {**TINY, "sizes": [50] * 3, "relatedness": [0] * 3}}
    monkeypatch.setattr(worlds, "WORLDS", small)
    words = ["worlds", "--seeds", "2", "--rounds", "1", "--out", str(tmp_path / "w")]
    assert main(words) == 0
    table = pd.read_csv(tmp_path / "w" / "worlds.csv")
    assert list(table.columns) == list(COLUMNS)
    assert set(table["world"]) == {"one", "two"} and set(table["method"]) == {*YARDSTICKS, "pf_msmtrec"}
    assert table.groupby("world")["clients"].first().to_dict() == {"one": 2, "two": 3}
    assert (table[table["method"] == "local"]["worst"] == 0).all() and (table["seeds"] == 2).all()
    told = capsys.readouterr().out
    assert "worst client over local" in told and "in each world" in told
    assert "methods ×" not in told  # of the default world, which nobody trains
    before = (tmp_path / "w" / "worlds.csv").read_bytes()
    (tmp_path / "w" / "worlds.csv").unlink()
    assert main(["worlds", "--resume", str(tmp_path / "w")]) == 0
    assert (tmp_path / "w" / "worlds.csv").read_bytes() == before


def test_unknown_worlds_and_methods_are_refused_by_name():
    given = vars(parser().parse_args(["worlds", "--worlds", "9"]))
    with pytest.raises(UserError, match="--worlds '9'"):
        checked(given)
    with pytest.raises(UserError, match="Unknown method 'pf'"):
        checked({**given, "worlds": None, "methods": ["pf"]})


def test_the_worlds_are_those_of_which_something_is_claimed():
    assert len(WORLDS) == 6 and all("seed" not in knobs for knobs in WORLDS.values())

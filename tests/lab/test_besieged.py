"""The command `trust`: what it trains, what it keeps, what it refuses; its losses by hand."""

import pandas as pd
import pytest

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.cli import main
from pfmsm_lite.lab.trust import DEFAULT, GONE, NOBODY, checked, losses


def arguments(**given):
    return {"seeds": 1, "methods": None, "attacks": None, "cases": None, **given}


def test_an_unknown_attack_case_or_method_is_refused():
    for given in ({"attacks": ["flop"]}, {"cases": ["4"]}, {"methods": ["fedavgg"]}, {"seeds": 0}):
        with pytest.raises(UserError):
            checked(arguments(**given))
    found = checked(arguments(attacks=["flip"], methods=["fedavg"]))
    assert found["attacks"] == [NOBODY, GONE, "flip"] and found["methods"] == [DEFAULT, "fedavg"]


def line(attack, scenario, auc, seed=0):
    return ("2 of 6", "m", attack, "" if attack == NOBODY else "s0 s3", seed, scenario, "click", auc)


def test_what_the_honest_lose_by_hand():
    rows = [
        *(line(NOBODY, name, auc) for name, auc in (("s0", 0.9), ("s1", 0.8), ("s2", 0.7))),
        *(line(GONE, name, auc) for name, auc in (("s0", 0.1), ("s1", 0.78), ("s2", 0.68))),
        *(line("flip", name, auc) for name, auc in (("s0", 0.9), ("s1", 0.76), ("s2", 0.69))),
    ]
    names = ["case", "method", "attack", "hostile", "seed", "scenario", "task", "auc"]
    found = losses(pd.DataFrame(rows, columns=names)).set_index("attack")
    assert found.loc["flip", "auc"] == pytest.approx(0.725)  # s1 and s2: s0 is hostile
    assert found.loc["flip", "lost"] == pytest.approx(0.5)  # against 0.73 without the hostile client


def test_the_command_keeps_its_tables_and_goes_on_without_training_again(tmp_path, capsys):
    """Slow, some seconds: six small trainings."""
    out = tmp_path / "out"
    words = [
        "trust",
        "--cases",
        "2",
        "--attacks",
        "flip",
        "--methods",
        "fedavg",
        "--seeds",
        "1",
        "--rounds",
        "1",
    ]
    assert main([*words, "--processes", "1", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "6 trainings: robust_pf, fedavg, under each attack" in told and "6 of 6 trainings are done" in told
    assert "methods ×" not in told  # of the default world, which nobody trains
    table = pd.read_csv(out / "trust.csv", keep_default_na=False)
    assert set(table["attack"]) == {NOBODY, GONE, "flip"} and set(table["method"]) == {DEFAULT, "fedavg"}
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert len(before) == 6 and main(["trust", "--resume", str(out)]) == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == before

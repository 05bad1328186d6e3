"""Each client's own best round, against one training that is looked at from outside."""

import math

import pytest

from pfmsm_lite import METHODS, Federation, Settings
from pfmsm_lite.data import synthetic
from pfmsm_lite.history import average_auc
from pfmsm_lite.lab import own_round
from pfmsm_lite.lab.own_round import own_rounds
from pfmsm_lite.lab.statistics import results_of

SMALL = Settings(experts=2, hidden=(8, 8), tower=8, learning_rate=6e-2)


@pytest.mark.parametrize("method", ["local", "pf_msmtrec"])
def test_each_client_has_the_lines_of_the_round_that_its_own_validation_rows_choose(method):
    scenarios, _ = synthetic((400, 60, 30), test_rows=200, seed=1)
    told = []
    kept = own_rounds(scenarios, METHODS[method], 8, 2, SMALL, lambda *said: told.append(said[:2]))
    federation, scores = Federation(scenarios, METHODS[method], SMALL, 2), {}
    for number in range(1, 9):
        federation.serve(federation.train(number)[2])
        federation.personalize()
        for client in federation.clients:
            scores[client.name, number] = client.evaluate("valid"), client.evaluate("test")
    found, chosen = results_of([kept]), []
    for name in ("s0", "s1", "s2"):
        best = max(range(1, 9), key=lambda k: average_auc(scores[name, k][0]))
        chosen.append(best)
        own = found[found["scenario"] == name]
        for split, lines in zip(("valid", "test"), scores[name, best], strict=True):
            assert own[own["split"] == split]["auc"].tolist() == pytest.approx([line[4] for line in lines])
    assert len(set(chosen)) > 1, "the clients choose one round: this world shows nothing"
    assert kept["best_round"] == pytest.approx(sum(chosen) / 3) and kept["rounds"] == 8
    assert told == [(k, 8) for k in range(1, 9)]


def test_a_client_without_an_auc_has_lines_all_the_same(monkeypatch):
    scenarios, _ = synthetic((40, 40), test_rows=20, seed=0)
    monkeypatch.setattr(own_round, "average_auc", lambda lines: math.nan)
    kept = own_rounds(scenarios, METHODS["local"], 2, 0, SMALL)
    assert kept["best_round"] == 1 and set(results_of([kept])["scenario"]) == {"s0", "s1"}

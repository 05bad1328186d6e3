"""Chapter 09: its solutions pass, its likeliest mistakes get the hint that is meant for them; its table."""

from dataclasses import replace

import torch
from solving import exercise_tests

from pfmsm_lite.aggregation import cosines
from pfmsm_lite.course.shops import ROWS, SHOPS, shop_log
from pfmsm_lite.methods import METHODS

PF = METHODS["pf_msmtrec"]


def made(weigh, normal=True):
    """A rule from (cosines, rows) → weights."""

    def rule(exchange, method):
        found = weigh(cosines(exchange.gram), exchange.rows)
        return (found / found.sum(-1, keepdim=True) if normal else found), {}

    return rule


WRONG = [
    ("ex1", "fedavg", "asked for is a shop"),
    ("ex1", "west", "deepest red"),
    ("ex2", lambda exchange, method: cosines(exchange.gram), "returns two things"),
    ("ex2", lambda exchange, method: (torch.ones(3, 3) / 3, {}), "must be [U, N, N]"),
    ("ex2", made(lambda cosine, rows: cosine * rows, normal=False), "negative"),
    ("ex2", made(lambda cosine, rows: (cosine > 0) * rows, normal=False), "sum to one"),
    ("ex2", made(lambda cosine, rows: (cosine > 0) * 1.0), "by their rows"),
    ("ex2", made(lambda cosine, rows: torch.ones_like(cosine) * rows), "no friends"),
    ("ex2", made(lambda cosine, rows: 1.0 - torch.eye(3)[None]), "its own friend"),
    ("ex3", "pf_msmtrec", "expected a Method"),
    ("ex3", replace(PF, name="x"), "still leaves home"),
    ("ex3", METHODS["local"], "change one thing only"),
]
test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("09", WRONG)


def test_the_log_is_as_messy_as_it_says():
    log = shop_log(seed=3)
    assert set(log["shop"]) == set(SHOPS) and not log["order"].duplicated().any()
    assert log["days_to_delivery"].notna().sum() >= log["bought"].eq(1).sum()
    assert 0.01 < log["bought"].isna().mean() < 0.03
    assert log["shop"].value_counts().index[-1] == "kiosk" and len(log) > sum(ROWS)
    assert log["shop"].head(50).nunique() > 2  # in mixed order

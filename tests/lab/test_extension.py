"""Lists that go on where an end wins: the rule on toy lists, and as many settings for every method."""

import pytest

from pfmsm_lite import METHODS, Settings
from pfmsm_lite.lab.extension import ends, extended, lists_of, next_value, said
from pfmsm_lite.lab.search import candidates, with_setting

CHOSEN = [METHODS[name] for name in ("local", "fedavg_sum", "fedprox", "boosted_tree")]


@pytest.mark.parametrize(
    ("field", "values", "lower", "upper"),
    [
        ("learning_rate", (1e-3, 3e-3, 1e-2), 3e-4, 3e-2),
        ("server_step", (1.0, 1.5), 0.7, 2.0),
        ("proximal", (0.001, 0.01, 0.1, 1.0), 1e-4, 10.0),
        ("proximal", (0.0, 0.01, 0.1), None, 1.0),  # below 0 there is nothing
        ("weight_decay", (0.0, 1e-4), None, 1e-3),
        ("radius", (0.2, 0.4, 0.6), 0.0, 0.8),  # a share goes on by its difference
        ("self_weight", (0.3, 0.5), 0.1, 0.7),
        ("unknown_rate", (0.0, 0.3, 0.5), None, 0.7),
        ("unknown_rate", (0.3, 0.5, 0.9), 0.1, None),  # 1.3 is no share
        ("clusters", (0, 2), None, 3),  # 0 means as many as there seem to be: no factor leads from it
        ("clusters", (0, 2, 3), None, 4),
        ("leaves", (7, 15, 31, 63), 3, 100),
    ],
)
def test_a_list_goes_on_by_its_own_step_within_the_bounds_of_the_field(field, values, lower, upper):
    assert next_value(field, values, upper=False) == (pytest.approx(lower) if lower is not None else None)
    assert next_value(field, values, upper=True) == (pytest.approx(upper) if upper is not None else None)
    assert next_value(field, values[::-1], upper=True) == next_value(field, values, upper=True)


def test_an_end_wins_only_where_another_value_was_tried():
    method, lists = METHODS["fedavg_sum"], {"server_step": (1.0, 1.5), "learning_rate": (1e-3, 3e-3, 1e-2)}
    tried = {0: {}, 1: {"server_step": 1.5}, 2: {"learning_rate": 1e-2}}
    assert ends(method, Settings(), lists, tried, 0) == [("server_step", False)]  # 1.0, as declared
    assert ends(method, Settings(), lists, tried, 1) == [("server_step", True)]
    assert ends(method, Settings(), lists, tried, 2) == [("server_step", False), ("learning_rate", True)]
    assert ends(method, Settings(), lists, {0: {}, 2: {"learning_rate": 1e-2}}, 2) == [
        ("learning_rate", True)
    ]


def test_all_that_have_the_field_go_on_and_the_others_try_as_many_of_their_own_lists():
    settings = Settings()
    tried = {m.name: dict(enumerate(candidates(m, settings, 4))) for m in CHOSEN}
    tried["local"][4] = {"learning_rate": 0.03}
    best = {"local": 4, "fedavg_sum": 0, "fedprox": 0, "boosted_tree": 0}
    lists = lists_of(CHOSEN, settings)
    tried["fedavg_sum"] = {0: {}, 1: {"unknown_rate": 0.3}}  # its end, 0, cannot go on
    tried["fedprox"] = {0: {}, 1: {"proximal": 0.1}}
    found = extended(CHOSEN, settings, lists, tried, best)
    assert found.won == {("learning_rate", True): ["local"]}
    for name in ("local", "fedavg_sum", "fedprox"):
        assert found.more[name] == [{**tried[name][best[name]], "learning_rate": 0.09}]
        assert found.lists[name]["learning_rate"][-1] == 0.09 and 0.09 not in lists[name]["learning_rate"]
    new = found.more["boosted_tree"]  # has no learning rate
    assert len(new) == 1 and new[0] not in tried["boosted_tree"].values()
    for method in CHOSEN:
        for setting in found.more[method.name]:
            with_setting(method, settings, setting)
    text = said(found.won, found.more)
    assert (
        "1 settings more for each method" in text[0]
        and "learning_rate: the upper end was best for local" in text[1]
    )
    # again: the new end wins, and goes on from there
    again = {name: {**own, len(own): found.more[name][0]} for name, own in tried.items()}
    more = extended(CHOSEN, settings, found.lists, again, {**best, "local": 5})
    assert more.more["local"] == [{"learning_rate": 0.3}]


def test_where_no_end_wins_nothing_goes_on():
    settings, method = Settings(), METHODS["local"]
    tried = {"local": {0: {}, 1: {"learning_rate": 1e-2}}}
    found = extended([method], settings, lists_of([method], settings), tried, {"local": 0})
    assert found.won == {} and found.more == {"local": []} and said(found.won, found.more) == []


def test_there_are_no_more_clusters_than_clients():
    method, settings = METHODS["clustered"], Settings()
    tried = {"clustered": {0: {}, 1: {"clusters": 2}}}
    lists = {"clustered": {"clusters": (0, 2)}}
    for clients, wanted in ((3, [{"clusters": 3}]), (2, [])):
        found = extended([method], settings, lists, tried, {"clustered": 1}, clients)
        assert found.more["clustered"] == wanted and bool(found.won) == bool(wanted)

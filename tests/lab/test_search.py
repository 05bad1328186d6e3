"""The settings that a comparison tries: as many for every method, the best chosen on validation rows."""

import json

import pytest

from pfmsm_lite import METHODS, Settings
from pfmsm_lite.lab.search import best, candidates, cell, grid, with_setting


def test_every_method_has_the_same_number_of_settings_and_its_own_as_declared_first():
    for method in METHODS.values():
        found = candidates(method, Settings(), 12)
        assert found[0] == {} and len(found) == 12, method.name
        assert len({json.dumps(setting) for setting in found}) == 12
        lists = grid(method, Settings())
        usual = {field: getattr(method, field, getattr(Settings(), field, None)) for field in lists}
        for setting in found:  # what is declared is the first one, and no other says it again
            assert all(value in lists[field] and value != usual[field] for field, value in setting.items())
        changed = [len(setting) for setting in found]
        singles = sum(len([v for v in values if v != usual[field]]) for field, values in lists.items())
        assert changed == sorted(changed) and changed.count(1) == min(11, singles)
        own = [bool(setting.keys() & method.search.keys()) for setting in found[1 : 1 + changed.count(1)]]
        assert own == sorted(own, reverse=True)  # its own list first
        assert found == candidates(method, Settings(), 12)
        for setting in found:
            with_setting(method, Settings(), setting)  # each is a declaration without contradiction
    assert candidates(METHODS["local"], Settings(), 1) == [{}]
    assert "aggregate" not in grid(METHODS["no_personalization"], Settings())  # it is what is taken away


def test_federated_methods_all_may_choose_their_server_step_and_a_second_model_and_the_others_have_none():
    for method in METHODS.values():
        lists = grid(method, Settings())
        assert ("server_step" in lists) == bool(method.sent), method.name
        open_to_all = method.sent and method.personal == "none"  # the others stand for one of them
        assert lists.get("personal") == (("none", "ditto", "blend") if open_to_all else None), method.name
        assert lists.get("intercept") == (("none", "home") if method.sent else None), method.name
        assert "weight_decay" not in lists
    assert METHODS["ditto"].pull == 1.0  # the second model of all others is drawn as in pf_msmtrec
    assert {m.pull for m in METHODS.values() if m.name != "ditto"} == {30.0}


def test_every_method_with_a_strength_of_its_own_may_choose_it():
    own = {name: set(METHODS[name].search) for name in METHODS}
    assert own["fedprox"] == {"proximal"} and own["fedapa"] == {"mixing_step"}
    assert own["fedamp"] == {"temperature", "proximal"} and own["fedrep"] == {"head_epochs"}
    assert own["clustered"] == {"clusters"} and own["local_finetune"] == {"home_epochs"}
    assert own["ditto"] == {"pull"} and own["pf_msmtrec_hca"] == own["fedhca2"] == {"radius", "mixing_step"}
    assert own["logistic"] == own["logistic_pooled"] == {"ridge"}
    assert own["star"] == {"batch_norm"} and own["ple"] == {"experts"}


def test_learning_rates_are_multiples_of_the_datas_own_and_trees_have_none():
    for step, lists in {3e-3: (1e-3, 3e-3, 1e-2, 3e-2), 1e-3: (3e-4, 1e-3, 3e-3, 1e-2)}.items():
        settings = Settings(learning_rate=step)
        assert grid(METHODS["fedper"], settings)["learning_rate"] == lists
        assert min(grid(METHODS["m3oe"], settings)["learning_rate"]) == pytest.approx(step / 10)
    assert set(grid(METHODS["boosted_tree"], Settings())) == {"tree_step", "leaves"}


def test_a_setting_goes_where_it_belongs():
    method, settings = with_setting(METHODS["fedprox"], Settings(), {"proximal": 0.5, "learning_rate": 0.01})
    assert method.proximal == 0.5 and settings.learning_rate == 0.01 and method.name == "fedprox"


def test_the_average_over_the_tuning_seeds_chooses_and_what_is_incomplete_comes_last():
    def chosen(aucs):
        tried = {
            cell(METHODS["local"], Settings(), number, {}, seed): {"valid_auc": auc}
            for (number, seed), auc in aucs.items()
        }
        return best([METHODS["local"], METHODS["fedavg"]], tried)

    aucs = {(0, 0): 0.7, (0, 1): 0.7, (1, 0): 0.9, (1, 1): 0.6, (2, 0): 0.5, (2, 1): 0.8}
    assert chosen(aucs) == {"local": 1}  # by seed 1 alone it would be 2; fedavg has nothing to choose from
    assert chosen(dict(reversed(aucs.items()))) == {"local": 1}
    assert chosen({**aucs, (0, 0): 0.8}) == {"local": 0}  # of equals the first
    assert chosen({**aucs, (1, 1): None}) == {"local": 0}
    assert chosen({key: auc for key, auc in aucs.items() if key != (1, 1)}) == {"local": 0}
    assert chosen({(0, 0): None, (1, 0): None}) == {"local": 0}

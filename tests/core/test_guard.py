"""The guard against a refactoring that changes a number, and whether it would notice one."""

import json

import guard
import pytest
import torch

KEPT = json.loads(guard.KEPT.read_text())


def test_every_configuration_gives_what_it_gave():
    """Exact on the machine that wrote guard.json, about the same on others; it takes some seconds."""
    threads = torch.get_num_threads()
    try:
        found = guard.everything()
    finally:
        torch.set_num_threads(threads)
    exact = KEPT["machine"] == guard.machine()
    assert not guard.differences(found, KEPT["configurations"], exact)
    assert len(found) >= 27


def kept(title):
    return {title: KEPT["configurations"][title]}


def measured(title):
    return {title: guard.measured(*guard.configurations()[title])}


def broken_turn(aa, ab, bb, radius, rescale="norm"):
    return torch.ones_like(aa), -0.2 * torch.ones_like(aa)


@pytest.mark.parametrize(
    ("where", "name", "wrong"),
    [
        ("pfmsm_lite.coordination", "turn", broken_turn),
        ("pfmsm_lite.aggregation", "kinship", lambda helped, own: torch.full_like(own, 0.5)),
        ("pfmsm_lite.server", "aggregate", lambda sources, weights: sources),
        ("pfmsm_lite.server", "cosines", lambda gram: torch.zeros_like(gram)),
    ],
)
def test_a_method_that_changed_is_noticed(monkeypatch, where, name, wrong):
    monkeypatch.setattr(f"{where}.{name}", wrong)
    assert guard.differences(measured("pf_msmtrec"), kept("pf_msmtrec"), exact=True)


def test_on_another_machine_a_small_difference_passes_and_a_large_one_does_not():
    other = json.loads(json.dumps(kept("fedavg")))
    other["fedavg"]["auc"] = [auc + 0.01 for auc in other["fedavg"]["auc"]]
    other["fedavg"]["exact"]["models"] = "other"
    assert not guard.differences(kept("fedavg"), other, exact=False)
    assert len(guard.differences(kept("fedavg"), other, exact=True)) == 2
    other["fedavg"]["auc"][0] += 0.02
    other["fedavg"]["bytes"][0] += 1
    assert len(guard.differences(kept("fedavg"), other, exact=False)) == 2


def test_a_configuration_that_is_missing_is_named():
    assert guard.differences({}, kept("local"), exact=True) == ["local: no longer there"]
    assert guard.differences(kept("local"), {}, exact=True) == ["local: not kept yet"]

"""Hostile clients and checks of lengths: what is sent, what is cut, who is refused; all by hand."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from small import SMALL, scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 attacks and checks
from pfmsm_lite import METHODS, Federation, Settings, run
from pfmsm_lite.errors import UserError
from pfmsm_lite.registry import OPERATORS
from pfmsm_lite.rivals import attacks, checks

PF, FEDAVG = METHODS["pf_msmtrec"], METHODS["fedavg_sum"]
ENTRIES, LAYER = attacks.ENTRIES, "experts.scenario.0"


def federation(*hostile, method=FEDAVG, data=None, rounds=1):
    """A federation in the middle of its round `rounds`: everybody has trained."""
    found = Federation(data or scenarios(4), method, Settings(**SMALL, attack=hostile), 0)
    for _ in range(rounds - 1):
        found.serve(found.train()[2])
    found.train()
    return found


def updates(found, n):
    """What a client sends less what it received."""
    start = attacks.received(found, n)
    return {name: part - start[name] for name, part in found.clients[n].upload().items() if name in start}


@pytest.mark.parametrize(("kind", "factor"), [("flip", -1), ("scale10", -10)])
def test_a_multiple_of_the_honest_update_is_sent_and_the_others_are_left_alone(kind, factor):
    hostile, honest = federation(f"s1={kind}", rounds=1), federation(rounds=1)
    for name, part in updates(honest, 1).items():
        assert torch.allclose(updates(hostile, 1)[name], factor * part, atol=1e-4)
        assert torch.equal(updates(hostile, 2)[name], updates(honest, 2)[name])
    assert torch.equal(
        hostile.clients[1].upload()["embedding.entries"], honest.clients[1].upload()["embedding.entries"]
    )


def test_noise_is_ten_times_as_long_of_no_direction_and_the_same_again():
    found, again, honest = federation("s0=noise"), federation("s0=noise"), federation()
    for name, part in updates(honest, 0).items():
        sent = updates(found, 0)[name]
        assert float(sent.norm() / part.norm()) == pytest.approx(10, rel=1e-3)
        assert torch.equal(sent, updates(again, 0)[name])
        cosine = torch.nn.functional.cosine_similarity(sent.flatten(), part.flatten(), dim=0)
        assert abs(float(cosine)) < 5 / np.sqrt(part.numel())


def test_a_copy_is_the_next_clients_update_also_in_the_entries_that_both_use():
    found, honest = federation("s3=copy", rounds=2), federation(rounds=2)
    first = federation("s3=copy")  # in the first round everybody starts from the same
    assert torch.allclose(updates(first, 3)[LAYER], updates(first, 0)[LAYER], atol=1e-6)
    change = [attacks.table_change(first, n, first.clients[n].upload()) for n in (3, 0)]
    both = change[0].isfinite() & change[1].isfinite()
    assert both.any() and torch.allclose(change[0][both], change[1][both], atol=1e-6)
    only = change[0].isfinite() & ~change[1].isfinite()
    assert bool((change[0][only] == 0).all())
    assert not torch.allclose(updates(found, 3)[LAYER], updates(honest, 3)[LAYER])


def test_labels_are_turned_for_training_alone_its_base_rate_too():
    found, honest = federation("s0=labels", method=PF), federation(method=PF)
    assert torch.equal(found.clients[0].labels, 1 - honest.clients[0].labels)
    assert torch.equal(found.clients[1].labels, honest.clients[1].labels)
    for client, other in ((found.clients[0], honest.clients[0]), (found.clients[1], honest.clients[1])):
        sign = -1 if client.name == "s0" else 1
        assert torch.equal(client.model.intercept, sign * other.model.intercept)
        assert torch.equal(client.personal.model.intercept, sign * other.personal.model.intercept)
        assert torch.equal(client.views[0][1]["valid"].labels, other.views[0][1]["valid"].labels)


def test_who_colludes_sends_the_same_against_the_mean_of_the_honest_alone():
    found, honest = federation("s0=collude", "s2=collude"), federation()
    sent = updates(found, 0)[LAYER]
    assert torch.allclose(sent, updates(found, 2)[LAYER], atol=1e-6)
    both = torch.stack([updates(honest, n)[LAYER] for n in (1, 3)])
    assert torch.allclose(
        torch.nn.functional.normalize(sent.flatten(), dim=0),
        -torch.nn.functional.normalize(both.mean(0).flatten(), dim=0),
        atol=1e-4,
    )
    assert float(sent.norm()) == pytest.approx(float(both.square().mean(0).sum().sqrt()), rel=1e-3)
    little = updates(federation("s0=little", "s2=little"), 0)[LAYER]
    expected = both.mean(0) - 1.5 * both.std(0, correction=0)
    assert torch.allclose(little, expected, atol=1e-5)
    entries = updates(found, 0)[ENTRIES]
    assert entries.isfinite().all() and float(entries.norm()) > 0


def test_who_is_late_is_honest_for_three_rounds():
    for number in (3, 4):
        late, honest = federation("s1=late", rounds=number), federation(rounds=number)
        same = torch.equal(updates(late, 1)[LAYER], updates(honest, 1)[LAYER])
        assert same == (number == 3)


@pytest.mark.parametrize("kind", OPERATORS["attack"])
def test_every_attack_runs_where_a_task_is_missing_and_does_something(kind):
    data = [*scenarios(2), scenario("s2", rows=90, seed=7, missing=("conversion",))]
    bare = run(data, PF, rounds=4, seed=0, **SMALL)
    found = run(data, PF, rounds=4, seed=0, attack=(f"s2={kind}", f"s1={kind}"), **SMALL)
    honest = [history.results.query("scenario == 's0'")["logloss"].tolist() for history in (bare, found)]
    assert honest[0] != honest[1] and np.isfinite(honest[1]).all()


@pytest.mark.parametrize("name", ["local", "pooled", "logistic"])
def test_where_nothing_is_sent_nobody_can_be_hostile(name):
    bare = run(scenarios(2), METHODS[name], rounds=1, **SMALL)
    found = run(scenarios(2), METHODS[name], rounds=1, attack=("s0=labels", "s0=flip"), **SMALL)
    assert bare.results.equals(found.results)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((("flip"),), "not of the form SCENARIO=KIND"),
        (("s9=flip",), "Unknown scenario in --attack 's9'"),
        (("s1=flop",), "Unknown kind of --attack 'flop'. Did you mean 'flip'"),
        (("s1=flip", "s1=flip"), "is given twice"),
        (("s0=flip", "s1=nan"), "Leave somebody honest"),
    ],
)
def test_an_attack_that_cannot_be_is_refused(given, words):
    with pytest.raises(UserError, match=words):
        attacks.refuse_unknown(given, ["s0", "s1"])


# ---- lengths ----


def test_the_length_of_a_group_is_counted_in_medians_and_entries_by_the_entry():
    found = federation("s1=scale10", data=scenarios(5))
    uploads = [client.upload() for client in found.clients]
    by_hand = []
    for n in range(5):
        own = updates(found, n)
        rows = torch.cat([own[name].flatten(1) for name in found.clients[n].shared["tower"]], 1).numpy()
        by_hand.append(np.sqrt((rows**2).sum(1).mean()))
    expected = np.array(by_hand) / np.median(by_hand)
    assert np.allclose(checks.excess(found.server, uploads)["tower"], expected, rtol=1e-4)
    entries = [np.sqrt((updates(found, n)[ENTRIES].numpy() ** 2).sum(1).mean()) for n in range(5)]
    found_here = checks.excess(found.server, uploads)["embedding"]
    assert np.allclose(found_here, np.array(entries) / np.median(entries), rtol=1e-4)
    assert expected[1] > 5 and found_here[1] > 5
    # who is not there has no length, and no say in the median
    fewer = checks.excess(found.server, [None, *uploads[1:]])["tower"]
    assert fewer[0] == 0 and np.allclose(fewer[1:], np.array(by_hand[1:]) / np.median(by_hand[1:]), rtol=1e-4)


def test_clip_cuts_what_is_too_long_to_the_bound_and_says_so():
    found = federation("s1=scale10", method=replace(FEDAVG, check="clip", clip=2.0), data=scenarios(5))
    uploads = [client.upload() for client in found.clients]
    before = [{name: part.clone() for name, part in upload.items()} for upload in uploads]
    used = found.server.checked(uploads)
    assert all(torch.equal(b[k], u[k]) for b, u in zip(before, uploads, strict=True) for k in b)
    assert all(one is two for n, (one, two) in enumerate(zip(used, uploads, strict=True)) if n != 1)
    lengths = [float(checks.length(c)) for c in checks.changes(found.server, uploads)["embedding"]]
    cut = float(checks.length(checks.changes(found.server, used)["embedding"][1]))
    assert cut == pytest.approx(2 * np.median(lengths), rel=1e-3)
    assert found.server.accepted == [True] * 5 and found.server.said[0] == ""
    assert re.search(r"embedding [\d.]+ medians long, cut to 2", found.server.said[1])


def test_refuse_leaves_the_whole_client_out():
    method = replace(FEDAVG, check="refuse", clip=3.0)
    history = run(scenarios(5), method, rounds=2, attack=("s1=scale10",), **SMALL)
    assert {client for _, client in history.refused} == {"s1"} and "medians long" in history.said[0][2]


def test_a_bound_that_nobody_reaches_changes_no_bit():
    for check in ("clip", "refuse"):
        far = run(scenarios(4), replace(PF, check=check, clip=1e6), rounds=3, **SMALL)
        assert far.results.equals(run(scenarios(4), PF, rounds=3, **SMALL).results) and not far.said


def test_clipped_by_a_common_factor_lengths_in_medians_are_what_they_were():
    """All updates ten times as long: nobody is longer than the others."""
    found = federation(data=scenarios(4))
    plain = checks.excess(found.server, [client.upload() for client in found.clients])
    tenfold = federation(*(f"s{n}=scale10" for n in range(4)), data=scenarios(4))
    for group, times in checks.excess(
        tenfold.server, [client.upload() for client in tenfold.clients]
    ).items():
        assert torch.allclose(times, plain[group], rtol=1e-3)

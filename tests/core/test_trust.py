"""Every upload is checked before anything is used: hostile ones are refused by name, with the reason."""

import math
import re
from dataclasses import replace

import pytest
import torch
from small import SMALL, scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 attacks and checks
from pfmsm_lite import METHODS, Federation, Settings, loop, register, run
from pfmsm_lite.errors import UserError
from pfmsm_lite.mmoe import GRADIENT
from pfmsm_lite.registry import OPERATORS

PF = METHODS["pf_msmtrec"]
LAYER, TOWER, ENTRIES = "experts.scenario.0", "towers.weight.0", "embedding.weight"


def federation(method=PF, data=None, **options):
    return Federation(data or scenarios(3), method, Settings(**{**SMALL, **options}), 0)


def filled(value, place=0):
    """The upload with one number of one tensor replaced."""

    def change(name):
        def broken(message):
            part = message[name].clone()
            part.flatten()[place] = value
            return {**message, name: part}

        return broken

    return change


def without(name):
    return lambda message: {key: part for key, part in message.items() if key != name}


HOSTILE = {  # title → (what becomes of an honest upload, what is said of it)
    "NaN": (filled(math.nan)(LAYER), f"'{LAYER}' holds NaN"),
    "infinity": (filled(-math.inf, -1)(TOWER), f"'{TOWER}' holds NaN, infinity"),
    "NaN in an entry": (filled(math.nan)(ENTRIES), "'embedding.weight' holds NaN"),
    "1e30": (filled(1e30)(LAYER), "too large for float32"),
    "a tensor less": (without(TOWER), f"'{TOWER}' is missing"),
    "a tensor more": (lambda m: {**m, "rows": m[ENTRIES]}, "'rows' is .* not asked for"),
    "another shape": (lambda m: {**m, LAYER: m[LAYER][:, :1]}, f"'{LAYER}' is .*, not "),
    "another type": (lambda m: {**m, LAYER: m[LAYER].double()}, "torch.float64"),
    "transposed": (lambda m: {**m, LAYER: m[LAYER].transpose(0, 1).contiguous()}, f"'{LAYER}' is"),
    "fewer entries": (lambda m: {**m, ENTRIES: m[ENTRIES][1:]}, "'embedding.weight' is"),
    "no entries": (without("embedding.entries"), "'embedding.entries' is missing"),
    "other entries": (filled(0, -1)("embedding.entries"), "first message named"),
    "entries beyond": (filled(10**6)("embedding.entries"), "first message named"),
    "negative entries": (filled(-1)("embedding.entries"), "first message named"),
    "half a gradient": (without(GRADIENT + TOWER), f"'{GRADIENT}.*' is .* not asked for"),
    "a gradient of NaN": (filled(math.nan)(GRADIENT + LAYER), "holds NaN"),
    "empty": (lambda m: {}, "is missing"),
}


@pytest.mark.parametrize("title", HOSTILE)
def test_a_hostile_upload_is_refused_by_name_and_the_others_are_served_as_if_nothing_had_come(title):
    change, words = HOSTILE[title]
    found, other = federation(), federation()
    for each in (found, other):
        each.train()
    uploads = [client.upload() for client in found.clients]
    copies = {name: part.clone() for name, part in uploads[1].items()}
    downloads, record = found.server.serve([uploads[0], change(uploads[1]), uploads[2]])
    expected, wanted = other.server.serve([other.clients[0].upload(), None, other.clients[2].upload()])
    assert found.server.accepted == [True, False, True]
    assert re.search(words, found.server.said[1]) and found.server.said[0] == found.server.said[2] == ""
    for one, two in zip(downloads, expected, strict=True):
        assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
        assert all(part.isfinite().all() for part in one.values())
    assert all(torch.equal(record[key], wanted[key]) for key in wanted)
    assert all(torch.equal(part, copies[name]) for name, part in uploads[1].items())


def test_a_refused_client_keeps_its_place_and_is_back_in_the_next_round():
    found = federation(replace(PF, normalize="none"))
    found.train()
    honest = found.clients[1].upload
    found.clients[1].upload = lambda: {**honest(), LAYER: honest()[LAYER] * math.nan}
    before = found.block("expert.scenario").received.clone()
    found.serve([True] * 3)
    assert found.accepted == [True, False, True] and "holds NaN" in found.said[1]
    # its own mixture is what it had received, not what it trained
    received = found.block("expert.scenario").received
    assert torch.equal(received[:, 1], before[:, 1]) and not torch.equal(received[:, 0], before[:, 0])
    found.clients[1].upload = honest
    found.serve(found.train()[2])
    assert found.accepted == [True] * 3 and found.said == [""] * 3


def test_the_form_of_a_client_without_a_task_is_its_own():
    data = [*scenarios(2), scenario("s2", rows=90, seed=7, missing=("conversion",))]
    found = federation(data=data)
    found.train()
    uploads = [client.upload() for client in found.clients]
    found.server.serve(uploads)
    assert found.server.said == [""] * 3
    whole = {**uploads[2], TOWER: uploads[0][TOWER]}  # a tower that it does not have
    found.server.serve([*uploads[:2], whole])
    assert f"'{TOWER}' is" in found.server.said[2]


def test_history_names_who_was_refused_why_and_goes_on():
    history = run(scenarios(3), PF, rounds=3, attack=["s1=nan"], **SMALL)
    assert [(number, client) for number, client, _ in history.said] == [(1, "s1"), (2, "s1"), (3, "s1")]
    assert history.refused == [(1, "s1"), (2, "s1"), (3, "s1")] and "holds NaN" in history.said[0][2]
    assert history.results["auc"].notna().all() and not history.stopped
    again = loop.History(PF.name, 0, [], [])
    again.load(history.state())
    assert again.said == history.said


def test_where_nobody_is_left_the_run_ends_with_what_it_has():
    with pytest.raises(UserError, match="every client's upload was NaN or infinite"):
        run(scenarios(2), PF, rounds=2, attack=("s0=nan", "s1=huge"), **SMALL)


@register("check", "nobody-twice", text="a check of one's own, for this test")
def nobody(server, uploads):
    return [None, *uploads[1:]], ["I do not like the first", *[""] * (len(uploads) - 1)]


def test_a_check_of_ones_own_is_a_choice_like_any_other():
    try:
        history = run(scenarios(3), replace(PF, check="nobody-twice"), rounds=1, **SMALL)
        assert history.said == [(1, "s0", "I do not like the first")] and history.refused == [(1, "s0")]
    finally:
        del OPERATORS["check"]["nobody-twice"]


def test_the_usual_check_hands_on_what_it_was_given_however_large_its_numbers():
    found = federation()
    found.train()
    uploads = [client.upload() for client in found.clients]
    large = filled(1e18)(LAYER)(uploads[0])
    assert found.server.checked([large, *uploads[1:]])[0] is large
    assert found.server.said == [""] * 3

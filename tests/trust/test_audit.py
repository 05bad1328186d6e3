"""The audit against the messages themselves, and the switches that make a client tell less."""

from dataclasses import replace

import pytest
import torch
from small import FIELDS, SMALL, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rules
from pfmsm_lite import METHODS, Federation, Settings, run
from pfmsm_lite.federation import drawn
from pfmsm_lite.trust.audit import TOLD, audit

PF, SIZE = METHODS["pf_msmtrec"], sum(FIELDS.values())


def federation(method=PF, **settings):
    return Federation(scenarios(3), method, Settings(**{**SMALL, **settings}), 0)


def test_who_is_not_drawn_sends_nothing_in_that_round_but_its_scores():
    lines = audit(scenarios(3), PF, 3, sample=0.3, **SMALL)
    for number in (1, 2, 3):
        here = {f"s{n}" for n, taking_part in enumerate(drawn(3, 0.3, 0, number)) if taking_part}
        up = [line for line in lines if (line.round, line.way) == (number, "up")]
        for name in ("losses", "embedding.weight"):
            assert {line.client for line in up if line.name == name} == here, (number, name)
    assert {line.client for line in lines if line.name == "scores"} == {"s0", "s1", "s2"}


def test_the_audit_is_the_messages_up_and_down():
    lines = audit(scenarios(3), PF, 2, **SMALL)
    played = federation()
    first = played.clients[0].first_message()
    hello = {line.name: line for line in lines if line.round == 0 and line.client == "s0"}
    assert hello.keys() == first.keys()
    assert hello["entries"].bytes == 8 * len(first["entries"]) and hello["rows"].bytes == 4
    _, _, accepted = played.train()
    played.serve(accepted)
    up = [line for line in lines if (line.round, line.client, line.way) == (1, "s0", "up")]
    sent = [line for line in up if line.name not in ("losses", "scores")]
    assert sum(line.bytes for line in sent) == played.sent[0]
    assert {line.name for line in sent} >= {"embedding.weight", "embedding.entries", "towers.weight.0"}
    assert any(line.name.startswith("gradient of ") for line in sent)
    down = {line.name: line for line in lines if (line.round, line.client, line.way) == (1, "s0", "down")}
    held = played.clients[0].held.entries
    assert down["embedding.weight"].shape == (len(held), SMALL["embedding_size"])
    assert {line.round for line in lines} == {0, 1, 2}
    assert not any("local" in line.name or "gates" in line.name for line in lines)  # these stay at home


def test_what_the_server_is_told_is_what_it_gets():
    names = {line.name.split(" of ")[0] for line in audit(scenarios(2), PF, 1, **SMALL)}
    for told in TOLD[:-1]:  # the vocabulary is no tensor
        assert told.where.split(" of ")[0] in names, told


def test_named_entries_count_once_and_the_same_are_sent():
    plain, named = federation(), federation(entries="named")
    for own, other in zip(plain.clients, named.clients, strict=True):
        assert torch.equal(own.held.entries, other.held.entries)
        assert set(other.first_message()["uses"].tolist()) <= {0.0, 1.0}
        assert torch.equal(own.in_use, other.in_use)
        assert own.held.uses.max() > 1  # there was something to hide
    # `sum`, the rule of the method, never asked how often
    results = [
        run(scenarios(3), PF, 2, seed=0, **SMALL, entries=kind).results for kind in ("counted", "named")
    ]
    assert results[0].equals(results[1])
    used = [
        run(scenarios(3), replace(PF, embedding="used"), 2, seed=0, **SMALL, entries=kind).results["auc"]
        for kind in ("counted", "named")
    ]
    assert not used[0].equals(used[1])


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_the_whole_table_names_nothing_and_reads_the_same_rows(rate):
    plain, whole = federation(unknown_rate=rate), federation(unknown_rate=rate, entries="whole")
    for own, other in zip(plain.clients, whole.clients, strict=True):
        hello = other.first_message()
        assert hello["entries"].tolist() == list(range(SIZE)) and hello["uses"].eq(1).all()
        # the same entry stands behind each id
        ids = own.train_rows.categorical
        there = other.train_rows.categorical
        assert torch.equal(own.held.entries[ids], there.long())
        assert torch.equal(own.model.embedding(ids), other.model.embedding(there))
        assert torch.equal(own.held.entries[own.held.unknown], other.held.unknown)
        assert other.upload()["embedding.weight"].shape == (SIZE, SMALL["embedding_size"])


def test_with_the_whole_table_the_shared_entries_come_out_the_same():
    """Changes add up by `sum`: an entry that a client did not use adds nothing."""
    tables = {}
    for kind in ("counted", "whole"):
        played = federation(replace(PF, aggregate="partners"), entries=kind)
        _, _, accepted = played.train()
        played.serve(accepted)
        numbers = torch.unique(torch.cat([c.held.entries for c in played.clients]))
        tables[kind] = dict(zip(numbers.tolist(), played.server.table.table, strict=True))
    assert len(tables["whole"]) == SIZE
    for number, entry in tables["counted"].items():
        assert torch.allclose(entry, tables["whole"][number], atol=1e-6)

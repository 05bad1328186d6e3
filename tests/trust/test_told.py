"""What the server is told, against the letters themselves, and the switches that make a client tell less."""

from dataclasses import replace

import pytest
import torch
from small import FIELDS, SMALL, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rules
from pfmsm_lite import METHODS, Federation, Settings, run
from pfmsm_lite.engine import ClientSide, conduct, declaration, in_process, unpack
from pfmsm_lite.engine.declared import SAME
from pfmsm_lite.trust.told import TOLD

PF, SIZE = METHODS["pf_msmtrec"], sum(FIELDS.values())


def federation(method=PF, **settings):
    return Federation(scenarios(3), method, Settings(**{**SMALL, **settings}), 0)


def test_what_the_server_is_told_is_what_it_gets():
    """Arrays and plain values of a client's letters, against the list; of the plain ones none is left out."""
    data, arrays, plain = scenarios(2), set(), set()
    carry = in_process([ClientSide(own) for own in data])

    def post(letters):
        answers = carry(letters)
        for content in answers.values():
            letter = unpack(content)
            arrays.update(name.split(" of ")[0] for name in letter.arrays)
            plain.update(letter.about)
        return answers

    conduct(declaration(PF, Settings(**SMALL), 0, 2, [own.name for own in data]), post)
    told = {own.where.split(" of ")[0] for own in TOLD[:-1]}  # the vocabulary is in no letter
    assert told <= arrays | plain
    known = {"name", *SAME, "valid", "versions", "digest"}  # the schema
    assert plain - told - known == {"number", "fine", "seconds_home"}


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

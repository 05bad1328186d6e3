"""The audit against the messages of the core, and as a table."""

from small import SMALL, scenarios

from pfmsm_lite import METHODS, Federation, Settings
from pfmsm_lite.engine import Record, audit
from pfmsm_lite.engine.audited import summed
from pfmsm_lite.federation import drawn, listed

PF = METHODS["pf_msmtrec"]


def arrays(records, number, client, direction):
    own = [own for own in records if own[:3] == (number, client, direction)]
    return [(part.shape, part.bytes) for part in own if part.name != "head"]


def test_the_audit_is_the_messages_up_and_down():
    _, records = audit(scenarios(3), PF, 2, 0, Settings(**SMALL))
    played = Federation(scenarios(3), PF, Settings(**SMALL), 0)
    first, client = [own[1:] for own in listed(played.clients[0].first_message())], played.clients[0]
    assert arrays(records, 0, "s0", "up")[1:] == first  # after the numbers that its training rows use
    _, _, accepted = played.train()
    assert arrays(records, 1, "s0", "up") == [own[1:] for own in listed(client.upload())]
    played.serve(accepted)
    # what became of round 1 comes with the letter of round 2
    assert not arrays(records, 1, "s0", "down")
    assert arrays(records, 2, "s0", "down") == [own[1:] for own in listed(played.server.current(0))]
    assert {own.round for own in records} == {0, 1, 2, 3}
    assert not any("local" in own.name or "gates" in own.name for own in records)  # these stay at home


def test_who_is_not_drawn_uploads_nothing():
    _, records = audit(scenarios(3), PF, 3, 0, Settings(**SMALL, sample=0.3))
    for number in (1, 2, 3):
        here = {f"s{n}" for n, taking_part in enumerate(drawn(3, 0.3, 0, number)) if taking_part}
        up = [own for own in records if (own.round, own.direction) == (number, "up")]
        assert {own.client for own in up if own.name == "embedding.weight"} == here, number


def test_the_table_adds_up_clients_and_the_two_letters_of_a_handshake():
    records = [
        Record(0, "a", "down", "head", (7,), 7), Record(0, "b", "down", "head", (7,), 7),
        Record(0, "a", "down", "head", (5,), 5), Record(0, "b", "down", "head", (9,), 9),
        Record(1, "a", "up", "weight", (2, 3), 24), Record(1, "b", "up", "weight", (4, 3), 48),
        Record(1, "a", "up", "rows", (), 4), Record(1, "b", "up", "rows", (), 4),
    ]  # fmt: skip
    table = summed(records)
    assert list(table.columns) == ["round", "way", "name", "bytes", "bytes_largest", "shape"]
    assert table.to_numpy().tolist() == [
        [0, "down", "head", 28, 16, ""],
        [1, "up", "weight", 72, 48, "2×3"],
        [1, "up", "rows", 8, 4, "1"],
    ]

"""The two halves meet in bytes alone: they give what the loop in one process gives, to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small import SMALL, scenario, scenarios

from pfmsm_lite import METHODS, Method, Settings, run
from pfmsm_lite.engine import (
    ClientSide,
    Folder,
    Letter,
    Memory,
    audit,
    conduct,
    declaration,
    in_process,
    listed,
    pack,
    recorded,
    unpack,
)
from pfmsm_lite.engine.rounds import Record
from pfmsm_lite.errors import UserError

PF = METHODS["pf_msmtrec"]


def lacking():
    return [*scenarios(2), scenario("s2", rows=90, seed=7, missing=("conversion",))]


def same(one, other):
    """Two histories are equal in all but the time that they took."""
    assert one.units == other.units and one.clients == other.clients
    assert one.arrays.keys() == other.arrays.keys()
    for name, values in one.arrays.items():
        assert np.array_equal(np.stack(values), np.stack(other.arrays[name]), equal_nan=True), name
    plain = [[[*line[:5], *line[6:]] for line in history.lines] for history in (one, other)]
    assert repr(plain[0]) == repr(plain[1])  # NaN is NaN
    assert repr(one.best) == repr(other.best) and one.best_round == other.best_round
    assert one.stored_bytes == other.stored_bytes and one.stopped == other.stopped


def by_letters(method, data, rounds=3, seed=5, lost=(), sides=None, keep=None, **options):
    settings = Settings(**{**SMALL, **options})
    declared = declaration(method, settings, seed, rounds, [own.name for own in data])
    sides = sides or [ClientSide(own) for own in data]
    return conduct(declared, in_process(sides, lost), keep=keep)


METHODS_THAT_SEND = [
    name for name, method in METHODS.items() if method.model == "mmoe" and not method.pooled
]  # fmt: skip


@pytest.mark.parametrize("name", METHODS_THAT_SEND)
def test_by_letters_every_method_is_the_same_to_the_last_bit(name):
    same(by_letters(METHODS[name], scenarios(3)), run(scenarios(3), METHODS[name], 3, 5, **SMALL))


@pytest.mark.parametrize(
    "options",
    [
        {"unknown_rate": 0.3, "embedding_optimizer": "lazy_adam"},
        {"weight_decay": 0.01},
        {"batch_norm": True},
        {"ctcvr": "click,conversion"},
        {"sample": 0.4},
        {"sample": 0.4, "unknown_rate": 0.3},
        {"patience": 1, "learning_rate": 0.3},
        {"choose": "logloss", "calibrate": "platt"},
        {"precision": "bf16"},
    ],
    ids=str,
)
@pytest.mark.parametrize("data", [lambda: scenarios(5), lacking], ids=["five", "lacking"])
def test_so_is_every_setting_also_where_a_client_lacks_a_task(options, data):
    found = by_letters(PF, data(), 4, **options)
    same(found, run(data(), PF, 4, 5, **SMALL, **options))


def test_clients_with_files_are_the_same_and_each_letter_may_meet_a_new_process(tmp_path):
    data = scenarios(3)
    declared = declaration(PF, Settings(**SMALL), 5, 3, [own.name for own in data])

    def post(letters):  # a client is built anew, from its rows and its files, for each letter
        return {
            n: ClientSide(data[int(n[1])], Folder(tmp_path / n)).answer(own) for n, own in letters.items()
        }

    same(conduct(declared, post), run(data, PF, 3, 5, **SMALL))
    # of the states only those are kept that a letter could still ask for: two; of the models the best one's
    kept = {file.stem for file in (tmp_path / "s1").rglob("*.pt")}
    assert {"joined", "3", "4"} <= kept and not {"0", "1", "2"} & kept


@pytest.mark.parametrize("name", ["pf_msmtrec", "fedavg", "pf_msmtrec_partners"])
@pytest.mark.parametrize("method", [{}, {"embedding": "personal"}], ids=str)
def test_an_answer_that_is_lost_never_happened(name, method):
    """The client worked and saved, the server knows nothing of it: as if the letter had not arrived."""
    data, how = scenarios(3), replace(METHODS[name], **method)
    for number in (1, 2, 3):
        lost = [by_letters(how, data, 4, lost=[(number, "s1", what)]) for what in ("letter", "answer")]
        same(*lost)
        whole = by_letters(how, data, 4)
        assert not np.array_equal(whole.arrays["norm"][number - 1], lost[0].arrays["norm"][number - 1])


def test_a_client_that_was_away_keeps_what_it_had_and_is_counted_nowhere():
    """By hand, with the core alone: s1 takes no part in round 2."""
    from pfmsm_lite import Federation

    data, scores = scenarios(3), []
    federation = Federation(data, METHODS["fedavg"], Settings(**SMALL), 5)
    for number in (1, 2, 3):
        if number == 3:  # what it missed comes before it trains again
            federation.clients[1].download(federation.server.current(1))
        accepted = [None if (number, c.name) == (2, "s1") else c.train()[1] for c in federation.clients]
        record = federation.serve(accepted)
        scores.append([client.evaluate("valid") for client in federation.clients])
    found = by_letters(METHODS["fedavg"], data, 3, lost=[(2, "s1", "letter")])
    assert np.array_equal(found.arrays["norm"][2], record["norm"].numpy())
    auc = {(line[0], line[1], line[2]): line[3] for line in found.lines}
    # in round 1 its scores would have come with the answer that was lost: those of the start stay
    for number, own in ((2, scores[1]), (3, scores[2])):
        for n in (0, 2):
            assert [auc[number, f"s{n}", task] for _, task, *_ in own[n]] == [line[4] for line in own[n]]
    assert [auc[2, "s1", task] for task in ("click", "conversion")] == [
        auc[1, "s1", task] for task in ("click", "conversion")
    ]
    away = [line for line in found.lines if line[:2] == [2, "s1"]]
    assert all(line[6] == 0 and line[7] == 0 and np.isnan(line[4]) for line in away)  # no bytes, not refused


def test_a_server_that_is_killed_after_any_letter_goes_on_with_the_same_bits(tmp_path):
    class Killed(Exception):
        pass

    data = scenarios(3)
    declared = declaration(PF, Settings(**SMALL, sample=0.7), 5, 3, [own.name for own in data])
    whole = conduct(declared, in_process([ClientSide(own) for own in data]))
    for letters_until in range(1, 7):
        sides, keep, count = [ClientSide(own) for own in data], Folder(tmp_path / str(letters_until)), 0

        def post(letters, sides=sides, until=letters_until):
            nonlocal count
            count += 1
            answers = in_process(sides)(letters)
            if count == until:
                raise Killed
            return answers

        with pytest.raises(Killed):
            conduct(declared, post, keep=keep)
        same(conduct(declared, in_process(sides), keep=keep), whole)
        same(conduct(declared, in_process(sides), keep=keep), whole)  # and what is finished stays so


def test_a_torn_checkpoint_and_one_of_another_training_are_refused(tmp_path):
    data, keep = scenarios(2), Folder(tmp_path)
    sides = [ClientSide(own) for own in data]
    by_letters(PF, data, 1, sides=sides, keep=keep)
    with pytest.raises(UserError, match="another training"):
        by_letters(PF, data, 2, sides=sides, keep=keep)
    file = tmp_path / "server.pt"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(UserError, match="damaged"):
        by_letters(PF, data, 1, sides=sides, keep=keep)


def test_a_client_without_its_state_says_so_by_its_name_and_the_others_go_on():
    data, told = scenarios(2), []
    sides = [ClientSide(own) for own in data]
    declared = declaration(PF, Settings(**SMALL), 5, 3, ["s0", "s1"])
    carry = in_process(sides)

    def post(letters):
        if unpack(letters["s0"]).about.get("number") == 2:
            sides[1].kept.kept.clear()
            sides[1]._built = None
        return carry(letters)

    history = conduct(declared, post, tell=told.append)
    assert any("Client 's1': Client 's1' has no state of this training" in line for line in told)
    same(history, by_letters(PF, data, lost=[(n, "s1", "letter") for n in (2, 3, 4)]))
    with pytest.raises(UserError, match="Round 2: 1 of 2 clients answered in time; 2 must"):
        sides = [ClientSide(own) for own in data]
        conduct(declared, in_process(sides, [(2, "s1", "letter")]), least=2)


def test_what_the_best_round_predicted_with_is_kept_also_of_who_was_away():
    """Only what the server has the scores of counts: an answer that was lost is no model."""
    data, keep = scenarios(3), Memory()
    sides = [ClientSide(own) for own in data]
    lost = [(3, "s1", "answer"), (4, "s1", "letter")]
    history = by_letters(PF, data, 3, sides=sides, keep=keep, lost=lost, learning_rate=3e-2)
    made = keep.kept["server"]["side"]["best_models"]
    assert history.best_round >= 2 and made == {"s0": history.best_round, "s1": 1, "s2": history.best_round}
    for side in sides:
        names = {name.partition("/")[2] for name in side.kept.names()}
        assert f"model-{made[side.name]}" in names and len(names) <= 6, names


# ---- before the first round ----


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tasks": ("click", "sale")}, "other tasks than 's0': .*sale.* against .*conversion"),
        (
            {"fields": {"user": 31, "item": 20}},
            r"other fields than 's0': \[\['user', 31\]\] against \[\['user', 30",
        ),
        ({"numericals": ("x", "z")}, "other numericals than 's0'"),
    ],
    ids=str,
)
def test_clients_that_differ_are_refused_and_both_sides_are_named(change, said):
    data = [scenario("s0"), replace(scenario("s1", seed=1), **change)]
    with pytest.raises(UserError, match=f"Client 's1' has {said}"):
        by_letters(PF, data)


def test_another_version_or_another_declaration_is_refused(monkeypatch):
    data = scenarios(2)
    sides = [ClientSide(own) for own in data]
    declared = declaration(PF, Settings(**SMALL), 5, 1, ["s0", "s1"])

    def changed(**others):
        def post(letters):
            answers = in_process(sides)(letters)
            letter = unpack(answers["s1"])
            return {**answers, "s1": pack(Letter({**letter.about, **others}, letter.arrays))}

        return post

    hello = unpack(sides[1].answer(pack(Letter({"kind": "hello", "declaration": declared.text}))))
    versions = {**hello.about["versions"], "torch": "1.0"}
    with pytest.raises(UserError, match="Client 's1' has torch 1.0, the server has 2"):
        conduct(declared, changed(versions=versions))
    with pytest.raises(UserError, match="read another declaration"):
        conduct(declared, changed(digest="0" * 16))


def test_who_is_missing_is_named():
    declared = declaration(PF, Settings(**SMALL), 5, 1, ["s0", "s1", "s7"])
    sides = [ClientSide(own) for own in scenarios(2)]
    with pytest.raises(UserError, match="2 of 3 clients are there; missing: s7"):
        conduct(declared, lambda letters: in_process(sides)({k: v for k, v in letters.items() if k != "s7"}))


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        (METHODS["pooled"], {}, "rows in one place"),
        (METHODS["logistic"], {}, "logistic"),
        (PF, {"probe": 10}, "probe"),
    ],
    ids=["pooled", "logistic", "probe"],
)
def test_what_cannot_leave_one_process_is_refused_in_words(method, options, said):
    with pytest.raises(UserError, match=said):
        by_letters(method, scenarios(2), **options)


def test_a_method_that_is_sent_brings_its_needs():
    method = Method("mine", "", {"expert.scenario": "mean"}, needs={"batch_norm": True})
    declared = declaration(method, Settings(**SMALL), 0, 1, ["a"])
    assert declared.settings.batch_norm and declared.digest == declaration(*declared).digest


# ---- bytes ----


def test_the_audit_is_the_bytes_that_were_handed_over():
    data, settings, total = scenarios(3), Settings(**SMALL), {"up": 0, "down": 0}
    declared = declaration(PF, settings, 5, 3, [own.name for own in data])
    records: list[Record] = []
    carry = in_process([ClientSide(own) for own in data])

    def counted(letters):
        answers = carry(letters)
        total["down"] += sum(map(len, letters.values()))
        total["up"] += sum(map(len, answers.values()))
        return answers

    history = conduct(declared, recorded(counted, records))
    for direction, count in total.items():
        assert sum(own.bytes for own in records if own.direction == direction) == count > 10_000
    # the handshake is in it, and the last letters, which bring the last download
    assert {own.round for own in records} == {0, 1, 2, 3, 4}
    # what a run's history calls bytes is the uploads' arrays
    for number, name, *_, size, _ in history.lines:
        sent = [own for own in records if own[:3] == (number, name, "up") and own.name != "head"]
        assert sum(own.bytes for own in sent) == size
    # a download brings all entries that the client holds, an upload those that its rows use
    for n, client in enumerate(ClientSide(own) for own in data):
        held = next(o.shape[0] for o in records if o.client == client.name and o.name == "entries")
        down = [o for o in records if o.client == client.name and o.direction == "down" and o.round == 2]
        assert [o.shape for o in down if o.name == "embedding.weight"] == [(held, SMALL["embedding_size"])]
        used = next(o.shape[0] for o in records if o.client == f"s{n}" and o.name == "used")
        assert used < held


def test_no_letter_holds_a_row():
    data = scenarios(3)
    _, records = audit(data, PF, 2, 0, Settings(**SMALL))
    for own in records:
        rows = len(data[int(own.client[1])].train.labels)
        assert rows not in own.shape, own


def letter():
    arrays = {
        "a.b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "empty": np.zeros((0, 4), np.int32),
        "one": np.array(3.5),
        "flags": np.array([True, False]),
        "columns": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
    }
    return Letter({"auc": float("nan"), "third": 1 / 3, "name": "Bücher"}, arrays)


def test_a_letter_comes_back_from_its_bytes_as_it_was():
    content = pack(letter())
    found = unpack(content)
    assert found.about["third"] == 1 / 3 and np.isnan(found.about["auc"]) and found.about["name"] == "Bücher"
    for name, array in letter().arrays.items():
        assert np.array_equal(found.arrays[name], array) and found.arrays[name].dtype == array.dtype
        assert found.arrays[name].shape == array.shape and found.arrays[name].flags.writeable
    assert sum(size for _, _, size in listed(content)) == len(content)


def test_bytes_that_are_no_letter_are_refused():
    content = pack(letter())
    wrong = [b"", b"\x80\x04", content[:-1], content + b"\0", b"\xff" * 40, content[:30]]
    wrong += [content.replace(b"float32", b"object_"), content.replace(b"[2, 3]", b"[2,-3]", 1)]
    for own in wrong:
        with pytest.raises(UserError, match="no message"):
            unpack(own)
    # nor does a client fall over them: it answers what is wrong
    assert "no message" in unpack(ClientSide(scenario()).answer(b"abc")).about["error"]


@pytest.mark.parametrize(
    "change",
    [{"digest": "../../elsewhere"}, {"number": "../x"}, {"last": None}, {"kind": "other"}, {"kind": None}],
    ids=str,
)
def test_a_client_follows_no_letter_that_names_other_places(change, tmp_path):
    data = scenarios(2)
    side = ClientSide(data[0], Folder(tmp_path / "a" / "state"))
    sides = [side, ClientSide(data[1])]
    declared = declaration(PF, Settings(**SMALL), 5, 1, ["s0", "s1"])
    conduct(declared, in_process(sides))
    before = sorted(path for path in tmp_path.rglob("*"))
    about = {"kind": "round", "digest": declared.digest, "number": 3, "last": 2, "model": 1, "home": False,
             "train": False, **change}  # fmt: skip
    assert "cannot be followed" in unpack(side.answer(pack(Letter(about)))).about["error"]
    assert sorted(path for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "change",
    [{"losses": [1.0]}, {"losses": "no"}, {"scores": {}}, {"seconds": "soon"},
     {"scores": {"valid": [["s0", "click", 1, 1, 1.0, 0.0]], "test": []}}],
    ids=str,
)  # fmt: skip
def test_an_answer_that_makes_no_sense_is_no_answer(change):
    data, told = scenarios(3), []
    carry = in_process([ClientSide(own) for own in data])

    def post(letters):
        answers = carry(letters)
        if unpack(letters["s0"]).about.get("number") == 2:
            letter = unpack(answers["s1"])
            answers["s1"] = pack(Letter({**letter.about, **change}, letter.arrays))
        return answers

    declared = declaration(PF, Settings(**SMALL), 5, 3, [own.name for own in data])
    history = conduct(declared, post, tell=told.append)
    assert any("Client 's1': its answer cannot be read" in line for line in told)
    same(history, by_letters(PF, data, lost=[(2, "s1", "answer")]))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("pf_msmtrec", lambda own: {**own, "entries": own["entries"] + 1000}),
        ("pf_msmtrec", lambda own: {key: own[key] for key in own if key != "uses"}),
        ("local", lambda own: {**own, "rows": -own["rows"]}),
        ("local", lambda own: {**own, "uses": own["rows"]}),
    ],
    ids=["beyond the table", "no uses", "less than no rows", "more than asked for"],
)
def test_a_first_message_that_cannot_be_is_refused_by_name(name, change):
    data = scenarios(2)
    carry = in_process([ClientSide(own) for own in data])

    def post(letters):
        answers = carry(letters)
        letter = unpack(answers["s1"])
        if "rows" in letter.arrays:
            answers["s1"] = pack(Letter(letter.about, change(letter.arrays)))
        return answers

    with pytest.raises(UserError, match="Client 's1': its first message"):
        conduct(declaration(METHODS[name], Settings(**SMALL), 5, 1, ["s0", "s1"]), post)


def test_a_method_that_shares_no_entries_names_none():
    _, records = audit(scenarios(2), METHODS["local"], 2, 0, Settings(**SMALL))
    assert {own.name for own in records} == {"head", "rows", "has_task"}


# ---- who is drawn ----


def test_a_sample_is_of_the_size_asked_for_and_drawn_from_the_seed():
    from pfmsm_lite.federation import drawn

    for share, size in ((0.3, 3), (1.0, 10), (0.01, 1)):
        assert all(sum(drawn(10, share, 0, number)) == size for number in range(20))
    assert drawn(10, 0.3, 0, 1) == drawn(10, 0.3, 0, 1)
    assert len({tuple(drawn(10, 0.3, 0, number)) for number in range(50)}) > 30
    often = np.mean([drawn(10, 0.3, seed, number) for seed in range(20) for number in range(50)], 0)
    assert (abs(often - 0.3) < 0.06).all()
    with pytest.raises(UserError, match="--sample is 1.5, but it must be at most 1"):
        Settings(sample=1.5)


def test_who_is_not_drawn_does_nothing_and_costs_nothing():
    from pfmsm_lite import Federation
    from pfmsm_lite.federation import drawn

    federation = Federation(scenarios(4), PF, Settings(**SMALL, sample=0.5), 3)
    for number in (1, 2, 3):
        before = [{k: v.clone() for k, v in c.model.state_dict().items()} for c in federation.clients]
        losses, seconds, accepted = federation.train(number)
        here = drawn(4, 0.5, 3, number)
        assert [fine is not None for fine in accepted] == here
        federation.serve(accepted), federation.personalize()
        for n, client in enumerate(federation.clients):
            unchanged = all(torch.equal(before[n][k], v) for k, v in client.model.state_dict().items())
            assert unchanged != here[n]
            assert bool(losses[n].isnan().all()) != here[n] and (federation.sent[n] > 0) == here[n]
    history = run(scenarios(4), PF, 3, 3, **SMALL, sample=0.5)
    assert not history.refused  # away is not refused

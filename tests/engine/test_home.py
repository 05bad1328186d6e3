"""What stays at home is in no letter, and the training goes on without it."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from small import SMALL, scenario, scenarios

from pfmsm_lite import METHODS, Settings, run
from pfmsm_lite.engine import (
    ClientSide,
    Folder,
    Letter,
    Memory,
    conduct,
    declaration,
    in_process,
    pack,
    unpack,
)
from pfmsm_lite.engine.command import kept_home
from pfmsm_lite.engine.home import OwnChoice
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import models
from pfmsm_lite.lab.cli import main

PF, ROUNDS, SEED = METHODS["pf_msmtrec"], 3, 5


def played(home, data, method=PF, rounds=ROUNDS, lost=(), sides=None, keep=None, **options):
    """(History, name → what that client answered, letter by letter)."""
    settings = Settings(**{**SMALL, **options})
    declared = declaration(method, settings, SEED, rounds, [own.name for own in data], home)
    sides, said = sides or [ClientSide(own) for own in data], {own.name: [] for own in data}
    carry = in_process(sides, lost)

    def post(letters):
        answers = carry(letters)
        for name, content in answers.items():
            said[name].append(unpack(content))
        return answers

    return conduct(declared, post, keep=keep), said


def inside(value):
    """All keys and values of plain values, however deep."""
    parts = [*value.items()] if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [value, *(deep for part in parts for deep in inside(part))]


def equal(one, other):
    arrays = [np.array_equal(np.stack(v), np.stack(other.arrays[k])) for k, v in one.arrays.items()]
    return all(arrays) and one.arrays.keys() == other.arrays.keys()


def evaluated(data, method=PF, **options):
    """Of the loop in one process: (round → name → split → lines, round → name → its model's tensors)."""
    found, kept = {}, {}

    def after(history, federation):
        number, clients = history.rounds_done, federation.clients
        found[number] = {c.name: {s: c.evaluate(s) for s in ("valid", "test")} for c in clients}
        kept[number] = {c.name: {k: v.clone() for k, v in models.of_client(c).items()} for c in clients}

    run(data, method, ROUNDS, SEED, settings=Settings(**{**SMALL, **options}), after_round=after)
    return found, kept


def read(text):
    return [[int(r), s, t, p, int(n), int(k), float(a or "nan"), float(x or "nan")]
            for r, s, t, p, n, k, a, x in csv.reader(text.splitlines()[1:])]  # fmt: skip


# ---- scores ----


def test_no_letter_up_holds_a_score_or_a_loss_and_the_uploads_are_the_same():
    data = scenarios(3)
    usual, open_letters = played((), data)
    kept, letters = played(("scores",), data)
    words, secret = {"scores", "losses", "auc", "logloss", "positives", "rows", "valid", "test"}, set()
    for round_ in evaluated(data)[0].values():
        numbers = {x for own in round_.values() for lines in own.values() for line in lines for x in line[2:]}
        secret |= numbers
    for letter in (letter for own in open_letters.values() for letter in own):
        secret |= set(letter.about.get("losses", ()))

    def told(found):
        return [x for own in found.values() for letter in own for x in inside(letter.about)
                if "digest" not in letter.about]  # fmt: skip  # not the schema

    def secrets(found):
        values = [x for x in told(found) if isinstance(x, (int, float, str)) and not isinstance(x, bool)]
        return {x for x in values if x in words or (isinstance(x, float) and x in secret) or x == 80}

    assert len(secrets(open_letters)) > 40  # the test would notice them
    assert not secrets(letters)
    # arrays: byte for byte those of a training that tells its scores
    for name, own in open_letters.items():
        for one, other in zip(own, letters[name], strict=True):
            assert list(one.arrays) == list(other.arrays)
            assert all(part.tobytes() == other.arrays[key].tobytes() for key, part in one.arrays.items())
    assert equal(usual, kept)


def test_the_server_names_no_best_round_and_its_files_hold_nan():
    data, keep = scenarios(3), Memory()
    history, _ = played(("scores",), data, keep=keep)
    assert history.best is None and history.best_round == 0 and history.rounds_done == ROUNDS
    assert history.rounds["valid_auc"].isna().all() and history.rounds["train_loss"].isna().all()
    assert len(history.rounds) == ROUNDS * 3 * 2 and (history.rounds["bytes"] > 0).all()
    assert history.results.empty and history.weights.notnull().all()
    assert set(keep.load("server")["side"]["best_models"].values()) == {0}
    declared = declaration(PF, Settings(**SMALL), SEED, ROUNDS, ["s0", "s1", "s2"], ["scores"])
    said = kept_home("pf_msmtrec-5", declared, history)
    assert said.startswith("pf_msmtrec-5: played to round 3. Its scores stay with their owners")
    assert f"{declared.digest}/scores.csv" in said


@pytest.mark.parametrize(
    "options", [{"learning_rate": 0.2}, {"learning_rate": 0.2, "choose": "logloss"}], ids=str
)
def test_each_client_has_its_scores_and_the_model_of_its_own_best_round(options, tmp_path):
    data = scenarios(3)
    sides = [ClientSide(own, Folder(tmp_path / own.name)) for own in data]
    declared = declaration(PF, Settings(**SMALL, **options), SEED, ROUNDS, ["s0", "s1", "s2"], ["scores"])
    played(("scores",), data, sides=sides, **options)
    usual, made = evaluated(data, **options)
    place, chosen = 5 if "choose" in options else 4, {}
    for n, own in enumerate(data):
        state = tmp_path / own.name / declared.digest
        lines = read((state / "scores.csv").read_text(encoding="utf-8"))
        wanted = [[number, *line[:2], split, *line[2:]] for number, round_ in usual.items()
                  for split, part in round_[own.name].items() for line in part]  # fmt: skip
        assert np.array_equal([x[4:] for x in lines], [x[4:] for x in wanted], equal_nan=True)
        assert [x[:4] for x in lines] == [x[:4] for x in wanted]
        # by hand: the best mean over its tasks on its validation rows
        means = [np.nanmean([line[place] for line in usual[r][own.name]["valid"]]) for r in usual]
        best = 1 + int(np.argmin(means) if place == 5 else np.argmax(means))
        last = Folder(tmp_path / own.name).load(f"{declared.digest}/{ROUNDS + 1}")
        assert last["choice"]["history"]["best_round"] == best
        kept = Folder(state).load(f"model-{best}")["tensors"]
        assert kept.keys() == made[best][own.name].keys()
        assert all(torch.equal(part, made[best][own.name][key]) for key, part in kept.items())
        assert len(list(state.glob("model-*.pt"))) <= 2
        chosen[n] = best
    assert set(chosen.values()) != {ROUNDS}  # there was something to choose


def test_an_answer_that_was_lost_never_happened_in_a_clients_own_choice_either():
    data, found = scenarios(3), []
    for what in ("letter", "answer"):
        sides = [ClientSide(own) for own in data]
        played(("scores",), data, sides=sides, lost=[(2, "s1", what), (1, "s0", what)])
        found.append([{n.partition("/")[2]: own for n, own in side.kept.kept.items()} for side in sides])
    for one, other in zip(*found, strict=True):
        assert one["scores.csv"] == other["scores.csv"]
        best = one[str(ROUNDS + 1)]["choice"]["history"]["best_round"]
        assert best == other[str(ROUNDS + 1)]["choice"]["history"]["best_round"]
        assert f"model-{best}" in one and f"model-{best}" in other
        assert len(one) <= 6
    # s1 never heard of what became of round 1
    rounds = {line[0] for line in read(found[0][1]["scores.csv"])}
    assert rounds == {3}
    assert {line[0] for line in read(found[0][0]["scores.csv"])} == {2, 3}


def test_a_server_that_is_killed_goes_on_and_the_owners_scores_are_whole():
    class Killed(Exception):
        pass

    data = scenarios(3)
    whole = [ClientSide(own) for own in data]
    declared = declaration(PF, Settings(**SMALL), SEED, ROUNDS, ["s0", "s1", "s2"], ["scores"])
    conduct(declared, in_process(whole))
    for until in (3, 5):
        sides, keep, count = [ClientSide(own) for own in data], Memory(), iter(range(1, 99))

        def post(letters, sides=sides, count=count, until=until):
            answers = in_process(sides)(letters)
            if next(count) == until:
                raise Killed
            return answers

        with pytest.raises(Killed):
            conduct(declared, post, keep=keep)
        conduct(declared, in_process(sides), keep=keep)
        for one, other in zip(whole, sides, strict=True):
            file = f"{declared.digest}/scores.csv"
            assert one.kept.load(file) == other.kept.load(file)


def test_a_client_without_validation_labels_takes_the_last_round():
    choice = OwnChoice("a", "auc")
    nothing = {"valid": [("a", "click", 0, 0, math.nan, math.nan)], "test": [("a", "click", 9, 4, 0.6, 0.7)]}
    for number in (1, 2, 3):
        choice.take(number, nothing)
    assert choice.best == 3
    again = OwnChoice("a", "auc", choice.state())
    again.take(4, nothing)
    assert again.best == 4 and len(again.lines) == 8
    # where one class is missing, log loss decides
    one = OwnChoice("a", "auc")
    for number, loss in ((1, 0.5), (2, 0.3), (3, 0.4)):
        one.take(number, {"valid": [("a", "click", 9, 0, math.nan, loss)]})
    assert one.best == 2


def test_a_training_that_stops_says_no_best_round():
    """NaN from round 2 on at every client: no upload is left."""
    data = scenarios(2)
    carry = in_process([ClientSide(own) for own in data])

    def post(letters):
        answers = carry(letters)
        for name, content in answers.items():
            letter = unpack(content)
            if letter.about.get("number") == 2:
                answers[name] = pack(Letter({**letter.about, "fine": False}))
        return answers

    declared = declaration(PF, Settings(**SMALL), SEED, ROUNDS, ["s0", "s1"], ["scores"])
    history = conduct(declared, post)
    assert history.stopped == "stopped in round 2: no upload came that could be used"
    assert history.rounds_done == 1 and "(stopped in round 2" in kept_home("x", declared, history)


# ---- rows ----


def letters_of_rows(letters):
    every = [letter.arrays for own in letters.values() for letter in own]
    return {float(arrays["rows"]) for arrays in every if "rows" in arrays}


@pytest.mark.parametrize(
    ("method", "rows"),
    [("fedavg", 90), ("pf_msmtrec", 128), ("pf_msmtrec_partners", 90)],  # kin: a power of two rounds nothing
)
def test_of_scenarios_of_equal_size_the_bits_are_those_of_run(method, rows):
    data = [scenario(f"s{n}", rows=rows, seed=n) for n in range(3)]
    found, letters = played(("rows",), data, METHODS[method], entries="named")
    assert letters_of_rows(letters) == {1.0}
    usual = run(data, METHODS[method], ROUNDS, SEED, **SMALL, entries="named")
    assert equal(found, usual) and repr(found.best) == repr(usual.best)


def test_a_method_that_does_not_weigh_by_rows_is_the_same_and_fedavg_is_another():
    data = scenarios(3)  # of 60, 120 and 180 rows
    for name, same in (("pf_msmtrec_partners", True), ("local", True), ("fedavg", False)):
        found, letters = played(("rows",), data, METHODS[name], entries="named")
        usual = run(data, METHODS[name], ROUNDS, SEED, **SMALL, entries="named")
        assert (equal(found, usual) and repr(found.best) == repr(usual.best)) == same, name
        assert letters_of_rows(letters) == {1.0}
        sizes = {60, 120, 180}
        assert not [x for own in letters.values() for letter in own for x in inside(letter.about)
                    if isinstance(x, int) and x in sizes]  # fmt: skip


def test_the_number_of_validation_rows_is_in_no_hello():
    _, letters = played((), scenarios(2))
    for own in letters.values():
        assert own[0].about["valid"] is True and 80 not in inside(own[0].about)


# ---- what is refused ----


@pytest.mark.parametrize(
    ("home", "options", "said"),
    [
        (["score"], {}, "Unknown name in --home 'score'. Did you mean 'scores'"),
        (["scores"], {"patience": 2}, "--patience ends a training by its scores"),
        (["rows"], {}, "--home rows hides nothing .* Add --entries named or whole"),
    ],
    ids=str,
)
def test_what_cannot_stay_at_home_is_refused_in_words(home, options, said):
    with pytest.raises(UserError, match=said):
        played(home, scenarios(2), **options)


def test_where_no_entries_are_shared_the_rows_may_stay_with_entries_counted():
    for method in (METHODS["local"], replace(PF, share={**PF.share, "embedding": "local"})):
        assert declaration(method, Settings(**SMALL), 0, 1, ["a"], ["rows"]).home == ("rows",)


def test_the_order_of_names_does_not_matter_and_none_is_as_before():
    made = [declaration(PF, Settings(entries="named"), 0, 1, ["a"], home)
            for home in (["rows", "scores"], ["scores", "rows"], ())]  # fmt: skip
    assert made[0] == made[1] and made[0].digest == made[1].digest != made[2].digest
    assert made[2] == declaration(PF, Settings(entries="named"), 0, 1, ["a"])


def test_an_owner_that_wants_its_scores_at_home_takes_no_part_in_another_training():
    data = scenarios(2)
    for home in ((), ("rows",)):
        sides = [ClientSide(data[0]), ClientSide(data[1], home=["scores"])]
        with pytest.raises(UserError, match="Client 's1': .* scores to stay at home. Start the server"):
            played(home, data, sides=sides, entries="named")
    sides = [ClientSide(data[0]), ClientSide(data[1], home=["scores"])]
    played(("scores",), data, sides=sides)
    # nor by a later letter
    text = declaration(PF, Settings(**SMALL), SEED, 1, ["s0", "s1"]).text
    answer = unpack(sides[1].answer(pack(Letter({"kind": "join", "declaration": text}))))
    assert "to stay at home" in answer.about["error"] and not answer.arrays
    # nor in one that it had joined before its owner wanted that
    sides = [ClientSide(own) for own in data]
    declared = declaration(PF, Settings(**SMALL), SEED, 1, ["s0", "s1"])
    conduct(declared, in_process(sides))
    about = {"kind": "round", "digest": declared.digest, "number": 3, "last": 2, "model": 1, "home": False,
             "train": True}  # fmt: skip
    letter = pack(Letter(about))
    for home, refused in (((), False), (("scores",), True)):
        answer = unpack(ClientSide(data[1], sides[1].kept, home).answer(letter))
        assert ("to stay at home" in answer.about.get("error", "")) == refused != bool(answer.arrays)


def test_the_command_on_one_machine_refuses_it(capsys):
    assert main(["flower", "--home", "scores", "--rounds", "1"]) != 0
    assert "there is nothing to keep from anybody" in " ".join(capsys.readouterr().err.split())

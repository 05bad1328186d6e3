"""Models that a training leaves: what they say, also after a kill, and what of others' entries."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from small import FIELDS, SMALL, scenarios

from pfmsm_lite import METHODS, Rows, Settings
from pfmsm_lite.errors import UserError
from pfmsm_lite.history import score
from pfmsm_lite.lab import checkpoint as checkpoints
from pfmsm_lite.lab import models

# one client, a second model at home, an optimizer of its own, trees, regressions, buffers of BatchNorm
METHODS_OF_ALL_KINDS = (
    "pooled", "m3oe", "star", "boosted_tree", "logistic", "logistic_pooled", "local", "fedavg", "pf_msmtrec",
    "ditto", "fedbn",
)  # fmt: skip


class Stop(Exception):
    """Stands for a kill."""


def train(folder, name, rounds=4, data=None, stop=None, keep=False, **options):
    def progress(done, rounds, auc):
        if done == stop:
            raise Stop

    return checkpoints.run_resumable(
        data or scenarios(3), METHODS[name] if isinstance(name, str) else name, rounds, 0,
        settings=Settings(**{**SMALL, **options}), checkpoint=folder / "cell.pt", checkpoint_seconds=0,
        progress=progress, model=folder / "models" / "cell.pt", keep=keep,
    )  # fmt: skip


def kept(folder):
    return models.Model(models.read(folder / "models" / "cell.pt"))


@pytest.mark.parametrize("name", METHODS_OF_ALL_KINDS)
def test_a_kept_model_says_what_the_results_of_the_best_round_say(name, tmp_path):
    data, options = scenarios(3), {"learning_rate": 0.1, "unknown_rate": 0.1}  # overfits soon
    history = train(tmp_path, name, rounds=20, data=data, **options)
    assert history.best_round < 20
    model = kept(tmp_path)
    assert model.round == history.best_round and model.scenarios == ["s0", "s1", "s2"]
    found = history.results.set_index(["scenario", "task", "split"])
    for scenario in data:
        for split in ("valid", "test"):
            rows = scenario.rows(split)
            said = model.probabilities(scenario.name, rows).numpy()
            for t, task in enumerate(scenario.tasks):
                line = found.loc[scenario.name, task, split]
                labels = rows.labels[:, t].numpy()
                assert roc_auc_score(labels, said[:, t]) == pytest.approx(line["auc"], abs=1e-12)
                assert score(labels, said[:, t])[3] == line["logloss"]


@pytest.mark.parametrize("name", ["pooled", "boosted_tree", "ditto"])
def test_a_kept_model_says_what_was_corrected_at_home(name, tmp_path):
    data, options = scenarios(3), {"learning_rate": 0.1, "calibrate": "platt"}
    data[1].valid.labels[:, 0] = 1.0  # nothing to fit a line on
    found = train(tmp_path, name, data=data, **options).results.set_index(["scenario", "task", "split"])
    model = kept(tmp_path)
    for scenario in data:
        said = model.probabilities(scenario.name, scenario.test).numpy()
        for t, task in enumerate(scenario.tasks):
            line = found.loc[scenario.name, task, "test"]
            assert score(scenario.test.labels[:, t].numpy(), said[:, t])[2:] == (line["auc"], line["logloss"])
    lines = models.read(tmp_path / "models" / "cell.pt")["tensors"]["calibration.1"]
    assert lines[0].tolist() == [0.0, 1.0] and lines[1].tolist() != [0.0, 1.0]


@pytest.mark.parametrize("name", METHODS_OF_ALL_KINDS)
def test_a_training_that_was_cut_off_leaves_the_same_model_bit_by_bit(name, tmp_path):
    options = {"learning_rate": 0.05, "embedding_optimizer": "lazy_adam"}
    train(tmp_path / "whole", name, **options)
    for stop in (1, 3):
        with pytest.raises(Stop):
            train(tmp_path / "cut", name, stop=stop, **options)
    assert not (tmp_path / "cut" / "models").exists()
    train(tmp_path / "cut", name, **options)
    first, second = (tmp_path / f / "models" / "cell.pt" for f in ("whole", "cut"))
    assert first.read_bytes() == second.read_bytes()


def test_a_constant_base_rate_that_stays_at_home_is_part_of_the_model(tmp_path):
    from dataclasses import replace

    data = scenarios(3)
    history = train(tmp_path, replace(METHODS["fedavg"], intercept="home"), data=data, rounds=1)
    rows = data[2].test
    said = kept(tmp_path).probabilities("s2", rows)[:, 0].numpy()
    found = history.results.query("scenario == 's2' and split == 'test'")["logloss"].iloc[0]
    assert score(rows.labels[:, 0].numpy(), said)[3] == found
    assert models.read(tmp_path / "models" / "cell.pt")["tensors"]["2.model.intercept"].abs().sum() > 0


def one(user, item):
    return Rows(torch.tensor([[user, item]]), torch.zeros(1, 2), torch.zeros(1, 2))


@pytest.mark.parametrize("name", ["fedavg", "ditto", "local"])
def test_entries_of_others_come_from_the_server_and_those_of_nobody_are_unknown(name, tmp_path):
    data = scenarios(2)
    for scenario in data:  # user 29 nowhere, user 28 at the second client alone
        for split in ("train", "valid", "test"):
            users = scenario.rows(split).categorical[:, 0]
            users[users == 29] = 1
            users[users == 28] = 2
    data[1].train.categorical[0, 0] = 28
    train(tmp_path, name, data=data)
    model = kept(tmp_path)
    stranger, nobody, other = (model.probabilities("s0", one(u, 3)) for u in (0, 29, 28))
    assert torch.equal(stranger, nobody)
    tensors = models.read(tmp_path / "models" / "cell.pt")["tensors"]
    assert 28 not in tensors["0.entries"] and 28 in tensors["1.entries"]
    if name == "local":
        assert torch.equal(stranger, other)
        return
    # by hand: the client's model with the server's vector in the place of an entry that it holds
    place, there = int(tensors["0.entries"][5]), tensors["server.entries"]
    assert 0 < place < FIELDS["user"]
    vector = tensors["server.table"][there == 28][0]
    changed = {**tensors, "0.model.embedding.weight": tensors["0.model.embedding.weight"].clone()}
    changed["0.model.embedding.weight"][5] = vector
    by_hand = models.Model({**models.read(tmp_path / "models" / "cell.pt"), "tensors": changed})
    assert torch.equal(by_hand.probabilities("s0", one(place, 3)), other)
    assert not torch.equal(stranger, other)


def test_a_finished_training_keeps_its_history_alone_unless_it_is_to_go_on(tmp_path):
    first = train(tmp_path / "a", "pf_msmtrec")
    small = (tmp_path / "a" / "cell.pt").stat().st_size
    train(tmp_path / "b", "pf_msmtrec", keep=True)
    assert small < 0.5 * (tmp_path / "b" / "cell.pt").stat().st_size
    # nothing is trained again
    again = train(tmp_path / "a", "pf_msmtrec", stop=1)
    assert again.results.equals(first.results) and again.rounds.equals(first.rounds)
    assert all(np.array_equal(again.array(name), first.array(name)) for name in first.arrays)
    # more rounds: from the first, or where it stood; the end is the same
    with pytest.raises(Stop):
        train(tmp_path / "a", "pf_msmtrec", rounds=6, stop=1)
    long = [train(tmp_path / f, "pf_msmtrec", rounds=6, stop=1 if f == "b" else None) for f in "ab"]
    assert long[0].results.equals(long[1].results) and long[0].rounds_done == 6
    model = [(tmp_path / f / "models" / "cell.pt").read_bytes() for f in "ab"]
    assert model[0] == model[1]
    with pytest.raises(UserError, match="has done 6 rounds, and --rounds 5 would be fewer"):
        train(tmp_path / "a", "pf_msmtrec", rounds=5)


def test_a_training_whose_model_is_gone_is_done_again(tmp_path):
    train(tmp_path, "local")
    file = tmp_path / "models" / "cell.pt"
    before = file.read_bytes()
    file.unlink()
    train(tmp_path, "local")
    assert file.read_bytes() == before


def test_any_flipped_bit_is_refused(tmp_path):
    train(tmp_path, "local", rounds=1)
    fingerprint = torch.load(tmp_path / "cell.pt", weights_only=True)["fingerprint"]
    for file, load in (
        (tmp_path / "cell.pt", lambda path: checkpoints.load(path, fingerprint)),
        (tmp_path / "models" / "cell.pt", models.read),
    ):
        whole = file.read_bytes()
        assert load(file)
        last = whole[:-1].rindex(b"\n")
        bits = [(place, place % 8) for place in range(0, last, 61)]
        bits += [(place, bit) for place in range(last, len(whole)) for bit in range(8)]
        for place, bit in bits:
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            file.write_bytes(flipped)
            with pytest.raises(UserError, match="damaged.*(Delete|anew)"):
                load(file)
        file.write_bytes(whole)
        assert load(file)


def test_a_kept_model_runs_no_code(tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return (print, ("code from a model ran",))

    torch.save({"format": models.FORMAT, "about": Evil(), "tensors": {}}, tmp_path / "cell.pt")
    with pytest.raises(UserError, match="damaged"):
        models.read(tmp_path / "cell.pt")
    assert "ran" not in capsys.readouterr().out

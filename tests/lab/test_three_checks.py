"""The checks: oracles for what each measures, and the command, which goes on where it was."""

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import pfmsm_lite.rivals  # noqa: F401
from pfmsm_lite import METHODS, Rows, Settings, run
from pfmsm_lite.data import synthetic
from pfmsm_lite.errors import UserError
from pfmsm_lite.federation import Federation
from pfmsm_lite.history import average_auc
from pfmsm_lite.lab import checks, checks_data, checks_gradient, checks_share, checks_transfer
from pfmsm_lite.lab.checks import CHECKS, Cell, cells
from pfmsm_lite.lab.checks_gradient import GROUP, compared, gradients
from pfmsm_lite.lab.checks_share import LEVELS, method_of, variants
from pfmsm_lite.lab.checks_transfer import agreement, interval, mantel, matrices, row_ranks, transfer
from pfmsm_lite.lab.cli import main

FIELDS = {"user": 20, "item": 10}
SMALL = {"sizes": (60, 90, 61), "fields": FIELDS, "test_rows": 60}
SGD = replace(METHODS["fedavg_sum"], name="by_sgd", optimizer_state="sgd")


@pytest.fixture(scope="module")
def scenarios():
    return synthetic(**SMALL, relatedness=(0, 0, 1))[0]


# ---- plain gradient steps ----


def test_a_step_of_sgd_is_the_gradient_times_the_rate(scenarios):
    federation = Federation(scenarios, SGD, Settings(learning_rate=0.5, batch_size=500), 0)
    client = federation.clients[0]
    before, found = client.snapshot(), client.gradient(10**6)
    client.train()
    after = client.snapshot()
    assert client.optimizers == client.steps  # what is kept is what is used
    assert "embedding.weight" in found and len(found) > 8
    for name, gradient in found.items():
        assert torch.allclose(after[name], before[name] - 0.5 * gradient, atol=1e-6), name


@pytest.mark.parametrize("embedding", ["adam", "lazy_adam"])
def test_sgd_goes_on_from_a_state_with_the_same_bits(scenarios, embedding):
    settings, kept = Settings(learning_rate=0.3, embedding_optimizer=embedding, weight_decay=0.01), {}

    def keep(history, federation):
        if history.rounds_done == 1:
            kept.update(history=history.state(), federation=federation.state())

    whole = run(scenarios, SGD, 3, 0, settings=settings, after_round=keep)
    again = run(scenarios, SGD, 3, 0, settings=settings, state=kept)
    assert whole.rounds["valid_auc"].tolist() == again.rounds["valid_auc"].tolist()
    assert whole.rounds["train_loss"].tolist() == again.rounds["train_loss"].tolist()


# ---- a: gradients and differences ----


def test_one_step_on_all_rows_is_the_gradient_itself(scenarios):
    found = checks_gradient.measure(scenarios, (0, 0, 1), ("SGD", 1), 0, batch_size=500)
    assert found["alignment"].tolist() == pytest.approx([1] * len(found), abs=1e-5)
    assert found["rank"].tolist() == pytest.approx([1] * len(found))
    conflicting = found[found["conflicts"] > 0]
    assert len(conflicting) and (conflicting["seen"] == 1).all()
    assert found["false_alarm"].dropna().tolist() == [0] * found["false_alarm"].notna().sum()
    assert (found["groups_gradient"] == found["groups_difference"]).all()


def test_gradients_of_halves_are_those_of_the_rows_of_each_half(scenarios):
    federation = Federation(scenarios, METHODS["fedavg_sum"], Settings(), 0)
    whole, first, second = gradients(federation)
    for n, client in enumerate(federation.clients):
        half = len(client.labels) // 2
        parameters = dict(client.model.named_parameters())
        for rows, stack in ((slice(0, half), first), (slice(half, None), second), (slice(None), whole)):
            some = Rows(*(part[rows] for part in client.train_rows[:3]))
            message = {**client.upload(), **client._gradient(some, parameters)}
            assert torch.allclose(federation.block(GROUP).one(message), stack[:, n], atol=1e-6)


def test_measures_by_hand():
    gradient = torch.tensor([[[1.0, 0], [1, 0.5], [-1, 0.1], [-1, 0.4]]])  # [1, 4, 2]
    found = compared(gradient, gradient, -gradient, -gradient, (0, 0, 1, 1))
    assert found["alignment"] == pytest.approx(1) and found["halves"] == pytest.approx(-1)
    assert found["conflicts"] == pytest.approx(4 / 6) and found["seen"] == 1 and found["false_alarm"] == 0
    assert found["groups_difference"] == 1 and found["rank"] == pytest.approx(1)
    turned = torch.tensor([[[-1.0, 0], [1, 0], [-1, 0], [1, 0]]])  # who was alike is now opposed
    found = compared(gradient, gradient, gradient, turned, (0, 0, 1, 1))
    assert found["seen"] == pytest.approx(0.5) and found["false_alarm"] == 1
    assert found["groups_gradient"] == 1 and found["groups_difference"] == pytest.approx(0.25)
    assert math.isnan(compared(gradient, gradient, gradient, turned, None)["groups_gradient"])


# ---- b: how much to share ----


def test_each_level_sends_more_and_its_ends_are_known_methods(scenarios):
    assert method_of("nothing", "mean").sent == METHODS["local"].sent
    alone, known = method_of("embedding", "mean"), METHODS["embedding_only"]
    assert (alone.sent, alone.embedding, alone.compose) == (known.sent, known.embedding, known.compose)
    everything, known = method_of(LEVELS[-1], "mean"), METHODS["fedavg_sum"]
    assert (everything.sent, everything.embedding) == (known.sent, known.embedding)
    bytes_of = [
        sum(entry[2] for entry in Federation(scenarios, method_of(level, "mean"), Settings(), 0).payload()[0])
        for level in LEVELS
    ]
    assert bytes_of[0] == 0 and bytes_of == sorted(bytes_of)
    assert len(set(bytes_of[:5])) == 5
    kin = method_of("and towers", "kin")
    assert kin.rules == {"embedding": "mean", "expert.scenario": "kin", "tower": "kin"}
    assert len(variants()) == 14 and len(set(variants())) == 14


def lines_of(aucs):
    """{(level, rule): {client: [AUC of each seed]}} → lines of cells."""
    return pd.DataFrame(
        [
            ("w", level, rule, seed, client, "click", "test", auc, 4, 100.0)
            for (level, rule), own in aucs.items()
            for client, values in own.items()
            for seed, auc in enumerate(values)
        ],
        columns=["world", "level", "rule", "seed", "scenario", "task", "split", "auc", "best_round", "bytes"],
    )


def test_gains_steps_and_breaks_by_hand():
    table = checks_share.summary(
        lines_of({
            ("nothing", "mean"): {"a": [0.6, 0.62], "b": [0.7, 0.7]},
            ("embedding", "mean"): {"a": [0.66, 0.68], "b": [0.72, 0.74]},
            (LEVELS[2], "mean"): {"a": [0.62, 0.64], "b": [0.7, 0.72]},  # 3 points less, both seeds
            (LEVELS[2], "kin"): {"a": [0.7, 0.7], "b": [0.69, 0.71]},
        })
    )["share.csv"]  # fmt: skip
    own = table.set_index(["level", "rule"])
    assert own.loc[("embedding", "mean"), "gain"] == pytest.approx(4.5)  # 4 and 5
    assert own.loc[(LEVELS[2], "mean"), ["step", "step_high"]].tolist() == pytest.approx([-3, -3])
    assert own.loc[(LEVELS[2], "kin"), "step"] == pytest.approx(0)  # over the embedding: 0.695, 0.705
    assert own.loc[(LEVELS[2], "kin"), ["worst_client", "worst"]].tolist() == ["b", pytest.approx(0)]
    found = checks_share.breaks(table).set_index("rule")
    assert found["best"]["mean"] == "embedding" and found["gain"]["mean"] == pytest.approx(4.5)
    assert found["breaks"].to_dict() == {
        "mean": LEVELS[2],
        "kin": "",
        "mean, base rates at home": "",
        "kin, base rates at home": "",
    }


# ---- c: transfer ----


def test_parts_are_exchanged_and_put_back(scenarios):
    federation = Federation(scenarios, METHODS["no_blend"], Settings(), 0)
    federation.train()
    before = [client.snapshot() for client in federation.clients]
    found = transfer(federation, ("expert.scenario",), "test")
    for client, state in zip(federation.clients, before, strict=True):
        after = client.snapshot()
        assert all(torch.equal(after[name], state[name]) for name in state)
    by_hand = np.full((3, 3), np.nan)
    for n, m in [*permutations(range(3), 2), *((k, k) for k in range(3))]:
        client = federation.clients[n]
        part = {name: before[m][name] for name in client.shared["expert.scenario"]}
        client.model.load_state_dict({**before[n], **part})
        by_hand[n, m] = average_auc(client.evaluate("test"))
        client.model.load_state_dict(before[n])
    assert np.array_equal(found, by_hand)
    assert len(set(found.ravel().tolist())) > 6


def test_a_look_inside_does_not_change_the_training(scenarios, monkeypatch):
    monkeypatch.setattr(checks_transfer, "ROUNDS", 2)
    lines = checks_transfer.measure(scenarios, None, (), 0)
    history = run(scenarios, METHODS["no_blend"], 2, 0)
    experts = lines[(lines["part"] == "experts") & (lines["round"] == 2)]
    weights = history.weights.sel(round=2)
    weights = weights.sel(unit=[u for u in weights["unit"].values if u.startswith("expert ")]).mean("unit")
    for line in experts.itertuples():
        assert line.weight == pytest.approx(float(weights.sel(client=line.client, source=line.source)))
    assert set(lines["part"]) == set(checks_transfer.PARTS) and len(lines) == 2 * 2 * 3 * 6


def matrix(size, seed):
    return np.random.default_rng(seed).normal(size=(size, size))


def test_agreement_is_the_mean_of_the_rows_rank_correlations():
    first, second = matrix(6, 0), matrix(6, 1)
    others = [np.arange(6) != n for n in range(6)]
    each = [stats.spearmanr(first[n, o], second[n, o]).statistic for n, o in enumerate(others)]
    assert agreement(row_ranks(first), row_ranks(second)) == pytest.approx(np.mean(each))
    assert agreement(row_ranks(first), row_ranks(np.exp(first) + np.arange(6)[:, None])) == pytest.approx(1)
    assert agreement(row_ranks(first), row_ranks(-first)) == pytest.approx(-1)
    assert math.isnan(agreement(row_ranks(first), row_ranks(np.ones((6, 6)))))


def test_a_client_that_was_drawn_twice_counts_as_two():
    first, second = row_ranks(matrix(4, 2)), row_ranks(matrix(4, 3))
    times = np.array([2, 1, 0, 1])
    drawn = np.repeat(np.arange(4), times)
    pairs = [(n, m) for n in range(len(drawn)) for m in range(len(drawn)) if drawn[n] != drawn[m]]
    a, b = (np.array([part[drawn[n], drawn[m]] for n, m in pairs]) for part in (first, second))
    assert agreement(first, second, times) == pytest.approx(
        (a * b).sum() / math.sqrt((a**2).sum() * (b**2).sum())
    )


def test_mantel_knows_one_structure_from_none(monkeypatch):
    monkeypatch.setattr(checks_transfer, "DRAWS", 300)
    same = [(row_ranks(matrix(6, k)),) * 2 for k in range(3)]
    assert mantel(same) == pytest.approx(1 / 301)
    none = [mantel([(row_ranks(matrix(5, k)), row_ranks(matrix(5, 100 + k)))]) for k in range(40)]
    assert 0.35 < np.mean(none) < 0.65 and np.mean(np.array(none) < 0.1) < 0.3
    # two groups that no order of the names can tell from their mirror image
    groups = np.equal.outer([0, 0, 1, 1], [0, 0, 1, 1]).astype(float)
    assert mantel([(row_ranks(groups),) * 2]) == pytest.approx(1 / 3, abs=0.1)  # 8 of 24 orders


def test_an_interval_holds_its_mean_and_is_wide_for_few_clients(monkeypatch):
    monkeypatch.setattr(checks_transfer, "DRAWS", 300)
    pairs = [(row_ranks(a), row_ranks(a + matrix(8, 50 + k))) for k in range(3) for a in (matrix(8, k),)]
    mean, low, high = interval(pairs)
    assert low < mean < high and mean == pytest.approx(np.mean([agreement(*both) for both in pairs]))
    few = interval([(a[:4, :4], b[:4, :4]) for a, b in pairs])
    assert few[2] - few[1] > high - low


def test_the_gain_is_over_ones_own_part():
    lines = pd.DataFrame(
        [("a", "b", 0.7, 0.6, 0.2), ("b", "a", 0.5, 0.55, 0.4)],
        columns=["client", "source", "auc", "own", "weight"],
    )
    gain, weight = matrices(lines)
    assert gain[0, 1] == pytest.approx(10) and gain[1, 0] == pytest.approx(-5) and np.isnan(gain[0, 0])
    assert weight[0, 1] == 0.2 and weight[1, 0] == 0.4


# ---- the rows, and the command ----


def test_the_groups_of_generated_worlds_are_those_of_their_truth():
    for world in ("two groups, 1000 rows", "sixteen of 600 rows in four groups"):
        scenarios, clusters = checks_data.rows_of(world, 0, None)
        known = checks_data.groups_of(world)
        assert [known[scenario.name] for scenario in scenarios] == clusters
    assert checks_data.groups_of("OULAD") == {}


def test_a_sample_is_drawn_from_the_seed(scenarios):
    most = {"train": 30, "valid": 400, "test": 20}
    one, again, other = (checks_data.sampled(scenarios[1], seed, most) for seed in (1, 1, 2))
    assert torch.equal(one.train.labels, again.train.labels)
    assert not torch.equal(one.train.numerical, other.train.numerical)
    assert [len(one.rows(split).labels) for split in most] == [30, 300, 20]


def test_rows_that_are_not_there_are_named(tmp_path):
    with pytest.raises(UserError, match=r"OULAD \(oulad.csv\*\) are not below --data-dir"):
        checks_data.rows_of("OULAD", 0, tmp_path)


@pytest.fixture
def tiny(monkeypatch):
    """All three checks in one small world, as short as they can be."""
    monkeypatch.setattr(checks_data, "GENERATED", {"tiny": {**SMALL, "relatedness": [0, 0, 1]}})
    for check in CHECKS.values():
        monkeypatch.setattr(check.module, "WORLDS", ("tiny", "OULAD"))
    monkeypatch.setattr(checks_gradient, "ROUNDS", {1: 1})
    monkeypatch.setattr(checks_share, "ROUNDS", 1)
    monkeypatch.setattr(checks_transfer, "ROUNDS", 1)
    monkeypatch.setattr(checks_transfer, "DRAWS", 20)


def test_the_command_goes_on_where_it_was(tiny, tmp_path, monkeypatch, capsys):
    words = ["checks", "--seeds", "2", "--out", str(tmp_path / "c")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "left out: OULAD" in said and "36 of 36: transfer, tiny, seed 1" in said
    names = {"gradient.csv", "gradient_rounds.csv", "share.csv", "share_seeds.csv", "transfer.csv",
             "transfer_pairs.csv", "config.json"}  # fmt: skip
    before = {name: (tmp_path / "c" / name).read_bytes() for name in names}
    table = pd.read_csv(tmp_path / "c" / "gradient.csv")
    assert (table["seeds"] == 2).all() and set(table["optimizer"]) == set(checks_gradient.OPTIMIZERS)
    # one cell is lost: that one alone is measured again, with the same numbers
    lost = sorted((tmp_path / "c" / "cells").iterdir())[3]
    lost.unlink()
    assert main(words) == 0
    assert capsys.readouterr().out.count("s of CPU") == 1
    assert {name: (tmp_path / "c" / name).read_bytes() for name in names} == before
    assert main(["checks", "--only", "gradient", "--out", str(tmp_path / "d"), "--seeds", "1"]) == 0
    assert not (tmp_path / "d" / "share.csv").exists()


def test_a_cell_of_another_specification_is_another_file(tiny, monkeypatch):
    before = {str(cell): cell.file for cell in cells(list(CHECKS), 2, None)}
    assert len(set(before.values())) == len(before) == 36
    monkeypatch.setattr(checks_share, "SPEC", {"rounds": 2})
    after = {str(cell): cell.file for cell in cells(list(CHECKS), 2, None)}
    assert {name for name in before if before[name] != after[name]} == {n for n in before if n[:5] == "share"}


def test_an_unknown_check_and_no_seed_are_refused(capsys):
    assert main(["checks", "--only", "sharing"]) == 2
    assert "share" in capsys.readouterr().err
    assert main(["checks", "--seeds", "0"]) == 2


def test_files_are_named_by_check_and_seed():
    assert Cell("share", "two groups", ("nothing", "mean"), 1).file.startswith("share-1-")
    assert checks.Check._fields == ("module", "keys", "question")

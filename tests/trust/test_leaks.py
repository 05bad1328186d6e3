"""Attacks: by hand where a hand can do it, and on clients for whom the answer is known."""

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from small import SMALL, scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rules
from pfmsm_lite import METHODS, Federation, Settings
from pfmsm_lite.engine import audit
from pfmsm_lite.lab import privacy
from pfmsm_lite.trust import dp, leaks, told  # noqa: F401 their rows in the tables

PF = METHODS["pf_msmtrec"]


def federation(made=None, method=PF, **settings):
    return Federation(made or scenarios(3), method, Settings(**{**SMALL, **settings}), 0)


def test_precision_recall_and_auc_by_hand():
    found, truth = torch.tensor([1, 1, 0, 0]).bool(), torch.tensor([1, 0, 1, 1]).bool()
    assert leaks.precision_and_recall(found, truth) == (1 / 2, 1 / 3)
    assert leaks.precision_and_recall(~found & found, truth) == (0, 0)
    assert leaks.likeliest(torch.tensor([0.1, 3.0, 2.0]), 2).tolist() == [False, True, True]
    assert leaks.separates(torch.tensor([3.0, 2.0, 1.0]), torch.tensor([1, 0, 0]).bool()) == 1
    assert leaks.separates(torch.ones(3), torch.tensor([1, 0, 0]).bool()) == 0.5
    assert leaks.changes(torch.zeros(2, 2), torch.tensor([[3.0, 4.0], [0, 0]])).tolist() == [5, 0]


def moved(kind, **settings):
    played = federation(entries=kind, **settings)
    client = played.clients[0]
    before = client.model.embedding.weight.detach().clone()
    client.train()
    sent = client.upload()
    truth = torch.isin(sent["embedding.entries"], federation().clients[0].upload()["embedding.entries"])
    return leaks.changes(before[client.in_use], sent["embedding.weight"]) > 0, truth


def test_the_whole_table_hides_nothing_without_noise_and_everything_with_it():
    found, truth = moved("whole")
    assert len(truth) == 50 and not truth.all()
    assert torch.equal(found, truth)
    found, _ = moved("whole", client="private", dp_noise=0.5)
    assert found.all()


def test_membership_is_seen_in_an_overfitted_model_and_not_in_a_fresh_one():
    client = federation(
        [scenario("a", rows=60, evaluated=400), scenario("b", seed=1)], METHODS["local"]
    ).clients[0]
    fresh = leaks.membership(client, client.model)
    assert abs(fresh - 0.5) < 0.12
    client.fit(250)
    assert leaks.membership(client, client.model) > 0.75


def test_row_losses_leave_missing_labels_out():
    made = scenario("a", missing=("conversion",))
    client = federation([made, scenario("b", seed=1)]).clients[0]
    rows = client.views[0][1]["test"]
    losses = leaks.row_losses(client, client.model, rows)
    p = client.logits(rows, client.model).sigmoid()[:, 0]
    y = rows.labels[:, 0]
    assert torch.allclose(losses, -(y * p.log() + (1 - y) * (1 - p).log()), atol=1e-5)
    assert not math.isnan(leaks.membership(client, client.model))


def test_what_the_server_sees_is_what_was_sent_and_the_start():
    client, start = federation().clients[1], federation().clients[1]
    home = start.model.gates.weight.detach().clone()
    client.train()
    model = leaks.seen_by_server(start, client.upload())
    assert torch.equal(model.experts.scenario[0], client.model.experts.scenario[0])
    assert torch.equal(model.embedding.weight[client.in_use], client.model.embedding.weight[client.in_use])
    assert torch.equal(model.gates.weight, home) and not torch.equal(client.model.gates.weight, home)


def test_positives_by_hand():
    gradient, predicted = torch.tensor([0.3 - 0.5, 0.2]), torch.tensor([0.3, 0.2])
    assert leaks.positives_of(gradient, predicted, 4).tolist() == [2, 0]
    assert leaks.positives_by_sign(torch.tensor([1.0, -1.0]), torch.tensor([0.3, 0.6]), 1).tolist() == [1, 0]
    assert leaks.positives_by_sign(torch.tensor([1.0, -1.0]), torch.tensor([0.5, 0.5]), 4).tolist() == [3, 1]


@pytest.mark.parametrize("rows", [1, 5])
def test_from_a_gradient_and_the_true_predictions_labels_are_counted_exactly(rows):
    client = federation().clients[2]
    for first in range(0, 50, rows):
        index = torch.arange(first, first + rows)
        client.model.zero_grad()
        client.backward(index)
        gradient = dict(client.model.named_parameters())[leaks.LAST_BIAS].grad.flatten()
        with torch.no_grad():
            seen = client.train_rows
            logits = client.model(seen.categorical[index], seen.numerical[index])
        found = leaks.positives_of(gradient, logits.sigmoid().mean(0), rows)
        assert torch.equal(found, client.labels[index].sum(0))


def test_adams_first_step_gives_away_the_label_of_a_single_row():
    made = scenario("a", rows=1, seed=3)
    client = federation([made, scenario("b", seed=1)], replace(PF, intercept="none")).clients[0]
    before = client.upload()[leaks.LAST_BIAS].clone().flatten()
    client.train()
    step = client.upload()[leaks.LAST_BIAS].flatten() - before
    assert torch.equal(leaks.positives_by_sign(step, torch.full((2,), 0.5), 1), client.labels[0])


def test_the_measurement_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(privacy, "SWITCHES", {"as declared": privacy.SWITCHES["as declared"]})
    monkeypatch.setattr(privacy, "SIZES", (80, 60))
    monkeypatch.setattr(privacy, "ROUNDS", 2)
    words = ["--out", str(tmp_path), "--parts", "switches", "--seeds", "1"]
    assert privacy.main(words) == 0
    first = (tmp_path / "switches.csv").read_text(encoding="utf-8")
    assert first.count("\n") == 2
    monkeypatch.setattr(privacy, "switches", None)  # not called again
    assert privacy.main(words) == 0
    assert (tmp_path / "switches.csv").read_text(encoding="utf-8") == first


def test_a_switchs_bytes_are_those_of_the_letters_arrays(monkeypatch):
    monkeypatch.setattr(privacy, "SIZES", (80, 60))
    monkeypatch.setattr(privacy, "ROUNDS", 1)
    monkeypatch.setitem(privacy.SWITCHES, "small", (PF, SMALL, False))
    (line,) = privacy.switches("small", 0)
    data, _ = privacy.data_of("synthetic", 0)
    _, records = audit(data, PF, 1, 0, Settings(**SMALL))

    def mean(number, direction, names):
        own = [o.bytes for o in records if o[0] == number and o.direction == direction and o.name != "head"
               and (not names or o.name in names)]  # fmt: skip
        return sum(own) / len(data)

    assert line["first"] == mean(0, "up", ("rows", "has_task", "entries", "uses"))
    assert line["up"] == mean(1, "up", ()) > 0
    assert line["down"] == mean(2, "down", ()) > 0


def test_values_in_buckets_keep_their_fields_and_the_unknown():
    hashed = privacy.hashed(scenarios(2))
    for made, own in zip(scenarios(2), hashed, strict=True):
        ids = own.train.categorical
        assert torch.equal(ids == 0, made.train.categorical == 0)
        for f, size in enumerate(made.fields.values()):
            assert int(ids[:, f].max()) < size
        # the same value is in the same bucket everywhere
        pairs = set(zip(made.train.categorical[:, 0].tolist(), ids[:, 0].tolist(), strict=True))
        assert len(dict(pairs)) == len(pairs)


def test_labels_are_counted_from_a_gradient_of_which_all_is_known(monkeypatch):
    """Batches of one row are always read; clipping alone hides nothing at the start; noise does."""
    monkeypatch.setattr(privacy, "SIZES", (80, 60))
    monkeypatch.setattr(privacy, "BATCHES", (1, 8))
    privacy._kept.clear()
    found = pd.DataFrame(privacy.labels(0, 0))
    exact = found.set_index(["attack", "epsilon", "rows"])["exact"]
    assert len(found) == len(privacy.COUNTED) * 2 and found["exact"].between(0, 1).all()
    assert exact["gradient", "open", 1] == exact["step", "open", 1] == 1
    assert exact["gradient", "inf", 8] == 1 > exact["gradient", "1", 8]
    assert exact["gradient", "open", 8] < exact["gradient", "inf", 8]  # a base rate that nobody else knows

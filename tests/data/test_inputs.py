"""Columns that not every scenario has: the weights that read them never leave, and change nothing else."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from pfmsm_lite import METHODS, Federation, Settings, run
from pfmsm_lite.data import complete, digest, synthetic
from pfmsm_lite.engine import audit
from pfmsm_lite.errors import UserError
from pfmsm_lite.federation import build
from pfmsm_lite.history import score
from pfmsm_lite.lab import models, store, tables
from pfmsm_lite.lab.checkpoint import run_resumable
from pfmsm_lite.mmoe import parameter_groups
from pfmsm_lite.trust.dp import clipped_sum

SMALL = Settings(experts=2, hidden=(8, 4), tower=4, embedding_size=3)
FIELDS = {"user": 12, "item": 9}
PF, FEDAVG, LOCAL = METHODS["pf_msmtrec"], METHODS["fedavg_sum"], METHODS["local"]
LOST = ["item", "number 0"]


def world(who=(2,), home=True, **knobs):
    lost = {"missing_columns": {n: LOST for n in who}, "columns_home": home} | knobs
    return synthetic(
        (60, 50, 40), fields=FIELDS, numericals=2, test_rows=40, relatedness=(0, 0, 0), seed=3, **lost
    )[0]


def test_every_scenario_says_what_anybody_lacks_and_only_in_this_call():
    made = world()
    assert [s.apart for s in made] == [("item", "number 0")] * 3
    assert complete(made) == made and [s.apart for s in complete(world(home=False))] == [()] * 3
    assert [s.apart for s in world(who=(0, 1, 2))] == [()] * 3  # what nobody has is no column


def test_the_weights_are_cut_by_columns_and_start_as_they_would():
    whole, cut = (build(world(home=home)[0], PF, SMALL, 0) for home in (False, True))
    # inputs: 3 of user, 3 of item, then two numbers
    apart = torch.tensor([False] * 3 + [True] * 3 + [True, False])
    groups = parameter_groups(cut)
    assert groups["expert.apart"]["experts.apart"].shape == (2, 8, 4)
    assert groups["gate.apart"]["gates.apart"].shape == (2, 2, 4)
    assert torch.equal(cut.experts.scenario[0], whole.experts.scenario[0][..., ~apart])
    assert torch.equal(cut.experts.apart, whole.experts.scenario[0][..., apart])
    for layer in (0, 1):
        assert torch.equal(cut.experts.weights(layer), whole.experts.weights(layer))
    assert torch.equal(cut.gates.weight, whole.gates.weight)
    ids, numbers = torch.tensor([[3, 2], [1, 0]]), torch.randn(2, 2)
    assert torch.equal(cut(ids, numbers), whole(ids, numbers))


def test_who_shares_nothing_trains_as_before():
    """The cut changes no step of the optimizer: the limit in which both ways coincide."""
    found = [run(world(home=home), METHODS["local"], 3, 0, settings=SMALL).results for home in (True, False)]
    pd.testing.assert_frame_equal(*found)


def test_what_leaves_is_smaller_by_just_these_weights():
    def sent(home):
        federation = Federation(world(home=home), FEDAVG, SMALL, 0)
        return {name: size for name, _, size in federation.payload()[0]}

    whole, cut = sent(False), sent(True)
    assert not any("apart" in name for name in cut)
    # experts: 2 × 8 outputs, gates: 2 tasks × 2 experts; 4 of 8 inputs; 4 bytes each
    assert sum(whole.values()) - sum(cut.values()) == (2 * 8 + 2 * 2) * 4 * 4


def test_the_mean_is_of_the_other_columns_and_these_stay_where_they_are():
    federation = Federation(world(), replace(FEDAVG, server_step=1.0), SMALL, 0)
    _, _, accepted = federation.train()
    held = [c.model.experts for c in federation.clients]
    rows = torch.tensor([60.0, 50.0, 40.0])
    mean = sum(w * e.scenario[0].detach() for w, e in zip(rows / rows.sum(), held, strict=True))
    own = [e.apart.detach().clone() for e in held]
    federation.serve(accepted)
    for before, experts in zip(own, held, strict=True):
        assert torch.allclose(experts.scenario[0], mean, atol=1e-6) and torch.equal(experts.apart, before)
    assert not torch.equal(own[0], own[1])


def test_a_layer_may_lack_numbers_alone_and_without_a_common_column_all_is_shared():
    made = world(missing_columns={1: ["number 0", "number 1"]})
    assert made[0].apart == ("number 0", "number 1")
    assert run(made, PF, 2, 0, settings=SMALL).results["auc"].notna().all()
    made = world(missing_columns={0: ["user", "number 0"], 1: ["item", "number 1"]})
    assert made[0].apart == ()


def test_letters_between_processes_play_the_same_rounds():
    made = world()
    history, _ = audit(made, PF, 2, 0, SMALL)
    here = run(made, PF, 2, 0, settings=SMALL)
    pd.testing.assert_frame_equal(history.results, here.results)


def test_rows_in_files_know_it(tmp_path):
    made = world()
    store.save(made, tmp_path / "rows")
    again = store.load(tmp_path / "rows")
    assert [s.apart for s in again] == [s.apart for s in made]
    assert digest(made) != digest(world(home=False)) and digest(again) == digest(made)


def test_a_kept_model_says_what_the_results_say_and_a_cut_off_training_is_taken_up(tmp_path):
    made, seen = world(), []

    def stop(done, rounds, auc):
        if done == 2 and not seen:
            seen.append(done)
            raise KeyboardInterrupt

    def train(folder, progress=None):
        return run_resumable(
            made, PF, 4, 0, settings=SMALL, checkpoint=folder / "cell.pt", checkpoint_seconds=0,
            progress=progress, model=folder / "model.pt",
        )  # fmt: skip

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", stop)
    pd.testing.assert_frame_equal(train(tmp_path / "cut", stop).results, whole.results)
    assert (tmp_path / "cut" / "model.pt").read_bytes() == (tmp_path / "whole" / "model.pt").read_bytes()
    model = models.Model(models.read(tmp_path / "cut" / "model.pt"))
    found = whole.results.set_index(["scenario", "task", "split"])
    for scenario in made:
        said = model.probabilities(scenario.name, scenario.test).numpy()
        for t, task in enumerate(scenario.tasks):
            line = found.loc[scenario.name, task, "test"]
            assert score(scenario.test.labels[:, t].numpy(), said[:, t])[2:] == (line["auc"], line["logloss"])


def test_a_private_client_clips_each_row_over_all_its_weights():
    """The clipped sum over rows is that of row after row by autograd: both parts of a layer are in it."""
    client = Federation(world(), PF, replace(SMALL, client="private", dp_noise=0.0), 0).clients[0]
    rows, model = client.train_rows, client.model
    total, _ = clipped_sum(
        model, rows.categorical[:5].long(), rows.numerical[:5], client.labels[:5], torch.ones(5, 2), 0.05
    )
    expected = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for n in range(5):
        model.zero_grad()
        logits = model(rows.categorical[n : n + 1].long(), rows.numerical[n : n + 1])
        F.binary_cross_entropy_with_logits(logits, client.labels[n : n + 1], reduction="sum").backward()
        grads = {name: p.grad for name, p in model.named_parameters()}
        length = torch.stack([g.square().sum() for g in grads.values()]).sum().sqrt()
        for name, gradient in grads.items():
            expected[name] += gradient * (0.05 / length).clamp(max=1)
    assert {"experts.apart", "gates.apart", "gates.shared"} <= set(total)
    for name, part in total.items():
        assert torch.allclose(part, expected[name], atol=1e-6), name


def test_it_is_said():
    assert any("item, number 0 stay at home" in line for line in tables.overview(world()))
    assert not any("stay at home" in line for line in tables.overview(world(home=False)))


def test_scenarios_that_were_completed_apart_are_refused():
    with pytest.raises(UserError, match="apart"):
        Federation([*world()[:2], world(home=False)[2]], PF, SMALL, 0)

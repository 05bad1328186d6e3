"""PMTRec: algorithm 1 by hand and against plain loops, its limits, whole trainings in two worlds."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from factored import gradients_of, model_and_batch, small

from pfmsm_lite.errors import UserError
from pfmsm_lite.rivals import pmtrec
from pfmsm_lite.rivals.feedback import world
from pfmsm_lite.rivals.pmtrec import (
    ARMS,
    OPTIMIZERS,
    combine,
    sample_negatives,
    take_step,
    task_weights,
    train,
)
from pfmsm_lite.rivals.ranking import evaluate, popularity

each_arm = pytest.mark.parametrize("name", ARMS)


def drawn(rows=7, tasks=3, width=4, seed=0):
    """Gradients [N, T, D] float64 with some tasks absent from some entries, and one entry without any."""
    gradients = torch.randn(rows, tasks, width, generator=torch.Generator().manual_seed(seed)).double()
    gradients[0, 1] = gradients[1, 0] = gradients[2, 1:] = 0.0
    gradients[3] = 0.0
    return gradients


def stepped(model, batch, weigh, kind="plain", rate=0.2):
    optimizer = OPTIMIZERS[kind](model.parameters(), lr=rate)
    return take_step(model, batch, optimizer, weigh)


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize("layers", [0, 2])
@pytest.mark.parametrize("side", ["user", "item"])
def test_gradients_of_all_entries_equal_a_loop_over_entries_and_tasks(side, layers):
    model, batch = model_and_batch(layers=layers)
    found = gradients_of(model, batch, side)
    table = model.tables[side].detach()
    for n in range(len(table)):
        row = table[n].clone().requires_grad_()
        with_row = torch.cat([table[:n], row[None], table[n + 1 :]])
        losses = torch.func.functional_call(model, {f"tables.{side}": with_row}, args=batch)
        for t, loss in enumerate(losses):
            expected = torch.autograd.grad(loss, row, retain_graph=True, allow_unused=True)[0]
            expected = torch.zeros_like(row) if expected is None else expected
            assert torch.allclose(found[n, t], expected, atol=1e-10)


def test_the_ranking_gradient_of_a_user_by_its_formula():
    """∂/∂u Σ −log σ(u·(i − j)) = −Σ σ(−u·(i − j)) (i − j), over the rows with a positive label."""
    model, (users, items, negatives, labels) = model_and_batch()
    users_table, items_table = (model.tables[s].detach().numpy() for s in ("user", "item"))
    expected = np.zeros_like(users_table)
    for u, i, j, label in zip(users, items, negatives, labels[:, 0], strict=True):
        if label == 1:
            apart = items_table[i] - items_table[j]
            expected[u] -= apart / (1 + math.exp(users_table[u] @ apart))
    found = gradients_of(model, (users, items, negatives, labels))[:, 0]
    assert np.allclose(found.numpy(), expected, atol=1e-12)


def test_an_entry_without_part_in_a_task_has_norm_zero_and_no_nan():
    model, batch = model_and_batch()
    norms = gradients_of(model, batch).norm(dim=-1)
    assert (norms[:6, 1] == 0).all() and (norms[6:, 1] > 0).any()  # no long_view label
    assert (norms[:, 3] == 0).all()  # an item's category says nothing about users
    assert (norms[5] == 0).all()  # not in the batch
    for name in ARMS:
        weights = task_weights(norms, name)
        assert weights.isfinite().all() and (weights[5] == 0).all() and (weights[:, 3] == 0).all()


# ---------------------------------------------------------------- the weights


def test_a_step_by_hand():
    """Norms 5 and 4, α = 1.2 in epoch 1: 6 and 4. τ = 1 / ln 2 makes powers of two: 64 : 16 = 0.8 : 0.2."""
    gradients = torch.tensor([[[3.0, 4.0], [0.0, -4.0]]]).double()
    norms = gradients.norm(dim=-1)
    weights = task_weights(norms, epoch=1, alpha=1.2, temperature=1 / math.log(2))
    assert torch.allclose(weights, torch.tensor([[0.8, 0.2]]).double())
    assert torch.allclose(combine(gradients, weights), torch.tensor([[2.4, 2.4]]).double())
    # in epoch 2 the main norm counts 5 · 1.44 = 7.2 times: 2^3.2 to one
    second = task_weights(norms, epoch=2, alpha=1.2, temperature=1 / math.log(2))
    assert float(second[0, 0]) == pytest.approx(2**3.2 / (1 + 2**3.2))


@pytest.mark.parametrize("temperature", [1e9, math.inf])
def test_without_focus_and_with_a_high_temperature_weights_are_equal(temperature):
    norms = drawn().norm(dim=-1)
    limit = task_weights(norms, alpha=1.0, temperature=temperature)
    assert torch.allclose(limit, task_weights(norms, "equal"), atol=1e-8)
    assert torch.equal(limit, task_weights(norms, "no_focus", alpha=9.0, temperature=temperature))


def test_at_temperature_zero_the_longest_gradient_has_all():
    norms = drawn()[4:].norm(dim=-1)
    weights = task_weights(norms, alpha=1.0, temperature=1e-6)
    assert torch.equal(weights, torch.nn.functional.one_hot(norms.argmax(1), 3).double())


def test_focus_lifts_the_main_task_from_epoch_to_epoch_until_it_is_alone():
    norms = drawn()[4:].norm(dim=-1).float()
    main = torch.stack([task_weights(norms, epoch=s, alpha=1.2)[:, 0] for s in (1, 5, 20, 5000)])
    assert (main[0] < main[1]).all() and (main[1] < main[2]).all()
    assert torch.equal(main[3], torch.ones(3))  # no overflow
    assert torch.equal(
        task_weights(norms, epoch=9, alpha=1.0), task_weights(norms, "no_focus", 1, temperature=1.0)
    )


def test_an_arm_ignores_the_knob_that_it_fixes():
    norms = drawn().norm(dim=-1)
    assert torch.equal(
        task_weights(norms, "no_temperature", 3, 1.2, 0.01), task_weights(norms, "pmtrec", 3, 1.2, 1.0)
    )
    assert torch.equal(
        task_weights(norms, "no_focus", 3, 1.2, 0.3), task_weights(norms, "pmtrec", 3, 1.0, 0.3)
    )
    assert not torch.allclose(
        task_weights(norms, "pmtrec", 3, 1.2, 0.3), task_weights(norms, "pmtrec", 3, 1.0, 0.3)
    )


@each_arm
@pytest.mark.parametrize("epoch", [1, 7])
def test_weights_sum_to_one_over_the_tasks_that_an_entry_has(name, epoch):
    norms = drawn().norm(dim=-1)
    weights = task_weights(norms, name, epoch, drawn=torch.tensor([-1.0, 0.5, 2.0]))
    assert (weights >= 0).all() and (weights[norms == 0] == 0).all()
    has = norms[:, 0] > 0 if name == "main_only" else (norms > 0).any(1)
    assert torch.allclose(weights.sum(1), has.double())
    assert has.sum() == (5 if name == "main_only" else 6)


def test_equal_weights_are_even_among_an_entrys_own_tasks():
    weights = task_weights(drawn().norm(dim=-1), "equal")
    assert torch.allclose(weights[0], torch.tensor([0.5, 0, 0.5]).double())
    assert torch.allclose(weights[2], torch.tensor([1.0, 0, 0]).double())
    assert torch.allclose(weights[4], torch.full((3,), 1 / 3).double())


def test_random_weights_are_a_softmax_of_the_draw_for_everybody():
    normal = torch.tensor([0.3, -1.0, 2.0])
    weights = task_weights(drawn().norm(dim=-1), "random", drawn=normal)
    assert torch.allclose(weights[4:], normal.softmax(0).double().expand(3, 3))


@each_arm
def test_permuting_entries_permutes_weights(name):
    norms, order = drawn().norm(dim=-1), torch.tensor([4, 2, 6, 0, 1, 5, 3])
    assert torch.equal(task_weights(norms, name)[order], task_weights(norms[order], name))


def test_scaling_losses_and_temperature_alike_leaves_the_weights():
    norms = drawn().norm(dim=-1)
    first, second = task_weights(norms, temperature=0.3), task_weights(1000 * norms, temperature=300.0)
    assert torch.allclose(first, second)


# ---------------------------------------------------------------- a step


@each_arm
def test_a_plain_step_equals_a_loop_in_plain_python(name):
    """Every entry and task by itself, with floats, from the gradients of the batch."""
    model, batch = model_and_batch()
    rate, alpha, temperature, epoch, normal = 0.2, 1.1, 0.8, 3, [0.2, -0.4, 1.0, 0.1]
    expected = {}
    for side, table in model.tables.items():
        gradients = gradients_of(model, batch, side).numpy()
        expected[side] = table.detach().numpy().copy()
        for n in range(len(gradients)):
            norm = [math.sqrt(sum(x * x for x in g)) for g in gradients[n]]
            of_main = norm[0] * alpha**epoch if name in ("pmtrec", "no_temperature") else norm[0]
            by = {"no_temperature": 1.0}.get(name, temperature)
            own = {"equal": [1.0] * 4, "main_only": [1.0, 0, 0, 0], "random": [math.exp(x) for x in normal]}
            pull = own.get(name, [math.exp(x / by) for x in [of_main, *norm[1:]]])
            pull = [p if x > 0 else 0.0 for p, x in zip(pull, norm, strict=True)]
            for t in range(4):
                if sum(pull):
                    expected[side][n] -= rate * pull[t] / sum(pull) * gradients[n, t]
    weigh = lambda norms: task_weights(norms, name, epoch, alpha, temperature, torch.tensor(normal))  # noqa: E731
    stepped(model, batch, weigh, rate=rate)
    for side, table in model.tables.items():
        assert np.allclose(table.detach().numpy(), expected[side], atol=1e-12)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_main_task_alone_is_the_optimizers_own_step_on_its_loss(kind):
    (model, batch), (twin, _) = model_and_batch(layers=1), model_and_batch(layers=1)
    optimizer = OPTIMIZERS[kind](twin.tables.parameters(), lr=0.3)
    twin(*batch)[0].backward()
    optimizer.step()
    stepped(model, batch, lambda norms: task_weights(norms, "main_only"), kind, 0.3)
    for side in model.tables:
        assert torch.allclose(model.tables[side], twin.tables[side], atol=1e-12)


def test_heads_get_the_gradient_of_their_own_loss_unweighed():
    (model, batch), (twin, _) = model_and_batch(), model_and_batch()
    stepped(model, batch, lambda norms: task_weights(norms, "main_only"))
    twin(*batch).sum().backward()
    pairs = list(zip(model.heads.parameters(), twin.heads.parameters(), strict=True))
    assert len(pairs) == 6 and all(torch.allclose(a.grad, b.grad) for a, b in pairs)


def test_gradients_of_the_step_are_raw():
    model, batch = model_and_batch()
    gradients = gradients_of(model, batch)
    weights = torch.tensor([0.5, 0.3, 0.1, 0.1]).double().expand(40, 4)
    by_hand = sum(weights[:, t, None] * gradients[:, t] for t in range(4))
    before = model.tables["user"].detach().clone()
    stepped(model, batch, lambda norms: weights[0].expand_as(norms), rate=1.0)
    assert torch.allclose(before - model.tables["user"], by_hand)


# ---------------------------------------------------------------- training


def test_negatives_are_no_positives_where_there_are_others():
    users = torch.arange(3).repeat(200)
    known = torch.tensor([0, 1, 2, 4, 5, 6, 7])  # of 4 items: user 0 has 0, 1, 2; user 1 all; user 2 none
    found = sample_negatives(users, known, 4, torch.Generator().manual_seed(0), tries=60).view(200, 3)
    assert (found[:, 0] == 3).all() and set(found[:, 1].tolist()) == set(found[:, 2].tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("layers", [0, 1])
def test_all_arms_beat_popularity_and_chance(layers):
    tests = []
    for seed in range(2):
        data, _ = world("helps", seed, users=120, items=100)
        settings = {"learning_rate": 0.05, "batch_size": 2048, "layers": layers, "at": (10,)}
        line = {name: train(data, name, 15, seed, **settings).test["recall@10"] for name in ARMS}
        line["popularity"] = evaluate(popularity(data), data, "test", (10,))["recall@10"]
        tests.append(line)
    mean = pd.DataFrame(tests).mean()
    assert mean["popularity"] > 0.12  # chance finds a tenth
    assert (mean.drop("popularity") > mean["popularity"]).all(), mean


def test_equal_weights_gain_where_the_tasks_help_and_lose_where_they_mislead():
    gains = {}
    for name in ("helps", "misleads"):
        found = {arm: [] for arm in ("equal", "main_only")}
        for seed in range(4):
            data, _ = world(name, seed, users=160, items=100, clicks=8, views=40)
            for arm, values in found.items():
                history = train(data, arm, 20, seed, learning_rate=0.05, batch_size=2048)
                values.append(history.test["ndcg@20"])
        gains[name] = np.subtract(found["equal"], found["main_only"])
    assert (gains["helps"] > 0.05).all() and gains["misleads"].mean() < -0.03, gains
    assert (gains["misleads"] < gains["helps"] - 0.1).all(), gains


def test_a_seed_repeats_and_history_holds_what_happened():
    data = small()
    state = torch.get_rng_state()
    settings = {"alpha": 1.2, "layers": 1, "at": (10, 20)}
    first = train(data, "pmtrec", 3, 5, **settings)
    assert torch.equal(state, torch.get_rng_state())  # the caller's random numbers are left alone
    again, other = train(data, "pmtrec", 3, 5, **settings), train(data, "pmtrec", 3, 6, **settings)
    assert first.epochs == again.epochs and first.test["ndcg@10"] == again.test["ndcg@10"]
    assert torch.equal(first.weights["user"], again.weights["user"])
    assert first.epochs != other.epochs
    assert first.best == max((1, 2, 3), key=lambda e: first.epochs[e - 1]["ndcg@10"])
    kept = evaluate(first.model.scores, data, at=(10, 20))
    assert kept["ndcg@10"] == first.valid == first.epochs[first.best - 1]["ndcg@10"]
    assert kept["hit@20"] == first.epochs[first.best - 1]["hit@20"]
    assert all(loss > 0 for e in first.epochs for loss in e["loss"].values())
    assert first.model.heads[1].bias != 0 and (first.model.heads[2].weight != 0).all()  # heads learn too
    for side, rows in (("user", 40), ("item", 30)):
        weights = first.weights[side]
        assert weights.shape == (3, rows, 3) and torch.allclose(weights.sum(-1), torch.ones(3, rows))
        assert not (weights[0] == weights[0, 0]).all()
    random = train(data, "random", 3, 5)
    assert random.epochs == train(data, "random", 3, 5).epochs
    one = random.weights["user"][:, 0, 0]
    assert len(set(one.tolist())) == 3  # another draw in every epoch


def test_the_best_epoch_by_validation_is_kept_and_tested_once(monkeypatch):
    data, asked, script = small(), [], [0.3, 0.5, 0.4, 0.2, 0.1, 0.9]

    def scripted(score, data, split, at):
        asked.append(split)
        return {"ndcg@20": script[len(asked) - 1] if split == "valid" else 0.1}

    monkeypatch.setattr(pmtrec, "evaluate", scripted)
    history = train(data, "equal", 6, patience=3)
    assert history.best == 2 and asked == ["valid"] * 5 + ["test"]  # epoch 6 would have been the best
    assert len(history.epochs) == len(history.weights["user"]) == 5
    script[:], asked[:] = [0.1, 0.2], []
    two = train(data, "equal", 2).model
    assert torch.equal(history.model.tables["user"], two.tables["user"])


def test_the_main_task_alone_is_training_without_auxiliary_tasks():
    first = train(small(), "main_only", 3, 0)
    shared = small(tasks={"click": "rank", "long_view": "pair"})
    without = replace(shared, labels=shared.labels * torch.tensor([1.0, math.nan]))
    alone = train(small(tasks={"click": "rank"}), "main_only", 3, 0)
    for other in (train(without, "main_only", 3, 0), train(without, "pmtrec", 3, 0), alone):
        assert all(torch.equal(first.model.tables[s], other.model.tables[s]) for s in ("user", "item"))


def test_a_user_without_auxiliary_labels_has_only_the_main_weight():
    data = small(tasks={"click": "rank", "long_view": "pair"})
    data.labels[data.pairs[:, 0] < 4, 1] = math.nan
    weights = train(data, "no_focus", 2, batch_size=20).weights["user"]  # most batches lack a given user
    assert torch.equal(weights[:, :4], torch.tensor([1.0, 0.0]).expand(2, 4, 2))
    assert (weights[:, 4:, 1] > 0).all()


def test_one_task_is_refused():
    with pytest.raises(UserError, match="needs at least one auxiliary task besides 'click'.*main_only"):
        train(small(tasks={"click": "rank"}), "pmtrec")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arm": "pmtrek"}, "Did you mean 'pmtrec'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0, but it must be above 0"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"alpha": 0.9}, "alpha is 0.9, but it must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"patience": 0}, "patience is 0"),
        ({"optimizer": "adamw"}, "Unknown optimizer.*Did you mean 'adam'"),
        ({"layers": -1}, "layers is -1"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        train(small(), **settings)


def test_a_step_too_large_says_so():
    with pytest.raises(FloatingPointError, match="smaller learning rate"):
        train(small(), "equal", 3, learning_rate=1e30, optimizer="plain")

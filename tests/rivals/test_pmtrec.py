"""PMTRec: every step against a plain loop, limits and invariances, metrics by hand, whole trainings."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from factored import gradients_of, model_and_batch, small
from sklearn.metrics import ndcg_score

from pfmsm_lite.errors import UserError
from pfmsm_lite.rivals import pmtrec
from pfmsm_lite.rivals.pmtrec import (
    VARIANTS,
    Variant,
    balance,
    direction,
    evaluate,
    focus,
    focus_share,
    gradient_norms,
    personal_weights,
    popularity,
    ranking_metrics,
    sample_negatives,
    shared_weights,
    take_step,
    train,
)

each_variant = pytest.mark.parametrize("name", VARIANTS)


def drawn(rows=7, tasks=3, width=4, seed=0):
    """Gradients [N, T, D] float64 with some tasks absent from some entries, and one entry without any."""
    gradients = torch.randn(rows, tasks, width, generator=torch.Generator().manual_seed(seed)).double()
    gradients[0, 1] = gradients[1, 0] = gradients[2, 1:] = 0.0
    gradients[3] = 0.0
    return gradients


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize("side", ["user", "item"])
def test_gradients_of_all_entries_equal_a_loop_over_entries_and_tasks(side):
    model, batch = model_and_batch()
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
            assert abs(gradient_norms(found)[n, t] - expected.norm()) < 1e-6


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
    gradients = gradients_of(model, batch)
    norms = gradient_norms(gradients)
    assert (norms[:6, 1] == 0).all() and (norms[6:, 1] > 0).any()  # no long_view label
    assert (norms[:, 3] == 0).all()  # an item's category says nothing about users
    assert (norms[5] == 0).all()  # not in the batch
    for variant in VARIANTS.values():
        step, weights = direction(gradients, variant, share=0.5)
        assert step.isfinite().all() and weights.isfinite().all() and (step[5] == 0).all()


# ---------------------------------------------------------------- the modules


def test_balance_gives_an_entry_one_norm_and_keeps_directions():
    gradients = drawn()
    before, after = gradient_norms(gradients), gradient_norms(balance(gradients))
    for n in range(len(gradients)):
        there = before[n] > 0
        assert torch.allclose(after[n, there], before[n, there].mean().expand(int(there.sum())))
        assert (after[n, ~there] == 0).all()
    there = before > 0
    cosine = F.cosine_similarity(gradients, balance(gradients), dim=-1)
    assert torch.allclose(cosine[there], torch.ones_like(cosine[there]))
    assert torch.equal(balance(gradients)[2], gradients[2])  # a single task: nothing to balance


def test_scaling_a_task_changes_balanced_gradients_by_the_mean_norm_alone():
    """c·L_t: each entry's balanced gradients are multiplied by (new mean norm / old mean norm), no more."""
    gradients = drawn()[4:]  # entries with all tasks
    scaled = gradients * torch.tensor([1.0, 50.0, 1.0])[:, None]
    ratio = gradient_norms(scaled).mean(1) / gradient_norms(gradients).mean(1)
    assert torch.allclose(balance(scaled), balance(gradients) * ratio[:, None, None])
    assert not torch.allclose(ratio, torch.ones_like(ratio))


def test_personal_weights_by_hand_and_in_their_limits():
    norms = torch.tensor([[math.log(2.0), math.log(6.0)], [3.0, 0.0], [0.0, 0.0]]).double()
    expected = torch.tensor([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]).double()
    assert torch.allclose(personal_weights(norms), expected)
    half = torch.tensor([0.1, 0.9]).double()  # τ = 1/2: 2² against 6²
    assert torch.allclose(personal_weights(norms, 0.5)[0], half)
    even = torch.tensor([0.5, 0.5]).double()
    assert torch.equal(
        personal_weights(norms, math.inf)[0], even
    )  # infinite temperature: the tasks it has, evenly
    assert torch.allclose(personal_weights(norms, 1e-3)[0], torch.tensor([0.0, 1.0]).double())


@each_variant
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_weights_sum_to_one(name, share):
    weights = direction(drawn(), VARIANTS[name], 0.7, share)[1]
    assert torch.allclose(weights.sum(1), torch.ones(7).double()) and (weights >= 0).all()


def test_shared_weights_are_the_same_for_everybody():
    norms = gradient_norms(drawn())
    mean = torch.stack([column[column > 0].mean() for column in norms.T])
    assert torch.allclose(shared_weights(norms, 0.5), (mean / 0.5).softmax(0).expand(7, 3))


def test_focus_limits():
    weights = personal_weights(gradient_norms(drawn()))
    assert torch.equal(focus(weights, 0.0), weights)
    assert torch.equal(focus(weights, 1.0), torch.tensor([[1.0, 0.0, 0.0]]).double().expand(7, 3))
    assert torch.allclose(focus(weights, 0.25)[4, 0], 0.75 * weights[4, 0] + 0.25)
    assert [focus_share("ramp", k, 4) for k in (0, 1, 4, 9)] == [0, 0.25, 1, 1]
    assert [focus_share(s, 0, 0) for s in ("ramp", "none", "start")] == [1, 0, 1]


@each_variant
def test_permuting_entries_permutes_weights_and_steps(name):
    gradients, order = drawn(), torch.tensor([4, 2, 6, 0, 1, 5, 3])
    plain, moved = (direction(g, VARIANTS[name], share=0.2) for g in (gradients, gradients[order]))
    for first, second in zip(plain, moved, strict=True):
        assert torch.allclose(first[order], second)


@each_variant
def test_scaling_all_losses_alike_leaves_the_weights(name):
    first, second = (direction(c * drawn(), VARIANTS[name]) for c in (1.0, 1000.0))
    assert torch.allclose(first[1], second[1]) and torch.allclose(1000 * first[0], second[0])


@each_variant
def test_a_step_equals_a_loop_in_plain_python(name):
    """Every entry and task by itself, with floats, from the gradients of the batch."""
    model, batch = model_and_batch()
    variant, step, temperature, share = VARIANTS[name], 0.2, 0.8, 0.4
    expected = {}
    for side, table in model.tables.items():
        gradients = gradients_of(model, batch, side).numpy()
        rows, tasks, _ = gradients.shape
        norm = [[math.sqrt(sum(x * x for x in gradients[n, t])) for t in range(tasks)] for n in range(rows)]
        present = [x for row in norm for x in row if x > 0]
        unit = sum(present) / len(present)
        column = [[row[t] for row in norm if row[t] > 0] for t in range(tasks)]
        mean = [sum(c) / len(c) if c else 0.0 for c in column]
        expected[side] = table.detach().numpy().copy()
        for n in range(rows):
            pull = {"personal": norm[n], "shared": mean, "even": [1.0] * tasks}[variant.weights]
            raw = [math.exp(x / (temperature * unit)) if x > 0 else 0.0 for x in pull]
            weights = [x / sum(raw) if sum(raw) else 1 / tasks for x in raw]
            own = [x for x in norm[n] if x > 0]
            for t in range(tasks):
                weight = (1 - share) * weights[t] + share * (t == 0)
                size = sum(own) / len(own) / norm[n][t] if variant.balance and norm[n][t] > 0 else 1.0
                expected[side][n] -= step * weight * size * gradients[n, t]
    take_step(model, batch, variant, step, temperature, share)
    for side, table in model.tables.items():
        assert np.allclose(table.detach().numpy(), expected[side], atol=1e-12)


def test_with_weight_one_for_one_task_a_step_is_plain_sgd():
    (model, batch), (twin, _) = model_and_batch(), model_and_batch()
    sgd = torch.optim.SGD(twin.tables.parameters(), lr=0.3)
    twin(*batch)[0].backward()
    sgd.step()
    take_step(model, batch, VARIANTS["main_only"], 0.3, share=1.0)
    for side in model.tables:
        assert torch.allclose(model.tables[side], twin.tables[side], atol=1e-14)


def test_heads_get_the_gradient_of_their_own_loss_unweighed():
    (model, batch), (twin, _) = model_and_batch(), model_and_batch()
    take_step(model, batch, VARIANTS["pmtrec"], 0.3, share=1.0)
    twin(*batch).sum().backward()
    pairs = list(zip(model.heads.parameters(), twin.heads.parameters(), strict=True))
    assert len(pairs) == 6 and all(torch.allclose(a.grad, b.grad) for a, b in pairs)


# ---------------------------------------------------------------- metrics


def test_metrics_by_hand():
    scores = torch.tensor([[9.0, 8, 7, 6, 5], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]])
    seen = torch.tensor([[1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]).bool()
    relevant = torch.tensor([[0, 1, 0, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()
    recall, ndcg = ranking_metrics(scores, seen, relevant, k=3)
    # user 0 sees items 1, 2, 3: hits at places 1 and 3 of three wanted; user 1 sees 3, 2, 1: a hit at place 2
    assert recall[:2].tolist() == pytest.approx([2 / 3, 1 / 2])
    best = [1 + 1 / math.log2(3) + 1 / 2, 1 + 1 / math.log2(3)]
    assert ndcg[:2].tolist() == pytest.approx([1.5 / best[0], (1 / math.log2(3)) / best[1]])
    assert recall[2].isnan() and ndcg[2].isnan()


@pytest.mark.parametrize("k", [1, 5, 20, 100])
def test_ndcg_is_that_of_scikit_learn_and_recall_counts_hits(k):
    draw = np.random.default_rng(k)
    scores, wanted = draw.standard_normal((6, 40)), draw.random((6, 40)) < 0.15
    seen = (draw.random((6, 40)) < 0.2) & ~wanted
    wanted[:, 0], seen[:, 0] = True, False
    recall, ndcg = ranking_metrics(*(torch.from_numpy(x) for x in (scores, seen, wanted)), k=k)
    for u in range(6):
        open_items = np.flatnonzero(~seen[u])
        expected = ndcg_score(wanted[u, open_items][None], scores[u, open_items][None], k=k)
        assert float(ndcg[u]) == pytest.approx(expected)
        top = sorted(open_items, key=lambda i: -scores[u, i])[:k]
        assert float(recall[u]) == pytest.approx(wanted[u, top].sum() / wanted[u].sum())


def test_a_list_longer_than_the_items_left_finds_everything_and_nothing_seen():
    recall, ndcg = ranking_metrics(
        torch.tensor([[3.0, 2, 1]]), torch.tensor([[True, True, False]]), torch.tensor([[False, False, True]])
    )
    assert (float(recall), float(ndcg)) == (1.0, 1.0)


def test_evaluate_masks_what_is_known_and_counts_users_left_out():
    data = small()
    truth = torch.zeros(data.users, data.items)
    truth[data.test[:, 0], data.test[:, 1]] = 1
    truth[data.positives[:, 0], data.positives[:, 1]] = 5  # would fill the list if they were not masked
    truth[data.valid[:, 0], data.valid[:, 1]] = 5
    found = evaluate(lambda users: truth[users], data, "test", k=2, chunk=7)
    assert found["ndcg"] == 1.0 and found["users"] == data.users and found["left_out"] == 0
    fewer = replace(data, test=data.test[data.test[:, 0] > 3])
    found = evaluate(lambda users: truth[users], fewer, "test", k=2)
    assert (found["users"], found["left_out"], found["ndcg"]) == (data.users - 4, 4, 1.0)
    assert np.isnan(found["by_user"]["recall"]).tolist() == [True] * 4 + [False] * (data.users - 4)
    with pytest.raises(FloatingPointError, match="smaller step"):
        evaluate(lambda users: truth[users] * math.nan, data)


# ---------------------------------------------------------------- training


def test_negatives_are_no_positives_where_there_are_others():
    users = torch.arange(3).repeat(200)
    known = torch.tensor([0, 1, 2, 4, 5, 6, 7])  # of 4 items: user 0 has 0, 1, 2; user 1 all; user 2 none
    found = sample_negatives(users, known, 4, torch.Generator().manual_seed(0), tries=60).view(200, 3)
    assert (found[:, 0] == 3).all() and set(found[:, 1].tolist()) == set(found[:, 2].tolist()) == {0, 1, 2, 3}


def test_all_variants_beat_popularity_and_chance():
    tests = []
    for seed in range(3):
        data = small(seed, users=120, items=100, harmed=0.1, views=20)
        line = {
            name: train(data, name, 12, seed, step=0.2, batch_size=512, k=10).test["recall"]
            for name in VARIANTS
        }
        line["popularity"] = evaluate(popularity(data), data, "test", k=10)["recall"]
        tests.append(line)
    mean = pd.DataFrame(tests).mean()
    assert mean["popularity"] > 0.12  # chance finds a tenth
    assert (mean.drop("popularity") > mean["popularity"]).all(), mean


def test_a_seed_repeats_and_history_holds_what_happened():
    data, told = small(), []
    state = torch.get_rng_state()
    first = train(data, "pmtrec", 3, 5, focus_epochs=2, progress=lambda *a: told.append(a))
    assert torch.equal(state, torch.get_rng_state())  # the caller's random numbers are left alone
    again, other = train(data, "pmtrec", 3, 5, focus_epochs=2), train(data, "pmtrec", 3, 6)
    assert first.epochs == again.epochs and first.test["ndcg"] == again.test["ndcg"]
    assert torch.equal(first.weights["user"], again.weights["user"])
    assert first.epochs != other.epochs
    assert [e["focus"] for e in first.epochs] == [0, 0.5, 1]
    assert told == [(e + 1, 3, first.epochs[e]["ndcg"]) for e in range(3)]
    assert first.best == max(range(3), key=lambda e: first.epochs[e]["ndcg"])
    assert evaluate(first.model.scores, data)["ndcg"] == first.epochs[first.best]["ndcg"]
    assert all(loss > 0 for e in first.epochs for loss in e["loss"].values())
    assert first.model.heads[1].bias != 0 and (first.model.heads[2].weight != 0).all()  # heads learn too
    for side, rows in (("user", 40), ("item", 30)):
        weights = first.weights[side]
        assert weights.shape == (3, rows, 3) and torch.allclose(weights.sum(-1), torch.ones(3, rows))
        assert not (weights[0] == weights[0, 0]).all() and (weights[2, :, 0] == 1).all()
    assert (first.weights["user"][0, :, 2] == 0).all()  # a category says nothing about a user


def test_the_best_epoch_by_validation_is_kept_and_tested_once(monkeypatch):
    data, asked, script = small(), [], [0.3, 0.5, 0.4, 0.2]

    def scripted(score, data, split, k):
        asked.append(split)
        return {"recall": 0.0, "ndcg": script[len(asked) - 1] if split == "valid" else 0.1}

    monkeypatch.setattr(pmtrec, "evaluate", scripted)
    history = train(data, "equal", 4)
    assert history.best == 1 and asked == ["valid"] * 4 + ["test"] and history.test["ndcg"] == 0.1
    script[:], asked[:] = [0.1, 0.2], []
    two = train(data, "equal", 2).model
    assert torch.equal(history.model.tables["user"], two.tables["user"])


def test_focus_from_the_start_is_training_without_auxiliary_tasks():
    with_tasks, alone = small(), small(tasks={"click": "rank"})
    first, second = (train(data, "main_only", 3, 0) for data in (with_tasks, alone))
    assert all(torch.equal(first.model.tables[s], second.model.tables[s]) for s in ("user", "item"))
    always = train(with_tasks, replace(VARIANTS["pmtrec"], focus="start", balance=False), 3, 0)
    assert torch.equal(first.model.tables["user"], always.model.tables["user"])
    zero = train(with_tasks, replace(VARIANTS["pmtrec"], balance=False), 3, 0, focus_epochs=0)
    assert torch.equal(first.model.tables["user"], zero.model.tables["user"])


def test_a_user_without_auxiliary_labels_has_only_the_main_weight():
    data = small(tasks={"click": "rank", "long_view": "pair"})
    gone = data.pairs[:, 0] < 4
    data.labels[gone, 1] = math.nan
    weights = train(data, "no_focus", 2, batch_size=20).weights[
        "user"
    ]  # most batches are without a given user
    assert torch.equal(weights[:, :4], torch.tensor([1.0, 0.0]).expand(2, 4, 2))
    assert (weights[:, 4:, 1] > 0).all()


def test_one_task_is_refused_before_training():
    def never(*told):
        raise AssertionError

    with pytest.raises(UserError, match="needs at least one auxiliary task besides 'click'.*main_only"):
        train(small(tasks={"click": "rank"}), "pmtrec", progress=never)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "pmtrek"}, "Did you mean 'pmtrec'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"step": -1.0}, "step is -1.0, but it must be above 0"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        train(small(), **settings)


def test_a_step_too_large_says_so():
    with pytest.raises(FloatingPointError, match="smaller step"):
        train(small(), Variant("equal, huge"), 3, step=1e30)

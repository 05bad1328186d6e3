"""The log that PMTRec learns from: losses by hand, what is held out, what is refused, a synthetic log."""

import math

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from factored import gradients_of, model_and_batch, small

from pfmsm_lite.errors import UserError
from pfmsm_lite.rivals import feedback
from pfmsm_lite.rivals.feedback import SYNTHETIC_TASKS, held_out, interactions, synthetic_log, world

# ---------------------------------------------------------------- tasks


def test_losses_by_hand():
    model, (users, items, negatives, labels) = model_and_batch()
    u, i = model.tables["user"][users], model.tables["item"][items]
    known = ~labels[:, 1].isnan()
    pair = F.binary_cross_entropy_with_logits(model.heads[1](u, i)[known], labels[known, 1], reduction="sum")
    user = F.cross_entropy(model.heads[2](u), labels[:, 2].long(), reduction="sum")
    item = F.cross_entropy(model.heads[3](i), labels[:, 3].long(), reduction="sum")
    assert torch.allclose(model(users, items, negatives, labels)[1:], torch.stack([pair, user, item]))
    assert not known.all()


def test_a_new_kind_of_task_is_one_entry(monkeypatch):
    def pull(head, users, items, negatives, labels):
        return (users**2).sum()

    monkeypatch.setitem(feedback.KINDS, "shrink", (lambda width, classes: torch.nn.Identity(), pull))
    model, batch = model_and_batch(tasks={"click": "rank", "long_view": "shrink"})
    count = torch.bincount(batch[0], minlength=40)[:, None]
    assert torch.allclose(gradients_of(model, batch)[:, 1], 2 * count * model.tables["user"].detach())


# ---------------------------------------------------------------- the log


def log(**columns):
    plain = {
        "user": [0, 0, 0, 0, 1],
        "item": [0, 1, 2, 3, 0],
        "click": [1, 1, 1, 1, 1],
        "like": [0, 1, 0, 1, 0],
    }
    return pd.DataFrame({**plain, **columns})


def test_held_out_keeps_the_last_rows_of_each_user():
    users = [0] * 10 + [1] * 3 + [2] * 2 + [3]
    order = [*range(9, -1, -1), 1, 2, 3, 5, 4, 0]
    found = held_out(users, order, valid=0.1, test=0.2)
    assert found.tolist() == [2, 2, 1] + [0] * 7 + [0, 1, 2] + [2, 0] + [0]
    last_out = held_out(users, order, valid=0, test=0)
    assert last_out.tolist() == [2, 1] + [0] * 8 + [0, 1, 2] + [2, 0] + [0]


def test_interactions_by_time_hold_out_the_latest_and_keep_their_other_labels_out_of_training():
    data = interactions(log(t=[3, 1, 4, 2, 9]), ["click", "like"], time="t")
    assert data.tasks == {"click": "rank", "like": "pair"}
    assert (data.test.tolist(), data.valid.tolist()) == ([[0, 2]], [[0, 0]])
    assert data.pairs.tolist() == [[0, 1], [0, 3], [1, 0]] and data.labels.tolist() == [
        [1, 1],
        [1, 1],
        [1, 0],
    ]


def test_a_repeated_pair_is_one_row_and_a_gap_is_an_unknown_label():
    df = log(like=[math.nan, 1, 0, math.nan, 0], kind=["x", None, "y", "x", "y"])
    df = pd.concat([df, df.iloc[[1]].assign(like=0), df.iloc[[4]].assign(click=0, like=math.nan)])
    data = interactions(df, {"click": "rank", "like": "pair", "kind": "item"})
    assert len(data.pairs) + len(data.valid) + len(data.test) == 5
    row = data.labels[(data.pairs == torch.tensor([1, 0])).all(1)]
    assert row.tolist() == [[1, 0, 1]]  # clicked once is clicked; the known label; class y
    assert data.classes("kind") == 2


def test_the_split_is_of_pairs_and_repeats_with_its_seed():
    first, again, other = (small(seed) for seed in (0, 0, 1))
    assert torch.equal(first.test, again.test) and not torch.equal(first.test, other.test)
    sets = [set(map(tuple, pairs.tolist())) for pairs in (first.pairs, first.valid, first.test)]
    assert sum(map(len, sets)) == len(set.union(*sets)) == 40 * 14


@pytest.mark.parametrize(
    ("change", "tasks", "message"),
    [
        ({}, ["clik"], "Did you mean 'click'"),
        ({}, [], "at least one task"),
        ({}, {"click": "rank", "like": "pear"}, "kind of task 'like'.*Did you mean 'pair'"),
        ({}, {"click": "pair"}, "first task, and no other, has the kind 'rank'"),
        ({}, {"click": "rank", "like": "rank"}, "first task, and no other"),
        ({"click": [1, 1, 2, 1, 1]}, ["click"], "row 3.*'click'.*0, 1 or empty"),
        ({"user": [0, None, 0, 0, 1]}, ["click"], "row 2.*'user'.*is empty"),
        ({"click": [0, 0, 1, 1, 1]}, ["click"], "No user has three rows with a positive 'click'"),
    ],
)
def test_bad_logs_are_refused(change, tasks, message):
    with pytest.raises(UserError, match=f"(?s){message}"):
        interactions(log(**change), tasks)


def test_other_bad_input_is_refused():
    with pytest.raises(UserError, match="have no rows"):
        interactions(log().iloc[:0], ["click"])
    with pytest.raises(UserError, match="Unknown column.*'person'"):
        interactions(log(), ["click"], user="person")
    with pytest.raises(UserError, match="sum is below 1"):
        interactions(log(), ["click"], valid=0.5, test=0.5)
    with pytest.raises(UserError, match="harmed is 2, but it must be between 0 and 1"):
        synthetic_log(harmed=2)


def test_the_auxiliary_task_follows_clicks_for_some_users_and_not_for_others():
    df, misled = synthetic_log(users=400, harmed=0.5, seed=1)
    table = df.assign(misled=misled[df["user"]]).groupby(["misled", "click"])["long_view"].mean().unstack()
    assert table.loc[False, 1] > table.loc[False, 0] + 0.2 and table.loc[True, 1] < table.loc[True, 0] - 0.2
    assert df.groupby(["user", "item"]).size().max() == 1 and df.groupby("user")["click"].sum().eq(10).all()


def test_two_worlds_differ_in_the_labels_of_the_auxiliary_task_alone():
    (good, nobody), (bad, half) = (world(name, 3, users=60) for name in ("helps", "misleads"))
    assert not nobody.any() and half.sum() == 30
    assert torch.equal(good.pairs, bad.pairs) and torch.equal(good.test, bad.test)
    assert good.tasks == bad.tasks == SYNTHETIC_TASKS
    other = good.labels != bad.labels
    assert not other[:, [0, 2]].any() and not other[~half[good.pairs[:, 0]], 1].any()
    assert other[half[good.pairs[:, 0]], 1].float().mean() > 0.5
    assert torch.equal(world("helps", 3, users=60)[0].labels, good.labels)
    with pytest.raises(UserError, match="Unknown world.*Did you mean 'helps'"):
        world("help")

"""What is refused before anybody trains, and what a client and a rule may not do."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small import SMALL, scenarios

import pfmsm_lite.rivals.declared  # noqa: F401
from pfmsm_lite import METHODS, Method, Settings, normalize, run
from pfmsm_lite.data import synthetic
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.federation import Federation
from pfmsm_lite.registry import OPERATORS, Operator
from pfmsm_lite.scenario import check

PF = METHODS["pf_msmtrec"]


def with_cell(part, row, column, value, split="valid"):
    """Two scenarios, one cell of the second changed."""
    made = scenarios(2)
    rows = made[1].rows(split)
    block = getattr(rows, part).clone()
    block[row, column] = value
    return [made[0], replace(made[1], **{split: rows._replace(**{part: block})})]


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize(
    ("part", "column", "value", "said"),
    [
        ("labels", 0, 2.0, "row 3, click: 2.0, but it must be 0, 1 or NaN"),
        ("labels", 1, -1.0, "row 3, conversion: -1.0"),
        ("labels", 0, 0.5, "row 3, click: 0.5"),
        ("labels", 0, torch.inf, "row 3, click: inf"),
        ("categorical", 0, -1, "row 3, user: -1, but it must be an entry of its field's table"),
        ("categorical", 1, 20, "row 3, item: 20"),
        ("categorical", 1, 10**9, "row 3, item: 1000000000"),
        ("numerical", 1, torch.nan, "row 3, y: nan, but it must be finite"),
        ("numerical", 0, -torch.inf, "row 3, x: -inf"),
    ],
)
def test_a_cell_that_nobody_can_train_on_is_named(part, column, value, said, split):
    with pytest.raises(UserError, match=f"Scenario 's1', {split} rows: {said}"):
        check(with_cell(part, 3, column, value, split))


def test_what_may_be_there_passes():
    check(with_cell("labels", 3, 0, torch.nan))
    check(with_cell("categorical", 3, 0, 0))
    made = with_cell("categorical", 3, 1, 19)
    check([replace(s, train=s.train._replace(categorical=s.train.categorical.int())) for s in made])


@pytest.mark.parametrize(
    "change",
    [
        {"labels": torch.zeros(60, 1)},
        {"labels": torch.zeros(60, 3)},
        {"labels": torch.zeros(60)},
        {"labels": torch.zeros(60, 2, dtype=torch.float64)},
        {"labels": torch.zeros(60, 2, dtype=torch.int64)},
        {"categorical": torch.ones(60, 3, dtype=torch.int64)},
        {"categorical": torch.ones(59, 2, dtype=torch.int64)},
        {"categorical": torch.ones(60, 2)},
        {"numerical": torch.zeros(60, 2, dtype=torch.float64)},
        {"numerical": torch.zeros(60, 0)},
    ],
)
def test_a_block_of_another_shape_or_type_is_named(change):
    made = scenarios(1)[0]
    (part,) = change
    with pytest.raises(UserError, match=f"train rows: {part} is .*, but it must be"):
        check([replace(made, train=made.train._replace(**change))])


def test_bags_may_hold_no_entry_where_other_fields_may_not():
    made = scenarios(1)[0]

    def with_bag(rows):
        return rows._replace(categorical=torch.cat([rows.categorical, rows.categorical[:, 1:] * 0 - 1], 1))

    bags = {split: with_bag(made.rows(split)) for split in ("train", "valid", "test")}
    check([replace(made, bags={"item": 2}, **bags)])
    wrong = bags["train"].categorical.clone()
    wrong[0, 0] = -1
    with pytest.raises(UserError, match="row 0, user: -1"):
        check(
            [replace(made, bags={"item": 2}, **bags | {"train": bags["train"]._replace(categorical=wrong)})]
        )


# ---- run ----


def test_what_a_person_gives_by_mistake_is_answered_with_the_right_name():
    made = scenarios(2)
    for call, said in (
        (lambda: run(synthetic(sizes=(90, 80), test_rows=50), PF), "scenarios, truth = synthetic"),
        (lambda: run(made, PF, lr=0.1), "Unknown option of run 'lr'. Did you mean 'learning_rate'"),
        (lambda: run(made, PF, epochs=1), "Did you mean 'local_epochs'"),
        (lambda: run(made, PF, batchsize=1), "Did you mean 'batch_size'"),
        (lambda: run(made, PF, seed=1.5), "seed is 1.5"),
        (lambda: run(made, PF, seed=-1), "seed is -1"),
        (lambda: run(made, PF, seed="0"), "seed is '0'"),
        (lambda: run(made, PF, rounds=1.5), "--rounds is 1.5"),
        (lambda: run(made, PF, batch_norm=True, batch_size=1), "--batch-size is 1, but BatchNorm"),
    ):
        with pytest.raises(UserError, match=said):
            call()


def test_a_seed_of_numpy_is_that_seed():
    made = scenarios(2)
    found = [run(made, PF, rounds=np.int64(1), seed=seed, **SMALL) for seed in (3, np.int64(3))]
    assert found[0].results.equals(found[1].results) and type(found[1].seed) is int


def test_the_nearest_name_is_one_that_is_alike_or_abbreviated():
    for given, near in (("lr", "learning_rate"), ("epochs", "local_epochs"), ("batchsize", "batch_size")):
        with pytest.raises(UserError, match=f"Did you mean '{near}'"):
            choose("option", given, ["learning_rate", "local_epochs", "batch_size"])
    for given in ("", "zz"):
        with pytest.raises(UserError) as error:
            choose("option", given, ["learning_rate"])
        assert "Did you mean" not in str(error.value)


def test_a_policy_of_embedding_that_nothing_would_do_is_refused():
    for policy in ("self", "personalized", "learned"):
        with pytest.raises(UserError, match=f"embedding is '{policy}', but it can only be 'mean' or 'local'"):
            Method("m", "", {"embedding": policy})
    with pytest.raises(UserError, match="contradicts itself"):
        Method("m", "", {"embedding": "personalized"}, aggregate="learned")
    Method("m", "", {"embedding": "local", "gate": "mean"})


# ---- rules ----


@pytest.mark.parametrize("shape", [(3, 2, 1), (5,), (2, 2, 3, 4), (7, 1)])
def test_a_misshapen_normalization_is_refused_by_its_name(shape, monkeypatch):
    def wrong(stack):
        return torch.ones(shape), torch.zeros(())

    monkeypatch.setitem(OPERATORS["normalize"], "wrong", Operator(wrong, ""))
    with pytest.raises(UserError, match="The normalize rule 'wrong' returned a tensor of shape"):
        normalize(torch.randn(2, 3, 4), "wrong")


@pytest.mark.parametrize("sources", [torch.nan, None])
def test_sources_that_a_rule_returns_are_checked(sources, monkeypatch):
    def wrong(exchange, method):
        weights = torch.eye(len(exchange.rows)).expand_as(exchange.gram)
        return weights, {"sources": exchange.sources * sources if sources else exchange.sources[:1, :1]}

    monkeypatch.setitem(OPERATORS["aggregate"], "wrong", Operator(wrong, ""))
    with pytest.raises(UserError, match="The aggregate rule 'wrong' returned a tensor .*sources"):
        run(scenarios(2), replace(PF, aggregate="wrong"), rounds=1, **SMALL)


# ---- clients ----


def start(method="pf_msmtrec", count=2, **options):
    return Federation(scenarios(count), METHODS[method], Settings(**SMALL, **options), 0)


def same(first, second):
    """Whether two nested structures hold the same."""
    if torch.is_tensor(first):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def copied(value):
    if torch.is_tensor(value):
        return value.clone()
    if isinstance(value, dict):
        return {key: copied(own) for key, own in value.items()}
    return type(value)(map(copied, value)) if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("take", [lambda c: c.upload(), lambda c: c.state(), lambda c: c.gradient(20)])
@pytest.mark.parametrize("method", ["fedavg", "ditto"])
def test_what_a_client_hands_out_is_no_live_view(take, method):
    client = start(method).clients[0]
    client.train()
    client.use_at_home()
    found = take(client)
    kept = copied(found)
    client.train()
    client.use_at_home()
    assert same(found, kept)


def test_a_gradient_changes_nothing():
    client = start().clients[0]
    before, training = client.snapshot(), client.model.training
    found = client.gradient(20)
    assert found and all(parameter.grad is None for parameter in client.model.parameters())
    assert client.model.training is training and same(before, client.snapshot())


@pytest.mark.parametrize("method", ["fedbn", "ditto", "fedrep", "fedprox", "pooled"])
def test_a_client_of_one_row_trains_nothing_with_batch_norm_and_goes_on(method):
    few = scenarios(2)
    rows = few[0].train
    few[0] = replace(few[0], train=rows._replace(**{k: getattr(rows, k)[:1] for k in rows._fields[:3]}))
    history = run(few, METHODS[method], rounds=2, batch_norm=True, **SMALL)
    assert history.rounds_done == 2 and not history.refused
    if method != "pooled":
        losses = history.rounds.query("scenario == 's0'")["train_loss"]
        assert (losses == 0).all()
        lone = Federation(few, METHODS["fedbn"], Settings(**SMALL), 0).clients[0]
        before = lone.snapshot()
        loss, fine = lone.train()
        assert loss.tolist() == [0, 0] and fine and same(before, lone.snapshot())

"""The loop: limits where methods must coincide, what may and may not leave a client, what is refused."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from small import SMALL, scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables
from pfmsm_lite import METHODS, Federation, Settings, run
from pfmsm_lite.data import Rows
from pfmsm_lite.data.pooling import pool
from pfmsm_lite.errors import UserError
from pfmsm_lite.history import score
from pfmsm_lite.mmoe import parameter_groups

PF, LOCAL, FEDAVG = METHODS["pf_msmtrec"], METHODS["local"], METHODS["fedavg"]


def rounds_of(federation, count):
    for _ in range(count):
        _, _, accepted = federation.train()
        federation.serve(accepted)
    return federation


def parameters(federation, client=0):
    state = federation.clients[client].model.state_dict()
    return torch.cat([value.double().flatten() for value in state.values()])


def start(methods, data, seed=0, **options):
    return Federation(data, methods, Settings(**{**SMALL, **options}), seed)


RULES = ("mean", "kin", "learned", "partners", "evidence", "self", "cosine", "fedamp")


@pytest.mark.parametrize("state", ["keep", "reset"])
@pytest.mark.parametrize("rule", RULES)
def test_one_client_pf_msmtrec_is_local_training(rule, state):
    pf = replace(PF, normalize="none", aggregate=rule, optimizer_state=state)
    alone = replace(LOCAL, compose=PF.compose, intercept=PF.intercept, optimizer_state=state)
    one = [scenario()]
    federated, local = (rounds_of(start(method, one), 3) for method in (pf, alone))
    assert torch.allclose(parameters(federated), parameters(local), atol=1e-5)


@pytest.mark.parametrize("name", ["fedavg", "fedavg_used", "embedding_only"])
def test_one_client_fedavg_is_local_training(name):
    one = [scenario()]
    federated, local = (rounds_of(start(method, one), 3) for method in (METHODS[name], LOCAL))
    assert torch.allclose(parameters(federated), parameters(local), atol=1e-6)


@pytest.mark.parametrize("name", ["fedavg", "fedavg_used"])
def test_fedavg_of_two_clients_with_the_same_rows_in_the_same_order_is_one_of_them(name):
    twins = [scenario("a"), scenario("b")]
    pair, single = start(METHODS[name], twins), start(LOCAL, twins[:1])
    for client in pair.clients + single.clients:
        client.generator.manual_seed(5)
    rounds_of(pair, 3), rounds_of(single, 3)
    assert torch.allclose(parameters(pair, 0), parameters(single), atol=1e-5)
    assert torch.allclose(parameters(pair, 0), parameters(pair, 1), atol=1e-6)


def test_after_fedavg_all_clients_hold_the_mean_weighted_by_rows():
    data = scenarios(3)
    federation = start(FEDAVG, data)
    federation.train()
    trained = [{k: v.clone() for k, v in c.model.named_parameters()} for c in federation.clients]
    federation.serve(torch.ones(3, dtype=torch.bool))
    sizes = torch.tensor([float(len(s.train.labels)) for s in data])
    for name, value in federation.clients[1].model.named_parameters():
        if not name.startswith("embedding"):
            want = sum(w * t[name] for w, t in zip(sizes / sizes.sum(), trained, strict=True))
            assert torch.allclose(value, want, atol=1e-6), name


@pytest.mark.parametrize("name", list(METHODS))
def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(name):
    data = scenarios(3)
    first, again = (run(data, METHODS[name], rounds=2, seed=0, **SMALL) for _ in range(2))
    other = run(data, METHODS[name], rounds=2, seed=1, **SMALL)
    assert first.results.to_csv() == again.results.to_csv()
    # trees draw nothing but the folds of fields with many values, a regression nothing at all
    if name not in ("boosted_tree", "logistic", "logistic_pooled"):
        assert first.results.drop(columns="seed").to_csv() != other.results.drop(columns="seed").to_csv()
    for key in first.arrays:
        assert np.array_equal(first.array(key), again.array(key)), key


@pytest.mark.parametrize("name", ["fedavg", "pf_msmtrec", "embedding_only"])
def test_permuting_the_clients_permutes_the_result(name):
    data = scenarios(3)
    order = [2, 0, 1]
    straight = rounds_of(start(METHODS[name], data), 3)
    shuffled = rounds_of(start(METHODS[name], [data[k] for k in order]), 3)
    for place, k in enumerate(order):
        assert torch.allclose(parameters(shuffled, place), parameters(straight, k), atol=1e-4)


def test_run_takes_a_declaration_made_by_replace():
    kept = run(scenarios(2), replace(PF, coordinate="none"), rounds=1, **SMALL)
    before, after = kept.cosines.sel(stage="before"), kept.cosines.sel(stage="after")
    assert np.array_equal(before, after)
    turned = run(scenarios(2), PF, rounds=1, **SMALL).cosines
    experts = [u for u in turned.unit.values if u.startswith("expert")]
    pair = turned.sel(unit=experts, client="s0", other="s1", round=1)
    assert (pair.sel(stage="after") >= pair.sel(stage="before")).all()


def test_of_an_expert_only_the_scenario_part_is_uploaded():
    federation = start(PF, scenarios(2), batch_norm=True)
    names = {entry[0] for entry in federation.payload()[0]}
    groups = parameter_groups(federation.clients[0].model)
    experts = {name for name in names if name.startswith("experts")}
    assert experts == set(groups["expert.scenario"])
    for stays in ("expert.local", "expert.task", "gate", "norm"):
        assert not names & set(groups[stays])


def test_the_payload_is_what_it_says_to_the_byte():
    federation = start(PF, scenarios(2))
    for n, upload in enumerate(federation.payload()):
        for _, shape, size in upload:
            assert size == 4 * int(np.prod(shape))
        client = federation.clients[n]
        rows = int(client.in_use.sum())
        assert rows == len(torch.unique(client.train_rows.categorical))
        dense = sum(tensor.numel() for group in client.shared.values() for tensor in group.values())
        assert sum(entry[2] for entry in upload) == 4 * dense + rows * (SMALL["embedding_size"] + 1) * 4


def test_a_client_sends_nothing_for_a_task_that_it_lacks():
    half, whole = start(PF, [scenario("a", missing=("conversion",)), scenario("b", seed=1)]).payload()
    for (name, short, _), (_, full, _) in zip(half, whole, strict=True):
        if name.startswith("towers"):
            assert short == (1, *full[1:]) and full[0] == 2
        elif not name.startswith("embedding"):
            assert short == full


def test_local_parts_and_batch_norm_of_one_client_never_reach_another():
    data = scenarios(2)
    groups = [parameter_groups(c.model) for c in start(PF, data, batch_norm=True).clients]
    assert any(name.endswith("running_var") for name in groups[0]["norm"])
    clean, marked = (start(PF, data, batch_norm=True) for _ in range(2))
    with torch.no_grad():
        for group in ("norm", "expert.local", "expert.task", "gate"):
            for tensor in parameter_groups(marked.clients[0].model)[group].values():
                tensor.copy_(torch.full_like(tensor, 12345))
    everybody = [True, True]
    clean.serve(everybody), marked.serve(everybody)
    assert torch.equal(parameters(clean, 1), parameters(marked, 1))
    shared = start(replace(FEDAVG, name="all"), data, batch_norm=True)
    with torch.no_grad():
        for tensor in parameter_groups(shared.clients[0].model)["norm"].values():
            tensor.copy_(torch.full_like(tensor, 12345))
    shared.serve(everybody)
    reached = parameter_groups(shared.clients[1].model)["norm"]
    assert all(bool((tensor.float() > 1000).all()) for tensor in reached.values())


def test_a_missing_task_is_left_out_of_loss_metrics_towers_and_aggregation():
    data = [scenario("a"), scenario("b", seed=1, missing=("conversion",)), scenario("c", seed=2)]
    history = run(data, PF, rounds=3, **SMALL)
    lacking = history.results.query("scenario == 'b' and task == 'conversion'")
    assert (lacking["rows"] == 0).all() and lacking["auc"].isna().all()
    assert history.results.query("scenario == 'b' and task == 'click'")["auc"].notna().all()
    weights = history.weights.sel(unit="tower conversion")
    assert (weights.sel(source="b", client=["a", "c"]) == 0).all()
    assert (history.weights.sel(unit="tower click", source="b") > 0).all()
    assert np.allclose(history.weights.sum("source"), 1, atol=1e-6)


def test_a_tower_without_labels_does_not_move():
    federation = start(PF, [scenario("a", missing=("conversion",)), scenario("b", seed=1)])
    tower = federation.clients[0].model.towers.weight[0]
    before = tower[1].detach().clone()
    rounds_of(federation, 2)
    assert torch.equal(tower[1], before) and not torch.equal(tower[0], before)


def test_labels_missing_in_single_rows_count_for_nothing():
    whole = scenario(rows=64)
    labels = whole.train.labels.clone()
    labels[::2, 0] = float("nan")
    federation = start(LOCAL, [replace(whole, train=whole.train._replace(labels=labels))])
    client = federation.clients[0]
    got = client.losses(torch.arange(64))
    logits = client.model(client.train_rows.categorical, client.train_rows.numerical)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    assert torch.allclose(got[0], bce(logits[1::2, 0], labels[1::2, 0]))
    assert torch.allclose(got[1], bce(logits[:, 1], labels[:, 1]))


def poison(federation, rounds, clients):
    """Let the training of some clients end in NaN in some rounds."""
    for n in clients:
        client, fit, calls = federation.clients[n], federation.clients[n].fit, iter(range(1, 100))

        def broken(*args, client=client, fit=fit, calls=calls):
            loss = fit(*args)
            if next(calls) in rounds:
                with torch.no_grad():
                    client.model.experts.scenario[0].view(-1)[0] = float("nan")
            return loss

        client.fit = broken


@pytest.fixture
def poisoned(monkeypatch):
    """run() with some clients diverging in some rounds."""
    from pfmsm_lite import loop

    def go(method, data, rounds, bad_rounds, bad_clients):
        class Poisoned(Federation):
            def __init__(self, *args):
                super().__init__(*args)
                poison(self, bad_rounds, bad_clients)

        monkeypatch.setattr(loop, "Federation", Poisoned)
        return run(data, method, rounds=rounds, **SMALL)

    return go


@pytest.mark.parametrize("name", ["pf_msmtrec", "pf_msmtrec_partners", "fedavg", "local"])
def test_a_nan_upload_is_refused_and_training_goes_on(poisoned, name):
    history = poisoned(METHODS[name], scenarios(3), 4, {2}, [1])
    assert history.rounds_done == 4 and history.refused == [(2, "s1")]
    assert history.rounds["valid_auc"].notna().all()
    if name == "pf_msmtrec_partners":
        of_others = history.weights.sel(source="s1", client=["s0", "s2"])
        assert (of_others.sel(round=2) == 0).all() and (of_others.sel(round=3) > 0).any()
        assert (history.weights.sel(source="s1", client="s1", round=2) == 1).all()


def test_if_every_upload_is_nan_the_run_stops_with_the_last_good_round(poisoned):
    history = poisoned(PF, scenarios(2), 5, {3}, [0, 1])
    assert history.rounds_done == 2 and "round 3" in history.stopped
    assert history.results["auc"].notna().all()


def test_nan_in_the_first_round_is_an_error_that_says_what_to_do(poisoned):
    with pytest.raises(UserError, match="Round 1 of pf_msmtrec.*learning-rate"):
        poisoned(PF, scenarios(2), 5, {1}, [0, 1])


def test_a_refused_client_goes_back_to_where_it_was():
    federation = start(LOCAL, scenarios(2))
    before = parameters(federation, 0).clone()
    poison(federation, {1}, [0])
    _, _, accepted = federation.train()
    assert accepted == [False, True]
    assert torch.equal(parameters(federation, 0), before)


def test_an_id_that_nobody_trained_is_read_as_unknown():
    base = scenario(rows=40)
    seen = base.train.categorical.clone()
    seen[:, 0] = seen[:, 0].clamp(max=10)
    data = replace(base, train=base.train._replace(categorical=seen))
    federation = start(METHODS["embedding_only"], [data])
    client = federation.clients[0]
    used = set(seen[:, 0].tolist())
    for raw, local in zip(
        data.test.categorical[:, 0], client.views[0][1]["test"].categorical[:, 0], strict=True
    ):
        assert (local == client.held.unknown[0]) == (int(raw) not in used)


def test_a_shared_table_knows_what_any_client_trained_a_local_one_only_its_own():
    a, b = scenario("a", rows=60), scenario("b", rows=60, seed=1)
    low, high = a.train.categorical.clone(), b.train.categorical.clone()
    low[:, 0], high[:, 0] = low[:, 0].clamp(max=9), high[:, 0].clamp(min=20)
    ids = a.test.categorical.clone()
    ids[:, 0] = 20
    test = a.test._replace(categorical=ids)
    data = [
        replace(a, train=a.train._replace(categorical=low), test=test),
        replace(b, train=b.train._replace(categorical=high)),
    ]
    for name, known in (("embedding_only", True), ("local", False)):
        client = start(METHODS[name], data).clients[0]
        ids = client.views[0][1]["test"].categorical[:, 0]
        assert bool((ids != client.held.unknown[0]).all()) == known


def test_untouched_entries_of_the_shared_table_stay_bit_for_bit():
    federation = start(METHODS["embedding_only"], scenarios(2))
    shared = federation.server.table
    before = shared.table.clone()
    used = torch.zeros(len(before), dtype=torch.bool)
    for index, uses in zip(shared.index, shared.uses, strict=True):
        used[index[uses > 0]] = True
    rounds_of(federation, 2)
    assert torch.equal(shared.table[~used], before[~used]) and (~used).any()
    assert not torch.equal(shared.table[used], before[used])


def test_lazy_adam_is_adam_where_every_batch_touches_every_entry():
    base = scenario(rows=64)
    ids = torch.arange(64)[:, None].repeat(1, 2) % 4 + 1
    data = [replace(base, train=base.train._replace(categorical=ids))]
    both = []
    for kind in ("adam", "lazy_adam"):
        federation = rounds_of(start(LOCAL, data, embedding_optimizer=kind, batch_size=64), 3)
        both.append(parameters(federation))
    off = (both[0] - both[1]).abs()  # they add epsilon in another place: that shows where gradients vanish
    assert off.median() < 1e-6 and off.quantile(0.95) < 1e-4


def test_lazy_adam_leaves_entries_alone_that_a_batch_does_not_use():
    base = scenario(rows=64)
    data = [replace(base, train=base.train._replace(categorical=torch.ones(64, 2, dtype=torch.long)))]
    federation = start(LOCAL, data, embedding_optimizer="lazy_adam")
    weight = federation.clients[0].model.embedding.weight
    before = weight.detach().clone()
    rounds_of(federation, 1)
    moved = (weight != before).any(1)
    assert moved.sum() == 2


def test_the_regularizer_pulls_towards_what_was_received():
    data = scenarios(2)
    distance = []
    for proximal in (0.0, 1.0, 1e3):
        federation = start(replace(PF, proximal=proximal), data, learning_rate=1e-2, local_epochs=5)
        received = federation.held("expert.scenario")
        federation.train()
        distance.append(float((federation.held("expert.scenario") - received).norm()))
    assert distance[0] > distance[1] > distance[2]


def test_pooled_has_all_rows_and_knows_the_scenario():
    data = scenarios(3)
    federation = start(METHODS["pooled"], data)
    client = federation.clients[0]
    assert len(client.labels) == sum(len(s.train.labels) for s in data)
    assert [name for name, _ in client.views] == ["s0", "s1", "s2"]
    history = run(data, METHODS["pooled"], rounds=2, **SMALL)
    assert list(history.results["scenario"].unique()) == ["s0", "s1", "s2"]


def test_pooling_takes_a_name_of_its_own_beside_a_column_called_scenario():
    def renamed(one):
        return replace(one, fields={"scenario": one.fields["user"], "item": one.fields["item"]})

    merged, _ = pool([renamed(one) for one in scenarios(3)])
    assert list(merged.fields) == ["scenario", "item", "scenario_"]
    assert merged.train.categorical.shape[1] == 3
    assert set(merged.train.categorical[:, 2].tolist()) == {1, 2, 3}


def test_the_history_names_its_axes():
    history = run(scenarios(3), PF, rounds=2, probe=40, **SMALL)
    assert history.weights.dims == ("round", "unit", "client", "source")
    assert history.cosines.dims == ("stage", "round", "unit", "client", "other")
    assert list(history.weights.coords["client"].values) == ["s0", "s1", "s2"]
    units = [f"expert {j}" for j in range(3)] + ["tower click", "tower conversion"]
    assert set(history.weights.coords["unit"].values) == set(units)
    assert len(history.rounds) == 2 * 3 * 2
    assert (history.array("normalized").sel(unit="tower click") == 0).all()
    assert (history.array("normalized").sel(unit="expert 0") > 0).all()
    with pytest.raises(KeyError, match="recorded no"):
        run(scenarios(2), LOCAL, rounds=1, **SMALL).array("weights")


def test_the_probe_is_the_true_gradient():
    federation = start(PF, scenarios(2), probe=50)
    gradient = federation.probe()
    client, block = federation.clients[1], federation.block("expert.scenario")
    weight = client.model.experts.scenario[0]
    own = client.gradient(50)["experts.scenario.0"]
    assert client.model.training and weight.grad is None  # it changes nothing
    step = 1e-2
    index = torch.arange(50)
    with torch.no_grad():
        entry = own.abs().flatten().argmax()
        values = []
        for sign in (1, -1):
            weight.view(-1)[entry] += sign * step
            values.append(float(client.losses(index).sum()))
            weight.view(-1)[entry] -= sign * step
    slope = (values[0] - values[1]) / (2 * step)
    assert slope == pytest.approx(float(own.flatten()[entry]), rel=0.02)
    assert gradient.shape == block.received.shape
    assert torch.equal(gradient[0, 1, : weight[0].numel()], own[0].flatten())


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "bf16"},
        {"batch_norm": True},
        {"unknown_rate": 0.2},
        {"ctcvr": "click,conversion"},
        {"local_epochs": 2},
    ],
)
def test_every_option_trains(options):
    history = run(scenarios(2), PF, rounds=2, **{**SMALL, **options})
    assert history.results["auc"].between(0, 1).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: run(scenarios(2), PF, rounds=0), "--rounds is 0.*at least 1"),
        (lambda: run(scenarios(2), "pf_mstrec", rounds=1), "Unknown method.*Did you mean 'pf_msmtrec'"),
        (lambda: run(scenarios(2), 3, rounds=1), "must be a Method"),
        (lambda: run(scenarios(2), PF, ctcvr="click"), "must name two tasks"),
        (lambda: replace(PF, radius=1.0), "--radius is 1.0.*below 1"),
        (lambda: replace(PF, radius=-0.1), "--radius is -0.1.*at least 0"),
        (lambda: replace(PF, coordinate="two_vectors"), "two_vectors.*Did you mean 'two_vector'"),
        (lambda: replace(PF, share={"towers": "mean"}), "towers.*Did you mean 'tower'"),
        (lambda: replace(PF, share={"tower": "men"}), "men.*Did you mean 'mean'"),
        (lambda: Settings(batch_size=0), "--batch-size is 0"),
        (lambda: Settings(hidden=()), "--hidden"),
        (lambda: Settings(hidden=(64, 0)), "--hidden is .64, 0.*from 1"),
        (lambda: Settings(hidden=64), "--hidden is 64, but it must be a tuple of whole numbers"),
        (lambda: Settings(hidden=(64.0, 32)), "--hidden is .64.0, 32.*whole numbers"),
        (lambda: Settings(hidden=(True, 32)), "--hidden is .True, 32"),
        (lambda: Settings(batch_size=12.5), "--batch-size is 12.5, but it must be a whole number, such as"),
        (lambda: Settings(experts=True), "--experts is True, but it must be a whole number"),
        (lambda: Settings(learning_rate="0.01"), "--learning-rate is '0.01', but it must be a number"),
        (lambda: Settings(batch_norm="no"), "--batch-norm is 'no', but it must be True or False"),
        (lambda: replace(PF, aggregate=1), "--aggregate is 1, but it must be a text, such as 'mean'"),
        (lambda: run([], PF), "no scenario"),
        (lambda: run([scenario("a"), scenario("a")], PF), "share a name: a, a"),
        (lambda: run([scenario("a"), scenario("b", tasks=("like",))], PF), "'b' has other tasks"),
        (lambda: run([scenario("a", rows=0)], PF), "'a' has no train rows"),
        (lambda: run([scenario("a", missing=("click", "conversion"))], PF), "'a' has no labels"),
        (lambda: run(scenarios(2), PF, ctcvr="click,convert"), "Did you mean 'conversion'"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused_by_name(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_numbers_of_numpy_and_pytorch_are_taken_and_kept_as_pythons_own():
    found = Settings(
        batch_size=np.int64(64), learning_rate=np.float32(0.5), batch_norm=np.bool_(True),
        hidden=np.array([8, 4]), experts=torch.tensor(3),
    )  # fmt: skip
    assert found == Settings(batch_size=64, learning_rate=0.5, batch_norm=True, hidden=(8, 4), experts=3)
    assert json.dumps(asdict(found)) and type(found.batch_size) is int and found.batch_norm is True


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40))
def test_the_auc_is_scikit_learns_and_that_of_counting_pairs(rows):
    labels = np.array([float(label) for label, _ in rows])
    probabilities = np.array([value / 8 + 0.05 for _, value in rows])
    assume(0 < labels.sum() < len(labels))
    found = score(labels, probabilities)[2]
    pairs = [
        (p > q) + (p == q) / 2 for p in probabilities[labels == 1] for q in probabilities[labels == 0]
    ]  # ties count half
    assert found == pytest.approx(np.mean(pairs)) and found == pytest.approx(
        roc_auc_score(labels, probabilities)
    )


def test_one_class_only_has_no_auc():
    base = scenario("a")
    ones = base.test._replace(labels=torch.ones_like(base.test.labels))
    results = run([replace(base, test=ones), scenario("b")], PF, rounds=1, **SMALL).results
    alone = results.query("scenario == 'a' and split == 'test'")
    assert alone["auc"].isna().all() and (alone["positives"] == alone["rows"]).all()
    assert alone["logloss"].notna().all()


def test_rows_have_no_batch_of_one_when_batch_norm_trains():
    base = scenario(rows=33)
    federation = start(LOCAL, [base], batch_norm=True)
    federation.train()
    assert [len(batch) for batch in federation.clients[0].batches()] == [32]
    assert isinstance(base.train, Rows)

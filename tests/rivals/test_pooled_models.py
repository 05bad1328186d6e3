"""One model for all scenarios: shared bottom, PLE and STAR against plain loops, and as methods."""

import copy
from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F
from small import SMALL, scenario, scenarios
from torch import nn

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables
from pfmsm_lite import METHODS, Federation, Method, Settings, run
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.options import declared
from pfmsm_lite.lab.statistics import compact, pooled_names, table
from pfmsm_lite.mmoe import parameter_groups
from pfmsm_lite.registry import OPERATORS, lookup
from pfmsm_lite.rivals.pooled import PLE, STAR, PartitionedNorm, SharedBottom, domain_of

SIZES = (7, 5, 4)  # user, item, and three domains with the unknown row
NAMES = ("m3oe", "shared_bottom", "ple", "star")
every_model = pytest.mark.parametrize("name", NAMES)
SHAPES = {
    "two tasks": {},
    "three tasks": {"tasks": 3},
    "one task": {"tasks": 1},
    "one expert": {"experts": 1},
    "seven experts": {"experts": 7},
    "one hidden layer": {"hidden": (5,)},
    "no numericals": {"numericals": 0},
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def build(kind, seed=0, **options):
    options = {
        "numericals": 2, "tasks": 2, "experts": 4, "hidden": (6, 4), "tower": 5, "embedding": 3
    } | options  # fmt: skip
    return kind(dict(zip("uid", SIZES, strict=True)), generator=generator(seed), **options)


def shaken(model, seed=1):
    draw = generator(seed)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(torch.rand(tensor.shape, generator=draw) - 0.3)
    return model


def batch(model, rows=13, seed=2):
    ids = [torch.randint(0, size, (rows,), generator=generator(seed + k)) for k, size in enumerate(SIZES[:2])]
    width = model.inputs - 3 * model.embedding.weight.shape[1]
    numerical = torch.randn(rows, width, generator=generator(seed + 9))
    return torch.stack([*ids, torch.arange(rows) % 3 + 1], 1), numerical


def linear(weight, bias):
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    return lambda x: torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))


def columns(model, ids, numerical):
    tables = model.embedding.weight.split(SIZES)
    return torch.cat([*(table[ids[:, k]] for k, table in enumerate(tables)), numerical], 1)


def plain_expert(experts, e, h):
    for weight, bias in zip(experts.scenario, experts.bias, strict=True):
        h = F.relu(linear(weight[e], bias[e])(h))
    return h


def plain_tower(towers, t, h):
    h = F.relu(linear(towers.weight[0][t], towers.bias[0][t])(h))
    return linear(towers.weight[1][t], towers.bias[1][t])(h)


def plain_shared_bottom(model, x, domain):
    z = plain_expert(model.bottom, 0, x)
    return torch.cat([plain_tower(model.towers, t, z) for t in range(model.tasks)], 1)


def plain_ple(model, x, domain):
    shared = [plain_expert(model.shared, e, x) for e in range(model.shared.experts)]
    each = model.specific.experts // model.tasks
    logits = []
    for t in range(model.tasks):
        mine = shared + [plain_expert(model.specific, t * each + k, x) for k in range(each)]
        gate = linear(model.gates.weight[t], model.gates.bias[t])(x).softmax(1)
        z = sum(gate[:, j, None] * mine[j] for j in range(len(mine)))
        logits.append(plain_tower(model.towers, t, z))
    return torch.cat(logits, 1)


def plain_star(model, x, domain):
    found = []
    for k in range(len(x)):
        d, row = int(domain[k]), x[k : k + 1]
        h = row
        for layer in [*model.layers, model.output]:
            h = linear(layer.shared * layer.domain[d], layer.shared_bias + layer.domain_bias[d])(h)
            if layer is not model.output:
                h = F.relu(h)
        found.append(h + torch.cat([plain_tower(model.auxiliary, t, row) for t in range(model.tasks)], 1))
    return torch.cat(found)


REFERENCES = {SharedBottom: plain_shared_bottom, PLE: plain_ple, STAR: plain_star}


@pytest.mark.parametrize("kind", REFERENCES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_model_is_a_plain_loop(kind, shape):
    model = shaken(build(kind, **SHAPES[shape]))
    twin = copy.deepcopy(model)
    ids, numerical = batch(model)
    logits = model(ids, numerical)
    want = REFERENCES[kind](twin, columns(twin, ids, numerical), ids[:, -1] - 1)
    assert logits.shape == (13, model.tasks)
    assert torch.allclose(logits, want, atol=1e-5)
    pull = torch.randn(want.shape, generator=generator(5))
    (logits * pull).sum().backward(), (want * pull).sum().backward()
    theirs = dict(twin.named_parameters())
    for name, parameter in model.named_parameters():
        assert theirs[name].grad.any() or "bias" in name, name
        assert torch.allclose(parameter.grad, theirs[name].grad, atol=2e-5), name


# ---- PLE ----


def test_ples_gates_are_positive_and_sum_to_one():
    model = shaken(build(PLE, experts=5))  # 3 shared, 1 each
    gates = model.gates(torch.randn(9, model.inputs, generator=generator()) * 5)
    assert gates.shape == (9, 2, 4) and (gates >= 0).all()
    assert torch.allclose(gates.sum(2), torch.ones(9, 2))


@pytest.mark.parametrize(
    ("experts", "tasks", "shared", "specific"),
    [(4, 2, 2, 2), (8, 2, 4, 4), (4, 1, 2, 2), (5, 2, 3, 2), (6, 2, 4, 2), (4, 3, 1, 3)],
)
def test_ple_divides_the_experts_and_shares_the_rest(experts, tasks, shared, specific):
    model = build(PLE, experts=experts, tasks=tasks)
    assert (model.shared.experts, model.specific.experts) == (shared, specific)
    assert shared + specific == experts


def test_ple_has_one_shared_expert_and_one_of_each_task_at_least():
    model = build(PLE, experts=1, tasks=2)
    assert (model.shared.experts, model.specific.experts) == (1, 2)


def test_one_tasks_experts_are_nothing_to_the_other_task():
    model = shaken(build(PLE))
    rows = batch(model)
    before = model(*rows)
    with torch.no_grad():
        model.specific.bias[-1][1].add_(1.0)  # the second task's
    after = model(*rows)
    assert torch.equal(after[:, 0], before[:, 0]) and (after[:, 1] != before[:, 1]).any()


# ---- STAR ----


def test_with_normalization_the_auxiliary_network_still_learns_which_domain_a_row_is_of():
    """Within a domain its own embedding is constant: normalized, it would be nothing, and never learn."""
    model = shaken(build(STAR, batch_norm=True)).train()
    with torch.no_grad():  # the star part says nothing: what is left is the auxiliary network
        model.output.shared.zero_(), model.output.shared_bias.zero_(), model.output.domain_bias.zero_()
    ids, numerical = batch(model)
    logits = model(ids, numerical)
    raw = columns(model, ids, numerical)
    want = torch.cat([plain_tower(model.auxiliary, t, raw) for t in range(2)], 1)
    assert torch.allclose(logits, want, atol=1e-5)
    (logits * torch.randn(logits.shape, generator=generator(5))).sum().backward()
    domains = model.embedding.weight.grad[-3:]
    assert (domains.norm(dim=1) > 1e-2).all()


def test_star_with_shared_weights_only_is_a_plain_perceptron():
    """As it starts, W_d at ones and b_d at zeros; and beside it the auxiliary network."""
    model = build(STAR)
    with torch.no_grad():
        for parameter in model.auxiliary.parameters():
            parameter.zero_()
    ids, numerical = batch(model)
    h = columns(model, ids, numerical)
    for layer in model.layers:
        h = F.relu(F.linear(h, layer.shared, layer.shared_bias))
    want = F.linear(h, model.output.shared, model.output.shared_bias)
    assert torch.allclose(model(ids, numerical), want, atol=1e-6)


def test_a_domains_factors_are_nothing_to_the_rows_of_another():
    model = shaken(build(STAR))
    ids, numerical = batch(model)
    before = model(ids, numerical)
    with torch.no_grad():
        model.layers[0].domain[1].mul_(2.0)
    changed = (model(ids, numerical) != before).any(1)
    assert torch.equal(changed, ids[:, -1] == 2)
    model.zero_grad()
    model(ids[ids[:, -1] == 1], numerical[ids[:, -1] == 1]).sum().backward()
    assert [bool(g.any()) for g in model.layers[0].domain.grad] == [True, False, False]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_permuting_the_domains_permutes_stars_outputs(batch_norm):
    model = shaken(build(STAR, batch_norm=batch_norm))
    order = torch.tensor([2, 0, 1])
    other = copy.deepcopy(model)
    with torch.no_grad():
        for name, mine in other.named_parameters():
            if name.split(".")[-1].startswith("domain"):
                mine.copy_(mine[order].clone())
        other.embedding.weight[-3:] = model.embedding.weight[-3:][order]
    ids, numerical = batch(model)
    renamed = ids.clone()
    renamed[:, -1] = order.argsort()[ids[:, -1] - 1] + 1
    assert torch.allclose(other(renamed, numerical), model(ids, numerical), atol=1e-5)
    assert not torch.allclose(other(ids, numerical), model(ids, numerical), atol=1e-3)


def test_partitioned_normalization_is_a_batch_norm_for_each_domain():
    """In training and afterwards, statistics included; γ and β are products and sums of two."""
    norm = shaken(PartitionedNorm(4, 3))
    plain = [nn.BatchNorm1d(4) for _ in range(3)]
    with torch.no_grad():
        for d, one in enumerate(plain):
            one.weight.copy_(norm.scale * norm.domain_scale[d])
            one.bias.copy_(norm.shift + norm.domain_shift[d])
    for seed in (1, 2):
        x = torch.randn(12, 4, generator=generator(seed)) * 3 + 1
        domain = torch.tensor([0, 1] * 6) if seed == 2 else torch.tensor([0, 1, 2] * 4)  # then one is away
        got = norm(x, domain)
        for d in domain.unique():
            assert torch.allclose(got[domain == d], plain[d](x[domain == d]), atol=1e-5)
    for d, one in enumerate(plain):
        assert torch.allclose(norm.running_mean[d], one.running_mean, atol=1e-6)
        assert torch.allclose(norm.running_var[d], one.running_var, atol=1e-6)
    norm.eval()
    for d, one in enumerate(plain):
        assert torch.allclose(norm(x, torch.full((12,), d)), one.eval()(x), atol=1e-5)


def test_a_single_row_of_a_domain_does_not_break_the_normalization():
    norm = PartitionedNorm(4, 3)
    got = norm(torch.randn(3, 4, generator=generator()), torch.arange(3))
    assert torch.equal(got, torch.zeros(3, 4)) and norm.running_var.isfinite().all()


# ---- as methods ----


@every_model
def test_every_parameter_is_in_exactly_one_group(name):
    model = lookup("model", name)({"u": 5, "scenario": 4}, 1, 2, batch_norm=True, generator=generator())
    groups = parameter_groups(model)
    names = [name for group in groups.values() for name in group]
    assert len(names) == len(set(names)) and set(dict(model.named_parameters())) <= set(names)


def test_the_tables_name_the_same_models():
    more = {"m3oe_cells", "m3oe_code", "boosted_tree", "logistic"}
    assert set(OPERATORS["model"]) == {"mmoe", *NAMES, *more}
    assert {name: METHODS[name].model for name in NAMES} == {name: name for name in NAMES}
    assert all(METHODS[name].pooled for name in NAMES)
    apart = (*NAMES, "boosted_tree", "logistic", "logistic_pooled")
    others = [method for name, method in METHODS.items() if name not in apart]
    assert all(method.model == "mmoe" for method in others)


@every_model
@pytest.mark.parametrize("options", [{}, {"batch_norm": True}, {"unknown_rate": 0.3}, {"precision": "bf16"}])
def test_a_model_trains_as_a_method(name, options):
    history = run(scenarios(3), METHODS[name], rounds=2, **{**SMALL, **options})
    assert history.results["auc"].between(0, 1).all()
    assert list(history.results["scenario"].unique()) == ["s0", "s1", "s2"]
    assert (history.rounds["bytes"] == 0).all()


def test_a_pooled_methods_seconds_count_once_and_it_sends_its_rows():
    histories = [run(scenarios(3), METHODS[name], rounds=2, **SMALL) for name in ("ple", "fedavg")]
    assert set(pooled_names()) == {"pooled", *NAMES, "boosted_tree", "logistic_pooled"}
    ple, fedavg = (compact(history.rounds) for history in histories)
    each = histories[0].rounds.query("round == 1")["seconds"]
    assert each.nunique() == 1 and ple["seconds"][0] == pytest.approx(each.iloc[0])
    every = histories[1].rounds.query("round == 1 and task == 'click'")["seconds"]
    assert fedavg["seconds"][0] == pytest.approx(every.sum())
    lines = [s for s in table(histories, widest=0).splitlines() if s.startswith(("ple", "fedavg"))]
    assert ["its rows" in line for line in lines] == [True, False]


@every_model
def test_a_model_learns(name):
    data = [scenario(f"s{n}", rows=400, seed=n) for n in range(2)]
    history = run(data, METHODS[name], rounds=8, **{**SMALL, "learning_rate": 0.01})
    assert history.results["auc"].mean() > 0.6


@every_model
def test_the_clients_table_gives_the_domain_that_a_row_is_from(name):
    client = Federation(scenarios(3), METHODS[name], Settings(**SMALL), 0).clients[0]
    model = client.model
    for number, (_, view) in enumerate(client.views):
        for rows in view.values():
            assert (domain_of(model.embedding, rows.categorical, model.domains) == number).all()


@pytest.mark.parametrize("name", ["pooled", *NAMES])
@pytest.mark.parametrize("rate", [0.0, 0.9])
def test_the_domain_is_never_hidden_and_the_other_ids_are(name, rate):
    client = Federation(scenarios(3), METHODS[name], Settings(**SMALL, unknown_rate=rate), 0).clients[0]
    seen, forward = [], client.model.forward
    client.model.forward = lambda ids, numerical: (seen.append(ids), forward(ids, numerical))[1]
    client.model.train()
    index = torch.arange(200)
    client.losses(index)
    given = client.train_rows.categorical[index]
    assert torch.equal(seen[0][:, -1], given[:, -1])
    assert ((seen[0][:, :-1] != given[:, :-1]).float().mean() > 0.7) == (rate > 0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "star"}, "'mine' contradicts itself: model is 'star', which needs all rows in one place"),
        ({"model": "ple", "pooled": True, "compose": "rank1"}, "compose is 'rank1', but only mmoe"),
        ({"model": "start", "pooled": True}, "Unknown --model 'start'. Did you mean 'star'"),
    ],
)
def test_a_model_that_contradicts_its_method_is_refused(changes, said):
    with pytest.raises(UserError, match=said):
        Method("mine", "a test", **changes)
    with pytest.raises(UserError, match="needs all rows in one place"):
        replace(METHODS["fedavg"], model="m3oe")


def test_the_option_model_changes_pooled_and_no_federated_method():
    chosen, _ = declared({"methods": ["pooled", "fedavg", "pf_msmtrec", "ple"], "model": "m3oe_code"})
    assert [method.model for method in chosen] == ["m3oe_code", "mmoe", "mmoe", "ple"]
    assert asdict(chosen[2]) == asdict(METHODS["pf_msmtrec"])

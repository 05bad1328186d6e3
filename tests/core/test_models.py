"""The models against plain loops: MMoE, its parameter template, ESMM's product, and who owns a parameter."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pfmsm_lite import MMoE, compose
from pfmsm_lite.errors import UserError
from pfmsm_lite.mmoe import parameter_groups
from pfmsm_lite.registry import OPERATORS

TEMPLATES = OPERATORS["compose"]

FIELDS = {"user": 7, "item": 5}
SHAPES = {
    "two tasks": {},
    "three tasks": {"tasks": 3},
    "one task": {"tasks": 1},
    "one expert": {"experts": 1},
    "one hidden layer": {"hidden": (5,)},
    "three hidden layers": {"hidden": (6, 4, 3)},
    "no numericals": {"numericals": 0},
}
every_template = pytest.mark.parametrize("template", TEMPLATES)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def build(template="none", seed=0, **options):
    options = {
        "numericals": 2,
        "tasks": 2,
        "experts": 3,
        "hidden": (6, 4),
        "tower": 5,
        "embedding": 3,
    } | options
    return MMoE(FIELDS, template=template, generator=generator(seed), **options)


def shaken(model, seed=1):
    """The same model with every parameter and BatchNorm statistic away from its start."""
    draw = generator(seed)
    with torch.no_grad():
        for tensor in [*model.parameters(), *(b for name, b in model.named_buffers() if "running" in name)]:
            tensor.add_(torch.rand(tensor.shape, generator=draw) - 0.3)
    return model


def batch(model, rows=11, seed=2):
    ids = torch.stack([torch.randint(0, n, (rows,), generator=generator(seed)) for n in FIELDS.values()], 1)
    width = model.gates.weight.shape[2] - len(FIELDS) * model.embedding.weight.shape[1]
    return ids, torch.randn(rows, width, generator=generator(seed + 1))


def linear(weight, bias):
    """x → nn.Linear with these parameters; gradients arrive in them."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    return lambda x: torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))


def norms_of(norm, count, training):
    """A BatchNorm1d over all channels as `count` small ones, of equal parts of its channels."""
    small = [nn.BatchNorm1d(norm.num_features // count).train(training) for _ in range(count)]
    with torch.no_grad():
        for name in ("weight", "bias", "running_mean", "running_var"):
            for one, part in zip(small, getattr(norm, name).chunk(count), strict=True):
                getattr(one, name).copy_(part)
    return small


def by_hand(template, scenario, local, task):
    """One expert's weight for one task: scenario [O, I], local and task as compose takes them."""
    outputs = len(scenario)
    return {
        "none": lambda: scenario,
        "hadamard": lambda: scenario * local * task,
        "additive": lambda: scenario + local + task,
        "rank1": lambda: (
            torch.diag(local[:outputs] * task[:outputs])
            @ scenario
            @ torch.diag(local[outputs:] * task[outputs:])
        ),
    }[template]()


def plain_mmoe(model, template, ids, numerical):
    """MMoE by the book: loops over nn.Linear and nn.BatchNorm1d; returns (logits [B, T], the BatchNorms)."""
    experts, towers, training = model.experts, model.towers, model.training
    start, x = 0, []
    for column, size in enumerate(FIELDS.values()):
        x.append(model.embedding.weight[start : start + size][ids[:, column]])
        start += size
    x = torch.cat([*x, numerical], 1)
    tasks, count = model.gates.bias.shape
    copies = 1 if template == "none" else tasks
    norms = [norms_of(norm, copies * count, training) for norm in experts.norm]
    tower_norms = norms_of(towers.norm, tasks, training) if towers.norm is not None else []
    found = {}
    for t in range(copies):
        for e in range(count):
            h = x
            for k, scenario in enumerate(experts.scenario):
                home = (None, None) if template == "none" else (experts.local[k], experts.task[k][t])
                h = linear(by_hand(template, scenario[e], *home), experts.bias[k][e])(h)
                h = F.relu(norms[k][t * count + e](h) if norms else h)
            found[t, e] = h
    logits = []
    for t in range(tasks):
        gate = linear(model.gates.weight[t], model.gates.bias[t])(x).softmax(1)
        z = sum(gate[:, e, None] * found[t if copies > 1 else 0, e] for e in range(count))
        h = linear(towers.weight[0][t], towers.bias[0][t])(z)
        h = F.relu(tower_norms[t](h) if tower_norms else h)
        logits.append(linear(towers.weight[1][t], towers.bias[1][t])(h))
    return torch.cat(logits, 1), [*norms, *([tower_norms] if tower_norms else [])]


def compare(model, template):
    """The model and the loops agree: logits, every gradient, and (in training) the BatchNorm statistics."""
    twin = copy.deepcopy(model)
    ids, numerical = batch(model)
    logits, (want, norms) = model(ids, numerical), plain_mmoe(twin, template, ids, numerical)
    assert logits.shape == (11, model.gates.bias.shape[0])
    assert torch.allclose(logits, want, atol=1e-5)
    pull = torch.randn(want.shape, generator=generator(5))
    (logits * pull).sum().backward(), (want * pull).sum().backward()
    expected = {name: p.grad for name, p in twin.named_parameters() if "norm" not in name}
    ours = [*model.experts.norm, *([model.towers.norm] if model.towers.norm is not None else [])]
    for norm, small in zip(ours, norms, strict=True):
        for name in ("weight", "bias"):
            parts = torch.cat([getattr(one, name).grad for one in small])
            assert torch.allclose(getattr(norm, name).grad, parts, atol=1e-5)
        for name in ("running_mean", "running_var"):
            parts = torch.cat([getattr(one, name) for one in small])
            assert torch.allclose(getattr(norm, name), parts, atol=1e-5)
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            alive = "bias" not in name and (model.gates.bias.shape[1] > 1 or "gates" not in name)
            assert expected[name].any() or not alive, name
            assert torch.allclose(parameter.grad, expected[name], atol=1e-5), name


@every_template
@pytest.mark.parametrize("shape", SHAPES)
def test_mmoe_is_a_plain_loop_over_experts_gates_and_towers(shape, template):
    compare(shaken(build(template, **SHAPES[shape])), template)


@every_template
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", ["two tasks", "three tasks", "one expert", "three hidden layers"])
def test_mmoe_with_batch_norm_is_a_plain_loop_too(shape, training, template):
    compare(shaken(build(template, batch_norm=True, **SHAPES[shape])).train(training), template)


def test_mmoe_by_hand():
    model = build(numericals=1, tasks=1, experts=2, hidden=(1,), tower=1, embedding=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.experts.scenario[0].copy_(torch.tensor([[[0.0, 0.0, 1.0]], [[0.0, 0.0, -1.0]]]))
        model.experts.bias[0].copy_(torch.tensor([[1.0], [1.0]]))
        model.gates.weight[0, 0, 2] = torch.tensor(3.0).log()  # gates 3 : 1 where the number is 1
        model.towers.weight[0].fill_(2.0), model.towers.weight[1].fill_(1.0), model.towers.bias[1].fill_(-1.0)
    logits = model(torch.zeros(1, 2, dtype=torch.long), torch.tensor([[1.0]]))
    assert logits.item() == pytest.approx(2 * (0.75 * 2 + 0.25 * 0) - 1)


def test_the_gates_are_positive_and_sum_to_one():
    model = shaken(build(tasks=3, experts=4))
    gates = model.gates(torch.randn(9, 8, generator=generator()) * 5)
    assert gates.shape == (9, 3, 4) and (gates > 0).all()
    assert torch.allclose(gates.sum(2), torch.ones(9, 3))


def test_fields_do_not_share_rows_and_the_unknown_rows_start_at_zero():
    model = build()
    numbers = torch.arange(12.0)[:, None].repeat(1, 3)
    unknown = model.embedding(torch.tensor([[0, 0]]))
    assert unknown.shape == (1, 6) and not unknown.any() and model.embedding.weight[1:7].all()
    model.embedding.weight.data = numbers
    assert model.embedding(torch.tensor([[6, 0], [2, 4]])).tolist() == [
        [6.0] * 3 + [7.0] * 3,
        [2.0] * 3 + [11.0] * 3,
    ]


def test_sparse_gradients_of_the_embedding_are_the_dense_ones():
    grads = []
    for sparse in (False, True):
        model = build()
        model.embedding.sparse = sparse
        model(*batch(model)).square().sum().backward()
        grads.append(model.embedding.weight.grad)
    assert grads[1].is_sparse and torch.allclose(grads[0], grads[1].to_dense())


@every_template
def test_the_same_seed_gives_the_same_model(template):
    same = [build(template, seed).state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(same[0][name], same[1][name]) for name in same[0])
    assert not torch.equal(same[0]["gates.weight"], same[2]["gates.weight"])


# ---- the template ----


@pytest.mark.parametrize("template", ["hadamard", "additive", "rank1"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_template_starts_as_a_plain_mmoe_and_leaves_it_with_the_first_step(template, batch_norm):
    plain, templated = (build(kind, batch_norm=batch_norm) for kind in ("none", template))
    for own, other in zip(plain.experts.scenario, templated.experts.scenario, strict=True):
        assert torch.equal(own, other)
    rows = batch(plain)
    assert torch.allclose(plain(*rows), templated(*rows), rtol=0, atol=1e-6)
    for model in (plain, templated):
        optimizer = torch.optim.SGD(model.parameters(), lr=5.0)
        F.binary_cross_entropy_with_logits(model(*rows), torch.ones(11, 2)).backward()
        optimizer.step()
    assert not torch.allclose(plain(*rows), templated(*rows), atol=1e-4)
    assert not torch.allclose(templated.experts.task[0][0], templated.experts.task[0][1])


@pytest.mark.parametrize("tasks", [1, 3])
@every_template
def test_compose_is_a_plain_loop(template, tasks):
    experts, outputs, inputs = 4, 5, 3
    home = (outputs + inputs,) if template == "rank1" else (outputs, inputs)
    scenario = torch.randn(experts, outputs, inputs, generator=generator())
    local, task = torch.randn(home, generator=generator(1)), torch.randn(tasks, *home, generator=generator(2))
    if template == "none":
        got = compose("none", scenario)
        assert got.shape == (1, experts, outputs, inputs) and torch.equal(got[0], scenario)
        return
    got = compose(template, scenario, local, task)
    assert got.shape == (tasks, experts, outputs, inputs)
    for t in range(tasks):
        for e in range(experts):
            assert torch.allclose(got[t, e], by_hand(template, scenario[e], local, task[t]), atol=1e-6)


def test_compose_by_hand():
    scenario, local = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[3.0, 4.0]])
    task = torch.tensor([[[5.0, 6.0]], [[0.0, -1.0]]])
    assert compose("hadamard", scenario, local, task).flatten().tolist() == [15, 48, 0, -8]
    assert compose("additive", scenario, local, task).flatten().tolist() == [9, 12, 4, 5]
    local, task = torch.tensor([2.0, 3.0, 4.0]), torch.tensor([[1.0, 5.0, 6.0]])  # output, then two inputs
    assert compose("rank1", scenario, local, task).flatten().tolist() == [2 * 15 * 1, 2 * 24 * 2]


@every_template
def test_the_parts_have_the_shapes_of_the_book(template):
    experts = build(template, tasks=3).experts
    layers = [(6, 8), (4, 6)]
    assert [tuple(p.shape) for p in experts.scenario] == [(3, o, i) for o, i in layers]
    assert [tuple(p.shape) for p in experts.bias] == [(3, o) for o, _ in layers]
    home = {"none": [], "rank1": [(o + i,) for o, i in layers]}.get(template, layers)
    assert [tuple(p.shape) for p in experts.local] == home
    assert [tuple(p.shape) for p in experts.task] == [(3, *shape) for shape in home]
    copies = 1 if template == "none" else 3
    assert experts(torch.randn(7, 8, generator=generator())).shape == (7, copies, 3, 4)
    assert experts.weights(1).shape == (copies, 3, 4, 6)


def test_an_unknown_template_is_refused_with_a_hint():
    with pytest.raises(UserError, match="Unknown compose 'hadamar'. Did you mean 'hadamard'"):
        compose("hadamar", torch.ones(1, 1, 1))
    with pytest.raises(UserError, match="Did you mean 'hadamard'"):
        build("hadamar")


# ---- ESMM's product ----

EXTREMES = [-50.0, -20.0, -5.0, 0.0, 5.0, 12.0, 20.0, 50.0]


def product_of(logits, parent=0, child=1):
    """What a model's `product` makes of these logits [B, T]: towers replaced by a constant."""
    model = build(product=(parent, child), tasks=logits.shape[1])
    model.towers.forward = lambda inputs: logits
    ids, numerical = batch(model, rows=len(logits))
    return model(ids, numerical)


@pytest.mark.parametrize(("parent", "child", "tasks"), [(0, 1, 2), (1, 0, 2), (2, 0, 3)])
def test_the_childs_probability_is_parent_times_child_and_the_others_stay(parent, child, tasks):
    plain, product = (shaken(build(tasks=tasks, product=p)) for p in (None, (parent, child)))
    rows = batch(plain)
    before, after = plain(*rows).detach().double().sigmoid(), product(*rows).double().sigmoid()
    assert torch.allclose(after[:, child], before[:, parent] * before[:, child], rtol=0, atol=1e-6)
    others = [t for t in range(tasks) if t != child]
    assert torch.allclose(after[:, others], before[:, others])


def test_the_product_holds_at_extreme_logits():
    logits = torch.cartesian_prod(torch.tensor(EXTREMES), torch.tensor(EXTREMES))
    want = logits.double().sigmoid().prod(1)
    assert (product_of(logits)[:, 1].double().sigmoid() - want).abs().max() <= 1e-6


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_the_products_gradient_is_finite_and_right_at_extreme_logits(label):
    logits = torch.cartesian_prod(torch.tensor(EXTREMES), torch.tensor(EXTREMES)).requires_grad_()
    child = product_of(logits)[:, 1]
    F.binary_cross_entropy_with_logits(child, torch.full_like(child, label), reduction="sum").backward()
    assert logits.grad.isfinite().all()
    x, y = logits.detach().double().T
    if label:  # −log P = −log σ(x) − log σ(y)
        want = torch.stack([-(-x).sigmoid(), -(-y).sigmoid()], 1)
    else:  # −log(1 − σ(x)σ(y)); with u = e⁻ˣ, v = e⁻ʸ its slopes are u/((1+u)(u+v+uv)) and v/((1+v)(u+v+uv))
        u, v = (-x).exp(), (-y).exp()
        want = torch.stack([u / (1 + u), v / (1 + v)], 1) / (u + v + u * v)[:, None]
    assert torch.allclose(logits.grad.double(), want, atol=1e-3)


# ---- who owns a parameter ----


class Odd(nn.Module):
    """Names that lie: a BatchNorm called scale_layer, a Linear called bn."""

    PARTS = {"bn": "tower", "weight": "gate"}

    def __init__(self):
        super().__init__()
        self.scale_layer = nn.BatchNorm1d(3)
        self.bn = nn.Linear(3, 2)
        self.weight = nn.Parameter(torch.ones(4))


class Nested(nn.Module):
    """A part that it claims has a BatchNorm inside."""

    PARTS = {"body": "tower"}

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))


STATISTICS = {"running_mean", "running_var", "num_batches_tracked"}


@every_template
@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_parameter_of_an_mmoe_is_in_exactly_one_group(batch_norm, template):
    model = build(template, batch_norm=batch_norm)
    groups = parameter_groups(model)
    names = [name for group in groups.values() for name in group]
    assert sorted(names) == sorted(model.state_dict())  # buffers of BatchNorm too, and no name twice
    parameters = dict(model.named_parameters())
    for group in groups.values():
        for name, tensor in group.items():
            assert tensor is parameters.get(name, tensor)
    want = {"embedding", "expert.scenario", "gate", "tower"}
    want |= set() if template == "none" else {"expert.local", "expert.task"}
    assert set(groups) == want | ({"norm"} if batch_norm else set())
    assert set(groups["expert.scenario"]) == {
        f"experts.{p}.{k}" for p in ("scenario", "bias") for k in (0, 1)
    }
    assert set(groups["tower"]) == {f"towers.{part}.{k}" for part in ("weight", "bias") for k in (0, 1)}
    assert set(groups["embedding"]) == {"embedding.weight"}
    assert set(groups["gate"]) == {"gates.weight", "gates.bias"}


def test_the_norm_group_has_affine_parameters_and_statistics_of_every_batch_norm():
    model = build(batch_norm=True)
    layers = ("experts.norm.0", "experts.norm.1", "towers.norm")
    want = {f"{layer}.{name}" for layer in layers for name in {"weight", "bias"} | STATISTICS}
    norm = parameter_groups(model)["norm"]
    assert set(norm) == want
    assert norm["towers.norm.running_mean"] is model.towers.norm.running_mean  # itself, not a copy


def test_batch_norm_goes_by_its_type_never_by_its_name():
    groups = parameter_groups(Odd())
    assert set(groups) == {"norm", "tower", "gate"}
    assert set(groups["norm"]) == {f"scale_layer.{name}" for name in {"weight", "bias"} | STATISTICS}
    assert set(groups["tower"]) == {"bn.weight", "bn.bias"} and set(groups["gate"]) == {"weight"}


def test_a_batch_norm_inside_a_claimed_part_is_norm_and_nothing_else():
    groups = parameter_groups(Nested())
    assert set(groups["norm"]) == {f"body.1.{name}" for name in {"weight", "bias"} | STATISTICS}
    assert set(groups["tower"]) == {"body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias"}


def test_a_parameter_that_no_module_claims_is_named():
    model = build()
    model.extra = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="extra.weight, extra.bias.*PARTS"):
        parameter_groups(model)
    with pytest.raises(TypeError, match="^No module declares the group of: weight, bias"):
        parameter_groups(nn.Linear(2, 2))

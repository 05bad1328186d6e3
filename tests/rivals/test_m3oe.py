"""M3oE: forward and gradients against plain loops, its fusion in the limits, and the bi-level step."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from mdmtrec import Published, carried
from small import SMALL, scenario, scenarios
from torch import nn

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables
from pfmsm_lite import METHODS, Federation, Settings, run
from pfmsm_lite.client import Client
from pfmsm_lite.data import Rows
from pfmsm_lite.embedding import Embedding, Held
from pfmsm_lite.errors import UserError
from pfmsm_lite.mmoe import parameter_groups
from pfmsm_lite.rivals.m3oe import VARIANTS, BiLevel, M3oE, balance

SHAPES = {
    "three domains, two tasks": {},
    "two domains": {"domains": 2},
    "one task": {"tasks": 1},
    "three tasks, one expert": {"tasks": 3, "experts": 1},
    "one hidden layer": {"hidden": (5,)},
    "no numericals": {"numericals": 0},
    "a wide input layer": {"star": (9, 7)},
}
METHOD_CODE = replace(METHODS["m3oe"], model="m3oe_code")
each_variant = pytest.mark.parametrize("variant", VARIANTS)
each_method = pytest.mark.parametrize("method", [METHODS["m3oe"], METHOD_CODE], ids=["paper", "code"])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def build(domains=3, tasks=2, seed=0, **options):
    options = {"numericals": 2, "embedding": 3, "experts": 3, "hidden": (6, 4), "variant": "code"} | options
    options.setdefault("tower", options["hidden"][-1])
    fields = {"user": 7, "item": 5, "scenario": domains + 1}
    return M3oE(fields, tasks=tasks, generator=generator(seed), **options)


def shaken(model, seed=1):
    draw = generator(seed)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(torch.rand(tensor.shape, generator=draw).to(tensor) - 0.3)
    return model


@torch.no_grad()
def put(model, **scalars):
    """Set fusion scalars: 200 for a weight of one, −200 for a weight of zero."""
    for name, value in scalars.items():
        getattr(model.fusion, name).fill_(value)


@torch.no_grad()
def raised(*tensors):
    for tensor in tensors:
        tensor += 1.0


def batch(model, rows=13, seed=2):
    sizes = (7, 5)
    ids = [torch.randint(0, size, (rows,), generator=generator(seed + k)) for k, size in enumerate(sizes)]
    domain = torch.arange(rows) % model.domains + 1
    width = model.inputs - 3 * model.embedding.weight.shape[1]
    numerical = torch.randn(rows, width, generator=generator(seed + 9)).to(model.embedding.weight)
    return torch.stack([*ids, domain], 1), numerical


# ---- the forward pass ----


def plain_of(model, seed=3):
    """A reference with weights of its own, and `model` with the very same: carried over."""
    first, width = model.star.shared.shape[0], model.encode.weight[0].shape[1]
    hidden = [weight.shape[1] for weight in model.shared.weight]
    each, crossed = model.variant.each, model.variant.crossed
    sizes = (model.inputs, (first, width), hidden, model.shared.count, model.domains, model.tasks)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        plain = shaken(Published(*sizes, each, crossed), seed)
    own = dict(model.named_parameters())
    new = carried(model, dict(plain.named_parameters()))
    assert set(new) == set(own) - {"embedding.weight"}
    with torch.no_grad():
        for name, value in new.items():
            assert value.shape == own[name].shape, name
            own[name].copy_(value)
    return plain


def columns(model, ids, numerical):
    """x as both see it, of tensors that take gradients."""
    start, x = 0, []
    for k, size in enumerate((7, 5, model.domains + 1)):
        x.append(model.embedding.weight[start : start + size][ids[:, k]])
        start += size
    return torch.cat([*x, numerical], 1)


@each_variant
@pytest.mark.parametrize("shape", SHAPES)
def test_m3oe_is_a_plain_loop_over_domains_tasks_and_experts(shape, variant):
    model = build(variant=variant, **SHAPES[shape])
    plain, twin = plain_of(model), copy.deepcopy(model)
    ids, numerical = batch(model)
    logits = model(ids, numerical)
    want = plain(columns(twin, ids, numerical), ids[:, -1] - 1)
    assert logits.shape == (13, model.tasks)
    assert torch.allclose(logits, want, atol=1e-5)
    pull = torch.randn(want.shape, generator=generator(5))
    (logits * pull).sum().backward(), (want * pull).sum().backward()
    assert torch.allclose(model.embedding.weight.grad, twin.embedding.weight.grad, atol=1e-5)
    gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in plain.named_parameters()
    }
    expected = carried(model, gradients)
    for name, parameter in model.named_parameters():
        if name != "embedding.weight":
            assert torch.allclose(parameter.grad, expected[name], atol=2e-5), name
            alone = model.shared.count == 1 and name.startswith("gates")
            alone |= "beta_task" in name and model.tasks == 1
            assert expected[name].any() or alone, name


# The published model for MovieLens-1M: three domains, two tasks, four shared experts, layers 512/256/256/64.
# Names and shapes read off its class; embeddings of 16, I inputs.
def published(inputs):
    def stack(name, i, o):
        layer = f"{name}.domain_specific"
        return {f"{layer}.0.weight": (o, i)} | {
            f"{layer}.{k}": (o,) for k in ("0.bias", "1.weight", "1.bias")
        }

    shapes = {"shared_weight": (inputs, 512), "shared_bias": (512,)}
    for d in range(3):
        shapes |= {f"slot_weight.{d}": (inputs, 512), f"slot_bias.{d}": (512,)}
        shapes |= stack(f"domain_expert.{d}", 256, 64)
    for e in range(4):
        shapes |= stack(f"expert.{e}", 256, 64)
    for t in range(2):
        shapes |= stack(f"task_expert.{t}", 256, 64)
    shapes |= stack("star_mlp", 512, 256) | stack("skip_conn", inputs, 256)
    for c in range(6):
        shapes |= {f"gate.{c}.0.weight": (4, 256), f"gate.{c}.0.bias": (4,)}
        shapes |= {f"tower.{c}.0.weight": (64, 64), f"tower.{c}.3.weight": (1, 64), f"tower.{c}.3.bias": (1,)}
        shapes |= {f"tower.{c}.{k}": (64,) for k in ("0.bias", "1.weight", "1.bias")}
    shapes |= {f"_weight_{name}.deep_weights": (1,) for name in ("exp_d", "exp_t", "bal_d", "bal_t")}
    return {name: torch.randn(shape, generator=generator()) for name, shape in shapes.items()}


@pytest.mark.parametrize("shape", [{"star": (512, 256), "hidden": (64,)}, {"hidden": (512, 256, 64)}])
def test_the_published_files_weights_fit_by_name_and_shape_and_none_is_left_over(shape):
    model = build(experts=4, embedding=16, tower=64, **shape)
    theirs = published(model.inputs)
    seen = set()

    class Watched(dict):
        def __getitem__(self, name):
            seen.add(name)
            return super().__getitem__(name)

    new, own = carried(model, Watched(theirs)), dict(model.named_parameters())
    assert seen == set(theirs) and set(new) == set(own) - {"embedding.weight"}
    assert {name: value.shape for name, value in new.items()} == {name: own[name].shape for name in new}


@pytest.mark.parametrize(
    ("hidden", "star", "before", "expert"),
    [
        ((64, 32), None, [64, 64], [32]),  # as a comparison trains it
        ((8,), None, [8, 8], [8]),
        ((9, 8, 7, 6), None, [9, 8, 7], [6]),
        ((6, 4), (9, 7), [9, 7], [6, 4]),
    ],
)
def test_an_expert_is_one_layer_unless_star_says_which_widths_come_before(hidden, star, before, expert):
    model = build(hidden=hidden, star=star)
    widths = [model.star.shared.shape[0], *(weight.shape[1] for weight in model.encode.weight)]
    assert widths == before and model.skip.weight[0].shape[1] == before[-1]
    for experts in (model.shared, model.domain, model.task):
        assert [weight.shape[1] for weight in experts.weight] == expert
        assert experts.weight[0].shape[2] == before[-1]
    assert model(*batch(model)).shape == (13, 2)


# ---- the loss by cells ----


@pytest.mark.parametrize("missing", [False, True])
def test_the_loss_by_cells_is_the_sum_of_each_cells_mean(missing):
    model = shaken(build(variant="cells"))
    ids, numerical = batch(model)
    ids[:, -1] = torch.tensor([1] * 9 + [2] * 4)  # the third domain has no row here
    labels = (torch.rand(13, 2, generator=generator(4)) < 0.4).float()
    mask = (torch.rand(13, 2, generator=generator(6)) < 0.7).float() if missing else None
    logits = model(ids, numerical)
    want = torch.zeros(2)
    for task in range(2):
        for domain in (1, 2):
            rows = [
                F.binary_cross_entropy_with_logits(logits[r, task], labels[r, task])
                for r in range(13)
                if ids[r, -1] == domain and (mask is None or mask[r, task])
            ]
            want[task] += torch.stack(rows).mean()
    assert torch.allclose(model.loss(ids, logits, labels, mask), want, atol=1e-6)


def test_only_the_networks_weights_learn_by_cells_and_only_where_the_variant_says_so():
    losses = {}
    for name in ("m3oe", "m3oe_cells", "m3oe_code"):
        client = federation(replace(METHODS["m3oe"], model=name)).clients[0]
        client.model.eval()  # of the unequal clients, 60 to 180 rows
        rows, every = client.model.outer_rows(client), torch.arange(len(client.labels))
        with torch.no_grad():
            losses[name] = client.losses(every)
            plain = F.binary_cross_entropy_with_logits(
                client.model(client.train_rows.categorical, client.train_rows.numerical),
                client.labels, reduction="none",
            ).mean(0)  # fmt: skip
            assert torch.allclose(losses[name], plain, atol=1e-6) == (name == "m3oe")
            client.settings = replace(client.settings, batch_size=10_000)
            outer = F.binary_cross_entropy_with_logits(
                client.model(rows.categorical, rows.numerical), rows.labels, reduction="none"
            ).mean(0)
            assert torch.allclose(client.model.outer_losses(client), outer, atol=1e-6)
    assert torch.equal(losses["m3oe_cells"] > 2 * losses["m3oe"], torch.tensor([True, True]))


def test_the_gates_do_not_train_what_they_look_at():
    model = shaken(build())
    with torch.no_grad():  # constant experts: only the gates could carry a gradient back
        for part in (*model.shared.scale, *model.domain.scale, *model.task.scale):
            part.zero_()
    model(*batch(model)).sum().backward()
    assert not model.star.shared.grad.any() and not model.embedding.weight.grad.any()


# ---- the fusion ----


def test_the_balance_by_hand():
    got = balance(torch.tensor([0.5, 0.8, 0.2]), 3)
    want = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.4, 0.4, 0.2]])
    assert torch.allclose(got, want)
    assert torch.allclose(balance(torch.tensor([0.7]), 4).sum(1), torch.ones(4))


def test_alpha_and_beta_start_at_the_sigmoid_of_one():
    for variant, counts in {"paper": [3, 2, 3, 2], "code": [1, 1, 1, 1]}.items():
        weights = build(variant=variant).fusion.weights()
        assert [len(values) for values in weights.values()] == counts
        for values in weights.values():
            assert torch.allclose(values, torch.tensor(0.7310586))


@each_variant
def test_with_beta_one_a_cell_has_only_its_own_expert(variant):
    model = shaken(build(variant=variant))
    put(model, beta_domain=200, beta_task=200)
    ids, numerical = batch(model)
    before = model(ids, numerical)
    raised(model.domain.shift[-1][1])  # another domain's expert, then another task's expert
    after = model(ids, numerical)
    others = ids[:, -1] != 2
    assert torch.equal(after[others], before[others])
    assert not torch.allclose(after[~others], before[~others])
    raised(model.task.shift[-1][1])
    last = model(ids, numerical)
    assert torch.equal(last[:, 0], after[:, 0]) and not torch.allclose(last[:, 1], after[:, 1])


def test_with_beta_below_one_a_cell_hears_of_the_others():
    model = shaken(build())
    ids, numerical = batch(model)
    before = model(ids, numerical)
    raised(model.domain.shift[-1][1])
    assert (model(ids, numerical) != before).any(1).all()


@each_variant
def test_with_alpha_zero_only_the_shared_experts_count(variant):
    model = shaken(build(variant=variant))
    put(model, alpha_domain=-200, alpha_task=-200)
    rows = batch(model)
    before = model(*rows)
    raised(*model.domain.parameters(), *model.task.parameters())
    assert torch.equal(model(*rows), before)


@pytest.mark.parametrize(
    ("options", "silenced"),
    [
        ({"variant": "code"}, "domain"),
        ({"variant": "paper"}, "task"),
        ({"variant": "paper", "crossed": False}, "domain"),
    ],
)
def test_which_module_alpha_domain_weighs_is_what_the_variants_disagree_about(options, silenced):
    model = shaken(build(**options))
    put(model, alpha_domain=-200)
    rows = batch(model)
    before = model(*rows)
    for module in ("domain", "task"):
        changed = copy.deepcopy(model)
        raised(getattr(changed, module).shift[-1])
        assert torch.equal(changed(*rows), before) == (module == silenced)


@each_variant
def test_permuting_the_domains_permutes_the_outputs(variant):
    model = shaken(build(variant=variant))
    order = torch.tensor([2, 0, 1])  # new domain k was order[k]
    other = copy.deepcopy(model)
    with torch.no_grad():
        for name in ("domain", "domain_bias"):
            getattr(other.star, name).copy_(getattr(model.star, name)[order])
        for mine, theirs in zip(other.domain.parameters(), model.domain.parameters(), strict=True):
            mine.copy_(theirs[order])
        cells = [*other.gates.parameters(), *other.towers.parameters(), *other.outputs.parameters()]
        theirs = [*model.gates.parameters(), *model.towers.parameters(), *model.outputs.parameters()]
        for mine, old in zip(cells, theirs, strict=True):
            mine.copy_(old.unflatten(0, (2, 3))[:, order].flatten(0, 1))
        if model.variant.each:
            for name in ("alpha_domain", "beta_domain"):
                getattr(other.fusion, name).copy_(getattr(model.fusion, name)[order])
        other.embedding.weight[-3:] = model.embedding.weight[-3:][order]
    ids, numerical = batch(model)
    renamed = ids.clone()
    renamed[:, -1] = order.argsort()[ids[:, -1] - 1] + 1
    assert torch.allclose(other(renamed, numerical), model(ids, numerical), atol=1e-6)
    assert not torch.allclose(other(ids, numerical), model(ids, numerical), atol=1e-3)


def test_one_domain_and_an_unknown_variant_are_refused():
    with pytest.raises(UserError, match="at least two scenarios, and there is one"):
        build(domains=1)
    with pytest.raises(UserError, match="at least two scenarios"):
        run([scenario()], METHODS["m3oe"], rounds=1, **SMALL)
    with pytest.raises(UserError, match="Did you mean 'paper'"):
        build(variant="papre")


def test_a_row_without_a_domain_is_an_error_not_a_guess():
    model = build()
    ids, numerical = batch(model)
    ids[0, -1] = 0
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        model(ids, numerical)


def test_every_parameter_is_in_one_group():
    groups = parameter_groups(build())
    assert set(groups) == {"embedding", "expert.scenario", "expert.local", "expert.task", "gate", "tower"}
    assert set(groups["gate"]) >= {"fusion.alpha_domain", "fusion.beta_task", "gates.weight"}
    assert {name.split(".")[0] for name in groups["expert.local"]} == {"star", "domain"}


# ---- the bi-level step ----


def federation(method=METHODS["m3oe"], data=None, **options):
    return Federation(data or scenarios(3), method, Settings(**{**SMALL, **options}), 0)


def fusion(client):
    return torch.cat([p.detach().flatten() for p in client.model.fusion.parameters()])


def test_the_paper_learns_on_all_validation_rows_the_code_on_training_rows():
    paper, code = federation().clients[0], federation(METHOD_CODE).clients[0]
    rows = paper.model.outer_rows(paper)
    assert code.model.outer_rows(code) is code.train_rows
    assert len(rows.labels) == sum(len(view["valid"].labels) for _, view in paper.views)
    assert torch.equal(rows.categorical[:80], paper.views[0][1]["valid"].categorical)
    for client in (paper, code):
        with torch.no_grad():  # whoever learns on training rows no longer learns anything
            client.train_rows.numerical.fill_(float("nan"))
        client.model.train()
    assert paper.model.outer_losses(paper).isfinite().all()
    assert not code.model.outer_losses(code).isfinite().any()


@pytest.mark.parametrize(("method", "moves"), [(METHODS["m3oe"], False), (METHOD_CODE, True)])
@pytest.mark.parametrize("lazy", ["adam", "lazy_adam"])
def test_only_in_the_code_the_main_optimizer_moves_alpha_and_beta(method, moves, lazy):
    client = federation(method, embedding_optimizer=lazy, weight_decay=0.1).clients[0]
    before, weights = fusion(client), client.model.shared.weight[0].detach().clone()
    client.model.after_epoch = lambda client: None
    client.fit(1)
    assert torch.equal(fusion(client), before) != moves
    assert not torch.equal(client.model.shared.weight[0], weights)


@each_method
def test_the_outer_step_moves_nothing_but_alpha_and_beta(method):
    client = federation(method).clients[0]
    client.model.train()
    before = client.snapshot()
    client.model.after_epoch(client)
    moved = {
        name for name, value in client.model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved == {name for name in before if name.startswith("fusion")}
    step = fusion(client) - 1
    assert torch.allclose(step.abs(), torch.tensor(1e-3), rtol=0.02)  # Adam's first step


def test_there_is_one_outer_step_after_each_epoch():
    client = federation().clients[0]
    order, step, batches = [], client.model.after_epoch, client.batches
    client.model.after_epoch = lambda client: (order.append("outer"), step(client))
    client.batches = lambda: (order.append("epoch"), batches())[1]
    client.fit(3)
    assert order == ["epoch", "outer"] * 3


@each_method
@pytest.mark.parametrize("seed", range(4))
def test_alpha_and_beta_move_as_a_finite_difference_says(seed, method):
    """Against the slope of the loss on the rows that the variant names, in double precision."""
    client = federation(method, batch_size=10_000).clients[0]  # all rows in the mini-batch
    shaken(client.model.double(), seed)
    client.optimizers = client._optimizers(False)
    rows = client.model.outer_rows(client)
    numerical = rows.numerical.double()
    part = "train_rows" if rows is client.train_rows else "outer_rows"
    setattr(client, part, rows._replace(numerical=numerical, labels=rows.labels.double()))

    def loss():
        logits = client.model(rows.categorical, numerical)
        labels = rows.labels.double()
        return float(F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(0).sum())

    slopes, step = [], 1e-5
    with torch.no_grad():
        for parameter in client.model.outer_parameters():
            for k in range(len(parameter)):
                values = []
                for sign in (1, -2):  # there, and as far on the other side
                    parameter[k] += sign * step
                    values.append(loss())
                parameter[k] += step
                slopes.append((values[0] - values[1]) / (2 * step))
    before = fusion(client)
    client.model.train()
    client.model.after_epoch(client)
    slopes = torch.tensor(slopes, dtype=torch.float64)
    gradient = torch.cat([p.grad for p in client.model.outer_parameters()])
    # the client computes its loss in float32, from logits in double
    assert torch.allclose(gradient, slopes, rtol=1e-3, atol=1e-6)
    clear = slopes.abs() > 1e-6
    assert clear.sum() >= len(slopes) - 1
    assert torch.equal((fusion(client) - before).sign()[clear], -slopes.sign()[clear])


class Toy(BiLevel, nn.Module):
    """Logit = w + σ(a): two parameters, of which w learns on training rows and a on others."""

    outer_rate = 0.05
    variant = VARIANTS["paper"]
    PARTS = {"w": "gate", "a": "gate"}

    def __init__(self, weight, alpha):
        super().__init__()
        self.w, self.a = nn.Parameter(torch.tensor(weight)), nn.Parameter(torch.tensor([alpha]))
        self.embedding = Embedding({"id": 2}, 1)

    def outer_parameters(self):
        return [self.a]

    def forward(self, categorical, numerical):
        both = numerical @ torch.stack([self.w, self.a[0].sigmoid()])
        return (both + 0 * self.embedding(categorical).sum(1))[:, None]


def test_two_levels_find_the_known_optimum_of_a_toy_problem():
    """Training rows (1, 0) are right in 3 of 4: w = ln 3. Validation rows (1, −3) in half: σ(a) = w / 3."""

    def rows(second, labels):
        ids = torch.zeros(len(labels), 1, dtype=torch.long)
        numerical = torch.tensor([[1.0, second]]).repeat(len(labels), 1)
        return Rows(ids, numerical, torch.tensor(labels)[:, None])

    train, valid = rows(0.0, [1.0, 1.0, 1.0, 0.0]), rows(-3.0, [1.0, 0.0])
    settings = Settings(batch_size=8, learning_rate=0.05)
    held, has = Held(torch.arange(2), torch.ones(2), torch.zeros(1, dtype=torch.long)), torch.tensor([True])
    views = [("toy", {"valid": valid})]
    client = Client(
        "toy", ("click",), has, Toy(0.0, 1.0), held, train, views, METHODS["local"], settings, 0, False
    )
    client.fit(600)
    assert client.model.w.item() == pytest.approx(1.0986, abs=1e-2)
    assert client.model.a.sigmoid().item() == pytest.approx(1.0986 / 3, abs=1e-2)


def test_the_outer_step_never_sees_a_test_row():
    changed = [
        replace(s, test=s.test._replace(labels=1 - s.test.labels, numerical=7 * s.test.numerical))
        for s in scenarios(3)
    ]
    first, second = federation(), federation(data=changed)
    for one in (first, second):
        one.train()
    for name, value in first.clients[0].model.state_dict().items():
        assert torch.equal(value, second.clients[0].model.state_dict()[name]), name


def test_a_refused_round_forgets_the_outer_moments_too():
    client = federation().clients[0]
    client.fit(1)
    assert client.optimizers[-1].state
    client.forget_optimizer()
    assert not client.optimizers[-1].state


@pytest.mark.parametrize(
    "options", [{"precision": "bf16"}, {"ctcvr": "click,conversion"}, {"batch_norm": True}]
)
def test_every_option_trains(options):
    history = run(scenarios(2), METHODS["m3oe"], rounds=2, **{**SMALL, **options})
    assert history.results["auc"].between(0, 1).all()


def test_missing_labels_count_for_nothing_in_the_outer_step():
    data = [scenario("a"), scenario("b", seed=1, missing=("conversion",))]
    history = run(data, METHODS["m3oe"], rounds=2, **SMALL)
    assert history.results.query("scenario == 'b' and task == 'click'")["auc"].notna().all()

"""The federated rivals: each equals another method in a limit, or does what its paper's step says."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from small import SMALL, scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables
from pfmsm_lite import METHODS, Federation, Method, Settings, run
from pfmsm_lite.aggregation import Exchange, Past
from pfmsm_lite.errors import UserError
from pfmsm_lite.mmoe import parameter_groups
from pfmsm_lite.rivals.rules import fedapa
from pfmsm_lite.rivals.second_model import ditto, finetune

SUM = METHODS["fedavg_sum"]  # FedAvg with the embedding rule that all rivals have


def held(federation, own=False):
    """All numbers of all clients' models; own: of those that they use at home."""
    clients = [(client.personal or client) if own else client for client in federation.clients]
    return [torch.cat([v.double().flatten() for v in c.model.state_dict().values()]) for c in clients]


def played(method, data=None, rounds=2, **options):
    federation = Federation(data or scenarios(3), method, Settings(**{**SMALL, **options}), 0)
    for _ in range(rounds):
        federation.serve(federation.train()[2])
        federation.personalize()
    return federation


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    "limit",
    [
        replace(METHODS["fedprox"], proximal=0.0),
        replace(METHODS["fedper"], share=SUM.share),
        replace(METHODS["fedbn"], share=SUM.share, needs={}),
        METHODS["local_finetune"],  # what travels is FedAvg, whatever is done at home
        METHODS["ditto"],
    ],
    ids=lambda method: method.name,
)
def test_in_the_limit_a_rival_is_fedavg(limit):
    assert same(held(played(limit)), held(played(SUM)))


def test_ditto_with_an_infinite_pull_is_fedavg_at_home_too():
    drawn = played(replace(METHODS["ditto"], pull=float("inf")))
    assert same(held(drawn, own=True), held(played(SUM)))


def test_ditto_without_a_pull_is_a_client_alone():
    data = scenarios(3)
    other = [data[0], *[scenario(f"s{n}", rows=60 + 60 * n, seed=50 + n) for n in (1, 2)]]
    free = replace(METHODS["ditto"], pull=0.0)
    first, second = (played(free, rows) for rows in (data, other))
    tables = [c.clients[0].personal.model for c in (first, second)]
    weights = [
        torch.cat([p.flatten() for n, p in m.named_parameters() if "embedding" not in n]) for m in tables
    ]
    assert torch.equal(*weights)
    assert not same(held(first)[:1], held(second)[:1])  # what travels did hear of the others


def test_ditto_takes_the_proximal_step_by_hand():
    """After the optimizer's step: v ← (v + ηλw) / (1 + ηλ); with λ = 1/η half way."""
    pulls = {"none": 0.0, "half": 1 / Settings().learning_rate}
    start = {k: played(replace(METHODS["ditto"], pull=p), rounds=0) for k, p in pulls.items()}
    ends = {}
    for kind, federation in start.items():
        client = federation.clients[0]
        federation.settings = client.settings = client.personal.settings = replace(
            client.settings, batch_size=1000
        )  # one batch, so one step
        with torch.no_grad():
            for parameter in client.model.parameters():
                parameter.add_(1.0)  # what is received differs from the own model
        ditto(client, 1, pulls[kind])
        ends[kind] = held(federation, own=True)[0]
        shared = held(federation)[0]
    assert torch.allclose(ends["half"], (ends["none"] + shared) / 2, atol=1e-6)


def test_finetuning_starts_each_round_from_what_was_received_and_no_epochs_change_nothing():
    federation = played(METHODS["local_finetune"])
    for client in federation.clients:
        finetune(client, 0, 0.0)
    assert same(held(federation, own=True), held(federation))
    client = federation.clients[0]
    finetune(client, 1, 0.0)
    assert not same(held(federation, own=True)[:1], held(federation)[:1])


# ---- the proximal term ----


def objective(client, received, proximal):
    """FedProx's objective on all rows: summed loss, and λ/2 of the squared distance of all that is sent."""
    rows, labels = client.train_rows, client.labels
    logits = client.model(rows.categorical, rows.numerical)
    loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(0).sum()
    sent = dict(client.model.named_parameters())
    return loss + proximal / 2 * sum((sent[name] - value).square().sum() for name, value in received.items())


@pytest.mark.parametrize("name", ["fedprox", "fedamp", "embedding_only", "fedper"])
def test_a_step_with_the_proximal_term_is_adams_on_the_whole_objective_embeddings_included(name):
    """Three steps of full batches by autograd and a plain Adam, from a model away from what was received."""
    method = replace(METHODS[name], proximal=0.7)
    settings = Settings(**{**SMALL, "batch_size": 10_000, "local_epochs": 1})
    client = Federation(scenarios(1), method, settings, 0).clients[0]
    sent = {n for own in client.shared.values() for n in own} | {"embedding.weight"}
    received = {n: p.detach().clone() for n, p in client.model.named_parameters() if n in sent}
    twin = Federation(scenarios(1), method, settings, 0).clients[0]
    other = torch.optim.Adam(twin.model.parameters(), lr=settings.learning_rate)
    anchors = [(p, received[n]) for n, p in client.model.named_parameters() if n in sent]
    for _ in range(3):
        client.fit(1, anchors, 0.7)
        other.zero_grad()
        objective(twin, received, 0.7).backward()
        other.step()
    moved = twin.model.embedding.weight.detach() - received["embedding.weight"]
    assert moved.abs().max() > 1e-3
    for (n, found), want in zip(client.model.named_parameters(), twin.model.parameters(), strict=True):
        assert torch.allclose(found, want, atol=2e-6), n


@pytest.mark.parametrize("optimizer", ["adam", "lazy_adam"])
def test_training_itself_holds_the_embedding_entries_near_what_was_received(optimizer):
    def travelled(proximal):
        method = replace(METHODS["fedprox"], proximal=proximal)
        options = {**SMALL, "embedding_optimizer": optimizer, "local_epochs": 5, "learning_rate": 0.02}
        client = Federation(scenarios(1), method, Settings(**options), 0).clients[0]
        before = client.model.embedding.weight.detach().clone()
        client.train()
        return (client.model.embedding.weight.detach() - before).norm()

    assert travelled(10.0) < 0.5 * travelled(0.0)


def test_with_lazy_adam_only_the_entries_of_the_batch_are_drawn_back():
    options = {**SMALL, "embedding_optimizer": "lazy_adam", "batch_size": 10_000}
    client = Federation(scenarios(1), METHODS["fedprox"], Settings(**options), 0).clients[0]
    table = client.model.embedding.weight
    some = torch.arange(4)  # one batch of these rows
    client.batches = lambda: (some,)
    value = table.detach() - 1.0  # received was one less in every number
    with torch.no_grad():
        before = table.clone()
    gradients = {}
    for proximal in (0.0, 0.5):
        client.steps = [torch.optim.SGD(client.model.parameters(), lr=1.0)]
        client.fit(1, [(table, value)], proximal)
        gradients[proximal] = before - table.detach()
        with torch.no_grad():
            table.copy_(before)
    extra = gradients[0.5] - gradients[0.0]
    used = torch.zeros(len(table), dtype=torch.bool)
    used[client.train_rows.categorical[some].unique()] = True
    # the first step moved the other parameters, which changes the second gradient a little: so to 0.1
    assert (extra[~used] == 0).all() and not used.all()
    assert torch.allclose(extra[used], torch.full_like(extra[used], 0.5), atol=0.1)


# ---- fedrep's head, the second model's epochs ----


@pytest.mark.parametrize(
    ("phases", "epochs"), [("local_first", [3, 1]), ("heads_last", [1, 3]), ("together", [1])]
)
def test_head_epochs_are_those_of_the_part_at_home(phases, epochs):
    method = replace(METHODS["fedrep"], phases=phases, head_epochs=3)
    federation = Federation(scenarios(1), method, Settings(**SMALL), 0)
    client, seen = federation.clients[0], []
    fit = client.fit

    def watched(count, *more):
        seen.append((frozenset(n for n, p in client.model.named_parameters() if p.requires_grad), count))
        return fit(count, *more)

    client.fit = watched
    client.train()
    names = list(dict.fromkeys(name for name, _ in seen))
    assert [sum(count for own, count in seen if own == name) for name in names] == epochs


def test_head_epochs_are_plain_epochs_of_the_head_before_the_body():
    data = scenarios(2)
    first = played(replace(METHODS["fedrep"], head_epochs=2), data, rounds=1)
    second = Federation(data, METHODS["fedrep"], Settings(**SMALL), 0)
    for client in second.clients:
        heads = {n for n in dict(client.model.named_parameters()) if n.startswith(("gates", "towers"))}
        for trained in (heads, heads, set(dict(client.model.named_parameters())) - heads):
            for name, parameter in client.model.named_parameters():
                parameter.requires_grad_(name in trained)
            client.fit(1)
    second.serve([True, True])
    assert same(held(first), held(second))


def test_home_epochs_are_those_of_the_second_model():
    federation = played(replace(METHODS["local_finetune"], home_epochs=3), rounds=1)
    client = federation.clients[0]
    other = played(METHODS["local_finetune"], rounds=1).clients[0]
    finetune(other, 3, 0.0)
    assert not same([held(federation, own=True)[0]], [torch.zeros(1)])
    steps = client.personal.optimizers[0].state_dict()["state"][0]["step"]
    assert (
        steps == 3 * 2 == other.personal.optimizers[0].state_dict()["state"][0]["step"]
    )  # 60 rows, 32 a batch


# ---- FedAPA ----


def test_fedapa_takes_its_steps_by_hand():
    """Two clients, one parameter each in two experts; round 1 alone, then two steps with a velocity."""
    method = replace(METHODS["fedapa"], mixing_step=0.1)
    eye = torch.eye(2).expand(2, 2, 2)
    there = torch.ones(2, 2, dtype=torch.bool)

    def exchange(delta, previous):
        delta = torch.tensor(delta)[..., None]  # [U, N, P] = [2, 2, 1]
        gram = delta @ delta.transpose(1, 2)
        return Exchange(delta * 0, delta, eye, delta, gram, torch.ones(2), there, there, previous)

    weights, memory = fedapa(exchange([[1.0, 2.0], [0.0, 1.0]], None), method)
    assert torch.equal(weights, eye)
    sources = torch.tensor([[2.0, -1.0], [1.0, 3.0]])[..., None]
    past = Past(torch.zeros(2, 2, 1), sources, weights, memory)
    # −⟨Δ_n, source_m⟩ over both experts: client 0 −(1·−1 + 2·3) = −5, client 1 −(3·2 + 0·1) = −6
    weights, memory = fedapa(exchange([[1.0, 3.0], [2.0, 0.0]], past), method)
    assert memory["velocity"][0, 1] == -5 and memory["velocity"][1, 0] == -6
    want = torch.tensor([[1 / 1.5, 0.5 / 1.5], [0.6 / 1.6, 1 / 1.6]])
    assert torch.allclose(weights, want.expand(2, 2, 2))
    past = Past(torch.zeros(2, 2, 1), sources, weights, memory)
    # velocity 0.9·(−5) + 1 = −3.5 and 0.9·(−6) + 20 = 14.6, which the clamp ends at 0
    weights, memory = fedapa(exchange([[1.0, -10.0], [0.0, 0.0]], past), method)
    assert memory["velocity"][0, 1] == pytest.approx(-3.5) and memory["velocity"][1, 0] == pytest.approx(14.6)
    other = 1 / 3 + 0.35
    want = torch.tensor([[1 / (1 + other), other / (1 + other)], [0.0, 1.0]])
    assert torch.allclose(weights, want.expand(2, 2, 2))


def test_fedapas_gradient_is_autograds_of_a_loss_at_the_mixture():
    """For a client that takes one gradient step of length one, W_n + Δ_n = W_n − ∂L_n."""
    draw = torch.Generator().manual_seed(0)
    sources, target = (torch.randn(2, 3, 5, generator=draw) for _ in range(2))
    weights = torch.rand(3, 3, generator=draw).requires_grad_()
    mixture = torch.einsum("nm,ump->unp", weights, sources)
    loss = ((mixture - target).square() / 2).sum()
    (want,) = torch.autograd.grad(loss, weights)
    delta = -(mixture - target).detach()
    memory = {"weights": weights.detach(), "velocity": torch.zeros(3, 3)}
    past = Past(delta, sources, weights.detach().expand(2, 3, 3), memory)
    there = torch.ones(2, 3, dtype=torch.bool)
    gram = delta @ delta.transpose(1, 2)
    eye = torch.eye(3).expand(2, 3, 3)
    step = Exchange(delta * 0, delta, eye, delta, gram, torch.ones(3), there, there, past)
    assert torch.allclose(fedapa(step, METHODS["fedapa"])[1]["velocity"], want, atol=1e-5)


def test_fedapa_without_a_step_is_everyone_alone_but_for_the_embeddings():
    still = replace(METHODS["fedapa"], mixing_step=0.0)
    alone = replace(METHODS["embedding_only"], embedding="sum")
    assert same(held(played(still, rounds=3)), held(played(alone, rounds=3)))
    assert not same(held(played(METHODS["fedapa"], rounds=3)), held(played(alone, rounds=3)))


# ---- the other reading, the control of fedbn ----


def test_the_other_reading_is_fedhca2s_step_with_the_template_and_the_normalization():
    hca, theirs, ours = (METHODS[name] for name in ("pf_msmtrec_hca", "fedhca2", "pf_msmtrec"))
    assert (hca.compose, hca.normalize, hca.embedding) == (ours.compose, ours.normalize, ours.embedding)
    for field in ("share", "coordinate", "rescale", "radius", "aggregate"):
        assert getattr(hca, field) == getattr(theirs, field), field
    plain = replace(hca, compose="none", normalize="none")
    assert same(held(played(plain, rounds=3)), held(played(theirs, rounds=3)))


def test_in_the_other_reading_a_clients_own_update_stays_and_the_common_one_is_added():
    federation = played(METHODS["pf_msmtrec_hca"], rounds=1)
    block = federation.block("expert.scenario")
    last = block.previous
    common = last.memory["extra"]
    assert torch.allclose(common, common[:, :1].expand_as(common), atol=1e-6)  # one for all clients
    assert torch.equal(last.weights, torch.eye(3).expand(3, 3, 3))
    assert torch.allclose(last.memory["share"], torch.tensor(0.1))


def test_fedavg_bn_averages_what_fedbn_keeps_at_home():
    groups = [parameter_groups(c.model) for c in played(METHODS["fedavg_bn"]).clients]
    for name in groups[0]["norm"]:
        if not name.endswith("num_batches_tracked"):
            assert torch.allclose(groups[0]["norm"][name], groups[2]["norm"][name], atol=1e-6), name
    assert METHODS["fedavg_bn"].share == {**METHODS["fedbn"].share, "norm": "mean"}
    assert METHODS["fedavg_bn"].needs == METHODS["fedbn"].needs == {"batch_norm": True}


HEADS, BODY = {"gate", "tower"}, {"embedding", "expert.scenario"}
OWN = {"expert.local", "expert.task"}


@pytest.mark.parametrize(
    ("name", "phases", "expected"),
    [
        ("fedrep", "local_first", [HEADS, BODY]),
        ("fedrep", "heads_first", [HEADS, BODY]),
        ("pf_msmtrec", "local_first", [OWN | {"gate"}, BODY | {"tower"}]),
        ("pf_msmtrec", "heads_first", [OWN | HEADS, BODY]),
        ("pf_msmtrec", "heads_last", [OWN | HEADS | BODY, OWN | HEADS]),
    ],
)
@pytest.mark.parametrize("proximal", [0.0, 0.5])
def test_in_each_phase_only_its_groups_are_trained(name, phases, expected, proximal):
    method = replace(METHODS[name], phases=phases, proximal=proximal)
    assert METHODS["fedrep"].phases == "local_first"
    federation = Federation(scenarios(2), method, Settings(**SMALL), 0)
    client = federation.clients[0]
    names = {group: set(t) for group, t in parameter_groups(client.model).items()}
    fit, moved = client.fit, []

    def watched(*arguments):
        before = {name: p.detach().clone() for name, p in client.model.named_parameters()}
        loss = fit(*arguments)
        moved.append({n for n, p in client.model.named_parameters() if not torch.equal(p, before[n])})
        return loss

    client.fit = watched
    federation.train()
    assert moved == [set().union(*(names[group] for group in groups)) for groups in expected]
    assert all(parameter.requires_grad for parameter in client.model.parameters())


def test_fedper_keeps_gates_and_towers_and_shares_the_body():
    federation = played(METHODS["fedper"])
    groups = [parameter_groups(client.model) for client in federation.clients]
    for group, equal in {"expert.scenario": True, "gate": False, "tower": False}.items():
        for name in groups[0][group]:
            values = [tensors[group][name] for tensors in groups]
            assert all(torch.allclose(values[0], v, atol=1e-6) for v in values[1:]) == equal, name


def test_fedbn_has_batch_norm_of_its_own_and_shares_the_rest():
    federation = played(METHODS["fedbn"])
    groups = [parameter_groups(client.model) for client in federation.clients]
    assert not torch.equal(*(next(iter(own["norm"].values())) for own in groups[:2]))
    tower = next(iter(groups[0]["tower"]))
    assert torch.allclose(groups[0]["tower"][tower], groups[1]["tower"][tower], atol=1e-6)
    assert not any("norm" in name for upload in federation.payload() for name, _, _ in upload)


@pytest.mark.parametrize("name", ["ditto", "local_finetune"])
def test_the_model_at_home_is_the_one_that_is_evaluated(name):
    data = scenarios(2)
    history = run(data, METHODS[name], rounds=2, **SMALL)
    plain = run(data, SUM, rounds=2, **SMALL)
    assert list(history.results["auc"]) != list(plain.results["auc"])
    assert list(history.rounds["bytes"]) == list(plain.rounds["bytes"])  # it sends no more


def test_one_client_fedrep_ditto_and_finetuning_train():
    for name in (
        "fedrep", "ditto", "local_finetune", "fedamp", "fedhca2", "fedbn", "fedapa", "clustered", "fedavg_bn",
        "pf_msmtrec_hca",
    ):  # fmt: skip
        history = run([scenario()], METHODS[name], rounds=2, **SMALL)
        assert history.results["auc"].notna().all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aggregate": "partners"}, "'mine' contradicts itself: aggregate is 'partners', but no group"),
        ({"coordinate": "two_vector"}, "coordinate is 'two_vector', but expert.scenario is 'local'"),
        (
            {"normalize": "moment", "share": {"expert.scenario": "mean"}},
            "normalize.*expert.scenario is 'mean'",
        ),
        ({"pooled": True, "share": {"tower": "mean"}}, "all rows are in one place, but tower"),
        ({"personal": "ditto"}, "personal is 'ditto', but nothing is shared"),
        ({"phases": "local_first"}, "phases is 'local_first', but nothing is shared"),
        ({"personal": "dito"}, "Did you mean 'ditto'"),
        ({"share": {"tower": "attentoin"}}, "Did you mean 'attention'"),
        ({"pull": -1.0}, "--pull is -1.0"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused_by_name(changes, said):
    with pytest.raises(UserError, match=said):
        Method("mine", "a test", **changes)

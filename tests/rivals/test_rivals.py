"""The federated rivals: each equals another method in a limit, or does what its paper's step says."""

from dataclasses import replace

import pytest
import torch
from small import SMALL, scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables
from pfmsm_lite import METHODS, Federation, Method, Settings, run
from pfmsm_lite.errors import UserError
from pfmsm_lite.mmoe import parameter_groups
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
    for name in ("fedrep", "ditto", "local_finetune", "fedamp", "fedhca2", "fedbn"):
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

"""Client and server meet in messages alone: what they hold, and that nothing else is needed."""

import gc
import io

import pytest
import torch
from small import FIELDS, SMALL, scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables
from pfmsm_lite import METHODS, Federation, Scenario, Settings, run
from pfmsm_lite.client import Client
from pfmsm_lite.errors import UserError
from pfmsm_lite.scenario import Rows
from pfmsm_lite.server import Server

PF = METHODS["pf_msmtrec"]


def over_the_wire(message):
    """A message written to bytes and read again, without anybody's code."""
    wire = io.BytesIO()
    torch.save(message, wire)
    wire.seek(0)
    return torch.load(wire, weights_only=True)


def federation(method=PF, data=None, **options):
    return Federation(data or scenarios(3), method, Settings(**{**SMALL, **options}), 0)


def lacking():
    return [*scenarios(2), scenario("s2", rows=90, seed=7, missing=("conversion",))]


@pytest.mark.parametrize("name", ["pf_msmtrec", "fedavg", "fedhca2", "ditto", "local", "pooled"])
@pytest.mark.parametrize("data", [scenarios, lacking])
def test_through_bytes_the_rounds_are_the_same_to_the_last_bit(name, data):
    method, settings = METHODS[name], Settings(**SMALL)
    together, apart = (Federation(data(), method, settings, 0) for _ in range(2))
    hellos = {client.name: over_the_wire(client.first_message()) for client in apart.clients}
    start = over_the_wire({g: dict(tensors) for g, tensors in apart.clients[0].shared.items()})
    server = Server(method, apart.tasks, start, over_the_wire({"t": apart.table})["t"], hellos)
    for _ in range(3):
        _, _, accepted = together.train()
        record = together.serve(accepted)
        uploads = [over_the_wire(client.upload()) if client.train()[1] else None for client in apart.clients]
        downloads, other = server.serve(uploads)
        for client, download in zip(apart.clients, downloads, strict=True):
            client.download(over_the_wire(download))
        assert all(torch.equal(record[key], other[key]) for key in record)
        together.personalize(), apart.personalize()
    for first, second in zip(together.clients, apart.clients, strict=True):
        states = first.model.state_dict(), second.model.state_dict()
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
        assert first.evaluate("test") == second.evaluate("test")


@pytest.mark.parametrize("name", ["pf_msmtrec", "fedavg", "fedbn", "embedding_only", "local", "pooled"])
def test_the_payload_is_the_upload_itself(name):
    found = federation(METHODS[name], batch_norm=True)
    found.train()  # in the first rounds validation gradients travel, too
    for client, said in zip(found.clients, found.payload(), strict=True):
        message = client.upload()
        assert [(n, tuple(t.shape), t.nbytes) for n, t in message.items()] == said
        assert all(t.dtype in (torch.float32, torch.int32) for t in message.values())
    sizes = [sum(entry[2] for entry in upload) for upload in found.payload()]
    history = run(scenarios(3), METHODS[name], rounds=1, **SMALL, batch_norm=True)
    assert set(history.rounds["bytes"]) == set(sizes)


def test_no_message_holds_a_row():
    """Neither labels nor ids of single rows: only sizes, counts and parameters."""
    found = federation()
    client = found.clients[0]
    rows = len(client.labels)
    for message in (client.first_message(), client.upload()):
        assert all(rows not in part.shape for part in message.values()), message.keys()


@pytest.mark.parametrize("name", ["pf_msmtrec", "embedding_only", "local", "pooled", "logistic"])
def test_entries_are_named_only_where_they_are_shared(name):
    found = federation(METHODS[name])
    entries = {"entries", "uses"} if "embedding" in METHODS[name].sent else set()
    for client in found.clients:
        assert client.first_message().keys() == {"rows", "has_task"} | entries


def test_the_server_holds_no_client_no_model_and_no_rows():
    found = federation(PF)
    found.serve(found.train()[2])
    seen, queue = set(), [found.server]
    while queue:
        thing = queue.pop()
        if id(thing) in seen or isinstance(thing, (type, str, bytes, int, float)):
            continue
        seen.add(id(thing))
        assert not isinstance(thing, (Client, Federation, Scenario, Rows, torch.nn.Module)), type(thing)
        if (
            not callable(thing)
            and type(thing).__module__ != "builtins"
            or isinstance(thing, (list, dict, tuple))
        ):
            queue += gc.get_referents(thing)
    weights = {id(p) for client in found.clients for p in client.model.parameters()}
    assert not weights & seen and len(seen) > 20


def test_a_task_that_a_client_lacks_goes_neither_way():
    found = federation(PF, lacking())
    half, tower = found.clients[2], found.clients[2].model.towers.weight[0]
    upload = half.upload()
    assert len(upload["towers.weight.0"]) == 1 and len(found.clients[0].upload()["towers.weight.0"]) == 2
    downloads, _ = found.server.serve([client.upload() for client in found.clients])
    assert len(downloads[2]["towers.weight.0"]) == 1
    before = tower[1].detach().clone()
    half.download({**downloads[2], "towers.weight.0": torch.full_like(downloads[2]["towers.weight.0"], 9.0)})
    assert torch.equal(tower[1], before) and bool((tower[0] == 9).all())


def test_entries_other_than_those_named_first_are_refused_by_the_clients_name():
    found = federation()
    uploads = [client.upload() for client in found.clients]
    uploads[1]["embedding.entries"] = uploads[1]["embedding.entries"] + 1
    found.server.serve(uploads)
    assert found.server.accepted == [True, False, True]
    assert "other embedding entries" in found.server.said[1]


def test_what_is_put_is_held():
    found = federation()
    stack = torch.randn_like(found.held("expert.scenario"))
    found.put("expert.scenario", stack)
    assert torch.equal(found.held("expert.scenario"), stack)
    with pytest.raises(UserError, match="Unknown shared group 'gate'"):
        found.held("gate")


def wide(name="wide"):
    """A Scenario with very many columns and tasks."""
    base = scenario(name, rows=8, tasks=tuple(f"task {k}" for k in range(3)))
    return Scenario(
        name,
        tuple(f"task {k}" for k in range(300)),
        {f"field {k}": 10 for k in range(400)},
        tuple(f"number {k}" for k in range(500)),
        base.train,
        base.valid,
        base.test,
    )


def test_what_is_shown_of_an_object_is_a_few_readable_lines():
    many = federation(METHODS["fedavg"], [scenario(f"scenario {n}", rows=20, seed=n) for n in range(60)])
    history = run(scenarios(3), PF, rounds=1, **SMALL)
    for thing in (wide(), scenario(), many, many.clients[0], history, federation(METHODS["local"])):
        text = repr(thing)
        assert len(text) < 400 and text.count("\n") <= 3, text
    assert repr(scenario("a")).startswith(
        "Scenario 'a': 120 + 80 + 80 rows (train + valid + test), tasks: click"
    )
    assert all(field in repr(scenario("a")) for field in FIELDS)
    assert "60 clients, method fedavg" in repr(many) and "… 54 more" in repr(many)
    assert "History of pf_msmtrec, seed 0: 1 rounds of 3 clients, best round 1" in repr(history)

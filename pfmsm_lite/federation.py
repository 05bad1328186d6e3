"""Clients and a server between two rounds; every word between them is a message."""

import copy
import time
import zlib
from dataclasses import replace

import torch
from torch import Tensor

from pfmsm_lite.embedding import LAZY_ABOVE, trained
from pfmsm_lite.errors import choose
from pfmsm_lite.methods import Method, Settings
from pfmsm_lite.registry import lookup
from pfmsm_lite.scenario import EVALUATED, Scenario, check, shortened
from pfmsm_lite.server import Block, Server


def timed(function, device: str) -> tuple:
    """(what a function returns, seconds that it took); what the device had to do before does not count."""
    if device != "cpu":
        torch.accelerator.synchronize()
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def listed(message: dict[str, Tensor]) -> list[tuple]:
    """A message as a list of (name, shape, bytes)."""
    return [(name, tuple(part.shape), part.element_size() * part.numel()) for name, part in message.items()]


def product(scenario: Scenario, settings: Settings) -> tuple[int, int] | None:
    """Numbers of the two tasks in --ctcvr, or None."""
    return lookup("fields", "ctcvr")(scenario.tasks, settings.ctcvr) if settings.ctcvr else None


def build(first: Scenario, method: Method, settings: Settings, seed: int):
    """The model that every client starts from, drawn from the seed, its embedding table whole."""
    template = {} if method.compose == "none" else {"template": method.compose}
    model = lookup("model", method.model)(
        first.fields, len(first.numericals), len(first.tasks), settings.embedding_size, settings.experts,
        settings.hidden, settings.tower, batch_norm=settings.batch_norm,
        product=product(first, settings), generator=torch.Generator().manual_seed(seed),
        **template,
    )  # fmt: skip
    if first.bags:
        lookup("fields", "bags")(model.embedding, first)  # of the room that reads tables
    return model


class Federation:
    """N clients and a server. `run` drives it; step through it by hand to watch.

    scenarios  one client each;  method, settings: see methods.py
    seed       of initial parameters and mini-batches
    raises     UserError for scenarios that cannot form a federation
    """

    def __init__(self, scenarios: list[Scenario], method: Method, settings: Settings, seed: int):
        check(scenarios)
        self.method, self.settings = method, replace(settings, **method.needs)
        self.tasks = scenarios[0].tasks
        views = [[(s.name, {split: s.rows(split) for split in EVALUATED})] for s in scenarios]
        if method.pooled:
            merged, merged_views = lookup("fields", "pool")(scenarios)  # of the room that reads tables
            scenarios, views = [merged], [merged_views]
        model = lookup("model", method.model)
        if hasattr(model, "make_client"):  # no network: the model brings a client of its own
            pairs = zip(scenarios, views, strict=True)
            self.clients = [model.make_client(*pair, method, self.settings, seed) for pair in pairs]
            self.table = torch.zeros(0, self.settings.embedding_size)
        else:
            self._make_clients(scenarios, views, seed)
        self.server = self.make_server()
        for name, _, kind in (attack.rpartition("=") for attack in self.settings.attack):
            lookup("attack", kind)(self, name)

    def _make_clients(self, scenarios: list, views: list, seed: int) -> None:
        """Clients that start from the same parameters, each with the entries that its own ids name."""
        method, settings = self.method, self.settings
        model = build(scenarios[0], method, settings, seed)
        # each client gets its part of the table [V, K]; the model goes to them without it
        offset, table = model.embedding.offset, model.embedding.weight.data
        self.table, model.embedding.weight = table, None
        lazy = {"adam": False, "lazy_adam": True}.get(settings.embedding_optimizer, len(table) > LAZY_ABOVE)
        # which entries anybody trains: all clients' where the table is shared, else a client's own
        together = trained(scenarios, offset, len(table)) if "embedding" in method.sent else None
        self.clients = []
        for scenario, view in zip(scenarios, views, strict=True):
            known = trained([scenario], offset, len(table)) if together is None else together
            self.clients.append(self._client(scenario, view, model, table, known, seed, lazy))

    def _client(self, scenario, views, model, table, known, seed, lazy):
        settings, train = self.settings, scenario.train
        # its entries of the table, and its rows with ids that point into them
        offset, hidden = model.embedding.offset, settings.unknown_rate * len(train.labels)
        held, train, views = lookup("entries", settings.entries)(train, views, offset, known, hidden)
        # a copy of the common start that holds these entries alone
        own = copy.deepcopy(model)
        own.embedding.weight = torch.nn.Parameter(table[held.entries])
        own.embedding.offset = torch.zeros_like(offset)
        # its base rate as a constant that never leaves it, where the method says so
        if getattr(own, "federated", False):
            intercept = lookup("intercept", self.method.intercept)
            own.intercept += intercept(train.labels, product(scenario, settings))
        # the order of its mini-batches depends on the seed and on its name, not on who else is there
        order = (seed * 1_000_003 + zlib.crc32(scenario.name.encode())) % 2**63
        return lookup("client", settings.client)(
            scenario.name, self.tasks, scenario.has_task, own, held, train, views,
            self.method, settings, order, lazy,
        )  # fmt: skip

    def make_server(self) -> Server:
        """A server that knows the common start and the clients' first messages, and nothing else."""
        start = copy.deepcopy(self.clients[0].shared)  # as every client's: drawn from the same seed
        hellos = {client.name: client.first_message() for client in self.clients}
        return Server(self.method, self.tasks, start, self.table.to(self.settings.device), hellos)

    def __repr__(self) -> str:
        names = shortened(client.name for client in self.clients)
        sent = ", ".join(f"{group} ({policy})" for group, policy in self.method.sent.items()) or "nothing"
        head = f"Federation of {len(self.clients)} clients, method {self.method.name}: {names}"
        return f"{head}\n  tasks: {shortened(self.tasks)}\n  leaves home: {sent}"

    # ---- a round ----

    def train(self) -> tuple[Tensor, list[float], list[bool]]:
        """Every client trains from what it received; a NaN or infinite result is refused and undone.

        returns  (losses [N, T], seconds per client, accepted per client)
        """
        found, seconds = zip(*[timed(c.train, self.settings.device) for c in self.clients], strict=True)
        losses, accepted = zip(*found, strict=True)
        return torch.stack(losses), list(seconds), list(accepted)

    def serve(self, accepted: list[bool]) -> dict[str, Tensor]:
        """Upload, serve, download. Returns the round's record: name → [units, ...] tensor."""
        uploads = [c.upload() if fine else None for c, fine in zip(self.clients, accepted, strict=True)]
        self.sent = [sum(entry[2] for entry in listed(upload or {})) for upload in uploads]  # bytes
        downloads, record = self.server.serve(uploads)
        self.accepted, self.said = self.server.accepted, self.server.said
        for client, message in zip(self.clients, downloads, strict=True):
            client.download(message)
        return record

    def personalize(self) -> list[float]:
        """What a client does for its own use after the download, nothing for most methods: seconds [N]."""
        return [timed(c.use_at_home, self.settings.device)[1] for c in self.clients]

    def evaluate(self, split: str) -> list[tuple]:
        """[(scenario, task, rows, positives, auc, logloss)] on `split` with what the clients hold now."""
        return [line for client in self.clients for line in client.evaluate(split)]

    # ---- what can be seen from outside ----

    def payload(self) -> list[list[tuple]]:
        """What a client would send now: per client, its upload as a list of (name, shape, bytes)."""
        return [listed(client.upload()) for client in self.clients]

    @property
    def units(self) -> list[str]:
        """Names of what the server mixes, in the order of its records: "expert 0", "tower click", …"""
        return [label for block in self.server.blocks for label in block.labels]

    def block(self, group: str) -> Block:
        """What the server remembers of a group of parameters. UserError if it is not shared."""
        groups = {block.group: block for block in self.server.blocks}
        return groups[choose("shared group", group, groups)]

    def held(self, group: str) -> Tensor:
        """[U, N, P]: what the clients hold of a shared group now, as the server would read it."""
        return self.block(group).read([client.upload() for client in self.clients])

    def put(self, group: str, stack: Tensor) -> None:
        """Write [U, N, P] into the clients' models, as a download would."""
        for n, client in enumerate(self.clients):
            client.download(self.block(group).write(stack, n))

    def probe(self) -> Tensor | None:
        """True gradients of the shared experts at the received parameters: [E, N, P], or None."""
        if not self.settings.probe or "expert.scenario" not in self.clients[0].shared:
            return None
        block = self.block("expert.scenario")
        return block.read([client.gradient(self.settings.probe) for client in self.clients])

    def stored_bytes(self) -> float:
        """Bytes of what a client keeps of its model, mean over the clients; a second model counts."""
        return sum(client.stored_bytes() for client in self.clients) / len(self.clients)

    def state(self) -> dict:
        """For a checkpoint: plain tensors, lists and dicts."""
        return {"clients": [client.state() for client in self.clients], "server": self.server.state()}

    def load(self, state: dict) -> None:
        for client, saved in zip(self.clients, state["clients"], strict=True):
            client.load(saved)
        self.server.load(state["server"])

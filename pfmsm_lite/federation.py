"""Clients and a server between two rounds; every word between them is a message."""

import copy
import time
import zlib
from dataclasses import replace

import torch
from torch import Tensor

from pfmsm_lite.embedding import LAZY_ABOVE, in_use, trained
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
        settings.hidden, settings.tower, batch_norm=settings.batch_norm, **template,
        product=product(first, settings), generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    # of the room that reads tables
    return lookup("fields", "inputs")(model, first) if first.bags or first.apart else model


def make_client(scenario: Scenario, views, model, table, known: Tensor, method, settings, seed):
    """One client, from its own scenario and what the server said.

    views  what it is evaluated on, see Client;  settings: the method's needs among them
    model  of `build`, its embedding table [V, K] taken out;  known [V] bool: entries that somebody trains
    """
    labels, ctcvr = scenario.train.labels, product(scenario, settings)
    lazy = {"adam": False, "lazy_adam": True}.get(settings.embedding_optimizer, len(table) > LAZY_ABOVE)
    # its entries of the table, and its rows with ids that point into them
    offset, hidden = model.embedding.offset, settings.unknown_rate * len(labels)
    held, train, views = lookup("entries", settings.entries)(scenario.train, views, offset, known, hidden)
    # a copy of the common start that holds these entries alone
    own = copy.deepcopy(model)
    own.embedding.weight = torch.nn.Parameter(table[held.entries])
    own.embedding.offset = torch.zeros_like(offset)
    # its base rate as a constant that never leaves it, where the method says so
    if getattr(own, "federated", False):
        own.intercept += lookup("intercept", method.intercept)(labels, ctcvr)
    # the order of its mini-batches depends on the seed and on its name, not on who else is there
    order = (seed * 1_000_003 + zlib.crc32(scenario.name.encode())) % 2**63
    about = scenario.name, scenario.tasks, scenario.has_task
    return lookup("client", settings.client)(*about, own, held, train, views, method, settings, order, lazy)


def drawn(clients: int, share: float, seed: int, number: int) -> list[bool]:
    """Which of N clients take part in a round: a share of them, at least one, drawn from seed and round."""
    draw = torch.Generator().manual_seed((seed * 1_000_003 + number) % 2**63)
    return (torch.randperm(clients, generator=draw) < max(1, round(share * clients))).tolist()


class Federation:
    """N clients and a server. `run` drives it; step through it by hand to watch.

    scenarios  one client each;  method, settings: see methods.py
    seed       of initial parameters and mini-batches
    raises     UserError for scenarios that cannot form a federation
    """

    def __init__(self, scenarios: list[Scenario], method: Method, settings: Settings, seed: int):
        check(scenarios)
        self.method, self.settings = method, replace(settings, **method.needs)
        self.tasks, self.seed = scenarios[0].tasks, seed
        views = [[(s.name, {split: s.rows(split) for split in EVALUATED})] for s in scenarios]
        if method.pooled:
            merged, merged_views = lookup("fields", "pool")(scenarios)  # of the room that reads tables
            scenarios, views = [merged], [merged_views]
        alone = lookup("model", method.model)
        if hasattr(alone, "make_client"):  # no network: the model brings a client of its own
            pairs = zip(scenarios, views, strict=True)
            self.clients = [alone.make_client(*pair, method, self.settings, seed) for pair in pairs]
            self.table = torch.zeros(0, self.settings.embedding_size)
        else:
            model = build(scenarios[0], method, self.settings, seed)
            # each client gets its part of the table [V, K]; the model goes to them without it
            self.table, model.embedding.weight = model.embedding.weight.data, None
            size, used = len(self.table), [in_use(s.train, model.embedding.offset)[0] for s in scenarios]
            # which entries anybody trains: all clients' where the table is shared, else a client's own
            together = trained(used, size) if "embedding" in method.sent else None
            rest, self.clients = (method, self.settings, seed), []
            for scenario, view, own in zip(scenarios, views, used, strict=True):
                known = trained([own], size) if together is None else together
                self.clients.append(make_client(scenario, view, model, self.table, known, *rest))
        self.server = self.make_server()
        self.accepted: list[bool | None] = [True] * len(self.clients)
        for name, _, kind in (attack.rpartition("=") for attack in self.settings.attack):
            lookup("attack", kind)(self, name)

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

    def train(self, number: int = 1) -> tuple[Tensor, list[float], list[bool | None]]:
        """Who is drawn trains from what it received; a NaN or infinite result is refused and undone.

        number   of the round: who was away in the one before receives first what it missed
        returns  (losses [N, T], seconds per client, accepted per client, None: it was not drawn)
        """
        size, share = len(self.clients), self.settings.sample
        before, here = (drawn(size, share, self.seed, k) for k in (number - 1, number))
        found = [((torch.full((len(self.tasks),), torch.nan), None), 0.0)] * size  # of who does nothing
        for n in (n for n in range(size) if here[n]):
            if not before[n]:
                self.clients[n].download(self.server.current(n))
            found[n] = timed(self.clients[n].train, self.settings.device)
        losses, accepted = zip(*(result for result, _ in found), strict=True)
        return torch.stack(losses), [seconds for _, seconds in found], list(accepted)

    def serve(self, accepted: list[bool | None]) -> dict[str, Tensor]:
        """Upload, serve, download. Returns the round's record: name → [units, ...] tensor.

        accepted  as in `train`: who was not drawn neither sends nor receives, and keeps what it has
        """
        uploads = [c.upload() if fine else None for c, fine in zip(self.clients, accepted, strict=True)]
        self.sent = [sum(entry[2] for entry in listed(upload or {})) for upload in uploads]  # bytes
        downloads, record = self.server.serve(uploads)
        used = zip(accepted, self.server.accepted, strict=True)
        self.accepted, self.said = [None if f is None else own for f, own in used], self.server.said
        for client, message, fine in zip(self.clients, downloads, accepted, strict=True):
            if fine is not None:
                client.download(message)
        return record

    def personalize(self) -> list[float]:
        """What a client does for its own use after the download, nothing for most methods: seconds [N]."""
        both = zip(self.clients, self.accepted, strict=True)
        return [0.0 if own is None else timed(c.use_at_home, self.settings.device)[1] for c, own in both]

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

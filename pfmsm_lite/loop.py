"""The federated loop: train locally, upload, serve, download, evaluate, and remember what happened."""

import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import asdict, replace

import torch

from pfmsm_lite.aggregation import EmbeddingExchange, cosines
from pfmsm_lite.embedding import make_clients
from pfmsm_lite.errors import UserError, at_least_one
from pfmsm_lite.history import History, score
from pfmsm_lite.lab import checkpoint as checkpoints
from pfmsm_lite.methods import Method, Settings
from pfmsm_lite.mmoe import parameter_groups
from pfmsm_lite.server import Block, serve

CHECKPOINT_SECONDS = 5.0
HEADS = ("gate", "tower")  # what is of one task alone


class Clock:
    """Seconds per stage, added up."""

    def __init__(self):
        self.seconds = defaultdict(float)

    @contextmanager
    def __call__(self, stage):
        start = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - start


class Federation:
    """N clients and a server, between two rounds. `run` drives it; step through it by hand to watch."""

    def __init__(self, scenarios, method, settings, seed):
        settings = replace(settings, **method.needs)
        self.method, self.settings = method, settings
        self.clients, tables = make_clients(scenarios, method, settings, seed)
        self.tasks = scenarios[0].tasks
        self.rows = torch.tensor([float(len(c.labels)) for c in self.clients], device=settings.device)
        self.clock = Clock()
        share = dict(method.sent)
        self.shares_embedding = share.pop("embedding", None) is not None
        self.embedding = EmbeddingExchange(
            tables["table"].to(settings.device),
            [index.to(settings.device) for index in tables["index"]],
            [counts.to(settings.device) for counts in tables["counts"]],
            self.rows.tolist(),
            method.embedding,
            method.evidence,
        )
        self.blocks = [
            Block(group, policy, self.clients, self.tasks)
            for group, policy in share.items()
            if self._has(group)
        ]
        self.units = [label for block in self.blocks for label in block.labels]

    def _has(self, group):
        return group in parameter_groups(self.clients[0].model)

    def payload(self):
        """What one round sends: per client, the list of (name, shape, bytes) that it uploads."""
        uploads = []
        for n, counts in enumerate(self.embedding.counts):
            upload = [entry for block in self.blocks for entry in block.upload(n)]
            if self.shares_embedding:
                rows, width = int((counts > 0).sum()), self.embedding.table.shape[1]
                upload.append(("embedding.weight (rows in use)", (rows, width), 4 * rows * width))
                upload.append(("embedding.weight (their numbers)", (rows,), 4 * rows))
            uploads.append(upload)
        return uploads

    def train(self):
        """Every client trains from what it received; a NaN or infinite result is refused and undone.

        returns  (losses [N, T], seconds [N], accepted [N] bool)
        """
        losses, seconds, accepted = [], [], []
        for n, client in enumerate(self.clients):
            before = client.snapshot()
            anchor = None
            if self.method.proximal:
                anchor = [
                    (p, p.detach().clone())
                    for block in self.blocks
                    for p in block.tensors[n]
                    if p.requires_grad
                ]
            if self.method.optimizer_state == "reset":
                client.forget_optimizer()
            start = time.perf_counter()
            loss = self._fit(client, anchor)
            seconds.append(time.perf_counter() - start)
            fine = bool(loss.isfinite().all()) and client.is_finite()
            if not fine:
                client.model.load_state_dict(before)
                client.forget_optimizer()
            losses.append(loss.cpu())
            accepted.append(fine)
        return torch.stack(losses), seconds, torch.tensor(accepted, device=self.rows.device)

    def _fit(self, client, anchor):
        """Local training, all at once or in two phases; the loss is that of the last one."""
        epochs, proximal = self.settings.local_epochs, self.method.proximal
        if self.method.phases == "together":
            return client.fit(epochs, anchor, proximal)
        everything = dict(client.model.named_parameters())
        groups = parameter_groups(client.model)
        at_home = [group for group in groups if group not in self.method.sent]
        home = {name for group in at_home for name in groups[group]}
        heads = home | {name for group in HEADS for name in groups[group]}
        phases = {
            "local_first": (home, set(everything) - home),
            "heads_first": (heads, set(everything) - heads),
            "heads_last": (set(everything), heads),
        }
        for trained in phases[self.method.phases]:
            for name, parameter in everything.items():
                parameter.requires_grad_(name in trained)
            held = [pair for pair in anchor or () if pair[0].requires_grad]
            loss = client.fit(epochs, held, proximal)
        client.model.requires_grad_(True)
        return loss

    def personalize(self):
        """What a client does for its own use after the download, nothing for most methods: seconds [N]."""
        if self.method.personal == "none":
            return [0.0] * len(self.clients)
        spent = []
        for client in self.clients:
            start = time.perf_counter()
            client.use_at_home(self.method.personal, self.settings.local_epochs, self.method.pull)
            spent.append(time.perf_counter() - start)
        return spent

    def stored_bytes(self):
        """Bytes of what a client keeps of its model, mean over the clients; a second model counts."""
        return sum(client.stored_bytes() for client in self.clients) / len(self.clients)

    @torch.no_grad()
    def serve(self, accepted):
        """Upload, serve, download. Returns the round's record: name → [units, ...] tensor."""
        records = []
        for block in self.blocks:
            with self.clock("pack"):
                trained = block.pack()
            mixtures, record = serve(block, trained, accepted, self.rows, self.method, self.clock)
            with self.clock("unpack"):
                block.unpack(mixtures)
                block.received = mixtures
            records.append(record)
        if self.shares_embedding:
            with self.clock("embedding"):
                tables = [client.model.embedding.weight for client in self.clients]
                step = self.method.server_step
                received = self.embedding.step(tables, accepted.tolist(), step)
                for table, rows in zip(tables, received, strict=True):
                    table.copy_(rows)
        return {key: torch.cat([r[key] for r in records]).cpu() for key in (records[0] if records else ())}

    def probe(self):
        """True gradients of the shared experts at the received parameters: [E, N, P], or None."""
        blocks = [block for block in self.blocks if block.group == "expert.scenario"]
        if not self.settings.probe or not blocks:
            return None
        for client in self.clients:
            client.gradient(self.settings.probe)
        return blocks[0].pack([[p.grad for p in own] for own in blocks[0].tensors])

    def evaluate(self, split):
        """[(scenario, task, rows, positives, auc, logloss)] on `split` with what the clients hold now."""
        found = []
        for client in self.clients:
            for name, view in client.views:
                probabilities = (client.personal or client).predict(view[split]).numpy()
                labels = view[split].labels.numpy()
                for t, task in enumerate(self.tasks):
                    found.append((name, task, *score(labels[:, t], probabilities[:, t])))
        return found

    def state(self):
        return {
            "clients": [client.state() for client in self.clients],
            "blocks": [block.state() for block in self.blocks],
            "table": self.embedding.table,
        }

    def load(self, state):
        for client, saved in zip(self.clients, state["clients"], strict=True):
            client.load(saved)
        for block, saved in zip(self.blocks, state["blocks"], strict=True):
            block.load(saved)
        self.embedding.table = state["table"]


def run(
    scenarios,
    method,
    rounds=20,
    seed=0,
    *,
    checkpoint=None,
    checkpoint_seconds=CHECKPOINT_SECONDS,
    progress=None,
    settings=None,
    **options,
):
    """Train one method on the scenarios and return its History.

    scenarios   list of Scenario, one client each
    method      a Method: METHODS["pf_msmtrec"], or one made by dataclasses.replace
    rounds      federated rounds; the round with the best average validation AUC gives the results
    seed        of initial parameters and mini-batches: the same seed gives the same numbers
    options     fields of Settings: local_epochs, batch_size, learning_rate, experts, … (or `settings` whole)
    checkpoint  a file: continue from it where it exists, and keep it up to date
    progress    called after each round with (round, rounds, average validation AUC)
    raises      UserError for bad settings or data, or when no client trains to finite numbers in round 1
    """
    settings = replace(settings or Settings(), **options)
    if not isinstance(method, Method):
        raise UserError(f"method must be a Method such as METHODS['pf_msmtrec'], not {method!r}.")
    at_least_one(rounds=rounds)
    _check_device(settings.device)
    federation = Federation(scenarios, method, settings, seed)
    history = History(method.name, seed, [c.name for c in federation.clients], federation.units)
    fingerprint = _fingerprint(scenarios, method, settings, seed) if checkpoint else ""
    state = checkpoints.load(checkpoint, fingerprint) if checkpoint else None
    if state:
        history.load(state["history"])
        federation.load(state["federation"])
    saved = time.monotonic()
    payload = [sum(entry[2] for entry in upload) for upload in federation.payload()]
    patience = settings.patience or rounds
    while history.goes_on(rounds, patience):
        _one_round(federation, history, payload)
        last = not history.goes_on(rounds, patience)
        if checkpoint and (last or time.monotonic() - saved >= checkpoint_seconds):
            state = {"history": history.state(), "federation": federation.state()}
            checkpoints.save(checkpoint, fingerprint, state)
            saved = time.monotonic()
        if progress:
            progress(history.rounds_done, rounds, history.last_auc)
    history.stage_seconds, history.stored_bytes = dict(federation.clock.seconds), federation.stored_bytes()
    return history


def _one_round(federation, history, payload):
    start = time.perf_counter()
    true_gradient = federation.probe()
    with federation.clock("train"):
        losses, seconds, accepted = federation.train()
    number = history.rounds_done + 1
    if not accepted.any():
        history.stop(number, "every client's upload was NaN or infinite")
        return
    record = federation.serve(accepted)
    with federation.clock("personal"):
        seconds = [sum(both) for both in zip(seconds, federation.personalize(), strict=True)]
    if true_gradient is not None:
        exchange = next(b for b in federation.blocks if b.group == "expert.scenario").previous
        gram = true_gradient @ true_gradient.transpose(-2, -1)
        inner = -(true_gradient * exchange.delta).sum(-1)
        length = true_gradient.norm(dim=-1) * exchange.delta.norm(dim=-1)
        record["probe_alignment"] = inner / length.clamp(min=1e-12)
        record["probe_cosine"] = cosines(gram)
    with federation.clock("evaluate"):
        valid = federation.evaluate("valid")
        test = federation.evaluate("test") if history.improves(valid) else None
    elapsed = time.perf_counter() - start
    history.add(number, federation, record, valid, test, losses, seconds, accepted, payload, elapsed)


def _check_device(device):
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[device]:
        raise UserError(f"--device {device}: this machine or this PyTorch has none. Use --device cpu.")


def _fingerprint(scenarios, method, settings, seed):
    """What a checkpoint belongs to, as text."""
    from pfmsm_lite.scenario import digest

    return f"{digest(scenarios)} {asdict(method)} {asdict(settings)} seed {seed} torch {torch.__version__}"

"""The server: normalize → coordinate → aggregate, on one flat matrix [U, N, P] per group of parameters.

It works on what clients sent alone: it knows neither their models nor their rows.
"""

import torch
from torch import Tensor

from pfmsm_lite.aggregation import Exchange, Past, aggregate, cosines, mixing_weights
from pfmsm_lite.coordination import coefficients
from pfmsm_lite.embedding import SharedTable
from pfmsm_lite.mmoe import GRADIENT, UNITS
from pfmsm_lite.normalization import Affine, normalize
from pfmsm_lite.registry import lookup, register

NORMALIZED = COORDINATED = ("expert.scenario",)  # the stages that the paper has for experts only


class Block:
    """One group of parameters that leaves the clients, and what the server remembers of it.

    A message's tensors of this group become U rows of P numbers: one row per expert (expert.scenario), one
    per task (gates, towers, expert.task), or a single one.

    group     its name;  policy: what its share says
    start     {name: tensor} that every client starts from
    has_task  [T, N] bool: which client has which task;  tasks: their names
    """

    def __init__(self, group: str, policy: str, start: dict[str, Tensor], has_task: Tensor, tasks):
        self.group, self.policy, self.split = group, policy, UNITS.get(group)
        self.shapes = {name: tuple(tensor.shape) for name, tensor in start.items()}
        first, clients = next(iter(start.values())), has_task.shape[1]
        # U units of P numbers; segments: how the tensors lie side by side in P
        self.units = first.shape[0] if self.split else 1
        self.segments = [tensor.numel() // self.units for tensor in start.values()]
        # "expert 0", "tower click", …
        labels = tasks if self.split == "task" else range(self.units)
        head = group.removesuffix(".scenario")
        self.labels = [f"{head} {label}" for label in labels] if self.split else [group]
        everywhere = torch.ones(self.units, clients, dtype=torch.bool, device=first.device)
        self.has = has_task.to(first.device) if self.split == "task" else everywhere  # [U, N]
        # everybody starts from the same: [U, N, P]
        self.received = self.one(start)[:, None].repeat(1, clients, 1)  # [U, N, P]
        self.previous: Past | None = None

    def one(self, message: dict[str, Tensor], before: str = "") -> Tensor:
        """The group's tensors in a message, side by side: [U, P] (only the units that are in it)."""
        tensors = [message[before + name].detach().float() for name in self.shapes]
        if self.split:
            return torch.cat([tensor.flatten(1) for tensor in tensors], 1)
        return torch.cat([tensor.flatten() for tensor in tensors])[None]

    def read(self, uploads: list) -> Tensor:
        """Clients' uploads → [U, N, P]. For a client that sent nothing: what it had received."""
        return self._filled(self.received.clone(), uploads)

    def gradients(self, uploads: list) -> Tensor | None:
        """Validation gradients that came with uploads → [U, N, P], 0 where none did, or None: none came."""
        key = GRADIENT + next(iter(self.shapes))
        sent = [upload if upload is not None and key in upload else None for upload in uploads]
        return self._filled(torch.zeros_like(self.received), sent, GRADIENT) if any(sent) else None

    def wanted(self, n: int, upload: dict) -> dict[str, Tensor]:
        """What client n's upload must hold of this group, as it would look: gradients all, or none."""
        own = self.write(self.received, n)
        asked = GRADIENT + next(iter(own)) in upload
        return own | {GRADIENT + name: part for name, part in own.items() if asked}

    def _filled(self, stack: Tensor, uploads: list, before: str = "") -> Tensor:
        for n, upload in enumerate(uploads):
            if upload is not None:
                stack[self.has[:, n], n] = self.one(upload, before)
        return stack

    def write(self, stack: Tensor, n: int) -> dict[str, Tensor]:
        """Client n's part of [U, N, P] as a message: the units that it has."""
        own = stack[self.has[:, n], n].split(self.segments, dim=-1)
        shapes = [(-1, *shape[1:]) if self.split else shape for shape in self.shapes.values()]
        return {name: part.reshape(shape) for name, part, shape in zip(self.shapes, own, shapes, strict=True)}

    def state(self) -> dict:
        last = {} if self.previous is None else self.previous._asdict()
        return {"received": self.received, "last": last}

    def load(self, state: dict) -> None:
        self.received = state["received"]
        self.previous = Past(**state["last"]) if state["last"] else None


def normalized(block: Block, trained: Tensor, kind: str) -> tuple[Tensor, Tensor, Affine | None, Tensor]:
    """(received, trained [U, N, P], the map to undo it, how far each tensor moved [U, N]).

    The memory of `trained` is used again.
    """
    if kind == "none":
        return block.received, trained, None, torch.zeros(trained.shape[:2], device=trained.device)
    # what was received goes through the same map, so that the update is a difference of like things
    found, affine = normalize(trained, kind, block.segments)
    # unit by unit, since stacks are large
    moved = torch.stack([(new - old).norm(dim=-1) for new, old in zip(found, trained, strict=True)])
    moved /= trained.norm(dim=-1).clamp(min=1e-12)
    return affine.apply(block.received, out=trained), found, affine, moved


def coordinated(delta: Tensor, accepted: Tensor, kind: str, method) -> tuple[Tensor, Tensor, Tensor]:
    """(C [U, N, N], server step included, inner products of the deltas [U, N, N], those of the updates)."""
    # ⟨Δ_n, Δ_m⟩ for all pairs of clients: [U, N, N]
    gram = delta @ delta.transpose(-2, -1)
    # each client's weight in the mean update: [N]
    share = accepted.to(gram) / accepted.sum()
    # U_n = Σ_m C_nm Δ_m; inner products of the new updates follow from the old ones
    mix = coefficients(kind, gram, share, method.radius, method.rescale)
    return mix * method.server_step, gram, mix @ gram @ mix.transpose(-2, -1)


register("check", "exact", lambda server, uploads: (uploads, [""] * len(uploads)), "its form alone")


class Server:
    """What handles the clients' messages: one Block per shared group, and the shared embedding table.

    method  whose stages it runs;  tasks: their names
    start   group → {name: tensor} that every client starts from;  table [V, K]: all entries at their start
    first_messages  name of a client → what it said before the first round
    """

    def __init__(self, method, tasks, start: dict, table: Tensor, first_messages: dict[str, dict]):
        self.method, self.names, device = method, list(first_messages), table.device
        hellos, none = list(first_messages.values()), torch.zeros(0).long()
        self.rows = torch.stack([hello["rows"] for hello in hellos]).to(device)  # [N]
        has_task = torch.stack([hello["has_task"] for hello in hellos], 1)  # [T, N]
        self.blocks = [Block(g, p, start[g], has_task, tasks) for g, p in method.sent.items() if g in start]
        # the server keeps the entries that some client holds, where they are shared
        entries, uses = ([hello.get(key, none) for hello in hellos] for key in ("entries", "uses"))
        union = torch.unique(torch.cat(entries))
        self.asked = [own[times > 0].int() for own, times in zip(entries, uses, strict=True)]
        index = [torch.searchsorted(union, own) for own in entries]
        sizes, rule = self.rows.tolist(), (method.embedding, method.own_rows)
        self.table = SharedTable(table[union], index, uses, sizes, *rule)

    def fault(self, n: int, upload: dict) -> str:
        """What is wrong with the form of client n's upload, in words; "" where nothing is."""
        wanted = {k: part for block in self.blocks for k, part in block.wanted(n, upload).items()}
        if "embedding" in self.method.sent:
            like = self.table.table[: len(self.asked[n])]
            wanted |= {"embedding.weight": like, "embedding.entries": self.asked[n]}
        found, due = ({k: (tuple(p.shape), p.dtype) for k, p in m.items()} for m in (upload, wanted))
        for name in sorted(found.keys() | due.keys()):
            if found.get(name) != due.get(name):
                return f"{name!r} is {found.get(name, 'missing')}, not {due.get(name, 'asked for')}"
            if not upload[name].float().square().sum().isfinite():
                return f"{name!r} holds NaN, infinity, or a number whose square is too large for float32"
        other = "embedding.entries" in due and not torch.equal(upload["embedding.entries"], self.asked[n])
        return "other embedding entries than its first message named" if other else ""

    def checked(self, uploads: list) -> list:
        """The uploads that may be used, None for the others; keeps who that is, and why, in words."""
        wrong = ["" if upload is None else self.fault(n, upload) for n, upload in enumerate(uploads)]
        fit = [None if fault else upload for fault, upload in zip(wrong, uploads, strict=True)]
        found, more = lookup("check", self.method.check)(self, fit)
        self.said = [fault or words for fault, words in zip(wrong, more, strict=True)]  # [N]
        self.accepted = [upload is not None for upload in found]  # [N]
        return found

    @torch.no_grad()
    def serve(self, uploads: list) -> tuple[list[dict], dict[str, Tensor]]:
        """One round at the server.

        uploads  per client its message, or None: nothing fit to use came
        returns  (downloads: per client a message, record: name → [units, ...] for the history); empty ones
                 where no upload is left. `said` and `accepted` tell what its checks found

        Source: PF-MSMTrec, abstract
        Paper: for each expert "federated batch normalization, conflict coordination, and personalized
            aggregation", then the towers
        Ours: in this order; embedding entries come last
        Fidelity: same
        """
        uploads = self.checked(uploads)
        # [N] bool: whose upload is used
        accepted = torch.tensor(self.accepted, device=self.rows.device)
        records = []
        if not any(self.accepted):
            return [{} for _ in uploads], {}
        for block in self.blocks:
            gradients = block.gradients(uploads)
            mixtures, record = self.serve_block(block, block.read(uploads), accepted, gradients)
            block.received = mixtures
            records.append(record)
        # embedding entries have a rule of their own
        entries = [None] * len(uploads)
        if "embedding" in self.method.sent:
            entries = self.table.step([u and u["embedding.weight"] for u in uploads], self.method.server_step)
        downloads = [self.current(n, own) for n, own in enumerate(entries)]
        keys = records[0] if records else ()
        return downloads, {key: torch.cat([record[key] for record in records]).cpu() for key in keys}

    def current(self, n: int, entries: Tensor | None = None) -> dict[str, Tensor]:
        """Client n's download: its mixtures, and `entries` [R_n, K], by default the server's as they are."""
        own = self.table.table[self.table.index[n]] if entries is None else entries
        shared = {"embedding.weight": own} if "embedding" in self.method.sent else {}
        return dict(part for b in self.blocks for part in b.write(b.received, n).items()) | shared

    def serve_block(self, block: Block, trained: Tensor, accepted: Tensor, gradients=None) -> tuple:
        """One block's round: trained [U, N, P], accepted [N] bool → (mixtures [U, N, P], record).

        Stacks are large: the memory of `trained` is used again.

        Source: PF-MSMTrec, abstract
        Paper: after the experts "another round of personalized federated parameter aggregation on the task
            tower network"
        Ours: by the experts' rule, one matrix of weights per task, neither normalized nor coordinated
        Fidelity: unknown
        """
        method, personal = self.method, block.policy == "personalized"
        if block.previous is not None:  # frees memory: nobody needs the last round's deltas
            block.previous = block.previous._replace(delta=trained.new_empty(0))
        normalizing = method.normalize if personal and block.group in NORMALIZED else "none"
        coordinating = method.coordinate if personal and block.group in COORDINATED else "none"
        # 1. normalize the clients' parameters against each other (eq. 8)
        received, trained, affine, moved = normalized(block, trained, normalizing)
        block.received = received  # frees memory for what follows
        # 2. pull updates that conflict towards each other (eq. 13)
        delta = trained - received
        mix, gram, after = coordinated(delta, accepted, coordinating, method)
        sources = trained
        if coordinating != "none" or method.server_step != 1:
            torch.matmul(mix, delta, out=sources).add_(received)
        # 3. mix for every client: W_n = Σ_m A_nm · source_m
        has, past = block.has, block.previous
        present = has & accepted
        exchange = Exchange(received, delta, mix, sources, gram, self.rows, present, has, past, gradients)
        weights, memory = mixing_weights(exchange, method, method.rules[block.group])
        # a rule may add to the sources instead of mixing them
        memory = dict(memory)
        sources = memory.pop("sources", sources)
        block.previous = Past(delta, sources, weights, memory)
        del exchange, past, received, trained  # frees memory for the mixtures
        mixtures = aggregate(sources, weights)
        if affine is not None:
            mixtures = lookup("undo", method.undo)(affine, mixtures)
        record = {"norm": gram.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt(), "weights": weights}
        record |= {"cosine_before": cosines(gram), "cosine_after": cosines(after), "normalized": moved}
        return mixtures, record

    def state(self) -> dict:
        return {"blocks": [block.state() for block in self.blocks], "table": self.table.table}

    def load(self, state: dict) -> None:
        for block, saved in zip(self.blocks, state["blocks"], strict=True):
            block.load(saved)
        self.table.table = state["table"]

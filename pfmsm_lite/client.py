"""The client: its rows, its model, its optimizer. It talks to the server in messages of named tensors.

A first message, then in every round an upload and a download: {name: tensor}. Rows never go into one.
"""

import copy
import inspect
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pfmsm_lite.embedding import Held
from pfmsm_lite.history import score
from pfmsm_lite.mmoe import GRADIENT, UNITS, parameter_groups
from pfmsm_lite.registry import lookup, register
from pfmsm_lite.scenario import Rows

CHUNK = 16384  # rows in one forward pass of an evaluation
HEADS = ("gate", "tower")  # groups of one task alone
Message = dict[str, Tensor]

# which parameters are trained in turn: (every, home, heads: sets of names) → list of sets
register("phases", "together", lambda every, home, heads: [every], "all parameters in every step")


def cross_entropy(logits: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
    """Binary cross-entropy per task [T], averaged over the labels [B, T] that mask [B, T] says are there."""
    loss = F.binary_cross_entropy_with_logits(logits.float(), labels, reduction="none")
    if mask is None:
        return loss.mean(0)
    return (loss * mask).sum(0) / mask.sum(0).clamp(min=1)


register("intercept", "none", lambda labels, product: 0.0, "a client's base rate is learned like the rest")


@register("intercept", "home", text="the log-odds of a client's own labels are added and never leave it")
def log_odds(labels: Tensor, product: tuple[int, int] | None = None) -> Tensor:
    """Log-odds [T] of the labels [R, T] of one client, NaN left out; half a row of each class is added, so
    that they are finite. product (parent, child): the child's are those among the parent's positives.

    Reconstruction: with them at home, shared parameters need not carry a client's base rate.
    """
    positives, rows = labels.nansum(0), (~labels.isnan()).sum(0)
    rate = (positives + 0.5) / (rows + 1)
    if product is not None:
        parent, child = product
        rate[child] = (rate[child] / rate[parent]).clamp(max=0.99)
    return rate.logit()


def eager(optimizer: type) -> type:
    """The same optimizer of torch.optim, without its doors to torch.compile: they would import torch._dynamo,
    which takes longer than many trainings do. Only this class differs; torch.optim stays as it is."""
    doors = ("add_param_group", "load_state_dict", "state_dict", "step", "zero_grad")
    plain = {name: torch.no_grad()(inspect.unwrap(getattr(optimizer, name))) for name in doors}
    return type(optimizer.__name__, (optimizer,), plain)


class Client:
    """One scenario's side of the federation, complete once it is constructed.

    name      of the scenario;  tasks: their names [T];  has_task [T] bool: those with training labels
    model     whose embedding table holds the entries of `held` alone; from now on it is the client's own
    held      which entries these are, and how often the training rows use each
    train     Rows with categorical ids into that table
    views     what it is evaluated on: list of (scenario name, {"valid": Rows, "test": Rows})
    method    what it sends (share), and how it trains;  seed: of the order of its mini-batches
    lazy      whether entries without a gradient stay as they are (SparseAdam)
    """

    def __init__(self, name, tasks, has_task, model, held, train: Rows, views, method, settings, seed, lazy):
        device = settings.device
        self.name, self.tasks, self.has_task, self.views = name, tuple(tasks), has_task, views
        self.method, self.settings = method, settings
        self.model = model.to(device)
        self.model.embedding.sparse = lazy
        self.held = Held(*(part.to(device) for part in held))
        self.in_use = self.held.uses > 0
        # its rows, with NaN labels as a mask beside them
        self.train_rows = Rows(*(part.to(device) for part in train[:3]))
        missing = self.train_rows.labels.isnan()
        self.labels = self.train_rows.labels.nan_to_num()
        self.mask = (~missing).float() if missing.any() else None
        self.generator = torch.Generator().manual_seed(seed)
        self.calibrate = lookup("calibrate", settings.calibrate)()
        # what leaves: group → {name: parameter}
        groups = parameter_groups(self.model)
        sent = [group for group in method.sent if group in groups and group != "embedding"]
        self.shared = {group: groups[group] for group in sent}
        self.optimizers = self._optimizers(lazy)
        # the gradient of its validation loss, by name, in the rounds in which the server is to know it
        self.asking = [g for g in sent if getattr(lookup("aggregate", method.rules[g]), "asks", False)]
        self.rounds, self.asked = 0, {}
        # a second model for its own use, with an optimizer and an order of its own
        self.personal: Client | None = None
        self.used = self.model  # what it predicts with
        if method.personal != "none":
            twin = self.personal = copy.copy(self)
            twin.model = copy.deepcopy(self.model)
            twin.generator = torch.Generator().manual_seed(seed + 1)
            twin.optimizers = twin._optimizers(lazy)
            twin.used = self.used = twin.model

    def _optimizers(self, lazy: bool) -> list:
        """Fused Adam; with `lazy`, SparseAdam for the embedding table. A model may bring one of its own.

        A model's own_optimizer() returns (parameters that the first one leaves alone, the model's optimizer).
        """
        apart, more = self.model.own_optimizer() if hasattr(self.model, "own_optimizer") else ([], None)
        step, table = self.settings.learning_rate, [self.model.embedding.weight]
        rest = [p for p in self.model.parameters() if all(p is not other for other in table + apart)]
        groups = [{"params": rest, "weight_decay": self.settings.weight_decay}]
        if not lazy:
            groups.append({"params": table, "weight_decay": 0.0})
        self.steps = [eager(torch.optim.AdamW)(groups, lr=step, fused=True)]  # taken after every mini-batch
        if lazy:
            self.steps.append(eager(torch.optim.SparseAdam)(table, lr=step))
        return self.steps if more is None else [*self.steps, more]

    def __repr__(self) -> str:
        sent = ", ".join(self.method.sent) or "nothing"
        return f"Client {self.name!r}: {len(self.labels):,} training rows, sends {sent}"

    # ---- messages ----

    def first_message(self) -> Message:
        """What the server must know before the first round: sizes and counts, no row.

        Which embedding entries it holds, and how often its rows use each, only where these are shared.
        """
        first = {"rows": torch.tensor(float(len(self.labels))), "has_task": self.has_task}
        held = {"entries": self.held.entries, "uses": self.held.uses}
        return first | held if "embedding" in self.method.sent else first

    @torch.no_grad()
    def upload(self) -> Message:
        """Its shared parameters as they are now; of gates and towers only those of tasks that it has."""
        message = {}
        for group, tensors in self.shared.items():
            own = self.has_task if UNITS.get(group) == "task" else ...
            message |= {name: tensor[own].clone().float() for name, tensor in tensors.items()}
            if self.asked and group in self.asking:
                message |= {GRADIENT + name: self.asked[name][own] for name in tensors}
        if "embedding" in self.method.sent:
            message["embedding.weight"] = self.model.embedding.weight.detach()[self.in_use]  # [U, K]
            message["embedding.entries"] = self.held.entries[self.in_use].int()  # [U] their numbers
        return message

    @torch.no_grad()
    def download(self, message: Message) -> None:
        """Take over what the server sent, in the form of an upload; entries: all that this client holds."""
        for group, tensors in self.shared.items():
            own = self.has_task if UNITS.get(group) == "task" else ...
            for name in tensors.keys() & message.keys():
                tensors[name][own] = message[name].to(tensors[name].dtype)
        if "embedding.weight" in message:
            self.model.embedding.weight.copy_(message["embedding.weight"])

    # ---- local training ----

    def train(self) -> tuple[Tensor, bool]:
        """One round: train from what was received; a NaN or infinite result is undone.

        returns  (loss per task [T], whether it is fit to be sent)
        """
        before = self.snapshot()
        epochs, method = self.settings.local_epochs, self.method
        self.asked = self.validation_gradient() if self.asking and self.rounds < method.kin_rounds else {}
        self.rounds += 1
        shared = [p for tensors in self.shared.values() for p in tensors.values() if p.requires_grad]
        shared += [self.model.embedding.weight] if "embedding" in method.sent else []
        received = [(p, p.detach().clone()) for p in shared if method.proximal]
        lookup("optimizer_state", method.optimizer_state)(self)
        # all parameters at once, or one set of them after the other
        parameters = dict(self.model.named_parameters())
        loss = torch.zeros(len(self.tasks))
        for trained in self._phases(set(parameters)):
            for name, parameter in parameters.items():
                parameter.requires_grad_(name in trained)
            anchor = [pair for pair in received if pair[0].requires_grad]
            loss = self.fit(epochs, anchor, method.proximal)
        self.model.requires_grad_(True)
        fine = bool(loss.isfinite().all()) and self.is_finite()
        if not fine:
            self.model.load_state_dict(before)
            self.forget_optimizer()
        return loss.cpu(), fine

    def _phases(self, every: set[str]) -> list[set[str]]:
        """Names of the parameters that are trained, one set per phase."""
        groups = parameter_groups(self.model)
        home = {name for group in groups if group not in self.method.sent for name in groups[group]}
        heads = home | {name for group in HEADS for name in groups.get(group, ())}
        found = lookup("phases", self.method.phases)(every, home, heads)
        more = self.method.head_epochs  # of what trains apart from the body
        return [part for part in found for _ in range(more if part < every and part <= heads else 1)]

    def fit(self, epochs: int, anchor=(), proximal: float = 0.0, pull: float = 0.0) -> Tensor:
        """Train for some epochs; a model's after_epoch(client), where it has one, follows each.

        returns   the mean training loss per task [T]
        anchor    list of (parameter, received value) for the two regularizers below
        proximal  λ: λ/2·‖parameter − value‖² is added to the loss; with lazy Adam, which steps only the
                  embedding entries of a mini-batch, an entry is drawn back in the steps that use it
        pull      λ of the same term, taken by its proximal step after each step of the optimizer:
                  parameter ← (parameter + ηλ·value) / (1 + ηλ), which is exact for any λ, infinity included

        Source: PF-MSMTrec, as a secondary source tells it
        Paper: a personalization regularizer is added to the cross-entropy; its form is not given
        Ours: λ/2·‖w_shared − w_received‖² as in FedProx, or a second model as in Ditto; none by default
        Fidelity: unknown
        """
        self.model.train()
        step = self.settings.learning_rate * pull
        share = 1.0 if math.isinf(step) else step / (1 + step)
        total, steps = torch.zeros(len(self.tasks), device=self.labels.device), 0
        for _ in range(epochs):
            for index in self.batches():
                for optimizer in self.steps:
                    optimizer.zero_grad()
                losses = self.backward(index)
                # gradient of the proximal term: λ·(w − w_received)
                if proximal:
                    for parameter, value in anchor:
                        away = parameter.detach() - value
                        if parameter.grad.is_sparse:  # lazy Adam: of the entries in this batch alone
                            away = away.sparse_mask(parameter.grad.coalesce())
                        parameter.grad.add_(away, alpha=proximal)
                for optimizer in self.steps:
                    optimizer.step()
                # proximal step of the pull
                if share:
                    for parameter, value in anchor:
                        parameter.data.lerp_(value, share)
                total, steps = total + losses, steps + 1
            if hasattr(self.model, "after_epoch"):
                self.model.after_epoch(self)
        return total / max(steps, 1)

    def batches(self) -> tuple[Tensor, ...]:
        """Row numbers of one epoch's mini-batches, in a new order each time; BatchNorm: none of one row."""
        order = torch.randperm(len(self.labels), generator=self.generator).to(self.labels.device)
        batches = order.split(self.settings.batch_size)
        alone = self.settings.batch_norm and len(batches[-1]) == 1
        return batches[:-1] if alone else batches  # BatchNorm cannot train on a single row

    def backward(self, index: Tensor) -> Tensor:
        """The gradient of the rows in `index` [B], into every parameter's grad; their loss per task [T]."""
        with self.autocast():
            losses = self.losses(index)
        losses.sum().backward()
        return losses.detach()

    def ids(self, index: Tensor) -> Tensor:
        """The categorical ids [B, C] of the rows in `index`, some hidden where the settings say so."""
        ids = self.train_rows.categorical[index]
        rate = self.settings.unknown_rate
        if rate and self.model.training:
            # some ids are hidden, so that the unknown entries learn what they stand for: [B, F]
            drawn = torch.rand(ids.shape, generator=self.generator, pin_memory=ids.is_cuda)
            hide = drawn.to(ids.device, non_blocking=True) < rate
            if self.method.pooled:
                hide[:, -1] = False  # every row knows its scenario, also on the day of the test
            ids = torch.where(hide & (ids >= 0), self.held.unknown, ids)
        return ids

    def losses(self, index: Tensor) -> Tensor:
        """Cross-entropy of the rows in `index` [B], averaged over the labels that are there → [T]."""
        ids = self.ids(index)
        logits, labels = self.model(ids, self.train_rows.numerical[index]), self.labels[index]
        mask = None if self.mask is None else self.mask[index]
        if hasattr(self.model, "loss"):  # a model may weigh its rows itself
            return self.model.loss(ids, logits, labels, mask)
        return cross_entropy(logits, labels, mask)

    def autocast(self):
        bf16 = self.settings.precision == "bf16"
        return torch.autocast(self.settings.device, dtype=torch.bfloat16, enabled=bf16)

    def gradient(self, rows: int) -> Message:
        """True gradient of the summed loss on the first training rows, by name; changes nothing."""
        first = Rows(*(part[:rows] for part in self.train_rows[:3]))
        return self._gradient(first, dict(self.model.named_parameters()))

    def validation_gradient(self) -> Message:
        """Gradient of the summed loss on at most CHUNK validation rows, evenly spread, by name: of the groups
        whose rule asks for it. Empty without validation labels."""
        rows = self.views[0][1]["valid"]
        every = -(-len(rows.labels) // CHUNK) or 1
        some = Rows(*(part[::every] for part in rows[:3]))
        asked = {name: part for group in self.asking for name, part in self.shared[group].items()}
        found = {} if some.labels.isnan().all() else self._gradient(some, asked)
        return found if all(part.isfinite().all() for part in found.values()) else {}

    def _gradient(self, rows: Rows, parameters: dict) -> Message:
        """Gradient by name of the summed loss on Rows, by the model as it is in evaluation."""
        ids, numerical, labels = (part.to(self.labels.device) for part in rows[:3])
        mask, training = (~labels.isnan()).float(), self.model.training
        self.model.eval()
        loss = cross_entropy(self.model(ids, numerical), labels.nan_to_num(), mask).sum()
        self.model.train(training)
        found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        return {name: part for name, part in zip(parameters, found, strict=True) if part is not None}

    # ---- evaluation, and what it decides at home ----

    def use_at_home(self) -> None:
        """After a download: train the second model, as the method's `personal` says."""
        twin = self.personal
        if twin is None:
            return
        epochs = self.settings.local_epochs * self.method.home_epochs
        lookup("personal", self.method.personal)(self, epochs, self.method.pull)
        if not twin.is_finite():
            twin.model.load_state_dict(self.model.state_dict())
            twin.forget_optimizer()

    def predict(self, rows: Rows) -> Tensor:
        """Probabilities [R, T] float32 for Rows, by the model that it uses at home."""
        return self.logits(rows, self.used).sigmoid()

    @torch.no_grad()
    def logits(self, rows: Rows, model) -> Tensor:
        """What a model says of Rows: [R, T] float32."""
        model.eval()
        parts = []
        with self.autocast():
            chunks = rows.categorical.split(CHUNK), rows.numerical.split(CHUNK)
            for ids, numerical in zip(*chunks, strict=True):
                logits = model(ids.to(self.labels.device), numerical.to(self.labels.device))
                parts.append(logits.float().cpu())
        return torch.cat(parts) if parts else torch.zeros(0, self.labels.shape[1])

    def evaluate(self, split: str) -> list[tuple]:
        """[(scenario, task, rows, positives, auc, logloss)] on `split`, by the model that it uses at home."""
        return evaluate(self.views, self.tasks, self.predict, split, self.calibrate)

    # ---- its state ----

    def forget_optimizer(self) -> None:
        for optimizer in self.optimizers:
            optimizer.state.clear()

    def snapshot(self) -> Message:
        """Everything that training may change, to go back to."""
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    def state(self) -> dict:
        """For a checkpoint: plain tensors, lists and dicts."""
        twin = {} if self.personal is None else {"personal": self.personal.state()}
        return twin | {
            "model": self.snapshot(),
            "optimizers": copy.deepcopy([optimizer.state_dict() for optimizer in self.optimizers]),
            "generator": self.generator.get_state(),
            "rounds": self.rounds,
        }

    def load(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.generator.set_state(state["generator"])
        self.rounds = state["rounds"]
        if self.personal is not None:
            self.personal.load(state["personal"])

    def stored_bytes(self) -> int:
        """Bytes of the parameters that this client keeps; a second model counts."""
        twin = self.personal.stored_bytes() if self.personal else 0
        return twin + sum(4 * p.numel() for p in self.model.parameters())

    def is_finite(self) -> bool:
        """No NaN and no infinity in any parameter."""
        return all(bool(p.detach().sum().isfinite()) for p in self.model.parameters())


def evaluate(views: list, tasks: tuple, predict, split: str, calibrate=None) -> list[tuple]:
    """[(scenario, task, rows, positives, auc, logloss)] of what `predict` (Rows → [R, T]) says of a split.

    calibrate  None, or (scenario, split, probabilities [R, T], labels [R, T]) → corrected ones: validation
               rows come first, and may teach it how
    """
    found = []
    for name, view in views:
        probabilities, labels = predict(view[split]).numpy(), view[split].labels.numpy()
        if calibrate:
            probabilities = calibrate(name, split, probabilities, labels)
        found += [(name, task, *score(labels[:, t], probabilities[:, t])) for t, task in enumerate(tasks)]
    return found


register("client", "open", Client, "in the open: what it sends may tell of its rows")
register("calibrate", "none", lambda: None, "probabilities stay as the model gives them")
register("optimizer_state", "keep", lambda client: None, "each client keeps its Adam moments over the rounds")

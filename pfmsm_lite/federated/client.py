"""The client: its rows, its model, its optimizer. Rows never leave this file."""

import copy
import math

import torch
import torch.nn.functional as F

from pfmsm_lite.data import Rows
from pfmsm_lite.federated.row_adam import RowAdam

CHUNK = 16384  # rows in one forward pass of an evaluation


class Client:
    """One scenario's side of the federation.

    name    of the scenario
    model   an MMoE whose embedding table holds only the rows that this client's ids name
    train   Rows with categorical ids into that table
    views   what it is evaluated on: list of (scenario name, {"valid": Rows, "test": Rows})
    seed    of the order of its mini-batches
    """

    def __init__(self, name, model, train, views, settings, seed, lazy):
        device = settings.device
        self.name, self.settings, self.views = name, settings, views
        self.model = model.to(device)
        self.model.embedding.sparse = lazy
        self.train = Rows(*(None if part is None else part.to(device) for part in train))
        missing = self.train.labels.isnan()
        self.labels = self.train.labels.nan_to_num()
        self.mask = (~missing).float() if missing.any() else None
        self.generator = torch.Generator().manual_seed(seed)
        self.personal = None  # another Client with the same rows: what this one uses at home
        self._make_optimizers(lazy)

    def _make_optimizers(self, lazy):
        """Fused Adam; with `lazy`, RowAdam for the embedding table: rows without a gradient stay."""
        step = self.settings.learning_rate
        table = [self.model.embedding.weight]
        rest = [p for p in self.model.parameters() if p is not table[0]]
        decay = self.settings.weight_decay
        groups = [{"params": rest, "weight_decay": decay}]
        if not lazy:
            groups.append({"params": table, "weight_decay": 0.0})
        self.optimizers = [torch.optim.AdamW(groups, lr=step, fused=True)]
        if lazy:
            self.optimizers.append(RowAdam(table, lr=step))

    def keep_a_model(self):
        """Give this client a second model for its own use, with an optimizer and an order of its own."""
        self.personal = copy.copy(self)
        self.personal.model = copy.deepcopy(self.model)
        self.personal.generator = torch.Generator().manual_seed(self.generator.initial_seed() + 1)
        self.personal._make_optimizers(self.model.embedding.sparse)

    def use_at_home(self, kind, epochs, pull):
        """After a download: train the second model, as METHODS' `personal` says."""
        twin, shared = self.personal, self.model.state_dict()
        if kind == "finetune":
            twin.model.load_state_dict(shared)
            twin.forget_optimizer()
            twin.fit(epochs)
        else:
            own = dict(twin.model.named_parameters())
            twin.fit(epochs, [(own[name], shared[name]) for name in own], pull=pull)
        if not twin.is_finite():
            twin.model.load_state_dict(shared)
            twin.forget_optimizer()

    def forget_optimizer(self):
        for optimizer in self.optimizers:
            optimizer.state.clear()

    def autocast(self):
        bf16 = self.settings.precision == "bf16"
        return torch.autocast(self.settings.device, dtype=torch.bfloat16, enabled=bf16)

    def losses(self, index):
        """Binary cross-entropy of the rows in `index` [B], averaged over the labels that are there → [T]."""
        ids = self.train.categorical[index]
        rate = self.settings.unknown_rate
        if rate and self.model.training:
            hide = torch.rand(ids.shape, generator=self.generator).to(ids.device) < rate
            ids = torch.where(hide, self.unknown, ids)
        logits = self.model(ids, self.train.numerical[index])
        labels = self.labels[index]
        loss = F.binary_cross_entropy_with_logits(logits.float(), labels, reduction="none")
        if self.mask is None:
            return loss.mean(0)
        mask = self.mask[index]
        return (loss * mask).sum(0) / mask.sum(0).clamp(min=1)

    def batches(self):
        """Row numbers of one epoch's mini-batches, in a new order each time."""
        rows = len(self.train.labels)
        order = torch.randperm(rows, generator=self.generator).to(self.labels.device)
        batches = order.split(self.settings.batch_size)
        alone = self.settings.batch_norm and rows > 1 and len(batches[-1]) == 1
        return batches[:-1] if alone else batches  # BatchNorm cannot train on a single row

    def fit(self, epochs, anchor=None, proximal=0.0, pull=0.0):
        """Train for some epochs; returns the mean loss per task [T].

        anchor    list of (parameter, received value) for the two regularizers below
        proximal  λ: λ/2·‖parameter − value‖² is added to the loss
        pull      λ of the same term, taken by its proximal step after each step of the optimizer:
                  parameter ← (parameter + ηλ·value) / (1 + ηλ), which is exact for any λ, infinity included
        """
        self.model.train()
        step = self.settings.learning_rate * pull
        share = 1.0 if math.isinf(step) else step / (1 + step)
        total, steps = 0.0, 0
        for _ in range(epochs):
            for index in self.batches():
                for optimizer in self.optimizers:
                    optimizer.zero_grad()
                with self.autocast():
                    losses = self.losses(index)
                losses.sum().backward()
                if proximal:
                    for parameter, value in anchor:
                        parameter.grad.add_(parameter.detach() - value, alpha=proximal)
                for optimizer in self.optimizers:
                    optimizer.step()
                if share:
                    for parameter, value in anchor:
                        parameter.data.lerp_(value, share)
                total, steps = total + losses.detach(), steps + 1
        return total / max(steps, 1)

    def gradient(self, rows):
        """True gradient of the summed loss on the first `rows` training rows; sets .grad, changes nothing."""
        self.model.eval()
        self.model.zero_grad()
        index = torch.arange(min(rows, len(self.labels)), device=self.labels.device)
        self.losses(index).sum().backward()

    @torch.no_grad()
    def predict(self, rows):
        """Probabilities [R, T] float32 for Rows, in one pass."""
        self.model.eval()
        parts = []
        with self.autocast():
            for ids, numerical in zip(
                rows.categorical.split(CHUNK), rows.numerical.split(CHUNK), strict=True
            ):
                logits = self.model(ids.to(self.labels.device), numerical.to(self.labels.device))
                parts.append(logits.float().sigmoid().cpu())
        return torch.cat(parts) if parts else torch.zeros(0, self.labels.shape[1])

    def snapshot(self):
        """Everything that training may change, to go back to."""
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    def state(self):
        """For a checkpoint: plain tensors, lists and dicts."""
        twin = {} if self.personal is None else {"personal": self.personal.state()}
        return twin | {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "generator": self.generator.get_state(),
        }

    def load(self, state):
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.generator.set_state(state["generator"])
        if self.personal is not None:
            self.personal.load(state["personal"])

    def is_finite(self):
        """No NaN and no infinity in any parameter."""
        return all(bool(p.detach().sum().isfinite()) for p in self.model.parameters())

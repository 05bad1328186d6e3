"""The client: its rows, its model, its optimizer. Rows never leave this file."""

import copy
import math

import torch
import torch.nn.functional as F

from pfmsm_lite.row_adam import RowAdam
from pfmsm_lite.scenario import Rows

CHUNK = 16384  # rows in one forward pass of an evaluation


def _cross_entropy(logits, labels, mask):
    """Binary cross-entropy per task [T], averaged over the labels [B, T] that mask [B, T] says are there."""
    loss = F.binary_cross_entropy_with_logits(logits.float(), labels, reduction="none")
    if mask is None:
        return loss.mean(0)
    return (loss * mask).sum(0) / mask.sum(0).clamp(min=1)


class Client:
    """One scenario's side of the federation.

    name    of the scenario
    model   one of MODELS, whose embedding table holds only the rows that this client's ids name
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
        self.domain_last = False  # whether the last field is the scenario: all rows in one place
        self.outer_rows = None  # what the model's outer parameters learn on; None: the training rows
        self.outer = None  # their optimizer
        self.personal = None  # another Client with the same rows: what this one uses at home
        self._make_optimizers(lazy)
        if self.outer is not None and model.variant.rows == "valid":
            valid = list(zip(*(view["valid"][:3] for _, view in views), strict=True))
            self.outer_rows = Rows(*(torch.cat(column).to(device) for column in valid))

    def _make_optimizers(self, lazy):
        """Fused Adam; with `lazy`, RowAdam for the embedding table: rows without a gradient stay.

        A model with outer_parameters gets an Adam of its own for them, and the other one leaves them alone
        unless the model's variant says that they are trained together.
        """
        outer = self.model.outer_parameters() if hasattr(self.model, "outer_parameters") else []
        if outer:
            self.outer = torch.optim.Adam(outer, lr=self.model.outer_rate)
        apart = [] if not outer or self.model.variant.together else outer
        step = self.settings.learning_rate
        table = [self.model.embedding.weight]
        rest = [p for p in self.model.parameters() if all(p is not other for other in table + apart)]
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
        for optimizer in self._all_optimizers():
            optimizer.state.clear()

    def _all_optimizers(self):
        return self.optimizers if self.outer is None else [*self.optimizers, self.outer]

    def autocast(self):
        bf16 = self.settings.precision == "bf16"
        return torch.autocast(self.settings.device, dtype=torch.bfloat16, enabled=bf16)

    def losses(self, index):
        """Binary cross-entropy of the rows in `index` [B], averaged over the labels that are there → [T]."""
        ids = self.train.categorical[index]
        rate = self.settings.unknown_rate
        if rate and self.model.training:
            hide = torch.rand(ids.shape, generator=self.generator).to(ids.device) < rate
            if self.domain_last:
                hide[:, -1] = False  # every row knows its scenario, also on the day of the test
            ids = torch.where(hide, self.unknown, ids)
        logits = self.model(ids, self.train.numerical[index])
        mask = None if self.mask is None else self.mask[index]
        return _cross_entropy(logits, self.labels[index], mask)

    def outer_losses(self):
        """Cross-entropy per task [T] of a mini-batch of the rows that the outer parameters learn on."""
        rows = self.outer_rows
        count = len(self.labels if rows is None else rows.labels)
        index = torch.randperm(count, generator=self.generator)[: self.settings.batch_size]
        index = index.to(self.labels.device)
        if rows is None:
            return self.losses(index)
        labels = rows.labels[index]
        logits = self.model(rows.categorical[index], rows.numerical[index])
        return _cross_entropy(logits, labels.nan_to_num(), (~labels.isnan()).float())

    def outer_step(self):
        """One first-order step of the outer parameters, the others as they are: bi-level optimization."""
        self.outer.zero_grad()
        with self.autocast():
            losses = self.outer_losses()
        losses.sum().backward()
        self.outer.step()

    def batches(self):
        """Row numbers of one epoch's mini-batches, in a new order each time."""
        rows = len(self.train.labels)
        order = torch.randperm(rows, generator=self.generator).to(self.labels.device)
        batches = order.split(self.settings.batch_size)
        alone = self.settings.batch_norm and rows > 1 and len(batches[-1]) == 1
        return batches[:-1] if alone else batches  # BatchNorm cannot train on a single row

    def fit(self, epochs, anchor=None, proximal=0.0, pull=0.0):
        """Train for some epochs, each followed by a step of the model's outer parameters, if it has any.

        returns   the mean training loss per task [T]
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
            if self.outer is not None:
                self.outer_step()
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
            "optimizers": [optimizer.state_dict() for optimizer in self._all_optimizers()],
            "generator": self.generator.get_state(),
        }

    def load(self, state):
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self._all_optimizers(), state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.generator.set_state(state["generator"])
        if self.personal is not None:
            self.personal.load(state["personal"])

    def stored_bytes(self):
        """Bytes of the parameters that this client keeps; a second model counts."""
        own = sum(4 * p.numel() for p in self.model.parameters())
        return own + (self.personal.stored_bytes() if self.personal else 0)

    def is_finite(self):
        """No NaN and no infinity in any parameter."""
        return all(bool(p.detach().sum().isfinite()) for p in self.model.parameters())

"""A second model at home: what a client uses itself, beside the one that travels."""

import torch

from pfmsm_lite.client import cross_entropy
from pfmsm_lite.registry import register

SHARES = [k / 10 for k in range(11)]  # of the model at home, that `blend` tries


class Blend(torch.nn.Module):
    """Two models of one client at work together: logits [R, T] = share · own + (1 − share) · federated."""

    def __init__(self, federated, own, share: float = 0.0):
        super().__init__()
        self.federated, self.own = federated, own
        self.share: torch.Tensor
        self.register_buffer("share", torch.tensor(share))

    def forward(self, *features):
        return torch.lerp(self.federated(*features), self.own(*features), self.share)


@register("personal", "none")
def nothing(client, epochs: int, pull: float) -> None:
    """a client is evaluated with what the server sent

    Ours: the control
    Fidelity: own
    """


@register("personal", "blend")
def blend(client, epochs: int, pull: float) -> None:
    """with it and a model trained at home alone, their logits mixed by log loss on its own validation rows

    Tasks whose validation rows have only one class have no say; where no task has one, what the server sent
    is used as it is.

    Ours: an ensemble of a local and a federated model, its weight found at home
    Fidelity: own
    """
    client.personal.fit(epochs)
    rows = client.views[0][1]["valid"]
    sent, own = (client.logits(rows, model) for model in (client.model, client.personal.model))
    there = ~rows.labels.isnan()
    labels = rows.labels.nan_to_num()
    both = (labels.sum(0) > 0) & (labels.sum(0) < there.sum(0))
    losses = [cross_entropy(torch.lerp(sent, own, share), labels, there * both).sum() for share in SHARES]
    client.used = Blend(client.model, client.personal.model, SHARES[int(torch.stack(losses).argmin())])

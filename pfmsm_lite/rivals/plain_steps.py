"""Plain gradient steps at the clients: a row of the table `optimizer_state`, to be compared with Adam's."""

import torch

from pfmsm_lite.client import Client, eager
from pfmsm_lite.registry import register


@register(
    "optimizer_state", "sgd", text="no moments at all: plain SGD instead of Adam, learning rates 0.1 to 1"
)
def plain_steps(client: Client) -> None:
    """Every step is the learning rate times the gradient of one mini-batch, embedding entries too.

    The steps of a round then add up to the sum of its gradients: the difference that a server sees is
    −(learning rate) · Σ gradients, each taken a little further along the way.

    Source: FedAvg (McMahan et al., AISTATS 2017)
    Paper: SGD at the clients
    Ours: so, without momentum; Adam's learning rates are far too small for it
    Fidelity: same
    """
    for one in (client, client.personal):
        if one is None or all(isinstance(optimizer, torch.optim.SGD) for optimizer in one.steps):
            continue
        plain = {id(optimizer): _as_sgd(optimizer, one.settings.learning_rate) for optimizer in one.steps}
        one.optimizers = [plain.get(id(optimizer), optimizer) for optimizer in one.optimizers]
        one.steps = [plain[id(optimizer)] for optimizer in one.steps]


def _as_sgd(optimizer: torch.optim.Optimizer, step: float) -> torch.optim.Optimizer:
    """SGD on another optimizer's groups of parameters; for SGD, decoupled decay and L2 are the same."""
    groups = [
        {"params": group["params"], "weight_decay": group.get("weight_decay", 0.0)}
        for group in optimizer.param_groups
    ]
    return eager(torch.optim.SGD)(groups, lr=step)

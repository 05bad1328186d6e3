"""A model's inputs as the columns need them: bags, and columns that not every scenario has.

A client without a column cannot teach the weights that read it: of a number they stay as they are, of a
category they learn a constant. Shared, they would take part in the mean of those that did learn. So weights
that read such a column stay at home, with every client.

Ours: the first layer of experts and gates is cut by columns
Fidelity: own
"""

import torch
from torch import Tensor, nn

from pfmsm_lite.data.bags import read_bags
from pfmsm_lite.mmoe import Experts, Gates, MMoE
from pfmsm_lite.registry import register
from pfmsm_lite.scenario import Scenario
from pfmsm_lite.template import compose


def _cut(owner: nn.Module, whole: Tensor, apart: Tensor) -> nn.Parameter:
    """Move the columns of [..., I] that stay at home to owner.apart; returns the others."""
    owner.register_buffer("order", torch.cat([(~apart).nonzero(), apart.nonzero()])[:, 0].argsort(),
                          persistent=False)  # fmt: skip
    owner.apart = nn.Parameter(whole.detach()[..., apart])
    return nn.Parameter(whole.detach()[..., ~apart])


class OwnExperts(Experts):
    """Experts whose first layer is in two parts: `scenario[0]` [E, O, I − A] and `apart` [E, O, A]."""

    PARTS = Experts.PARTS | {"apart": "expert.apart"}
    order: Tensor

    def weights(self, layer: int) -> Tensor:
        """A layer's composed weights, as in Experts; of the first layer both, in the order of inputs."""
        scenario = self.scenario[layer]
        if layer == 0:
            scenario = torch.cat([scenario, self.apart], -1)[..., self.order]
        local, task = (part[layer] if len(part) else None for part in (self.local, self.task))
        return compose(self.template, scenario, local, task)


class OwnGates(Gates):
    """Gates whose weights are in two parts: `shared` [T, E, I − A] and `apart` [T, E, A]."""

    PARTS = {"shared": "gate", "apart": "gate.apart", "bias": "gate"}
    order: Tensor

    @property
    def weight(self) -> Tensor:
        """[T, E, I], in the order of inputs."""
        return torch.cat([self.shared, self.apart], -1)[..., self.order]


@register("fields", "inputs", text="bags of entries, and columns whose weights stay at home")
def fit_inputs(model: MMoE, scenario: Scenario) -> MMoE:
    """The same model, from now on for the scenario's bags and for its columns `apart`; the same start."""
    if scenario.bags:
        read_bags(model.embedding, scenario)
    if scenario.apart:
        width = model.embedding.weight.shape[1]
        inputs = [name for name in scenario.fields for _ in range(width)] + list(scenario.numericals)
        apart = torch.tensor([name in scenario.apart for name in inputs])
        experts, gates = model.experts, model.gates
        experts.scenario[0] = _cut(experts, experts.scenario[0], apart)
        experts.__class__ = OwnExperts
        gates.shared = _cut(gates, gates.weight, apart)
        del gates.weight
        gates.__class__ = OwnGates
    return model

"""Other readings of the template and of the normalization, which no source rules out."""

import torch
from torch import Tensor

from pfmsm_lite.normalization import towards
from pfmsm_lite.registry import register
from pfmsm_lite.template import Template, full


def vectors(outputs: int, inputs: int) -> tuple[int, ...]:
    """`local` and `task` hold one factor per output, then one per input."""
    return (outputs + inputs,)


def additive(scenario: Tensor, local: Tensor, task: Tensor) -> Tensor:
    """The sum of the three parts.

    Source: PF-MSMTrec, section 3.2
    Paper: an expert's weights are made of three parts; by which operator, no description says
    Ours: the sum, the parts at home start at zeros
    Fidelity: unknown
    """
    return scenario + local + task[:, None]


def rank1(scenario: Tensor, local: Tensor, task: Tensor) -> Tensor:
    """The scenario part, its inputs and outputs scaled.

    Source: PF-MSMTrec, section 3.2
    Paper: an expert's weights are made of three parts; by which operator, no description says
    Ours: a factor per input and per output; STAR (Sheng et al., CIKM 2021) has full matrices
    Fidelity: unknown
    """
    outputs = scenario.shape[1]
    scale = local * task  # [T, O + I]
    return torch.einsum("eoi,to,ti->teoi", scenario, scale[:, :outputs], scale[:, outputs:])


register("compose", "additive", Template(0.0, full, additive), "sum of the three parts")
register("compose", "rank1", Template(1.0, vectors, rank1), "inputs and outputs scaled by vectors")


@register("normalize", "elementwise", text="normalize each entry over the clients")
def elementwise(stack: Tensor) -> tuple[Tensor, Tensor]:
    """Each entry over the clients, then the tensor's average deviation.

    Source: PF-MSMTrec, eq. 8
    Paper: the shared parameters are "normalized across all clients"
    Ours: statistics over the clients, entry by entry: of our candidates the nearest to these words
    Fidelity: unknown
    """
    # per entry, over the clients: [..., 1, P]
    mean, deviation = stack.mean(-2, keepdim=True), stack.std(-2, keepdim=True, correction=0)
    return towards(mean, deviation, deviation.mean(-1, keepdim=True), mean)

"""The parameter template: every expert weight is composed of a federated part and parts that stay at home."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from pfmsm_lite.errors import choose


def _hadamard(scenario, local, task):
    return torch.einsum("eoi,oi,toi->teoi", scenario, local, task)


def _additive(scenario, local, task):
    return scenario + local + task[:, None]


def _rank1(scenario, local, task):
    outputs = scenario.shape[1]  # local and task hold one factor per output, then one per input
    scale = local * task  # [T, O + I]
    return torch.einsum("eoi,to,ti->teoi", scenario, scale[:, :outputs], scale[:, outputs:])


class Template(NamedTuple):
    """How one `compose` works: the parts' start value, their shape for a weight [O, I], the operator."""

    start: float
    shape: Callable
    compose: Callable


TEMPLATES = {
    "hadamard": Template(1.0, lambda outputs, inputs: (outputs, inputs), _hadamard),
    "additive": Template(0.0, lambda outputs, inputs: (outputs, inputs), _additive),
    "rank1": Template(1.0, lambda outputs, inputs: (outputs + inputs,), _rank1),
    "none": Template(0.0, None, lambda scenario, local, task: scenario[None]),
}


def compose(kind, scenario, local=None, task=None):
    """Compose the experts' weights out of the template's three parts.

    kind      hadamard: product of the parts · additive: their sum · rank1: inputs and outputs scaled ·
              none: the scenario part alone
    scenario  [E, O, I]   one per expert; the part that the federation aggregates
    local     [O, I]      one per client, broadcast over experts ([O + I] for rank1)
    task      [T, O, I]   one per task, broadcast over experts ([T, O + I] for rank1)
    returns   [T, E, O, I], or [1, E, O, I] for `none`: all tasks use the same experts
    raises    UserError for an unknown kind

    PF-MSMTrec, section 3.2 (the three parts: the paper; how they are composed: reconstruction).
    """
    return TEMPLATES[choose("compose", kind, TEMPLATES)].compose(scenario, local, task)

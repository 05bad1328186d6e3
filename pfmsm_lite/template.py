"""The parameter template: every expert weight is composed of a federated part and parts that stay at home."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from pfmsm_lite.registry import is_finite, lookup, refuse, register


class Template(NamedTuple):
    """How one `compose` works: the parts' start value, their shape for a weight [O, I], the operator."""

    start: float
    shape: Callable | None
    compose: Callable

    def __call__(self, scenario: Tensor, local: Tensor | None, task: Tensor | None) -> Tensor:
        return self.compose(scenario, local, task)


def full(outputs: int, inputs: int) -> tuple[int, ...]:
    """`local` and `task` are as large as a weight."""
    return outputs, inputs


def hadamard(scenario: Tensor, local: Tensor, task: Tensor) -> Tensor:
    """The product of the three parts.

    Source: PF-MSMTrec, section 3.2
    Paper: an expert's weights are made of three parts; by which operator, no description says
    Ours: the entrywise product, the parts at home start at ones: a plain MMoE to begin with
    Fidelity: unknown
    """
    return scenario * local * task[:, None]  # two thirds of the time of an einsum


def alone(scenario: Tensor, local: None = None, task: None = None) -> Tensor:
    """The scenario part alone.

    Ours: the control: a plain MMoE
    Fidelity: own
    """
    return scenario[None]


register("compose", "hadamard", Template(1.0, full, hadamard), "product of the three parts")
register("compose", "none", Template(0.0, None, alone), "the scenario part alone: a plain MMoE")


def template(kind: str) -> Template:
    """The Template of a `compose`; a plain function (scenario, local, task) starts from ones of full size."""
    found = lookup("compose", kind)
    return found if isinstance(found, Template) else Template(1.0, full, found)


def compose(kind: str, scenario: Tensor, local: Tensor | None = None, task: Tensor | None = None) -> Tensor:
    """Compose the experts' weights out of the template's three parts.

    kind      hadamard: product of the parts · additive: their sum · rank1: inputs and outputs scaled ·
              none: the scenario part alone · or one that was registered
    scenario  [E, O, I]   one per expert; the part that the federation aggregates
    local     [O, I]      one per client, broadcast over experts ([O + I] for rank1)
    task      [T, O, I]   one per task, broadcast over experts ([T, O + I] for rank1)
    returns   [T, E, O, I], or [1, E, O, I] for `none`: all tasks use the same experts
    raises    UserError for an unknown kind

    Source: PF-MSMTrec, section 3.2
    Paper: "scenario-specific parameters as shared knowledge": W_scenario is aggregated across clients, W_loc
        and W_task stay at home. A summary's first paragraph calls one of the three "global shared"
    Ours: so by default; what travels is a method's `share`. Biases belong to the scenario part
    Fidelity: same
    """
    return lookup("compose", kind)(scenario, local, task)


def check(kind: str, composed: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse, by its name, a template whose weights have another shape [T, E, O, I], NaN or infinity."""
    if not is_finite(composed, shape):
        refuse("compose", kind, composed, f"finite weights [T, E, O, I] = {shape}")

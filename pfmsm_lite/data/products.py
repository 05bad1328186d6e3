"""A task that is the product of two: --ctcvr."""

import torch
from torch import Tensor

from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.registry import register


@register("fields", "ctcvr", text="the numbers of the tasks in PARENT,CHILD")
def numbers(tasks: tuple[str, ...], ctcvr: str) -> tuple[int, int]:
    """Numbers of the tasks in "parent,child". Raises UserError for unknown tasks."""
    names = [choose("task in --ctcvr", name.strip(), tasks) for name in ctcvr.split(",")]
    if len(names) != 2:
        raise UserError(f"--ctcvr is {ctcvr!r}, but it must name two tasks: PARENT,CHILD.")
    parent, child = (tasks.index(name) for name in names)
    return parent, child


@register("fields", "product", text="the child's logit, its probability being parent · child")
def parent_times_child(logits: Tensor, parent: int, child: int) -> Tensor:
    """Replace the child's logit by that of P = σ(x)·σ(y): 1/P − 1 = e⁻ˣ + e⁻ʸ + e⁻ˣ⁻ʸ, exact at any x, y."""
    x, y = logits[:, parent], logits[:, child]
    columns = list(logits.unbind(1))
    columns[child] = -torch.logsumexp(torch.stack([-x, -y, -x - y]), 0)
    return torch.stack(columns, 1)

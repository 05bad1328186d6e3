"""What a probe of true gradients says of the updates: --probe."""

from torch import Tensor

from pfmsm_lite.aggregation import cosines
from pfmsm_lite.registry import register


@register("fields", "probe", text="alignment and cosines of true gradients")
def compared(gradient: Tensor, delta: Tensor) -> dict[str, Tensor]:
    """How well updates stand for true gradients: both [E, N, P] → alignment [E, N], cosines [E, N, N]."""
    inner = -(gradient * delta).sum(-1)
    length = gradient.norm(dim=-1) * delta.norm(dim=-1)
    gram = gradient @ gradient.transpose(-2, -1)
    return {"probe_alignment": inner / length.clamp(min=1e-12), "probe_cosine": cosines(gram)}

"""The models: MMoE, the parameter template that splits its experts, and relatives for all scenarios."""

from functools import partial

from pfmsm_lite.models.m3oe import M3oE
from pfmsm_lite.models.mmoe import MMoE, parameter_groups
from pfmsm_lite.models.pooled import PLE, STAR, SharedBottom
from pfmsm_lite.models.template import TEMPLATES, compose

# the names of OPERATORS["model"]; all are called alike, but only MMoE knows a template
MODELS = {
    "mmoe": MMoE,
    "m3oe": M3oE,
    "m3oe_code": partial(M3oE, variant="code"),
    "shared_bottom": SharedBottom,
    "ple": PLE,
    "star": STAR,
}

__all__ = [
    "MODELS",
    "MMoE",
    "M3oE",
    "PLE",
    "STAR",
    "SharedBottom",
    "TEMPLATES",
    "compose",
    "parameter_groups",
]

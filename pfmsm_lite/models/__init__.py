"""The models: MMoE, and the parameter template that splits its experts."""

from pfmsm_lite.models.mmoe import MMoE, parameter_groups
from pfmsm_lite.models.template import TEMPLATES, compose

__all__ = ["MMoE", "TEMPLATES", "compose", "parameter_groups"]

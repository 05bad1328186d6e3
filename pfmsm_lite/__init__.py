"""PF-MSMTrec: personalized federated multi-scenario multi-task recommendation, an open implementation."""

__version__ = "0.2.0"

from pfmsm_lite.aggregation import aggregate
from pfmsm_lite.coordination import coordinate
from pfmsm_lite.federation import Federation
from pfmsm_lite.history import History
from pfmsm_lite.loop import run
from pfmsm_lite.methods import METHODS, Method, Settings, declare
from pfmsm_lite.mmoe import MMoE
from pfmsm_lite.normalization import normalize
from pfmsm_lite.registry import OPERATORS, register
from pfmsm_lite.scenario import Rows, Scenario
from pfmsm_lite.template import compose

__all__ = [
    "run", "Federation", "History", "METHODS", "Method", "Settings", "declare", "OPERATORS", "register",
    "MMoE", "Scenario", "Rows", "compose", "normalize", "coordinate", "aggregate",
]  # fmt: skip

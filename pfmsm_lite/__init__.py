"""PF-MSMTrec: personalized federated multi-scenario multi-task recommendation, an open implementation."""

__version__ = "0.2.0"

from pfmsm_lite.aggregation import aggregate
from pfmsm_lite.coordination import coordinate
from pfmsm_lite.history import History
from pfmsm_lite.loop import Federation, run
from pfmsm_lite.methods import METHODS, Method, Settings
from pfmsm_lite.mmoe import MMoE
from pfmsm_lite.normalization import normalize
from pfmsm_lite.scenario import Rows, Scenario
from pfmsm_lite.template import compose

__all__ = [
    "METHODS",
    "Federation",
    "History",
    "MMoE",
    "Method",
    "Rows",
    "Scenario",
    "Settings",
    "aggregate",
    "compose",
    "coordinate",
    "normalize",
    "run",
]

"""The federated loop and its stages: METHODS, run, normalize, coordinate, aggregate."""

from pfmsm_lite.federated.aggregate import aggregate
from pfmsm_lite.federated.coordinate import coordinate
from pfmsm_lite.federated.history import History
from pfmsm_lite.federated.loop import Federation, run
from pfmsm_lite.federated.normalize import normalize
from pfmsm_lite.methods import METHODS, Method, Settings

__all__ = [
    "METHODS",
    "Federation",
    "History",
    "Method",
    "Settings",
    "aggregate",
    "coordinate",
    "normalize",
    "run",
]

"""A reconstruction of PF-MSMTrec: personalized federated multi-scenario multi-task recommendation.

The files beside this one are the method, and nothing else. To read it, follow the chapters:

    scenario       01  the rows of one client
    mmoe           02  its model: experts, gates, towers
    template       03  an expert's weights: one part travels, two stay at home
    client         04  local training; what leaves is a message of named tensors
    embedding      04  one table: who holds which entry, how changes add up
    federation     04  clients and a server between two rounds
    loop           04  run: round after round
    normalization  05  the server's first stage (eq. 8)
    coordination   06  its second (eq. 13)
    aggregation    07  its third: who learns from whom
    server             the three stages in a row, on messages alone
    personal           a second model at home
    methods            PF-MSMTrec, its ablations and yardsticks: rows of a table
    registry           the open tables: built-in choices and your own
    history            what a run leaves behind
    errors             what a person did wrong, and what to do

Around it: data (rows), rivals (other methods), lab (experiments), engine (the same rounds out of one
process), course (the notebooks). They use the core;
the core knows none of them.
"""

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

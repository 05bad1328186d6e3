"""Rows on disk or out of a generator → one Scenario per client."""

from pfmsm_lite.data import calibration, inputs, memory, probe, products  # noqa: F401 - rows in the tables of operators
from pfmsm_lite.data.complete import complete, without
from pfmsm_lite.data.encoder import Encoder
from pfmsm_lite.data.fingerprint import digest
from pfmsm_lite.data.generator import synthetic
from pfmsm_lite.data.kuairand import read_kuairand
from pfmsm_lite.data.suited import suited
from pfmsm_lite.data.table import from_dataframe, read_table
from pfmsm_lite.data.truth import Truth, best_auc
from pfmsm_lite.scenario import SPLITS, Rows, Scenario

__all__ = [
    "SPLITS",
    "Encoder",
    "Rows",
    "Scenario",
    "Truth",
    "best_auc",
    "complete",
    "digest",
    "from_dataframe",
    "read_kuairand",
    "read_table",
    "suited",
    "synthetic",
    "without",
]

"""PF-MSMTrec, an open reference implementation: data, models, federated, analysis, plots."""

__version__ = "0.1.0"

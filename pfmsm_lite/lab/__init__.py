"""Experiments: many trainings side by side, their statistics, tables and figures; the command line."""

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables

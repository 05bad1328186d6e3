"""Experiments: many trainings side by side, their statistics, tables and figures; the command line."""

import pfmsm_lite.rivals
import pfmsm_lite.trust.dp
import pfmsm_lite.trust.told  # noqa: F401 their rows in the tables

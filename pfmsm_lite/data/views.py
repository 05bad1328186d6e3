"""What a run left behind, as tables and as arrays with named axes: each a function of a History.

They are reached as attributes of it: `history.results` is `results(history)`.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr

from pfmsm_lite.history import RESULTS, ROUNDS, History

AXES = {  # array → its axes
    "norm": ("round", "unit", "client"),
    "cosine_before": ("round", "unit", "client", "other"),
    "cosine_after": ("round", "unit", "client", "other"),
    "weights": ("round", "unit", "client", "source"),
    "normalized": ("round", "unit", "client"),
    "probe_alignment": ("round", "expert", "client"),
    "probe_cosine": ("round", "expert", "client", "other"),
}


def results(history: History) -> pd.DataFrame:
    """One line per scenario, task and split (valid, test), of the round that validation chose."""
    lines = [
        (history.method, history.seed, scenario, task, split, *rest)
        for split, scores in (history.best or {}).items()
        for scenario, task, *rest in scores
    ]
    return pd.DataFrame(lines, columns=RESULTS)


def rounds(history: History) -> pd.DataFrame:
    """One line per round, scenario and task; seconds: that client's training; bytes: its upload."""
    return pd.DataFrame([(history.method, history.seed, *line) for line in history.lines], columns=ROUNDS)


def array(history: History) -> Callable[[str], xr.DataArray]:
    """name → a recorded array as an xarray.DataArray; see AXES for the names. KeyError for others."""

    def named(name: str) -> xr.DataArray:
        if name not in history.arrays:
            there = ", ".join(history.arrays) or "none"
            raise KeyError(f"{history.method} recorded no {name!r}; it has {there}")
        values = np.stack(history.arrays[name])
        experts = [unit for unit in history.units if unit.startswith("expert ")]
        names = {"round": range(1, len(values) + 1), "unit": history.units, "expert": experts}
        coordinates = {axis: list(names.get(axis, history.clients)) for axis in AXES[name]}
        return xr.DataArray(values, dims=AXES[name], coords=coordinates, name=name)

    return named


def weights(history: History) -> xr.DataArray:
    """[round, unit, client, source]: how much each client's mixture takes from each source."""
    return array(history)("weights")


def cosines(history: History) -> xr.DataArray:
    """[stage, round, unit, client, other]: cosines between updates, before and after coordination."""
    both = [array(history)("cosine_before"), array(history)("cosine_after")]
    return xr.concat(both, xr.Variable("stage", ["before", "after"])).rename("cosine")


def norms(history: History) -> xr.DataArray:
    """[round, unit, client]: length of each client's update."""
    return array(history)("norm")


def refused(history: History) -> list[tuple[int, str]]:
    """[(round, client)]: uploads that were NaN or infinite and were left out."""
    return list(dict.fromkeys((line[0], line[1]) for line in history.lines if line[7]))

"""Reported beside AUC: log loss, normalized entropy, calibration error, and the constant base rate."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

CELL = ["method", "seed", "scenario", "task", "split"]
METRICS = (*CELL, "rows", "positives", "auc", "logloss", "normalized_entropy", "calibration_error")
BINS = 10
FEW = 20  # positives or negatives, below which the AUC of a cell is mostly chance


def few(positives: Any, rows: Any) -> Any:
    """Whether a cell has fewer than FEW positives or negatives; of numbers, arrays or columns."""
    return np.minimum(positives, rows - positives) < FEW


def entropy(rate: np.ndarray | pd.Series) -> np.ndarray:
    """Entropy of a 0/1 label with this rate, in nats: the log loss of whoever knows only the rate."""
    rate = np.asarray(rate, float)
    return cross_entropy(rate, rate)


def cross_entropy(rate: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Log loss of the constant `said` on rows of which the share `rate` is positive."""
    said = np.clip(said, 1e-7, 1 - 1e-7)
    return -(rate * np.log(said) + (1 - rate) * np.log1p(-said))


def normalized_entropy(results: pd.DataFrame) -> pd.Series:
    """Log loss ÷ entropy of the base rate of the rows scored: below 1 knows more than the rate.

    results  rows, positives, logloss of results.csv;  returns  a Series; NaN where there is only one class

    He et al., Practical Lessons from Predicting Clicks on Ads at Facebook, 2014.
    """
    rate = results["positives"] / results["rows"].where(results["rows"] > 0)
    one_class = (results["positives"] == 0) | (results["positives"] == results["rows"])
    return (results["logloss"] / entropy(rate)).mask(one_class)


def calibration_error(predictions: pd.DataFrame, bins: int = BINS) -> pd.Series:
    """Expected calibration error of every cell: how far the rate of a bin is from its probabilities.

    predictions  columns of predictions.csv; lines without a label do not count
    bins         of equal mass, by the quantiles of a cell's probabilities (as scikit-learn's
                 calibration_curve with strategy="quantile"); equal probabilities share a bin
    returns      Series by method, seed, scenario, task, split: Σ over bins of
                 |positives − sum of probabilities| ÷ rows; NaN for probabilities that are not finite

    With few rows in a bin most of the error is chance, even for a calibrated model.
    """
    there = predictions.dropna(subset=["label"])
    there = there[[*CELL, "label", "probability"]]
    cells = there.groupby(CELL, sort=False, observed=True)
    place = cells["probability"].rank("min") - 1  # of 0 … R − 1
    rows = cells["probability"].transform("size")
    number = np.ceil(bins * place / np.maximum(rows - 1, 1)) - 1
    there = there.assign(bin=number.clip(0, bins - 1), miss=there["label"] - there["probability"])
    miss = there.groupby([*CELL, "bin"], sort=False, observed=True)["miss"].sum(min_count=1).abs()
    found = miss.groupby(CELL, sort=False, observed=True).sum() / cells.size()
    finite = np.isfinite(there["probability"]).groupby([there[key] for key in CELL], observed=True).all()
    return found.where(finite.reindex(found.index)).rename("calibration_error")


def metrics(results: pd.DataFrame, calibration: pd.Series | None = None) -> pd.DataFrame:
    """metrics.csv: every line of results.csv with normalized entropy and calibration error (columns METRICS).

    calibration  as in `calibration_error`; None: no predictions are at hand and the column stays empty
    """
    table = results.assign(normalized_entropy=normalized_entropy(results), calibration_error=np.nan)
    if calibration is not None and len(calibration):
        keys = pd.MultiIndex.from_frame(table[CELL])
        table["calibration_error"] = calibration.reindex(keys).to_numpy(float)
    return table[list(METRICS)]


def base_rate(
    results: pd.DataFrame, rates: Mapping[str, Mapping[str, float]], split: str = "test"
) -> pd.DataFrame:
    """How the constant prediction of the training base rate scores: one line per scenario and task.

    rates    scenario → task → rate of the training labels; cells without one are left out
    returns  DataFrame: scenario, task, rows, positives, auc (0.5), logloss, normalized_entropy,
             calibration_error (its one bin: the distance of the rates)
    """
    own = results[(results["split"] == split) & (results["rows"] > 0)].drop_duplicates(["scenario", "task"])
    said = [rates.get(s, {}).get(t, np.nan) for s, t in zip(own["scenario"], own["task"], strict=True)]
    own = own.assign(said=np.asarray(said, float)).dropna(subset=["said"])
    rate = (own["positives"] / own["rows"]).to_numpy()
    one_class = (rate == 0) | (rate == 1)
    table = own[["scenario", "task", "rows", "positives"]].assign(
        auc=np.where(one_class, np.nan, 0.5),
        logloss=cross_entropy(rate, own["said"].to_numpy()),
        calibration_error=np.abs(rate - own["said"].to_numpy()),
    )
    return table.assign(normalized_entropy=normalized_entropy(table))

"""The end of a run: what its predictions add to its results, the verdict and its tables, written and told."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pfmsm_lite.history import History
from pfmsm_lite.lab.gains import GAINS, REFERENCE, SOURCES
from pfmsm_lite.lab.metrics import CELL, calibration_error, metrics
from pfmsm_lite.lab.statistics import aligned, decimals, results_of
from pfmsm_lite.lab.verdict import Judgement, hero_of, judge, named
from pfmsm_lite.lab.writing import as_it_was, csv_text, printable, replace_text
from pfmsm_lite.methods import METHODS

LEAK = 0.97  # test AUC above which a run has probably seen the outcome
LINES = 30  # scenarios up to which the printed table has them all
CHUNK = 500_000  # lines of predictions.csv that are read at a time
TEXTS = ("scenario", "method", "split", "task")


class Ending(NamedTuple):
    """judgement: the verdict with its tables; calibration: as in `metrics.calibration_error`, or None."""

    judgement: Judgement
    calibration: pd.Series | None


def ended(
    out: Path, histories: Sequence[History], sizes: Mapping[str, int] | None = None, groups: Any = None
) -> Ending:
    """Judge a run that has ended, with its predictions.csv where there is one; writes the tables.

    writes  verdict.txt (its sentences, one per line), verdict.csv, sources.csv, metrics.csv in `out`
    """
    results, path = results_of(histories), out / "predictions.csv"
    calibration, predictions = with_predictions(path, hero_of(results)) if path.exists() else (None, None)
    judgement = judge(histories, sizes, predictions, groups)
    judgement = judgement._replace(
        table=judgement.table.reindex(columns=list(GAINS)),
        sources=judgement.sources.reindex(columns=list(SOURCES)),
    )
    tables = {
        "verdict": judgement.table, "sources": judgement.sources, "metrics": metrics(results, calibration),
    }  # fmt: skip
    for name, table in tables.items():
        replace_text(out / f"{name}.csv", csv_text(table))
    replace_text(out / "verdict.txt", "".join(f"{printable(sentence)}\n" for sentence in judgement.sentences))
    return Ending(judgement, calibration)


# ---- predictions ----


def read_blocks(path: Path) -> Iterator[pd.DataFrame]:
    """The lines of a predictions.csv by method and seed, one after the other, as they are written."""
    kinds = dict.fromkeys(TEXTS, str)  # as categories, 01 and 1 would become one number
    options = {"usecols": [*CELL, "label", "probability"], "dtype": {**kinds, "seed": "int64"}}
    missing = {"keep_default_na": False, "na_values": {"label": [""], "probability": ["", "nan"]}}
    waiting: list[pd.DataFrame] = []
    with pd.read_csv(path, chunksize=CHUNK, **options, **missing) as chunks:
        for chunk in chunks:
            for name in TEXTS:
                codes, texts = pd.factorize(chunk[name])
                chunk[name] = np.array([as_it_was(text) for text in texts], object)[codes]
            new = (chunk[["method", "seed"]] != chunk[["method", "seed"]].shift()).any(axis=1)
            for _, part in chunk.groupby(new.cumsum(), sort=False):
                if waiting and _job(waiting[-1]) != _job(part):
                    yield pd.concat(waiting, ignore_index=True)
                    waiting = []
                waiting.append(part)
    if waiting:
        yield pd.concat(waiting, ignore_index=True)


def _job(part):
    return part["method"].iloc[0], part["seed"].iloc[0]


def with_predictions(path: Path, hero: str) -> tuple[pd.Series | None, pd.DataFrame | None]:
    """(calibration error of every cell; the test lines of `hero` and `local`, for the bootstrap).

    Only one method and seed is in memory at a time, besides what is returned; (None, None) for an empty file.
    """
    errors, kept = [], []
    for block in read_blocks(path):
        errors.append(calibration_error(block))
        if block["method"].iloc[0] in (hero, REFERENCE):
            kept.append(block[block["split"] == "test"].astype({name: "category" for name in TEXTS}))
    if not errors:
        return None, None
    own = pd.concat(kept, ignore_index=True) if kept else None
    return pd.concat(errors), own


# ---- told ----


def tell(
    ending: Ending, results: pd.DataFrame, notes: Mapping[str, Any], show: Callable[[str], None]
) -> None:
    """Print the gain of every scenario, the verdict, and once more where a leak is suspected.

    notes  of the scenarios: their warnings name the columns to look at
    """
    judgement = ending.judgement
    if len(judgement.table):
        show(f"\nGain of {judgement.hero} over {REFERENCE} by scenario, points of AUC on test rows:")
        show(gain_text(judgement.table))
    show("\nShould these scenarios federate, and for whom does it pay?")
    for sentence in judgement.sentences:
        show(f"- {sentence}")
    for line in suspected(results, notes.get("warnings") or ()):
        show(line)


def corrected_said(results: pd.DataFrame, how: str) -> list[str]:
    """How probabilities were corrected (Settings.calibrate), and where they could not be."""
    if how == "none":
        return []
    pairs = _one_class(results)
    said = f"Probabilities are corrected on validation rows (--calibrate {how}); AUC is as without it."
    if pairs:
        said += f" Not those of {named(pairs)}: these validation rows do not hold both classes."
    return [said]


def blended_said(results: pd.DataFrame) -> list[str]:
    """Where a method's two models could not be weighed against each other, and what happens instead."""
    pairs = _one_class(results)
    methods = [m for m in dict.fromkeys(results["method"]) if m in METHODS and METHODS[m].personal == "blend"]
    if not pairs or not methods:
        return []
    return [
        f"{named(pairs)}: the validation rows do not hold both classes, so they say nothing of how much of "
        f"its own model a scenario uses with {named(methods)}. Its other tasks decide; where it has none, "
        "what the server sent is used as it is."
    ]


def _one_class(results):
    """Names of the scenarios and tasks whose validation rows do not hold both classes."""
    cells = results[results["split"] == "valid"].drop_duplicates(["scenario", "task"])
    left = cells[(cells["positives"] == 0) | (cells["positives"] == cells["rows"])]
    return [f"{scenario} ({task})" for scenario, task in left[["scenario", "task"]].to_numpy()]


def gain_text(table: pd.DataFrame, most: int = LINES, ends: int = 10) -> str:
    """verdict.csv as text, most gain first; of more than `most` scenarios the best and the worst `ends`.

    Scenarios without a gain come last and are counted with those that are left out.
    """
    known = table[table["gain"].notna()]
    whole = len(table) <= most
    parts = [table] if whole else [known.head(ends), known.tail(ends) if len(known) > ends else known[:0]]
    if not whole and len(known) < 2 * ends:
        parts = [known, known[:0]]
    heads = ["scenario", "train rows", "test rows", "positives", REFERENCE, "with", "gain [95 %]"]
    heads += ["verdict", "main sources"]
    lines = [heads, *(_gain_line(row) for part in parts for row in part.itertuples(index=False))]
    text = aligned(lines)[0]
    if not whole:
        shown = sum(map(len, parts))
        text.insert(1 + len(parts[0]), f"… {len(table) - shown:,} more scenarios, in verdict.csv")
    return "\n".join(text)


def _gain_line(row):
    interval = "" if np.isnan(row.low) else f" [{row.low:+z.2f}, {row.high:+z.2f}]"
    gain = "n/a" if np.isnan(row.gain) else f"{row.gain:+z.2f}{interval}"
    rows = "" if np.isnan(row.training_rows) else f"{row.training_rows:,.0f}"
    name = " ".join(str(row.scenario).split())
    return [
        name if len(name) <= 40 else f"{name[:39]}…", rows, f"{row.test_rows:,}", f"{row.test_positives:,}",
        decimals(row.auc_local), decimals(row.auc_hero), gain, row.verdict,
        " ".join(str(row.main_sources).split())[:60],
    ]  # fmt: skip


def suspected(results: pd.DataFrame, warnings: Sequence[str] = (), most: int = 5) -> list[str]:
    """Lines that name the cells with a test AUC above LEAK, the highest first, and what to look at."""
    test = results[(results["split"] == "test") & (results["auc"] > LEAK)]
    if not len(test):
        return []
    cells = test.groupby(["scenario", "task"], sort=False)["auc"].max().sort_values(ascending=False)
    where = named([f"{scenario} ({task}) {auc:.3f}" for (scenario, task), auc in cells.items()], most=most)
    methods = ", ".join(dict.fromkeys(test["method"]))
    lines = [
        f"\nSuspected leak: a test AUC above {LEAK} is seldom honest: {where}; by {methods}. "
        "Some column may be known only after the event."
    ]
    about = [text for text in warnings if "--ignore" in text or "leak" in text]
    return lines + ([f"  Look at: {text}" for text in about[:most]] or ["  Look at columns filled in later."])

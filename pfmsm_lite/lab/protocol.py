"""A comparison in words: what varies, how it was chosen, what the table says; and the table as text."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pfmsm_lite.data.kuairand import WINDOWS
from pfmsm_lite.lab.metrics import BINS, FEW
from pfmsm_lite.lab.resampling import LEVEL, RESAMPLES
from pfmsm_lite.lab.sources import GENERATED
from pfmsm_lite.lab.standing import CONSTANT, LOCAL, Scores
from pfmsm_lite.lab.statistics import aligned, decimals, has_network, points
from pfmsm_lite.lab.verdict import count, named, size_said

MANY = 6  # cells that are named
SPLIT = (60, 20, 20)  # of a table, unless asked otherwise: shares of train, valid and test
SURE = f"{100 * LEVEL:.0f} %"


def sentences(
    arguments: dict[str, Any], tables: dict[str, pd.DataFrame], scores: Scores, reference: str,
    extended: list[str], size: int,
) -> list[str]:  # fmt: skip
    """protocol.txt: one sentence a line.

    tables  name → table as it is written;  extended  as in `extension.said`;  size  bytes of the predictions
    """
    table = tables["compare"]
    return [
        *data_said(arguments),
        *chosen_said(arguments, extended),
        interval_said(scores, _shares(arguments)),
        *best_said(table),
        *harm_said(table),
        *probabilities_said(table),
        *few_said(tables["cells"]),
        *rounds_said(table, arguments["rounds"]),
        *equal_said(table, tables.get("equal_steps")),
        f"Kept in predictions/: every chosen setting's probabilities of the test rows, {size_said(size)}.",
    ]


def data_said(arguments: dict[str, Any]) -> list[str]:
    """What the seeds vary, and which days of KuaiRand."""
    windows = arguments.get("windows")
    if windows:
        days = [WINDOWS[name] for name in list(WINDOWS)[:windows]]
        tests = ", ".join(f"{_day(w['test_from'])} to {_day(w['until'])}" for w in days)
        return [
            f"Data: {count(windows, 'window')} in time, one after the other, test days {tests}; each is "
            "trained with all seeds, which vary starts and the order of rows. None of them has seen 05-08, "
            "which is --window last."
        ]
    generated = arguments["data"] in GENERATED
    if generated and arguments.get("data_seed") is None:
        return [
            "Data: each seed draws new ones; its number is also that of the starts and the order of rows."
        ]
    if arguments.get("new_splits"):
        return ["Data: each seed splits the table anew; its number is also that of the starts and the order."]
    which = (
        f"one draw, --data-seed {arguments.get('data_seed')}" if generated else "the same rows for all seeds"
    )
    return [f"Data: {which}; a seed varies the start of a training and the order of its rows."]


def _day(date):
    return f"{date // 100 % 100:02d}-{date % 100:02d}"


def chosen_said(arguments: dict[str, Any], extended: list[str]) -> list[str]:
    """How the settings were chosen."""
    if arguments.get("settings"):
        return ["Settings: taken over from an earlier comparison; nothing was searched."]
    where = " of the first window" if arguments.get("windows") else ""
    said = (
        f"Settings: {arguments['budget']} tried for each method, chosen by AUC on validation rows{where}, "
        f"{count(arguments['tuning_seeds'], 'seed')}; test rows played no part in it."
    )
    return [said, *(line.strip() for line in extended)]


def _shares(arguments):
    """Shares of train, valid and test where each seed splits a table anew, else None."""
    return (arguments.get("fractions") or SPLIT) if arguments.get("new_splits") else None


def interval_said(scores: Scores, split: Sequence[float] | None = None) -> str:
    """What the intervals cover; split: see `_shares`."""
    units = len(scores.averages)
    people = any(own.people is not None for own in scores.rows.values())
    rows = "persons in the test rows" if people else "test rows"
    resampled = (
        f"{rows}, resampled {RESAMPLES} times" if scores.draws else "no test rows: no predictions are kept"
    )
    if scores.varies == "world":
        what = f"{units} windows in time × {resampled}"
    elif split and units > 1:
        wider = math.sqrt(1 + units * split[2] / split[0])
        what = f"{units} random splits of the same rows. The splits share rows, so it is too narrow: with "
        what += f"shares of {', '.join(f'{share:g}' for share in split)} the correction of Nadeau and Bengio "
        what += f"(2003) widens it {wider:.1f} times"
    elif not scores.draws and units > 1 and len(scores.rows) > 1:
        what = f"{units} seeds with data of their own: other starts, training rows and test rows"
    elif units > 1:
        what = f"{units} seeds × {resampled}; the training rows are the same in all"
    else:
        what = f"{resampled}; one seed, so other starts may differ"
    return f"Intervals: {SURE}, over {what}."


def best_said(table: pd.DataFrame) -> list[str]:
    """Which methods cannot be told apart from the best."""
    own = list(table.loc[table["best_set"] == 1, "method"])
    others = int((table["best_set"] == 0).sum())
    if not own:
        return []
    if len(own) == 1 < len(own) + others:
        return [f"Best set: {own[0]} alone; each of the {others} others is clearly behind it ({SURE})."]
    return [
        f"Best set: {named(own, most=8)} ({len(own)} of {len(own) + others}) cannot be told apart from the "
        f"best. With {SURE} confidence this set contains the best method (multiple comparisons with the "
        "best); a method whose results vary widely is hard to rule out, so it stays in."
    ]


def harm_said(table: pd.DataFrame) -> list[str]:
    """Which methods put a client below LOCAL by more than a point."""
    if LOCAL not in set(table["method"]):
        return [f"Harm is measured against {LOCAL}, which was not in this comparison."]
    known = table.dropna(subset=["worst"])
    harmful = known[known["below_1"] > 0]
    if not len(harmful):
        return [f"No method puts a client more than 1 point below {LOCAL}."] if len(known) else []
    names = [f"{row.method} ({row.worst_client} {row.worst:+.1f})" for row in harmful.itertuples()]
    said = named(names, most=MANY)
    return [f"At least one client loses more than 1 point against {LOCAL} with {said}."]


def probabilities_said(table: pd.DataFrame) -> list[str]:
    """Which methods know less than the training base rate, by log loss."""
    own = table.set_index("method")["logloss"]
    if CONSTANT not in own or math.isnan(own[CONSTANT]):
        return []
    worse = list(own.index[own > own[CONSTANT]])
    head = "NE: log loss divided by that of the test rows' base rate. ECE: calibration error, "
    head += (
        f"{BINS} bins of equal mass. {CONSTANT}: the rate of the training labels of each scenario and task, "
    )
    head += f"log loss {own[CONSTANT]:.3f}"
    said = f"worse than that: {named(worse, most=8)}" if worse else "no method has a higher log loss"
    return [f"{head}; {said}."]


def few_said(cells: pd.DataFrame) -> list[str]:
    """Cells that are too small."""
    few = cells[cells["few"] == 1]
    if not len(few):
        return []
    names = named([f"{row.scenario} ({row.task})" for row in few.itertuples()], most=MANY)
    return [
        f"Fewer than {FEW} positives or negatives on test rows, so an AUC that says little, and yet "
        f"counts: {names}."
    ]


def rounds_said(table: pd.DataFrame, rounds: int) -> list[str]:
    """For which methods the best round was the first or the last in most trainings, and what helps."""
    found, table = [], table[table["method"].map(has_network)]
    for column, what, remedy in (
        ("last", "the last", f"more rounds may help them: --rounds {2 * rounds}"),
        ("first", "the first", "they may learn too fast: a smaller --learning-rate"),
    ):
        own = table[table[column] > 0.5]
        if len(own):
            names = [f"{row.method} ({100 * getattr(row, column):.0f} %)" for row in own.itertuples()]
            found.append(f"The best round was {what} in most trainings of {named(names, most=8)}; {remedy}.")
    return found


def equal_said(table: pd.DataFrame, equal: pd.DataFrame | None) -> list[str]:
    """What equal gradient steps change."""
    if equal is None:
        return []
    before, after = (t.set_index("method").drop(index=CONSTANT, errors="ignore") for t in (table, equal))
    own = [m for m in after.index if after["epochs"][m] > after["epochs"].min() and m in before.index]
    names = [f"{m} {100 * (after['auc'][m] - before['auc'][m]):+.2f}" for m in own]
    return [
        "equal_steps.csv: a method that goes through its rows more than once a round is run again for fewer "
        "rounds, in proportion, so that all take as many gradient steps. Its setting stays; the best of "
        f"these rounds by validation rows is reported. Change in AUC points: {named(names, most=8)}."
    ]


# ---- the table ----


def _number(value, form):
    return "" if pd.isna(value) else format(value, form)


def printed(table: pd.DataFrame, reference: str) -> str:
    """compare.csv as text: how the methods stand, then what they cost and which setting they have."""
    heads = ["method", "AUC", "by rows", f"points over {reference} [95 %]", "best set"]
    heads += [f"worst client over {LOCAL}", "below it", "by > 1", "log loss", "NE", "ECE"]
    lines = [heads]
    for row in table.itertuples():
        worst = "" if pd.isna(row.worst) else f"{row.worst_client} {row.worst:+.1f}"
        best = "" if pd.isna(row.best_set) else "yes" if row.best_set else "no"
        shares = [row.logloss, row.normalized_entropy, row.calibration_error]
        lines.append(
            [row.method, f"{row.auc:.4f}", f"{row.auc_by_rows:.4f}", points(row), best, worst,
             _number(row.below, ".0f"), _number(row.below_1, ".0f"), *map(decimals, shares)]
        )  # fmt: skip
    costs = [["method", "best round", "epochs per round", "kB up", "kB kept", "seconds", "tried", "setting"]]
    for row in table[table["method"] != CONSTANT].itertuples():
        numbers = [row.best_round, row.epochs, row.sent_kb, row.stored_kb, row.seconds, row.tried]
        forms = (".1f", ".0f", ",.1f", ",.1f", ".1f", ".0f")
        cells = [_number(value, form) for value, form in zip(numbers, forms, strict=True)]
        costs.append([row.method, *cells, str(row.setting)])
    return "\n".join([*aligned(lines)[0], "", *aligned(costs)[0]])

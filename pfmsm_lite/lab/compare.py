"""`compare`: as many settings for every method, chosen on validation rows, tested once on many seeds."""

import json
import time
from argparse import Namespace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from pfmsm_lite.errors import at_least_one
from pfmsm_lite.lab import options as given
from pfmsm_lite.lab import search
from pfmsm_lite.lab.directory import Arguments, Job, Opened, Show, carry_out, opened
from pfmsm_lite.lab.engine import Cell, finished, say_failed
from pfmsm_lite.lab.options import refuse_beside
from pfmsm_lite.lab.statistics import against, holm, paired, per_seed, points, results_of
from pfmsm_lite.lab.writing import csv_text, replace_text
from pfmsm_lite.methods import METHODS, Method

COLUMNS = (
    "method", "auc", "difference", "low", "high", "p", "p_holm", "seeds", "tried", "best_round",
    "sent_kb", "stored_kb", "seconds", "setting",
)  # fmt: skip
SEARCH_SIZE = {"budget": 12, "tuning_seeds": 1}  # unless asked otherwise


def add(commands: Any) -> None:
    """The command `compare` and its options."""
    fair = commands.add_parser(
        "compare",
        help="the same search for every method, then tested once on many seeds",
        description="Try the same number of settings for every method on validation rows (its own list and "
        "that of all methods, in methods.py), then run the chosen one on all seeds and test it once. Writes "
        "settings.csv, results.csv, compare.csv and forest.png.",
        formatter_class=given.Lines,
    )
    basic = given.basic_group(fair)
    for option, kind, default, name, text in (
        ("methods", given.names, None, "A,B", "default all, but for the ablations no_…"),
        ("seeds", int, 10, "N", "how many seeds: 0 … N-1 (10)"),
        ("budget", int, None, "B", "settings tried for each method, its declared one among them (12)"),
        ("tuning-seeds", int, None, "N", "seeds 0 … N-1 over which a setting's validation AUC is averaged "
         "(1); one may choose by luck"),
        ("patience", int, None, "P", "stop a training after P rounds that are no better (0: never)"),
        ("settings", str, None, "FILE", "settings.csv of an earlier comparison: search nothing, test what "
         "it chose for --methods (default all in FILE). Give data, --rounds and training as it did (a note "
         "says what differs); all of --seeds are trained"),
    ):  # fmt: skip
        basic.add_argument(f"--{option}", type=kind, default=default, metavar=name, help=text)
    given.training_options(basic, "what is finished is kept, what failed is done again")
    given.data_options(fair)

    def do(options: Namespace) -> int:
        return carry_out(Job("budget", ("threads", "processes"), checked, compare), fair, options)

    fair.do = do


def checked(arguments: Arguments) -> Arguments:
    """The command's arguments as the main job takes them; UserError for what is wrong.

    `settings`, a file, becomes its lines: a comparison that is resumed does not need the file any more.
    """
    size = {name: arguments[name] for name in SEARCH_SIZE if arguments[name] is not None}
    at_least_one(seeds=arguments["seeds"], **size)
    asked = None if arguments["methods"] == ["all"] else arguments["methods"]
    filled = {**arguments, "seeds": list(range(arguments["seeds"]))}
    if not arguments["settings"]:
        everything = [name for name in METHODS if not name.startswith("no_")]
        return {**filled, **SEARCH_SIZE, **size, "methods": asked or everything}
    refuse_beside("--settings takes over what was chosen before:", size)
    lines = search.read_settings(arguments["settings"], asked)
    there = {line["method"] for line in lines}
    methods = asked or [name for name in METHODS if name in there]
    settings = {"settings": lines, "chosen_with": search.chosen_with(arguments["settings"])}
    return {**filled, **settings, "methods": methods}


def compare(
    out: Path, arguments: Arguments, show: Show = print, screen: TextIO | None = None
) -> dict[Cell, str]:
    """Search, choose, test, and write the tables; returns the cells that failed: {Cell: reason}.

    out        directory, made by directory.made; what is finished in it is not done again
    arguments  of the command, in full: methods, seeds (a list), budget, tuning_seeds and those of `run`
    """
    begun = opened(out, arguments, show)
    started = time.monotonic()
    chosen_then = arguments.get("chosen_with", {})
    for other in search.differences(chosen_then, begun.work.digest, arguments["rounds"], begun.settings):
        show(f"NOTE: the settings were chosen with {other}.")
    if arguments.get("settings"):  # of an earlier comparison: nothing to search
        tries, tried, failed, lines = [], {}, {}, arguments["settings"]
    else:
        tries, tried, failed, lines = _searched(begun, show, screen)
    picked = {
        line["method"]: {line["number"]: json.loads(line["setting"])} for line in lines if line["chosen"]
    }
    tests = _cells(begun, picked, arguments["seeds"])
    more, seeds = len(set(tests) - set(tries)), _listed(arguments["seeds"])
    show(f"{len(tests)} tests of the chosen settings, seeds {seeds}: {more} trainings more")
    tested, failed_tests = finished(tests, begun.work, screen)
    show(f"{len(tried | tested)} of {len({*tries, *tests})} trainings are done, "
         f"{time.monotonic() - started:.0f} s\n")  # fmt: skip
    _write(out, begun.methods, lines, tested, show)
    failed |= failed_tests
    say_failed(failed, f"compare --resume {out}", show)
    return failed


def _searched(begun: Opened, show: Show, screen: TextIO | None) -> tuple[list[Cell], dict, dict, list[dict]]:
    """(cells of the search, {cell: what is kept}, {cell: why it failed}, lines of settings.csv)."""
    arguments = begun.work.arguments
    settings_of = {
        method.name: dict(enumerate(search.candidates(method, begun.settings, arguments["budget"])))
        for method in begun.methods
    }
    seeds = range(arguments.get("tuning_seeds", 1))
    tries = _cells(begun, settings_of, seeds)
    show(f"{len(tries)} trainings to choose settings on validation rows, seeds {_listed(seeds)}")
    tried, failed = finished(tries, begun.work, screen)
    return tries, tried, failed, search.lines(settings_of, search.best(begun.methods, tried), tried)


def _cells(begun, settings_of, seeds):
    """Cells of {method: {number: setting}}, each with those seeds."""
    return [
        search.cell(method, begun.settings, number, setting, seed)
        for seed in seeds
        for method in begun.methods
        for number, setting in settings_of.get(method.name, {}).items()
    ]


def _listed(seeds):
    return f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])


def table(tested: dict[Cell, dict], lines: list[dict], hero: str = "pf_msmtrec") -> tuple[pd.DataFrame, str]:
    """(DataFrame with COLUMNS, one line a method, sorted by AUC; the method that the others are measured by).

    tested   {Cell: what is kept} of the chosen settings on all seeds; lines: of settings.csv
    returns  auc, difference, low, high as in `statistics.against`; p of the paired t-test, p_holm corrected
             for the number of methods; sent_kb a client's upload in a round, stored_kb its parameters,
             seconds of training
    """
    rows = results_of(tested.values())
    averages = per_seed(rows)
    hero = hero if hero in averages else averages.mean().idxmax()
    found = against(rows, hero)
    found["seeds"] = averages.notna().sum()
    for method in found.index:
        found.loc[method, "p"] = np.nan if method == hero else paired(averages[hero], averages[method]).p
        own = [kept for cell, kept in tested.items() if cell.method.name == method]
        for key in ("best_round", "sent_kb", "stored_kb", "seconds"):
            found.loc[method, key] = np.mean([kept[key] for kept in own])
        listed = [line for line in lines if line["method"] == method]
        setting = next(json.loads(line["setting"]) for line in listed if line["chosen"])
        found.loc[method, "setting"] = " ".join(f"{k}={v}" for k, v in setting.items()) or "as declared"
        found.loc[method, "tried"] = len({line["number"] for line in listed})
    found["p_holm"] = holm(found["p"])
    return found.rename_axis("method").reset_index()[list(COLUMNS)].astype({"tried": int}), hero


def _write(out: Path, chosen: list[Method], lines: list[dict], tested: dict[Cell, dict], show: Show) -> None:
    from pfmsm_lite.lab.charts import forest

    replace_text(out / "settings.csv", csv_text(pd.DataFrame(lines)))
    if not tested:
        return
    order = {method.name: number for number, method in enumerate(chosen)}
    tested = dict(sorted(tested.items(), key=lambda item: (order[item[0].method.name], item[0].seed)))
    rows = results_of(tested.values())
    replace_text(out / "results.csv", csv_text(rows))
    found, hero = table(tested, lines)
    replace_text(out / "compare.csv", csv_text(found))
    show(printed(found, hero))
    if len(found) > 1:
        forest(rows, hero, out.name).savefig(out / "forest.png")
    files = sorted(path.name for path in out.iterdir() if path.suffix in (".csv", ".json", ".png"))
    show(f"\n{out}/: {', '.join(files)}")


FORMATS = {"auc": ".4f", "p_holm": ".2g", "sent_kb": ",.1f", "stored_kb": ",.1f", "seconds": ".1f"}


def printed(found: pd.DataFrame, hero: str) -> str:
    """The table as text."""
    shown = found.copy()
    shown["difference"] = [points(row) for row in found.itertuples()]
    for column, form in FORMATS.items():
        shown[column] = ["–" if value != value else format(value, form) for value in found[column]]
    columns = ["method", "auc", "difference", "p_holm", "sent_kb", "stored_kb", "seconds", "tried", "setting"]
    text = shown[columns].rename(columns={"difference": f"{hero} minus it, points [95 %]"})
    return text.to_string(index=False)

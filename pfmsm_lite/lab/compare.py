"""`compare`: as many settings for every method, chosen on validation rows, tested once on many seeds."""

import json
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import pandas as pd

from pfmsm_lite.data import digest
from pfmsm_lite.data.kuairand import WINDOWS
from pfmsm_lite.errors import UserError, at_least_one, choose
from pfmsm_lite.lab import extension, predictions, protocol, search, sources, standing, store
from pfmsm_lite.lab import options as given
from pfmsm_lite.lab.directory import Arguments, Job, Opened, Show, carry_out, opened
from pfmsm_lite.lab.engine import Cell, finished, say_failed, scores_file
from pfmsm_lite.lab.options import refuse_beside
from pfmsm_lite.lab.predictions import ScoredRows
from pfmsm_lite.lab.standing import LOCAL, STANDING, Scores, Training
from pfmsm_lite.lab.statistics import has_network, results_of
from pfmsm_lite.lab.tables import SPLIT_BY
from pfmsm_lite.lab.writing import csv_text, replace_text
from pfmsm_lite.methods import METHODS, Method, Settings
from pfmsm_lite.registry import lookup

COLUMNS = (
    *STANDING, "seeds", "tried", "epochs", "best_round", "first", "last", "sent_kb", "stored_kb", "seconds",
    "setting",
)  # fmt: skip
SEARCH_SIZE = {"budget": 12, "tuning_seeds": 1, "extensions": extension.MOST}  # unless asked otherwise
TIMED = [name for name in WINDOWS if name != "last"]  # the windows in time of a comparison


def add(commands: Any) -> None:
    """The command `compare` and its options."""
    fair = commands.add_parser(
        "compare",
        help="the same search for every method, then tested once on many seeds",
        description="Try the same number of settings for every method on validation rows (its own list and "
        "that of all methods, in methods.py), then run the chosen one on all seeds and test it once. Writes "
        "compare.csv (one line per method), pairs.csv, cells.csv, equal_steps.csv, results.csv, "
        "settings.csv, protocol.txt, forest.png, and the predictions of the test rows.",
        formatter_class=given.Lines,
    )
    add_options(fair)

    def do(options: Namespace) -> int:
        return carry_out(Job("budget", ("threads", "processes"), checked, compare), fair, options)

    fair.do = do


def add_options(command: Any) -> None:
    """The options of a comparison."""
    basic = given.basic_group(command)
    for option, kind, default, name, text in (
        ("methods", given.names, None, "A,B", "default all, but for the ablations no_…"),
        ("seeds", int, 10, "N", "how many seeds: 0 … N-1 (10)"),
        ("reference", str, None, "METHOD", f"differences are to this one (default {LOCAL}, else the first)"),
        ("budget", int, None, "B", "settings tried for each method, its declared one among them (12)"),
        ("tuning-seeds", int, None, "N", "seeds 0 … N-1 over which a setting's validation AUC is averaged "
         "(1); one may choose by luck"),
        ("extensions", int, None, "N", "a list whose end wins goes on by a step, for all methods that have "
         f"the field, at most this many times ({extension.MOST}; 0: never)"),
        ("windows", int, None, "N", "KuaiRand: the first N of three windows in time, each with all seeds"),
        ("learning-rate", float, None, "LR", "Adam's step as declared; the search tries multiples of it"),
        ("patience", int, None, "P", "stop a training after P rounds that are no better (0: never)"),
        ("settings", str, None, "FILE", "settings.csv of an earlier comparison: search nothing, test what "
         "it chose for --methods (default all in FILE). Give data, --rounds and training as it did (a note "
         "says what differs); all of --seeds are trained"),
    ):  # fmt: skip
        basic.add_argument(f"--{option}", type=kind, default=default, metavar=name, help=text)
    text = "a table: another random split with each seed, as generated data are new with each seed"
    basic.add_argument("--new-splits", action="store_true", default=None, help=text)
    given.training_options(basic, "what is finished is kept, what failed is done again")
    given.data_options(command)
    command.set_defaults(data_seed=None)  # new data with each seed


def checked(arguments: Arguments) -> Arguments:
    """The command's arguments as the main job takes them; UserError for what is wrong.

    `settings`, a file, becomes its lines: a comparison that is resumed does not need the file any more.
    """
    size = {name: arguments[name] for name in SEARCH_SIZE if arguments[name] is not None}
    at_least_one(seeds=arguments["seeds"], **{k: v for k, v in size.items() if k != "extensions"})
    if size.get("extensions", 0) < 0:
        raise UserError(f"--extensions is {size['extensions']}, but it must be 0 or more.")
    if arguments["windows"] is not None:
        _check_windows(arguments)
    if arguments.get("new_splits"):
        _check_splits(arguments)
    asked = None if arguments["methods"] == ["all"] else arguments["methods"]
    filled = {**arguments, "seeds": list(range(arguments["seeds"]))}
    if not fresh(arguments) and arguments["data_seed"] is None:
        filled["data_seed"] = 0  # as a reader of your own has it in `run`
    if not arguments["settings"]:
        everything = [name for name in METHODS if not name.startswith(("no_", "robust_"))]
        filled |= {**SEARCH_SIZE, **size, "methods": asked or everything}
    else:
        refuse_beside("--settings takes over what was chosen before:", size)
        lines = search.read_settings(arguments["settings"], asked)
        there = {line["method"] for line in lines}
        settings = {"settings": lines, "chosen_with": search.chosen_with(arguments["settings"])}
        filled |= {**settings, "methods": asked or [name for name in METHODS if name in there]}
    if arguments["reference"]:
        choose("--reference", arguments["reference"], filled["methods"])
    return filled


def _check_windows(arguments: Arguments) -> None:
    at_least_one(windows=arguments["windows"])
    if arguments["data"] != "kuairand":
        raise UserError("--windows cuts KuaiRand in time. Leave it out, or give --data kuairand.")
    if arguments["windows"] > len(TIMED):
        raise UserError(f"--windows is {arguments['windows']}, but there are {len(TIMED)} windows in time.")
    if arguments["window"]:
        refuse_beside("--windows says which windows in time:", ["window"])
    arguments["window"] = TIMED[0]  # the one that is described, and whose validation rows choose the settings


def _check_splits(arguments: Arguments) -> None:
    if sources.reader(arguments) is not sources.TABLE:
        raise UserError(f"--new-splits is for a table, and --data {arguments['data']} is none. Leave it out.")
    refuse_beside(
        "--new-splits draws a split with each seed:",
        [name for name in (*SPLIT_BY, "data_seed") if arguments.get(name) not in (None, "")],
    )


# ---- the cells ----


def worlds(arguments: Arguments) -> dict[str, dict[str, Any] | None]:
    """world → arguments that differ for its data, in order of time or seeds; {"": None}: one world alone."""
    if arguments.get("windows"):
        return {f"window {name}": {"window": name} for name in TIMED[: arguments["windows"]]}
    if fresh(arguments):
        return {f"data seed {seed}": {"data_seed": seed} for seed in arguments["seeds"]}
    return {"": None}


def fresh(arguments: Arguments) -> bool:
    """Whether each seed has data of its own: generated without a --data-seed, or split anew."""
    generated = arguments["data"] in sources.GENERATED and arguments.get("data_seed") is None
    return generated or bool(arguments.get("new_splits"))


def world_of(cell: Cell) -> str:
    """The world whose data a cell has."""
    return "".join(f"{name.replace('_', ' ')} {value}" for name, value in (cell.data or {}).items())


def _cells(begun, settings_of, seeds, every=False):
    """Cells of {method: {number: setting}}, each with those seeds, in the first window or in `every` one."""
    arguments, found = begun.work.arguments, []
    timed = [*worlds(arguments).values()] if arguments.get("windows") else [None]
    for data in timed if every else timed[:1]:
        for seed in seeds:
            own = {"data_seed": seed} if fresh(arguments) else data
            for method in begun.methods:
                for number, setting in settings_of.get(method.name, {}).items():
                    cell = search.cell(method, begun.settings, number, setting, seed)
                    file = f"{cell.file}-window-{data['window']}" if data else cell.file
                    found.append(replace(cell, file=file, data=own))
    return found


def epochs(method: Method, settings: Settings) -> int:
    """How often a client trains on each of its rows in a round, a second model included: its gradient steps
    are that many times the mini-batches of an epoch.

    A phase of the parts at home alone counts `head_epochs` times, a second model `home_epochs` times.
    """
    phases = lookup("phases", method.phases)({"body", "head"}, set(), {"head"})
    own = sum(method.head_epochs if phase == {"head"} else 1 for phase in phases)
    return settings.local_epochs * (own + (method.personal != "none") * method.home_epochs)


def equal_steps(tests: list[Cell], settings: Settings, rounds: int) -> dict[Cell, Cell]:
    """Test → the cell that replaces it where all methods take equally many gradient steps.

    It has fewer rounds where a method trains on a row more often than --local-epochs says. The same seed
    gives the same first rounds, so it reports the best of these on validation rows. A method without a
    network has no steps and stays as it is.
    """
    found = {}
    for cell in tests:
        often = epochs(cell.method, cell.settings)
        few = max(1, rounds * settings.local_epochs // often)
        if has_network(cell.method) and few < rounds:
            name = f"{cell.name}, equal steps"
            found[cell] = replace(cell, file=f"{cell.file}-steps", name=name, rounds=few)
    return found


# ---- the work ----


class Searched(NamedTuple):
    """tried: {cell: what is kept};  failed: {cell: why};  lines: of settings.csv;  said: what went on"""

    tried: dict[Cell, dict]
    failed: dict[Cell, str]
    lines: list[dict]
    said: list[str]


def compare(
    out: Path, arguments: Arguments, show: Show = print, screen: TextIO | None = None
) -> dict[Cell, str]:
    """Search, choose, test, and write the tables; returns the cells that failed: {Cell: reason}.

    out        directory, made by directory.made; what is finished in it is not done again
    arguments  of the command, in full: methods, seeds (a list), budget, tuning_seeds and those of `run`
    """
    begun = opened(out, arguments, show)
    started = time.monotonic()
    rows = _test_rows(begun)
    chosen_then = arguments.get("chosen_with", {})
    for other in search.differences(chosen_then, begun.work.digest, arguments["rounds"], begun.settings):
        show(f"NOTE: the settings were chosen with {other}.")
    if arguments.get("settings"):  # of an earlier comparison: nothing to search
        found = Searched({}, {}, arguments["settings"], [])
    else:
        found = _searched(begun, show, screen)
    picked = {
        line["method"]: {line["number"]: json.loads(line["setting"])}
        for line in found.lines
        if line["chosen"]
    }
    tests = _cells(begun, picked, arguments["seeds"], every=True)
    fewer = equal_steps(tests, begun.settings, arguments["rounds"])
    more = len({*tests, *fewer.values()} - set(found.tried))
    show(f"{len(tests)} tests of the chosen settings, {_listed(arguments)}: {more} trainings more"
         + f" ({len(fewer)} of them for equal gradient steps)" * bool(fewer))  # fmt: skip
    wanted = [*tests, *fewer.values()]
    tested, failed = finished(wanted, begun.work, screen, scored=True, needed=True)
    _drop_others(out, wanted)
    show(f"{len(found.tried | tested)} of {len({*found.tried, *found.failed, *wanted})} trainings are done, "
         f"{time.monotonic() - started:.0f} s\n")  # fmt: skip
    _write(begun, found, rows, tested, fewer, show)
    failed = found.failed | failed
    say_failed(failed, f"compare --resume {out}", show)
    return failed


def _listed(arguments: Arguments) -> str:
    said, windows = _seeds(arguments["seeds"]), arguments.get("windows")
    return f"{said} in each of {windows} windows" if windows else said


def _seeds(seeds):
    return f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"


def _searched(begun: Opened, show: Show, screen: TextIO | None) -> Searched:
    """Try the settings of all lists, and then what lies beyond an end that wins."""
    arguments, methods = begun.work.arguments, begun.methods
    settings_of = {
        method.name: dict(enumerate(search.candidates(method, begun.settings, arguments["budget"])))
        for method in methods
    }
    seeds, said = range(arguments.get("tuning_seeds", 1)), []
    lists = extension.lists_of(methods, begun.settings)
    for step in range(1 + arguments.get("extensions", 0)):
        tries = _cells(begun, settings_of, seeds)
        if step == 0:
            show(f"{len(tries)} trainings to choose settings on validation rows, {_seeds(seeds)}")
        tried, failed = finished(tries, begun.work, screen, scored=True, more=True)
        best = search.best(methods, tried)
        if step == arguments.get("extensions", 0):
            break
        found = extension.extended(methods, begun.settings, lists, settings_of, best, len(begun.sizes))
        if not found.won:
            break
        lines = extension.said(found.won, found.more)
        said += lines
        show("\n".join(lines))
        lists = found.lists
        for name, own in found.more.items():
            settings_of[name] |= dict(enumerate(own, len(settings_of[name])))
    return Searched(tried, failed, search.lines(settings_of, best, tried), said)


def _test_rows(begun: Opened) -> dict[str, ScoredRows]:
    """world → its test rows, written once; refused where they differ from before."""
    out, arguments, found = begun.work.out, begun.work.arguments, {}
    for world, data in worlds(arguments).items():
        path = out / predictions.FOLDER / f"rows{world and '-'}{world.replace(' ', '-')}.npz"
        if data is None and (out / store.ROWS).exists():
            rows = predictions.scored_rows(store.load(out / store.ROWS), begun.work.digest, begun.notes)
        elif data is not None or not path.exists():
            scenarios = sources.read({**arguments, **(data or {})})[0]
            rows = predictions.scored_rows(scenarios, digest(scenarios), scenarios[0].notes)
        else:
            rows = predictions.kept_rows(path)
        if not path.exists():
            predictions.keep_rows(path, rows)
        elif predictions.kept_rows(path).digest != rows.digest:
            raise UserError(f"The data of {world} is not what {out} was begun with. Give another --out.")
        found[world] = rows
    return found


def _drop_others(out: Path, wanted: list[Cell]) -> None:
    """No predictions are kept of settings that were not chosen."""
    kept = {scores_file(out, cell) for cell in wanted}
    for path in (out / predictions.FOLDER).glob("*.npy"):
        if path not in kept:
            path.unlink()


# ---- the tables ----


def trainings(out: Path, tested: dict[Cell, dict]) -> list[Training]:
    """What was measured, with the predictions that are kept."""
    return [
        Training(cell.method.name, cell.seed, world_of(cell), kept, predictions.kept(scores_file(out, cell)))
        for cell, kept in tested.items()
    ]


def table(
    tested: dict[Cell, dict], own: list[Training], scores: Scores, lines: list[dict], reference: str
) -> pd.DataFrame:
    """DataFrame with COLUMNS, one line per method, sorted by AUC; see `standing.standing` and `summary`."""
    found = standing.standing(scores, own, reference).set_index("method")
    found = found.join(standing.summary(own))
    for cell in tested:
        listed = [line for line in lines if line["method"] == cell.method.name]
        setting = next(json.loads(line["setting"]) for line in listed if line["chosen"])
        found.loc[cell.method.name, "setting"] = (
            " ".join(f"{k}={v}" for k, v in setting.items()) or "as declared"
        )
        found.loc[cell.method.name, "tried"] = len({line["number"] for line in listed})
        found.loc[cell.method.name, "epochs"] = epochs(cell.method, cell.settings)
    counts = dict.fromkeys(("best_set", "below", "below_1", "seeds", "tried", "epochs"), "Int64")
    return found.reset_index()[list(COLUMNS)].astype(counts)  # the line of the constant has gaps


def _write(begun: Opened, found: Searched, rows, tested, fewer, show: Show) -> None:
    from pfmsm_lite.lab.charts import standings

    out, arguments = begun.work.out, begun.work.arguments
    replace_text(out / "settings.csv", csv_text(pd.DataFrame(found.lines)))
    own, equal = _sorted(begun, tested, fewer)
    if not own:
        return
    measured = trainings(out, own)
    results = pd.concat([results_of([t.kept]).assign(window=t.world.rpartition(" ")[2]) for t in measured])
    results = results if arguments.get("windows") else results.drop(columns="window")
    replace_text(out / "results.csv", csv_text(results))
    scores = standing.measured(measured, rows, fresh(arguments))
    names = list(scores.averages)
    reference = arguments.get("reference") or (LOCAL if LOCAL in names else names[0])
    if reference not in names:  # all its trainings failed
        reference = names[0]
    tables = {"compare": table(own, measured, scores, found.lines, reference)}
    tables |= {"pairs": standing.pairs(scores), "cells": standing.cells(scores)}
    if fewer:
        measured = trainings(out, equal)
        again = standing.measured(measured, rows, fresh(arguments))
        tables["equal_steps"] = table(equal, measured, again, found.lines, reference)
    for name, content in tables.items():
        replace_text(out / f"{name}.csv", csv_text(content))
    size = sum(path.stat().st_size for path in (out / predictions.FOLDER).iterdir())
    text = protocol.sentences(arguments, tables, scores, reference, found.said, size)
    replace_text(out / "protocol.txt", "".join(f"{sentence}\n" for sentence in text))
    show(protocol.printed(tables["compare"], reference))
    show("\n" + "\n".join(f"- {sentence}" for sentence in text))
    if len(names) > 1:
        standings(tables["compare"], reference, out.name, scores.varies).savefig(out / "forest.png")
    files = sorted(path.name for path in out.iterdir() if path.suffix in (".csv", ".json", ".png", ".txt"))
    show(f"\n{out}/: {', '.join(files)}, {predictions.FOLDER}/")


def _sorted(begun, tested, fewer):
    """({test: what is kept}, the same with those of equal steps in their places), in order of the methods."""
    order = {method.name: number for number, method in enumerate(begun.methods)}
    tests = [cell for cell in tested if cell not in set(fewer.values())]
    tests.sort(key=lambda cell: (order[cell.method.name], world_of(cell), cell.seed))
    equal = {fewer.get(cell, cell): tested.get(fewer.get(cell, cell)) for cell in tests}
    return {cell: tested[cell] for cell in tests}, {cell: kept for cell, kept in equal.items() if kept}

"""A fair comparison: as many settings tried for every method, chosen on validation rows, tested once."""

import itertools
import json
import random
import sys
import time
import zlib
from collections import defaultdict
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pfmsm_lite.errors import UserError, at_least_one, choose, refuse_beside
from pfmsm_lite.lab.cells import finished, say_failed
from pfmsm_lite.lab.job import declared, opened, replace_text, train
from pfmsm_lite.lab.runs import compact
from pfmsm_lite.lab.statistics import points
from pfmsm_lite.methods import METHODS, SEARCH, SERVER_SEARCH, Method, Settings

COLUMNS = (
    "method", "auc", "difference", "low", "high", "p", "p_holm", "seeds", "tried", "best_round",
    "sent_kb", "stored_kb", "seconds", "setting",
)  # fmt: skip
LINES = ("method", "number", "seed", "valid_auc", "chosen", "setting")  # columns of settings.csv
TRIED = {*SEARCH, *SERVER_SEARCH, *(field for method in METHODS.values() for field in method.search)}
SEARCH_SIZE = {"budget": 12, "tuning_seeds": 1}  # unless asked otherwise


class Cell(NamedTuple):
    """One training of a method; `number` is that of its setting in the list of `candidates`."""

    method: str
    number: int
    seed: int

    @property
    def file(self):
        return f"{self.method}-{self.number}-{self.seed}"

    @property
    def title(self):
        """(name, seed) for the progress display."""
        return f"{self.method}, setting {self.number}", self.seed


def grid(method, settings):
    """field → values that a comparison tries for this method."""
    common = {} if method.model == "boosted_tree" else SEARCH | (SERVER_SEARCH if method.sent else {})
    lists = {**common, **method.search}
    if "learning_rate" in lists:  # multiples of the data's own, to one digit
        steps = (float(f"{settings.learning_rate * times:.1g}") for times in lists["learning_rate"])
        lists["learning_rate"] = tuple(steps)
    return lists


def candidates(method, settings, budget):
    """The settings that a method gets: its own as declared first, then others drawn from its grid.

    Those that differ from the declared one in a single field come first, those of the method's own list
    before those of the list for all, then those that differ in two fields, and so on; otherwise in an order
    drawn for the method. (A few settings drawn from the whole grid would all be far off.)

    returns  list of at most `budget` dicts field → value, {} first; fewer only where the grid is smaller
    """
    lists = grid(method, settings)
    whole = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    usual = {field: getattr(method, field, getattr(settings, field, None)) for field in lists}
    others = [
        {field: value for field, value in setting.items() if value != usual[field]}
        for setting in whole
        if setting != usual
    ]
    random.Random(zlib.crc32(method.name.encode())).shuffle(others)
    return [{}, *sorted(others, key=lambda s: (len(s), len(s.keys() - method.search.keys())))[: budget - 1]]


def with_setting(method, settings, setting):
    """(Method, Settings) with a setting put in."""
    own = {f.name for f in fields(Method)}
    return (
        replace(method, **{field: value for field, value in setting.items() if field in own}),
        replace(settings, **{field: value for field, value in setting.items() if field not in own}),
    )


def paired_p(first, second):
    """p-value of the paired t-test of [S] and [S]; NaN for less than two pairs, or where they are equal."""
    from scipy import stats

    if len(first) < 2 or np.allclose(first, second):
        return np.nan
    return float(stats.ttest_rel(first, second).pvalue)


def holm(p):
    """Holm's step-down correction of p-values [K]; NaN stay NaN and are not counted (Holm, 1979)."""
    p = np.asarray(p, float)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.maximum.accumulate(steps).clip(max=1.0)
    return adjusted


def train_cell(title, method, settings, seed, checkpoint):
    """In a worker: train one cell; returns what is kept of it, plain enough for JSON."""
    history = train(title, method, settings, seed, checkpoint)
    spent = compact(history.rounds)
    return {
        "valid_auc": history.best_auc,
        "best_round": history.best_round,
        "results": json.loads(history.results.to_json(orient="values")),
        "sent_kb": float(spent["bytes"].mean()) / 1000,
        "stored_kb": history.stored_bytes / 1000,
        "seconds": float(spent["seconds"].sum()),
        "stopped": history.stopped,
    }


def compare(out, arguments, show=print, screen=sys.stderr):
    """Search, choose, test, and write the tables; returns the cells that failed: {Cell: reason}.

    out        directory, made by job.prepare; what is finished in it is not done again
    arguments  of the command, in full: methods, seeds (a list), budget, tuning_seeds and those of `run`
    """
    data_digest = opened(out, arguments, show)[2]
    chosen, settings = declared(arguments)
    started = time.monotonic()

    def cells(settings_of, seeds):
        """{Cell: job} of {method: {number: setting}}, each with those seeds."""
        return {
            Cell(method.name, number, seed): (*with_setting(method, settings, setting), seed)
            for seed in seeds
            for method in chosen
            for number, setting in settings_of.get(method.name, {}).items()
        }

    chosen_then = arguments.get("chosen_with", {})
    for difference in differences(chosen_then, data_digest, arguments["rounds"], settings):
        show(f"NOTE: the settings were chosen with {difference}.")
    if arguments.get("settings"):  # of an earlier comparison: nothing to search
        tries, tried, failed, lines = {}, {}, {}, arguments["settings"]
    else:
        settings_of = {
            method.name: dict(enumerate(candidates(method, settings, arguments["budget"])))
            for method in chosen
        }
        tuning_seeds = range(arguments.get("tuning_seeds", 1))
        tries = cells(settings_of, tuning_seeds)
        show(f"{len(tries)} trainings to choose settings on validation rows, seeds {_listed(tuning_seeds)}")
        tried, failed = finished(train_cell, tries, out, arguments, data_digest, screen)
        lines = _lines(settings_of, _best(chosen, tried), tried)
    picked = {
        line["method"]: {line["number"]: json.loads(line["setting"])} for line in lines if line["chosen"]
    }
    tests = cells(picked, arguments["seeds"])
    more, seeds = len(tests.keys() - tries.keys()), _listed(arguments["seeds"])
    show(f"{len(tests)} tests of the chosen settings, seeds {seeds}: {more} trainings more")
    tested, failed_tests = finished(train_cell, tests, out, arguments, data_digest, screen)
    show(f"{len(tried | tested)} of {len(tries | tests)} trainings are done, "
         f"{time.monotonic() - started:.0f} s\n")  # fmt: skip
    _write(out, chosen, lines, tested, show)
    failed |= failed_tests
    say_failed(failed, f"compare --resume {out}", show)
    return failed


def _listed(seeds):
    return f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])


def _best(chosen, tried):
    """Method → number of the setting with the best validation AUC (mean over seeds); of equals the first.

    A setting of which a seed is missing, or has no AUC, comes after those that are complete.
    """
    best = {}
    for method in chosen:
        own = defaultdict(list)
        for cell, kept in sorted(tried.items()):
            if cell.method == method.name:
                own[cell.number] += [] if kept["valid_auc"] is None else [kept["valid_auc"]]
        if own:
            best[method.name] = max(own, key=lambda k: (len(own[k]), np.mean(own[k] or 0)))
    return best


def _lines(settings_of, best, tried):
    """What was tried, as the lines of settings.csv: list of dicts with LINES."""
    return [
        {
            "method": cell.method,
            "number": cell.number,
            "seed": cell.seed,
            "valid_auc": kept["valid_auc"],
            "chosen": int(best.get(cell.method) == cell.number),
            "setting": json.dumps(settings_of[cell.method][cell.number]),
        }
        for cell, kept in sorted(tried.items())
    ]


def table(tested, lines, hero="pf_msmtrec"):
    """(DataFrame with COLUMNS, one line a method, sorted by AUC; the method that the others are measured by).

    tested   {Cell: what is kept} of the chosen settings on all seeds; lines: of settings.csv
    returns  auc, difference, low, high as in `analysis.against`; p of the paired t-test, p_holm corrected for
             the number of methods; sent_kb a client's upload in a round, stored_kb its parameters, seconds of
             training
    """
    from pfmsm_lite.lab.statistics import against, per_seed

    rows = results(tested)
    averages = per_seed(rows)
    hero = hero if hero in averages else averages.mean().idxmax()
    found = against(rows, hero)
    found["seeds"] = averages.notna().sum()
    for method in found.index:
        pairs = averages[[hero, method]].dropna().to_numpy().T
        found.loc[method, "p"] = np.nan if method == hero else paired_p(*pairs)
        own = [kept for cell, kept in tested.items() if cell.method == method]
        for key in ("best_round", "sent_kb", "stored_kb", "seconds"):
            found.loc[method, key] = np.mean([kept[key] for kept in own])
        listed = [line for line in lines if line["method"] == method]
        setting = next(json.loads(line["setting"]) for line in listed if line["chosen"])
        found.loc[method, "setting"] = " ".join(f"{k}={v}" for k, v in setting.items()) or "as declared"
        found.loc[method, "tried"] = len({line["number"] for line in listed})
    found["p_holm"] = holm(found["p"])
    return found.rename_axis("method").reset_index()[list(COLUMNS)].astype({"tried": int}), hero


def results(tested):
    """The rows of results.csv of all tests: DataFrame."""
    import pandas as pd

    from pfmsm_lite.history import RESULTS

    lines = [line for kept in tested.values() for line in kept["results"]]
    return pd.DataFrame(lines, columns=RESULTS).astype({"auc": float, "logloss": float})


def _write(out, chosen, lines, tested, show):
    import pandas as pd

    from pfmsm_lite.course.drawings.chapter08 import forest

    replace_text(out / "settings.csv", pd.DataFrame(lines).to_csv(index=False, lineterminator="\n"))
    if not tested:
        return
    order = {method.name: number for number, method in enumerate(chosen)}
    tested = dict(sorted(tested.items(), key=lambda item: (order[item[0].method], item[0].seed)))
    rows = results(tested)
    replace_text(out / "results.csv", rows.to_csv(index=False, lineterminator="\n"))
    found, hero = table(tested, lines)
    replace_text(out / "compare.csv", found.to_csv(index=False, lineterminator="\n"))
    show(printed(found, hero))
    if len(found) > 1:
        forest(rows, hero, out.name).savefig(out / "forest.png")
    files = sorted(path.name for path in out.iterdir() if path.suffix in (".csv", ".json", ".png"))
    show(f"\n{out}/: {', '.join(files)}")


FORMATS = {"auc": ".4f", "p_holm": ".2g", "sent_kb": ",.1f", "stored_kb": ",.1f", "seconds": ".1f"}


def printed(found, hero):
    """The table as text."""
    shown = found.copy()
    shown["difference"] = [points(row) for row in found.itertuples()]
    for column, form in FORMATS.items():
        shown[column] = ["–" if value != value else format(value, form) for value in found[column]]
    columns = ["method", "auc", "difference", "p_holm", "sent_kb", "stored_kb", "seconds", "tried", "setting"]
    text = shown[columns].rename(columns={"difference": f"{hero} minus it, points [95 %]"})
    return text.to_string(index=False)


def read_settings(file, methods=None):
    """Lines of an earlier comparison's settings.csv, of those methods (default: all in the file).

    returns  list of dicts with LINES; of every method exactly one setting is chosen
    raises   UserError that names the file, the line or the method, and what to do
    """
    import pandas as pd

    path, remedy = f"--settings {file}", "Give the settings.csv that a comparison wrote."
    try:
        found = pd.read_csv(file, dtype=str, keep_default_na=False).fillna("")
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise UserError(f"{path} cannot be read ({error}). {remedy}") from error
    if lacking := [column for column in LINES if column not in found]:
        raise UserError(f"{path} has no column {', '.join(lacking)}. {remedy}")
    if found.empty:
        raise UserError(f"{path} has no lines. {remedy}")
    lines = [
        _line(f"{path}, line {number}", text)
        for number, text in enumerate(found[list(LINES)].to_dict("records"), 2)
    ]
    wanted = methods or list(dict.fromkeys(line["method"] for line in lines))
    for name in wanted:
        choose("method", name, METHODS)
        own = [line for line in lines if line["method"] == name]
        picked = {(line["number"], line["setting"]) for line in own if line["chosen"]}
        if len(picked) != 1:
            raise UserError(
                f"{path} has {len(picked)} chosen settings of {name}, but it takes one: "
                "search for it without --settings, or leave it out of --methods."
            )
    return [line for line in lines if line["method"] in wanted]


def _whole(text):
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


# columns of numbers in settings.csv → (text → value, what the text must be)
NUMBERS = {
    "number": (_whole, "a whole number"),
    "seed": (_whole, "a whole number"),
    "chosen": ({"0": 0, "1": 1}.__getitem__, "0 or 1"),
    "valid_auc": (lambda text: float(text or "nan"), "a number"),
}


def _line(place, text):
    """The values of a line of settings.csv, {column: text}; UserError where no comparison wrote it."""
    method = METHODS[choose(f"method in {place}:", text["method"], METHODS)]
    line = dict(text)
    for column, (convert, what) in NUMBERS.items():
        try:
            line[column] = convert(text[column])
        except (ValueError, KeyError) as error:
            raise UserError(f"{place}: {column} is {text[column]!r}, but it must be {what}.") from error
    try:
        setting = json.loads(text["setting"])
        for field in setting:
            choose("field", field, TRIED)
        with_setting(method, Settings(), setting)
    except (TypeError, ValueError, AttributeError) as error:  # UserErrors are ValueErrors
        raise UserError(
            f"{place}: the setting {text['setting']} of {method.name} is none that can be tried: {error}"
        ) from error
    return line


def chosen_with(file):
    """Under what the lines of a settings.csv were chosen, by the config.json beside it; {} without one.

    returns  data (its digest), rounds, and the fields of Settings; where that comparison had its settings
             from an earlier one, those of the earlier one
    """
    try:
        config = json.loads((Path(file).parent / "config.json").read_text(encoding="utf-8"))
        arguments = config["arguments"]
        own = {"data": config["data"]["digest"], "rounds": arguments["rounds"], **config["settings"]}
        return arguments.get("chosen_with") or own
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def differences(chosen, data_digest, rounds, settings):
    """What differs from `chosen` (as of `chosen_with`) in a comparison: a list of texts."""
    here = json.loads(json.dumps({"data": data_digest, "rounds": rounds, **asdict(settings)}))
    return [
        "other data" if name == "data" else f"{name.replace('_', ' ')} {value}; here it is {here[name]}"
        for name, value in chosen.items()
        if name in here and value != here[name]
    ]


def checked(arguments):
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
    lines = read_settings(arguments["settings"], asked)
    there = {line["method"] for line in lines}
    methods = asked or [name for name in METHODS if name in there]
    settings = {"settings": lines, "chosen_with": chosen_with(arguments["settings"])}
    return {**filled, **settings, "methods": methods}

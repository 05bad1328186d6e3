"""The search of a comparison: the settings that a method tries, the best of them, settings.csv read again."""

import itertools
import json
import random
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.lab.engine import Cell
from pfmsm_lite.lab.statistics import has_network
from pfmsm_lite.methods import METHODS, Method, Settings

# What every method may try, besides a short list of its own for its own strength. The learning rates are
# multiples of the one that suits the data. A method that sends something has a server's step, and may keep
# its base rates and a second model at home, unless that is what the method is for; a method
# without a network has none of this.
SEARCH = {"learning_rate": (1 / 3, 1, 10 / 3, 10), "unknown_rate": (0.0, 0.3, 0.5)}
SERVER_SEARCH = {
    "server_step": (1.0, 1.5),
    "personal": ("none", "ditto", "blend"),
    "intercept": ("none", "home"),
}

LINES = ("method", "number", "seed", "valid_auc", "chosen", "setting")  # columns of settings.csv

Setting = dict[str, Any]  # field of Method or Settings → value


def grid(method: Method, settings: Settings) -> dict[str, tuple]:
    """field → values that a comparison tries for this method."""
    common = SEARCH | (SERVER_SEARCH if method.sent else {})
    if method.personal != "none":  # it is about this very choice
        common.pop("personal", None)
    if not has_network(method):
        common = {}
    lists = {**common, **method.search}
    if "learning_rate" in lists:  # multiples of the data's own, to one digit
        steps = (float(f"{settings.learning_rate * times:.1g}") for times in lists["learning_rate"])
        lists["learning_rate"] = tuple(steps)
    return lists


def candidates(method: Method, settings: Settings, budget: int) -> list[Setting]:
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


def with_setting(method: Method, settings: Settings, setting: Setting) -> tuple[Method, Settings]:
    """(Method, Settings) with a setting put in."""
    own = {f.name for f in fields(Method)}
    return (
        replace(method, **{field: value for field, value in setting.items() if field in own}),
        replace(settings, **{field: value for field, value in setting.items() if field not in own}),
    )


def cell(method: Method, settings: Settings, number: int, setting: Setting, seed: int) -> Cell:
    """The training of a method with its setting of that number."""
    file, name = f"{method.name}-{number}-{seed}", f"{method.name}, setting {number}"
    return Cell(file, name, *with_setting(method, settings, setting), seed, number)


def best(chosen: Iterable[Method], tried: dict[Cell, dict]) -> dict[str, int]:
    """Method → number of the setting with the best validation AUC (mean over seeds); of equals the first.

    A setting of which a seed is missing, or has no AUC, comes after those that are complete.
    """
    found = {}
    for method in chosen:
        own = defaultdict(list)
        for cell, kept in in_order(tried):
            if cell.method.name == method.name:
                own[cell.number] += [] if kept["valid_auc"] is None else [kept["valid_auc"]]
        if own:
            found[method.name] = max(own, key=lambda k: (len(own[k]), np.mean(own[k] or 0)))
    return found


def lines(
    settings_of: dict[str, dict[int, Setting]], best: dict[str, int], tried: dict[Cell, dict]
) -> list[dict[str, Any]]:
    """What was tried, as the lines of settings.csv: list of dicts with LINES."""
    return [
        {
            "method": cell.method.name,
            "number": cell.number,
            "seed": cell.seed,
            "valid_auc": kept["valid_auc"],
            "chosen": int(best.get(cell.method.name) == cell.number),
            "setting": json.dumps(settings_of[cell.method.name][cell.number]),
        }
        for cell, kept in in_order(tried)
    ]


def in_order(found: dict[Cell, dict]) -> list[tuple[Cell, dict]]:
    """Cells and what is kept of them by method, number of the setting, seed."""
    return sorted(found.items(), key=lambda item: (item[0].method.name, item[0].number, item[0].seed))


# ---- settings.csv of an earlier comparison ----


def read_settings(file: str, methods: list[str] | None = None) -> list[dict[str, Any]]:
    """Lines of an earlier comparison's settings.csv, of those methods (default: all in the file).

    returns  list of dicts with LINES; of every method exactly one setting is chosen
    raises   UserError that names the file, the line or the method, and what to do
    """
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
            choose("field", field, _tried())
        with_setting(method, Settings(), setting)
    except (TypeError, ValueError, AttributeError) as error:  # UserErrors are ValueErrors
        raise UserError(
            f"{place}: the setting {text['setting']} of {method.name} cannot be tried: {error}"
        ) from error
    return line


def _tried():
    """The fields that any search turns."""
    own = (field for method in METHODS.values() for field in method.search)
    return list(dict.fromkeys([*SEARCH, *SERVER_SEARCH, *own]))


def chosen_with(file: str) -> dict[str, Any]:
    """How the lines of a settings.csv were chosen, by the config.json beside it; {} without one.

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


def differences(chosen: dict[str, Any], digest: str, rounds: int, settings: Settings) -> list[str]:
    """What differs from `chosen` (as in `chosen_with`) in a comparison, in words."""
    here = json.loads(json.dumps({"data": digest, "rounds": rounds, **asdict(settings)}))
    return [
        "other data" if name == "data" else f"{name.replace('_', ' ')} {value}; here it is {here[name]}"
        for name, value in chosen.items()
        if name in here and value != here[name]
    ]

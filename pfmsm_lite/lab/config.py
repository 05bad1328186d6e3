"""config.json: what a directory was begun with; read, checked, compared with the data of now, given back."""

import json
import os
from argparse import Action, Namespace
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import sources
from pfmsm_lite.lab.knobs import knob
from pfmsm_lite.lab.options import Parser, names, numbers
from pfmsm_lite.scenario import SPLITS, Scenario, shortened

Arguments = dict[str, Any]
NAME = "config.json"
REMEDY = "Start again with another --out."


def _list_of(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(test, value))


def _text(value):
    return isinstance(value, str)


def _whole(value):
    return isinstance(value, int) and not isinstance(value, bool)


# type of an option → whether a value from a file is one of it
FITS: dict[Any, Callable[[Any], bool]] = {
    names: _list_of(_text),
    numbers: _list_of(_whole),
    int: lambda value: _whole(value) or _list_of(_whole)(value),  # --seeds N becomes 0 … N-1
    float: lambda value: isinstance(value, Real) and not isinstance(value, bool),
    str: lambda value: (
        _text(value) or _list_of(lambda line: isinstance(line, dict))(value)
    ),  # --settings FILE
    knob: _list_of(lambda pair: isinstance(pair, list) and len(pair) == 2 and _text(pair[0])),
    None: lambda value: _text(value) or isinstance(value, bool) or _list_of(_text)(value),
}


# arguments that not every command has an option for
MORE: dict[str, Callable[[Any], bool]] = {
    "command": _text,
    "folder": _text,
    "data": _text,
    "data_seed": _whole,
    "methods": _list_of(_text),
    "chosen_with": lambda value: isinstance(value, dict),
    "suited": lambda value: isinstance(value, dict),
    "plugin": _list_of(
        lambda kept: isinstance(kept, dict) and _text(kept.get("file")) and _text(kept.get("sha256"))
    ),
}


def read(directory: str | Path, begin: str = "", remedy: str = REMEDY) -> dict[str, Any]:
    """The content of a directory's config.json, or of the file itself, with arguments, data and digest in it.

    begin   what to do where there is none;  remedy: where it is damaged
    raises  UserError for a file that is missing, torn, or of another form
    """
    path = Path(directory)
    path = path / NAME if path.is_dir() or not path.suffix else path
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kept, rows = config["arguments"], config["data"]["rows"]
        right = isinstance(kept, dict) and isinstance(rows, dict) and _text(config["data"]["digest"])
        right = right and all(_list_of(_whole)(counts) and len(counts) == 3 for counts in rows.values())
        if not right or not isinstance(config["data"].get("notes"), dict | None):
            raise ValueError("arguments or data are of another form")
        return config
    except FileNotFoundError as error:
        raise UserError(f"There is no {path}. {begin}".rstrip()) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}). {remedy}") from error


def arguments_of(config: dict[str, Any], command: Parser, where: str | Path) -> Arguments:
    """The arguments in a config, those that it lacks at their defaults.

    raises  UserError for one that the command does not have, or of another type
    """
    usual = vars(command.parse_args([], Namespace()))
    own = {action.dest: action for action in command._actions}
    kept = config["arguments"]  # chosen for the data or by their rows, whether or not it is an option here:
    suited = {**sources.DEFAULTS.get(kept.get("data"), {}), **(kept.get("suited") or {})}
    for name, value in config["arguments"].items():
        if name not in own and suited.get(name, ...) == value:
            continue
        known = MORE.get(name) or (_test(own[name]) if name in own else None)
        if known is None:
            raise UserError(f"{where} has an argument {name} that this version does not know. {REMEDY}")
        if not known(value) and not (value is None and usual.get(name) is None):
            raise UserError(f"{where} is damaged: the argument {name} is {json.dumps(value)[:80]}. {REMEDY}")
    found = {**usual, **config["arguments"]}
    for name in ("data", "rounds", "threads", "processes"):
        if found.get(name) is None:
            raise UserError(f"{where} is damaged: the argument {name} is missing. {REMEDY}")
    return found


def _test(action: Action) -> Callable[[Any], bool]:
    """Whether an option could have a value; what Method and Settings check themselves is left to them."""
    return FITS.get(action.type, lambda value: True)


def given_back(file: str, command: Parser, given: Arguments, mark: str) -> Arguments:
    """The arguments of a config.json, but for what is given beside it.

    given  name → value of the options on the command line: they override; its --out is not taken over
    """
    config = read(file, "Give the config.json of an earlier run.", "Give another one.")
    kept = arguments_of(config, command, file)
    if mark not in config["arguments"]:
        raise UserError(f"{file} is of a command other than run. Give the config.json of a run.")
    kept = sources.located(kept)
    plugins = [str(Path(kept.get("folder") or ".") / own["file"]) for own in kept.pop("plugin", ())]
    if kept.get("folder") in (None, os.getcwd()):
        plugins = [os.path.relpath(plugin) for plugin in plugins]
    found = {**kept, **({"plugin": plugins} if plugins else {}), "out": None, **given}
    return {name: value for name, value in found.items() if name not in ("folder", "command", "config")}


def other_data(then: dict[str, Any], scenarios: list[Scenario]) -> str:
    """What differs between data described in a config and those of now, in words."""
    now = {s.name: [len(s.rows(split).labels) for split in SPLITS] for s in scenarios}
    rows = then["rows"]
    gone, new = [name for name in rows if name not in now], [name for name in now if name not in rows]
    said = [f"scenarios are gone: {shortened(gone)}"] * bool(gone)
    said += [f"scenarios are new: {shortened(new)}"] * bool(new)
    said += [
        f"{name} had {rows[name][k]:,} {split} rows and has {now[name][k]:,}"
        for name in now
        if name in rows
        for k, split in enumerate(SPLITS)
        if rows[name][k] != now[name][k]
    ]
    typing = (then.get("notes") or {}).get("typing") or {}
    own = scenarios[0].notes.get("typing") or {}
    if not said and (other := [name for name in {**typing, **own} if typing.get(name) != own.get(name)]):
        said = [f"columns are read in another way: {shortened(other)}"]
    return "; ".join(said[:4]) or "as many rows, with other values"

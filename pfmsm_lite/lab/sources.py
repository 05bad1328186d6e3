"""What `--data` may name: a table of readers, looked up when a value is checked, and their defaults."""

from pathlib import Path
from typing import Any

from pfmsm_lite.data import complete, read_kuairand, suited, synthetic
from pfmsm_lite.data.kuairand import WINDOWS
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.lab import knobs, published, tables
from pfmsm_lite.registry import OPERATORS, Operator, register
from pfmsm_lite.scenario import Scenario

Arguments = dict[str, Any]  # of a command, or of `runs.compare`: option → value


# twelve scenarios: three groups that want little of each other, small clients, some labels wrong, other
# favourites everywhere, and numbers of other sizes that nobody standardizes
HARD = {
    "signal": 3.0,
    "sizes": (4000, 2000, 1000, 500) * 3,
    "relatedness": (0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2),
    "within": 0.85,
    "across": 0.1,
    "rates": (0.2, 0.1),
    "label_noise": 0.05,
    "popularity_shift": 0.5,
    "feature_scale_shift": 10.0,
    "statistics": "none",
    "test_rows": 2000,
}


def _synthetic(arguments, preset=None):
    turned = knobs.checked(arguments.get("knob") or ())
    seed = arguments["data_seed"] or 0  # None, in a comparison: each training's own; the first is described
    if seed < 0:
        raise UserError(f"--data-seed is {seed}, but it must be a whole number from 0.")
    try:
        return synthetic(**{**(preset or {}), **turned}, seed=seed)
    except UserError as error:
        raise UserError(f"--knob {' '.join(turned) or 'of the preset'}: {error}") from error
    except (TypeError, ValueError) as error:
        raise UserError(f"--knob {turned} does not suit the generator: {error}.") from error


def _hard(arguments):
    return _synthetic(arguments, HARD)


def _kuairand(arguments):
    if not arguments["data_dir"]:
        raise UserError("--data kuairand needs --data-dir, the folder with log_standard_*_pure.csv.")
    tasks = {"tasks": tuple(arguments["tasks"])} if arguments["tasks"] else {}
    window = arguments.get("window")
    days = WINDOWS[choose("--window", window, WINDOWS)] if window else {}
    return read_kuairand(arguments["data_dir"], **tasks, **days)


READERS = OPERATORS["reader"]  # read(arguments) → list of Scenario, or (that, the truth that made it)
register("reader", "synthetic", _synthetic, "generated: six scenarios in two groups of like taste")
register(
    "reader", "synthetic-hard", _hard, "generated: twelve scenarios in three groups, small clients, noise"
)
register("reader", "kuairand", _kuairand, "the published KuaiRand-Pure, its files in --data-dir")
for _name, _own in published.PUBLISHED.items():
    register("reader", _name, published.reader(_name), _own.text)
TABLE = Operator(tables.read, "a table of your own, described by the options below")
DATA_OPTIONS = (
    "knob",
    "data_seed",
    "data_dir",
    "window",
    *published.OPTIONS,
    *tables.OPTIONS,
)  # how data are made or read
GENERATED = ("synthetic", "synthetic-hard")  # the data whose truth is known
# data → what suits them unless told otherwise; others are treated like a table, see `suited_to`
DEFAULTS = {
    "synthetic": {"rounds": 10},
    "synthetic-hard": {"rounds": 15},
    "kuairand": {
        "rounds": 20,
        "batch_size": 1024,
        "learning_rate": 1e-3,
        "unknown_rate": 0.5,
        "calibrate": "platt",
    },
}


def reader(arguments: Arguments) -> Operator:
    """The reader for `--data`: a name, or a file.

    raises  UserError for a name that no reader has, and for knobs of data that have none
    """
    name = arguments["data"]
    if any(arguments.get(split) for split in tables.FILES):
        return TABLE
    if arguments.get("knob") and name not in GENERATED:
        raise UserError(f"--knob turns the generator of {' and '.join(GENERATED)}; --data {name} has none.")
    if name not in READERS and Path(name).suffix:
        return TABLE
    what = "--data (a name, or a file ending in .csv, .tsv, .txt, .gz or .parquet)"
    return READERS[choose(what, name, READERS)]


def read(arguments: Arguments) -> tuple[list[Scenario], Any]:
    """(scenarios, the truth that made them or None) of what `--data` names; raises what its reader does.

    A scenario that lacks a column which another one has is completed (`data.complete`).
    """
    found = reader(arguments).function(located(arguments))
    scenarios, truth = found if isinstance(found, tuple) else (found, None)
    return complete(scenarios), truth


def located(arguments: Arguments) -> Arguments:
    """The arguments with their files where they lie: relative to the folder in which the command was begun.

    A file that is not there is looked for in the current folder.
    """
    folder = Path(arguments.get("folder") or ".")
    if not folder.is_absolute() or folder == Path.cwd():
        return arguments
    found = dict(arguments)
    for name in ("data", "data_dir", "cache_dir", *tables.FILES):
        given = arguments.get(name)
        if isinstance(given, str) and given and (name != "data" or reader(arguments) is TABLE):
            placed = folder / given
            found[name] = str(placed) if placed.exists() or not Path(given).exists() else given
    return found


def with_defaults(arguments: Arguments) -> Arguments:
    """The arguments; where they say nothing, what suits these data."""
    table = reader(arguments) is TABLE
    defaults = DEFAULTS.get("" if table else arguments["data"], {"rounds": 20})
    return {**arguments, **{key: value for key, value in defaults.items() if arguments.get(key) is None}}


def suited_to(scenarios: list[Scenario], arguments: Arguments) -> Arguments:
    """The arguments; where they say nothing, what suits these rows (`data.suited`).

    What was chosen this way is in arguments["suited"]; data with a row of their own in DEFAULTS keep to that.
    """
    if arguments.get("suited") is not None or (
        arguments["data"] in DEFAULTS and reader(arguments) is not TABLE
    ):
        return arguments
    chosen = {name: value for name, value in suited(scenarios).items() if arguments.get(name) is None}
    return {**arguments, **chosen, "suited": chosen}

"""A finished comparison as tables and named arrays: read from a run's directory, or made here and now."""

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from pfmsm_lite.data.views import AXES
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.history import RESULTS, ROUNDS, History
from pfmsm_lite.lab import plugins, sources
from pfmsm_lite.lab.effect import refuse_other_data
from pfmsm_lite.lab.engine import Cell, here
from pfmsm_lite.lab.models import kept_in
from pfmsm_lite.lab.options import declared
from pfmsm_lite.lab.statistics import hero_of, results_of
from pfmsm_lite.lab.writing import read_csv
from pfmsm_lite.methods import Method
from pfmsm_lite.scenario import Scenario

SHORT = ("pooled", "local", "embedding_only", "fedavg", "pf_msmtrec")
NAMES = ("method", "scenario", "task")  # columns whose cells are names, whatever they look like


@dataclass(frozen=True)
class Run:
    """Methods × seeds on one data set.

    name       what the data are called, such as "my.csv"
    origin     where the numbers come from: one line
    results    DataFrame with the columns of history.RESULTS; `rounds` with those of history.ROUNDS
    histories  (method, seed) → History; from a directory its arrays: .weights, .cosines, .norms, and its
               best_round
    sizes      scenario → its training rows
    clusters   N labels of the scenarios, and ceiling [N, T], their best AUC, where the truth is known
    notes      how the reader read the columns, and its warnings: sentences
    """

    name: str
    origin: str
    results: pd.DataFrame
    rounds: pd.DataFrame
    histories: dict[tuple[str, int], History]
    sizes: dict[str, int]
    clusters: tuple | None = None
    ceiling: np.ndarray | None = None
    notes: tuple = field(default=())

    @property
    def methods(self) -> list[str]:
        """Their names, in order."""
        return list(dict.fromkeys(self.results["method"]))

    @property
    def hero(self) -> str:
        """The method that a text is about, see `statistics.hero_of`; without a federated one the first."""
        return hero_of(self.results) or self.methods[0]

    @property
    def seeds(self) -> list[int]:
        """In order."""
        return sorted(int(seed) for seed in self.results["seed"].unique())

    @property
    def units(self) -> list[str]:
        """Names of every expert, tower and other unit that any method shares, in order, without doubles."""
        found = (unit for history in self.histories.values() if history.arrays for unit in history.units)
        return list(dict.fromkeys(map(str, found)))

    def __str__(self) -> str:
        tasks = ", ".join(dict.fromkeys(self.results["task"]))
        counts = ", ".join(f"{name} {rows:,}" for name, rows in self.sizes.items())
        return (
            f"{self.name}: {len(self.sizes)} scenarios, tasks {tasks}\n"
            f"Training rows: {counts}\n"
            f"{len(self.methods)} methods × {len(self.seeds)} seeds × {self.rounds['round'].max()} rounds\n"
            f"{self.origin}"
        )


def gathered(
    histories: Iterable[History], name: str, origin: str, sizes: Mapping[str, int], truth: Any = None,
    notes: Iterable[str] = (),
) -> Run:  # fmt: skip
    """A Run of histories in memory; sizes: scenario → training rows; truth: of `synthetic`, or None."""
    histories = list(histories)
    return Run(
        name,
        origin,
        results_of(histories),
        pd.concat([history.rounds for history in histories], ignore_index=True),
        {(history.method, history.seed): history for history in histories},
        dict(sizes),
        None if truth is None else truth.clusters,
        None if truth is None else truth.ceiling,
        tuple(notes),
    )


def compare(
    data: str, methods: Sequence[str | Method] = SHORT, seeds: Sequence[int] = (0, 1, 2),
    rounds: int | None = None, tell: Callable[[str], None] = lambda text: None, screen: TextIO | None = None,
    **options: Any,
) -> Run:  # fmt: skip
    """Train methods one after the other on a data set and return the Run: `run` in short, in this process.

    data     "synthetic", "kuairand", a reader of your own or a file, as `python -m pfmsm_lite run --data`
             takes it
    methods  names, or Methods: they may name rules that were registered in this process
    rounds   None: as many as suit the data
    tell     called before each training with a line of text
    screen   where a line shows the rounds, such as sys.stderr, if it is a terminal or a notebook
    options  of that command: data_dir, scenario, tasks, categorical, numerical, ignore, time, plugin, …
    raises   UserError for what cannot be read, a method or an option that does not exist
    """
    scenarios, truth, arguments = read_data(data, rounds=rounds, **options)
    chosen, settings = declared({**arguments, "methods": list(methods)})
    cells = [
        Cell(f"{method.name}-{seed}", method.name, method, settings, seed)
        for seed in seeds
        for method in chosen
    ]
    if not cells:
        raise UserError("There is nothing to compare: give at least one method and one seed.")
    if len(set(cells)) < len(cells):
        raise UserError(
            "A method or a seed is in this comparison twice. Give every method a name of its own: "
            'dataclasses.replace(method, name="mine", …).'
        )
    trained = here(cells, scenarios, arguments["rounds"], tell, screen)
    histories = [history for _, history in trained]
    order = {method.name: number for number, method in enumerate(chosen)}
    histories.sort(key=lambda history: order[history.method])
    sizes = {scenario.name: len(scenario.train.labels) for scenario in scenarios}
    notes = _in_words(scenarios[0].notes)
    return gathered(histories, Path(data).name, "Trained for this page.", sizes, truth, notes)


def read_data(
    data: str, plugin: Iterable[str] = (), **options: Any
) -> tuple[list[Scenario], Any, dict[str, Any]]:
    """(scenarios, truth or None, arguments in full) of what `--data` names; options as for the command.

    raises  UserError, as `python -m pfmsm_lite run` does
    """
    plugins.load(plugin)
    for option in options:
        choose("option", option, (*sources.DATA_OPTIONS, "methods", "rounds", "plugin"))
    nothing = (None, "", [], ())  # stand for: not given
    given = {option: value for option, value in options.items() if value not in nothing}
    arguments = {**dict.fromkeys(sources.DATA_OPTIONS), "data_seed": 0, **given, "data": str(data)}
    refuse_other_data(given, arguments)
    arguments = sources.with_defaults(arguments)
    scenarios, truth = sources.read(arguments)
    return scenarios, truth, sources.suited_to(scenarios, arguments)


# ---- a run's directory ----


def read_run(directory: str | Path) -> Run:
    """A finished run's directory (`python -m pfmsm_lite run --out DIR`) as a Run.

    raises  UserError: no directory, a file or a column missing, a damaged file, an unfinished run
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise UserError(
            f"{directory} is not a directory. Give the one that a finished run left, such as runs/synthetic."
        )
    config = _config(folder)
    arguments = config["arguments"]
    finished = config.get("finished") or not kept_in(folder)
    if not finished or not (folder / "results.csv").exists():
        begun = sorted({path.stem.rpartition("-")[0] for path in folder.glob("checkpoint/*-*.pt")})
        there = f"begun are {', '.join(begun)}" if begun else "no method has begun"
        raise UserError(
            f"{folder} is not finished: not all of its files are written; {there}. "
            f"Go on with: python -m pfmsm_lite run --resume {folder}"
        )
    results = _csv(folder / "results.csv", RESULTS)
    rounds = _csv(folder / "history.csv", ROUNDS)
    wanted = [(method, int(seed)) for method in arguments["methods"] for seed in arguments["seeds"]]
    for name, table in (("results.csv", results), ("history.csv", rounds)):
        there = set(zip(table["method"], table["seed"], strict=True))
        if lacking := [f"{method}, seed {seed}" for method, seed in wanted if (method, seed) not in there]:
            complete = ", ".join(dict.fromkeys(method for method, _ in there)) or "no method"
            raise UserError(
                f"{folder / name} lacks {'; '.join(lacking[:3])}{' and others' * (len(lacking) > 3)} "
                f"(there is {complete}). {_anew(folder)}"
            )
    histories = {cell: _recorded(folder, *cell) for cell in wanted}
    for cell, number in _chosen(results, rounds).items():
        if cell in histories:
            histories[cell].best_round = number
    clusters, ceiling = _truth(arguments)
    stem = Path(str(arguments["data"])).name
    command = config.get("command", "")
    named = [arguments.get(key) for key in ("data", "data_dir", "out")]
    named += [plugin["file"] for plugin in arguments.get("plugin") or ()]
    for given in filter(None, named):  # without a person's folders, since its page is passed on
        command = command.replace(str(given), Path(str(given)).name)
    origin = f"{command} | {config.get('date', '')} | {config.get('machine', '')}"
    sizes = {name: counts[0] for name, counts in config["data"]["rows"].items()}
    notes = config["data"].get("notes") or {}
    return Run(stem, origin, results, rounds, histories, sizes, clusters, ceiling, _in_words(notes))


def _anew(folder):
    return f"Write it anew from the checkpoints: python -m pfmsm_lite run --resume {folder}"


def _config(folder):
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        config["arguments"]["methods"], config["arguments"]["seeds"], config["arguments"]["data"]
        dict(config["data"]["rows"])
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} holds no run: config.json is missing. Make one with: python -m pfmsm_lite run --out "
            f"{folder}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}). Run again with another --out.") from error
    return config


def _csv(path, columns):
    try:
        table = read_csv(path, NAMES)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing. {_anew(path.parent)}") from error
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise UserError(f"{path} cannot be read ({error}). {_anew(path.parent)}") from error
    if lacking := [column for column in columns if column not in table]:
        raise UserError(
            f"{path} has no column {', '.join(map(repr, lacking))}; it has {', '.join(map(str, table))}. "
            f"{_anew(path.parent)}"
        )
    return table


def _chosen(results, rounds):
    """{(method, seed): the round whose validation AUCs are in the results}, for those that have any."""
    valid = results[results["split"] == "valid"].groupby(["method", "seed"])["auc"].mean().dropna()
    by_round = rounds.groupby(["method", "seed", "round"])["valid_auc"].mean()
    away = (by_round - valid.reindex(by_round.index.droplevel("round")).to_numpy()).abs().dropna()
    return {key: int(own.idxmin()[2]) for key, own in away.groupby(["method", "seed"])}


def _recorded(folder, method, seed):
    """A History with the arrays of METHOD-SEED.npz; without any where the method records none."""
    path = folder / f"{method}-{seed}.npz"
    if not path.exists():
        if any(folder.glob(f"{method}-*.npz")):
            raise UserError(f"{path} is missing. {_anew(folder)}")
        return History(method, seed, [], [])
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        history = History(method, seed, arrays.pop("clients").tolist(), arrays.pop("units").tolist())
        history.arrays = {name: list(values) for name, values in arrays.items() if name in AXES}
        for name in history.arrays:
            history.array(name)  # the shape fits the names
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}). {_anew(folder)}") from error
    return history


def _truth(arguments):
    """(clusters, ceiling) of generated data, made again from their seed; (None, None) of others."""
    if arguments["data"] not in sources.GENERATED:
        return None, None
    _, truth = sources.read({"data_seed": 0, **arguments})
    return truth.clusters, truth.ceiling


def _in_words(notes):
    """How a reader read the file and typed the columns, and its warnings, what is left out among them."""
    typing = [f"column {column}: {kind}" for column, kind in (notes.get("typing") or {}).items()]
    warnings = [f"Warning: {text}" for text in notes.get("warnings") or ()]
    return (*(notes.get("reading") or ()), *typing, *warnings)

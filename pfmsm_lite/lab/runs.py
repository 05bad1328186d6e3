"""A finished comparison as tables and named arrays: read from a run's directory, or made here and now."""

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.methods import POOLED

SHORT = ("pooled", "local", "embedding_only", "fedavg", "pf_msmtrec")
READING = (
    "data_dir", "scenario", "tasks", "categorical", "numerical", "ignore", "time", "categories", "statistics",
    "knob",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """Methods × seeds on one data set.

    name       what the data are called, such as "my.csv"
    origin     where the numbers come from: one line
    results    DataFrame with the columns of history.RESULTS; `rounds` with those of history.ROUNDS
    histories  (method, seed) → History; from a directory only its arrays: .weights, .cosines, .norms
    sizes      scenario → its training rows
    clusters   N labels of the scenarios, and ceiling [N, T], their best AUC, where the truth is known
    notes      how the reader read the columns, and its warnings: sentences
    """

    name: str
    origin: str
    results: object
    rounds: object
    histories: dict
    sizes: dict
    clusters: tuple | None = None
    ceiling: np.ndarray | None = None
    notes: tuple = field(default=())

    @property
    def methods(self):
        return list(dict.fromkeys(self.results["method"]))

    @property
    def hero(self):
        """The method that a text is about: pf_msmtrec, else the best on validation rows not pooled."""
        from pfmsm_lite.lab.statistics import per_seed

        averages = per_seed(self.results, "valid").mean().drop(list(POOLED), errors="ignore")
        known = averages.dropna()
        first = known.idxmax() if len(known) else self.methods[0]
        return "pf_msmtrec" if "pf_msmtrec" in self.methods else first

    @property
    def seeds(self):
        return sorted(int(seed) for seed in self.results["seed"].unique())

    @property
    def units(self):
        """Names of every expert, tower and other unit that any method shares, in order, without doubles."""
        found = (unit for history in self.histories.values() if history.arrays for unit in history.units)
        return list(dict.fromkeys(map(str, found)))

    def __str__(self):
        tasks = ", ".join(dict.fromkeys(self.results["task"]))
        counts = ", ".join(f"{name} {rows:,}" for name, rows in self.sizes.items())
        return (
            f"{self.name}: {len(self.sizes)} scenarios, tasks {tasks}\n"
            f"Training rows: {counts}\n"
            f"{len(self.methods)} methods × {len(self.seeds)} seeds × {self.rounds['round'].max()} rounds\n"
            f"{self.origin}"
        )


def gathered(histories, name, origin, sizes, truth=None, notes=()):
    """A Run of histories in memory; sizes: scenario → training rows; truth: of `synthetic`, or None."""
    import pandas as pd

    histories = list(histories)
    return Run(
        name,
        origin,
        pd.concat([history.results for history in histories], ignore_index=True),
        pd.concat([history.rounds for history in histories], ignore_index=True),
        {(history.method, history.seed): history for history in histories},
        dict(sizes),
        None if truth is None else truth.clusters,
        None if truth is None else truth.ceiling,
        tuple(notes),
    )


def compare(data, methods=SHORT, seeds=(0, 1, 2), rounds=None, tell=lambda text: None, **options):
    """Train methods one after the other on a data set and return the Run: the main job in short.

    data     "synthetic", "kuairand" or a file, as `python -m pfmsm_lite run --data` takes it
    rounds   None: as many as suit the data
    options  of that command: data_dir, scenario, tasks, categorical, numerical, ignore, time, …
    tell     called before each training with a line of text
    raises   UserError for what cannot be read, a method or an option that does not exist
    """
    from pfmsm_lite import run
    from pfmsm_lite.lab.job import declared

    scenarios, truth, arguments = read_data(data, methods=list(methods), rounds=rounds, **options)
    chosen, settings = declared(arguments)
    cells = [(method, seed) for seed in seeds for method in chosen]
    if not cells:
        raise UserError("There is nothing to compare: give at least one method and one seed.")
    histories = []
    for number, (method, seed) in enumerate(cells, 1):
        tell(f"run {number} of {len(cells)}: {method.name}, seed {seed}, {arguments['rounds']} rounds")
        histories.append(run(scenarios, method, arguments["rounds"], seed, settings=settings))
    sizes = {scenario.name: len(scenario.train.labels) for scenario in scenarios}
    order = {method.name: number for number, method in enumerate(chosen)}
    histories.sort(key=lambda history: order[history.method])
    notes = _in_words(scenarios[0].notes)
    return gathered(histories, Path(data).name, "Trained for this page.", sizes, truth, notes)


def read_data(data, **options):
    """(scenarios, truth or None, arguments in full) of what `--data` names; options as of the command.

    raises  UserError, as `python -m pfmsm_lite run` does
    """
    from pfmsm_lite.lab.job import reader, with_defaults

    for option in options:
        choose("option", option, (*READING, "data_seed", "methods", "rounds"))
    given = {option: value for option, value in options.items() if value}  # "" and [] stand for: not given
    arguments = {**dict.fromkeys(READING), "data_seed": 0, **given, "data": str(data)}
    arguments = with_defaults(arguments)
    return *reader(arguments)[0](arguments), arguments


# ---- a run's directory ----


def read_run(directory):
    """A finished run's directory (`python -m pfmsm_lite run --out DIR`) as a Run.

    raises  UserError: no directory, a file or a column missing, a damaged file, an unfinished run
    """
    from pfmsm_lite.history import RESULTS, ROUNDS

    folder = Path(directory)
    if not folder.is_dir():
        raise UserError(
            f"{directory} is no directory. Give the one that a finished run left, such as runs/synthetic."
        )
    config = _config(folder)
    arguments = config["arguments"]
    if not (folder / "results.csv").exists():
        begun = sorted({path.stem.rpartition("-")[0] for path in folder.glob("checkpoint/*-*.pt")})
        there = f"begun are {', '.join(begun)}" if begun else "no method has begun"
        raise UserError(
            f"{folder} is not finished: results.csv is missing; {there}. "
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
    clusters, ceiling = _truth(arguments)
    stem = Path(str(arguments["data"])).name
    command = config.get("command", "")
    for key in ("data", "data_dir", "out"):  # without a person's folders: a page of it is handed on
        given = str(arguments.get(key) or "")
        command = command.replace(given, Path(given).name) if given else command
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
    import pandas as pd

    try:
        table = pd.read_csv(path)
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


def _recorded(folder, method, seed):
    """A History with the arrays of METHOD-SEED.npz; without any where the method records none."""
    from pfmsm_lite.history import AXES, History

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
    from pfmsm_lite.lab.job import GENERATED, reader

    if arguments["data"] not in GENERATED:
        return None, None
    _, truth = reader(arguments)[0]({"data_seed": 0, **arguments})
    return truth.clusters, truth.ceiling


def _in_words(notes):
    """How a reader typed the columns, and what it warns of: sentences."""
    typing = [f"column {column}: {kind}" for column, kind in (notes.get("typing") or {}).items()]
    return (*typing, *(f"Warning: {text}" for text in notes.get("warnings") or ()))


def costs(results, rounds):
    """What a method needs and what it brings: DataFrame by method, sorted by AUC.

    results, rounds   of a Run; of `rounds` also its `compact` form will do
    returns  auc (test rows, mean), best_round (mean over seeds), kilobytes (a client's upload in a round,
             NaN for a pooled method: it moves the rows), seconds (all clients' training in a run: the
             quickest round × the rounds, for a busy machine makes a round slower and never quicker)
    """
    import pandas as pd

    from pfmsm_lite.lab.statistics import per_seed

    by_round = compact(rounds)
    there = by_round.dropna(subset=["valid_auc"])
    best = there.loc[there.groupby(["method", "seed"])["valid_auc"].idxmax()]
    by_method = by_round.groupby("method")
    kilobytes = by_method["bytes"].mean() / 1000
    table = {
        "auc": per_seed(results).mean(),
        "best_round": best.groupby("method")["round"].mean(),
        "kilobytes": kilobytes.where(~kilobytes.index.isin(POOLED)),
        "seconds": by_method["seconds"].min() * by_method["round"].max(),
    }
    return pd.DataFrame(table).sort_values("auc", ascending=False)


COMPACT = ("method", "seed", "round", "valid_auc", "bytes", "seconds")


def compact(rounds):
    """One line per method, seed and round: COMPACT. What of a long run is kept under results/.

    rounds   DataFrame of history.csv, or one that is compact already
    returns  valid_auc: mean over scenarios and tasks; bytes: a client's upload, mean; seconds: all clients
    """
    if "scenario" not in rounds:
        return rounds[list(COMPACT)]
    keys = ["method", "seed", "round"]
    auc = rounds.groupby(keys, sort=False)["valid_auc"].mean()
    single = rounds.drop_duplicates([*keys, "scenario"])  # not once more for every task
    alone = single.drop_duplicates(keys)
    # a pooled method is one model: its bytes and seconds stand beside every scenario, and count once
    single = single.where(~single["method"].isin(POOLED), alone).dropna(subset=keys)
    cost = single.groupby(keys, sort=False).agg({"bytes": "mean", "seconds": "sum"})
    return cost.join(auc).reset_index()[list(COMPACT)].astype({"seed": int, "round": int})

"""`questions`: three questions that the paper leaves open, each as a study on generated data."""

import json
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from pfmsm_lite.errors import at_least_one, choose
from pfmsm_lite.lab import late
from pfmsm_lite.lab import options as given
from pfmsm_lite.lab.directory import Arguments, Job, Opened, Show, carry_out, opened, quietly
from pfmsm_lite.lab.engine import Cell, finished_and_told, say_failed
from pfmsm_lite.lab.statistics import Paired, paired, results_of
from pfmsm_lite.lab.studies import LEVELS, SCALES, STUDIES, VARIANTS, Level, method_of, part_of
from pfmsm_lite.lab.writing import csv_text, replace_text
from pfmsm_lite.methods import Settings

RESULTS = ("study", "level", "method", "seed", "scenario", "rows", "task", "split", "auc")
COSTS = (
    "study", "level", "method", "clients", "seeds", "rounds", "best_round", "sent_kb", "cpu_seconds",
    "peak_mb",
)  # fmt: skip
ANSWERS = (
    "study", "level", "method", "part", "auc", "gain", "low", "high", "worst", "losing", "clients", "seeds",
)  # fmt: skip
YARDSTICK = "local"


def add(commands: Any) -> None:
    """The command `questions` and its options."""
    command = commands.add_parser(
        "questions",
        help="three open questions: how many scenarios, clients with little, tasks and columns that differ",
        description="Train methods as they are declared on generated data, each seed with data of its own, "
        "and write results.csv, costs.csv, curves.csv and questions.csv: what each method gains against "
        "training alone, in AUC points, with intervals over seeds.",
        formatter_class=given.Lines,
    )
    basic = command.add_argument_group("basic options")
    basic.add_argument(
        "--only", type=given.names, metavar="A,B", help=f"only these studies (all): {', '.join(STUDIES)}"
    )
    most = max(level.seeds for level in LEVELS["full"])
    basic.add_argument(
        "--seeds", type=int, default=most, metavar="N",
        help=f"at most this many seeds, 0 … N-1 ({most}; large studies have fewer)",
    )  # fmt: skip
    basic.add_argument(
        "--scale", choices=tuple(SCALES), default="small",
        help="how large the worlds are: some minutes on one core (small), or 200 clients of 500 rows (full)",
    )  # fmt: skip
    given.training_options(basic, "what is finished is kept, what failed is done again", out="runs/questions")

    def do(options: Namespace) -> int:
        return carry_out(Job("only", ("threads", "processes"), checked, visit), command, options)

    command.set_defaults(data="synthetic", data_seed=0)
    command.do = do


def checked(arguments: Arguments) -> Arguments:
    """The command's arguments as the main job takes them; UserError for an unknown study or no seed."""
    at_least_one(seeds=arguments["seeds"])
    only = [choose("--only", name, STUDIES) for name in arguments["only"] or STUDIES]
    levels = LEVELS[arguments["scale"]]
    names = [VARIANTS[m][0] if m in VARIANTS else m for level in levels for m in level.methods]
    seeds = list(range(arguments["seeds"]))
    return {**arguments, "only": only, "methods": list(dict.fromkeys(names)), "seeds": seeds}


def visit(
    out: Path, arguments: Arguments, show: Show = print, screen: TextIO | None = None
) -> dict[Cell, str]:
    """Do the studies, and write their files; the cells that failed.

    out        directory, made by directory.made; what is finished in it is not done again
    arguments  of the command, in full: only, seeds (each is that of the data, too)
    """
    begun = opened(out, arguments, quietly)
    cells = _cells(begun)
    for line in planned(LEVELS[arguments["scale"]], arguments):
        show(line)
    found, failed = finished_and_told(cells, begun.work, screen, show)
    lines, costs, curves = tables(found, LEVELS[arguments["scale"]])
    if "late" in arguments["only"]:
        lines = pd.concat([lines, _late(out, arguments, show)], ignore_index=True)
    table = answers(lines)
    for name, kept in {"results": lines, "costs": costs, "curves": curves, "questions": table}.items():
        replace_text(out / f"{name}.csv", csv_text(kept.round(5)))
    show(printed(table))
    show(f"\n{out}/: questions.csv, costs.csv, curves.csv, results.csv, config.json")
    say_failed(failed, f"questions --resume {out}", show)
    return failed


def planned(levels: list[Level], arguments: Arguments) -> list[str]:
    """What is about to be trained: a line for each study."""
    lines = []
    for study in arguments["only"]:
        own = [level for level in levels if level.study == study]
        names = dict.fromkeys(name for level in own for name in level.methods)
        seeds = [min(level.seeds, len(arguments["seeds"])) for level in own]
        if own:
            lines.append(
                f"{study} ({'; '.join(level.name for level in own)}): {_range(seeds)} seeds, "
                f"{_range([level.rounds for level in own])} rounds; {', '.join(names)}"
            )
        else:
            lines.append(f"{study} ({'; '.join(late.WORLDS)}): {late.ROUNDS} rounds; {', '.join(late.WAYS)}")
    return [*lines, "each seed has data of its own"]


def _range(numbers):
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def _cells(begun: Opened) -> list[Cell]:
    """A cell for each level, method and seed, the first seed of everything first."""
    arguments, found = begun.work.arguments, []
    levels = LEVELS[arguments["scale"]]
    for number, level in enumerate(levels):
        place = [own.name for own in levels if own.study == level.study].index(level.name)
        for seed in arguments["seeds"][: level.seeds] if level.study in arguments["only"] else ():
            for name in level.methods:
                settings = replace(begun.settings, **level.settings)
                found.append(
                    Cell(f"{level.study}-{place}-{name}-{seed}", f"{level.study}, {level.name}, {name}",
                         method_of(name), settings, seed, number,
                         {"knob": [*level.knobs.items()], "data_seed": seed}, level.rounds,
                         level.own_rounds)
                )  # fmt: skip
    return sorted(found, key=lambda cell: cell.seed)


def tables(found: dict[Cell, dict], levels: list[Level]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """What is kept of cells, numbered by their level → three tables.

    returns  results: RESULTS, test rows alone;  costs: COSTS;  curves: validation AUC by round, where its
             course is looked at
    """
    lines, costs, curves = [], [], []
    order = sorted(found, key=lambda c: (c.number, levels[c.number].methods.index(c.method.name), c.seed))
    for cell in order:
        level, kept = levels[cell.number], found[cell]
        lines.append(_lines(level, kept).assign(study=level.study, level=level.name))
        named = {"study": level.study, "level": level.name, "method": cell.method.name, "seed": cell.seed}
        costs.append({**named, **kept, "cpu_seconds": kept["cpu_seconds"] / kept["rounds"]})
        if level.study in ("how-many", "sampled"):
            curves += [{**named, "round": r, "valid_auc": auc} for r, auc in enumerate(kept["curve"], 1)]
    lines = pd.concat(lines, ignore_index=True) if lines else pd.DataFrame(columns=list(RESULTS))
    return lines[list(RESULTS)], _costs(costs, levels), pd.DataFrame(curves)


def _lines(level: Level, kept: dict) -> pd.DataFrame:
    """The lines of results.csv of one training."""
    tested = results_of([kept]).query("split == 'test'")
    return tested.assign(rows=[level.knobs["sizes"][int(name[1:])] for name in tested["scenario"]])


def _costs(costs: list[dict], levels: list[Level]) -> pd.DataFrame:
    """One line for each study, level and method: means over seeds. Memory: the least, since what earlier
    trainings of a process left behind adds to it."""
    if not costs:
        return pd.DataFrame(columns=list(COSTS))
    clients = {(level.study, level.name): len(level.knobs["sizes"]) for level in levels}
    by = pd.DataFrame(costs).groupby(["study", "level", "method"], sort=False)
    mean = by[["rounds", "best_round", "sent_kb", "cpu_seconds"]].mean()
    table = mean.assign(seeds=by.size(), peak_mb=by["peak_mb"].min()).reset_index()
    table["clients"] = [clients[key] for key in zip(table["study"], table["level"], strict=True)]
    return table[list(COSTS)]


def _late(out: Path, arguments: Arguments, show: Show) -> pd.DataFrame:
    """The study of the late client: its lines of results.csv; what is done is kept in cells/, too."""
    lines, scale = [], SCALES[arguments["scale"]]
    for level in late.WORLDS:
        for seed in arguments["seeds"][: scale.seeds]:
            file = out / "cells" / f"late-{list(late.WORLDS).index(level)}-{seed}.json"
            if not file.exists():
                show(f"late, {level}, seed {seed}")
                scenarios = late.world(level, seed, scale)
                settings = Settings(**scale.settings)
                found = {name: late.joined(scenarios, way, seed, settings) for name, way in late.WAYS.items()}
                replace_text(file, json.dumps(found))
            for name, kept in json.loads(file.read_text(encoding="utf-8")).items():
                for scenario, task, split, *_, auc, _ in kept["results"]:
                    line = ("late", level, name, seed, scenario, late.ROWS, task, split, auc)
                    lines += [line] if split == "test" else []
    return pd.DataFrame(lines, columns=list(RESULTS))


def answers(results: pd.DataFrame) -> pd.DataFrame:
    """What each method gains against training alone, in each part of each level.

    results  columns RESULTS, test rows
    returns  columns ANSWERS. part: as in `studies.part_of`; auc: mean over its clients, tasks and seeds;
             gain, low, high: AUC points over `local` on the same data, 95 % t interval over seeds (NaN where
             `local` was not trained); worst: what the client that fares worst gains, mean over tasks and
             seeds; losing: clients that lose more than one point
    """
    parts = [
        part_of(line.study, int(line.scenario[1:]), line.rows, line.task) for line in results.itertuples()
    ]
    found = []
    for (study, level, part), own in results.assign(part=parts).groupby(
        ["study", "level", "part"], sort=False
    ):
        by_seed = own.pivot_table(index="seed", columns="method", values="auc")
        by_client = 100 * own.pivot_table(index="scenario", columns="method", values="auc")
        for method in (name for name in own["method"].unique() if name in by_seed):
            gain, low, high, worst, losing = (np.nan,) * 5
            if YARDSTICK in by_seed:
                gain, low, high, *_ = paired(by_seed[method], by_seed[YARDSTICK])
                gains = by_client[method] - by_client[YARDSTICK]
                worst, losing = gains.min(), int((gains < -1).sum())
            found.append(
                (study, level, method, part, by_seed[method].mean(), gain, low, high, worst, losing,
                 len(by_client), int(by_seed[method].notna().sum()))
            )  # fmt: skip
    return pd.DataFrame(found, columns=list(ANSWERS))


def printed(table: pd.DataFrame) -> str:
    """The answers for a person: one line for each level, part and method."""
    shown = pd.DataFrame(
        {
            "study": table["study"].where(~table["study"].duplicated(), ""),
            "level": table["level"],
            "part": table["part"],
            "method": table["method"],
            "AUC": table["auc"].map("{:.3f}".format),
            "over local, points [95 %]": [
                "" if np.isnan(row.gain) else f"{row.gain:+.2f} [{row.low:+.2f}, {row.high:+.2f}]"
                for row in table.itertuples()
            ],
            "worst client": ["" if np.isnan(w) else f"{w:+.1f}" for w in table["worst"]],
            "seeds": table["seeds"],
        }
    )
    return shown.to_string(index=False)


def ahead(results: pd.DataFrame, first: Mapping, second: Mapping, **both: Any) -> Paired:
    """AUC points by which some lines of results.csv are ahead of others, paired by seed.

    first, second  column → the value, or a list of values, that these lines have;  both: likewise, of both
    """
    sides = []
    for side in (first, second):
        own = results
        for column, value in {**both, **side}.items():
            own = own[own[column].isin(value if isinstance(value, list) else [value])]
        sides.append(own.groupby("seed")["auc"].mean())
    return paired(*sides[0].align(sides[1]))

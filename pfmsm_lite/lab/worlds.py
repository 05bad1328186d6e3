"""`worlds`: does a method harm anybody? One setting in every kind of world, and who loses by how much."""

from argparse import Namespace
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from pfmsm_lite.errors import at_least_one, choose
from pfmsm_lite.lab import options as given
from pfmsm_lite.lab.directory import Arguments, Job, Show, carry_out, opened, quietly
from pfmsm_lite.lab.engine import Cell, finished_and_told, say_failed
from pfmsm_lite.lab.sources import HARD
from pfmsm_lite.lab.standing import LOCAL, client_gains
from pfmsm_lite.lab.statistics import paired, results_of
from pfmsm_lite.lab.writing import csv_text, replace_text
from pfmsm_lite.methods import METHODS

YARDSTICKS = (LOCAL, "fedavg_sum", "clustered", "pf_msmtrec_partners")  # the best is what a method is held to
WORLDS: dict[str, dict[str, Any]] = {  # name → arguments of `data.synthetic`
    "two groups": {},
    "all alike": {"sizes": (1500,) * 6, "relatedness": (0,) * 6},
    "opposed, 6000 and 300 rows": {"sizes": (6000, 300), "relatedness": (0, 1), "across": -0.9},
    "an odd one of 250 rows among six": {
        "sizes": (3000,) * 5 + (250,), "relatedness": (0,) * 5 + (1,), "across": -0.5,
    },
    "fifty of 300 rows in four groups": {
        "sizes": (300,) * 50, "relatedness": tuple(n % 4 for n in range(50)), "across": 0.0,
    },
    "twelve in three groups, noise": HARD,
}  # fmt: skip
COLUMNS = (
    "world", "method", "valid_auc", "auc", "regret", "low", "high", "worst_client", "worst", "losing",
    "clients", "seeds",
)  # fmt: skip


def add(commands: Any) -> None:
    """The command `worlds` and its options."""
    command = commands.add_parser(
        "worlds",
        help="whether a method harms anybody: one setting in every kind of world",
        description="Train methods as they are declared on generated worlds, each seed with data of its own, "
        f"and write worlds.csv: how far each is behind the best of {', '.join(YARDSTICKS)} (regret, AUC "
        "points), and what its worst client loses or gains against training alone.",
        formatter_class=given.Lines,
    )
    basic = command.add_argument_group("basic options")
    basic.add_argument(
        "--methods", type=given.names, metavar="A,B", help="beside the yardsticks (pf_msmtrec)"
    )
    basic.add_argument(
        "--worlds", type=given.names, metavar="1,2", help=f"only these of 1 to {len(WORLDS)} (all)"
    )
    basic.add_argument("--seeds", type=int, default=5, metavar="N", help="how many seeds: 0 … N-1 (5)")
    given.training_options(basic, "what is finished is kept, what failed is done again", out="runs/worlds")

    def do(options: Namespace) -> int:
        return carry_out(Job("worlds", ("threads", "processes"), checked, visit), command, options)

    command.set_defaults(data="synthetic", data_seed=0)
    command.do = do


def checked(arguments: Arguments) -> Arguments:
    """The command's arguments as the main job takes them; UserError for an unknown world or no seed."""
    at_least_one(seeds=arguments["seeds"])
    numbers = [str(number) for number in range(1, len(WORLDS) + 1)]
    worlds = [choose("--worlds", number, numbers) for number in arguments["worlds"] or numbers]
    methods = list(dict.fromkeys([*YARDSTICKS, *(arguments["methods"] or ["pf_msmtrec"])]))
    for name in methods:
        choose("method", name, METHODS)
    return {**arguments, "worlds": worlds, "methods": methods, "seeds": list(range(arguments["seeds"]))}


def visit(
    out: Path, arguments: Arguments, show: Show = print, screen: TextIO | None = None
) -> dict[Cell, str]:
    """Train every method in every world, and write results.csv and worlds.csv; the cells that failed.

    out        directory, made by directory.made; what is finished in it is not done again
    arguments  of the command, in full: worlds, methods, seeds (each is that of the data, too), rounds
    """
    begun = opened(out, arguments, quietly)
    cells = [
        Cell(f"{number}-{method.name}-{seed}", f"world {number}, {method.name}", method, begun.settings, seed,
             int(number), {"knob": [*knobs.items()], "data_seed": seed})
        for number, knobs in zip(range(1, len(WORLDS) + 1), WORLDS.values(), strict=True)
        if str(number) in arguments["worlds"]
        for seed in arguments["seeds"]
        for method in begun.methods
    ]  # fmt: skip
    show(f"{len(cells)} trainings: {', '.join(method.name for method in begun.methods)}, in each world")
    show("each seed has data of its own")
    found, failed = finished_and_told(cells, begun.work, screen, show)
    names = dict(enumerate(WORLDS, 1))
    order = sorted(found, key=lambda cell: (cell.number, begun.methods.index(cell.method), cell.seed))
    lines = pd.concat(
        [results_of([found[cell]]).assign(world=names[cell.number]) for cell in order] or [pd.DataFrame()]
    )
    replace_text(out / "results.csv", csv_text(lines))
    table = regrets(lines)
    replace_text(out / "worlds.csv", csv_text(table))
    show(printed(table))
    show(f"\n{out}/: worlds.csv, results.csv, config.json")
    say_failed(failed, f"worlds --resume {out}", show)
    return failed


def regrets(results: pd.DataFrame) -> pd.DataFrame:
    """How far each method is behind the best yardstick of its world, and what its worst client gains from it.

    results  DataFrame world, method, seed, scenario, task, split, auc
    returns  DataFrame of COLUMNS. auc, valid_auc: mean over scenarios, tasks and seeds. regret: AUC points
             by which the best of YARDSTICKS (of those that are there, by test rows) is ahead, with a 95 % t
             interval over the seeds that both have. worst: what the client that fares worst gains against
             `local`, points, mean over tasks and seeds; losing: clients that lose more than one point
    """
    lines = []
    for world, own in results.groupby("world", sort=False) if len(results) else ():
        tested = own[own["split"] == "test"]
        by_seed = tested.pivot_table(index="seed", columns="method", values="auc")
        gains = client_gains(tested)  # [scenario, method]
        gains = gains.assign(**{LOCAL: 0.0}) if len(gains) else gains
        valid = own[own["split"] == "valid"].groupby("method")["auc"].mean()
        best = max((name for name in YARDSTICKS if name in by_seed), key=lambda name: by_seed[name].mean())
        for method in own["method"].unique():
            regret, low, high, _, seeds = paired(by_seed[best], by_seed[method])
            over = gains.get(method, pd.Series(dtype=float))
            worst = over.idxmin() if over.notna().any() else ""
            lines.append(
                (world, method, valid[method], by_seed[method].mean(), regret, low, high, worst, over.min(),
                 int((over < -1).sum()), tested["scenario"].nunique(), seeds)
            )  # fmt: skip
    return pd.DataFrame(lines, columns=list(COLUMNS))


def printed(table: pd.DataFrame) -> str:
    """The table for a person: per world and method AUC, regret, and the worst client against `local`."""
    shown = pd.DataFrame(
        {
            "world": table["world"].where(~table["world"].duplicated(), ""),
            "method": table["method"],
            "AUC": table["auc"].map("{:.3f}".format),
            "behind the best, points [95 %]": [
                f"{row.regret:+.2f} [{row.low:+.2f}, {row.high:+.2f}]" for row in table.itertuples()
            ],
            "worst client over local": [
                f"{row.worst:+.1f} ({row.worst_client})" for row in table.itertuples()
            ],
            "losing > 1": [f"{row.losing} of {row.clients}" for row in table.itertuples()],
        }
    )
    return shown.to_string(index=False)

"""`trust`: what honest clients lose to hostile ones, attack by attack, with and without a defence."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from pfmsm_lite.errors import at_least_one, choose
from pfmsm_lite.lab import options as given
from pfmsm_lite.lab.directory import Arguments, Job, Opened, Show, carry_out, opened, quietly
from pfmsm_lite.lab.engine import Cell, finished_and_told, say_failed
from pfmsm_lite.lab.statistics import paired, results_of
from pfmsm_lite.lab.writing import csv_text, replace_text
from pfmsm_lite.methods import METHODS, Method
from pfmsm_lite.registry import OPERATORS

DEFAULT = "robust_pf"  # the declared default: held in all cases, the other methods in the second one
OTHERS = ("pf_msmtrec", "fedavg_sum")
CASES = {"1 of 6": (6, (0,)), "2 of 6": (6, (0, 3)), "3 of 12": (12, (0, 4, 8))}  # clients, who is hostile
ROWS, ROUNDS = 500, 8
NOBODY, GONE = "nobody hostile", "nan"  # NaN is always refused: the hostile clients are not there
BOUND, COST = 0.5, 0.1  # AUC points: the goal that was set beforehand
COLUMNS = ("case", "method", "attack", "auc", "lost", "low", "high", "worst", "lost_all", "seeds")


def add(commands: Any) -> None:
    """The command `trust` and its options."""
    command = commands.add_parser(
        "trust",
        help="what honest clients lose to hostile ones, with and without a defence",
        description="Generated data, new with each seed. Some clients are hostile; the AUC is that of the "
        f"others, on test rows. {DEFAULT} in the cases {', '.join(CASES)}, the other methods in one of them.",
        formatter_class=given.Lines,
    )
    basic = command.add_argument_group("basic options")
    basic.add_argument(
        "--methods", type=given.names, metavar="A,B", help=f"beside {DEFAULT} ({','.join(OTHERS)})"
    )
    kinds = ", ".join(OPERATORS["attack"])
    basic.add_argument("--attacks", type=given.names, metavar="A,B", help=f"only these (all: {kinds})")
    basic.add_argument("--cases", type=given.names, metavar="1,2", help="only these of 1 to 3 (all)")
    basic.add_argument("--seeds", type=int, default=5, metavar="N", help="how many seeds: 0 … N-1 (5)")
    given.training_options(basic, "what is finished is kept, what failed is done again", out="runs/trust")

    def do(options: Namespace) -> int:
        options.rounds = options.rounds or ROUNDS
        return carry_out(Job("attacks", ("threads", "processes"), checked, besiege), command, options)

    command.set_defaults(data="synthetic", data_seed=0)
    command.do = do


def checked(arguments: Arguments) -> Arguments:
    """The command's arguments as the main job takes them; UserError for an unknown method or attack."""
    at_least_one(seeds=arguments["seeds"])
    others = OTHERS if arguments["methods"] is None else arguments["methods"]
    methods = [choose("method", name, METHODS) for name in dict.fromkeys([DEFAULT, *others])]
    kinds = [
        choose("--attacks", kind, OPERATORS["attack"]) for kind in arguments["attacks"] or OPERATORS["attack"]
    ]
    kinds = list(dict.fromkeys([NOBODY, GONE, *kinds]))
    numbers = [str(number) for number in range(1, len(CASES) + 1)]
    cases = [choose("--cases", number, numbers) for number in arguments["cases"] or numbers]
    return {
        **arguments,
        "methods": methods,
        "attacks": kinds,
        "cases": cases,
        "seeds": list(range(arguments["seeds"])),
    }


def cases_of(method: Method) -> dict[str, tuple]:
    """The cases in which a method is attacked."""
    return CASES if method.name == DEFAULT else {"2 of 6": CASES["2 of 6"]}


def besiege(
    out: Path, arguments: Arguments, show: Show = print, screen: TextIO | None = None
) -> dict[Cell, str]:
    """Train every method under every attack, and write trust.csv and results.csv; the cells that failed.

    out        directory, made by directory.made; what is finished in it is not done again
    arguments  of the command, in full: attacks, methods, seeds (each is that of the data, too), rounds
    """
    begun = opened(out, arguments, quietly)
    cells, about = _cells(begun, arguments["attacks"])
    show(f"{len(cells)} trainings: {', '.join(method.name for method in begun.methods)}, under each attack")
    show("each seed has data of its own")
    found, failed = finished_and_told(cells, begun.work, screen, show)
    lines = [
        results_of([found[cell]]).assign(case=case, attack=kind, hostile=" ".join(hostile))
        for cell, (case, kind, hostile) in zip(cells, about, strict=True)
        if cell in found
    ]
    results = pd.concat(lines or [pd.DataFrame()])
    results = results.query("split == 'test'") if len(results) else results
    replace_text(out / "results.csv", csv_text(results))
    table = losses(results)
    replace_text(out / "trust.csv", csv_text(table))
    show(printed(table))
    show(f"\n{out}/: trust.csv, results.csv, config.json")
    say_failed(failed, f"trust --resume {out}", show)
    return failed


def _cells(begun: Opened, kinds: list[str]) -> tuple[list[Cell], list[tuple]]:
    """The trainings, and of each its case, attack and who is hostile."""
    cells, about = [], []
    for method in begun.methods:
        for case, (clients, hostile) in cases_of(method).items():
            if str([*CASES].index(case) + 1) not in begun.work.arguments["cases"]:
                continue
            for kind in kinds:
                names = [f"s{n}" for n in hostile]
                attack = () if kind == NOBODY else tuple(f"{name}={kind}" for name in names)
                for seed in begun.work.arguments["seeds"]:
                    knobs = {"sizes": [ROWS] * clients, "test_rows": 2 * ROWS}
                    number = list(CASES).index(case)
                    file = f"{number}-{method.name}-{kind.replace(' ', '_')}-{seed}"
                    settings = replace(begun.settings, attack=attack)
                    data = {"knob": [*knobs.items()], "data_seed": seed}
                    name = f"{case}, {kind}, {method.name}"
                    cells.append(Cell(file, name, method, settings, seed, number, data))
                    about.append((case, kind, names))
    order = sorted(
        range(len(cells)), key=lambda k: (cells[k].number, cells[k].seed)
    )  # the same rows in a row
    return [cells[k] for k in order], [about[k] for k in order]


def losses(results: pd.DataFrame) -> pd.DataFrame:
    """What the honest clients lose: DataFrame of COLUMNS.

    results  DataFrame case, method, attack, hostile, seed, scenario, task, auc of test rows
    auc      mean over honest clients, tasks and seeds
    lost     AUC points against the same training without the hostile clients (attack GONE), with a 95 % t
             interval over seeds; worst: in the worst seed. Of NOBODY: minus what the hostile clients' rows
             would have brought, had they been honest
    lost_all against the training in which nobody is hostile
    """
    if not len(results):
        return pd.DataFrame(columns=list(COLUMNS))
    bad = [
        name in hostile.split() for name, hostile in zip(results["scenario"], results["hostile"], strict=True)
    ]
    honest = results[~pd.Series(bad, index=results.index)]
    lines = []
    for (case, method), own in honest.groupby(["case", "method"], sort=False):
        by_seed = own.pivot_table(index="seed", columns="attack", values="auc")
        if GONE not in by_seed or NOBODY not in by_seed:
            continue
        for attack in own["attack"].unique():
            lost, low, high, _, seeds = paired(by_seed[GONE], by_seed[attack])
            worst = 100 * (by_seed[GONE] - by_seed[attack]).max()
            whole = paired(by_seed[NOBODY], by_seed[attack])[0]
            lines.append((case, method, attack, by_seed[attack].mean(), lost, low, high, worst, whole, seeds))
    return pd.DataFrame(lines, columns=list(COLUMNS))


def cost(table: pd.DataFrame) -> float:
    """AUC points that the default costs where nobody is hostile: pf_msmtrec less DEFAULT; else NaN."""
    calm = table[(table["attack"] == NOBODY) & (table["case"] == "2 of 6")].set_index("method")["auc"]
    return 100 * (calm.get("pf_msmtrec", float("nan")) - calm.get(DEFAULT, float("nan")))


def printed(table: pd.DataFrame) -> str:
    """The table for a person: points lost, a star where it is more than BOUND."""
    own = table[table["attack"] != GONE]
    shown = own.assign(text=[f"{lost:+.2f}{'*' if lost > BOUND else ' '}" for lost in own["lost"]])
    columns = dict.fromkeys(zip(shown["case"], shown["method"], strict=True))
    wide = shown.pivot(index="attack", columns=["case", "method"], values="text")
    wide = wide.reindex(index=shown["attack"].unique(), columns=list(columns)).fillna("")
    head = "AUC points that honest clients lose against a federation without the hostile ones"
    peace = f"cost of {DEFAULT} where nobody is hostile: {cost(table):+.2f}"
    return f"{head}; *: more than {BOUND}\n{wide.to_string()}\n{peace}"

"""`paper`: the comparison of PF-MSMTrec's paper as far as it is known, on its data or rows of their shape."""

import os
import shutil
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from pfmsm_lite.data import aliexpress, tenrec
from pfmsm_lite.data.samples import write_aliexpress, write_tenrec
from pfmsm_lite.errors import choose
from pfmsm_lite.lab import compare
from pfmsm_lite.lab import options as given
from pfmsm_lite.lab.directory import Arguments, Job, Show, carry_out
from pfmsm_lite.lab.engine import Cell
from pfmsm_lite.lab.options import refuse_beside
from pfmsm_lite.lab.published import cache_of
from pfmsm_lite.lab.writing import csv_text, read_csv, replace_text

# the yardsticks of federated learning, and both readings of the paper
METHODS = (
    "local", "pooled", "fedavg", "fedprox", "fedbn", "fedrep", "ditto", "fedamp", "clustered", "fedhca2",
    "pf_msmtrec_hca", "pf_msmtrec",
)  # fmt: skip
SEEDS = 5
# AUC of click and conversion on AliExpress, one model for each country alone: MTReclib's README (embedding
# 128, 8 experts 512-256 with BatchNorm and dropout .2, towers 128-64, Adam 1e-3, batch 2,048)
PUBLIC = {
    "single task": {
        "NL": (0.7222, 0.8590), "ES": (0.7266, 0.8855), "FR": (0.7259, 0.8737), "US": (0.7061, 0.8637),
    },
    "MMoE": {"NL": (0.7234, 0.8606), "ES": (0.7285, 0.8898), "FR": (0.7216, 0.8811), "US": (0.7043, 0.8758)},
}  # fmt: skip
SAMPLE = {"rows": (600, 300), "rounds": 2}  # of each country, and rounds, for --sample
DATA = {  # data → (what lies in --data-dir, as a glob; in words; where it is; who generates such rows)
    "aliexpress": (
        "AliExpress_*", "the folders AliExpress_NL, _ES, _FR and _US, each with train.csv and test.csv",
        f"{aliexpress.SOURCE}, with an account", lambda to: write_aliexpress(to, SAMPLE["rows"]),
    ),
    "tenrec": (
        "Q?-*.csv*", "QK-video.csv, QB-video.csv, QK-article.csv, QB-article.csv, or some of them",
        f"{tenrec.SOURCE}, with an application form", lambda to: write_tenrec(to, sum(SAMPLE["rows"])),
    ),
}  # fmt: skip


def add(commands: Any) -> None:
    """The command `paper`: the options of a comparison, and --sample."""
    command = commands.add_parser(
        "paper",
        help="the paper's comparison as far as it is known, beside the public reference values",
        description=f"Train {', '.join(METHODS)} as they are declared on AliExpress (or --data tenrec), "
        f"{SEEDS} seeds each, choose the round on validation rows of our own, test once, and write paper.csv "
        "beside what `compare` writes. Both readings of the paper are there: pf_msmtrec and pf_msmtrec_hca. "
        "The paper's sizes, rates and rounds were not at hand; --budget searches as `compare` does.",
        formatter_class=given.Lines,
    )
    compare.add_options(command)
    command.add_argument(
        "--sample",
        dest="generated",
        action="store_true",
        default=None,
        help="generated rows of the same shape, in about a minute",
    )
    command.set_defaults(data="aliexpress", seeds=SEEDS)

    def do(options: Namespace) -> int:
        if lines := missing(options):
            print("\n".join(lines), file=sys.stderr)
            return 2
        return carry_out(Job("generated", ("threads", "processes"), checked, work), command, options)

    command.do = do


def missing(options: Namespace) -> list[str]:
    """What is missing where there are no data at hand, in three lines."""
    if options.generated or options.resume:
        return []
    pattern, files, where, _ = DATA[choose("--data of paper", options.data, DATA)]
    if options.data_dir and [*Path(options.data_dir).glob(pattern)]:
        return []
    place = f"--data-dir {options.data_dir} holds none of" if options.data_dir else "--data-dir is missing:"
    other = next(name for name in DATA if name != options.data)
    return [
        f"{place} {options.data}: {files}. Get them from {where}.",
        f"Or --data {other}: {DATA[other][1]}. Get them from {DATA[other][2]}.",
        "Or see it work without: python -m pfmsm_lite paper --sample, generated rows of the same shape.",
    ]


def checked(arguments: Arguments) -> Arguments:
    """The command's arguments as `compare` takes them: methods as declared, unless a search is asked for."""
    filled = {**arguments, "methods": arguments["methods"] or list(METHODS)}
    if not arguments["settings"]:
        for name, usual in (("budget", 1), ("extensions", 0)):
            filled[name] = usual if arguments[name] is None else arguments[name]
    if arguments["generated"]:
        refuse_beside("--sample generates its rows:", ["data-dir"] * bool(arguments["data_dir"]))
        choose("--data of paper", arguments["data"], DATA)
        filled["data_dir"] = str(cache_of(arguments).resolve() / f"sample-{arguments['data']}")
        filled["rounds"] = arguments["rounds"] or SAMPLE["rounds"]
        _generate(filled)
    return compare.checked(filled)


def _generate(arguments: Arguments) -> None:
    """The files of a sample, where they are not there; never half of them under their folder's name."""
    place = Path(arguments["data_dir"])
    if not arguments["generated"] or place.exists():
        return
    torn = place.with_name(f"{place.name}.{os.getpid()}.torn")
    try:
        DATA[arguments["data"]][3](torn)
        os.replace(torn, place)
    except OSError:
        if not place.exists():  # else another process was faster
            raise
    finally:
        shutil.rmtree(torn, ignore_errors=True)


def work(
    out: Path, arguments: Arguments, show: Show = print, screen: TextIO | None = None
) -> dict[Cell, str]:
    """`compare`, and then paper.csv and paper.txt; returns the cells that failed."""
    _generate(arguments)
    failed = compare.compare(out, arguments, show, screen)
    if not (out / "results.csv").exists():
        return failed
    table = beside(read_csv(out / "results.csv", ("method", "scenario", "task")), arguments)
    lines = sentences(arguments, table)
    replace_text(out / "paper.csv", csv_text(table))
    replace_text(out / "paper.txt", "".join(f"{line}\n" for line in lines))
    show(f"\nThe paper's comparison: AUC on test rows, mean of {len(arguments['seeds'])} seeds")
    show(printed(table))
    show("\n" + "\n".join(f"- {line}" for line in lines))
    show(f"\n{out}/: paper.csv, paper.txt")
    return failed


def beside(results: pd.DataFrame, arguments: Arguments) -> pd.DataFrame:
    """Public values and own ones: DataFrame origin, method, a column for each scenario and task, average (of
    the cells that have an AUC).

    results  DataFrame method, seed, scenario, task, split, auc
    """
    tested = results[results["split"] == "test"]
    keys = ["method", "scenario", "task"]
    own = tested.groupby(keys, sort=False)["auc"].mean().unstack(keys[1:])
    own.columns = [f"{scenario} {task}" for scenario, task in own.columns]
    own = own.reindex([name for name in arguments["methods"] if name in own.index])
    lines = own.reset_index().assign(origin="own")
    if arguments["data"] == "aliexpress":
        tasks = aliexpress.TASKS
        public = [
            {"origin": "public", "method": name}
            | {f"{country} {task}": auc for country, aucs in values.items()
               for task, auc in zip(tasks, aucs, strict=True) if f"{country} {task}" in own}
            for name, values in PUBLIC.items()
        ]  # fmt: skip
        lines = pd.concat([pd.DataFrame(public), lines], ignore_index=True)
    known = [cell for cell in own if own[cell].notna().any()]
    lines["average"] = lines[known].mean(axis=1, skipna=False)
    return lines[["origin", "method", *own, "average"]]


def printed(table: pd.DataFrame) -> str:
    """The table for a person."""
    shown = table.copy()
    for column in shown.columns[2:]:
        shown[column] = [f"{auc:.4f}" if auc == auc else "–" for auc in shown[column]]
    return shown.to_string(index=False)


def sentences(arguments: Arguments, table: pd.DataFrame) -> list[str]:
    """What a reader of the table must know."""
    said = [
        "Known of the paper: data, tasks, metric, that clients are scenarios, and what its stages are for. "
        "Its equations, sizes, rates, rounds and tables were not at hand: no number here repeats one of it.",
        "Both readings are there: pf_msmtrec (ours) and pf_msmtrec_hca (FedHCA²'s step, the likelier one).",
    ]
    if arguments["data"] == "aliexpress":
        said.append(
            "The public values are of a program that stops early on the test file, so they flatter; they are "
            "of one large model for each country alone (embedding 128, 8 experts 512-256). Here rounds are "
            "chosen on a fifth of the training rows, and test rows are looked at once."
        )
    else:
        said.append(
            "Rows are drawn 80, 10, 10: the publisher has no split. There are no public values of it here."
        )
    if arguments["generated"]:
        said.append(
            "These rows are GENERATED: no number above says anything of the real data, or of the paper."
        )
    if arguments.get("most_rows"):
        said.append(f"Of each file about {arguments['most_rows']:,} rows were read: not the whole data.")
    if arguments.get("budget") == 1:
        said.append("Every method runs as it is declared; --budget 12 searches for each alike.")
    own = table[table["origin"] == "own"]
    if blank := [cell for cell in own.columns[2:-1] if own[cell].isna().all()]:
        said.append(f"No AUC, and so in no average, not even in the public ones: {', '.join(blank)}.")
    if own["average"].notna().any():
        best = own.loc[own["average"].idxmax()]
        said.append(f"Best average of ours: {best['method']}, {best['average']:.4f}.")
    return said

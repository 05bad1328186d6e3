"""`predict`: the model of a finished run on rows of another table."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pfmsm_lite.data.files import read_file
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.lab import models, plugins
from pfmsm_lite.lab import options as given
from pfmsm_lite.lab.writing import EXECUTED, harmless, whole
from pfmsm_lite.scenario import shortened

SEPARATORS = {".csv": ",", ".tsv": "\t"}  # how the name of a scored file may end, beside .parquet
COLUMN = "{task}_probability"


def add(commands: Any) -> None:
    """The command `predict` and its options."""
    command = commands.add_parser(
        "predict",
        help="probabilities of new rows by the model of a finished run",
        description="Read a table with the columns of the one that RUN was trained on, and write its columns "
        "and one with the probability of each task. Every row is answered by its own scenario's model of the "
        "reported round.",
        formatter_class=given.Lines,
    )
    command.add_argument("run", metavar="RUN", help="directory of a finished run")
    command.add_argument("table", metavar="NEW.csv", help="the rows, as .csv, .tsv, .parquet or the like")
    for option, text in {
        "out": "where the scored table is written: .csv, .tsv or .parquet; it must not be there yet",
        "method": "whose model (default: pf_msmtrec if the run has it, else the best on validation rows)",
        "seed": "of which training (default: the run's first)",
        "sep": "what separates the cells of NEW (default: as in the run, else found out)",
        "decimal": "its decimal sign: . or , (default: as in the run)",
        "encoding": "how it is written, such as latin-1 (default: as in the run, else UTF-8)",
    }.items():
        kind, name = (int, "S") if option == "seed" else (str, option.upper())
        command.add_argument(f"--{option}", type=kind, metavar=name, help=text, required=option == "out")
    given.plugin_option(command)

    def do(options: Namespace) -> int:
        plugins.load(getattr(options, "plugin", ()))
        reading = {name: getattr(options, name) for name in ("sep", "decimal", "encoding")}
        notes: list[str] = []
        found = score(
            options.run,
            options.table,
            options.out,
            options.method,
            options.seed,
            **reading,
            tell=notes.append,
        )
        model = found.model
        print(
            f"{options.out}: the columns of {options.table}, and {', '.join(map(column, model.tasks))} by "
            f"{model.method}, seed {model.seed}, round {model.round}"
        )
        for note in notes:
            print(note)
        return 0

    command.do = do


def column(task: str) -> str:
    """The scored table's name for the probability of a task."""
    return COLUMN.format(task=task)


def score(
    run: str | Path, table: str | Path, out: str | Path, method: str | None = None, seed: int | None = None,
    sep: str | None = None, decimal: str | None = None, encoding: str | None = None,
    tell: Callable[[str], Any] | None = None,
) -> models.Models:  # fmt: skip
    """Write the rows of a table, with their probabilities, to `out`; returns the models that gave them.

    The cells of a text file are copied as they are, separated as the name of `out` says.

    run, method, seed   as in `models.load`;  sep, decimal, encoding: None: as in the run
    tell    called with a warning where cells of a text file would be executed by a spreadsheet
    raises  UserError, also where `out` already exists; then nothing is written
    """
    out, ending = Path(out), Path(out).suffix.lower()
    choose(f"ending of --out {out}:", ending, [*SEPARATORS, ".parquet"])
    if out.exists():
        raise UserError(f"{out} already exists. Choose another --out, or delete it first.")
    arguments = models.finished_arguments(Path(run))
    torch.set_num_threads(arguments.get("threads") or 1)
    found = models.load(run, method, seed)
    if found.model.encoder and decimal:
        found.model.encoder["decimal"] = decimal
    if Path(table).suffix.lower() not in (".parquet", ".pq"):
        sep, encoding = sep or arguments.get("sep"), encoding or arguments.get("encoding")
    read = read_file(table, sep, encoding)
    names = [column(task) for task in found.model.tasks]
    if taken := [name for name in names if name in read.frame]:
        raise UserError(
            f"{table} has a column {', '.join(map(repr, taken))} already, as the probabilities are called. "
            "Rename or drop it."
        )
    probabilities = found.model.predict(read.frame, Path(table).name, read.before)
    _write(out, ending, pd.concat([read.frame, probabilities.set_axis(names, axis=1)], axis=1))
    for note in formulas(read.frame) if tell and ending != ".parquet" else ():
        tell(note)
    return found


def formulas(table: pd.DataFrame) -> list[str]:
    """A warning, where a spreadsheet would execute cells of a table."""
    named = []
    for name, column in table.select_dtypes(exclude=["number", "bool"]).items():
        cells = column[column.astype(str).str.match(EXECUTED)].astype(object)
        cells = cells[pd.to_numeric(cells, errors="coerce").isna()]
        named += [f"{name} ({cells.iloc[0]!r})"] if len(cells) else []
    if not named:
        return []
    return [
        f"Note: cells of {shortened(named)} begin like a formula, and stand as in the table that was given. "
        "A spreadsheet would execute them: import these columns as text."
    ]


def _write(out, ending, scored):
    if ending == ".parquet":
        with whole(out) as file:
            scored.to_parquet(file, index=False)
        return
    with whole(out, "w", encoding="utf-8", newline="") as file:
        scored.rename(columns=harmless).to_csv(file, index=False, sep=SEPARATORS[ending], lineterminator="\n")

"""`checks`: what the paper's source left open, measured: gradients, how much to share, transfer."""

import json
import time
import zlib
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pandas as pd
import torch

import pfmsm_lite.rivals  # noqa: F401  adds the rivals to METHODS
from pfmsm_lite.errors import at_least_one, choose
from pfmsm_lite.lab import checks_data, checks_gradient, checks_share, checks_transfer
from pfmsm_lite.lab import options as given
from pfmsm_lite.lab.versions import machine, versions
from pfmsm_lite.lab.writing import TORN, csv_text, replace_text

Show = Callable[[str], None]


class Check(NamedTuple):
    """One check: the module that measures it, and what its variants are called.

    A module has WORLDS, SPEC (what its cells depend on beside their names), variants(), measure(scenarios,
    clusters, variant, seed, **settings) → DataFrame, and summary(lines of all cells) → {file: DataFrame}.
    """

    module: ModuleType
    keys: tuple[str, ...]
    question: str


CHECKS = {
    "gradient": Check(checks_gradient, ("optimizer", "epochs"), "when a server may believe a difference"),
    "share": Check(checks_share, ("level", "rule"), "how much to share"),
    "transfer": Check(checks_transfer, (), "whether a shared part transfers"),
}


class Cell(NamedTuple):
    """One training: of which check, in which world, by which variant, with which seed (of the data, too)."""

    check: str
    world: str
    variant: tuple
    seed: int

    @property
    def file(self) -> str:
        """Its name in cells/; a cell of another specification, or of other rows, has another name."""
        module = CHECKS[self.check].module
        rows = checks_data.GENERATED.get(self.world, checks_data.MOST)
        settings = checks_data.SETTINGS.get(self.world, {})
        told = json.dumps([*self, module.SPEC, rows, settings], sort_keys=True, default=str)
        return f"{self.check}-{self.seed}-{zlib.crc32(told.encode()):08x}.csv"

    def __str__(self) -> str:
        return ", ".join(map(str, (self.check, self.world, *self.variant, f"seed {self.seed}")))


def add(commands: Any) -> None:
    """The command `checks` and its options."""
    command = commands.add_parser(
        "checks",
        help="three checks: true gradients, how much to share, whether a shared part transfers",
        description="Measure what the paper's source left open, on generated worlds and on samples of "
        "published tables, each seed with data of its own. "
        + " ".join(f"{k}: {c.question}." for k, c in CHECKS.items()),
        formatter_class=given.Lines,
    )
    basic = command.add_argument_group("basic options")
    for option, kind, default, name, text in (
        ("only", given.names, None, "A,B", f"only these of {', '.join(CHECKS)} (all)"),
        ("seeds", int, 3, "N", "how many seeds: 0 … N-1 (3)"),
        ("data-dir", str, None, "DIR", "folder with oulad.csv, adult.csv and KuaiRand-Pure's files; what "
         "is not below it is left out"),
        ("out", str, "runs/checks", "DIR", "where it is saved (runs/checks); begun again, it goes on"),
    ):  # fmt: skip
        basic.add_argument(f"--{option}", type=kind, default=default, metavar=name, help=text)

    def do(options: Namespace) -> int:
        at_least_one(seeds=options.seeds)
        asked = [choose("--only", name, CHECKS) for name in options.only or CHECKS]
        words = ["python -m pfmsm_lite", *options.words]
        visit(Path(options.out), asked, options.seeds, options.data_dir, " ".join(words))
        return 0

    command.do = do


def cells(asked: list[str], seeds: int, data_dir: str | None) -> Iterator[Cell]:
    """Every cell of the checks that are asked for, world by world; worlds without rows are left out."""
    for name in asked:
        module = CHECKS[name].module
        for world in module.WORLDS:
            if world in checks_data.GENERATED or checks_data.found(world, data_dir):
                for seed in range(seeds):
                    for variant in module.variants():
                        yield Cell(name, world, variant, seed)


def visit(
    out: Path, asked: list[str], seeds: int, data_dir: str | None, command: str, show: Show = print
) -> dict[str, pd.DataFrame]:
    """Do the cells that are not done yet, and write the tables and config.json into `out`; the tables.

    A cell is kept in out/cells/ as soon as it is measured; one that is there is not measured again.
    """
    torch.set_num_threads(1)
    wanted = list(cells(asked, seeds, data_dir))
    worlds = {world for name in asked for world in CHECKS[name].module.WORLDS}
    for world in sorted(worlds - {cell.world for cell in wanted}):
        show(f"left out: {world} ({checks_data.PATTERNS[world]} is not below --data-dir)")
    (out / "cells").mkdir(parents=True, exist_ok=True)
    for torn in (out / "cells").glob(TORN):
        torn.unlink(missing_ok=True)
    lines: dict[str, list] = {name: [] for name in asked}
    rows: dict[tuple, tuple] = {}
    for number, cell in enumerate(wanted, 1):
        file = out / "cells" / cell.file
        if not file.exists():
            began = time.process_time()
            replace_text(file, csv_text(_measured(cell, data_dir, rows)))
            show(f"{number} of {len(wanted)}: {cell}, {time.process_time() - began:.0f} s of CPU")
        named = {"world": cell.world, **dict(zip(CHECKS[cell.check].keys, cell.variant, strict=True))}
        lines[cell.check].append(pd.read_csv(file).assign(**named, seed=cell.seed))
    tables = {}
    for name, own in lines.items():
        if own:
            tables |= CHECKS[name].module.summary(pd.concat(own, ignore_index=True))
    told = {"command": command, "date": time.strftime("%Y-%m-%d"), "seeds": seeds, "checks": asked,
            "specification": {name: CHECKS[name].module.SPEC for name in asked},
            "rows": {"generated": checks_data.GENERATED, "most of a published scenario": checks_data.MOST},
            "settings": checks_data.SETTINGS, "versions": versions(), "machine": machine()}  # fmt: skip
    for file, table in tables.items():
        replace_text(out / file, csv_text(table.round(6)))
    replace_text(out / "config.json", json.dumps(told, indent=1, default=str) + "\n")
    show(f"{out}/: {', '.join(tables)}, config.json")
    return tables


def _measured(cell, data_dir, rows):
    """What a cell measures; rows: those of the last world, kept."""
    key = (cell.world, cell.seed)
    if key not in rows:
        rows.clear()
        rows[key] = checks_data.rows_of(*key, data_dir)
    module, settings = CHECKS[cell.check].module, checks_data.SETTINGS.get(cell.world, {})
    return module.measure(*rows[key], cell.variant, cell.seed, **settings)

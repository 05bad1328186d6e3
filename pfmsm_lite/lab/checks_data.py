"""The rows of the checks: generated worlds and small samples of published data, new ones for each seed."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pfmsm_lite.data import read_kuairand, synthetic
from pfmsm_lite.data.kuairand import WINDOWS
from pfmsm_lite.data.table import load_table
from pfmsm_lite.data.teachers import scenario_correlation
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.worlds import WORLDS
from pfmsm_lite.scenario import SPLITS, Rows, Scenario

TEST_ROWS = 1000  # of a generated scenario
MOST = {"train": 1000, "valid": 600, "test": 1000}  # rows of a published scenario that are drawn
SIX, GROUPS = (1000,) * 6, tuple(n % 4 for n in range(16))
GENERATED: dict[str, dict[str, Any]] = {  # name → arguments of `data.synthetic`
    "two groups, 1000 rows": {"sizes": SIX},
    "all alike, 1000 rows": {"sizes": SIX, "relatedness": (0,) * 6},
    "sixteen of 600 rows in four groups": {"sizes": (600,) * 16, "relatedness": GROUPS, "across": 0.0},
    **WORLDS,
}


class Published(NamedTuple):
    """A published table: the pattern of its file below --data-dir, and how it is read."""

    pattern: str
    options: Mapping[str, Any]


TABLES: dict[str, Published] = {
    "OULAD": Published(
        "oulad.csv*",
        {
            "scenario": "code_module", "tasks": ["stayed", "passed"],
            "numerical": ["num_of_prev_attempts", "studied_credits", "date_registration", "early_n", "slack"],
            "ignore": ["season"],
        },
    ),
    "Adult": Published(
        "adult.csv*",
        {
            "scenario": "occupation", "tasks": ["income_50k", "never_married"], "ignore": ["part"],
            "minimum_rows": 100, "na": ["?"], "numerical": ["capital_gain", "capital_loss"],
            "duplicates": "apart",
        },
    ),
}  # fmt: skip
KUAIRAND = "KuaiRand-Pure"
DEFAULT = signature(synthetic).parameters
PATTERNS = {name: row.pattern for name, row in TABLES.items()} | {KUAIRAND: "log_standard_*_pure.csv*"}
SETTINGS = {KUAIRAND: {"unknown_rate": 0.5}}  # what suits a data set beside the defaults


def found(world: str, data_dir: str | Path | None) -> Path | None:
    """The file of a published data set below `data_dir`, or None."""
    files = sorted(Path(data_dir).rglob(PATTERNS[world])) if data_dir else []
    return files[0] if files else None


def rows_of(world: str, seed: int, data_dir: str | Path | None) -> tuple[list[Scenario], list | None]:
    """(scenarios, group of each, or None where nobody knows) of a world; each seed has data of its own.

    world     a name in GENERATED: drawn from the seed; or in PATTERNS: at most MOST rows of each scenario,
              drawn from the seed (KuaiRand: of its first window in time)
    raises    UserError for a published data set that is not below `data_dir`
    """
    if world in GENERATED:
        scenarios, truth = synthetic(**{"test_rows": TEST_ROWS, **GENERATED[world]}, seed=seed)
        return scenarios, list(truth.clusters)
    file = found(world, data_dir)
    if file is None:
        raise UserError(
            f"The rows of {world} ({PATTERNS[world]}) are not below --data-dir {data_dir}. Give their folder."
        )
    return [sampled(scenario, seed) for scenario in _read(world, file, seed)], None


def groups_of(world: str) -> dict[str, Any]:
    """Client → its group of like taste, of a generated world; {} where nobody knows."""
    if world not in GENERATED:
        return {}
    knobs = GENERATED[world]
    count = len(knobs.get("sizes", DEFAULT["sizes"].default))
    _, clusters = scenario_correlation(knobs.get("relatedness"), count, 0.9, 0.1)
    return {f"s{n}": label for n, label in enumerate(clusters or ())}


@lru_cache(maxsize=1)
def _read(world, file, seed):
    """All rows; of a table split at random by the seed."""
    if world == KUAIRAND:
        return read_kuairand(file.parent, **WINDOWS["1"])
    return load_table(file, **TABLES[world].options, seed=seed)


def sampled(scenario: Scenario, seed: int, most: Mapping[str, int] = MOST) -> Scenario:
    """The same scenario with at most this many rows of each split, drawn from the seed, in their order."""
    generator = torch.Generator().manual_seed(seed)
    parts = {}
    for split in SPLITS:
        rows = scenario.rows(split)
        keep = torch.randperm(len(rows.labels), generator=generator)[: most[split]].sort().values
        parts[split] = Rows(*(part if part is None else part[keep] for part in rows))
    return replace(scenario, **parts)

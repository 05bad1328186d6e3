"""The experiments of `questions`, as a table: what is generated, who trains on it, how long."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from pfmsm_lite.lab.statistics import HERO
from pfmsm_lite.methods import METHODS, Method


class Level(NamedTuple):
    """One world of a study.

    knobs     arguments of `data.synthetic`;  methods: names in METHODS, or in VARIANTS
    rounds    of a training;  settings: fields of Settings that differ
    seeds     how many at most: each has data of its own
    """

    study: str
    name: str
    knobs: dict[str, Any]
    methods: tuple[str, ...]
    rounds: int = 10
    seeds: int = 3
    settings: dict[str, Any] = {}


# name → (the method that it is, what differs)
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "kin_asks_on_9": (HERO, {"kin_rounds": 9}),  # as often as with all clients, by the share of a third
    "kin_asks_on_30": (HERO, {"kin_rounds": 30}),  # … of a tenth
}

PLAIN = ("local", "fedavg_sum", "clustered", HERO)
WHY = ("embedding_only", "no_personalization")
SHARES = {"all": (1.0, 10, ()), "a third": (1 / 3, 30, ("kin_asks_on_9",)),
          "a tenth": (0.1, 100, ("kin_asks_on_30",))}  # fmt: skip
SIZES = (3000, 1000, 300, 100, 30)
TWO_GROUPS = {"sizes": SIZES * 2, "relatedness": (0,) * 5 + (1,) * 5, "across": 0.3}
CONDITIONS: dict[str, dict[str, Any]] = {
    "all alike": {"relatedness": (0,) * 10},
    "two groups": {},
    "opposed groups": {"across": -0.5},
    "rates of 1 %": {"rates": 0.01, "test_rows": 4000},
    "own favourites": {"popularity_shift": 1.0},
    "scales 1 : 100": {"feature_scale_shift": 100.0, "statistics": "none"},
}
CLICK_ONLY = {"missing_tasks": {n: ["conversion"] for n in range(2, 6)}}
HELPERS: dict[str, dict[str, Any]] = {  # beside two clients of 500 rows that have click and conversion
    "the two alone": {"sizes": (500,) * 2, "relatedness": (0,) * 2},
    "+ 4 with click, same taste": {"relatedness": (0,) * 6, **CLICK_ONLY},
    "+ 4 with click, other taste": {"relatedness": (0, 0, 1, 1, 1, 1), **CLICK_ONLY},
    "+ 4 with both, same taste": {"relatedness": (0,) * 6},
    "+ 4 with click and like, same taste": {
        "relatedness": (0,) * 6, "tasks": ("click", "conversion", "like"), "rates": (0.3, 0.15, 0.15),
        "missing_tasks": {n: ["like" if n < 2 else "conversion"] for n in range(6)},
    },
}  # fmt: skip
LOST = ["item", "number 0"]
COLUMNS: dict[str, dict[str, Any]] = {
    "all have them": {},
    "the first three have them": {"missing_columns": {n: LOST for n in range(3, 6)}},
    "nobody has them": {"missing_columns": {n: LOST for n in range(6)}},
    "the first three alone": {"sizes": (500,) * 3, "relatedness": (0,) * 3},
}


def _many(clients: int) -> dict[str, Any]:
    """Clients of 500 rows in four groups that have nothing to do with each other."""
    groups = tuple(n % 4 for n in range(clients))
    return {"sizes": (500,) * clients, "relatedness": groups, "across": 0.0, "test_rows": 1000}


def _levels() -> list[Level]:
    found = [
        Level("how-many", str(clients), _many(clients), (*PLAIN, *why), seeds=seeds)
        for clients, seeds, why in ((10, 3, WHY), (50, 3, WHY), (100, 2, ()), (200, 1, ()))
    ]
    found += [
        Level("data-poor", name, TWO_GROUPS | knobs, ("local", "fedavg_sum", HERO, "pf_msmtrec_partners"))
        for name, knobs in CONDITIONS.items()
    ]
    six = {"sizes": (500,) * 6, "relatedness": (0,) * 6, "across": 0.0}
    for study, levels in (("task-sets", HELPERS), ("columns", COLUMNS)):
        found += [
            Level(study, name, six | knobs, ("local", "fedavg_sum", HERO), seeds=5)
            for name, knobs in levels.items()
        ]
    found += [
        Level("sampled", name, _many(50), ("local", "fedavg_sum", HERO, *more), rounds, 2, {"sample": share})
        for name, (share, rounds, more) in SHARES.items()
    ]
    return found


LEVELS = _levels()
STUDIES = (*dict.fromkeys(level.study for level in LEVELS), "late")  # the last one trains by hand: `lab.late`


def method_of(name: str) -> Method:
    """The Method of a name in METHODS or VARIANTS."""
    if name in METHODS:
        return METHODS[name]
    base, changes = VARIANTS[name]
    return replace(METHODS[base], name=name, **changes)


# study → which of its clients (number), rows and task a line of results belongs to, in words
PARTS: dict[str, Callable[[int, int, str], str]] = {
    "data-poor": lambda number, rows, task: f"{rows} rows",
    "task-sets": lambda number, rows, task: f"{'the two' if number < 2 else 'the others'}, {task}",
    "columns": lambda number, rows, task: "first three" if number < 3 else "last three",
}


def part_of(study: str, number: int, rows: int, task: str) -> str:
    """Which part of a study's clients and tasks an average is taken over: "all" where it is one."""
    return PARTS[study](number, rows, task) if study in PARTS else "all"

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
    own_rounds  whether each client keeps the round that is best for it; else one round for all
    """

    study: str
    name: str
    knobs: dict[str, Any]
    methods: tuple[str, ...]
    rounds: int
    seeds: int
    settings: dict[str, Any] = {}
    own_rounds: bool = False


# name → (the method that it is, what differs)
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "kin_asks_on_9": (HERO, {"kin_rounds": 9}),  # as often as with all clients, by the share of a third
    "kin_asks_on_30": (HERO, {"kin_rounds": 30}),  # … of a tenth
}


class Scale(NamedTuple):
    """How large the studies are.

    common    arguments of the generator in every world;  settings: fields of Settings for every training
    rows      of a client;  rounds: of a training where all take part
    many      (clients, seeds, whether the methods that say why are trained, too) of the study how-many
    sizes     of the clients of one group in the study data-poor
    sampled   clients and seeds of the study sampled
    seeds     of the other studies
    """

    common: dict[str, Any]
    settings: dict[str, Any]
    rows: int
    rounds: int
    many: tuple[tuple[int, int, bool], ...]
    sizes: tuple[int, ...]
    sampled: tuple[int, int]
    seeds: int


PLAIN = ("local", "fedavg_sum", "clustered", HERO)
THREE = ("local", "fedavg_sum", HERO)
WHY = ("embedding_only", "no_personalization")
SCALES = {
    "small": Scale(
        {"fields": {"user": 60, "item": 40, "category": 10}, "test_rows": 1000},
        {"experts": 3, "hidden": (32, 16), "tower": 16, "learning_rate": 6e-3},
        300, 24, ((4, 3, True), (12, 3, True), (36, 1, False)),
        (1000, 300, 100, 30), (20, 1), 3,
    ),
    "full": Scale(
        {"test_rows": 1000}, {}, 500, 30, ((10, 5, True), (50, 5, True), (100, 3, True), (200, 3, True)),
        (30000, 10000, 3000, 1000, 300, 100, 30), (50, 3), 5,
    ),
}  # fmt: skip
# share of the clients that take part in a round → the rounds for the same work, as a multiple; a variant
SHARES = {"all": (1.0, 1, ()), "a third": (1 / 3, 3, ("kin_asks_on_9",)),
          "a tenth": (0.1, 10, ("kin_asks_on_30",))}  # fmt: skip
CONDITIONS: dict[str, dict[str, Any]] = {  # of two groups
    "all alike": {"across": 0.95},
    "two groups": {"across": 0.3},
    "opposed groups": {"across": -0.5},
    "rates of 1 %": {"rates": 0.01, "test_rows": 4000},
    "own favourites": {"popularity_shift": 1.0},
    "scales 1 : 100": {"feature_scale_shift": 100.0, "statistics": "none"},
}
CLICK_ONLY = {"missing_tasks": {n: ["conversion"] for n in range(2, 6)}}
HELPERS: dict[str, dict[str, Any]] = {  # beside two clients that have click and conversion
    "the two alone": {"clients": 2},
    "4 with click, same taste": CLICK_ONLY,
    "4 with click, other taste": {"relatedness": (0, 0, 1, 1, 1, 1), **CLICK_ONLY},
    "4 with both, same taste": {},
    "4 with click and like, same taste": {
        "tasks": ("click", "conversion", "like"), "rates": (0.3, 0.15, 0.15),
        "missing_tasks": {n: ["like" if n < 2 else "conversion"] for n in range(6)},
    },
}  # fmt: skip
LOST = ["item", "number 0"]
COLUMNS: dict[str, dict[str, Any]] = {
    "all have them": {},
    "the first three have them": {"missing_columns": {n: LOST for n in range(3, 6)}},
    "the same, all weights shared": {
        "missing_columns": {n: LOST for n in range(3, 6)},
        "columns_home": False,
    },
    "nobody has them": {"missing_columns": {n: LOST for n in range(6)}},
    "the first three alone": {"clients": 3},
}


def _alike(scale: Scale, clients: int = 6, **knobs: Any) -> dict[str, Any]:
    """Clients of one taste, or as `knobs` say."""
    alike = {"sizes": (scale.rows,) * clients, "relatedness": (0,) * clients, "across": 0.0}
    return scale.common | alike | knobs


def _many(scale: Scale, clients: int) -> dict[str, Any]:
    """Clients in four groups that have nothing to do with each other."""
    return _alike(scale, clients, relatedness=tuple(n % 4 for n in range(clients)))


def levels(scale: Scale) -> list[Level]:
    """The worlds of all studies at this scale."""
    two = {"sizes": scale.sizes * 2, "relatedness": (0,) * len(scale.sizes) + (1,) * len(scale.sizes)}
    found = [
        Level("how-many", str(clients), _many(scale, clients), PLAIN + WHY * why, scale.rounds, seeds)
        for clients, seeds, why in scale.many
    ]
    found += [
        Level("data-poor", name, scale.common | two | knobs, THREE, scale.rounds, scale.seeds, {}, True)
        for name, knobs in CONDITIONS.items()
    ]
    found += [
        Level(study, name, _alike(scale, **knobs), THREE, scale.rounds, scale.seeds)
        for study, worlds in (("task-sets", HELPERS), ("columns", COLUMNS))
        for name, knobs in worlds.items()
    ]
    clients, seeds = scale.sampled
    for name, (share, times, more) in SHARES.items():
        methods, rounds = ("fedavg_sum", HERO, *more), times * scale.rounds
        found.append(Level("sampled", name, _many(scale, clients), methods, rounds, seeds, {"sample": share}))
    return [level._replace(settings=scale.settings | level.settings) for level in found]


LEVELS = {name: levels(scale) for name, scale in SCALES.items()}
STUDIES = (*dict.fromkeys(level.study for level in LEVELS["full"]), "late")  # the last: by hand, `lab.late`


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

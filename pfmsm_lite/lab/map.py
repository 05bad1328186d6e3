"""`map`: where each module of pf_msmtrec gains and where it costs, one knob of the data after the other."""

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import pandas as pd

from pfmsm_lite.errors import UserError, at_least_one, choose
from pfmsm_lite.lab import options as given
from pfmsm_lite.lab.directory import Arguments, Job, Opened, Show, carry_out, opened
from pfmsm_lite.lab.engine import Cell, finished_and_told, say_failed
from pfmsm_lite.lab.statistics import holm, paired, points
from pfmsm_lite.lab.writing import csv_text, replace_text

WHOLE = "pf_msmtrec"
WITHOUT = {  # module → the method that lacks it; the last two are plain MMoEs, so they lack the template too
    "template": "no_template",
    "normalization": "no_normalization",
    "coordination": "no_coordination",
    "personal mixtures": "no_personalization",
    "model at home": "no_blend",
    "experts and towers sent": "embedding_only",
    "anything sent": "local",
}
METHODS_USED = [WHOLE, *WITHOUT.values()]


class Level(NamedTuple):
    """One place on the map: the generator with some of its arguments changed."""

    factor: str
    label: str
    knobs: dict


OFTEN_AND_RARE = (True, False, True, False, True, False)  # in both groups, large and small clients alike
AS_IT_IS = {}  # the generator's defaults, which are a level of most factors and are trained once
PICKED = "picked"  # after a search, since a module did something there: never part of a map or of an average
LEVELS = (
    Level("likeness of the two groups", "−0.5", {"across": -0.5}),
    Level("likeness of the two groups", "0", {"across": 0.0}),
    Level("likeness of the two groups", "0.3", AS_IT_IS),
    Level("likeness of the two groups", "0.6", {"across": 0.6}),
    Level("likeness of the two groups", "0.9", {"across": 0.9}),
    Level("sizes of the clients", "1 : 1", {"sizes": (3500,) * 6}),
    Level("sizes of the clients", "1 : 4", AS_IT_IS),
    Level("sizes of the clients", "1 : 30", {"sizes": (9000, 1200, 300) * 2}),
    *(
        Level("scale of numbers", f"1 : {s:g}", {"feature_scale_shift": s, "statistics": "none"})
        for s in (1, 10, 100)
    ),
    Level("own favourites", "0%", AS_IT_IS),
    Level("own favourites", "50%", {"popularity_shift": 0.5}),
    Level("own favourites", "100%", {"popularity_shift": 1.0}),
    Level("base rates", "alike", AS_IT_IS),
    Level("base rates", "1 : 3", {"rates": [(0.45, 0.24) if o else (0.15, 0.08) for o in OFTEN_AND_RARE]}),
    Level("base rates", "1 : 10", {"rates": [(0.5, 0.3) if o else (0.05, 0.03) for o in OFTEN_AND_RARE]}),
    Level("wrong labels", "0%", AS_IT_IS),
    Level("wrong labels", "6%", {"label_noise": 0.06}),
    Level("wrong labels", "12%", {"label_noise": 0.12}),
    Level(PICKED, "24 of 200, one taste", {"sizes": (200,) * 24, "relatedness": (0,) * 24}),
    Level(PICKED, "6 of 1500, nothing in common", {"sizes": (1500,) * 6, "within": 0.0, "across": 0.0}),
)


def add(commands: Any) -> None:
    """The command `map` and its options."""
    chart = commands.add_parser(
        "map",
        help="where each module of pf_msmtrec gains and where it costs",
        description="Turn one knob of the generator after the other, train pf_msmtrec and itself without "
        "each of its modules, and write map.csv and map.png: gains in AUC points with intervals over seeds.",
        formatter_class=given.Lines,
    )
    basic = chart.add_argument_group("basic options")
    basic.add_argument(
        "--factors",
        type=given.names,
        metavar="A,B",
        help="only these knobs of the map; `picked`, two worlds that a search led to, stands alone",
    )
    basic.add_argument("--seeds", type=int, default=5, metavar="N", help="how many seeds: 0 … N-1 (5)")
    given.training_options(basic, "what is finished is kept, what failed is done again", out="runs/map")
    given.knob_option(basic)

    def do(options: Namespace) -> int:
        return carry_out(Job("factors", ("threads", "processes"), checked, draw_map), chart, options)

    chart.set_defaults(data="synthetic", data_seed=0)
    chart.do = do


def first(level: Level, levels: Iterable[Level] = LEVELS) -> int:
    """Number (in LEVELS) of the first of some levels that turns the same knobs."""
    return next(LEVELS.index(other) for other in levels if other.knobs == level.knobs)


def checked(arguments: Arguments) -> Arguments:
    """The command's arguments as the main job takes them.

    raises  UserError for an unknown factor, no seed, or a knob that the map turns itself
    """
    at_least_one(seeds=arguments["seeds"])
    known = list(dict.fromkeys(level.factor for level in LEVELS))
    whole = [factor for factor in known if factor != PICKED]
    factors = [choose("--factors", factor, known) for factor in arguments["factors"] or whole]
    if PICKED in factors and set(factors) != {PICKED}:
        raise UserError(f"--factors: {PICKED!r} stands alone; a search led to it, so it is part of no map.")
    seeds = list(range(arguments["seeds"]))
    turned = {knob: level.factor for level in LEVELS if level.factor in factors for knob in level.knobs}
    for knob, _ in arguments["knob"] or ():
        if knob in turned:
            raise UserError(
                f"--knob {knob}: the map turns it itself ({turned[knob]!r}). Leave that one out of --factors."
            )
    return {**arguments, "methods": METHODS_USED, "seeds": seeds, "factors": factors}


def draw_map(
    out: Path, arguments: Arguments, show: Show = print, screen: TextIO | None = None
) -> dict[Cell, str]:
    """Train WHOLE and every method of WITHOUT on every level, and write the map; the cells that failed.

    out        directory, made by directory.made; what is finished in it is not done again
    arguments  of the command, in full: factors, seeds (a list; each is that of the data, too), rounds, knob
               (of all levels), processes
    """
    begun = opened(out, arguments, show)
    levels = [level for level in LEVELS if level.factor in arguments["factors"]]
    cells = _cells(begun, levels)
    show(f"on each level of {', '.join(arguments['factors'])}; each seed has data of its own")
    found, failed = finished_and_told(cells, begun.work, screen, show)
    lines = results(found, levels)
    replace_text(out / "aucs.csv", csv_text(lines))
    gains = table(lines)
    replace_text(out / "map.csv", csv_text(gains))
    if len(gains):
        from pfmsm_lite.lab.charts import module_map

        show(printed(gains))
        if PICKED not in arguments["factors"]:
            show("\naveraged over the map, points [95 %]")
            for row in average(lines).rename(columns={"gain": "difference"}).itertuples():
                show(f"  {row.Index:<24}{points(row)}")
        module_map(gains).savefig(out / "map.png")
    show(f"\n{out}/: map.csv, map.png, aucs.csv, config.json")
    say_failed(failed, f"map --resume {out}", show)
    return failed


def _cells(begun: Opened, levels: list[Level]) -> list[Cell]:
    """Every method on every level with every seed; levels with the same data are trained once."""
    base, found = dict(begun.work.arguments["knob"] or ()), {}
    for level in levels:
        number = first(level, levels)
        name = f"{LEVELS[number].factor} {LEVELS[number].label}"
        for seed in begun.work.arguments["seeds"]:
            for method in begun.methods:
                cell = Cell(
                    f"{number}-{method.name}-{seed}", f"{name}, {method.name}", method, begun.settings, seed,
                    number, {"knob": [*(base | level.knobs).items()], "data_seed": seed},
                )  # fmt: skip
                found.setdefault(cell.file, cell)
    return list(found.values())


def results(found: dict[Cell, dict], levels: list[Level]) -> pd.DataFrame:
    """{Cell: what is kept} → DataFrame factor, level, method, seed, auc."""
    lines = [
        (level.factor, level.label, cell.method.name, cell.seed, kept["test_auc"])
        for level in levels
        for cell, kept in sorted(found.items(), key=lambda item: (item[0].method.name, item[0].seed))
        if cell.number == first(level, levels)
    ]
    return pd.DataFrame(lines, columns=["factor", "level", "method", "seed", "auc"])


def table(results: pd.DataFrame) -> pd.DataFrame:
    """What each module gains on each level, in the order of LEVELS and WITHOUT.

    results  as in `results`
    returns  DataFrame factor, level, module, gain, low, high, seeds, p, p_holm. gain: pf_msmtrec minus the
             method without the module, AUC points on test rows, mean over paired seeds with a 95 % t interval
             (NaN with one seed); p of the paired t-test; p_holm corrected for the number of lines, lines of
             the same data counted once
    """
    lines = []
    for (factor, level), own in results.groupby(["factor", "level"], sort=False):
        aucs = own.pivot(index="seed", columns="method", values="auc")
        for module, method in WITHOUT.items():
            if {WHOLE, method} <= set(aucs):
                gain, low, high, p, seeds = paired(aucs[WHOLE], aucs[method])
                lines.append((factor, level, module, gain, low, high, seeds, p))
    columns = ["factor", "level", "module", "gain", "low", "high", "seeds", "p"]
    found = pd.DataFrame(lines, columns=columns)
    once = found.drop_duplicates(["module", "gain"])
    corrected = pd.Series(holm(once["p"]), index=pd.MultiIndex.from_frame(once[["module", "gain"]]))
    return found.assign(p_holm=[corrected[key] for key in zip(found["module"], found["gain"], strict=True)])


def average(results: pd.DataFrame) -> pd.DataFrame:
    """What each module gains over the whole map: DataFrame by module with gain, low, high, p, as in `table`.

    results  as in `results`; of levels that are the same data only the first counts. The mean is taken inside
             a seed, over the levels on which all its methods are there, then over the seeds
    """
    aucs = results.pivot(index=["seed", "factor", "level"], columns="method", values="auc").dropna()
    by_seed = aucs.drop_duplicates().groupby("seed").mean()
    found = {
        module: paired(by_seed[WHOLE], by_seed[method])[:4]
        for module, method in WITHOUT.items()
        if {WHOLE, method} <= set(by_seed)
    }
    return pd.DataFrame(found, index=["gain", "low", "high", "p"]).T


def printed(gains: pd.DataFrame) -> str:
    """The map as text: a star where the interval excludes zero."""
    shown = gains.assign(
        text=[
            f"{g:+.2f}{'*' if low > 0 or high < 0 else ' '}"
            for g, low, high in gains[["gain", "low", "high"]].to_numpy()
        ]
    )
    lines = shown.pivot(index=["factor", "level"], columns="module", values="text")
    lines = lines.reindex(index=list(dict.fromkeys(zip(gains["factor"], gains["level"], strict=True))))
    return lines[list(dict.fromkeys(gains["module"]))].to_string()

"""Where each module of pf_msmtrec gains and where it costs: one knob of the generator after the other."""

import json
import sys
import time
from functools import lru_cache
from typing import NamedTuple

from pfmsm_lite.errors import UserError, at_least_one, choose
from pfmsm_lite.lab.cells import finished, say_failed
from pfmsm_lite.lab.compare import holm, paired_p
from pfmsm_lite.lab.job import declared, opened, replace_text, train_on
from pfmsm_lite.lab.statistics import paired_interval, points

WHOLE = "pf_msmtrec"
WITHOUT = {  # module → the method that lacks it; the last two are plain MMoEs, so they lack the template too
    "template": "no_template",
    "normalization": "no_normalization",
    "coordination": "no_coordination",
    "personal mixtures": "no_personalization",
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
    Level("likeness of the two groups", "-0.5", {"across": -0.5}),
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


class Cell(NamedTuple):
    """One training: number of the first level in LEVELS with these knobs, method, seed (of the data, too)."""

    level: int
    method: str
    seed: int

    @property
    def file(self):
        return f"{self.level}-{self.method}-{self.seed}"

    @property
    def title(self):
        level = LEVELS[self.level]
        return f"{level.factor} {level.label}, {self.method}", self.seed


def first(level, levels=LEVELS):
    """Number (in LEVELS) of the first of some levels that turns the same knobs."""
    return next(LEVELS.index(other) for other in levels if other.knobs == level.knobs)


@lru_cache(maxsize=2)
def _scenarios(knobs, seed):
    from pfmsm_lite.data import synthetic

    return synthetic(**json.loads(knobs), seed=seed)[0]


def train_cell(title, method, settings, seed, knobs, checkpoint):
    """In a worker: make the data, train, keep the average test AUC."""
    scenarios = _scenarios(json.dumps(knobs), seed)
    results = train_on(scenarios, title, method, settings, seed, checkpoint).results
    return {"auc": float(results[results["split"] == "test"]["auc"].mean())}


def checked(arguments):
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


def draw_map(out, arguments, show=print, screen=sys.stderr):
    """Train WHOLE and every method of WITHOUT on every level, and write the map; the cells that failed.

    out        directory, made by job.prepare; what is finished in it is not done again
    arguments  of the command, in full: factors, seeds (a list; each is that of the data, too), rounds, knob
               (of all levels), processes
    """
    data_digest = opened(out, arguments, show)[2]
    chosen, settings = declared(arguments)
    base = dict(arguments["knob"] or ())
    levels = [level for level in LEVELS if level.factor in arguments["factors"]]
    jobs = {
        Cell(first(level, levels), method.name, seed): (method, settings, seed, {**base, **level.knobs})
        for level in levels
        for seed in arguments["seeds"]
        for method in chosen
    }
    started = time.monotonic()
    show(f"on each level of {', '.join(arguments['factors'])}; each seed has data of its own")
    found, failed = finished(train_cell, jobs, out, arguments, data_digest, screen)
    show(f"{len(found)} of {len(jobs)} trainings are done, {time.monotonic() - started:.0f} s\n")
    lines = results(found, levels)
    replace_text(out / "aucs.csv", lines.to_csv(index=False, lineterminator="\n"))
    gains = table(lines)
    replace_text(out / "map.csv", gains.to_csv(index=False, lineterminator="\n"))
    if len(gains):
        from pfmsm_lite.course.drawings.chapter10 import module_map

        show(printed(gains))
        if PICKED not in arguments["factors"]:
            show("\naveraged over the map, points [95 %]")
            for row in average(lines).rename(columns={"gain": "difference"}).itertuples():
                show(f"  {row.Index:<24}{points(row)}")
        module_map(gains).savefig(out / "map.png")
    show(f"\n{out}/: map.csv, map.png, aucs.csv, config.json")
    say_failed(failed, f"map --resume {out}", show)
    return failed


def results(found, levels):
    """{Cell: what is kept} → DataFrame factor, level, method, seed, auc."""
    import pandas as pd

    lines = [
        (level.factor, level.label, cell.method, cell.seed, kept["auc"])
        for level in levels
        for cell, kept in sorted(found.items())
        if cell.level == first(level, levels)
    ]
    return pd.DataFrame(lines, columns=["factor", "level", "method", "seed", "auc"])


def _gain(whole, without):
    """[gain, low, high, p] of AUCs over paired seeds; the first three in AUC points."""
    return [*(100 * x for x in paired_interval(whole, without)), paired_p(whole, without)]


def table(results):
    """What each module gains on each level, in the order of LEVELS and WITHOUT.

    results  as of `results`
    returns  DataFrame factor, level, module, gain, low, high, seeds, p, p_holm. gain: pf_msmtrec minus the
             method without the module, AUC points on test rows, mean over paired seeds with a 95 % t interval
             (NaN with one seed); p of the paired t-test; p_holm corrected for the number of lines, lines of
             the same data counted once
    """
    import pandas as pd

    lines = []
    for (factor, level), own in results.groupby(["factor", "level"], sort=False):
        aucs = own.pivot(index="seed", columns="method", values="auc")
        for module, method in WITHOUT.items():
            if {WHOLE, method} <= set(aucs):
                pairs = aucs[[WHOLE, method]].dropna()
                *gain, p = _gain(pairs[WHOLE], pairs[method])
                lines.append((factor, level, module, *gain, len(pairs), p))
    columns = ["factor", "level", "module", "gain", "low", "high", "seeds", "p"]
    found = pd.DataFrame(lines, columns=columns)
    once = found.drop_duplicates(["module", "gain"])
    corrected = pd.Series(holm(once["p"]), index=pd.MultiIndex.from_frame(once[["module", "gain"]]))
    return found.assign(p_holm=[corrected[key] for key in zip(found["module"], found["gain"], strict=True)])


def average(results):
    """What each module gains over the whole map: DataFrame by module with gain, low, high, p, as in `table`.

    results  as of `results`; of levels that are the same data only the first counts. The mean is taken inside
             a seed, over the levels on which all its methods are there, then over the seeds
    """
    import pandas as pd

    aucs = results.pivot(index=["seed", "factor", "level"], columns="method", values="auc").dropna()
    by_seed = aucs.drop_duplicates().groupby("seed").mean()
    found = {
        module: _gain(by_seed[WHOLE], by_seed[method])
        for module, method in WITHOUT.items()
        if {WHOLE, method} <= set(by_seed)
    }
    return pd.DataFrame(found, index=["gain", "low", "high", "p"]).T


def printed(gains):
    """The map as text: a star where the interval leaves zero out."""
    shown = gains.assign(
        text=[
            f"{g:+.2f}{'*' if low > 0 or high < 0 else ' '}"
            for g, low, high in gains[["gain", "low", "high"]].to_numpy()
        ]
    )
    lines = shown.pivot(index=["factor", "level"], columns="module", values="text")
    lines = lines.reindex(index=list(dict.fromkeys(zip(gains["factor"], gains["level"], strict=True))))
    return lines[list(dict.fromkeys(gains["module"]))].to_string()

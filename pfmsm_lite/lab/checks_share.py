"""Check b: how much to share, from nothing to everything, and where the curve breaks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pfmsm_lite.lab.statistics import paired
from pfmsm_lite.loop import run
from pfmsm_lite.methods import EVERYTHING, Method, Settings
from pfmsm_lite.scenario import Scenario

WORLDS = (
    "two groups", "all alike", "opposed, 6000 and 300 rows", "an odd one of 250 rows among six",
    "fifty of 300 rows in four groups", "twelve in three groups, noise", "OULAD", "Adult", "KuaiRand-Pure",
)  # fmt: skip
ROUNDS = 8
NOTHING, MEAN, KIN = "nothing", "mean", "kin"
HOME = ", base rates at home"
RULES = (MEAN, MEAN + HOME, KIN, KIN + HOME)
CONTROLS = (MEAN + HOME, KIN)
SHARED = {  # level → groups that leave a client beside the embedding entries, whose changes are added up
    NOTHING: (),
    "embedding": (),
    "and the experts' shared part": ("expert.scenario",),
    "and towers": ("expert.scenario", "tower"),
    "and gates": ("expert.scenario", "tower", "gate"),
    "everything, no template": tuple(group for group in EVERYTHING if group != "embedding"),
}
LEVELS = tuple(SHARED)
PLAIN = (NOTHING, "embedding", LEVELS[-1])  # levels without a template
SPEC = {"rounds": ROUNDS, "shared": SHARED}
COLUMNS = ("scenario", "task", "split", "auc", "best_round", "bytes")


def variants() -> list[tuple[str, str]]:
    """(level, rule) of every cell; where no network leaves home there is nothing to mix, so one rule.

    CONTROLS, what base rates at home do to the mean and what `kin` does without them, at two levels alone.
    """
    found = [(level, rule) for level in LEVELS for rule in (RULES if SHARED[level] else RULES[:1])]
    return [
        (level, rule) for level, rule in found if rule not in CONTROLS or level in (LEVELS[2], LEVELS[-1])
    ]


def method_of(level: str, rule: str) -> Method:
    """The method that shares just this much.

    rule  mean, or kin: each client's own mixture; either with base rates at home, too, as `pf_msmtrec` has
          them: then clients do not look like kin because their rates are alike
    """
    which = rule.removesuffix(HOME)
    share = {} if level == NOTHING else {"embedding": "mean"}
    share |= dict.fromkeys(SHARED[level], MEAN if which == MEAN else "personalized")
    return Method(
        "shares",
        f"{level}, {rule}",
        share,
        compose="none" if level in PLAIN else "hadamard",
        embedding="sum",
        aggregate=which,
        intercept="home" if rule.endswith(HOME) else "none",
    )


def measure(
    scenarios: list[Scenario], clusters: Sequence | None, variant: tuple[str, str], seed: int, **settings: Any
) -> pd.DataFrame:
    """Train one level and return DataFrame COLUMNS of its best round by validation rows.

    bytes  that a client sends in the first round, mean over clients
    """
    history = run(scenarios, method_of(*variant), ROUNDS, seed, settings=Settings(**settings))
    sent = history.rounds[history.rounds["round"] == 1].drop_duplicates("scenario")["bytes"].mean()
    return history.results.assign(best_round=history.best_round, bytes=sent)[list(COLUMNS)]


def summary(lines: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """share.csv: by world, level and rule the AUC, and what it gains over nothing and over one level less.

    gain, low, high          AUC points over `nothing`, paired by seed, 95 % t interval
    step, step_low, step_high  the same over the level before, by the same rule; NaN where that was not run
    worst_client, worst      which client gains least over `nothing`, by how much (mean of tasks and seeds)
    """
    test, found = lines[lines["split"] == "test"], []
    for world, own in test.groupby("world", sort=False):
        by_seed = own.pivot_table(index="seed", columns=["level", "rule"], values="auc")
        clients = own.pivot_table(index="scenario", columns=["level", "rule"], values="auc")
        for level, rule in [key for key in variants() if key in by_seed]:
            alone, before = by_seed[NOTHING, MEAN], _before(level, rule)
            gain = paired(by_seed[level, rule], alone)
            step = paired(by_seed[level, rule], by_seed.get(before, alone * np.nan))
            over = 100 * (clients[level, rule] - clients[NOTHING, MEAN])
            cell = own[(own["level"] == level) & (own["rule"] == rule)]
            found.append({
                "world": world, "level": level, "rule": rule, "auc": by_seed[level, rule].mean(),
                "gain": gain.difference, "low": gain.low, "high": gain.high,
                "step": step.difference, "step_low": step.low, "step_high": step.high,
                "worst_client": over.idxmin(), "worst": over.min(), "clients": len(over),
                "best_round": cell["best_round"].mean(), "bytes": cell["bytes"].mean(), "seeds": gain.seeds,
            })  # fmt: skip
    kept = lines.groupby(["world", "level", "rule", "seed", "split"], sort=False)["auc"].mean().reset_index()
    return {"share.csv": pd.DataFrame(found), "share_seeds.csv": kept}


def _before(level, rule):
    """One level less; the first two have one rule for all."""
    less = LEVELS[LEVELS.index(level) - 1] if level != NOTHING else ""
    return less, rule if SHARED.get(less) else MEAN


def breaks(table: pd.DataFrame) -> pd.DataFrame:
    """Where each curve is highest, and the first level that clearly costs: DataFrame of share.csv, by world
    and rule → world, rule, best (level), gain, breaks (level, or ""): its step's interval lies below zero."""
    found = []
    for world, own in table.groupby("world", sort=False):
        for rule in RULES:
            curve = own[(own["rule"] == rule) | own["level"].isin(LEVELS[:2])]
            best = curve.loc[curve["auc"].idxmax()]
            fallen = curve[curve["step_high"] < 0]["level"]
            found.append((world, rule, best["level"], best["gain"], *(fallen.tolist()[:1] or [""])))
    return pd.DataFrame(found, columns=["world", "rule", "best", "gain", "breaks"])

"""Exercises of chapter 01: the funnel by hand, AUC by scenario, a model that is told where it is."""

from dataclasses import replace

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from pfmsm_lite.course.exercise import SEEDS, Exercise, by_cases, say, varied
from pfmsm_lite.data import Scenario, synthetic
from pfmsm_lite.scenario import SPLITS


def with_scenario(scenario, number, count):
    """Exercise 3, ours: the scenario with one more categorical field, the same id in every row of it."""
    splits = {}
    for split in SPLITS:
        ids = scenario.rows(split).categorical
        column = torch.full_like(ids[:, :1], number + 1)
        splits[split] = scenario.rows(split)._replace(categorical=torch.cat([ids, column], 1))
    return replace(scenario, fields={**scenario.fields, "scenario": count + 1}, **splits)


def ctcvr(impressions=1000, clicks=100, purchases=10):
    """Exercise 1: of item A."""
    ctr, cvr = clicks / impressions, purchases / clicks
    same = " (or the CTR, which happens to be the same number here)" if ctr == cvr else ""
    cases = (
        (purchases / impressions, ""),
        (cvr, f"that is purchases per CLICK, the CVR{same}."),
        (ctr, "that is the CTR: it counts clicks, not purchases."),
        (
            purchases,
            "that is the number of purchases. A rate is a share: divide by what everybody was shown.",
        ),
        (100 * purchases / impressions, "as a share, not in percent."),
        (ctr + cvr, "CTR and CVR are multiplied, not added."),
    )
    return by_cases(
        "number", cases, "click-and-buy per impression: purchases divided by ALL impressions of item A.",
        1e-9, "one number between 0 and 1.",
        task=f"Item A had {impressions:,} impressions, {clicks} clicks and {purchases} purchases. What "
        "is its CTCVR? A number.",
        why=f"{purchases} / {impressions:,} = {say(purchases / impressions)}",
    )  # fmt: skip


def average(seed=0):
    """Exercise 2, on labels and scores of a seed."""
    generator = np.random.default_rng(seed)
    scenario = np.repeat([0, 1], (30, 90))
    scores = generator.random(120) + 0.8 * scenario
    chance = np.where(scenario == 0, scores, 0.45 + 0.1 * scores)
    labels = (generator.random(120) < chance).astype(int)
    if any(len(set(labels[scenario == n])) < 2 for n in (0, 1)):
        return None
    inside = [float(roc_auc_score(labels[scenario == n], scores[scenario == n])) for n in (0, 1)]
    cases = (
        (sum(inside) / 2, ""),
        (
            float(roc_auc_score(labels, scores)),
            "that is the AUC of all rows together: it compares rows of different scenarios.",
        ),
        (
            (30 * inside[0] + 90 * inside[1]) / 120,
            "that weights each scenario by its rows: the large one drowns the small one. Weight both alike.",
        ),
        (sum(inside), "that is the sum. Divide by the number of scenarios."),
    )
    return by_cases(
        "function", cases, "one AUC for each scenario, from its own rows only; then their plain mean.", 1e-9,
        "a function of (labels, scores, scenario) that returns one number.",
        of=lambda answer: float(answer(labels, scores, scenario)),
    )  # fmt: skip


def tell(seed=0, number=1, more=1):
    """Exercise 3, on data of a seed, for scenario `number` of number + more."""
    scenario = synthetic(sizes=(40, 40), test_rows=20, fields={"user": 5, "item": 4}, seed=seed)[0][1]
    hint = "a function of (scenario, number, count) that returns a Scenario."
    return Exercise("function", lambda answer: _told(answer, scenario, number, number + more), hint)


def _told(answer, scenario, number, count):
    told = answer(scenario, number, count)
    if not isinstance(told, Scenario):
        return f"return a Scenario, by replace(scenario, ...); this returned a {type(told).__name__}."
    extra = [name for name in told.fields if name not in scenario.fields]
    if len(extra) != 1:
        return f"`fields` needs one more entry than before; there are {len(extra)} new ones."
    if list(told.fields)[-1] != extra[0]:
        return "the new field must be the last one, as its column is."
    if told.fields[extra[0]] != count + 1:
        return "the table of the new field needs 1 + count entries: entry 0 stands for `unknown`."
    for split in SPLITS:
        before, after = scenario.rows(split).categorical, told.rows(split).categorical
        if after.shape != (len(before), before.shape[1] + 1):
            return f"the rows of `{split}` need one more column: {before.shape[1] + 1}, not {after.shape[1]}."
        if not bool((after[:, :-1] == before).all()):
            return f"the old columns of `{split}` must stay as they were."
        if bool((after[:, -1] == number).all()):
            return "0 is kept for `unknown`, so scenario number n gets id n + 1."
        if not bool((after[:, -1] == number + 1).all()):
            return f"the new column of `{split}` must hold number + 1 in every row."
    if replace(told, fields=scenario.fields).name != scenario.name:
        return "the scenario's name must stay."
    return ""


EXERCISES = {
    "ex1": varied(ctcvr, impressions=(500, 1000, 2000, 4000), clicks=(40, 50, 80, 100), purchases=(4, 5, 8)),
    "ex2": varied(average, seed=SEEDS),
    "ex3": varied(tell, seed=SEEDS, number=(1, 2, 3), more=(1, 2)),
}

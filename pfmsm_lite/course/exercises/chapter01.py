"""Exercises of chapter 01: the funnel by hand, AUC by scenario, a model that is told where it is."""

from dataclasses import replace

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from pfmsm_lite.course.notebook import Exercise
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


def _ctcvr(answer):
    value = float(answer)
    if abs(value - 0.01) < 1e-9:
        return ""
    if abs(value - 0.1) < 1e-9:
        return "that is purchases per CLICK, the CVR (or the CTR, which happens to be the same number here)."
    if abs(value - 10) < 1e-9:
        return "that is the number of purchases. A rate is a share: divide by what everybody was shown."
    if abs(value - 1) < 1e-9:
        return "as a share, not in percent."
    if abs(value - 0.2) < 1e-9:
        return "CTR and CVR are multiplied, not added."
    return "click-and-buy per impression: purchases divided by ALL impressions of item A."


def _average(answer):
    generator = np.random.default_rng(0)
    scenario = np.repeat([0, 1], (30, 90))
    scores = generator.random(120) + 0.8 * scenario
    chance = np.where(scenario == 0, scores, 0.45 + 0.1 * scores)
    labels = (generator.random(120) < chance).astype(int)
    inside = [float(roc_auc_score(labels[scenario == n], scores[scenario == n])) for n in (0, 1)]
    given = float(answer(labels, scores, scenario))
    if abs(given - sum(inside) / 2) < 1e-9:
        return ""
    if abs(given - roc_auc_score(labels, scores)) < 1e-9:
        return "that is the AUC of all rows together: it compares rows of different scenarios."
    if abs(given - (30 * inside[0] + 90 * inside[1]) / 120) < 1e-9:
        return "that weights a scenario by its rows: the large one drowns the small one. Weight both alike."
    if abs(given - sum(inside)) < 1e-9:
        return "that is the sum. Divide by the number of scenarios."
    return "one AUC for each scenario, from its own rows only; then their plain mean."


def _tell(answer):
    scenario = synthetic(sizes=(40, 40), test_rows=20, fields={"user": 5, "item": 4})[0][1]
    told = answer(scenario, 1, 2)
    if not isinstance(told, Scenario):
        return f"return a Scenario, by replace(scenario, ...); this returned a {type(told).__name__}."
    extra = [name for name in told.fields if name not in scenario.fields]
    if len(extra) != 1:
        return f"`fields` needs one more entry than before; there are {len(extra)} new ones."
    if list(told.fields)[-1] != extra[0]:
        return "the new field must be the last one, as its column is."
    if told.fields[extra[0]] != 3:
        return "the table of the new field needs 1 + count entries: entry 0 stands for `unknown`."
    for split in SPLITS:
        before, after = scenario.rows(split).categorical, told.rows(split).categorical
        if after.shape != (len(before), before.shape[1] + 1):
            return f"the rows of `{split}` need one more column: {before.shape[1] + 1}, not {after.shape[1]}."
        if not bool((after[:, :-1] == before).all()):
            return f"the old columns of `{split}` must stay as they were."
        if bool((after[:, -1] == 1).all()):
            return "0 is kept for `unknown`, so scenario number n gets id n + 1."
        if not bool((after[:, -1] == 2).all()):
            return f"the new column of `{split}` must hold number + 1 in every row."
    if replace(told, fields=scenario.fields).name != scenario.name:
        return "the scenario's name must stay."
    return ""


EXERCISES = {
    "ex1": Exercise("number", _ctcvr, "one number between 0 and 1."),
    "ex2": Exercise(
        "function", _average, "a function of (labels, scores, scenario) that returns one number."
    ),
    "ex3": Exercise("function", _tell, "a function of (scenario, number, count) that returns a Scenario."),
}

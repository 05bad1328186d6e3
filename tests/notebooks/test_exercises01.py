"""Chapter 01: solutions pass; plausible wrong answers get the hint that fits."""

from dataclasses import replace

import torch
from sklearn.metrics import roc_auc_score
from solving import exercise_tests, solutions

SOLUTIONS = solutions("01")


def overall(labels, scores, scenario):
    return roc_auc_score(labels, scores)


def weighted(labels, scores, scenario):
    parts = [(scenario == n) for n in set(scenario.tolist())]
    return sum(own.mean() * roc_auc_score(labels[own], scores[own]) for own in parts)


def summed(labels, scores, scenario):
    return 2 * SOLUTIONS["ex2"](labels, scores, scenario)


def without_unknown(scenario, number, count):
    return SOLUTIONS["ex3"](scenario, number - 1, count)


def small_table(scenario, number, count):
    return SOLUTIONS["ex3"](scenario, number, count - 1)


def only_train(scenario, number, count):
    told = SOLUTIONS["ex3"](scenario, number, count)
    return replace(told, valid=scenario.valid)


def only_fields(scenario, number, count):
    return replace(scenario, fields={**scenario.fields, "scenario": count + 1})


def overwrites(scenario, number, count):
    told = SOLUTIONS["ex3"](scenario, number, count)
    ids = torch.full_like(told.train.categorical, number + 1)
    return replace(told, train=told.train._replace(categorical=ids))


WRONG = [
    ("ex1", 0.1, "per CLICK"),
    ("ex1", 10, "number of purchases"),
    ("ex1", 1.0, "percent"),
    ("ex1", 0.2, "not added"),
    ("ex1", 0.5, "ALL impressions"),
    ("ex1", "0.01", "expected a number"),
    ("ex2", overall, "all rows together"),
    ("ex2", weighted, "drowns the small one"),
    ("ex2", summed, "sum"),
    ("ex2", lambda labels, scores: 0.5, "your code stopped with TypeError"),
    ("ex2", 0.7, "expected a function"),
    ("ex3", without_unknown, "kept for `unknown`"),
    ("ex3", small_table, "1 + count entries"),
    ("ex3", only_train, "rows of `valid`"),
    ("ex3", only_fields, "one more column"),
    ("ex3", overwrites, "old columns"),
    ("ex3", lambda scenario, number, count: scenario, "one more entry"),
    ("ex3", lambda scenario, number, count: number, "return a Scenario"),
    ("ex3", torch.zeros(2), "expected a function"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("01", WRONG)

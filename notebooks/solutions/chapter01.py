"""Solutions of chapter 01."""

from dataclasses import replace

import torch
from sklearn.metrics import roc_auc_score

# Exercise 1. Item A: 10 purchases out of 1,000 impressions. The same as CTR · CVR = 0.1 · 0.1.
ctcvr_of_a = 10 / 1000


# Exercise 2. One AUC per scenario, then the plain mean: a small scenario counts as much as a large one.
def auc_by_scenario(labels, scores, scenario):
    found = []
    for number in set(scenario.tolist()):
        own = scenario == number
        found.append(roc_auc_score(labels[own], scores[own]))
    return sum(found) / len(found)


# Exercise 3. One more categorical field; its value is the same in every row of a scenario.
def tell(scenario, number, count):
    def with_column(rows):
        column = torch.full((len(rows.categorical), 1), number + 1)  # 0 is kept for "unknown"
        return rows._replace(categorical=torch.cat([rows.categorical, column], 1))

    fields = {**scenario.fields, "scenario": count + 1}
    splits = {split: with_column(scenario.rows(split)) for split in ("train", "valid", "test")}
    return replace(scenario, fields=fields, **splits)


# Exercise 4 (open). A good answer says at least:
# - The average of all rows can rise because the model learned which country clicks more. Nobody gains:
#   a user in one country never chooses between rows of two countries.
# - So ask for the AUC of each country, before and after, with the number of rows and positives behind each.
# - The small country decides whether the merger was fair. Its interval will be wide: ask for several seeds.
# - Ask also for the CTCVR on all impressions, not the conversion rate among clicks.

SOLUTIONS = {"ex1": ctcvr_of_a, "ex2": auc_by_scenario, "ex3": tell}

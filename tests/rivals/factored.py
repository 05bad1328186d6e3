"""A small log, and a model and a batch of it, for the tests of PMTRec and of what it ranks with."""

import math

import torch

from pfmsm_lite.rivals.feedback import SYNTHETIC_TASKS, interactions, synthetic_log
from pfmsm_lite.rivals.pmtrec import row_gradients
from pfmsm_lite.rivals.ranking import Factors

ALL_KINDS = {"click": "rank", "long_view": "pair", "group": "user", "category": "item"}


def small(seed=0, tasks=SYNTHETIC_TASKS, users=40, items=30, **knobs):
    log, _ = synthetic_log(users=users, items=items, clicks=8, **{"views": 6, **knobs}, seed=seed)
    return interactions(log.assign(group=log["user"] % 3), tasks, seed=seed)


def model_and_batch(seed=0, tasks=ALL_KINDS, rows=90, layers=0):
    """A model in float64 and one batch; users 0 to 4 have no label of `long_view`, user 5 has no row."""
    data, generator = small(seed, tasks), torch.Generator().manual_seed(seed)
    model = Factors(data, 5, generator, layers).double()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    chosen = torch.randperm(len(data.pairs), generator=generator)[:rows]
    chosen = chosen[data.pairs[chosen, 0] != 5]
    users, items = data.pairs[chosen].T
    labels = data.labels[chosen].double()
    if "long_view" in tasks:
        labels[users < 5, list(tasks).index("long_view")] = math.nan
    negatives = torch.randint(data.items, users.shape, generator=generator)
    return model, (users, items, negatives, labels)


def gradients_of(model, batch, side="user"):
    return row_gradients(model(*batch), [model.tables[side]])[0]

"""Small scenarios for the tests: random rows with a little signal, made without the package's generator."""

import torch

from pfmsm_lite.data import Rows, Scenario

FIELDS = {"user": 30, "item": 20}
TASKS = ("click", "conversion")


def scenario(name="a", rows=120, seed=0, tasks=TASKS, evaluated=80, missing=()):
    """A Scenario; `missing` names the tasks that it lacks."""
    generator = torch.Generator().manual_seed(seed)
    taste = torch.randn(len(FIELDS), 30, len(tasks), generator=torch.Generator().manual_seed(99))

    def draw(count):
        ids = torch.stack([torch.randint(1, n, (count,), generator=generator) for n in FIELDS.values()], 1)
        numerical = torch.randn(count, 2, generator=generator)
        score = taste[0, ids[:, 0]] + taste[1, ids[:, 1]] + numerical[:, :1]
        labels = (torch.rand(score.shape, generator=generator) < score.sigmoid()).float()
        labels[:, [tasks.index(task) for task in missing]] = float("nan")
        return Rows(ids, numerical, labels)

    return Scenario(name, tuple(tasks), FIELDS, ("x", "y"), draw(rows), draw(evaluated), draw(evaluated))


def scenarios(count=3, **options):
    return [scenario(f"s{n}", rows=60 + 60 * n, seed=n, **options) for n in range(count)]


# settings of a model that trains in a moment
SMALL = {"batch_size": 32, "experts": 3, "hidden": (8, 4), "tower": 4, "embedding_size": 4}

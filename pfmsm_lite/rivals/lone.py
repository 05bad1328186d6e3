"""A client without a network, which nothing leaves: what the loop needs of it."""

import torch

from pfmsm_lite.client import evaluate
from pfmsm_lite.history import score
from pfmsm_lite.registry import lookup

LOOKED_AT = 16384  # training rows on which the training loss is measured


class LoneClient:
    """Takes the place of a Client: it trains on its own rows, sends nothing, and predicts.

    A model without a network brings a class of this kind, with `train`, `predict`, `stored_bytes`, `state`,
    `load` and `kept`.
    """

    personal, shared = None, {}  # no second model, and nothing leaves it

    def __init__(self, scenario, views, method, settings):
        self.name, self.tasks, self.views, self.method = scenario.name, scenario.tasks, views, method
        self.rows, self.has_task = scenario.train, scenario.has_task
        self.calibrate = lookup("calibrate", settings.calibrate)()

    def first_message(self):
        return {"rows": torch.tensor(float(len(self.rows.labels))), "has_task": self.has_task}

    def upload(self):
        return {}

    def download(self, message):
        pass

    def use_at_home(self):
        pass

    def training_loss(self, guess):
        """Log loss per task [T] of probabilities [R, T] of the first LOOKED_AT training rows."""
        labels = self.rows.labels[:LOOKED_AT].numpy()
        losses = [score(own, p)[3] for own, p in zip(labels.T, guess.T, strict=True)]
        return torch.tensor(losses).nan_to_num()

    def evaluate(self, split):
        return evaluate(self.views, self.tasks, self.predict, split, self.calibrate)

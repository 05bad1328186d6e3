"""Logistic regression, the simplest thing that can be done with a client's own rows. By scikit-learn."""

import numpy as np
import torch

from pfmsm_lite.registry import register
from pfmsm_lite.rivals.lone import LOOKED_AT, LoneClient
from pfmsm_lite.scenario import Rows


def numbered_columns(scenario):
    """[C] where each categorical column's entries begin among those of all fields; a bag has one start."""
    starts = np.cumsum([0, *scenario.fields.values()])[:-1]
    return np.repeat(starts, [scenario.bags.get(name, 1) for name in scenario.fields])


class Encoded:
    """What a regression sees in Rows: one column per entry that training rows use, then the z-scores.

    starts   [C] of `numbered_columns`;  entries [V] the numbers in use, ascending
    mean, deviation   [D] of the numerical columns, over the training rows
    """

    def __init__(self, starts, entries, mean, deviation):
        self.starts, self.entries, self.mean, self.deviation = starts, entries, mean, deviation

    @classmethod
    def fitted(cls, starts, rows):
        ids, numbers = rows.categorical.numpy(force=True), rows.numerical.numpy(force=True).astype(np.float64)
        entries = np.unique((ids + starts)[ids >= 0])
        deviation = numbers.std(0) if len(numbers) else np.ones(numbers.shape[1])
        return cls(starts, entries, numbers.mean(0), np.where(deviation > 0, deviation, 1.0))

    def __call__(self, rows):
        """Rows → sparse [R, V + D] float64; entries that no training row uses, and gaps in a bag: nothing."""
        from scipy import sparse

        ids = rows.categorical.numpy(force=True)
        numbers = ids + self.starts
        place = np.searchsorted(self.entries, numbers).clip(max=max(len(self.entries) - 1, 0))
        used = (ids >= 0) & (self.entries[place] == numbers) if len(self.entries) else ids < ids
        row, column = np.nonzero(used)[0], place[used]
        hot = sparse.csr_matrix((np.ones(len(row)), (row, column)), (len(ids), len(self.entries)))
        scores = (rows.numerical.numpy(force=True) - self.mean) / self.deviation
        return sparse.hstack([hot, sparse.csr_matrix(scores)], "csr")


class LogisticClient(LoneClient):
    """A logistic regression per task in place of a Client: what the loop needs of one, without a network.

    The first round fits it to the end; the later ones change nothing. Categorical columns are one-hot (a bag:
    several at once), numerical ones standardized; `ridge` λ/2·‖w‖² beside the rows' summed loss. With all
    rows in one place the scenario is one more field. A task with labels of one class only predicts
    its base rate, half a row of each class added. Embeddings, mini-batches, hidden ids and `ctcvr` have no
    meaning here.

    LogisticRegression of scikit-learn (L-BFGS, C = 1/λ); it penalizes no intercept.
    """

    def __init__(self, scenario, views, method, settings, seed):
        super().__init__(scenario, views, method, settings)
        self.encoded = Encoded.fitted(numbered_columns(scenario), scenario.train)
        self.weights = np.zeros((len(self.tasks), len(self.encoded.entries) + len(scenario.numericals)))
        positives, there = self.rows.labels.nansum(0), (~self.rows.labels.isnan()).sum(0)
        self.intercepts = ((positives + 0.5) / (there + 1)).logit().double().numpy()
        self.fitted = False

    def train(self):
        """Fit each task, once; returns (the training loss per task [T], True)."""
        if not self.fitted:
            self._fit()
        some = Rows(*(part[:LOOKED_AT] for part in self.rows[:3]))
        return self.training_loss(self.predict(some).numpy()), True

    def _fit(self):
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        inputs, self.fitted = self.encoded(self.rows), True
        for task, labels in enumerate(self.rows.labels.numpy().T):
            there = ~np.isnan(labels)
            if len(np.unique(labels[there])) < 2:
                continue
            with threadpool_limits(torch.get_num_threads()):
                model = LogisticRegression(C=1 / self.method.ridge, solver="newton-cg")  # sparse: few steps
                model.fit(inputs[there], labels[there].astype(int))
            self.weights[task], self.intercepts[task] = model.coef_[0], model.intercept_[0]

    def predict(self, rows):
        """Probabilities [R, T] float32 for Rows."""
        return KeptLogistic(self.kept())(rows)

    def stored_bytes(self):
        """Bytes of its weights, float32."""
        return 4 * (self.weights.size + self.intercepts.size)

    def state(self):
        """For a checkpoint."""
        weights, intercepts = torch.from_numpy(self.weights), torch.from_numpy(self.intercepts)
        return {"fitted": self.fitted, "weights": weights.clone(), "intercepts": intercepts.clone()}

    def load(self, state):
        self.fitted = state["fitted"]
        self.weights, self.intercepts = state["weights"].numpy().copy(), state["intercepts"].numpy().copy()

    def kept(self):
        """Name → tensor of all that prediction needs; `restore` makes a predictor of it."""
        names = ("starts", "entries", "mean", "deviation")
        arrays = {name: getattr(self.encoded, name) for name in names}
        arrays |= {"weights": self.weights, "intercepts": self.intercepts}
        return {name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}


class KeptLogistic:
    """The predictor that `LogisticClient.kept` describes: Rows → its probabilities [R, T] float32."""

    def __init__(self, kept):
        own = {name: values.numpy() for name, values in kept.items()}
        self.encoded = Encoded(*(own[name] for name in ("starts", "entries", "mean", "deviation")))
        self.weights, self.intercepts = own["weights"], own["intercepts"]

    def __call__(self, rows):
        from scipy.special import expit

        logits = self.encoded(rows) @ self.weights.T + self.intercepts
        return torch.from_numpy(expit(logits)).float()


class Logistic:
    """The row of the table of models: no network, but a client of its own, each scenario's or of all."""

    make_client, restore, alone = LogisticClient, KeptLogistic, True


register("model", "logistic", Logistic, "no network: a logistic regression per task")

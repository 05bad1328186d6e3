"""Gradient-boosted trees on all rows in one place: what a practitioner tries first. By scikit-learn."""

import numpy as np
import torch

from pfmsm_lite.registry import register
from pfmsm_lite.rivals.lone import LOOKED_AT, LoneClient

TREES = 10  # trees of every task that a round adds
LEVELS = 255  # values that scikit-learn's trees can split on; with more, they become their labels' mean


def columns(rows):
    """What trees see in Rows: ids and numbers side by side [R, F + C] float32 (ids stay below 2^24)."""
    return torch.cat([rows.categorical.float(), rows.numerical], 1).numpy(force=True)


class Booster:
    """The trees of one task; before the first, and where all labels are alike, the labels' mean.

    inputs   [R, F + C] of `columns`, labels [R] (rows without one are left out)
    fields   F: the first columns are ids. Those of which at most LEVELS values occur in these rows, whatever
             the size of their vocabulary, are split on as categories; in the others (`means`) an id is
             replaced by the mean label of its rows (cross-fitted on these rows, shrunken to the overall mean)
    """

    def __init__(self, inputs, labels, fields, method, seed):
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.model_selection import StratifiedKFold
        from sklearn.preprocessing import TargetEncoder

        there = ~np.isnan(labels)
        self.inputs, self.labels = inputs[there], labels[there].astype(int)
        self.rate = float(self.labels.mean()) if len(self.labels) else 0.5
        self.constant = self.rate in (0.0, 1.0) or not len(self.labels)
        levels = [len(np.unique(column)) for column in self.inputs.T[:fields]]
        classes = [k for k, count in enumerate(levels) if count <= LEVELS]
        self.means, self.trees = [k for k, count in enumerate(levels) if count > LEVELS], 0
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        self.encoder = TargetEncoder(target_type="binary", cv=folds)
        if self.means and not self.constant:
            large = self.inputs[:, self.means]
            self.inputs[:, self.means] = self.encoder.fit_transform(large, self.labels)
        self.classifier = HistGradientBoostingClassifier(
            learning_rate=method.tree_step, max_leaf_nodes=method.leaves, categorical_features=classes,
            early_stopping=False, warm_start=True, random_state=seed,
        )  # fmt: skip

    def grow(self, trees):
        """Add trees until there are that many."""
        self.trees = trees
        if not self.constant:
            self.classifier.set_params(max_iter=trees).fit(self.inputs, self.labels)

    def predict(self, inputs):
        """Probabilities [R]."""
        if self.constant or not self.trees:
            return np.full(len(inputs), self.rate)
        if self.means:
            inputs = inputs.copy()
            inputs[:, self.means] = self.encoder.transform(inputs[:, self.means])
        return self.classifier.predict_proba(inputs)[:, 1]


class TreeClient(LoneClient):
    """Boosted trees in place of a Client: what the loop needs of a client, without a network.

    A round adds TREES trees per task; so the round that validation rows choose is the number of trees.
    The scenario is one of the fields. Embeddings, mini-batches, hidden ids and `ctcvr` have no meaning here.

    HistGradientBoostingClassifier and TargetEncoder of scikit-learn (after LightGBM, Ke et al., NeurIPS 2017,
    and Micci-Barreca, SIGKDD Explorations 2001).
    """

    def __init__(self, scenario, views, method, settings, seed):
        super().__init__(scenario, views, method, settings)
        self.trees_a_round = settings.local_epochs * TREES
        self.inputs = columns(scenario.train)
        fields = scenario.train.categorical.shape[1]
        self.boosters = [
            Booster(self.inputs, labels, fields, method, seed) for labels in self.rows.labels.numpy().T
        ]

    def train(self):
        """More trees for each task; returns (the training loss per task [T], True)."""
        self._grow(self.boosters[0].trees + self.trees_a_round)
        return self.training_loss(self._probabilities(self.inputs[:LOOKED_AT])), True

    def _grow(self, trees):
        from threadpoolctl import threadpool_limits

        with threadpool_limits(torch.get_num_threads()):
            for booster in self.boosters:
                booster.grow(trees)

    def _probabilities(self, inputs):
        return np.stack([booster.predict(inputs) for booster in self.boosters], 1)

    def predict(self, rows):
        """Probabilities [R, T] float32 for Rows."""
        return torch.from_numpy(self._probabilities(columns(rows))).float()

    def stored_bytes(self):
        """Bytes of the pickled trees and encoders."""
        import pickle

        return sum(len(pickle.dumps((b.classifier, b.encoder))) for b in self.boosters)

    def state(self):
        """For a checkpoint: the number of trees, which grow again the same."""
        return {"trees": self.boosters[0].trees}

    def load(self, state):
        if state["trees"]:
            self._grow(state["trees"])

    def kept(self):
        """Name → tensor of all that prediction needs; `restore` makes a predictor of it."""
        return {f"{t}.{k}": v for t, booster in enumerate(self.boosters) for k, v in _kept(booster).items()}


def _kept(booster):
    """Name → tensor of one task's trees: those of scikit-learn's own objects."""
    arrays = {"rate": np.array(booster.rate)}
    if not booster.constant and booster.trees:
        classifier, encoder = booster.classifier, booster.encoder
        bitsets, places = classifier._bin_mapper.make_known_categories_bitsets()
        arrays |= {"baseline": classifier._baseline_prediction, "bitsets": bitsets, "places": places}
        arrays["means"] = np.array(booster.means, int)
        if booster.means:
            arrays["mean"] = np.array(encoder.target_mean_)
            for n, values in enumerate(zip(encoder.categories_, encoder.encodings_, strict=True)):
                arrays[f"mean.{n}.from"], arrays[f"mean.{n}.to"] = values
        chosen = classifier.is_categorical_
        arrays["classes"] = np.zeros(booster.inputs.shape[1], bool) if chosen is None else chosen
        if arrays["classes"].any():
            categories = classifier._preprocessor.named_transformers_["encoder"].categories_
            arrays |= {f"class.{n}": values for n, values in enumerate(categories)}
        trees = [tree for (tree,) in classifier._predictors]
        arrays["nodes"] = np.concatenate([tree.nodes for tree in trees]).view(np.uint8)
        arrays["splits"] = np.concatenate([tree.raw_left_cat_bitsets for tree in trees])
        arrays["counts"] = np.array([(len(tree.nodes), len(tree.raw_left_cat_bitsets)) for tree in trees])
    return {name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}


class KeptTrees:
    """What `TreeClient.kept` describes: Rows → probabilities [R, T] float32, bit by bit the same."""

    def __init__(self, kept):
        tasks = 1 + max(int(name.partition(".")[0]) for name in kept)
        self.boosters = [
            {name.partition(".")[2]: v.numpy() for name, v in kept.items() if name.startswith(f"{t}.")}
            for t in range(tasks)
        ]

    def __call__(self, rows):
        inputs = columns(rows)
        return torch.from_numpy(np.stack([_predict(own, inputs) for own in self.boosters], 1)).float()


def _predict(own, inputs):
    """Probabilities [R], as HistGradientBoostingClassifier.predict_proba after TargetEncoder.transform."""
    from scipy.special import expit
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    if "nodes" not in own:
        return np.full(len(inputs), float(own["rate"]))
    inputs = inputs.copy()
    for n, column in enumerate(own["means"]):
        place, known = _find(own[f"mean.{n}.from"], inputs[:, column])
        inputs[:, column] = np.where(known, own[f"mean.{n}.to"][place], own["mean"])
    # scikit-learn puts the categories, numbered, before the numbers
    seen = np.empty(inputs.shape, np.float64)
    chosen = np.flatnonzero(own["classes"])
    for n, column in enumerate(chosen):
        place, known = _find(own[f"class.{n}"], inputs[:, column])
        seen[:, n] = np.where(known, place, np.nan)
    seen[:, len(chosen) :] = inputs[:, ~own["classes"]]
    total = np.zeros(len(inputs)) + own["baseline"].ravel()
    nodes, node, split = own["nodes"].view(PREDICTOR_RECORD_DTYPE), 0, 0
    for nodes_of_it, splits_of_it in own["counts"]:
        bitsets = own["splits"][split : split + splits_of_it]
        tree = TreePredictor(nodes[node : node + nodes_of_it], bitsets, bitsets)
        total += tree.predict(seen, own["bitsets"], own["places"], torch.get_num_threads())
        node, split = node + nodes_of_it, split + splits_of_it
    return expit(total)


def _find(values, column):
    """(where a column's values stand among ascending ones, whether they do)."""
    place = np.searchsorted(values, column).clip(max=len(values) - 1)
    return place, values[place] == column


class BoostedTree:
    """The row of the table of models: no network, but a client of its own."""

    make_client, restore = TreeClient, KeptTrees


register("model", "boosted_tree", BoostedTree, "no network: gradient-boosted trees, one ensemble per task")

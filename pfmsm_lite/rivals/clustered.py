"""Clustered federated learning: clients that move alike are averaged together, and no others."""

import numpy as np
import torch
from torch import Tensor

from pfmsm_lite.aggregation import Exchange, cosines
from pfmsm_lite.errors import UserError
from pfmsm_lite.registry import register

# silhouette from which clusters count as found (below it "the structure is weak and could be artificial":
# Kaufman and Rousseeuw, Finding Groups in Data, 1990)
CLEAR = 0.5
CONFLICT = 0.6  # 1 − ‖mean of the updates‖², each of length one, from which a cluster may be split


def centred_cosines(gram: Tensor) -> Tensor:
    """Cosines [N, N] between updates of length one, less their mean, from inner products [N, N].

    Length one first: a client with more rows takes more steps, and would otherwise be apart by its size.
    """
    unit = cosines(gram)
    return cosines(unit - unit.mean(0) - unit.mean(1, keepdim=True) + unit.mean())


def found_clusters(gram: Tensor, clusters: int) -> np.ndarray:
    """Labels [N] of N clients by the inner products [N, N] of their updates.

    Agglomerative, average linkage, at the distance 1 − cosine of the centred updates.
    clusters  how many; 0: the number, 2 to N − 1, with the largest mean silhouette; one for all where that is
              below CLEAR, or where the updates do not contradict each other: their mean, all of length one,
              has more than 1 − CONFLICT of a squared length of one
    """
    from scipy.cluster.hierarchy import fcluster, linkage  # slow to import, and only needed here
    from scipy.spatial.distance import squareform
    from sklearn.metrics import silhouette_score

    count, one = len(gram), np.ones(len(gram), int)
    if clusters == 1 or count == 1 or (not clusters and (count == 2 or 1 - cosines(gram).mean() < CONFLICT)):
        return one
    distance = (1 - centred_cosines(gram.double().cpu())).clamp(min=0).numpy(force=True)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    if clusters:
        return fcluster(tree, clusters, "maxclust")
    cuts = [fcluster(tree, k, "maxclust") for k in range(2, count)]
    found = {
        silhouette_score(distance, labels, metric="precomputed"): labels
        for labels in cuts
        if labels.max() > 1
    }
    return found[max(found)] if found and max(found) >= CLEAR else one


def inside(labels: Tensor, rows: Tensor) -> Tensor:
    """Mixture weights [N, N]: over the clients of one's cluster, by rows; labels [N], rows [N]."""
    weights = (labels[:, None] == labels) * rows
    return weights / weights.sum(1, keepdim=True)


@register("aggregate", "clustered", text="by clusters of clients whose updates are alike, by rows inside one")
def clustered(exchange: Exchange, method) -> tuple[Tensor, dict]:
    """FedAvg inside each cluster of clients; the clusters are found anew every round.

    By the cosine of updates: clustered federated learning (Sattler, Müller, Samek, IEEE TNNLS 2020). Differs
    from the source: the updates are scaled to length one and centred; agglomerative, average linkage (as
    MaT-FL does with parameters) instead of splitting in two, again and again; the number of clusters is given
    or chosen by the silhouette instead of by two thresholds on gradients' norms; each group of parameters
    (experts, gates, towers) has clusters of its own. Embedding entries have their own rule.

    raises  UserError where `clusters` is larger than the number of clients

    Source: clustered federated learning (Sattler, Müller, Samek, IEEE TNNLS 2021)
    Paper: clients are split in two by the cosine of their updates, again and again, once training converged
    Ours: agglomerative, every round, on centred updates of length one; their number given, or found
    Fidelity: differs
    """
    clients = exchange.gram.shape[-1]
    if method.clusters > clients:
        raise UserError(
            f"--clusters is {method.clusters}, but there are {clients} clients. Give at most {clients}, or 0 "
            "for as many clusters as the updates show."
        )
    there = exchange.present.any(0).cpu()
    gram = exchange.gram.sum(0).cpu()  # [N, N]: of all units together
    first = exchange.previous is None
    last = torch.zeros(clients, dtype=torch.long) if first else exchange.previous.memory["labels"]
    # without a number, clusters fall apart, each for itself; with one, all is found anew
    labels = torch.zeros_like(last) if method.clusters else last.clone()
    for label in labels.unique():
        own, here = labels == label, (labels == label) & there
        if here.any():
            found = found_clusters(gram[here][:, here], min(method.clusters, int(here.sum())))
            parts = torch.from_numpy(found).long() + labels.max()
            labels[own] = parts.mode().values  # absent clients go with the larger part
            labels[here] = parts
    weights = inside(labels.to(exchange.rows.device), exchange.rows)
    return weights.to(exchange.gram).expand_as(exchange.gram), {"labels": labels}

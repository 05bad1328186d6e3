"""Attacks by a server that follows the rules and is curious, or by whoever gets hold of a client's model.

Each works on what that attacker has. Those here are simple ones; that one fails does not show that all do.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pfmsm_lite.client import Client, Message
from pfmsm_lite.history import score
from pfmsm_lite.scenario import Rows

LAST_BIAS = "towers.bias.1"  # of a tower's output: its gradient is the mean of probability − label


# ---- which entries do the rows of a client name? ----


def changes(received: Tensor, sent: Tensor) -> Tensor:
    """How far each embedding entry moved: received, sent [E, K] → lengths [E]."""
    return (sent - received).norm(dim=1)


def precision_and_recall(found: Tensor, truth: Tensor) -> tuple[float, float]:
    """The share of what was found [E] that is true, and of what is true [E] that was found; both bool."""
    right = float((found & truth).sum())
    return right / max(int(found.sum()), 1), right / max(int(truth.sum()), 1)


def likeliest(evidence: Tensor, count: int) -> Tensor:
    """[E] bool: the `count` entries with most evidence [E]."""
    found = torch.zeros(len(evidence), dtype=torch.bool)
    found[evidence.topk(min(count, len(evidence))).indices] = True
    return found


def separates(evidence: Tensor, truth: Tensor) -> float:
    """AUC of evidence [E] for truth [E] bool: 0.5 is guessing; NaN where all are true, or none."""
    return score(truth.double().numpy(), evidence.double().numpy())[2]


# ---- was this row among the training rows? ----


@torch.no_grad()
def row_losses(client: Client, model, rows: Rows) -> Tensor:
    """The loss [R] of each row by `model`, mean over its labels that are there; ids as the client's own."""
    logits, there = client.logits(rows, model), ~rows.labels.isnan()
    each = F.binary_cross_entropy_with_logits(logits, rows.labels.nan_to_num(), reduction="none") * there
    return each.sum(1) / there.sum(1).clamp(min=1)


def membership(client: Client, model) -> float:
    """AUC of the guess that rows of low loss were trained on: training against test rows; 0.5 is guessing.

    Source: Yeom et al., "Privacy risk in machine learning" (CSF 2018)
    Paper: a row whose loss is below the mean training loss is called a member
    Ours: every threshold at once, as an AUC
    Fidelity: differs
    """
    inside = client.train_rows._replace(labels=_labels(client))
    losses = [row_losses(client, model, rows) for rows in (inside, client.views[0][1]["test"])]
    truth = torch.cat([torch.ones(len(losses[0])), torch.zeros(len(losses[1]))])
    return separates(-torch.cat(losses), truth > 0)


def _labels(client):
    return client.labels if client.mask is None else client.labels.masked_fill(client.mask == 0, float("nan"))


def seen_by_server(start: Client, upload: Message):
    """The model that the server can put together: what was sent, and all else as everybody started.

    start  the client at the start of the run: the server can draw that from the seed
    """
    entries = start.model.embedding.weight.detach().clone()
    entries[start.in_use] = (
        upload["embedding.weight"] if "embedding.weight" in upload else entries[start.in_use]
    )
    start.download({**upload, "embedding.weight": entries})
    return start.model


# ---- how many rows of a mini-batch are positive? ----


def positives_of(gradient: Tensor, predicted: Tensor, rows: int) -> Tensor:
    """Positives [T] among the rows behind a gradient of the towers' last biases [T].

    predicted [T]  the mean probability that the attacker expects of the model, before the step

    That gradient is the mean of probability − label, so labels sum to rows · (predicted − gradient).

    Source: iDLG (Zhao et al., 2020, arXiv 2001.02610), there for a softmax and one row: its sign is the label
    Paper: the sign of the last layer's gradient gives the label of a single row
    Ours: a sigmoid per task, and how many rows are positive in a mini-batch
    Fidelity: differs
    """
    return (rows * (predicted - gradient)).round().clamp(0, rows)


def positives_by_sign(step: Tensor, predicted: Tensor, rows: int) -> Tensor:
    """The same from Adam's first step [T], of which only the sign tells: more than predicted, or fewer."""
    expected = rows * predicted
    return torch.where(step > 0, expected.floor() + 1, expected.ceil() - 1).clamp(0, rows)

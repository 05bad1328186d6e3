"""Platt scaling at home: a client fits two numbers per task on its own validation rows, and sends none.

A model that is chosen by AUC may go on training while its probabilities become too extreme: only their order
counts. A straight line through the logits corrects that, and keeps the order.
"""

import numpy as np

from pfmsm_lite.registry import register

IDENTITY = (0.0, 1.0)
FLATTEST = 1e-6  # a flatter line would make unequal probabilities equal
SPREAD, STEPS = 0.5, 100  # of the prior on b; of Newton's method, at most
NEAREST = (1e-46, 1 - 2.0**-25)  # float32 probabilities of 0 and 1 stay beyond all others


def logits(probabilities: np.ndarray) -> np.ndarray:
    """log p/(1−p) of probabilities in float64, finite also for 0 and 1; NaN stays."""
    clipped = np.asarray(probabilities, np.float64).clip(*NEAREST)
    return np.log(clipped) - np.log1p(-clipped)


def corrected(probabilities: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """σ(a + b·logit) [R, T] float64 of probabilities [R, T] by the lines (a, b) [T, 2] of the tasks.

    A task with the line (0, 1) keeps its probabilities as they are.
    """
    found = np.array(probabilities, np.float64)
    for t, (a, b) in enumerate(np.asarray(lines)):
        if (a, b) != IDENTITY:
            found[:, t] = np.exp(-np.logaddexp(0, -(a + b * logits(found[:, t]))))
    return found


def line(probabilities: np.ndarray, labels: np.ndarray, spread: float = SPREAD) -> tuple[float, float]:
    """The line (a, b) of σ(a + b·logit) that suits one task's rows best.

    probabilities [R], labels [R] 0, 1, or NaN: not counted
    spread   of b around 1, as a Gaussian prior has it: few rows move b little; infinity: no prior
    returns  (0, 1), which changes nothing, where only one class has a label, where a probability is not
             finite, and where b is not above 0: then the order of rows would change

    Platt, Probabilistic outputs for support vector machines, 1999: least cross-entropy, of targets
    (P + 1)/(P + 2) and 1/(N + 2) for P positives and N negatives. Newton's method, each step halved until it
    helps (Lin, Lin and Weng, Machine Learning 68, 2007). Differs from the source: the prior on b.
    """
    there = ~np.isnan(labels)
    own, positive = logits(probabilities[there]), labels[there] > 0
    count, negatives = int(positive.sum()), int((~positive).sum())
    if not count or not negatives or not np.isfinite(own).all():
        return IDENTITY
    target = np.where(positive, (count + 1) / (count + 2), 1 / (negatives + 2))
    inputs = np.stack([np.ones_like(own), own], 1)  # [R, 2]
    pull = np.array([0.0, spread**-2])

    def loss(x):
        z = inputs @ x
        return (np.logaddexp(0, z) - target * z).sum() + (pull * (x - IDENTITY) ** 2).sum() / 2

    x = np.array(IDENTITY)
    for _ in range(STEPS):
        said = np.exp(-np.logaddexp(0, -(inputs @ x)))
        slope = inputs.T @ (said - target) + pull * (x - IDENTITY)
        curve = (inputs * (said * (1 - said))[:, None]).T @ inputs + np.diag(pull + 1e-12)
        step, now = np.linalg.solve(curve, slope), loss(x)
        while loss(x - step) > now and np.abs(step).max() > 1e-8:
            step = step / 2
        x = x - step
        if np.abs(step).max() <= 1e-8:
            break
    return (float(x[0]), float(x[1])) if x[1] > FLATTEST else IDENTITY


@register("calibrate", "platt", text="by a line through their logits, per scenario and task (Platt)")
class Platt:
    """Corrects what a client predicts for its rows; lines: scenario → [T, 2], from its validation rows.

    Validation rows are corrected as well: their log loss is that of the rows on which the line was fitted.
    """

    def __init__(self):
        self.lines: dict[str, np.ndarray] = {}

    def __call__(self, name: str, split: str, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Corrected probabilities [R, T] float64; on the split "valid" the lines are fitted anew."""
        if split == "valid":
            self.lines[name] = np.array([line(*own) for own in zip(probabilities.T, labels.T, strict=True)])
        return corrected(probabilities, self.lines[name])

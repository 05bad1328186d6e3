"""Exercises of chapter 04: the federated loop."""

import torch

from pfmsm_lite.course.notebook import Exercise


def _near(answer, value, tolerance=1e-3):
    return abs(float(answer) - value) < tolerance


def _weighted_mean(answer):
    if _near(answer, 2.3):
        return ""
    if _near(answer, 3.0):
        return "That is the plain mean. FedAvg weights each client by its share of the rows."
    if _near(answer, 2300):
        return "Divide by the number of all rows: the shares must add up to one."
    return "Multiply each value by its client's share of the 1,000 rows, and add up."


def _by_use(answer):
    change, uses = torch.tensor([1.0, -1.0, 4.0]), torch.tensor([3.0, 1.0, 0.0])
    found = answer(change.clone(), uses.clone())
    if found is None:
        return "Your function returns nothing: end it with a return."
    if getattr(found, "ndim", 0):
        return f"Return one number for the entry; yours has shape {tuple(found.shape)}."
    if _near(found, 2.0):
        return "That is the sum of change · uses. Divide by the number of all uses."
    if _near(found, 2 / 3) or _near(found, 4 / 3):
        return "You divide by the number of clients. Divide by the number of all uses: weights add up to one."
    if _near(found, 0.0):
        return "A plain mean over the clients that use the entry. The one with more uses must count for more."
    if not _near(found, 0.5):
        return "With changes 1, −1, 4 and uses 3, 1, 0 the entry should change by (3·1 − 1·1)/4 = 0.5."
    if not _near(answer(change, torch.zeros(3)), 0.0):
        return "Nobody used the entry, and your function does not return 0: guard the division by zero."
    return ""


def _clients(answer):
    if _near(answer, 7):
        return ""
    if _near(answer, 4):
        return "With 4 clients w jumps over 0 (1 − 1.2 = −0.2), but |w| still shrinks. Go on."
    if _near(answer, 6):
        return "With 6 clients w is multiplied by 1 − 1.8 = −0.8: it jumps, but |w| still shrinks. One more."
    if 6 < float(answer) < 7:
        return "That is where the factor reaches −1. Clients come in whole numbers: round up."
    return "A round multiplies w by 1 − 0.3·N. Find the smallest N for which that is below −1."


EXERCISES = {
    "ex1": Exercise("number", _weighted_mean, "Weight each value by its client's rows."),
    "ex2": Exercise("function", _by_use, "by_use(change [N], uses [N]) must return one number."),
    "ex3": Exercise("number", _clients, "A round multiplies w by 1 − 0.3·N."),
}

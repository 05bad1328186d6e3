"""Exercises of chapter 06, conflict coordination."""

import torch

from pfmsm_lite.course.notebook import Exercise


def _by_hand(answer):
    x, y = (float(v) for v in answer)
    if abs(x - 2) < 0.01 and abs(y - 1) < 0.01:
        return ""
    if abs(x - 2) < 0.01 and abs(y - 0.5) < 0.01:
        return "the radius of the disc is c times the length of a, and a has length 2"
    if abs((x * x + y * y) ** 0.5 - 2) < 0.01:
        return "this has the length of a: the question is about U before any rescaling"
    if ((x - 2) ** 2 + y * y) ** 0.5 > 1.01:
        return "this lies outside the disc around a"
    return "which of the two inner products is the smaller one? Go as far as the disc allows to raise it"


def _project(answer):
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([-3.0, 4.0])  # in conflict, and b is not of length 1
    right = a - (a @ b) / (b @ b) * b
    given = answer(a, b)
    if not isinstance(given, torch.Tensor) or given.shape != a.shape:
        return "project(a, b) must return a tensor of the shape of a"
    if torch.allclose(given, a - (a @ b) / b.norm() * b, atol=1e-4):
        return "divide by the squared length of b, not by its length"
    if torch.allclose(given, a - (a @ b) / (a @ a) * b, atol=1e-4):
        return "divide by the squared length of b, not of a"
    if torch.allclose(given, a, atol=1e-4):
        return "these two conflict, their inner product is negative, but a came back as it was"
    if not torch.allclose(given, right, atol=1e-4):
        return "after the projection the inner product with b must be 0, and nothing else may have changed"
    if not torch.allclose(answer(a, -b), a, atol=1e-4):
        return "where the inner product is positive there is no conflict: return a as it is"
    if not torch.allclose(answer(a, 0 * b), a, atol=1e-4):
        return "with b = 0 there is nothing to project on: return a, not NaN"
    return ""


def _length(answer):
    value = float(answer)
    if abs(value - 2) < 0.05:
        return ""
    if abs(value - 0.5) < 0.05:
        return "that is the cosine of 60 degrees; ask how long b must be to make up for it"
    if abs(value - 1.4) < 0.05:
        return "that is the length of U; the question is about the length of b"
    if value <= 1:
        return "a b that is no longer than a always turns it: the shortcut. Look at longer ones"
    return "set U = (1 + c)·a and ask when ⟨b, U⟩ is no longer smaller than ⟨a, U⟩"


EXERCISES = {
    "ex1": Exercise("array", _by_hand, "U lies in the disc of radius c·‖a‖ around a", (2,)),
    "ex2": Exercise("function", _project, "a − ⟨a, b⟩/⟨b, b⟩ · b, but only where ⟨a, b⟩ < 0"),
    "ex3": Exercise("number", _length, "compare ⟨a, U⟩ and ⟨b, U⟩ at U = (1 + c)·a"),
}

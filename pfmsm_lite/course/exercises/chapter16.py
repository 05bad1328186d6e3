"""Exercises of chapter 16, other readings of equation 13."""

import itertools

import torch

from pfmsm_lite.course.exercise import FIGURE, Exercise, varied


def project(first=(1, 0), second=(-3, 4)):
    """Exercise 1, on two vectors that conflict, of different lengths, the second one not of length 1."""
    a, b = torch.tensor(first, dtype=torch.float), torch.tensor(second, dtype=torch.float)
    if not a @ b < 0 or torch.isclose(a @ a, b @ b) or torch.isclose(b @ b, torch.tensor(1.0)):
        return None
    hint = "a − ⟨a, b⟩/⟨b, b⟩ · b, but only where ⟨a, b⟩ < 0"
    return Exercise("function", lambda answer: _project(answer, a.clone(), b.clone()), hint)


def _project(answer, a, b):
    right = a - (a @ b) / (b @ b) * b
    found = answer(a, b)
    if not isinstance(found, torch.Tensor) or found.shape != a.shape:
        return "project(a, b) must return a tensor of the shape of a"
    if torch.allclose(found, a - (a @ b) / b.norm() * b, atol=1e-4):
        return "divide by the squared length of b, not by its length"
    if torch.allclose(found, a - (a @ b) / (a @ a) * b, atol=1e-4):
        return "divide by the squared length of b, not of a"
    if torch.allclose(found, a, atol=1e-4):
        return "these two conflict, their inner product is negative, but a came back as it was"
    if not torch.allclose(found, right, atol=1e-4):
        return "after the projection the inner product with b must be 0, and nothing else may have changed"
    if not torch.allclose(answer(a, -b), a, atol=1e-4):
        return "where the inner product is positive there is no conflict: return a as it is"
    if not torch.allclose(answer(a, 0 * b), a, atol=1e-4):
        return "with b = 0 there is nothing to project on: return a, not NaN"
    return ""


def _control(answer):
    said = answer.lower()
    if "mean" in said:
        return ""
    if "as long" in said:
        return "that run tests the first half: does anything from the others help, averse to conflicts or not"
    if "alone" in said:
        return "against that run three things change: the length, the others' part, the aversion to conflicts"
    if "everybody" in said:
        return "there Ũ takes the update's place, and experts are mixed: too much changes at once"
    if "mixed" in said or "turned" in said or "pcgrad" in said:
        return "those runs mix experts and towers; FedHCA²'s step does not"
    return "which run adds something common that is not averse to conflicts?"


VECTORS = tuple(itertools.product((-4, -2, -1, 1, 3), repeat=2))
EXERCISES = {
    "ex1": varied(project, first=VECTORS, second=VECTORS),
    "ex2": Exercise("text", _control, "give the name of a run as the figure has it", stays=FIGURE),
}

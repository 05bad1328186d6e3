"""Exercises of chapter 05: federated batch normalization, of parameters."""

import random

import torch

from pfmsm_lite import normalize
from pfmsm_lite.course.exercise import SEEDS, Exercise, by_cases, say, varied


def by_hand(low=(0, 4), deviations=(1, 4)):
    """Exercise 1: the first entries of two uploads, and their deviations; each has two entries."""
    (low_a, low_b), (own, other) = low, deviations
    a, b = (low_a, low_a + 2 * own), (low_b, low_b + 2 * other)
    average, mean = (own + other) / 2, (sum(a) + sum(b)) / 4
    cases = (
        (average + mean, ""),
        (
            own + mean,
            "You moved the mean but kept the client's own deviation: multiply by the average one, "
            f"{say(average)}.",
        ),
        (
            1.0,
            "That is the normalized entry alone. Go on: times the average deviation, plus the average mean.",
        ),
        (average, f"You left out the last step: add the average mean, {say(mean)}."),
    )
    otherwise = (
        f"Four steps: subtract the client's mean {say(low_a + own)}, divide by its deviation {own}, times "
        f"{say(average)}, plus {say(mean)}."
    )
    return by_cases(
        "number", cases, otherwise, 1e-3, "Subtract, divide, multiply, add.",
        task=f"Client A uploads {say(a)}, client B uploads {say(b)}. Which number is A's second entry "
        "after `moment`, the normalization that gives all uploads the average mean and the average "
        "deviation?",
        why=f"({a[1]} − {low_a + own}) / {own} · {say(average)} + {say(mean)}",
    )  # fmt: skip


STACK = ((1.0, 2.0, 3.0), (3.0, 10.0, 3.5))  # two clients, three entries


def elementwise(seed=None):
    """Exercise 2, on two uploads of a seed."""
    draw = random.Random(seed)
    drawn = [[round(draw.uniform(-5, 5), 1) for _ in range(3)] for _ in range(2)]
    stack = torch.tensor(STACK if seed is None else drawn)
    deviation = stack.std(0, correction=0)
    if deviation.min() < 0.1 or deviation.max() < 2 * deviation.min():
        return None
    hint = "elementwise(stack [N, P]) must return a tensor [N, P]."
    return Exercise("function", lambda answer: _elementwise(answer, stack), hint)


def _elementwise(answer, stack):
    found = answer(stack.clone())
    if found is None:
        return "Your function returns nothing: end it with a return."
    found = torch.as_tensor(found)
    if found.shape != stack.shape:
        return f"expected shape {tuple(stack.shape)} as the input's, but this has shape {tuple(found.shape)}"
    if torch.allclose(found, stack, atol=1e-4):
        return "Your result is the input: each entry got its own deviation back. Use the AVERAGE deviation."
    if torch.allclose(found, normalize(stack, "moment")[0], atol=1e-3):
        return "That is `moment`: moments over a client's entries (dim=1). Take them over clients (dim=0)."
    plain = (stack - stack.mean(0)) / stack.std(0, correction=0)
    if torch.allclose(found, plain, atol=1e-3):
        return "Normalized, but not scaled back: times the average deviation, plus each entry's mean."
    if torch.allclose(found, normalize(stack, "elementwise")[0], atol=1e-4):
        return ""
    own = stack.std(0)
    if torch.allclose(found, (stack - stack.mean(0)) / own * own.mean() + stack.mean(0), atol=1e-4):
        return ""
    return "Per entry: minus its mean over the clients, / its deviation, · average deviation, + mean."


EXERCISES = {
    "ex1": varied(
        by_hand, low=((0, 4), (1, 2), (2, 0), (0, 6), (3, 1)),
        deviations=((1, 4), (1, 2), (2, 5), (3, 1), (2, 3)),
    ),
    "ex2": varied(elementwise, seed=SEEDS),
}  # fmt: skip

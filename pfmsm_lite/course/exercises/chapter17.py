"""Exercises of chapter 17, base rates."""

import math

import torch

from pfmsm_lite.course.notebook import Exercise, hint_for


def _constants(answer):
    rates = (0.2, 0.02)
    cases = (
        ([math.log(p / (1 - p)) for p in rates], ""),
        ([math.log(p / (1 - p)) for p in rates[::-1]], "clicks first, then purchases"),
        ([math.log(p) for p in rates], "this is the logarithm of p; the odds are p / (1 − p)"),
        ([p / (1 - p) for p in rates], "these are the odds; a logit is their logarithm"),
        ([math.log10(p / (1 - p)) for p in rates], "the natural logarithm, not the one to base 10"),
        ([math.log((1 - p) / p) for p in rates], "the sign: rare means a negative logit"),
        ([math.log(0.2 / 0.8), math.log(0.1 / 0.9)], "2 % of all rows, not of the clicks"),
    )
    return hint_for(answer, cases, "log(p / (1 − p)) for p = 0.2 and for p = 0.02", 5e-3)


def _near(answer):
    weights = torch.tensor(
        [[0.5, 0.3, 0.1, 0.1], [0.2, 0.6, 0.15, 0.05], [0.1, 0.0, 0.8, 0.1], [0.25, 0.05, 0.3, 0.4]]
    )
    rates, gap = torch.tensor([0.05, 0.1, 0.4, 0.5]), 0.12
    given = answer(weights.clone(), rates.clone(), gap)
    try:
        given = float(given)
    except (TypeError, ValueError):
        return "near(weights, rates, gap) must return one number"
    close = (rates[:, None] - rates).abs() <= gap
    others = ~torch.eye(4, dtype=torch.bool)

    def share(kind, of):
        return float(weights[kind].sum() / weights[of].sum())

    each = (weights * (close & others)).sum(1) / (weights * others).sum(1)
    cases = (
        (share(close & others, others), ""),
        (
            share(close, others | ~others),
            "own weights are not borrowed: leave the diagonal out, above and below",
        ),
        (share(close & others, others | ~others), "divide by what is borrowed, not by all weights"),
        (share(close, others), "own weights are not borrowed: leave the diagonal out of what is near, too"),
        (share(~close, others), "this is the share from clients that are farther away than `gap`"),
        (float(weights[close & others].sum()), "this is a sum of weights; divide by all that is borrowed"),
        (float(each.mean()), "of all that is borrowed: one sum over all clients, not a mean of shares"),
    )
    close_to = [hint for value, hint in cases if abs(given - value) < 1e-4]
    return (
        close_to[0] if close_to else "|rate of the client − rate of the source| ≤ gap, without the diagonal"
    )


EXERCISES = {
    "ex1": Exercise("array", _constants, "the log-odds of 0.2 and of 0.02", (2,)),
    "ex2": Exercise("function", _near, "weights of near sources over all weights, both without the diagonal"),
}

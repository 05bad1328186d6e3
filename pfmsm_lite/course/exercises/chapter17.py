"""Exercises of chapter 17, base rates."""

import math

import torch

from pfmsm_lite.course.exercise import SEEDS, Exercise, by_cases, hint_for, say, tied, varied


def constants(clicks=0.2, buys=0.02):
    """Exercise 1: two base rates."""
    rates = (clicks, buys)
    of_clicks = buys / clicks
    cases = (
        ([math.log(p / (1 - p)) for p in rates], ""),
        ([math.log(p / (1 - p)) for p in rates[::-1]], "clicks first, then purchases"),
        ([math.log(p) for p in rates], "this is the logarithm of p; the odds are p / (1 − p)"),
        ([p / (1 - p) for p in rates], "these are the odds; a logit is their logarithm"),
        ([math.log10(p / (1 - p)) for p in rates], "the natural logarithm, not the one to base 10"),
        ([math.log((1 - p) / p) for p in rates], "the sign: rare means a negative logit"),
        (
            [math.log(clicks / (1 - clicks)), math.log(of_clicks / (1 - of_clicks))],
            f"{say(100 * buys)} % of all rows, not of the clicks",
        ),
    )
    return by_cases(
        "array", cases, f"log(p / (1 − p)) for p = {clicks} and for p = {buys}", 5e-3,
        f"the log-odds of {clicks} and of {buys}", shape=(2,),
        task=f"A client clicks in {say(100 * clicks)} % of its rows and buys in {say(100 * buys)} %. "
        "Which two constants does it add to its logits, so that its base rates stay at home? Leave out "
        "the half rows. A tensor of two numbers, clicks first.",
        why=f"log({clicks} / {say(1 - clicks)}) and log({buys} / {say(1 - buys)})",
    )  # fmt: skip


WEIGHTS = ((0.5, 0.3, 0.1, 0.1), (0.2, 0.6, 0.15, 0.05), (0.1, 0.0, 0.8, 0.1), (0.25, 0.05, 0.3, 0.4))
RATES = (0.05, 0.1, 0.4, 0.5)
OTHERS = ~torch.eye(4, dtype=torch.bool)


def near(seed=None, gap=0.12):
    """Exercise 2, on weights and base rates of a seed."""
    draw = torch.Generator().manual_seed(seed or 0)
    drawn = torch.rand(4, 4, generator=draw), torch.rand(4, generator=draw).mul(60).round() / 100
    weights, rates = (torch.tensor(WEIGHTS), torch.tensor(RATES)) if seed is None else drawn
    weights = weights / weights.sum(1, keepdim=True)
    apart = (rates[:, None] - rates).abs()
    close = apart <= gap
    if (apart - gap).abs().min() < 1e-3 or not (close & OTHERS).any() or close.all():
        return None
    cases = _shares(weights, close)
    if tied(cases, 1e-4):
        return None

    def judge(answer):
        given = answer(weights.clone(), rates.clone(), gap)
        try:
            given = float(given)
        except (TypeError, ValueError):
            return "near(weights, rates, gap) must return one number"
        return hint_for(
            given, cases, "|rate of the client − rate of the source| ≤ gap, without the diagonal", 1e-4
        )

    return Exercise("function", judge, "weights of near sources over all weights, both without the diagonal")


def _shares(weights, close):
    """The right share, and what comes of each mistake."""

    def share(kind, of):
        return float(weights[kind].sum() / weights[of].sum())

    each = (weights * (close & OTHERS)).sum(1) / (weights * OTHERS).sum(1)
    return (
        (share(close & OTHERS, OTHERS), ""),
        (
            share(close, OTHERS | ~OTHERS),
            "own weights are not borrowed: leave the diagonal out, above and below",
        ),
        (share(close & OTHERS, OTHERS | ~OTHERS), "divide by what is borrowed, not by all weights"),
        (share(close, OTHERS), "own weights are not borrowed: leave the diagonal out of what is near, too"),
        (share(~close, OTHERS), "this is the share from clients that are farther away than `gap`"),
        (float(weights[close & OTHERS].sum()), "this is a sum of weights; divide by all that is borrowed"),
        (float(each.mean()), "of all that is borrowed: one sum over all clients, not a mean of shares"),
    )


EXERCISES = {
    "ex1": varied(constants, clicks=(0.1, 0.15, 0.25, 0.3, 0.4), buys=(0.01, 0.03, 0.05)),
    "ex2": varied(near, seed=SEEDS, gap=(0.08, 0.12, 0.15)),
}

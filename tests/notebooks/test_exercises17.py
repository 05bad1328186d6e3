"""Chapter 17: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import torch
from solving import exercise_tests


def share(kind, of):
    """A version of `near` that counts `kind` and divides by `of`: functions of (close, others)."""

    def answer(weights, rates, gap):
        close, others = (rates[:, None] - rates).abs() <= gap, ~torch.eye(len(rates), dtype=torch.bool)
        return weights[kind(close, others)].sum() / weights[of(close, others)].sum()

    return answer


def mean_of_shares(weights, rates, gap):
    close, others = (rates[:, None] - rates).abs() <= gap, ~torch.eye(len(rates), dtype=torch.bool)
    return ((weights * (close & others)).sum(1) / (weights * others).sum(1)).mean()


def everything(close, others):
    return others | ~others


WRONG = [
    ("ex1", torch.tensor([0.2, 0.02]).log(), "logarithm of p"),
    ("ex1", torch.tensor([0.25, 0.0204]), "these are the odds"),
    ("ex1", -torch.tensor([0.2, 0.02]).logit(), "the sign"),
    ("ex1", torch.tensor([0.02, 0.2]).logit(), "clicks first"),
    ("ex1", torch.tensor([0.2, 0.1]).logit(), "not of the clicks"),
    ("ex1", -1.386, "expected a tensor or an array"),
    ("ex2", share(lambda close, others: close, everything), "above and below"),
    ("ex2", share(lambda close, others: close & others, everything), "divide by what is borrowed"),
    ("ex2", share(lambda close, others: ~close, lambda close, others: others), "farther away"),
    ("ex2", mean_of_shares, "not a mean of shares"),
    ("ex2", lambda weights, rates, gap: weights, "must return one number"),
    ("ex2", 0.5, "expected a function"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("17", WRONG)

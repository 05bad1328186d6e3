"""Chapter 19: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import torch
from solving import exercise_tests

from pfmsm_lite.course.exercises.chapter19 import WHOLE


def by_length(updates, cut):
    return updates[updates.norm(dim=1).argsort()[cut : len(updates) - cut]].mean(0)


def clipped(gradients, clip):
    length = gradients.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return gradients * (clip / length).clamp(max=1)


def all_of_one_length(gradients, clip, noise, expected):
    length = gradients.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return ((gradients * clip / length).sum(0) + noise) / expected


def the_sum_clipped(gradients, clip, noise, expected):
    total = gradients.sum(0)
    return (total * min(1, clip / float(total.norm())) + noise) / expected


WRONG = [
    ("ex1", lambda updates, cut: updates.mean(0), "plain mean"),
    ("ex1", lambda updates, cut: updates[cut : len(updates) - cut].mean(0), "sort before you cut"),
    ("ex1", lambda updates, cut: updates.median(0).values, "this is the median"),
    ("ex1", lambda updates, cut: updates.sort(0).values[cut:].mean(0), "upper end"),
    ("ex1", lambda updates, cut: updates.sort(0).values[: len(updates) - cut].mean(0), "lower end"),
    ("ex1", lambda updates, cut: updates.sort(0).values[cut : len(updates) - cut].sum(0), "this is a sum"),
    ("ex1", by_length, "each number on its own"),
    ("ex1", lambda updates, cut: updates.sort(0).values[cut:-cut].mean(0), "cut = 0"),
    ("ex1", lambda updates, cut: updates.mean(), "one number per column"),
    ("ex1", torch.zeros(2), "expected a function"),
    ("ex2", "abc", "b: a median needs"),
    ("ex2", "acd", "d: a length"),
    ("ex2", "e", "e: inner products"),
    ("ex2", "a", "one sum over the clients"),
    ("ex2", "xyz", "letters a to e"),
    ("ex2", "", "letters a to e"),
    ("ex2", 3, "expected a string"),
    ("ex3", all_of_one_length, "made longer"),
    ("ex3", the_sum_clipped, "clip every row, not their sum"),
    ("ex3", lambda g, clip, noise, expected: (g.sum(0) + noise) / expected, "clip each row first"),
    ("ex3", lambda g, clip, noise, expected: (clipped(g, clip).sum(0) + noise) / len(g), "were expected"),
    ("ex3", lambda g, clip, noise, expected: clipped(g, clip).sum(0) / expected + noise, "before dividing"),
    ("ex3", lambda g, clip, noise, expected: clipped(g, clip).sum(0) / expected, "noise is missing"),
    ("ex3", lambda g, clip, noise, expected: clipped(g, clip).sum(0) + noise, "divide by the rows"),
    (
        "ex3",
        lambda g, clip, noise, expected: (
            ((g * (clip / g.norm(dim=1, keepdim=True))).sum(0) + noise) / expected
        ),
        "length 0",
    ),
    ("ex3", lambda g, clip, noise, expected: 0.5, "one number per column"),
    ("ex3", 1.0, "expected a function"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("19", WRONG)


MEANT = {  # what exercise 2 offers, of clients that send one number each and have a row each
    "FedAvg's mean by rows": lambda sent: sent.mean(),
    "each number's median": lambda sent: sent.median(),
    "the embedding rule `sum`": lambda sent: sent.sum(),
    "cutting every update to two median lengths": lambda sent: sent.clamp(max=2 * sent.median()).sum(),
    "`kin`'s weights": lambda sent: sent[:, None] * sent,
    "an even mean of all towers": lambda sent: sent.mean(),
    "Krum": lambda sent: sent[(sent[:, None] - sent).abs().sort(1).values[:, 1].argmin()],
    "normalization by each client's moments": lambda sent: sent.square(),
    "the number of all rows": lambda sent: torch.tensor(len(sent)),
}


def test_what_exercise_2_calls_a_sum_cannot_tell_two_groups_of_one_sum_apart():
    one, other = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([2.0, 3.25, 3.75])
    assert one.sum() == other.sum() and MEANT.keys() == WHOLE.keys()
    for name, of in MEANT.items():
        assert torch.equal(of(one), of(other)) == (not WHOLE[name]), name

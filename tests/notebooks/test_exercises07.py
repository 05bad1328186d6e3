"""Chapter 07: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import torch
from solving import exercise_tests


def mates(scores, count=2, own_share=0.5):
    own = torch.eye(len(scores))
    best = scores.masked_fill(own > 0, -torch.inf).topk(count).indices
    return own_share * own + torch.zeros_like(scores).scatter(1, best, (1 - own_share) / count)


def angles(gram):
    length = gram.diagonal().sqrt()
    return gram / length / length[:, None]


WRONG = [
    ("ex1", torch.tensor([-0.6, 0.6, -1.2]), "the sign"),
    ("ex1", torch.tensor([0.2, -1.0, 0.8]), "centred"),
    ("ex1", torch.tensor([1.0, -1.0, 2.0]), "sources alone"),
    ("ex1", torch.zeros(2), "expected shape (3,)"),
    ("ex1", 0.6, "expected a tensor or an array"),
    ("ex2", mates, "divide by both lengths"),
    ("ex2", lambda gram: mates(-angles(gram)), "least alike"),
    ("ex2", lambda gram: mates(angles(gram), 1), "one mate"),
    ("ex2", lambda gram: 2 * mates(angles(gram)), "sum to one"),
    ("ex2", lambda gram: mates(angles(gram), own_share=0.25), "own weight"),
    ("ex2", lambda gram: gram[0], "must return a tensor"),
    ("ex2", lambda gram, n: gram, "TypeError"),
    ("ex2", torch.zeros(4), "expected a function"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("07", WRONG)

"""Chapter 07: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import torch
from solving import exercise_tests


def chain(weights, gradient):
    return weights * (gradient - weights @ gradient)


def even_rest(logits, n, own):
    row = torch.full_like(logits, (1 - own) / (len(logits) - 1))
    row[n] = own
    return row


def too_much(logits, n, own):
    row = logits.softmax(-1)
    row[n] = own
    return row


def uphill(weights, gradient, size):
    g = chain(weights, gradient)
    return (weights.log() + size * g / g.norm()).softmax(-1)


def not_chained(weights, gradient, size):
    return (weights.log() - size * gradient / gradient.norm()).softmax(-1)


def any_length(weights, gradient, size):
    return (weights.log() - size * chain(weights, gradient)).softmax(-1)


def on_weights(weights, gradient, size):
    g = chain(weights, gradient)
    return weights - size * g / g.norm()


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
    ("ex2", lambda logits, n, own: logits.softmax(-1), "`learned`"),
    ("ex2", even_rest, "evenly"),
    ("ex2", too_much, "sum to one"),
    ("ex2", lambda logits, n, own: own, "must return a tensor"),
    ("ex2", lambda logits: logits, "TypeError"),
    ("ex2", torch.zeros(4), "expected a function"),
    ("ex3", uphill, "uphill"),
    ("ex3", not_chained, "chain the gradient"),
    ("ex3", any_length, "fixed length"),
    ("ex3", on_weights, "on the logits"),
    ("ex3", "softmax", "expected a function"),
    ("ex4", mates, "divide by both lengths"),
    ("ex4", lambda gram: mates(-angles(gram)), "least alike"),
    ("ex4", lambda gram: mates(angles(gram), 1), "`nearest`"),
    ("ex4", lambda gram: 2 * mates(angles(gram)), "sum to one"),
    ("ex4", lambda gram: mates(angles(gram), own_share=0.25), "own weight"),
    ("ex4", lambda gram: gram[0], "must return a tensor"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("07", WRONG)

"""Rounds of aggregation played by hand, without clients: inputs, one round, several."""

from types import SimpleNamespace

import torch

from pfmsm_lite.aggregation import Exchange, Past, aggregate, mixing_weights
from pfmsm_lite.methods import Method

UNITS, SIZE, ROUNDS = 2, 6, 3


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def method(rule):
    return Method("test", "a rule under test", share={"expert.scenario": "personalized"}, aggregate=rule)


def game(clients, seed=0):
    """Inputs of a few rounds: start, what each round's training changes, rows, and everybody there."""
    everybody = torch.ones(UNITS, clients, dtype=torch.bool)
    return SimpleNamespace(
        start=random(UNITS, clients, SIZE, seed=seed),
        deltas=list(0.3 * random(ROUNDS, UNITS, clients, SIZE, seed=seed + 1)),
        rows=torch.arange(1.0, clients + 1).double() * 100,
        present=[everybody.clone() for _ in range(ROUNDS)],
        has=everybody,
    )


def exchanged(received, delta, mix=None, rows=None, present=None, has=None, previous=None, gradients=None):
    """An Exchange of one round; left out: plain updates, equal rows, everybody there, no gradients."""
    everybody = torch.ones(delta.shape[:2], dtype=torch.bool)
    mix = torch.eye(delta.shape[1]).to(delta).expand(len(delta), -1, -1) if mix is None else mix
    return Exchange(
        received,
        delta,
        mix,
        received + mix @ delta,
        delta @ delta.transpose(-2, -1),
        torch.ones(delta.shape[1]).double() if rows is None else rows,
        everybody if present is None else present,
        everybody if has is None else has,
        previous,
        gradients,
    )


def mixed(exchange, method):
    """What the server makes of an Exchange: its parts, weights, mixtures, and the Past for the next round."""
    weights, memory = mixing_weights(exchange, method)
    sources = memory.pop("sources", exchange.sources)
    return SimpleNamespace(
        **{**vars(exchange), "sources": sources},
        weights=weights,
        memory=memory,
        mixtures=aggregate(sources, weights),
        past=Past(exchange.delta, sources, weights, memory),
    )


def play(rule, inputs):
    """The rounds one after another, as the server plays them: the last one, with its mixtures."""
    received, past = inputs.start, None
    longer = 1.1 * torch.eye(received.shape[1]).to(received).expand(len(received), -1, -1)
    for delta, present in zip(inputs.deltas, inputs.present, strict=True):
        gradients = 0.5 * delta.roll(1, -1) - delta  # as if validation rows mostly agreed
        exchange = exchanged(received, delta, longer, inputs.rows, present, inputs.has, past, gradients)
        last = mixed(exchange, method(rule))
        received, past = last.mixtures, last.past
    return last

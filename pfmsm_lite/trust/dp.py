"""Differential privacy of single rows: a client that clips each row's gradient, and adds noise to their sum.

What holds: whoever sees all uploads of a run learns no more about any one row than ε and δ say: they compare
two tables that differ in that row. Not covered is what else leaves a client: see `OUTSIDE`.
"""

import math
from dataclasses import replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, vmap

from pfmsm_lite.client import Client, Message
from pfmsm_lite.errors import UserError
from pfmsm_lite.registry import lookup, register
from pfmsm_lite.scenario import shortened

CHUNK = 256  # rows whose gradients are there at once
TABLE = "embedding.weight"
ORDERS = (*range(2, 129), *range(136, 513, 8))  # of Rényi divergences that the accountant tries

OUTSIDE = (  # what a private client still tells, as it is
    "which embedding entries its rows name, and how often (--entries whole tells neither)",
    "how many rows it has, and which tasks",
    "its AUC and log loss on validation and test rows, and its training loss",
    "the noise, to whoever knows the seed of the run (--client secret draws it from the operating system)",
)


# ---- one step ----


def row_gradients(model, ids: Tensor, numerical: Tensor, labels: Tensor, mask: Tensor) -> tuple[dict, Tensor]:
    """The gradient of each row's loss: ({name: [B, ...]} of what is trained, losses [B, T]).

    ids [B, C] entries of the model's table, no two alike in a row;  numerical [B, D];  labels, mask [B, T]

    Of the table a row has the gradient of its own C entries alone, [B, C, K]: all others are zero.
    """
    parameters = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    table = parameters.pop(TABLE, model.embedding.weight.detach())
    places = torch.arange(ids.shape[1], device=ids.device)[None]  # a row's entries lie one after the other

    def loss(parameters, entries, numerical, labels, mask):
        logits = functional_call(model, parameters | {TABLE: entries}, (places, numerical[None]))[0]
        each = F.binary_cross_entropy_with_logits(logits, labels, reduction="none") * mask
        return each.sum(), each

    each_row = vmap(grad(loss, argnums=(0, 1), has_aux=True), in_dims=(None, 0, 0, 0, 0))
    (found, entries), losses = each_row(parameters, table[ids], numerical, labels, mask)
    return ({TABLE: entries} if model.embedding.weight.requires_grad else {}) | found, losses


def clip_factors(gradients: dict[str, Tensor], clip: float) -> Tensor:
    """[B]: what each row's gradient {name: [B, ...]} is multiplied by, to be no longer than `clip`."""
    squares = [part.flatten(1).square().sum(1) for part in gradients.values()]
    return (clip / (torch.stack(squares).sum(0).sqrt() + 1e-6)).clamp(max=1.0)


def clipped_sum(model, ids, numerical, labels, mask, clip: float) -> tuple[dict[str, Tensor], Tensor]:
    """(sum of the rows' clipped gradients, by name; of their losses [T]); arguments as `row_gradients`."""
    sizes = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p) for name, p in sizes.items()}
    losses = labels.new_zeros(labels.shape[1])
    for part in torch.arange(len(ids), device=ids.device).split(CHUNK):
        if not len(part):
            continue
        found, own = row_gradients(model, ids[part], numerical[part], labels[part], mask[part])
        factors = clip_factors(found, clip)
        if TABLE in found:
            entries = factors[:, None, None] * found.pop(TABLE)
            total[TABLE].index_add_(0, ids[part].flatten(), entries.flatten(0, 1))
        for name, gradients in found.items():
            total[name] += torch.einsum("b,b...->...", factors, gradients)
        losses += own.sum(0)
    return total, losses


def noisy(total: dict[str, Tensor], spread: float, rows: float, generator) -> dict[str, Tensor]:
    """(total + normal noise of this spread) / rows, for each name; on every entry, also where total is 0."""
    found = {}
    for name, part in total.items():
        noise = torch.normal(0.0, spread, part.shape, generator=generator) if spread else torch.zeros(())
        found[name] = (part + noise.to(part.device)) / rows
    return found


# ---- the client ----


class PrivateClient(Client):
    """A client whose uploads are differentially private for each of its training and validation rows.

    A mini-batch takes each row with the same chance, `dp_rate`; 1 / dp_rate of them are an epoch. Clipped and
    noised is the gradient of all that is trained: also what stays at home shapes later uploads. Its base rate
    is left out, for no noise covers it. A second model, which never leaves, trains in the open.

    Source: DP-SGD (Abadi et al., CCS 2016)
    Paper: per-example gradients are clipped, summed, noised and divided by the expected batch
    Ours: so, the noisy gradient goes to Adam
    Fidelity: same
    """

    at_home = False  # whether it is the second model's

    def __init__(self, *arguments):
        super().__init__(*arguments)
        refuse_leaks(self)
        self.model.intercept.zero_()
        if self.personal is not None:
            vars(self.personal)["at_home"] = True
            self.personal.model.intercept.zero_()

    def batches(self) -> tuple[Tensor, ...]:
        """Row numbers of one epoch's mini-batches: each row is in each of them with the chance dp_rate."""
        if self.at_home:
            return super().batches()
        steps, rows = steps_of_an_epoch(self.settings.dp_rate), len(self.labels)
        drawn = torch.rand(steps, rows, generator=self.generator) < self.settings.dp_rate
        return tuple(line.nonzero()[:, 0].to(self.labels.device) for line in drawn)

    def backward(self, index: Tensor) -> Tensor:
        """The noisy mean of the rows' clipped gradients into every parameter's grad; losses per task [T]."""
        if self.at_home:
            return super().backward(index)
        settings, labels = self.settings, self.labels[index]
        mask = torch.ones_like(labels) if self.mask is None else self.mask[index]
        numerical = self.train_rows.numerical[index]
        total, losses = clipped_sum(self.model, self.ids(index), numerical, labels, mask, settings.dp_clip)
        # divided by the rows that are expected, not by those that came: their number is private
        expected = settings.dp_rate * len(self.labels)
        for name, gradient in noisy(total, spread(settings), expected, self.generator).items():
            self.model.get_parameter(name).grad = gradient
        return losses / expected

    def validation_gradient(self) -> Message:
        """As a client in the open, but each row's gradient is clipped, and noise added to their sum."""
        rows = self.views[0][1]["valid"]
        asked = [name for group in self.asking for name in self.shared[group]]
        ids, numerical, labels = (part.to(self.labels.device) for part in rows[:3])
        self.model.requires_grad_(False)
        for name in asked:
            self.model.get_parameter(name).requires_grad_(True)
        mask = (~labels.isnan()).float()
        total, _ = clipped_sum(self.model, ids, numerical, labels.nan_to_num(), mask, self.settings.dp_clip)
        self.model.requires_grad_(True)
        found = noisy(total, spread(self.settings, validation=True), max(len(labels), 1), self.generator)
        return found if all(part.isfinite().all() for part in found.values()) else {}


class SecretClient(PrivateClient):
    """A PrivateClient whose sampling and noise nobody can repeat: not even with the seed of the run."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.generator.seed()


def spread(settings, validation: bool = False) -> float:
    """Standard deviation of the noise on a sum of clipped gradients."""
    factor = validation_noise(settings.dp_noise, settings) if validation else settings.dp_noise
    return factor * settings.dp_clip if factor else 0.0


def refuse_leaks(client: Client) -> None:
    """Refuse, by its name, what mixes rows, or leaves entries without noise; UserError says what to do."""
    model, settings, method = client.model, client.settings, client.method
    wrong = {  # what is wrong, and what to do
        f"{method.name} has all rows in one place: leave it out": method.pooled,
        f"its model {method.model} is not mmoe: leave {method.name} out": not getattr(
            model, "federated", False
        ),
        "BatchNorm mixes rows: give --batch-norm no": settings.batch_norm,
        "lazy Adam shows which entries were used: give --embedding-optimizer adam": model.embedding.sparse,
        "a row may name one entry twice, in a bag: declare the field as one category": hasattr(
            model.embedding, "field"
        ),
        "gradients are clipped in fp32: give --precision fp32": settings.precision != "fp32",
    }
    for words in (words for words, there in wrong.items() if there):
        raise UserError(f"Client {client.name!r} cannot be private: {words}.")


register(
    "client", "private", PrivateClient, "private by row: gradients clipped and noised (dp_clip, dp_noise)"
)
register(
    "client", "secret", SecretClient, "as private, its noise not drawn from the seed: no run can be repeated"
)


# ---- the accountant ----


def steps_of_an_epoch(rate: float) -> int:
    """Mini-batches that make an epoch, where each takes a row with the chance `rate`."""
    return max(1, round(1 / rate))


def renyi(noise: float, rate: float, order: int) -> float:
    """Rényi divergence of a whole order ≥ 2 that one step gives away at most; rate: a row's chance in it.

    Source: Mironov, Talwar and Zhang, "Rényi differential privacy of the sampled Gaussian mechanism"
        (arXiv 1908.10530), section 3.3
    Paper: log Σ_k binom(α, k) (1 − q)^(α−k) q^k exp((k² − k) / 2σ²) / (α − 1)
    Ours: so, of whole orders only: never less than over all orders, and a loose bound only for ε far above 10
    Fidelity: same
    """
    if not noise:
        return math.inf
    if rate == 1:
        return order / (2 * noise**2)
    terms = [
        math.lgamma(order + 1) - math.lgamma(k + 1) - math.lgamma(order - k + 1)
        + (order - k) * math.log1p(-rate) + k * math.log(rate) + (k * k - k) / (2 * noise**2)
        for k in range(order + 1)
    ]  # fmt: skip
    most = max(terms)
    return (most + math.log(sum(math.exp(term - most) for term in terms))) / (order - 1)


def epsilon(noise: float, rate: float, steps: int, delta: float) -> float:
    """ε of `steps` steps with this noise multiplier, each row in a step with the chance `rate`, at this δ.

    raises UserError for a δ that is not between 0 and 1

    Source: conversion: Balle et al., "Hypothesis testing interpretations and Renyi differential privacy"
        (AISTATS 2020), theorem 21
    Paper: ε = RDP(α) + log((α − 1) / α) − (log δ + log α) / (α − 1), for the best order α
    Ours: so
    Fidelity: same
    """
    if not 0 < delta < 1:
        raise UserError(f"--delta is {delta}, but it must be above 0 and below 1, such as 1e-5.")
    found = [
        steps * renyi(noise, rate, order)
        + math.log1p(-1 / order)
        - (math.log(delta) + math.log(order)) / (order - 1)
        for order in ORDERS
    ]
    return max(0.0, min(found))


@lru_cache
def noise_for(target: float, rate: float, steps: int, delta: float) -> float:
    """The least noise multiplier, to 1 in 1,000, at which `steps` steps give at most ε = target."""
    if not target > 0:
        raise UserError(f"--epsilon is {target}, but it must be above 0, such as 3.")
    low, high = 0.05, 1.0
    while epsilon(high, rate, steps, delta) > target:
        low, high = high, 2 * high
        if high > 1e6:
            raise UserError(f"No noise gives --epsilon {target} at --delta {delta}. Give a larger one.")
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if epsilon(middle, rate, steps, delta) > target else (low, middle)
    return high


def steps_of(settings, method, rounds: int) -> int:
    """Noisy steps of a client in a run of so many rounds: of all phases that a method trains in turn."""
    every, home, heads = {"body", "head", "home"}, {"home"}, {"head", "home"}
    phases = lookup("phases", method.phases)(every, home, heads)
    passes = sum(method.head_epochs if part < every and part <= heads else 1 for part in phases)
    return rounds * settings.local_epochs * passes * steps_of_an_epoch(settings.dp_rate)


def epsilon_of(settings, method, rounds: int, delta: float = 1e-5) -> float:
    """ε of a row's owner for a whole run; inf for clients in the open. Training and validation rows are
    different rows, and a validation gradient costs no more than the round in which it is sent."""
    if settings.client == "open" or not settings.dp_noise:
        return math.inf
    return epsilon(settings.dp_noise, settings.dp_rate, steps_of(settings, method, rounds), delta)


def is_private(settings) -> bool:
    """Whether its clients are private ones."""
    return issubclass(lookup("client", settings.client), PrivateClient)


def with_epsilon(settings, methods, rounds: int, target: float, delta: float):
    """The Settings, their clients private, with the noise at which no method's run costs more than ε."""
    settings = settings if is_private(settings) else replace(settings, client="private")
    steps = max(steps_of(settings, method, rounds) for method in methods)
    return replace(settings, dp_noise=noise_for(target, settings.dp_rate, steps, delta))


def refuse_methods(methods) -> None:
    """Refuse, by name, methods whose clients cannot be private; UserError says what to do."""
    for method in methods:
        if method.pooled or not getattr(lookup("model", method.model), "federated", False):
            why = "has all rows in one place" if method.pooled else f"has the model {method.model}, not mmoe"
            raise UserError(f"{method.name} {why}: its clients cannot be private. Leave it out of --methods.")


def said(settings, methods, rounds: int, delta: float) -> list[str]:
    """What a private run promises and what it does not, line by line; nothing for clients in the open."""
    if not is_private(settings):
        return []
    found = {method.name: epsilon_of(settings, method, rounds, delta) for method in methods}
    lines = [
        f"ε = {value:.3g} at δ = {delta:g} for each row, over all {rounds} rounds: {shortened(names)}"
        for value, names in _by_value(found).items()
    ]
    rate = f"each row is in a step with a chance of {settings.dp_rate:g}"
    how = f"noise {settings.dp_noise:.4g} × clip {settings.dp_clip:g}; {rate}"
    return [
        *lines,
        f"  {how}; uploads and what follows from them, no more. In the open:",
        *[f"  - {what}" for what in OUTSIDE if settings.client != "secret" or "seed" not in what],
    ]


def _by_value(found: dict[str, float]) -> dict[float, list[str]]:
    return {value: [name for name, own in found.items() if own == value] for value in found.values()}


def validation_noise(noise: float, settings) -> float:
    """The noise multiplier of a sum over all validation rows that costs no more than one round's training.

    It holds for every order: with rate 1 a step costs α / 2σ², and a round's cost over α grows with α.
    """
    steps = settings.local_epochs * steps_of_an_epoch(settings.dp_rate)
    return math.sqrt(2 / (2 * steps * renyi(noise, settings.dp_rate, 2))) if noise else 0.0

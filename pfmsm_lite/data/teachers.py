"""The teachers behind synthetic labels: what they look at, how alike they are, and the chances they give."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pfmsm_lite.errors import UserError

LATENT = 4  # numbers that describe a value of a field
BASIS = 24  # nonlinear functions of a row that the teacher weighs
DEPTH = LATENT**2 + BASIS  # D, all that a teacher weighs


class World(NamedTuple):
    """What all scenarios have in common, for F fields and K numerical features (numericals).

    latent      F arrays [values, LATENT]: what describes each value of a field
    directions  [F · LATENT + K, BASIS]: the mixtures of everything that the teachers look at
    ranking     [items]: place of each item in the common order of popularity
    """

    latent: list[np.ndarray]
    directions: np.ndarray
    ranking: np.ndarray
    numericals: int


def draw_world(draw: np.random.Generator, fields: Mapping[str, int], numericals: int) -> World:
    """The World of `fields` (name → number of values; the second: items), from one random stream."""
    latent = [draw.standard_normal((values, LATENT)) for values in fields.values()]
    directions = draw.standard_normal((LATENT * len(fields) + numericals, BASIS))
    return World(latent, directions, draw.permutation(list(fields.values())[1]), numericals)


def draw_teachers(
    streams: Sequence[np.random.Generator], related: np.ndarray, between: np.ndarray
) -> np.ndarray:
    """[N, T, D] teachers whose correlations are `related` [N, N] and `between` [T, T], one stream each."""
    own = np.stack([stream.standard_normal((len(between), DEPTH)) for stream in streams])
    root, task_root = (np.linalg.cholesky(m + 1e-9 * np.eye(len(m))) for m in (related, between))
    return np.einsum("nm,mtd,st->nsd", root, own, task_root) / np.sqrt(DEPTH)


def look(world: World, ids: np.ndarray, numerical: np.ndarray) -> np.ndarray:
    """[R, D] what a teacher looks at: products of user and item, and bent mixtures of everything.

    ids [R, F] from 1;  numerical [R, K]
    """
    values = [table[ids[:, f] - 1] for f, table in enumerate(world.latent)]
    products = (values[0][:, :, None] * values[1][:, None, :]).reshape(len(ids), -1)
    everything = np.concatenate([*values, numerical], 1) / np.sqrt(LATENT)
    bent = np.tanh(everything @ world.directions)
    return np.concatenate([products, 1.6 * bent], 1)


def chances(
    score: np.ndarray, rates: Sequence[float], noise: float, places: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Scores [R, T] → (P(label = 1) [R, T], the constants [T] that give each task its mean rate).

    rates [T] wanted means;  noise: share of labels flipped;  places: what each task is called in an error
    """
    constants, probability = np.empty(len(rates)), np.empty_like(score)
    for t, (rate, place) in enumerate(zip(rates, places, strict=True)):
        constants[t] = _intercept(score[:, t], rate, noise, place)
        probability[:, t] = _probability(score[:, t] + constants[t], noise)
    return probability, constants


def _intercept(score, rate, noise, place):
    """The constant that makes the mean probability of a positive label equal `rate`."""
    from scipy.optimize import brentq

    if not noise < rate < 1 - noise:
        raise UserError(f"rates: {rate} cannot be reached in {place} with label_noise {noise}.")
    return brentq(lambda b: _probability(score + b, noise).mean() - rate, -60 - score.max(), 60 - score.min())


def _probability(score, noise):
    from scipy.special import expit

    return noise + (1 - 2 * noise) * expit(score)


# ---------------------------------------------------------------- how alike they are


def scenario_correlation(
    relatedness: Sequence | np.ndarray | None, count: int, within: float, across: float
) -> tuple[np.ndarray, tuple | None]:
    """([N, N] correlation of the scenarios, their cluster labels or None); refused where impossible.

    relatedness  N cluster labels, with `within` and `across` as correlations; or the matrix itself; None: the
                 first half of the scenarios is one cluster, the second half the other
    """
    if relatedness is None:
        relatedness = [int(n >= (count + 1) // 2) for n in range(count)]
    given, clusters = np.asarray(relatedness), None
    if given.ndim == 1:
        if len(given) != count:
            raise UserError(f"relatedness has {len(given)} cluster labels for {count} scenarios (sizes).")
        clusters = tuple(given.tolist())
        given = np.where(given[:, None] == given[None], within, across).astype(float)
        np.fill_diagonal(given, 1.0)
    return _checked(given, count, "relatedness (or within and across)"), clusters


def task_correlations(correlation: float | Sequence | np.ndarray, width: int) -> np.ndarray:
    """[T, T] correlation of the tasks, from one number or as given; refused where impossible."""
    between = np.asarray(correlation, float)
    if between.ndim == 0:
        between = np.where(np.eye(width, dtype=bool), 1.0, between)
    return _checked(between, width, "task_correlation")


def _checked(matrix, count, name):
    matrix = np.asarray(matrix, float)
    if matrix.shape != (count, count) or not np.allclose(matrix, matrix.T):
        raise UserError(
            f"{name} must be a symmetric {count}×{count} matrix, not one of shape {matrix.shape}."
        )
    if not np.allclose(np.diag(matrix), 1) or np.abs(matrix).max() > 1 + 1e-9:
        raise UserError(f"{name} must have ones on its diagonal and entries in [-1, 1].")
    lowest = np.linalg.eigvalsh(matrix)[0]
    if lowest < -1e-8:
        raise UserError(
            f"{name} is not a correlation matrix: its smallest eigenvalue is {lowest:.3f}, below 0. "
            "Bring the negative entries closer to 0."
        )
    return matrix

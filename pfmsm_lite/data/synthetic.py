"""Scenarios with a known truth: what a teacher turns to show an effect."""

from dataclasses import dataclass

import numpy as np
import torch

from pfmsm_lite.data.table import standardize
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.scenario import SPLITS, Rows, Scenario

FIELDS = {"user": 300, "item": 200, "category": 20, "hour": 24}
LATENT = 4  # numbers that describe a value of a field
BASIS = 24  # nonlinear functions of a row that the teacher weighs
STATISTICS = ("client", "federation", "none")


@dataclass(frozen=True)
class Truth:
    """What the generator knows and a learner does not, for N scenarios and T tasks.

    relatedness  [N, N] correlation of the scenarios' teachers;  clusters: N labels, or None
    tasks        [T, T] correlation of the tasks' teachers
    weights      [N, T, D] the teachers themselves
    scales       [N] factor on a scenario's numerical features
    popularity   [N, items] probability of each item
    rates        [N, T] share of positives asked for;  achieved: mean true probability of the training rows
    intercepts   [N, T] the teachers' constants, which bring about the rates; NaN for a missing task
    ceiling      [N, T] best reachable AUC on the test rows; NaN for a missing task
    """

    relatedness: np.ndarray
    clusters: tuple | None
    tasks: np.ndarray
    weights: np.ndarray
    scales: np.ndarray
    popularity: np.ndarray
    rates: np.ndarray
    achieved: np.ndarray
    intercepts: np.ndarray
    ceiling: np.ndarray


def best_auc(probability):
    """The AUC that the true probabilities themselves reach, in expectation over the labels they give.

    probability [R] → the chance that a random positive row has a higher probability than a random negative
    one, ties counting half; NaN where there is no pair. O(R log R).
    """
    p = np.sort(np.asarray(probability, np.float64))
    levels, place = np.unique(p, return_inverse=True)
    positive = np.bincount(place, p, len(levels))
    negative = np.bincount(place, 1 - p, len(levels))
    same = np.bincount(place, p * (1 - p), len(levels))  # a row is no pair with itself
    below = np.cumsum(negative) - negative
    pairs = p.sum() * (1 - p).sum() - same.sum()
    if not pairs > 1e-12:
        return float("nan")
    return float((positive @ below + (positive @ negative - same.sum()) / 2) / pairs)


def _correlation(relatedness, count, within, across):
    """[N, N] correlation of the scenarios, from cluster labels or as given; refused where impossible."""
    given = np.asarray(relatedness)
    clusters = None
    if given.ndim == 1:
        if len(given) != count:
            raise UserError(f"relatedness has {len(given)} cluster labels for {count} scenarios (sizes).")
        clusters = tuple(given.tolist())
        given = np.where(given[:, None] == given[None], within, across).astype(float)
        np.fill_diagonal(given, 1.0)
    return _checked(given, count, "relatedness (or within and across)"), clusters


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
            f"{name} is no correlation matrix: its smallest eigenvalue is {lowest:.3f}, below 0. "
            "Bring the negative entries closer to 0."
        )
    return matrix


def _range(name, value, low, high):
    if not low <= value <= high:
        raise UserError(f"{name} is {value}, but it must lie in [{low}, {high}].")


def _rates(rates, count, width):
    """[N, T] from one number, one a task, or all of them."""
    rates = np.asarray(rates, float)
    if rates.shape not in ((), (width,), (count, width)):
        raise UserError(
            f"rates has shape {rates.shape}: give one number, one for each of the {width} tasks, or "
            f"{count} scenarios × {width} tasks."
        )
    return np.broadcast_to(rates, (count, width))


def _mix(generator, items, shift):
    """Zipf probabilities; a share `shift` of the items swap their places in the ranking."""
    rank = np.arange(items)
    moved = np.flatnonzero(generator.random(items) < shift)
    order = generator.spawn(1)[0].random(items)  # a stream of its own: `shift` leaves all later draws alone
    rank[moved] = rank[moved[np.argsort(order[moved])]]
    weight = 1 / (rank + 5.0)
    return weight / weight.sum()


def _basis(latent, ids, numerical, directions):
    """[R, D] what the teacher looks at: products of user and item, and bent mixtures of everything."""
    values = [table[ids[:, f] - 1] for f, table in enumerate(latent)]
    products = (values[0][:, :, None] * values[1][:, None, :]).reshape(len(ids), -1)
    everything = np.concatenate([*values, numerical], 1) / np.sqrt(LATENT)
    bent = np.tanh(everything @ directions)
    return np.concatenate([products, 1.6 * bent], 1)


def _intercept(score, rate, noise, name):
    """The constant that makes the mean probability of a positive label equal `rate`."""
    from scipy.optimize import brentq

    if not noise < rate < 1 - noise:
        raise UserError(f"rates: {rate} cannot be reached in {name} with label_noise {noise}.")
    return brentq(lambda b: _probability(score + b, noise).mean() - rate, -60 - score.max(), 60 - score.min())


def _probability(score, noise):
    from scipy.special import expit

    return noise + (1 - 2 * noise) * expit(score)


def synthetic(
    sizes=(6000, 3000, 1500, 6000, 3000, 1500),
    relatedness=None,
    within=0.95,
    across=0.3,
    tasks=("click", "conversion"),
    task_correlation=0.5,
    rates=(0.3, 0.15),
    signal=2.0,
    label_noise=0.0,
    label_missing=0.0,
    missing_tasks=None,
    feature_scale_shift=1.0,
    popularity_shift=0.0,
    statistics="client",
    fields=None,
    numericals=4,
    valid=0.25,
    test_rows=3000,
    seed=0,
):
    """Scenarios whose truth is known; returns (list of N Scenario, Truth).

    sizes                training rows of each scenario; valid: validation rows as a share of them (at least
                         300); test_rows: test rows of each
    relatedness          cluster label of each scenario (default: first half and second half), or any N×N
                         correlation matrix; within, across: correlation inside and between clusters
    tasks                names;  task_correlation: of their teachers, −1 to 1, or a T×T matrix
    rates                share of positives, one for all, one a task, or [N, T]; down to 0.01
    signal               deviation of the true logit: 0 is noise, 5 almost certainty
    label_noise          share of labels turned over;  label_missing: share of single labels missing
    missing_tasks        {scenario number: [task, …]}: tasks that a scenario does not have at all
    feature_scale_shift  numerical features of the last scenario are that many times as large as the first's
    popularity_shift     0: the same items are popular everywhere; 1: independently in each scenario
    statistics           numerical features are standardized with training rows of the `client`, of the whole
                         `federation` (it must exchange sums), or not (`none`)
    fields               categorical field → number of values; the first two interact (user and item)
    raises               UserError for a knob outside its range

    Each scenario has its own random stream: changing one leaves the rows of the others as they were.
    """
    fields = dict(fields or FIELDS)
    count, width = len(sizes), len(tasks)
    for name, value, low, high in (
        ("signal", signal, 0, 100),
        ("valid", valid, 0, 100),
        ("test_rows", test_rows, 1, 10**9),
        ("numericals", numericals, 0, 10_000),
        ("number of tasks", width, 1, 1000),
        ("smallest of fields", min(fields.values(), default=0), 1, 10**9),
        ("label_noise", label_noise, 0, 0.49),
        ("label_missing", label_missing, 0, 0.99),
        ("popularity_shift", popularity_shift, 0, 1),
        ("feature_scale_shift", feature_scale_shift, 1e-6, 1e6),
        ("number of fields", len(fields), 2, 100),
        ("number of scenarios", count, 1, 10_000),
        ("smallest of sizes", min(sizes, default=0), 1, 10**9),
    ):
        _range(name, value, low, high)
    choose("statistics", statistics, STATISTICS)
    if len(set(tasks)) < width:
        raise UserError(f"tasks={tuple(tasks)} names a task twice. Give every task a name of its own.")
    if relatedness is None:
        relatedness = [int(n >= (count + 1) // 2) for n in range(count)]
    related, clusters = _correlation(relatedness, count, within, across)
    between = np.asarray(task_correlation, float)
    if between.ndim == 0:
        between = np.where(np.eye(width, dtype=bool), 1.0, between)
    between = _checked(between, width, "task_correlation")
    asked = _rates(rates, count, width)
    missing = {n: list(names) for n, names in (missing_tasks or {}).items()}
    for n, names in missing.items():
        _range("scenario number in missing_tasks", n, 0, count - 1)
        for name in names:
            choose("task in missing_tasks", name, tasks)

    world, *streams = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(count + 1))
    latent = [world.standard_normal((values, LATENT)) for values in fields.values()]
    directions = world.standard_normal((LATENT * len(fields) + numericals, BASIS))
    depth = LATENT**2 + BASIS
    own = np.stack([stream.standard_normal((width, depth)) for stream in streams])
    root, task_root = (np.linalg.cholesky(m + 1e-9 * np.eye(len(m))) for m in (related, between))
    weights = np.einsum("nm,mtd,st->nsd", root, own, task_root) / np.sqrt(depth)
    scales = feature_scale_shift ** (np.arange(count) / max(count - 1, 1))
    items = list(fields.values())[1]
    base = world.permutation(items)

    parts, popularity, ceiling, achieved, intercepts = [], [], [], [], np.empty((count, width))
    for n, stream in enumerate(streams):
        lengths = dict(zip(SPLITS, (sizes[n], max(300, round(valid * sizes[n])), test_rows), strict=True))
        share = _mix(stream, items, popularity_shift)[base]
        popularity.append(share)
        rows, name = sum(lengths.values()), f"s{n}"
        ids = np.stack([stream.integers(1, values + 1, rows) for values in fields.values()], 1)
        ids[:, 1] = 1 + stream.choice(items, rows, p=share)
        numerical = stream.standard_normal((rows, numericals))
        score = signal * _basis(latent, ids, numerical, directions) @ weights[n].T  # [R, T]
        probability = np.empty_like(score)
        for t in range(width):
            b = _intercept(score[:, t], asked[n, t], label_noise, f"{name}, task {tasks[t]}")
            probability[:, t], intercepts[n, t] = _probability(score[:, t] + b, label_noise), b
        labels = (stream.random(score.shape) < probability).astype(np.float32)
        labels[stream.random(score.shape) < label_missing] = np.nan
        gone = [tasks.index(task) for task in missing.get(n, ())]
        labels[:, gone] = probability[:, gone] = intercepts[n, gone] = np.nan
        cut = np.cumsum(list(lengths.values()))[:-1]
        parts.append([np.split(block, cut) for block in (ids, scales[n] * numerical, labels, probability)])
        known = np.where(
            np.isnan(parts[-1][2][2]), np.nan, parts[-1][3][2]
        ).T  # rows without a label do not count
        ceiling.append([best_auc(p[~np.isnan(p)]) for p in known])
        achieved.append(parts[-1][3][0].mean(0))

    numbers = np.concatenate([block for part in parts for block in part[1]])
    lengths = [len(block) for part in parts for block in part[1]]
    train = np.repeat(np.arange(len(lengths)) % 3 == 0, lengths)
    clients = np.repeat(np.arange(len(lengths)) // 3, lengths)
    numbers = np.split(standardize(numbers, train, clients, statistics), np.cumsum(lengths)[:-1])
    names = tuple(f"number {k}" for k in range(numericals))
    notes = {"statistics": statistics, "categories": "declared"}
    scenarios = []
    for n, (ids, _, labels, probability) in enumerate(parts):
        blocks = zip(ids, numbers[3 * n : 3 * n + 3], labels, probability, strict=True)
        rows = [Rows(*(torch.from_numpy(np.ascontiguousarray(b)) for b in block)) for block in blocks]
        sizes_with_unknown = {field: values + 1 for field, values in fields.items()}
        scenarios.append(Scenario(f"s{n}", tuple(tasks), sizes_with_unknown, names, *rows, notes))
    arrays = (np.array(block) for block in (popularity, asked, achieved, intercepts, ceiling))
    return scenarios, Truth(related, clusters, between, weights, scales, *arrays)

"""Scenarios with a known truth: knobs that a teacher turns to show an effect."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from pfmsm_lite.data.complete import complete, without
from pfmsm_lite.data.encoding import STATISTICS, moments, standardize
from pfmsm_lite.data.teachers import (
    chances,
    draw_teachers,
    draw_world,
    look,
    scenario_correlation,
    task_correlations,
)
from pfmsm_lite.data.truth import Truth, best_auc
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.scenario import Rows, Scenario

FIELDS = {"user": 300, "item": 200, "category": 20, "hour": 24}
RANGES = {  # what is checked first → lowest and highest value
    "signal": (0, 100),
    "valid": (0, 100),
    "test_rows": (1, 10**9),
    "numericals": (0, 10_000),
    "number of tasks": (1, 1000),
    "smallest of fields": (1, 10**9),
    "label_noise": (0, 0.49),
    "label_missing": (0, 0.99),
    "popularity_shift": (0, 1),
    "feature_scale_shift": (1e-6, 1e6),
    "number of fields": (2, 100),
    "number of scenarios": (1, 10_000),
    "smallest of sizes": (1, 10**9),
}


def synthetic(
    sizes: Sequence[int] = (6000, 3000, 1500, 6000, 3000, 1500),
    relatedness: Sequence | np.ndarray | None = None,
    within: float = 0.95,
    across: float = 0.3,
    tasks: Sequence[str] = ("click", "conversion"),
    task_correlation: float | Sequence | np.ndarray = 0.5,
    rates: float | Sequence | np.ndarray = (0.3, 0.15),
    signal: float = 2.0,
    label_noise: float = 0.0,
    label_missing: float = 0.0,
    missing_tasks: Mapping[int, Sequence[str]] | None = None,
    missing_columns: Mapping[int, Sequence[str]] | None = None,
    columns_home: bool = True,
    feature_scale_shift: float = 1.0,
    popularity_shift: float = 0.0,
    statistics: str = "client",
    fields: Mapping[str, int] | None = None,
    numericals: int = 4,
    valid: float = 0.25,
    test_rows: int = 3000,
    seed: int = 0,
) -> tuple[list[Scenario], Truth]:
    """Scenarios whose truth is known; returns (list of N Scenario, Truth).

    sizes                training rows of each scenario; valid: validation rows as a share of them (at least
                         300); test_rows: test rows of each
    relatedness          cluster label of each scenario (default: first half and second half), or any N×N
                         correlation matrix; within, across: correlation inside and between clusters
    tasks                names;  task_correlation: of their teachers, −1 to 1, or a T×T matrix
    rates                share of positives: one for all, one per task, or [N, T]; down to 0.01
    signal               deviation of the true logit: 0 is noise, 5 almost certainty
    label_noise          share of labels flipped;  label_missing: share of single labels missing
    missing_tasks        {scenario number: [task, …]}: tasks that a scenario does not have at all
    missing_columns      {scenario number: [column, …]}: fields, "number 0", … that it does not have; its rows
                         are as before, but nobody is told them; columns_home: see `complete`
    feature_scale_shift  numerical features of the last scenario are that many times as large as the first's
    popularity_shift     0: the same items are popular everywhere; 1: independently in each scenario
    statistics           numerical features are standardized with training rows of the `client`, of the whole
                         `federation` (it must exchange sums), or not (`none`)
    fields               categorical field → number of values; the first two interact (user and item)
    raises               UserError for a knob outside its range

    Each scenario has its own random stream: changing one leaves the rows of the others as they were.
    """
    fields, knobs = dict(fields or FIELDS), _Knobs(signal, label_noise, label_missing, popularity_shift)
    _check(sizes, tasks, fields, knobs, numericals, valid, test_rows, feature_scale_shift)
    choose("statistics", statistics, STATISTICS)
    count, width = len(sizes), len(tasks)
    if len(set(tasks)) < width:
        raise UserError(f"tasks={tuple(tasks)} names a task twice. Give every task a name of its own.")
    related, clusters = scenario_correlation(relatedness, count, within, across)
    between = task_correlations(task_correlation, width)
    asked = _rates(rates, count, width)
    missing = _missing(missing_tasks or {}, count, tasks)

    common, *streams = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(count + 1))
    world = draw_world(common, fields, numericals)
    weights = draw_teachers(streams, related, between)
    drawn = []
    for n, stream in enumerate(streams):
        lengths = (sizes[n], max(300, round(valid * sizes[n])), test_rows)
        places = [f"s{n}, task {task}" for task in tasks]
        drawn.append(_draw(stream, world, weights[n], asked[n], missing.get(n, []), lengths, knobs, places))
    scales = feature_scale_shift ** (np.arange(count) / max(count - 1, 1))
    scenarios = _scenarios(drawn, scales, tuple(tasks), fields, statistics)
    for n, names in (missing_columns or {}).items():
        _in_range("scenario number in missing_columns", n, 0, count - 1)
        scenarios[n] = without(scenarios[n], names)
    scenarios = complete(scenarios, columns_home) if missing_columns else scenarios
    return scenarios, _truth(drawn, related, clusters, between, weights, scales, asked)


# ---------------------------------------------------------------- what was asked for


class _Knobs(NamedTuple):
    """The numbers that bend the rows of every scenario, see `synthetic`."""

    signal: float
    label_noise: float
    label_missing: float
    popularity_shift: float


def _check(sizes, tasks, fields, knobs, numericals, valid, test_rows, feature_scale_shift):
    found = knobs._asdict() | {
        "valid": valid,
        "test_rows": test_rows,
        "numericals": numericals,
        "number of tasks": len(tasks),
        "smallest of fields": min(fields.values(), default=0),
        "feature_scale_shift": feature_scale_shift,
        "number of fields": len(fields),
        "number of scenarios": len(sizes),
        "smallest of sizes": min(sizes, default=0),
    }
    for name, (low, high) in RANGES.items():
        _in_range(name, found[name], low, high)


def _in_range(name, value, low, high):
    if not low <= value <= high:
        raise UserError(f"{name} is {value}, but it must lie in [{low}, {high}].")


def _rates(rates, count, width):
    """[N, T] from one number, one per task, or all of them."""
    rates = np.asarray(rates, float)
    if rates.shape not in ((), (width,), (count, width)):
        raise UserError(
            f"rates has shape {rates.shape}: give one number, one for each of the {width} tasks, or "
            f"{count} scenarios × {width} tasks."
        )
    return np.broadcast_to(rates, (count, width))


def _missing(missing_tasks, count, tasks):
    """Number of a scenario → the columns of the tasks that it lacks."""
    missing = {}
    for n, names in missing_tasks.items():
        _in_range("scenario number in missing_tasks", n, 0, count - 1)
        missing[n] = [tasks.index(choose("task in missing_tasks", name, tasks)) for name in names]
    return missing


# ---------------------------------------------------------------- rows


class _Drawn(NamedTuple):
    """One scenario's rows, R = train + valid + test of them in this order, before they are standardized.

    ids [R, F] from 1 · numerical [R, K] · labels [R, T] · probability [R, T] · lengths of the three parts ·
    popularity [items] · intercepts [T]
    """

    ids: np.ndarray
    numerical: np.ndarray
    labels: np.ndarray
    probability: np.ndarray
    lengths: tuple[int, int, int]
    popularity: np.ndarray
    intercepts: np.ndarray

    def parts(self, block):
        """A block of rows, cut into train, valid and test."""
        return np.split(block, np.cumsum(self.lengths)[:-1])


def _draw(stream, world, teachers, rates, missing, lengths, knobs, places):
    """The rows of one scenario with its `teachers` [T, D], all from one random stream."""
    rows, items = sum(lengths), len(world.ranking)
    popularity = _popularity(stream, items, knobs.popularity_shift)[world.ranking]
    ids = np.stack([stream.integers(1, len(table) + 1, rows) for table in world.latent], 1)
    ids[:, 1] = 1 + stream.choice(items, rows, p=popularity)
    numerical = stream.standard_normal((rows, world.numericals))
    score = knobs.signal * look(world, ids, numerical) @ teachers.T  # [R, T]
    probability, intercepts = chances(score, rates, knobs.label_noise, places)
    labels = (stream.random(score.shape) < probability).astype(np.float32)
    labels[stream.random(score.shape) < knobs.label_missing] = np.nan
    labels[:, missing] = probability[:, missing] = intercepts[missing] = np.nan
    return _Drawn(ids, numerical, labels, probability, lengths, popularity, intercepts)


def _popularity(stream, items, shift):
    """[items] Zipf probabilities; a share `shift` of the items swap their places in the ranking."""
    rank = np.arange(items)
    moved = np.flatnonzero(stream.random(items) < shift)
    order = stream.spawn(1)[0].random(items)  # a stream of its own: `shift` leaves all later draws alone
    rank[moved] = rank[moved[np.argsort(order[moved])]]
    weight = 1 / (rank + 5.0)
    return weight / weight.sum()


def _scenarios(drawn, scales, tasks, fields, statistics):
    """N Scenarios of what was drawn, numerical features scaled by `scales` [N] and then standardized."""
    numbers = np.concatenate([scale * one.numerical for scale, one in zip(scales, drawn, strict=True)])
    lengths = np.concatenate(
        [one.lengths for one in drawn]
    )  # train, valid, test of the first, of the second, …
    part = np.arange(len(lengths))
    train, clients = np.repeat(part % 3 == 0, lengths), np.repeat(part // 3, lengths)
    found = moments(numbers, train, clients, statistics, len(drawn))
    numbers = np.split(standardize(numbers, clients, found, statistics), np.cumsum(lengths)[:-1])
    names = tuple(f"number {k}" for k in range(drawn[0].numerical.shape[1]))
    notes = {"statistics": statistics, "categories": "declared"}
    scenarios = []
    for n, one in enumerate(drawn):
        ids, labels, probability = (one.parts(block) for block in (one.ids, one.labels, one.probability))
        blocks = zip(ids, numbers[3 * n : 3 * n + 3], labels, probability, strict=True)
        rows = [Rows(*(torch.from_numpy(np.ascontiguousarray(b)) for b in block)) for block in blocks]
        with_unknown = {field: values + 1 for field, values in fields.items()}
        scenarios.append(Scenario(f"s{n}", tasks, with_unknown, names, *rows, notes))
    return scenarios


def _truth(drawn, related, clusters, between, weights, scales, asked):
    popularity, intercepts = (
        np.array([getattr(one, k) for one in drawn]) for k in ("popularity", "intercepts")
    )
    achieved = np.array([one.parts(one.probability)[0].mean(0) for one in drawn])
    ceiling = np.array([_ceiling(one) for one in drawn])
    arrays = (popularity, np.array(asked), achieved, intercepts, ceiling)
    return Truth(related, clusters, between, weights, scales, *arrays)


def _ceiling(one):
    """[T] best reachable AUC on the test rows; rows without a label do not count."""
    probability, labels = one.parts(one.probability)[2], one.parts(one.labels)[2]
    known = np.where(np.isnan(labels), np.nan, probability).T
    return [best_auc(p[~np.isnan(p)]) for p in known]

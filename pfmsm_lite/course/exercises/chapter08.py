"""Exercises of chapter 08."""

import itertools
import random

from pfmsm_lite.course.exercise import FIGURE, SEEDS, Exercise, by_cases, say, varied

POINTS = (0.4, 0.9, -0.1, 0.6, 0.5)


def interval(seed=None):
    """Exercise 1, on five differences of a seed."""
    from pfmsm_lite.lab.statistics import paired_interval

    draw = random.Random(seed)
    points = POINTS if seed is None else tuple(round(draw.uniform(-0.5, 1.5), 1) for _ in range(5))
    mean, low, high = paired_interval(points, [0.0] * len(points))
    cases = (
        (low, ""),
        (high, "that is the upper end"),
        (mean, "that is the mean; subtract t times the standard error"),
        (mean - 1.96 * (mean - low) / 2.7764, "1.96 is for many seeds; with five take Student's t"),
    )
    return by_cases(
        "number", cases, "call interval(points, 0 * points) and take its second value", 0.005,
        "use interval(points, 0 * points)",
        task=f"Five seeds gave these differences in AUC points: {', '.join(map(say, points))}. What is "
        "the lower end of the 95 % interval of their mean? (Student's t for five seeds is 2.776; "
        "`paired_interval` of `pfmsm_lite.lab.statistics` knows it.)",
        why=f"mean {mean:.3f}, minus t = 2.776 times the standard error: {low:.3f}",
    )  # fmt: skip


def _twice(answer):
    said = answer.strip().strip("`").lower()
    if said == "logistic":
        return ""
    if said in ("pooled", "fedavg", "clustered", "pf_msmtrec"):
        return f"the triangle of {said} is red in one panel only, however far it lies"
    if said in ("boosted_tree", "local_finetune", "fedavg_sum"):
        return f"no triangle of {said} is red: grey ones are at most a point below local"
    return "a name from the left edge of the figure; look at the triangles, not at the dots"


def _results(names):
    """A small results.csv; names: of five clients. The fourth gains least; each hint's client comes out "
    "of one
    mistake of thought."""
    import pandas as pd

    columns = ("local", "other", "valid")  # AUC on test rows of both, on validation rows of `other`
    cells = {
        ("a", 0): (0.55, 0.60, 0.70), ("a", 1): (0.55, 0.60, 0.70),  # the lowest AUC, yet it gains
        ("b", 0): (0.70, 0.74, 0.50), ("b", 1): (0.70, 0.74, 0.50),  # the worst on validation rows
        ("c", 0): (0.80, 0.65, 0.90), ("c", 1): (0.70, 0.85, 0.90),  # the worst in one seed, even on average
        ("d", 0): (0.75, 0.70, 0.80), ("d", 1): (0.75, 0.70, 0.80),
        ("e", 0): (0.60, 0.69, 0.85), ("e", 1): (0.60, 0.69, 0.85),  # gains most
    }  # fmt: skip
    called, rows = dict(zip("abcde", names, strict=True)), []
    for (role, seed), values in cells.items():
        local, other, valid = dict(zip(columns, values, strict=True)).values()
        for task, shift in (("click", 0.02), ("buy", -0.02)):
            known = {"scenario": called[role], "seed": seed, "task": task}
            rows.append({**known, "method": "local", "split": "test", "auc": local + shift})
            rows.append({**known, "method": "local", "split": "valid", "auc": 0.7 + shift})
            rows.append({**known, "method": "other", "split": "test", "auc": other + shift})
            rows.append({**known, "method": "other", "split": "valid", "auc": valid + shift})
    return pd.DataFrame(rows)


def worst(names=("a", "b", "c", "d", "e")):
    """Exercise 3, on a table with these names of clients."""
    hint = "group by method and scenario, take the mean AUC, subtract local's"
    return Exercise("function", lambda answer: _worst(answer, names), hint)


def _worst(answer, names):
    found = answer(_results(names), "other")
    a, b, c, d, e = names
    hints = {
        d: "",
        a: "that client has the lowest AUC, but it gains: subtract local's AUC first",
        b: "those are validation rows: keep split == 'test' only",
        c: "that client loses most in one seed and gains in the next: take the mean over seeds first",
        e: "that client gains most: look for the smallest difference",
    }
    if not isinstance(found, str):
        return f"return the name of a scenario; this returned {type(found).__name__}"
    return hints.get(found, "return the scenario, such as s5")


EXERCISES = {
    "ex1": varied(interval, seed=SEEDS),
    "ex2": Exercise("text", _twice, "a method's name", stays=FIGURE),
    "ex3": varied(worst, names=tuple(itertools.permutations(("north", "east", "south", "west", "kiosk")))),
}

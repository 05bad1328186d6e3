"""Label columns: 0, 1 or missing, or what a rule such as "rating>=4" makes of a column."""

import operator
import re
from collections.abc import Iterable

import numpy as np

from pfmsm_lite.data.columns import WORDS, Column
from pfmsm_lite.data.numerals import GAPS
from pfmsm_lite.errors import UserError, choose

Positive = list  # [sign, value as text]
SIGNS = {">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt,
         "<": operator.lt, "=": operator.eq}  # fmt: skip


def positives(rules: Iterable[str], tasks: Iterable[str]) -> dict[str, Positive]:
    """Texts such as "rating>=4" or "bought=yes" → task → [sign, value].

    raises  UserError for a text that is not a rule, and for a column that is not a task
    """
    found = {}
    for rule in [rules] if isinstance(rules, str) else rules:
        match = re.match(r"(.+?)\s*(>=|<=|==|!=|=|>|<)\s*(.+)$", rule.strip())
        if not match:
            raise UserError(f"--positive {rule!r}: it takes COLUMN>=VALUE, COLUMN=VALUE or the like.")
        found[choose("task in --positive", match[1], list(tasks))] = [match[2], match[3].strip("'\"")]
    return found


def read_task(column: Column, rule: Positive | None = None) -> np.ndarray:
    """[R] float32 of 0, 1 and NaN (missing).

    rule    [sign, value]: a row is positive where that holds; None: the column holds 0 and 1, True and False
    raises  UserError for a cell that is neither, with its row and with what could be meant
    """
    if rule is not None:
        return _by_rule(column, *rule)
    if column.kind in ("list", "other"):
        column.refuse(np.ones(column.rows, bool), "is not a label: it must be 0, 1 or empty.")
    if not (~column.is_gap()).any():
        raise UserError(f"{column.source}: no row has a label in {column.name!r}. Name another in --tasks.")
    words = set()
    if column.kind == "text":
        words = {text.strip().lower() for text in column.texts[(column.counts > 0) & ~column.parsed.gap]}
    if words and words <= set(WORDS):
        values = [*(WORDS.get(text.strip().lower(), np.nan) for text in column.texts), np.nan]
        return np.array(values, np.float32)[column.codes]
    numbers = column.as_numbers()
    wrong = ~column.is_gap() & (numbers != 0) & (numbers != 1)
    if wrong.any():
        offer = _offer(column, numbers[np.isfinite(numbers)])
        column.refuse(wrong, f"is not a label: it must be 0, 1 or empty.{offer}")
    return numbers.astype(np.float32)


def _by_rule(column, sign, value):
    """Labels [R] by comparing numbers where the value is one, else texts."""
    try:
        wanted = float(value)
    except ValueError:
        wanted = None
    if wanted is None:
        if sign not in ("=", "==", "!="):
            raise UserError(
                f"--positive {column.name}{sign}{value}: {value!r} is not a number, so only = and != fit."
            )
        codes, texts = column.as_text()
        bare, value = np.array([text.strip().casefold() for text in texts], object), value.strip().casefold()
        if value not in bare:
            seen = ", ".join(map(repr, texts[:6]))
            raise UserError(f"--positive {column.name}{sign}{value}: no row has {value!r}; there are {seen}.")
        holds = np.append(SIGNS[sign](bare, value), False)[codes]
        gaps = codes < 0 if value in GAPS else column.is_gap()
        return np.where(gaps, np.nan, holds).astype(np.float32)
    numbers, gaps = column.as_numbers(), column.is_gap()
    column.refuse(column.is_bad(), f"cannot be compared with {value}. Fix the cell, or leave it empty.")
    return np.where(gaps, np.nan, SIGNS[sign](numbers, wanted)).astype(np.float32)


def _offer(column, numbers):
    """What could be meant, in words: a rule that makes labels of such a column."""
    if column.kind == "moment":
        return ""
    if column.kind == "text" and 0 < column.is_bad().sum() <= len(numbers):
        bad = column.texts[column.codes[np.argmax(column.is_bad())]]
        return f' Fix the cell, or let such cells count as missing: --na "{bad}".'
    if not len(numbers) or column.kind == "text" and column.is_bad().any():
        codes, texts = column.as_text()
        counts = np.bincount(codes[codes >= 0], minlength=len(texts))
        common = list(texts[np.argsort(-counts, kind="stable")][:12])
        yes = next(
            (t for t in common if t.strip().lower() in ("yes", "y", "true", "t", "pos", "positive", "1")),
            None,
        )
        return f' Say what is positive: --positive "{column.name}={yes or common[-1]}".'
    different = np.unique(numbers)
    if len(different) == 2:
        return f' Say what is positive: --positive "{column.name}={different[1]:.15g}".'
    middle = (
        different[min(len(different) * 3 // 4, len(different) - 1)]
        if len(different) <= 20
        else np.median(numbers)
    )
    more = (
        "" if len(different) <= 20 else " Numbers are not predicted here (regression is out), only yes or no."
    )
    return f' Say what is positive: --positive "{column.name}>={middle:.15g}".{more}'

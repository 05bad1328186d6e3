"""Exercises of chapter 03: what a right answer is, and the hint for each wrong one."""

import itertools

import numpy as np

from pfmsm_lite.course.exercise import Exercise, by_cases, say, varied

MATRICES = tuple(((a, b), (c, d)) for a, b, c, d in itertools.product((1, 2, 3), repeat=4))
PARTS = ("shared", "local", "task")


def by_hand(shared=((1, 2), (3, 4)), local=((1, 2), (1, 1)), task=((3, 1), (1, 0))):
    """Exercise 1: three matrices."""
    s, c, t = (np.array(part, float) for part in (shared, local, task))
    cases = (
        (s * c * t, ""),
        (s + c + t, "that is the sum, `additive`: hadamard multiplies entry by entry"),
        (s * c, "the task part is missing"),
        (s * t, "the local part is missing"),
        (c * t, "the shared part is missing"),
        (s @ c @ t, "that is the matrix product: hadamard multiplies entry by entry"),
    )
    return by_cases(
        "array", cases, "multiply the three numbers at each place of the matrices", 1e-4,
        "multiply the three parts entry by entry", shape=(2, 2),
        task=f"Compose by `hadamard`: the shared part is {say(shared)}, the local part {say(local)}, the "
        f"task part {say(task)}, each row by row. Answer with a tensor of shape (2, 2).",
        why="entry by entry: the product of the three",
    )  # fmt: skip


def _at_home(kind, outputs, inputs, tasks):
    size = {"hadamard": outputs * inputs, "additive": outputs * inputs, "rank1": outputs + inputs, "none": 0}
    return size[kind] * (1 + tasks)


def numbers(outputs=5, inputs=7, tasks=3):
    """Exercise 2, tried on two sizes of a layer."""
    hint = "at_home(kind, outputs, inputs, tasks) returns a whole number"
    return Exercise("function", lambda answer: _numbers(answer, (outputs, inputs, tasks)), hint)


def _numbers(answer, other):
    for kind in ("hadamard", "additive", "rank1", "none"):
        for outputs, inputs, tasks in ((32, 36, 2), other):
            found, right = answer(kind, outputs, inputs, tasks), _at_home(kind, outputs, inputs, tasks)
            if found == right:
                continue
            if kind == "none":
                return "`none` has neither a local nor a task part: nothing but the shared part exists"
            if found == right - right // (1 + tasks):
                return "the local part is missing: one for the client, beside one for each task"
            if found == right // (1 + tasks) * 2:
                return "there is a task part for each task, not one for all"
            if kind == "rank1" and found == outputs * inputs * (1 + tasks):
                return "rank1 keeps one factor per output and one per input, not one per weight"
            if found == 4 * right:
                return "count numbers, not bytes"
            return f"for {kind}, {outputs} outputs, {inputs} inputs, {tasks} tasks: {right}, not {found}"
    return ""


def gradient(zero="local"):
    """Exercise 3: the part that starts at zero by mistake."""
    others = {part: " · ".join(other for other in PARTS if other != part) for part in PARTS}
    hints = {
        part: f"the {part} part's gradient is multiplied by {others[part]}, and {zero} is zero"
        for part in PARTS
    } | {
        zero: "",
        "none": f"the {zero} part's gradient is {others[zero]}, and neither is zero. One part moves",
        "all": "a part's gradient is multiplied by the other two parts, and one of them is zero",
    }
    otherwise = "answer with one word: all, shared, local, task or none"
    return Exercise(
        "text", lambda answer: hints.get(answer.strip().lower(), otherwise), otherwise, right=zero,
        task="`hadamard` composes a weight of three parts: shared ⊙ local ⊙ task. None of them should "
        f"start at zero, but by mistake the {zero} part does. Which parts get a gradient in the first "
        "step? Answer "
        '`"all"`, `"shared"`, `"local"`, `"task"` or `"none"`.',
        why="the gradient of a part is multiplied by the other two",
    )  # fmt: skip


EXERCISES = {
    "ex1": varied(by_hand, shared=MATRICES, local=MATRICES, task=MATRICES),
    "ex2": varied(numbers, outputs=range(4, 30), inputs=range(31, 60), tasks=(2, 3, 4)),
    "ex3": varied(gradient, zero=PARTS),
}

"""Exercises of chapter 03: what a right answer is, and the hint for each wrong one."""

import numpy as np

from pfmsm_lite.course.notebook import Exercise, hint_for

SHARED, LOCAL, TASK = (np.array(m, float) for m in ([[1, 2], [3, 4]], [[1, 2], [1, 1]], [[3, 1], [1, 0]]))


def _by_hand(answer):
    cases = (
        (SHARED * LOCAL * TASK, ""),
        (SHARED + LOCAL + TASK, "that is the sum, `additive`: hadamard multiplies entry by entry"),
        (SHARED * LOCAL, "the task part is missing"),
        (SHARED * TASK, "the local part is missing"),
        (LOCAL * TASK, "the shared part is missing"),
        (SHARED @ LOCAL @ TASK, "that is the matrix product: hadamard multiplies entry by entry"),
    )
    otherwise = "multiply the three numbers at each place of the matrices"
    return hint_for(answer, cases, otherwise, 1e-4)


def _at_home(kind, outputs, inputs, tasks):
    size = {"hadamard": outputs * inputs, "additive": outputs * inputs, "rank1": outputs + inputs, "none": 0}
    return size[kind] * (1 + tasks)


def _numbers(answer):
    for kind in ("hadamard", "additive", "rank1", "none"):
        for outputs, inputs, tasks in ((32, 36, 2), (5, 7, 3)):
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


def _gradient(answer):
    hints = {
        "local": "",
        "none": "the local part's gradient is shared · task, and neither is zero. One part moves",
        "all": "a part's gradient is multiplied by the other two parts, and one of them is zero",
        "shared": "the shared part's gradient is multiplied by local · task, and local is zero",
        "task": "the task part's gradient is multiplied by shared · local, and local is zero",
    }
    return hints.get(answer.strip().lower(), "answer with one word: all, shared, local, task or none")


EXERCISES = {
    "ex1": Exercise("array", _by_hand, "multiply the three parts entry by entry", (2, 2)),
    "ex2": Exercise("function", _numbers, "at_home(kind, outputs, inputs, tasks) returns a whole number"),
    "ex3": Exercise("text", _gradient, "answer with one word: all, shared, local, task or none"),
}

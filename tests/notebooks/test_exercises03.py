"""Chapter 03: solutions pass, plausible wrong answers are refused with the right hint."""

import numpy as np
from solving import exercise_tests, solutions

SOLUTIONS = solutions("03")


RIGHT = SOLUTIONS["ex2"]


def square(kind, outputs, inputs, tasks):
    return 0 if kind == "none" else outputs * inputs * (1 + tasks)


def one_task(kind, outputs, inputs, tasks):
    return RIGHT(kind, outputs, inputs, 1)


def no_local(kind, outputs, inputs, tasks):
    return RIGHT(kind, outputs, inputs, tasks) // (1 + tasks) * tasks


WRONG = [
    ("ex1", np.array([[5, 5], [5, 5]]), "sum"),
    ("ex1", np.array([[1, 4], [3, 4]]), "task part is missing"),
    ("ex1", np.array([[3, 2], [3, 0]]), "local part is missing"),
    ("ex1", np.array([[3, 2], [1, 0]]), "shared part is missing"),
    ("ex1", np.array([[1, 2], [3, 4]]) @ [[1, 2], [1, 1]] @ [[3, 1], [1, 0]], "matrix product"),
    ("ex1", np.zeros((2, 2)), "each place"),
    ("ex1", np.zeros(4), "expected shape (2, 2)"),
    ("ex1", "3 4 3 0", "expected a tensor"),
    ("ex2", square, "rank1 keeps"),
    ("ex2", one_task, "each task"),
    ("ex2", no_local, "local part is missing"),
    ("ex2", lambda *a: 4 * RIGHT(*a), "not bytes"),
    ("ex2", lambda kind, o, i, t: RIGHT(kind, o, i, t) or o * i, "neither a local nor a task"),
    ("ex2", lambda *a: 7, "not 7"),
    ("ex2", lambda kind: 7, "TypeError"),
    ("ex2", 7, "expected a function"),
    ("ex3", "none", "One part moves"),
    ("ex3", "all", "multiplied by the other two"),
    ("ex3", "Shared ", "local · task"),
    ("ex3", "task", "shared · local"),
    ("ex3", "nothing at all", "one word"),
    ("ex3", 3, "expected a string"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("03", WRONG)

"""Exercises of chapter 04: the federated loop."""

import itertools
import math

import torch

from pfmsm_lite.course.exercise import Exercise, by_cases, hint_for, say, tied, varied


def weighted_mean(rows=(500, 300, 200), values=(1.0, 2.0, 6.0)):
    """Exercise 1: of three clients."""
    total, products = sum(rows), [n * value for n, value in zip(rows, values, strict=True)]
    cases = (
        (sum(products) / total, ""),
        (
            sum(values) / 3,
            "That is the plain mean. FedAvg weights each client by its share of the rows.",
        ),
        (sum(products), "Divide by the number of all rows: the shares must add up to one."),
    )
    return by_cases(
        "number", cases, f"Multiply each value by its client's share of the {total:,} rows, and add up.",
        1e-3, "Weight each value by its client's rows.",
        task="Three clients with {}, {} and {} rows end their training at {:.1f}, {:.1f} and {:.1f}. Which "
        "number does "
        "FedAvg send back to all of them?".format(*rows, *values),
        why=" + ".join(f"{say(n / total)} · {say(value)}" for n, value in zip(rows, values, strict=True)),
    )  # fmt: skip


def by_use(changes=(1, -1, 4), uses=(3, 1)):
    """Exercise 2, on three clients of which the last one does not use the entry."""
    first, second = (use * change for use, change in zip(uses, changes, strict=False))
    mean = "You divide by the number of clients. Divide by the number of all uses: weights add up to one."
    cases = (
        ((first + second) / sum(uses), ""),
        (first + second, "That is the sum of change · uses. Divide by the number of all uses."),
        ((first + second) / 3, mean),
        (sum(changes) / 3, mean),
        (
            (changes[0] + changes[1]) / 2,
            "A plain mean over the clients that use the entry. The one with more uses must count for more.",
        ),
    )
    otherwise = (
        f"With changes {', '.join(map(say, changes))} and uses {uses[0]}, {uses[1]}, 0 the entry should "
        f"change by ({say(first)} + {say(second)})/{sum(uses)} = {say(cases[0][0])}."
    )
    if tied(cases, 1e-3) or abs(cases[0][0]) < 1e-3:
        return None
    hint = "by_use(change [N], uses [N]) must return one number."
    return Exercise("function", lambda answer: _by_use(answer, changes, (*uses, 0), cases, otherwise), hint)


def _by_use(answer, changes, uses, cases, otherwise):
    change, uses = torch.tensor(changes, dtype=torch.float), torch.tensor(uses, dtype=torch.float)
    found = answer(change.clone(), uses.clone())
    if found is None:
        return "Your function returns nothing: end it with a return."
    if getattr(found, "ndim", 0):
        return f"Return one number for the entry; yours has shape {tuple(found.shape)}."
    if wrong := hint_for(found, cases, otherwise, 1e-3):
        return wrong
    if not abs(float(answer(change, torch.zeros(3)))) < 1e-3:
        return "Nobody used the entry, and your function does not return 0: guard the division by zero."
    return ""


def clients(size=0.3):
    """Exercise 3: the gradient step of each client."""
    right, jumps = math.floor(2 / size) + 1, math.floor(1 / size) + 1
    before, factor = right - 1, say(round(1 - (right - 1) * size, 6))
    cases = (
        (right, ""),
        (
            jumps,
            f"With {jumps} clients w jumps over 0 (1 − {say(round(jumps * size, 6))} = "
            f"{say(round(1 - jumps * size, 6))}), but |w| still shrinks. Go on.",
        ),
        (
            before,
            f"With {before} clients w is multiplied by 1 − {say(round(before * size, 6))} = {factor}: it "
            "jumps, but |w| still shrinks. One more.",
        ),
    )
    rule = f"A round multiplies w by 1 − {size}·N."

    def judge(answer):
        if before + 1e-3 < float(answer) < right - 1e-3:
            return "That is where the factor reaches −1. Clients come in whole numbers: round up."
        return hint_for(answer, cases, f"{rule} Find the smallest N for which that is below −1.", 1e-3)

    task = (
        f"N clients hold the same loss w²/2. Each takes *one* gradient step of size {size} from the "
        "common w, and the server *adds up* their changes instead of averaging them. From how many "
        f"clients on does |w| grow without end? (N = 1: w ← w − {size} w.)"
    )
    why = f"{before} clients: {factor}; {right} clients: {say(round(1 - right * size, 6))}"
    return None if tied(cases, 1e-3) else Exercise("number", judge, rule, task=task, right=right, why=why)


ROWS = tuple((a, b, 1000 - a - b) for a in (400, 500, 600) for b in (100, 250, 300))
EXERCISES = {
    "ex1": varied(weighted_mean, rows=ROWS, values=tuple(itertools.permutations(range(1, 10), 3))),
    "ex2": varied(
        by_use, changes=tuple(itertools.product((-3, -2, -1, 1, 2, 4), repeat=3)),
        uses=((3, 1), (4, 1), (2, 5), (1, 6)),
    ),
    "ex3": varied(clients, size=(0.12, 0.15, 0.18, 0.22, 0.26, 0.35, 0.45)),
}  # fmt: skip

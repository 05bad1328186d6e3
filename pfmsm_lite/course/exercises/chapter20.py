"""Exercises of chapter 20, open questions."""

import random

import numpy as np
import pandas as pd
import torch

from pfmsm_lite.course.exercise import SEEDS, Exercise, by_cases, hint_for, say, tied, varied


def meetings(clients=200, drawn=10, rounds=100):
    """Exercise 1: how often two given clients take part in the same round."""
    first, second = drawn / clients, (drawn - 1) / (clients - 1)
    cases = (
        (rounds * first * second, ""),
        (rounds * first**2,
         f"nearly: when the first is drawn, {drawn - 1} places are left for {clients - 1} clients"),
        (rounds * first, "that is how often one client takes part; both must be there"),
        (first * second, f"that is the chance in one round; there are {rounds}"),
        (rounds * drawn * (drawn - 1) / 2, "that counts the pairs that meet; how often is it this one pair?"),
    )  # fmt: skip
    return by_cases(
        "number", cases, f"rounds · {drawn}/{clients} · {drawn - 1}/{clients - 1}", 1e-3,
        "how often one pair of clients trains in the same round",
        task=f"Of {clients} clients {drawn} take part in a round, drawn by chance. How often are two given "
        f"clients in a round together, on average, in {rounds} rounds? A number.",
        why=f"{say(rounds)} · {drawn}/{clients} · {drawn - 1}/{clients - 1}",
    )  # fmt: skip


BEFORE = (("a", "click", 0.70), ("a", "buy", 0.60), ("b", "click", 0.80), ("b", "buy", np.nan))
AFTER = (("c", "click", 0.95), ("b", "click", 0.90), ("a", "buy", 0.61), ("a", "click", 0.72),
         ("b", "buy", 0.5))  # fmt: skip


def same(seed=None):
    """Exercise 2, on tables of a seed."""
    chance = random.Random(seed)

    def drawn(lines):
        if seed is None:
            return lines
        return [(s, t, auc if np.isnan(auc) else chance.randint(500, 950) / 1000) for s, t, auc in lines]

    before, after = (pd.DataFrame(drawn(t), columns=["scenario", "task", "auc"]) for t in (BEFORE, AFTER))
    cases = _changes(before, after)
    if tied(cases, 1e-6):
        return None

    def judge(answer):
        given = answer(before.copy(), after.copy())
        try:
            given = float(given)
        except (TypeError, ValueError):
            return "same_cells(before, after) must return one number"
        return hint_for(given, cases, "pair the lines by scenario and task, then the mean of after − before",
                        1e-6)  # fmt: skip

    return Exercise("function", judge, "mean change of AUC over the cells that both tables have")


def _changes(before, after):
    """The right mean change, and what comes of each mistake."""
    first, second = (table.set_index(["scenario", "task"])["auc"] for table in (before, after))
    both = (second - first).dropna()
    return (
        (both.mean(), ""),
        (-both.mean(), "the sign: after minus before"),
        (after["auc"].mean() - before["auc"].mean(), "this is the naive mean: c was not in both tables"),
        (both.groupby("scenario").mean().mean(), "every cell counts alike: one mean over cells"),
        (both.sum(), "the mean over the cells, not their sum"),
        (both.sum() / 4, "a cell without an AUC before must not be counted, either"),
        ((second - first).fillna(0).mean(), "a cell of one table has no difference; it is not zero"),
    )


def unseen(seed=2):
    """Exercise 3, on gradients and differences of a seed."""
    draw = torch.Generator().manual_seed(seed)
    gradient = torch.randn(6, 3, generator=draw)
    delta = torch.randn(6, 3, generator=draw) - 0.7 * gradient
    n, m = torch.triu_indices(6, 6, 1)
    apart, seen = ((part[n] * part[m]).sum(-1) < 0 for part in (gradient, delta))
    share = float((~seen[apart]).float().mean())
    cases = (
        (share, ""),
        (1 - share, "this is the share that is seen"),
        (float((apart & ~seen).float().mean()), "of the pairs that conflict, not of all pairs"),
        (float((~apart[seen]).float().mean()), "of those whose gradients conflict: these are false alarms"),
    )
    if tied(cases, 1e-5):
        return None
    return Exercise(
        "function",
        lambda answer: hint_for(
            float(answer(gradient.clone(), delta.clone())), cases,
            "of the pairs with ⟨g_n, g_m⟩ < 0, the share with ⟨Δ_n, Δ_m⟩ ≥ 0", 1e-5,
        ),
        "signs of inner products of all pairs, n < m",
    )  # fmt: skip


EXERCISES = {
    "ex1": varied(meetings, clients=(60, 80, 120), drawn=(8, 12, 15, 20), rounds=(50, 200, 300)),
    "ex2": varied(same, seed=SEEDS),
    "ex3": varied(unseen, seed=SEEDS),
}

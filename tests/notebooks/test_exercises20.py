"""Chapter 20: solutions pass, plausible mistakes are refused with the hint for that mistake."""

import torch
from solving import exercise_tests


def paired(finish):
    """A version of `same_cells` that ends otherwise: a function of the differences by cell."""

    def answer(before, after):
        cells = [table.set_index(["scenario", "task"])["auc"] for table in (before, after)]
        return finish(cells[1] - cells[0])

    return answer


def signs(finish):
    """A version of `unseen` that ends otherwise, in conflicts by gradient and by difference."""

    def answer(gradient, delta):
        pairs = torch.triu_indices(len(gradient), len(gradient), 1)
        return finish(*((part @ part.T)[pairs[0], pairs[1]] < 0 for part in (gradient, delta)))

    return answer


WRONG = [
    ("ex1", 100 * 0.05**2, "9 places are left"),
    ("ex1", 5.0, "both must be there"),
    ("ex1", 0.05 * 9 / 199, "there are 100"),
    ("ex1", 4500, "this one pair"),
    ("ex2", lambda before, after: after["auc"].mean() - before["auc"].mean(), "naive mean"),
    ("ex2", paired(lambda gaps: -gaps.mean()), "after minus before"),
    ("ex2", paired(lambda gaps: gaps.dropna().groupby("scenario").mean().mean()), "one mean over cells"),
    ("ex2", paired(lambda gaps: gaps.sum()), "not their sum"),
    ("ex2", paired(lambda gaps: gaps.sum() / 4), "must not be counted"),
    ("ex2", paired(lambda gaps: gaps.fillna(0).mean()), "it is not zero"),
    ("ex2", lambda before, after: after, "must return one number"),
    ("ex2", 0.5, "expected a function"),
    ("ex3", signs(lambda apart, seen: seen[apart].float().mean()), "that is seen"),
    ("ex3", signs(lambda apart, seen: (apart & ~seen).float().mean()), "not of all pairs"),
    ("ex3", signs(lambda apart, seen: (~apart[seen]).float().mean()), "false alarms"),
    ("ex3", 0.5, "expected a function"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("20", WRONG)

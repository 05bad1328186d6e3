"""Exercises of chapter 15: what a right answer is, and the hint for each wrong one."""

from pfmsm_lite.course.exercise import FIGURE, Exercise, by_cases, varied


def turns(beta=0.8):
    """Exercise 1: Adam's first β."""
    averages = [2 * beta**step - 1 for step in range(1, 100)]  # after 1, 2, … steps
    right = next(step for step, m in enumerate(averages, 1) if m < 0)
    below = next(step for step in range(1, 100) if beta**step < beta)
    last = averages[right - 2]
    hardly = ", though hardly" if last < 0.05 else ""
    cases = (
        (right, ""),
        (
            right - 1,
            f"after {right - 1} steps m = 2 · {beta}^{right - 1} − 1 = {last:.3f}: still the old way{hardly}",
        ),
        (7, "that is for β₁ = 0.9, the example"),
        (
            below,
            f"that is where {beta}^k is below {beta}: it must fall below one half, since m = 2 · {beta}^k "
            f"− 1",
        ),
        (1, "a fresh start goes the new way at once; here the averages are kept"),
    )
    return by_cases(
        "number", cases, f"m = 2 · {beta}^k − 1: look for the first whole k at which it is below 0", 1e-6,
        f"the first k for which 2 · {beta}^k − 1 is below 0",
        task="Adam keeps its average m = 1 over a download, and every gradient after it is −1: $m "
        rf"\leftarrow \beta_1 m + (1-\beta_1) g$. By hand, with $\beta_1 = {beta}$: which step after the "
        "download is the first to go the new way? Answer with a number.",
        why=f"m = 2 · {beta}^k − 1: {last:.3f} after {right - 1} steps, {averages[right - 1]:.3f} after "
        f"{right}",
    )  # fmt: skip


def _part(answer):
    hints = {
        "experts, layer 2": "",
        "experts, layer 1": "its line starts clearly below zero at the left end of the middle panel",
        "embedding": "its line starts lowest of all: one vector has to serve both tasks",
    }
    said = " ".join(answer.lower().replace("expert ", "experts ").split())
    said = {"layer 2": "experts, layer 2", "layer 1": "experts, layer 1"}.get(said[-7:], said)
    return hints.get(said, "answer with a name from the legend, such as 'embedding'")


EXERCISES = {
    "ex1": varied(turns, beta=(0.75, 0.85, 0.88, 0.92, 0.95)),
    "ex2": Exercise(
        "text", _part, "look at the left end of the three lines in the middle panel", stays=FIGURE
    ),
}

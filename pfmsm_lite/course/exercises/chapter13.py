"""Exercises of chapter 13."""

from pfmsm_lite.course.exercise import NAMES, Exercise, by_cases, say, varied


def fused(
    domain=(6, 2, 4), task=(3, 7), beta_domain=0.5, beta_task=0.75, alpha_task=(0.5, 0.8), alpha_domain=0.2
):
    """Exercise 1: what the experts say, and the weights; the shared part is 1."""
    first, others, (one, two) = domain[0], sum(domain[1:]), task
    d = beta_domain * first + (1 - beta_domain) / 2 * others
    t = (beta_task * one + (1 - beta_task) * two, beta_task * two + (1 - beta_task) * one)
    undivided = beta_domain * first + (1 - beta_domain) * others

    def z(shared, of_domain, of_tasks, weights=alpha_task, other=(alpha_domain,) * 2):
        return [shared + weights[k] * of_domain + other[k] * of_tasks[k] for k in (0, 1)]

    cases = (
        (z(1, d, t), ""),
        (
            z(1, d, t, (alpha_domain,) * 2, alpha_task),
            "that is the code's reading; eq. 7 prints α of the task before the domain module",
        ),
        (z(0, d, t), "S is missing: it counts with weight one"),
        (z(1, undivided, t), "level 1: the others share 1 − β, so divide it by the number of the others"),
        (
            z(1, first, task),
            "level 1 is missing: β is the share of one's own expert, the others have the rest",
        ),
        (z(1, d, t)[::-1], "these are the right numbers in the wrong order: the first task first"),
    )
    otherwise = (
        f"level 1 first: the first domain mixes to {say(d)}, the two tasks to {say(t[0])} and "
        f"{say(t[1])}; then z = S + α·D + α·T"
    )
    return by_cases(
        "array", cases, otherwise, 1e-3, "level 1 inside each module, then z = S + α·D + α·T", shape=(2,),
        task="M3oE by hand: three domains, two tasks, everything one number. $S = 1$; the domain "
        rf"experts say ${say(domain)}$, with $\beta = {beta_domain}$ for every domain; the task experts "
        rf"say ${say(task)}$, with $\beta = {beta_task}$ for both tasks. α of the tasks is "
        f"${say(alpha_task)}$, α of every domain {alpha_domain}, used as eq. 7 prints it. What is $z$ "
        "for the first domain and each of the two tasks? A tensor of two numbers.",
        why=f"level 1: {say(d)}, and {say(t[0])}, {say(t[1])}; z = 1 + {say(alpha_task[0])} · {say(d)} + "
        f"{alpha_domain} · {say(t[0])}, and the same for the second task",
    )  # fmt: skip


def _for_main(answer):
    names = ["embedding.weight", "gates.weight", "fusion.alpha_task", "towers.weight.0", "fusion.beta_domain"]
    kept = [name for name in names if not name.startswith("fusion")]
    given = answer(list(names))
    if not isinstance(given, (list, tuple)) or not all(isinstance(name, str) for name in given):
        return "for_main(names) must return a list of names"
    given = list(given)
    if given == names:
        return "nothing is left out: `not A or not B` is true for every name that is not both at once"
    if any(name.startswith("fusion.") for name in given):
        return f"{next(name for name in given if name.startswith('fusion.'))} is still among them"
    if not given:
        return "everything is left out; only the parameters of the module `fusion` must go"
    if given != kept:
        return "the other names must stay as they were, all of them and in their order"
    lookalikes = ["confusion.weight", "fusion_free.weight", "encode.fusion", "alpha.weight", "skip.beta"]
    if list(answer(lookalikes)) != lookalikes:
        return (
            "a name that only looks alike was left out, such as confusion.weight or alpha.weight: the module "
            "is the part before the first dot, and it must be equal to `fusion`"
        )
    if list(answer(["fusion.gamma"])) != []:
        return (
            "a new number of the module, fusion.gamma, slips through: ask for the module, not for its names"
        )
    if list(answer([])) != []:
        return "without any name there is nothing to return: an empty list"
    return ""


EXERCISES = {
    "ex1": varied(
        fused, domain=((6, 2, 4), (8, 2, 6), (4, 6, 2), (2, 8, 4)), task=((3, 7), (5, 1), (2, 6), (8, 4)),
        beta_domain=(0.5, 0.6), beta_task=(0.75, 0.6), alpha_task=((0.5, 0.8), (0.6, 0.9), (0.8, 0.4)),
        alpha_domain=(0.1, 0.2, 0.3),
    ),
    "ex2": Exercise(
        "function", _for_main, "keep a name if the part before its first dot is not `fusion`", stays=NAMES
    ),
}  # fmt: skip

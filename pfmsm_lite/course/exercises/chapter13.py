"""Exercises of chapter 13, centralized relatives."""

from pfmsm_lite.course.notebook import Exercise, hint_for


def _fused(answer):
    cases = (
        ([4.05, 5.8], ""),
        ([3.9, 6.7], "that is the code's reading; eq. 7 prints α of the task before the domain module"),
        ([3.05, 4.8], "S is missing: it counts with weight one"),
        ([4.8, 7.0], "level 1: the others share 1 − β, so divide it by the number of the others"),
        ([4.6, 7.2], "level 1 is missing: β is the share of one's own expert, the others have the rest"),
        ([5.8, 4.05], "these are the right numbers in the wrong order: the first task first"),
    )
    otherwise = (
        "level 1 first: the first domain mixes to 4.5, the two tasks to 4 and 6; then z = S + α·D + α·T"
    )
    return hint_for(answer, cases, otherwise, 1e-3)


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


def _step(answer):
    cases = (
        ([3.2, 1.4], ""),
        ([3.1950, 1.3978], "`category` is no task of a user: it gets no weight, the two others sum to one"),
        ([0.4444, 6.2222], "Task Focusing is missing: the main norm counts α^s = 2.25 times"),
        ([1.3333, 4.6667], "in epoch 2 the main norm counts α² times, not α times"),
        ([7.2, 1.4], "α^s lengthens the norm that the weights are made of, not the gradient"),
        ([0.8, 0.2], "these are the weights: they multiply the raw gradients, which keep their lengths"),
        ([3.5232, 0.8344], "that is τ = 1; at τ = 1 / ln 2 a softmax counts in powers of two, 2⁹ to 2⁷"),
        ([2.0, 3.5], "these are equal weights; the norms decide: 9 against 7"),
        ([4 / 3, 7 / 3], "these are equal weights, also for a task in which the user takes no part"),
        ([4.0, 7.0], "weights sum to one: softmax of (9, 7) / τ"),
        ([1.4, 3.2], "the right weights the wrong way round: the main task has the larger one"),
        ([-3.2, -1.4], "the minus sign stays outside: the question asks for the vector Σ w·g"),
    )
    otherwise = "norms 4 and 7; the main one times α²: 9 and 7; weights 2⁹ : 2⁷; add up the raw gradients"
    return hint_for(answer, cases, otherwise, 1e-3)


EXERCISES = {
    "ex1": Exercise("array", _fused, "level 1 inside each module, then z = S + α·D + α·T", (2,)),
    "ex2": Exercise("function", _for_main, "keep a name if the part before its first dot is not `fusion`"),
    "ex3": Exercise("array", _step, "focused norms, softmax over the user's own tasks, raw gradients", (2,)),
}

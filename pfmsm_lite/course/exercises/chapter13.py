"""Exercises of chapter 13."""

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


EXERCISES = {
    "ex1": Exercise("array", _fused, "level 1 inside each module, then z = S + α·D + α·T", (2,)),
    "ex2": Exercise("function", _for_main, "keep a name if the part before its first dot is not `fusion`"),
}

"""Exercises of chapter 14."""

import torch

from pfmsm_lite.course.notebook import Exercise, hint_for


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


def _ndcg(answer):
    cases = (
        (0.62574, ""),
        (4 / 3, "that is the list's own sum: divide it by that of the best list"),
        (0.81754, "the best list has all three test items, in places 1 to 3"),
        (2 / 3, "that is Recall@20"),
        (1.0, "that is the Hit ratio"),
        (0.63643, "a hit in place k counts 1 / log2(k + 1), so place 7 counts 1/3"),
        (0.53634, "places count with a logarithm: place 7 counts 1/3, not 1/7"),
        (0.62338, "places count with a logarithm: place 7 counts 1/3, not 1/7"),
        (4 / 9, "not by the number of test items: the best list counts 1 + 0.631 + 0.5"),
        (62.574, "a number between 0 and 1, not percent"),
    )
    return hint_for(answer, cases, "the list: 1 + 1/log2(8); the best list: 1 + 1/log2(3) + 1/log2(4)", 1e-3)


def _aligned(answer):
    helper = torch.tensor([[[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]], [[1.0, 0.0], [2.0, 2.0], [0.0, 1.0]]])
    plain = helper.norm(dim=-1).masked_fill(helper.norm(dim=-1) == 0, -torch.inf).softmax(1)
    found = torch.as_tensor(answer(helper.clone()))
    if found.shape != (2, 3):
        return f"two users and three tasks: weights must have the shape (2, 3), not {tuple(found.shape)}"
    if found[0, 2] != 0:
        return "a gradient of zeros got weight: its norm 0 is not the logit −∞"
    if found[0, 1] == 0:
        return "an inner product of exactly zero is not against the main task"
    if not torch.allclose(found, plain, atol=1e-4):
        return "where nothing points against the main task, weights are the softmax of the norms at τ = 1"
    against = torch.tensor([[[2.0, 0.0], [-1.0, 3.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 4.0], [1.0, 0.0]]])
    found = torch.as_tensor(answer(against.clone()))
    if found[0, 1] > 0:
        return "(−1, 3) points against (2, 0), and it still has weight"
    if found[0, 2] == 0 or found[1, 1] == 0:
        return "each user and each task for itself: a task that is against one user's main task helps another"
    if not torch.allclose(found.sum(1), torch.ones(2), atol=1e-4):
        return "the weights of a user sum to one: leave the task out before the softmax, not after it"
    right = torch.tensor([[2.0, -torch.inf, 2**0.5], [1.0, 4.0, 1.0]]).softmax(1)
    return (
        "" if torch.allclose(found, right, atol=1e-4) else "softmax of the norms of the tasks that are left"
    )


EXERCISES = {
    "ex1": Exercise("array", _step, "focused norms, softmax over the user's own tasks, raw gradients", (2,)),
    "ex2": Exercise(
        "number", _ndcg, "the list's sum of 1 / log2(place + 1), divided by that of the best list"
    ),
    "ex3": Exercise(
        "function", _aligned, "inner products: (gradients * gradients[:, :1]).sum(-1); then softmax"
    ),
}

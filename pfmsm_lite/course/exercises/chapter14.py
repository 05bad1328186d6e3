"""Exercises of chapter 14."""

import math

import torch

from pfmsm_lite.course.exercise import SEEDS, Exercise, by_cases, say, varied

WORDS = {3: "three", 4: "four"}
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def step(main=4, alpha=1.5, ahead=2):
    """Exercise 1: the main norm, the focus, and by how much the focused norm is larger than the helper's."""
    focused = main * alpha**2
    helper = focused - ahead
    if helper <= 0:
        return None

    cases = _steps(main, focused, helper, alpha)
    otherwise = (
        f"norms {main} and {say(helper)}; the main one times α²: {say(focused)} and {say(helper)}; weights "
        f"{_power(focused)} : {_power(helper)}; add up the raw gradients"
    )
    return by_cases(
        "array", cases, otherwise, 1e-3, "focused norms, softmax over the user's own tasks, raw gradients",
        shape=(2,),
        task=f"One step of PMTRec. A user has the gradients $({main}, 0)$ for the main task and $(0, "
        f"{say(helper)})$ for `long_view`. It takes no part in `category`, whose gradient is $(0, 0)$. "
        rf"It is epoch 2, $\alpha = {alpha}$ and $\tau = 1/\ln 2$. Along which vector $\sum_t w_t\, g_t$ "
        "does the step go? A tensor of two numbers.",
        why=f"weights {_power(focused)} : {_power(helper)} = {2**ahead} : 1, times the raw gradients",
    )  # fmt: skip


def _steps(main, focused, helper, alpha):
    """The vector of the step, and what comes of each mistake."""

    def weigh(*logits, base=2.0):
        powers = [base ** (value - max(logits)) for value in logits]
        return [power / sum(powers) for power in powers]

    def vector(weights, norms=(main, helper)):
        return [weight * norm for weight, norm in zip(weights, norms, strict=False)]

    right = vector(weigh(focused, helper))
    return (
        (right, ""),
        (
            vector(weigh(focused, helper, 0)),
            "`category` is no task of a user: it gets no weight, the two others sum to one",
        ),
        (
            vector(weigh(main, helper)),
            f"Task Focusing is missing: the main norm counts α^s = {say(alpha**2)} times",
        ),
        (vector(weigh(main * alpha, helper)), "in epoch 2 the main norm counts α² times, not α times"),
        (
            vector(weigh(focused, helper), (focused, helper)),
            "α^s lengthens the norm that the weights are made of, not the gradient",
        ),
        (
            weigh(focused, helper),
            "these are the weights: they multiply the raw gradients, which keep their lengths",
        ),
        (
            vector(weigh(focused, helper, base=math.e)),
            f"that is τ = 1; at τ = 1 / ln 2 a softmax counts in powers of two, {_power(focused)} to "
            f"{_power(helper)}",
        ),
        (
            vector((0.5, 0.5)),
            f"these are equal weights; the norms decide: {say(focused)} against {say(helper)}",
        ),
        (
            vector((1 / 3, 1 / 3)),
            "these are equal weights, also for a task in which the user takes no part",
        ),
        ((main, helper), f"weights sum to one: softmax of ({say(focused)}, {say(helper)}) / τ"),
        (right[::-1], "the right weights the wrong way round: the main task has the larger one"),
        ([-value for value in right], "the minus sign stays outside: the question asks for the vector Σ w·g"),
    )


def ndcg(places=(1, 7), items=3):
    """Exercise 2: places of a user's test items in the list, and how many test items there are."""
    first, last = places

    def gain(places, log=lambda place: math.log2(place + 1)):
        return sum(1 / log(place) for place in places)

    def shifted(place):
        return math.log2(place) if place > 1 else 1.0

    best, found = gain(range(1, items + 1)), gain(places)
    share, lines = f"1/{say(math.log2(last + 1))}", f"places count with a logarithm: place {last} counts"
    cases = (
        (found / best, ""),
        (found, "that is the list's own sum: divide it by that of the best list"),
        (
            found / gain((1, 2)),
            f"the best list has all {WORDS[items]} test items, in places 1 to {items}",
        ),
        (2 / items, "that is Recall@20"),
        (1.0, "that is the Hit ratio"),
        (
            gain(places, shifted) / best,
            f"a hit in place k counts 1 / log2(k + 1), so place {last} counts {share}",
        ),
        (gain(places, float) / best, f"{lines} {share}, not 1/{last}"),
        (gain(places, float) / gain(range(1, items + 1), float), f"{lines} {share}, not 1/{last}"),
        (
            found / items,
            f"not by the number of test items: the best list counts {_sum(range(1, items + 1), 3)}",
        ),
        (100 * found / best, "a number between 0 and 1, not percent"),
    )
    return by_cases(
        "number", cases,
        f"the list: {_logs(places)}; the best list: {_logs(range(1, items + 1))}", 1e-3,
        "the list's sum of 1 / log2(place + 1), divided by that of the best list",
        task=f"NDCG. A user has {WORDS[items]} test items. The list of 20 has two of them, in places "
        f"{first} and {last}. What is its NDCG@20? A number with three decimals.",
        why=f"{_logs(places)} = {found:.3f}, divided by {best:.3f}",
    )  # fmt: skip


def _logs(places):
    """1 + 1/log2(8): what hits in these places count."""
    return " + ".join("1" if place == 1 else f"1/log2({place + 1})" for place in places)


def _sum(places, digits):
    return " + ".join(say(round(1 / math.log2(place + 1), digits)) for place in places)


def _power(exponent):
    """2⁹, or 2^8.75."""
    return f"2{str(int(exponent)).translate(RAISED)}" if exponent == int(exponent) else f"2^{say(exponent)}"


def aligned(seed=None):
    """Exercise 3: two users' gradients, each as long as a seed says."""
    draw = torch.Generator().manual_seed(seed or 0)
    lengths = [0.5 + 1.5 * torch.rand(2, 3, 1, generator=draw) for _ in range(2)]
    ones = [torch.ones(2, 3, 1)] * 2
    hint = "inner products: (gradients * gradients[:, :1]).sum(-1); then softmax"
    return Exercise("function", lambda answer: _aligned(answer, *(ones if seed is None else lengths)), hint)


def _aligned(answer, longer, other):
    helper = longer * torch.tensor(
        [[[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]], [[1.0, 0.0], [2.0, 2.0], [0.0, 1.0]]]
    )
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
    against = other * torch.tensor(
        [[[2.0, 0.0], [-1.0, 3.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 4.0], [1.0, 0.0]]]
    )
    found = torch.as_tensor(answer(against.clone()))
    if found[0, 1] > 0:
        return "a gradient such as (−1, 3) points against (2, 0), and it still has weight"
    if found[0, 2] == 0 or found[1, 1] == 0:
        return "each user and each task for itself: a task that is against one user's main task helps another"
    if not torch.allclose(found.sum(1), torch.ones(2), atol=1e-4):
        return "the weights of a user sum to one: leave the task out before the softmax, not after it"
    left_out = torch.tensor([[False, True, False], [False, False, False]])
    right = against.norm(dim=-1).masked_fill(left_out, -torch.inf).softmax(1)
    return (
        "" if torch.allclose(found, right, atol=1e-4) else "softmax of the norms of the tasks that are left"
    )


EXERCISES = {
    "ex1": varied(step, main=(2, 3, 4, 6), alpha=(1.5, 2), ahead=(1, 2, 3)),
    "ex2": varied(ndcg, places=((1, 3), (1, 7), (1, 15), (3, 7), (3, 15), (2, 7)), items=(3, 4)),
    "ex3": varied(aligned, seed=SEEDS),
}

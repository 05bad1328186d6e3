"""Exercises of further 10: FedBN."""

from torch import nn

from pfmsm_lite.course.exercise import FIGURE, NAMES, Exercise, by_cases, say, varied

VARIANCES = ((2, 16), (1, 7), (3, 5), (8, 10), (5, 27), (2, 6), (14, 18), (4, 14))  # their means are squares


def by_hand(means=(0, 4), variances=(2, 16), output=8):
    """Exercise 1: running statistics of A and B, and an output of A's."""
    mean, variance = sum(means) / 2, sum(variances) / 2
    roots = [value**0.5 for value in variances]
    cases = (
        ((output - mean) / variance**0.5, ""),
        (
            (output - means[0]) / roots[0],
            "Those are A's own statistics. The server has averaged them with B's.",
        ),
        ((output - mean) / variance, "You divide by the variance. BN divides by its square root."),
        (
            (output - mean) / (sum(roots) / 2),
            "You averaged deviations. BN stores variances: average them, then take the root.",
        ),
        (output / variance**0.5, f"Subtract the average mean, {say(mean)}, before you divide."),
        (output - mean, "Subtracted, but not divided by the deviation."),
    )
    return by_cases(
        "number", cases,
        f"Average the means, average the variances; then ({output} − mean) / √variance.", 0.01,
        "Average the means, average the variances, then normalize.",
        task=f"Client A's running mean is {means[0]} and its running variance {variances[0]}. Client B's "
        f"are {means[1]} and {variances[1]}. The server averages both. What does BN now make of an "
        f"output of {output}?",
        why=f"({output} − {say(mean)}) / √{say(variance)}",
    )  # fmt: skip


class _Own(nn.BatchNorm1d):
    """A batch norm layer that somebody has derived."""


class _Odd(nn.Module):
    """A model whose names mislead: a linear layer called subnet, batch norm layers without a bn."""

    def __init__(self):
        super().__init__()
        self.subnet = nn.Linear(2, 3)
        self.scale = nn.BatchNorm1d(3)
        self.norm = nn.LayerNorm(3)
        self.deep = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        self.image = nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3))
        self.film = nn.BatchNorm3d(3)
        self.mine = _Own(3)


LAYERS = ("scale", "deep.1", "image.1", "film", "mine")
MISSING = {  # name of a tensor → what it says where this one is missing; the first counts
    "scale.weight": 'A BatchNorm layer called "scale" is not among your names. Use isinstance, not letters.',
    "scale.running_mean": "Running statistics are missing: they are buffers. Use the layer's state_dict().",
    "deep.1.weight": "A layer inside a Sequential is missing: walk named_modules(), not named_children().",
    "image.1.weight": 'A BatchNorm2d layer is missing: "any model" has not only BatchNorm1d.',
    "film.weight": "A BatchNorm3d layer is missing: there are BatchNorm1d, BatchNorm2d and BatchNorm3d.",
    "mine.weight": "A subclass of BatchNorm1d is missing: use isinstance, do not compare types or names.",
}


def _stays(answer):
    found = answer(_Odd())
    if found is None:
        return "Your function returns nothing: end it with a return."
    found = set(found)
    if any(name.startswith("subnet") for name in found):
        return 'A linear layer called "subnet" is among your names: it contains the letters "bn". Go by type.'
    for name, hint in MISSING.items():
        if name not in found:
            return hint
    if any(name.startswith("norm.") for name in found):
        return 'A LayerNorm called "norm" is among your names: it has no statistics of a batch. Go by type.'
    wanted = {f"{layer}.{name}" for layer in LAYERS for name in nn.BatchNorm1d(3).state_dict()}
    if found != wanted:
        return f"{len(found)} names, but {len(wanted)} belong to BatchNorm layers."
    return ""


def _best(answer):
    word = answer.strip().strip(".").lower()
    if word == "type":
        return "FedBN is the zero of the figure. Is nothing to its right in either panel?"
    if word in ("bn", "norm"):
        return "On one scale it is ahead of FedBN. Look at the other panel, and at the last line."
    return "" if word == "without" else 'Answer with one of "type", "bn", "norm" and "without".'


EXERCISES = {
    "ex1": varied(
        by_hand, means=((0, 4), (0, 2), (2, 6), (1, 3), (4, 0)), variances=VARIANCES, output=range(5, 16)
    ),
    "ex2": Exercise(
        "function", _stays, "stays_at_home(model) must return the full names of tensors.", stays=NAMES
    ),
    "ex3": Exercise(
        "text", _best, "Look for the line that is furthest to the right in both panels.", stays=FIGURE
    ),
}

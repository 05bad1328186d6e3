"""Exercises of further 10: FedBN."""

from torch import nn

from pfmsm_lite.course.notebook import Exercise, hint_for

BY_HAND = [
    (2.0, ""),
    (8 / 2**0.5, "Those are A's own statistics. The server has averaged them with B's."),
    (6 / 9, "You divide by the variance. BN divides by its square root."),
    (
        6 / ((2**0.5 + 4) / 2),
        "You averaged deviations. BN stores variances: average them, then take the root.",
    ),
    (8 / 3, "Subtract the average mean, 2, before you divide."),
    (6.0, "Subtracted, but not divided by the deviation."),
]


def _by_hand(answer):
    return hint_for(
        answer, BY_HAND, "Average the means, average the variances; then (8 − mean) / √variance.", 0.01
    )


class _Own(nn.BatchNorm1d):
    """A batch norm layer of somebody's own."""


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
    "ex1": Exercise("number", _by_hand, "Average the means, average the variances, then normalize."),
    "ex2": Exercise("function", _stays, "stays_at_home(model) must return the full names of tensors."),
    "ex3": Exercise("text", _best, "Look for the line that is furthest to the right in both panels."),
}

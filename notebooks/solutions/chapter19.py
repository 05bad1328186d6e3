"""Solutions of chapter 19, trust."""


def trimmed(updates, cut):
    """1. Each column sorted, `cut` numbers left out at each end, the mean of the rest."""
    return updates.sort(0).values[cut : len(updates) - cut].mean(0)


# 2. (a) FedAvg's mean is a sum of rows · parameters over a sum of rows, and (c) the rule `sum` of the
#    embedding table is a sum of changes. A median, a length, a cosine are not.
possible = "ac"


def private_step(gradients, clip, noise, expected):
    """3. Rows longer than `clip` are shortened, short ones stay; a row of zeros stays, too."""
    length = gradients.norm(dim=1, keepdim=True).clamp(min=1e-12)
    clipped = gradients * (clip / length).clamp(max=1)
    return (clipped.sum(0) + noise) / expected


# 4. (open) Only the change of entries, at an honest length, and only in entries that few others use: a median
#    of one or two says what you say, and no length or direction of experts and towers gives you away. Or
#    honest for three rounds, then hostile: `kin` asks for validation gradients in the first rounds only, and
#    keeps what it found. Asking in all rounds would notice, and costs upload. Or small: an update that is as
#    long as the others' and hardly turned passes every check. Against a patient attacker a server without
#    rows of its own can only limit how far one client moves one number in one round.

SOLUTIONS = {"ex1": trimmed, "ex2": possible, "ex3": private_step}

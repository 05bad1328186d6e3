"""Solutions of chapter 19, trust."""


def trimmed(updates, cut):
    """1. Each column sorted, `cut` numbers left out at each end, the mean of the rest."""
    return updates.sort(0).values[cut : len(updates) - cut].mean(0)


# 2. (a) FedAvg's mean is a sum of rows · parameters over a sum of rows, and (c) the rule `sum` of the embedding
#    table is a sum of changes. A median, a length, a cosine are not.
possible = "ac"

# 3. (open) Honest for three rounds, then hostile: `kin` measures kinship in the first rounds only, and keeps it.
#    Asking for validation gradients in all rounds would notice, and costs upload. Or small: an update that is
#    as long as the others' and hardly turned passes every check, and moves the entries that few clients use.

SOLUTIONS = {"ex1": trimmed, "ex2": possible}

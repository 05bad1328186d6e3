"""Solutions of chapter 18, out of one process."""

import torch

# 1. Both bring 5,000 numbers. Up: 100 entries of 8 numbers, and the number of each; down: all 120, in order.
sizes = torch.tensor([4 * (5000 + 100 * 8 + 100), 4 * (5000 + 120 * 8)])


def only_later(entries, uses, unknown):
    """2. What a client holds and does not train on: it occurs in its validation or test rows alone."""
    held = (uses == 0) & ~torch.isin(entries, unknown)  # everybody holds the unknown entries
    return entries[held]


# 3. (open) A sum is enough where the rule is a sum: groups with the policy `mean`, such as FedAvg's experts,
#    and embedding entries by the rule `sum`, if everybody sends the whole table, zeros for what is not used.
#    It is not enough for normalization (the spread of the clients' parameters), coordination (inner products
#    of pairs) and mixture weights (who is like whom): they need each update by itself. Nor can a server that
#    sees only sums refuse one bad upload. One may also split: sums for entries, single updates for experts.

SOLUTIONS = {"ex1": sizes, "ex2": only_later}

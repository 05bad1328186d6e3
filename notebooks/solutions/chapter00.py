"""Solutions of chapter 00."""

from dataclasses import replace

# Exercise 1. C's row of the weights, times what A, B and C hold: 0.1 · 4 + 0.2 · 6 + 0.7 · (−10).
mixture_of_c = 0.1 * 4 + 0.2 * 6 + 0.7 * -10

# Exercise 2. Embedding, scenario part of the experts and towers are sent. The gates stay at home.
stays_at_home = "gate"


# Exercise 3. One field of the declaration decides. Everything else stays, so the difference is its doing.
def one_mixture_for_all(method):
    return replace(method, aggregate="mean")


# Exercise 4 (open). Nobody can check this for you; good answers say at least this much:
# - A name helps a person to guess who is related. The weights were found from parameters alone.
# - Cluster mates get weight because mixing in their parameters would have lowered the client's own training
#   loss. So "related" means "helps my loss now", not "is the same kind of business".
# - The small client that trusts only itself overfits its few rows; a fixed own weight of one half is a guard.
# - A heatmap with two clean blocks is no proof of better predictions: that needs the AUC table, with seeds.

SOLUTIONS = {"ex1": mixture_of_c, "ex2": stays_at_home, "ex3": one_mixture_for_all}

"""Solutions of chapter 12."""

from dataclasses import replace

from pfmsm_lite.lab.statistics import holm
from pfmsm_lite.methods import METHODS

# 1: sorted 0.01, 0.03, 0.04, 0.20; times 4, 3, 2, 1: 0.04, 0.09, 0.08, 0.20; never below the one before:
# 0.04, 0.09, 0.09, 0.20; back in the order of the question
corrected = holm([0.03, 0.01, 0.04, 0.20])

# 2: none looks clear with probability 0.95 to the power of 20; at least one does in all other cases
at_least_one = 1 - 0.95**20

# 3: `mean` weighs every client by its rows, whoever asks: both groups get the same mixture
blind = replace(METHODS["pf_msmtrec"], aggregate="mean")

# 4 (open): On rows of its own that no model has trained on (validation rows) each client compares the
# mixture that it received with the model that it would have alone. If the mixture is worse, it raises its
# own weight by a step, else it lowers it; it sends nothing but that number. So the server never sees a
# row. It fails where a client has so few validation rows that luck decides: then take many rounds
# together, or start from a high own weight and go down. It also costs a second training, and a client that
# lies about its number can take without giving.

SOLUTIONS = {"ex1": corrected, "ex2": at_least_one, "ex3": blind}

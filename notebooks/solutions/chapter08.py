"""Solutions of chapter 08."""

from dataclasses import replace

import pandas as pd

from pfmsm_lite.analysis import against, paired_interval
from pfmsm_lite.course import home
from pfmsm_lite.methods import METHODS

# 1: mean, low, high of the differences to zero; the lower end is the second value
points = [0.4, 0.9, -0.1, 0.6, 0.5]
lower = paired_interval(points, [0.0] * 5)[1]

# 2: of the methods whose interval holds zero, the one with the smallest difference
table = against(pd.read_csv(home() / "results" / "kuairand" / "results.csv"))
holding = table[(table["low"] <= 0) & (table["high"] >= 0)]
nearest = holding["difference"].abs().idxmin()

# 3: `mean` weighs every client by its rows, whoever asks: both groups get the same mixture
blind = replace(METHODS["pf_msmtrec"], aggregate="mean")

# 4 (open): On rows of its own that no model has trained on (validation rows) each client compares the
# mixture that it received with the model that it would have alone. If the mixture is worse, it raises its
# own weight by a step, else it lowers it; it sends nothing but that number. So the server never sees a
# row. It fails where a client has so few validation rows that luck decides: then take many rounds
# together, or start from a high own weight and go down. It also costs a second training, and a client that
# lies about its number can take without giving.

SOLUTIONS = {"ex1": lower, "ex2": nearest, "ex3": blind}

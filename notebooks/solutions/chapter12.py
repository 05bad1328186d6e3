"""Solutions of chapter 12."""

from dataclasses import replace

from pfmsm_lite.lab.statistics import holm
from pfmsm_lite.methods import METHODS

# 1: sorted 0.01, 0.03, 0.04, 0.20; times 4, 3, 2, 1: 0.04, 0.09, 0.08, 0.20; never below the one before:
# 0.04, 0.09, 0.09, 0.20; back in the order of the question
corrected = holm([0.03, 0.01, 0.04, 0.20])

# 2: `mean` weighs every client by its rows, no matter who asks: both groups get the same mixture. With groups
# of opposite taste most clients lose, but not much, because each still has its model at home
blind = replace(METHODS["pf_msmtrec"], aggregate="mean")

# 3 (open): Two explanations. (a) The form: a small client overfits, and an expert in parts has less
# freedom. (b) What others send: the shared part carries their knowledge better than a whole expert does.
# Four runs tell them apart: with and without the template, each with and without sending the experts. If
# the template gains where nothing is sent, it is (a); if only where experts are sent, (b); if less than
# half remains, both. Fixed before anybody looks: the world, ten new seeds, the number of rounds, settings
# chosen on validation rows with the same effort for all four, and that the difference of the two gains is
# the one question.

SOLUTIONS = {"ex1": corrected, "ex2": blind}

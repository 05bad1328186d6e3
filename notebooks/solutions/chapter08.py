"""Solutions of chapter 08."""

import pandas as pd

from pfmsm_lite.course.notebook import home
from pfmsm_lite.lab.statistics import paired_interval

RESULTS = home() / "notebooks" / "results"

# 1: mean, low, high of the differences to zero; the lower end is the second value
points = [0.4, 0.9, -0.1, 0.6, 0.5]
lower = paired_interval(points, [0.0] * 5)[1]

# 2: the base rates' line has no best_set and does not count
untold = int(pd.read_csv(RESULTS / "rivals-oulad" / "compare.csv")["best_set"].sum())

# 3: every cell counts by its rows; tab 1 has three quarters of them
kuai = pd.read_csv(RESULTS / "rivals-kuairand" / "compare.csv").set_index("method")
ahead = 100 * (kuai.auc_by_rows["boosted_tree"] - kuai.auc_by_rows["pf_msmtrec"])

SOLUTIONS = {"ex1": lower, "ex2": untold, "ex3": ahead}

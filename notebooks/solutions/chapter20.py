"""Solutions of chapter 20, open questions."""

# 1. The first of the two is among 10 of 200, the second among the 9 places left for 199; in 100 rounds.
meetings = 100 * 10 / 200 * 9 / 199


def same_cells(before, after):
    """2. The mean change of AUC over the cells (scenario, task) that have one in both tables."""
    cells = [table.set_index(["scenario", "task"])["auc"] for table in (before, after)]
    return (cells[1] - cells[0]).dropna().mean()  # aligned by cell; a cell of one table alone becomes NaN


SOLUTIONS = {"ex1": meetings, "ex2": same_cells}

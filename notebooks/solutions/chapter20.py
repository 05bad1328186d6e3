"""Solutions of chapter 20, open questions."""

import torch

# 1. The first of the two is among 10 of 200, the second among the 9 places left for 199; in 100 rounds.
meetings = 100 * 10 / 200 * 9 / 199


def same_cells(before, after):
    """2. The mean change of AUC over the cells (scenario, task) that have one in both tables."""
    cells = [table.set_index(["scenario", "task"])["auc"] for table in (before, after)]
    return (cells[1] - cells[0]).dropna().mean()  # aligned by cell; a cell of one table alone becomes NaN


def unseen(gradient, delta):
    """3. Of the pairs whose gradients conflict, the share whose differences do not."""
    n, m = torch.triu_indices(len(gradient), len(gradient), 1)
    apart, seen = ((part[n] * part[m]).sum(-1) < 0 for part in (gradient, delta))
    return (~seen[apart]).float().mean()


# 4. (open) A client may send validation gradients in every round in which it takes part, or keep the parts
#    that it was given and try them at home; or the server may compare stored updates of different rounds.
#    All of this is old by the time it is used, costs bytes or room, and tells the server who is like whom.
#    Comparing each client with a few centres needs no meetings of pairs, but somebody must say where the
#    centres come from.


SOLUTIONS = {"ex1": meetings, "ex2": same_cells, "ex3": unseen}

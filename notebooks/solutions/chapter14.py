"""Solutions of chapter 14."""

import math

import torch

# 1. Norms 4 and 7; in epoch 2 the main one counts 1.5² = 2.25 times: 9 and 7. At τ = 1 / ln 2 the weights are
#    2⁹ : 2⁷ = 4 : 1, so 0.8 and 0.2; `category` is not among the user's tasks. Of the raw gradients:
#    0.8 · (4, 0) + 0.2 · (0, 7).
step = torch.tensor([3.2, 1.4])

# 2. The list: 1 / log2(2) + 1 / log2(8) = 1 + 1/3. The best list has the three items in places 1 to 3:
#    1 + 0.631 + 0.5 = 2.131. The quotient is 0.626.
ndcg = (1 + 1 / 3) / (1 + 1 / math.log2(3) + 1 / math.log2(4))


def aligned(gradients):
    """3. A softmax of the norms of the tasks that do not point against the main one."""
    norms = gradients.norm(dim=-1)
    against = (gradients * gradients[:, :1]).sum(-1) < 0  # the main task is never against itself
    return norms.masked_fill(against | (norms == 0), -torch.inf).softmax(1)


# 4. (open) One answer. A gradient of one epoch is mostly noise: average the inner products over some
#    epochs, and shrink a user's number towards the mean of all, since a user has few rows. Dearer and
#    better: what a step along the auxiliary gradient does to the main loss on the user's validation rows.
#    The control: the same number of tasks left out, but of users drawn at random. It works if misled
#    users give the task less weight than others in the world that misleads (and not in the one that
#    helps) AND their NDCG rises against the control. In a federation: yes, all tasks of a user are at one
#    client, so the rule can work at home.

SOLUTIONS = {"ex1": step, "ex2": ndcg, "ex3": aligned}

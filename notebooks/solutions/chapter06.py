"""Solutions of chapter 06, conflict coordination."""

import torch

# 1. b is the shorter one, so this is the usual case: from a = (2, 0) go up by the whole radius of the disc,
#    c·‖a‖ = 0.5 · 2 = 1. Check: ⟨a, U⟩ = 4, ⟨b, U⟩ = 1, the smaller one, and the disc allows no more.
by_hand = torch.tensor([2.0, 1.0])

# 2. At U = (1 + c)·a: ⟨a, U⟩ = 1 + c and ⟨b, U⟩ = ‖b‖·cos 60°·(1 + c). As soon as the second is no smaller
#    than the first, ⟨a, U⟩ is the minimum, and nothing raises it more than going straight along a.
#    So ‖b‖ = 1/cos 60° = 2. With N clients the sum is N times as long as the mean: turning stops unnoticed.
length = 2.0

# 3. The control has to share everything with "turned and longer" but the turn. It stands beside it in the
#    table of four: as long as U in every round, for every client and expert, but in the old direction.
control = "longer, not turned"

# 4. (open) One answer: off, until a run on my own data says otherwise. In the chapter turning cost AUC where
#    groups oppose and gained nothing where they agree; any gain came with a longer step. What would change
#    my mind: at least five seeds on my scenarios, in which `norm` beats both the run without coordination
#    and a server step tuned on validation rows, with an interval that leaves out zero. The control of the
#    step is part of the experiment, not an extra. A defender may say: the paper's own operator may differ
#    from this reconstruction, and with plain SGD or many more clients the mean may be a better guide.

SOLUTIONS = {"ex1": by_hand, "ex2": length, "ex3": control}

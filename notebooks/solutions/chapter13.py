"""Solutions of chapter 13."""

import torch

# 1. Level 1. The first domain: 0.5 · 6 + (0.5 / 2) · (2 + 4) = 4.5. The tasks: 0.75 · 3 + 0.25 · 7 = 4 and
#    0.75 · 7 + 0.25 · 3 = 6. Level 2, as eq. 7 prints it, α of the task before the domain module:
#    z = 1 + 0.5 · 4.5 + 0.2 · 4 = 4.05 and z = 1 + 0.8 · 4.5 + 0.2 · 6 = 5.8.
fused = torch.tensor([4.05, 5.8])


def for_main(names):
    """2. All but the parameters of the module `fusion`: the part before the first dot decides.

    The slip: "not alpha or not beta" is true for every name, since none begins with both. By de Morgan's
    rule "neither alpha nor beta" is "not alpha AND not beta". But a list of names has to be kept up to date,
    and a name may only look alike. So we ask which module owns the parameter. The test that would have caught
    it: assert not any(name.startswith("fusion.") for name in for_main(names)). Even better: take one step of
    the main optimizer and look whether α has moved.
    """
    return [name for name in names if name.split(".")[0] != "fusion"]


# 3. (open) One answer. Instead of one β per domain, a row of a matrix: a softmax over all domains, D²
#    numbers per module. It learns on validation rows, with the lengths of the experts' outputs fixed, so that
#    they cannot undo it. It works if seeds agree and the two true groups appear, and neither happens in a
#    world where all domains are alike. The control for the score: the same model with the matrix held even.
#    In a federation: the matrix over domains is what chapter 07 learns. Taught by validation rows (`kin`) it
#    costs one more message in the rounds in which it asks.

SOLUTIONS = {"ex1": fused, "ex2": for_main}

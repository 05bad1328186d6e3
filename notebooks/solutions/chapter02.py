"""Solutions of chapter 02."""

import torch

# 1. The softmax of (0, ln 4) is (1, 4) / 5 = (0.2, 0.8).
mixture = 0.2 * torch.tensor([1.0, 2.0]) + 0.8 * torch.tensor([6.0, -3.0])


# 2. Sum over the experts e; rows b, tasks t and hidden entries h stay. `gates @ hidden` does the same.
def mix(gates, hidden):
    return torch.einsum("bte,beh->bth", gates, hidden)


# 3. One different expert is left. With even gates all experts get the same gradient, and because they all say
#    the same, the gates get none: E copies of one expert for ever. Random starts break the symmetry.
@torch.no_grad()
def start_alike(model):
    for tensor in [*model.experts.scenario, *model.experts.bias]:
        tensor.copy_(tensor[:1].clone().expand_as(tensor))
    model.gates.weight.zero_()
    model.gates.bias.zero_()


# 4. (open) Ask for the same picture on tasks that are known to be alike (synthetic, correlation 0.9):
#    gates part there as well, so parted gates alone prove nothing. Ask for the cosine of the two
#    tasks' gradients in the shared parts, after about two epochs: before training it depends on random
#    towers, and after ten epochs it no longer tells related tasks from opposite ones: on average it is
#    even lowest for those that want nearly the same, because of the embedding table. Several seeds, of
#    course: at the end they scatter widely.

SOLUTIONS = {"ex1": mixture, "ex2": mix, "ex3": start_alike}

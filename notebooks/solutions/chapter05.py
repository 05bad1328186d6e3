"""Solutions of chapter 05: federated batch normalization."""

from torch import nn


def stays_at_home(model):
    """Names of everything that belongs to a BatchNorm layer: found by type, buffers included."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return {
        f"{path}.{name}"
        for path, module in model.named_modules()  # all of them, however deep
        if isinstance(module, kinds)
        for name in module.state_dict()  # weight, bias, running_mean, running_var, num_batches_tracked
    }


def elementwise(stack):
    """Normalize each entry over the clients, then give every entry the tensor's average deviation."""
    mean, deviation = stack.mean(0), stack.std(0, correction=0)
    # with `deviation` in the place of its mean, the two factors would cancel: nothing would happen
    return (stack - mean) / deviation.clamp(min=1e-12) * deviation.mean() + mean


SOLUTIONS = {
    "ex1": stays_at_home,
    # first client: mean 1, deviation 1; averages 4.5 and 2.5
    "ex2": (2 - 1) / 1 * 2.5 + 4.5,
    "ex3": elementwise,
    # How far a client's parameters lie from the others in mean and deviation. If a client has a larger
    # spread because it has learned more (more rows, a stronger signal), that is knowledge, and moment takes
    # it away; `undo` gives it back to that client alone. A test: normalize one client alone, without any
    # averaging, and look at its validation AUC before and after.
    "ex4": "b",
}

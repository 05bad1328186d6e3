"""Solutions of chapter 05: federated batch normalization."""


def elementwise(stack):
    """Normalize each entry over the clients, then give every entry the tensor's average deviation."""
    mean, deviation = stack.mean(0), stack.std(0, correction=0)
    # with `deviation` in place of its mean, the two factors would cancel: nothing would happen
    return (stack - mean) / deviation.clamp(min=1e-12) * deviation.mean() + mean


SOLUTIONS = {
    # first client: mean 1, deviation 1; averages 4.5 and 2.5
    "ex1": (2 - 1) / 1 * 2.5 + 4.5,
    "ex2": elementwise,
}

# 3, open. How far a client's parameters lie from the others in mean and deviation. If a client has a larger
# spread because it has learned more (more rows, a stronger signal), that is knowledge, and moment takes it
# away; `undo` gives it back to that client alone. A test: normalize one client alone, without any averaging,
# and look at its validation AUC before and after.

"""Solutions of chapter 16, other readings of equation 13."""


def project(a, b):
    """1. a without its part along b, where the two are in conflict."""
    inner = a @ b
    if inner >= 0:  # no conflict; b = 0 ends here too
        return a
    return a - inner / (b @ b) * b


# 2. Both runs add a share of something common, with the same rule for the share. In one it is averse to
#    conflicts, in the other it is the plain mean. Nothing else differs.
control = "own + α·mean"

# 3. (open) One answer: ask for the size of what the server learns. A matrix per expert (N × N numbers) is
#    ours, N numbers are FedHCA²'s. Or ask whether two clients hold the same expert after a round in which
#    both had sent the same update from different starts: a mixture draws their weights together, an added
#    common update keeps the difference of their starts. A good answer names a number that differs between
#    the readings whatever the data are; a better AUC does not.

SOLUTIONS = {"ex1": project, "ex2": control}

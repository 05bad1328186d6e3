"""Solutions of chapter 04: the federated loop."""


def by_use(change, uses):
    """An entry's new change: the clients' changes, weighted by how often they use the entry."""
    total = uses.sum()
    if total == 0:  # nobody has anything to say about this entry: it stays
        return 0.0
    return (change * uses).sum() / total


def first_to_diverge(size=0.3):
    """Smallest number of clients whose added-up steps make |w| grow: |1 − size·N| > 1."""
    clients = 1
    while abs(1 - size * clients) <= 1:
        clients += 1
    return clients


SOLUTIONS = {
    # shares .5, .3, .2: .5·1 + .3·2 + .2·6
    "ex1": 0.5 * 1.0 + 0.3 * 2.0 + 0.2 * 6.0,
    "ex2": by_use,
    # the factor is 1 − 0.3·N; at 6 clients −0.8, at 7 clients −1.1
    "ex3": first_to_diverge(),
}

# 4, open. Too little personalization for that client: its rows follow another rule than the common mixture.
# (If too much were shared for everybody, the other seven would not have got better; a step that is too large
# shows in all curves.) Next: compare its AUC alone and federated by task, on validation rows and with several
# seeds (is it noise?); look at the cosine of its updates with the others' mean; let it keep more at home
# (towers, then experts), or give it a mixture of its own (chapter 07). It should be able to refuse: a
# federation that makes a member worse off has no claim on it. Decide by validation rows, not by test rows.

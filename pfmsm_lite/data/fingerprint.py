"""What tells two sets of rows apart."""

import hashlib

from pfmsm_lite.scenario import SPLITS, Scenario


def digest(scenarios: list[Scenario]) -> str:
    """sha256 of everything that a model sees of the scenarios: names, sizes and every tensor."""
    found = hashlib.sha256()
    for scenario in scenarios:
        head = (scenario.name, scenario.tasks, sorted(scenario.fields.items()), scenario.numericals)
        found.update(repr(head).encode())
        for split in SPLITS:
            for tensor in scenario.rows(split)[:3]:
                found.update(repr(tuple(tensor.shape)).encode())
                found.update(tensor.contiguous().numpy().data)
    return found.hexdigest()

"""What tells two sets of rows apart."""

import hashlib

from pfmsm_lite.scenario import SPLITS, Scenario

ROWS = 65_536  # that are read at a time


def digest(scenarios: list[Scenario]) -> str:
    """sha256 of everything that a model sees of the scenarios: names, sizes and every tensor."""
    found = hashlib.sha256()
    for scenario in scenarios:
        head = (scenario.name, scenario.tasks, sorted(scenario.fields.items()), scenario.numericals)
        head += (scenario.apart,) if scenario.apart else ()
        found.update(repr(head).encode())
        for split in SPLITS:
            for tensor in scenario.rows(split)[:3]:
                found.update(repr(tuple(tensor.shape)).encode())
                for some in tensor.split(ROWS):  # ids count the same, whatever they are kept as
                    plain = some if some.is_floating_point() else some.long()
                    found.update(plain.contiguous().numpy().data)
    return found.hexdigest()

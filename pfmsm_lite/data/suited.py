"""How a table of one's own is trained where nothing else is asked for: by how many rows there are."""

from typing import Any

from pfmsm_lite.scenario import Scenario


def suited(scenarios: list[Scenario]) -> dict[str, Any]:
    """Fields of Settings that suit these rows, for `run(scenarios, method, **suited(scenarios))`."""
    return {"batch_size": 512, "learning_rate": 1e-3, "calibrate": "platt"}

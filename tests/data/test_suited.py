"""Defaults by rows: an epoch of the largest client has few steps, and no more than that is chosen."""

import pytest
from small import scenario, scenarios

from pfmsm_lite import Settings, run
from pfmsm_lite.data import suited


class Sized:
    """As much of a Scenario as the rule looks at."""

    def __init__(self, rows):
        self.train = self
        self.labels = range(rows)


@pytest.mark.parametrize(
    ("rows", "batch"),
    [(1, 128), (20_480, 128), (20_481, 256), (101_196, 1024), (655_360, 4096), (10**9, 4096)],
)
def test_the_batch_grows_with_the_largest_client(rows, batch):
    assert suited([Sized(1), Sized(rows), Sized(rows // 2)])["batch_size"] == batch
    steps = -(-rows // batch)
    assert batch == 4096 or steps <= 160 and (batch == 128 or -(-rows // (batch // 2)) > 160)


def test_what_is_chosen_are_settings_of_a_run():
    chosen = suited(scenarios(2))
    assert Settings(**chosen).batch_size == 128
    assert run([scenario("a")], "local", 1, 0, **chosen).rounds_done == 1

"""The line that a cell shows while it trains."""

import pytest

from pfmsm_lite import loop
from pfmsm_lite.course import progress
from pfmsm_lite.data import synthetic


class Line:
    """Stands for what `display` returns; keeps what it showed."""

    def __init__(self, data):
        self.texts = [data["text/plain"]]

    def update(self, data, raw):
        assert raw
        self.texts.append(data["text/plain"])


@pytest.fixture
def lines(monkeypatch):
    """All lines that were begun; the events of cells are called by hand."""
    display, found = pytest.importorskip("IPython.display"), []

    def show(data, raw, display_id):
        assert raw and display_id
        found.append(Line(data))
        return found[-1]

    monkeypatch.setattr(display, "display", show)
    monkeypatch.setattr(loop, "one_round", loop.one_round)  # put back at the end
    monkeypatch.setattr(progress, "WAIT", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.delenv(progress.QUIET, raising=False)
    return found


def train(seed=3):
    scenarios, _ = synthetic((40, 40), test_rows=20, seed=0)
    return loop.run(scenarios, "fedavg", 2, seed)


def test_a_cell_that_trains_says_where_it_is_and_leaves_nothing(lines):
    events = {}
    progress.watch(events.__setitem__)
    progress.watch(events.__setitem__)  # `begin` may run again
    events["pre_run_cell"]()
    before = train()
    events["post_run_cell"]()
    (line,) = lines
    assert line.texts == ["fedavg, seed 3: round 1 · 0 s", "fedavg, seed 3: round 2 · 0 s", ""]
    events["pre_run_cell"]()
    train(4)
    assert lines[1].texts[0].startswith("fedavg, seed 4: round 1")
    assert before.rounds_done == 2


def test_short_cells_widgets_and_what_is_executed_for_its_outputs_say_nothing(lines, monkeypatch):
    progress.watch(lambda event, function: None)
    train()  # no cell runs: a widget
    monkeypatch.setattr(progress, "WAIT", 60.0)
    progress.starts()
    train()
    progress.ends()
    monkeypatch.setattr(progress, "WAIT", 0.0)
    monkeypatch.setattr(loop, "one_round", loop.one_round.__wrapped__)
    monkeypatch.setenv(progress.QUIET, "1")
    progress.watch(lambda event, function: None)
    progress.starts()
    train()
    progress.ends()
    assert not lines

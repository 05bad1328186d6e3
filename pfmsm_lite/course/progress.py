"""Progress in a notebook: while a cell trains, a line under it says method, seed and round; then it goes."""

import functools
import os
import time
from collections.abc import Callable
from typing import Any

from pfmsm_lite import loop
from pfmsm_lite.federation import Federation
from pfmsm_lite.history import History

QUIET = "PFMSM_QUIET"  # environment variable; set while chapters are executed for their outputs
WAIT, EVERY = 1.0, 0.3  # seconds before the first word, and between two
_cell: dict[str, Any] = {"since": None, "said": 0.0, "line": None}


def watch(at: Callable[[str, Callable], None]) -> None:
    """From now on, a cell that trains for more than a second shows where it is.

    at  (event, function): has IPython call the function at "pre_run_cell" or "post_run_cell"
    """
    at("pre_run_cell", starts)
    at("post_run_cell", ends)
    if not hasattr(loop.one_round, "__wrapped__") and not os.environ.get(QUIET):
        loop.one_round = _told(loop.one_round)


def starts(info: object = None) -> None:
    """A cell starts. What a widget trains belongs to none, and has no line."""
    _cell.update(since=time.monotonic(), said=0.0)


def ends(result: object = None) -> None:
    """The cell is done: its line is emptied."""
    line = _cell["line"]
    _cell.update(since=None, line=None)
    if line:
        line.update({"text/plain": ""}, raw=True)


def _told(play: Callable[[Federation, History], None]) -> Callable[[Federation, History], None]:
    """`one_round`, followed by the line."""

    @functools.wraps(play)
    def one_round(federation: Federation, history: History) -> None:
        play(federation, history)
        now = time.monotonic()
        if _cell["since"] is None or now - _cell["since"] < WAIT or now - _cell["said"] < EVERY:
            return
        from IPython.display import display

        took = now - _cell["since"]
        text = f"{history.method}, seed {history.seed}: round {history.rounds_done} · {took:.0f} s"
        _cell["said"] = now
        if _cell["line"]:
            _cell["line"].update({"text/plain": text}, raw=True)
        else:
            _cell["line"] = display({"text/plain": text}, raw=True, display_id=True)

    return one_round

"""The engine: the progress display, what is kept of a cell, when it is done again, cells in this process."""

import io
import json
from dataclasses import replace

import pytest
from small import scenarios

from pfmsm_lite import METHODS, Settings
from pfmsm_lite.lab import engine
from pfmsm_lite.lab.engine import Cell, Progress, here, replace_text
from pfmsm_lite.lab.statistics import kept, results_of

SMALL = Settings(experts=2, hidden=(8,), tower=4, embedding_size=4, batch_size=32)


def cell(name="fedavg", seed=0, settings=SMALL, data=None):
    return Cell(f"{name}-{seed}", name, METHODS[name], settings, seed, data=data)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_shows_on_a_terminal_only():
    for screen, shown in ((Terminal(), True), (io.StringIO(), False)):
        progress = Progress(2, 10, screen)
        progress.round(cell(), 5, 0.7)
        progress.finished(cell())
        progress.close()
        assert ("fedavg, seed 0, round 5" in screen.getvalue()) == shown
        assert ("1/2 runs" in screen.getvalue()) == shown


def test_a_cell_is_done_again_when_its_file_is_damaged_or_of_another_job(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "checkpoint").mkdir()
    result = {"test_auc": 0.7, "results": []}
    engine._keep(tmp_path, cell(), result)
    assert engine._read(tmp_path, cell())["test_auc"] == 0.7
    assert engine._read(tmp_path, cell(settings=replace(SMALL, tower=5))) is None
    assert engine._read(tmp_path, cell(data={})) is None and engine._read(tmp_path, cell(seed=1)) is None
    file = tmp_path / "cells" / "fedavg-0.json"
    whole = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in whole.items() if key != "test_auc"}))
    assert engine._read(tmp_path, cell()) is None  # as an older version kept it
    file.write_text("{")
    assert engine._read(tmp_path, cell()) is None and not list(tmp_path.rglob("*.part"))


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "results.csv"
    replace_text(file, "old")
    monkeypatch.setattr(engine.os, "replace", lambda part, path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        replace_text(file, "new")
    assert file.read_text() == "old"


def test_cells_in_this_process_are_the_same_trainings_and_what_is_kept_of_them_says_the_same():
    told, data = [], scenarios(3)
    found = dict(here([cell(), cell("local")], data, 2, told.append))
    assert told == [
        "run 1 of 2: fedavg, seed 0, 2 rounds",
        "run 2 of 2: local, seed 0, 2 rounds",
    ]
    whole, short = results_of(found.values()), results_of(kept(history) for history in found.values())
    assert list(whole) == list(short) and len(whole) == len(short) == 2 * 3 * 2 * 2
    assert whole["auc"].to_numpy() == pytest.approx(short["auc"].to_numpy(), abs=1e-9)
    first = kept(next(iter(found.values())))
    mean = whole.query("method == 'fedavg' and split == 'test'")["auc"].mean()
    assert first["test_auc"] == pytest.approx(mean, abs=1e-12)
    assert json.loads(json.dumps(first)) == first

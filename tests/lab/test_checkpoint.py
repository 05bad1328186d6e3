"""Checkpoints: a run that was cut off ends with the same bytes; what is torn or foreign is refused."""

import numpy as np
import pytest
import torch
from small import SMALL, scenarios

from pfmsm_lite import METHODS, Settings
from pfmsm_lite import run as plain
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import checkpoint as checkpoints

PF, LOCAL = METHODS["pf_msmtrec"], METHODS["local"]


class Stop(Exception):
    """Stands for a kill."""


def run(data, method, rounds, seed=0, checkpoint=None, checkpoint_seconds=0, progress=None, **options):
    """A run that is kept in a file, or without one a plain one."""
    if checkpoint is None:
        return plain(data, method, rounds, seed, **options)
    return checkpoints.run_resumable(
        data, method, rounds, seed, settings=Settings(**options), checkpoint=checkpoint,
        checkpoint_seconds=checkpoint_seconds, progress=progress,
    )  # fmt: skip


def stop_after(number):
    def progress(done, rounds, auc):
        if done == number:
            raise Stop

    return progress


@pytest.mark.parametrize(
    "name",
    ["pooled", "m3oe", "star", "ple", "local", "fedavg", "pf_msmtrec", "ditto", "local_finetune", "fedrep"],
)
@pytest.mark.parametrize("lazy", ["adam", "lazy_adam"])
def test_a_run_that_was_cut_off_ends_with_the_same_bytes(tmp_path, name, lazy):
    data, options = scenarios(3), {**SMALL, "embedding_optimizer": lazy, "unknown_rate": 0.1}
    whole = run(data, METHODS[name], rounds=5, **options)
    path = tmp_path / "cell.pt"
    keep = {"checkpoint": path, "checkpoint_seconds": 0, **options}
    for number in (2, 3):
        with pytest.raises(Stop):
            run(data, METHODS[name], rounds=5, progress=stop_after(number), **keep)
    resumed = run(data, METHODS[name], rounds=5, **keep)
    assert resumed.results.to_csv() == whole.results.to_csv()
    timeless = [h.rounds.drop(columns="seconds").to_csv() for h in (resumed, whole)]
    assert timeless[0] == timeless[1]
    for key in whole.arrays:
        assert np.array_equal(whole.array(key), resumed.array(key)), key
    again = run(data, METHODS[name], rounds=5, progress=stop_after(1), **keep)  # nothing is left to do
    assert again.results.to_csv() == whole.results.to_csv()


def test_more_rounds_on_resume_equal_a_longer_run(tmp_path):
    data, keep = scenarios(2), {"checkpoint": tmp_path / "cell.pt", **SMALL}
    run(data, PF, rounds=2, **keep)
    assert (
        run(data, PF, rounds=4, **keep).results.to_csv() == run(data, PF, rounds=4, **SMALL).results.to_csv()
    )


@pytest.mark.parametrize("cut", [None, 2])
def test_with_patience_a_run_ends_so_many_rounds_after_its_best_also_when_resumed(cut, tmp_path):
    data, step = scenarios(2), {**SMALL, "learning_rate": 0.05}  # overfits soon
    whole = run(data, LOCAL, rounds=30, **step)
    assert whole.best_round < 27
    keep = {"checkpoint": tmp_path / "cell.pt", "patience": 3, **step}
    if cut:
        run(data, LOCAL, rounds=cut, **keep)
    short = run(data, LOCAL, rounds=30, **keep)
    best, waited, ends = -1.0, 0, 30
    for number, auc in whole.rounds.groupby("round")["valid_auc"].mean().items():
        best, waited = (auc, 0) if auc > best else (best, waited + 1)
        if waited == 3:
            ends = number
            break
    assert short.rounds_done == ends < 30 and short.best_round == ends - 3
    mean = whole.rounds.query("round <= @ends").drop(columns="seconds").to_csv()
    assert short.rounds.drop(columns="seconds").to_csv() == mean
    assert not short.stopped


def test_a_torn_a_foreign_and_another_runs_checkpoint_are_refused(tmp_path):
    path = tmp_path / "cell.pt"
    data, keep = scenarios(2), {"checkpoint": path, **SMALL}
    run(data, PF, rounds=1, **keep)
    with pytest.raises(UserError, match="belongs to another run"):
        run(data, PF, rounds=1, seed=1, **keep)
    with pytest.raises(UserError, match="belongs to another run"):
        run(scenarios(2, evaluated=81), PF, rounds=1, **keep)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cell.pt cannot be read.*Delete"):
        run(data, PF, rounds=1, **keep)
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="not a checkpoint of this package"):
        run(data, PF, rounds=1, **keep)
    torch.save({"format": "pfmsm_lite checkpoint 1", "fingerprint": "x", "state": {}}, path)
    with pytest.raises(UserError, match="another version of pfmsm_lite .pfmsm_lite checkpoint 1; this"):
        run(data, PF, rounds=1, **keep)


class Evil:
    def __reduce__(self):
        return (print, ("code from a checkpoint ran",))


def test_a_checkpoint_cannot_run_code(tmp_path, capsys):
    path = tmp_path / "cell.pt"
    torch.save({"format": checkpoints.FORMAT, "fingerprint": "x", "state": Evil()}, path)
    with pytest.raises(UserError, match="cannot be read"):
        checkpoints.load(path, "x")
    assert "ran" not in capsys.readouterr().out


def test_a_failed_write_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "cell.pt"
    checkpoints.save(path, "x", {"round": 1})

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match="could not be written.*No space left"):
        checkpoints.save(path, "x", {"round": 2})
    monkeypatch.undo()
    assert checkpoints.load(path, "x") == {"round": 1} and list(tmp_path.iterdir()) == [path]

"""Checkpoints: a training that was cut off goes on; one that is done leaves its history and its model."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pfmsm_lite.data.fingerprint import digest
from pfmsm_lite.errors import UserError
from pfmsm_lite.federation import Federation
from pfmsm_lite.history import History
from pfmsm_lite.lab import models, sealed
from pfmsm_lite.lab.versions import decisive
from pfmsm_lite.loop import run
from pfmsm_lite.methods import Method, Settings
from pfmsm_lite.scenario import Scenario

KIND = "pfmsm_lite checkpoint"
FORMAT = f"{KIND} 3"
CHECKPOINT_SECONDS = 5.0


def fingerprint(scenarios: list[Scenario], method: Method, settings: Settings, seed: int) -> str:
    """What a checkpoint belongs to, as text."""
    return f"{digest(scenarios)} {asdict(method)} {asdict(settings)} seed {seed} torch {torch.__version__}"


def run_resumable(
    scenarios: list[Scenario],
    method: Method,
    rounds: int,
    seed: int,
    *,
    settings: Settings,
    checkpoint: str | Path,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress: Callable[[int, int, float], None] | None = None,
    model: Path | None = None,
    keep: bool = False,
) -> History:
    """`run`, kept up to date in a file from which it goes on where there is one.

    checkpoint          the file;  checkpoint_seconds: written at most this often (0: after each round)
    progress            called after each round with (round, rounds, average validation AUC)
    model               where the model of the reported round is kept when all is done; from then on the
                        checkpoint holds the history alone, so that more rounds begin with round 1
    keep                whether it goes on holding everything
    others              as in `run`;  raises: UserError, also for a checkpoint that belongs to something else
    """
    checkpoint, belongs_to = Path(checkpoint), fingerprint(scenarios, method, settings, seed)
    state, patience = load(checkpoint, belongs_to), settings.patience or rounds
    if state:
        before = _history(method, seed, state)
        if before.rounds_done > rounds:
            raise UserError(fewer(checkpoint, before.rounds_done, rounds))
        if "federation" not in state:
            if model is not None and model.exists() and not before.goes_on(rounds, patience):
                return before
            state = None
    best, saved = (state or {}).get("best"), time.monotonic()

    def keep_up(history: History, **kept: Any) -> None:
        ended = not history.goes_on(math.inf, settings.patience or math.inf)
        said = {"rounds": history.rounds_done, "ended": ended, "whole": "federation" in kept}
        save(checkpoint, belongs_to, {"history": history.state(), **kept}, **said)

    def after_round(history: History, federation: Federation) -> None:
        nonlocal best, saved
        if model is not None and history.best_round == history.rounds_done and not history.stopped:
            best = models.snapshot(federation, scenarios, history)
        last = not history.goes_on(rounds, patience)
        if last or time.monotonic() - saved >= checkpoint_seconds:
            keep_up(history, federation=federation.state(), best=best)
            saved = time.monotonic()
        if progress:
            progress(history.rounds_done, rounds, history.last_auc)

    history = run(scenarios, method, rounds, seed, settings=settings, state=state, after_round=after_round)
    if model is not None:
        models.save(model, best)  # before the checkpoint forgets it
        if not keep:
            keep_up(history)
    return history


def _history(method, seed, state):
    history = History(method.name, seed, [], [])
    history.load(state["history"])
    return history


def fewer(checkpoint: Path, done: int, rounds: int) -> str:
    """What to say where fewer rounds are wanted than are done."""
    return (
        f"{checkpoint.stem} has done {done} rounds, and --rounds {rounds} would be fewer. Give at least as "
        "many, or start again with another --out."
    )


def save(path: str | Path, fingerprint: str, state: dict, **said: Any) -> None:
    """Write `state` (tensors, lists, dicts, numbers, text) to `path`: all of it or nothing.

    said  plain values that `glance` reads without the state
    """
    content = {"format": FORMAT, "fingerprint": fingerprint, "state": state}
    try:
        sealed.save(path, content, **said, versions=decisive())
    except UserError as error:
        raise UserError(f"The checkpoint {error} Or choose another --out.") from error


def glance(path: str | Path) -> dict[str, Any]:
    """What `save` was told to say, and the versions that wrote it; empty where there is no such file."""
    try:
        return sealed.last_line(path)
    except (OSError, sealed.Damaged):
        return {}


def load(path: str | Path, fingerprint: str) -> dict | None:
    """The state saved at `path`, or None where there is none.

    Raises UserError for a file with a changed bit, that is not a checkpoint, that another version of the
    package wrote, or that belongs to another run.
    """
    path = Path(path)
    if not path.exists():
        return None
    damaged = None
    try:
        found, _ = sealed.load(path)
    except sealed.Damaged as error:
        found, damaged = error.content, error
    kind = found.get("format") if isinstance(found, dict) else None
    if kind != FORMAT and str(kind).startswith(KIND):
        raise UserError(
            f"The checkpoint {path} was written by another version of pfmsm_lite ({kind}; this version reads "
            f"{FORMAT}). Go on with the version that wrote it, or start again with another --out."
        )
    if kind != FORMAT and found is not None:
        raise UserError(f"{path} is not a checkpoint of this package ({FORMAT!r}). Delete or move it.")
    if damaged:
        raise UserError(
            f"The checkpoint {path} cannot be read: it is damaged or no checkpoint ({damaged}). Delete this "
            "file to start its part of the run again; the others stay."
        ) from damaged
    if found["fingerprint"] != fingerprint:
        raise UserError(
            f"The checkpoint {path} belongs to another run (other data, method, settings or versions). "
            "Resume with the arguments of the run that wrote it, or choose another --out."
        )
    return found["state"]

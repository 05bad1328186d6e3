"""Checkpoints: written atomically, loaded without running anybody's code."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from pfmsm_lite.data.fingerprint import digest
from pfmsm_lite.errors import UserError
from pfmsm_lite.federation import Federation
from pfmsm_lite.history import History
from pfmsm_lite.loop import run
from pfmsm_lite.methods import Method, Settings
from pfmsm_lite.scenario import Scenario

KIND = "pfmsm_lite checkpoint"
FORMAT = f"{KIND} 2"
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
) -> History:
    """`run`, kept up to date in a file from which it goes on where there is one.

    checkpoint          the file;  checkpoint_seconds: at most so often (0: after each round)
    progress            called after each round with (round, rounds, average validation AUC)
    others              as of `run`;  raises: UserError, also for a checkpoint that belongs to something else
    """
    belongs_to = fingerprint(scenarios, method, settings, seed)
    state = load(checkpoint, belongs_to)
    patience, saved = settings.patience or rounds, time.monotonic()

    def keep(history: History, federation: Federation) -> None:
        nonlocal saved
        last = not history.goes_on(rounds, patience)
        if last or time.monotonic() - saved >= checkpoint_seconds:
            save(checkpoint, belongs_to, {"history": history.state(), "federation": federation.state()})
            saved = time.monotonic()
        if progress:
            progress(history.rounds_done, rounds, history.last_auc)

    return run(scenarios, method, rounds, seed, settings=settings, state=state, after_round=keep)


def save(path: str | Path, fingerprint: str, state: dict) -> None:
    """Write `state` (tensors, lists, dicts, numbers, text) to `path`: all of it or nothing."""
    path = Path(path)
    part = path.with_suffix(f".part{os.getpid()}")
    try:
        with open(part, "wb") as file:
            torch.save({"format": FORMAT, "fingerprint": fingerprint, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise UserError(
            f"The checkpoint {path} could not be written: {error}. The last complete one is kept; "
            "make room or choose another --out, then go on with --resume."
        ) from error


def load(path: str | Path, fingerprint: str) -> dict | None:
    """The state saved at `path`, or None where there is none.

    Raises UserError for a file that is torn, that is no checkpoint, that another version of the package
    wrote, or that belongs to another run.
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        found = torch.load(path, weights_only=True)
        kind = found.get("format") if isinstance(found, dict) else None
    except Exception as error:  # torch.load raises whatever the torn bytes lead it to
        raise UserError(
            f"The checkpoint {path} cannot be read: it is damaged or no checkpoint "
            f"({type(error).__name__}). Delete this file to start its part of the run again; the others stay."
        ) from error
    if kind != FORMAT and str(kind).startswith(KIND):
        raise UserError(
            f"The checkpoint {path} was written by another version of pfmsm_lite ({kind}; this version reads "
            f"{FORMAT}). Go on with the version that wrote it, or start again with another --out."
        )
    if kind != FORMAT:
        raise UserError(f"{path} is not a checkpoint of this package ({FORMAT!r}). Delete or move it.")
    if found["fingerprint"] != fingerprint:
        raise UserError(
            f"The checkpoint {path} belongs to another run (other data, method, settings or versions). "
            "Resume with the arguments of the run that wrote it, or choose another --out."
        )
    return found["state"]

"""A training that another process is to do: its folder, in which stand the job, its state and its end.

job.json      the declaration, and the limits
server.pt     the server's state after the last round that is done
audit.csv     what was handed over, a line for each part of each letter
log.txt       a line for each round
history.pt    the end: the History;  error.txt: or why there is none
"""

import csv
import json
from pathlib import Path
from typing import Any

from pfmsm_lite.engine.client import Folder
from pfmsm_lite.engine.declared import Declaration, read
from pfmsm_lite.engine.rounds import Record
from pfmsm_lite.errors import UserError
from pfmsm_lite.history import History
from pfmsm_lite.lab.writing import replace_text

# seconds that the first letter waits for clients to come; that any letter waits for its answer; how few
# answers a round may go on with
LIMITS: dict[str, Any] = {"wait": 300.0, "timeout": 600.0, "least": 1}
AUDIT = "audit.csv"


class Job:
    """A folder of that kind."""

    def __init__(self, folder: Path):
        self.folder, self.records = folder, []
        try:
            found = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{folder} holds no job: {error.strerror}.") from error
        self.text, self.limits = found["declaration"], {**LIMITS, **found["limits"]}
        self.names = read(self.text).clients
        log = folder / "log.txt"
        self.said = (
            len(log.read_text(encoding="utf-8").splitlines()) if log.exists() else 0
        )  # before it goes on

    @classmethod
    def made(cls, folder: Path, declared: Declaration, limits: dict[str, Any]) -> "Job":
        """Write a new one, or go on with what is there."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("history.pt", "error.txt"):
            (folder / name).unlink(missing_ok=True)
        text = json.dumps({"declaration": declared.text, "limits": limits})
        replace_text(folder / "job.json", text + "\n")
        return cls(folder)

    def tell(self, text: str) -> None:
        """A line in the log; and what was handed over until now goes to its file."""
        with (self.folder / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"{text}\n")
        new = not (self.folder / AUDIT).exists()
        with (self.folder / AUDIT).open("a", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            if new:
                lines.writerow(Record._fields)
            for own in self.records:
                lines.writerow([*own[:4], "×".join(map(str, own.shape)), own.bytes])
        self.records.clear()

    def finish(self, history: History) -> None:
        self.tell("done")
        Folder(self.folder).save("history", history.state())

    def fail(self, reason: str) -> None:
        self.tell("failed")
        replace_text(self.folder / "error.txt", reason + "\n")

    @property
    def ended(self) -> bool:
        return any((self.folder / name).exists() for name in ("history.pt", "error.txt"))

    def history(self) -> History:
        """Its result. Raises UserError with the reason where there is none."""
        if (self.folder / "error.txt").exists():
            raise UserError((self.folder / "error.txt").read_text(encoding="utf-8").strip())
        declared, state = read(self.text), Folder(self.folder).load("history")
        if state is None:
            raise UserError(f"The server's process ended without a result; see {self.folder / 'log.txt'}.")
        history = History(declared.method.name, declared.seed, [], [])
        history.load(state)
        return history

"""How far a long reading is: one line on a terminal, a line now and then elsewhere."""

import sys
import time
from typing import TextIO

EVERY = {True: 0.5, False: 30.0}  # seconds between two lines, on a terminal and elsewhere


class Meter:
    """Says how much of something is done, how fast and for how long yet.

    what  of what is told;  total  units, None: not known;  unit  such as rows;  screen  None: stderr
    """

    def __init__(self, what: str, total: int | None = None, unit: str = "rows",
                 screen: TextIO | None = None):  # fmt: skip
        self.what, self.total, self.unit = what, total, unit
        self.screen = screen or sys.stderr
        self.terminal = bool(getattr(self.screen, "isatty", lambda: False)())
        self.start = self.said = time.monotonic()
        self.before = 0

    def at(self, done: int, share: float | None = None, before: int = 0) -> None:
        """So many units are done, a share of all; `before`: of these were done earlier on."""
        now = time.monotonic()
        if now - self.said < EVERY[self.terminal]:
            return
        self.said = now
        speed = (done - before) / max(now - self.start, 1e-9)
        share = done / self.total if share is None and self.total else share
        text = f"{self.what}: {done:,} {self.unit}"
        if share:
            left = (now - self.start) * (1 - share) / share
            text += f", {share:.0%}, {speed:,.0f} {self.unit}/s, {left:,.0f} s left"
        self.screen.write(f"\r{text:<79}" if self.terminal else f"{text}\n")
        self.screen.flush()

    def done(self) -> None:
        """Clear the line on a terminal."""
        if self.terminal:
            self.screen.write("\r" + 79 * " " + "\r")
            self.screen.flush()

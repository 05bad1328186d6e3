"""The judge: takes answers from a student's kernel and keeps the verdicts, in the grader's own process."""

import contextlib
import json
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

import pfmsm_lite.rivals  # noqa: F401 their rules are answers too
from pfmsm_lite.course import wire
from pfmsm_lite.course.exercise import exercises, verdict

UNFINISHED = "the check of this answer did not finish"
PLAIN = "numbers, texts, lists, arrays, methods and scenarios can be handed to the grader"


def _knock(address: str) -> None:
    """Wake who waits for a connection. It may hang where a student's code has filled the queue."""
    with contextlib.suppress(OSError, EOFError):
        Client(address).close()


class Judge:
    """Judges the answers to a chapter's exercises, one at a time.

    verdicts  exercise → (state, hint); the last one counts
    asked     exercise → how many answers came
    variant   of an examination: then a kernel is not told what came of its answers
    """

    def __init__(self, chapter: str, variant: int | None = None):
        self.chapter, self.known = chapter, exercises(chapter, variant)
        self.verdicts: dict[str, tuple[str, str]] = {}
        self.asked: Counter[str] = Counter()
        self._tells = variant is None
        self._over = threading.Event()

    @contextlib.contextmanager
    def listening(self, folder: Path) -> Iterator[str]:
        """The address to which a kernel sends its answers, as long as the block runs."""
        socket = None if sys.platform == "win32" else str(folder / "judge")
        with Listener(socket) as listener:
            thread = threading.Thread(target=self._serve, args=(listener,), daemon=True)
            thread.start()
            try:
                yield str(listener.address)
            finally:
                self._over.set()
                wake = threading.Thread(target=_knock, args=(str(listener.address),), daemon=True)
                wake.start()
                thread.join(10)

    def _serve(self, listener: Listener) -> None:
        while not self._over.is_set():
            try:
                with listener.accept() as line:
                    self._hear(line)
            except wire.Gone:
                continue
            except Exception:  # whatever comes over the wire, the next answer is heard
                continue

    def _hear(self, line: Connection) -> None:
        """Judge one answer; calls of the student's function go back and forth on the line."""

        def talk(message: bytes) -> dict:
            try:
                line.send_bytes(message)
            except OSError as error:
                raise wire.Gone from error
            return wire.receive(line, self._over.is_set)

        def stand_in(number: int, kind: str) -> wire.StandIn:
            return wire.named(wire.StandIn, kind)(talk, unpacked, number)

        def unpacked(data: object) -> object:
            return wire.unpack(data, stand_in, lost.append)

        lost: list[str] = []
        asked = wire.receive(line, self._over.is_set)
        chapter, name = str(asked["chapter"])[:2], asked["name"]
        if chapter != self.chapter or name not in self.known:
            found = (
                "wrong",
                f"graded as chapter {self.chapter}; there is no {name} of chapter {chapter}",
            )
        else:
            self.asked[name] += 1
            self.verdicts[name] = "wrong", UNFINISHED  # stands if the kernel ends
            found = self._judged(name, unpacked, asked["answer"])
            if found[0] == "wrong" and lost:
                found = "wrong", f"{found[1]} (of type {lost[0]}; {PLAIN})"
            self.verdicts[name] = found
        with contextlib.suppress(OSError):
            told = found if self._tells else ("noted", "")
            line.send_bytes(wire.VERDICT + json.dumps(told).encode())

    def _judged(self, name, unpacked, data):
        try:
            answer = unpacked(data)
        except Exception as error:
            return "wrong", f"the answer could not be taken over: {error}"
        return verdict(self.known[name], answer)

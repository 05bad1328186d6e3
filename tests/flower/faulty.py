"""A ClientApp that fails where FAULTS says so, each fault once: {name: {round: [what, seconds]}}."""

import json
import os
import signal
import time
from pathlib import Path

from pfmsm_lite.engine import flower
from pfmsm_lite.engine.client import ClientSide
from pfmsm_lite.engine.wire import unpack


class Faulty(ClientSide):
    def answer(self, content):
        number = unpack(content).about.get("number", 0)
        what, seconds = json.loads(os.environ["FAULTS"]).get(self.name, {}).get(str(number), ("", 0))
        once = Path(os.environ["FAULTS_DONE"]) / f"{self.name}-{number}"
        if not what or once.exists():
            return super().answer(content)
        once.touch()
        if what == "die before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = super().answer(content)
        if what == "die after":  # what it did is saved
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(seconds)
        return answer


flower.ClientSide = Faulty
client_app = flower.client_app

"""Glue: Flower carries the letters. flwr is imported here and nowhere else.

The SuperLink starts `server_app`, a SuperNode `client_app`; both for as long as it takes to do their work,
in a new process. A letter goes as one array of bytes, so that what is written down is what is handed over.
"""

import time
import traceback
from pathlib import Path

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from pfmsm_lite.engine.client import ClientSide, Folder
from pfmsm_lite.engine.declared import read
from pfmsm_lite.engine.jobs import Job
from pfmsm_lite.engine.own import rows_of
from pfmsm_lite.engine.rounds import conduct, recorded
from pfmsm_lite.engine.wire import Letter, pack, unpack
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.tables import names

client_app = ClientApp()
server_app = ServerApp()
LOOK = 1.0  # seconds between two looks at who is connected


def wrapped(content: bytes) -> RecordDict:
    """Bytes as Flower wants them."""
    return RecordDict({"letter": ArrayRecord({"bytes": Array(np.frombuffer(content, np.uint8))})})


def unwrapped(message: Message) -> bytes:
    """The bytes that `wrapped` was given."""
    return message.content["letter"]["bytes"].numpy().tobytes()


@client_app.train()
def answer(message: Message, context: Context) -> Message:
    """One letter at a client; node config: data (see `own.rows_of`), state (a folder), schema, name, home."""
    torch.set_num_threads(1)
    config = {name: str(value) for name, value in context.node_config.items()}
    try:
        side = ClientSide(rows_of(config), Folder(config["state"]), names(config.get("home", "")))
        content = side.answer(unwrapped(message))
    except (UserError, OSError) as error:
        content = pack(Letter({"error": str(error)}))
    return Message(content=wrapped(content), reply_to=message)


@server_app.main()
def serve(grid: Grid, context: Context) -> None:
    """A training, from the job in a folder; what becomes of it stands in that folder."""
    job = Job(Path(str(context.run_config["folder"])))
    torch.set_num_threads(1)
    try:
        declared = read(job.text)
        post = recorded(Nodes(grid, job), job.records)
        history = conduct(declared, post, keep=Folder(job.folder), tell=job.tell, least=job.limits["least"])
        job.finish(history)
    except UserError as error:
        job.fail(str(error))
    except Exception:
        job.fail(traceback.format_exc())
        raise


class Nodes:
    """A post to whoever is connected, by the name that each client says of itself.

    A node that comes back may be a new one to Flower: it is asked for its name before it gets a letter.
    """

    def __init__(self, grid: Grid, job: Job):
        self.grid, self.job = grid, job
        self.nodes: dict[str, int] = {}
        self.hello, self.asked = b"", set()

    def __call__(self, letters: dict[str, bytes]) -> dict[str, bytes]:
        first, *_ = letters.values()
        if unpack(first).about["kind"] == "hello":
            self.hello = first
            return self._gather(letters)
        connected = set(self.grid.get_node_ids())
        if any(self.nodes[name] not in connected for name in letters) and connected - self.asked:
            self._meet(connected - self.asked, set(letters), connected, begun=True)
        return self._send(
            {self.nodes[n]: (n, own) for n, own in letters.items() if self.nodes[n] in connected}
        )

    def _gather(self, letters):
        """Answers to the first letter, of all clients or of those that came in time."""
        found, until = {}, time.monotonic() + self.job.limits["wait"]
        while letters.keys() - found.keys() and time.monotonic() < until:
            connected = set(self.grid.get_node_ids())
            if new := connected - self.asked:
                found |= self._meet(new, set(letters), connected)
            time.sleep(LOOK)
        return found

    def _meet(self, new, names, connected, begun=False):
        """Ask nodes for their names: name → answer. Who may not come is an error; once begun it is told."""
        self.asked |= new
        registered = {node.node_id: node.name for node in self.grid.get_nodes()}
        found: dict[str, bytes] = {}
        for node, content in self._send({node: (node, self.hello) for node in sorted(new)}).items():
            said = unpack(content).about
            if not (wrong := self._wrong(said, registered.get(node), connected)):
                name = said["name"]
                self.nodes[name] = node
                if name in names:
                    found[name] = content
            elif begun:
                self.job.tell(f"Not let in: {wrong}")
                self.asked.discard(node)  # it is asked again
            else:
                raise UserError(wrong)
        return found

    def _wrong(self, said, registered, connected):
        """Why a node may not be who it says, or ""; registered: whose key it has."""
        name, known = said.get("name"), ", ".join(self.job.names)
        if "error" in said:
            return f"Client {name!r}: {said['error']}"
        if name not in self.job.names:
            return f"A client {name!r} came, but the training is of {known}. Stop that one."
        if registered not in (None, "", name):
            return f"A node says that it is {name!r}, but its key is that of {registered!r}."
        if self.nodes.get(name) in connected:
            return f"Two nodes say that they are {name!r}. Stop the one that is not."
        return ""

    def _send(self, letters):
        """node → (who, bytes)  →  who → bytes of the answer, of those who answered in time."""
        limit, whom = self.job.limits["timeout"], {node: who for node, (who, _) in letters.items()}
        messages = [
            Message(wrapped(content), dst_node_id=node, message_type="train", ttl=limit)
            for node, (_, content) in letters.items()
        ]
        found = {}
        for reply in self.grid.send_and_receive(messages, timeout=limit):
            if reply.has_error():
                self.job.tell(f"no answer: error {reply.error.code}, {reply.error.reason}")
            else:
                found[whom[reply.metadata.src_node_id]] = unwrapped(reply)
        for who in whom.values():
            if who not in found:
                self.job.tell(f"{who} did not answer")
        return found

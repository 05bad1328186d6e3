"""The same rounds out of one process: a client half and a server half that meet in bytes alone.

wire      letters: plain values and named arrays, as bytes
declared  what is to be trained, as text; what clients must have in common
home      what stays with the owners, so that no letter brings it
client    the client half, its state in files
server    the server half, from letters alone
rounds    training by letters, whoever carries them; what was handed over
flower    glue: Flower carries the letters; flwr is imported there and nowhere else
fleet     the processes of Flower, started and ended
"""

import pfmsm_lite.rivals  # noqa: F401 their rows in the tables
from pfmsm_lite.engine.client import ClientSide, Folder, Memory
from pfmsm_lite.engine.declared import Declaration, declaration
from pfmsm_lite.engine.rounds import Record, audit, conduct, in_process, recorded
from pfmsm_lite.engine.server import ServerSide
from pfmsm_lite.engine.wire import Letter, listed, pack, unpack

__all__ = [
    "ClientSide", "Declaration", "Folder", "Letter", "Memory", "Record", "ServerSide", "audit", "conduct",
    "declaration", "in_process", "listed", "pack", "recorded", "unpack",
]  # fmt: skip

"""Jupyter kernels as the course needs them: this clone's package inside, quiet when they end."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

import nbformat.v4 as v4
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.util import run_sync
from traitlets import Dict, List
from traitlets.config import Config

from pfmsm_lite.course.protection import PROJECT

PATIENCE = 5  # seconds for a kernel to come back after an interrupt
LEAVING = 20  # seconds for a kernel to end by itself; it is terminated after half of them, then killed
LONG = 600  # seconds to wait for what comes sooner or later, on a busy machine later


class Kernel(AsyncKernelManager):
    """A kernel that imports this very package, and that is asked to end, not interrupted.

    Jupyter's own manager interrupts before it asks. An interrupt that meets a kernel while it handles a
    message makes it write "KeyboardInterrupt caught in kernel" to the user's terminal: on a busy machine, it
    happens.
    """

    variables = Dict(help="environment variables of the kernel, beside those of this process").tag(
        config=True
    )
    prefix = List(help="words before the command").tag(config=True)

    def format_kernel_cmd(self, *arguments, **options):
        return [*self.prefix, *super().format_kernel_cmd(*arguments, **options)]

    async def start_kernel(self, **options):
        path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
        options["env"] = {**(options.get("env") or os.environ), "PYTHONPATH": path, **self.variables}
        return await super().start_kernel(**options)

    async def shutdown_kernel(self, now=False, restart=False):
        """Ask the kernel to end, or kill it `now`; comes back when its process is gone."""
        self.shutting_down = True
        self.stop_restarter()
        if now and self.has_kernel:
            await self.provisioner.kill(restart=restart)
        else:
            await self.request_shutdown(restart=restart)
        await self.finish_shutdown(LEAVING, restart=restart)
        await self.cleanup_resources(restart=restart)


def kernel_config(prefix=(), folder=None, **variables):
    """Configuration for nbclient and papermill: the Kernel above, with these environment variables.

    prefix  words before its command
    folder  where its files lie, the sockets and their description; None: where Jupyter puts them

    It talks over files, not ports: no other kernel can take its port, nobody else can listen, and it has no
    warning to print. On Windows, where there are no such sockets, it talks over ports.
    """
    client = {"kernel_manager_class": Kernel, "startup_timeout": LONG}
    patient = {"iopub_timeout": LONG}  # papermill fails where an output comes late; Student goes on
    place = Path(folder or tempfile.gettempdir())
    files = place / f"pfmsm-{uuid4().hex[:12]}"  # or two in one folder share a socket
    talk = {} if sys.platform == "win32" else {"transport": "ipc", "ip": str(files)}
    talk |= {"connection_file": f"{files}.json"} if folder else {}
    return Config(
        NotebookClient=client,
        PapermillNotebookClient=patient,
        KernelManager=talk,
        Kernel={"variables": variables, "prefix": list(prefix)},
    )


class Student(NotebookClient):
    """Runs code of unknown quality, a cell at a time, and keeps no outputs.

    number  of the cell at hand; 0 before the first
    """

    number = 0
    reply = None

    def __init__(self, prefix=(), folder=None, **variables):
        super().__init__(
            v4.new_notebook(cells=[v4.new_code_cell()]), kernel_name="python3", allow_errors=True,
            on_cell_error=self.remember, shutdown_kernel="immediate", store_widget_state=False,
            config=kernel_config(prefix, folder, **variables),
        )  # fmt: skip

    @contextlib.contextmanager
    def kernel(self, folder):
        """A running kernel in this folder; in the end neither it nor what it started is left."""
        mute = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with self.setup_kernel(cwd=str(folder), **mute), whole_group(self.km):
            yield

    def remember(self, cell, cell_index, execute_reply):
        content = execute_reply["content"]
        self.reply = content.get("ename", "an error"), content.get("evalue", "")

    def output(self, *_):
        """Outputs are not kept: a cell that prints for a minute must not fill the memory here."""

    def run(self, source, seconds):
        """(class, text) of the error that ended the code, or None.

        raises  TimeoutError after that many seconds; nbclient's DeadKernelError
        """
        self.timeout, self.reply = max(1, math.ceil(seconds)), None
        self.execute_cell(v4.new_code_cell(source), 0)
        return self.reply

    def interrupt(self):
        """Whether the kernel answers again."""
        for _ in range(3):
            run_sync(self.km.interrupt_kernel)()
            with contextlib.suppress(TimeoutError):
                self.run("None", PATIENCE)
                return True
        return False


@contextlib.contextmanager
def whole_group(manager):
    """Kill a kernel's whole process group in the end: it may have started processes of its own."""
    group = getattr(manager.provisioner, "pgid", None)
    try:
        yield
    finally:
        if group and hasattr(os, "killpg") and group != os.getpgrp():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)

"""A kernel of the course: it imports this package, and ends quietly when it is asked to."""

import os
import signal
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from nbformat.v4 import new_code_cell, new_notebook

import pfmsm_lite
from pfmsm_lite.course.grade import silence
from pfmsm_lite.course.kernel import kernel_config

CODE = """
import atexit, os, pfmsm_lite
from pathlib import Path

atexit.register(Path("ended.txt").write_text, "by itself")
print(os.getpid(), pfmsm_lite.__file__, os.environ["COLOUR"], sep="|")
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """(signals that were sent to the kernel, what its cell printed, its folder)."""
    folder, sent = tmp_path_factory.mktemp("kernel"), []
    send = LocalProvisioner.send_signal

    async def remember(self, signum):
        sent.append(signum)
        await send(self, signum)

    notebook = new_notebook(cells=[new_code_cell(CODE)])
    nbformat.write(notebook, folder / "a.ipynb")
    with pytest.MonkeyPatch.context() as patch, silence():
        patch.setattr(LocalProvisioner, "send_signal", remember)
        done = papermill.execute_notebook(
            str(folder / "a.ipynb"), None, cwd=str(folder), kernel_name="python3", progress_bar=False,
            start_timeout=600, config=kernel_config(COLOUR="blue"),
        )  # fmt: skip
    return sent, done.cells[-1].outputs[0].text.strip().split("|"), folder


def test_a_kernel_is_asked_to_end_and_never_interrupted(executed):
    """An interrupt makes it write "KeyboardInterrupt caught in kernel" on the user's terminal at times."""
    sent, (pid, *_), folder = executed
    assert signal.SIGINT not in sent
    assert (folder / "ended.txt").read_text() == "by itself"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_kernel_imports_this_package_and_gets_its_variables(executed):
    _, (_, file, colour), _ = executed
    assert Path(file) == Path(pfmsm_lite.__file__) and colour == "blue" and "COLOUR" not in os.environ


@pytest.mark.skipif(sys.platform == "win32", reason="kernels talk over ports on Windows")
def test_kernels_side_by_side_do_not_meet_in_one_socket():
    """Jupyter's own default is one name in the working folder, which two commands there would share."""
    names = [Path(kernel_config().KernelManager.ip) for _ in range(2)]
    assert names[0] != names[1] and all(name.is_absolute() and len(str(name)) < 90 for name in names)

"""One handler around all commands: a paragraph and an exit code for whatever goes wrong."""

import errno
import os
import signal
import subprocess
import sys

import pytest
from running import own, wait_until

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import cli, sources
from pfmsm_lite.lab.cli import main


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("This is wrong."), 2, "This is wrong."),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (OSError(errno.ENOSPC, "No space left", "x.csv"), 2, "x.csv: No space left. Make room"),
        (OSError(errno.EROFS, "Read-only file system"), 2, "Read-only file system. --debug says where"),
        (MemoryError(), 2, "There is not enough memory"),
        (OverflowError("too large"), 2, "A number that was given is too large"),
        (KeyError("x"), 2, "KeyError: 'x'. It is a fault of the program: --debug says where."),
        (BrokenPipeError(), 141, ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["run", "compare", "map", "bench", "report", "grade", "notebooks"])
def test_whatever_goes_wrong_in_any_command_is_one_paragraph(command, error, code, said, monkeypatch, capsys):
    whole = cli.parser

    def broken(options):
        raise error

    def parser():
        top = whole()
        top.commands[command].do = broken
        return top

    monkeypatch.setattr(cli, "parser", parser)
    monkeypatch.setattr(cli.os, "dup2", lambda *files: None)
    words = [command, *(["x.ipynb"] if command == "grade" else [])]
    assert main(words) == code
    found = " ".join(capsys.readouterr().err.split())
    assert said in found and bool(found) == bool(said) and "Traceback" not in found
    if code == 2:
        with pytest.raises(type(error)):
            main([*words, "--debug"])


def test_a_disk_that_is_full_while_config_is_written_leaves_nothing(csv, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pfmsm_lite.lab.directory.replace_text", full)
    assert main(own(csv, "--out", tmp_path / "out", "--methods", "local")) == 2
    assert "No space left" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(csv, tmp_path, capsys):
    (tmp_path / "mine").mkdir(mode=0o500)
    assert main(own(csv, "--out", tmp_path / "mine" / "out")) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_ctrl_c_while_a_table_is_read_is_one_word_and_leaves_nothing(tmp_path):
    """Read in a process of its own that waits where the table would be read."""
    code = (
        "import signal, sys, time\n"
        "from pfmsm_lite.lab import sources\n"
        "from pfmsm_lite.lab.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background may ignore it
        "sources.read = lambda arguments: (print('reading', flush=True), time.sleep(600))\n"
        "sys.exit(main(['run', '--out', 'out']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout.readline().strip() == b"reading"
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130 and error.decode().strip() == "Interrupted."
    assert not list(tmp_path.iterdir()) and sources.read is not None


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    command = [sys.executable, "-m", "pfmsm_lite", "run", "--help"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    wait_until(lambda: process.poll() is not None)
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()

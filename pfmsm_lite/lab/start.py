"""The command line's first step: Ctrl-C while the packages are read ends the process without a traceback."""

import signal


def main() -> int:
    """`cli.main`, read with the system's own answer to Ctrl-C; its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pfmsm_lite.lab.cli import main as command

    signal.signal(signal.SIGINT, signal.default_int_handler)
    return command()

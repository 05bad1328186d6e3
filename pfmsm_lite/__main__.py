"""python -m pfmsm_lite: the command line of lab/."""

import signal
import sys

if __name__ == "__main__":
    # until the command's own handler is there, Ctrl-C ends the process without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pfmsm_lite.lab.cli import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())

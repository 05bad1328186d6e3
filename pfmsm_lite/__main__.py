"""python -m pfmsm_lite: the command line of lab/."""

import sys

from pfmsm_lite.lab.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""python -m pfmsm_lite: the command line of lab/."""

from pfmsm_lite.lab.start import main

if __name__ == "__main__":
    raise SystemExit(main())

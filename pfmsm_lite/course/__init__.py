"""The notebooks' helpers: `from pfmsm_lite.course import begin, check, claim, explore, given, show`."""

from pfmsm_lite.course.notebook import (
    begin,
    check,
    claim,
    explore,
    given,
    home,
    measured,
    problems,
    show,
)

__all__ = ["begin", "check", "claim", "explore", "given", "home", "measured", "problems", "show"]

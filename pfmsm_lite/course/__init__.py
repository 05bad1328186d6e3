"""The notebooks' helpers: `from pfmsm_lite.course import begin, check, claim, explore, show`."""

from pfmsm_lite.course.notebook import (
    begin,
    check,
    claim,
    explore,
    home,
    measured,
    problems,
    show,
)

__all__ = ["begin", "check", "claim", "explore", "home", "measured", "problems", "show"]

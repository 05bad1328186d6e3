"""temporary"""

from pfmsm_lite.data.scenario import Rows, Scenario


def digest(s):
    return "x"

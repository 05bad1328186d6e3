"""A comparison from Python, in this process: names, Methods of one's own, what is refused."""

from dataclasses import replace

import pytest

from pfmsm_lite import METHODS
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.runs import compare

DATA = {"knob": [("sizes", [90, 80, 70]), ("test_rows", 60)], "rounds": 1}


def test_methods_may_be_names_or_methods_of_ones_own():
    mine = replace(METHODS["pf_msmtrec"], name="mine", coordinate="pcgrad")
    told = []
    found = compare("synthetic", ["local", mine, "pf_msmtrec"], seeds=[1, 0], tell=told.append, **DATA)
    assert found.methods == ["local", "mine", "pf_msmtrec"] and found.seeds == [0, 1]
    assert told[:2] == ["run 1 of 6: local, seed 1, 1 rounds", "run 2 of 6: mine, seed 1, 1 rounds"]
    assert set(found.histories) == {(m, s) for m in found.methods for s in (0, 1)}


def test_what_cannot_be_compared_is_refused():
    for methods, seeds in (([], [0]), (["local"], [])):
        with pytest.raises(UserError, match="nothing to compare"):
            compare("synthetic", methods, seeds, **DATA)
    with pytest.raises(UserError, match="comparison twice.*a name of its own"):
        compare("synthetic", ["local", replace(METHODS["local"], summary="mine")], [0], **DATA)
    with pytest.raises(UserError, match="Unknown option 'round'"):
        compare("synthetic", ["local"], [0], round=1)

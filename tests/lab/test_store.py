"""Rows kept in files that all processes share: the same rows come back, and nothing else is in memory."""

import shutil

import numpy as np
import pytest
import torch
from small import scenarios

from pfmsm_lite.data import digest, from_dataframe, synthetic
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import store
from pfmsm_lite.scenario import SPLITS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def tables():
    import pandas as pd

    draw = np.random.default_rng(0)
    df = pd.DataFrame(
        {"shop": draw.choice(["a", "b"], 90), "tags": ["x|y", "y", "z|x"] * 30, "click": [0, 1] * 45}
    )
    return from_dataframe(df, "shop", "click", multi="tags")  # bags, and no number


@pytest.mark.parametrize("made", [lambda: synthetic(sizes=(40, 60), test_rows=20)[0], scenarios, tables])
def test_what_is_kept_comes_back(tmp_path, made):
    before = made()
    store.save(before, tmp_path / "rows")
    after = store.load(tmp_path / "rows")
    assert digest(after) == digest(before) and [s.bags for s in after] == [s.bags for s in before]
    for one, two in zip(before, after, strict=True):
        for split in SPLITS:
            own, other = one.rows(split).source, two.rows(split).source
            assert (own is None) == (other is None) and (own is None or torch.equal(own, other))
    after[0].train.labels[0] = 7.0  # a change stays in memory
    assert digest(store.load(tmp_path / "rows")) == digest(before)
    store.drop(tmp_path / "rows")
    assert not (tmp_path / "rows").exists()


def test_rows_that_do_not_fit_are_refused_before_a_byte_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 10))
    with pytest.raises(UserError, match="could not be kept.*MiB are free"):
        store.save(scenarios(), tmp_path / "rows")
    assert not (tmp_path / "rows").exists()

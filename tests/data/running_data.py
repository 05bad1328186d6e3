"""What tests of readers share: rows as pandas reads them, and whether two readings are one."""

import numpy as np
import pandas as pd
import torch

SPLITS = ("train", "valid", "test")


def published_rows(folder, countries, numbers):
    """All rows of AliExpress by pandas, in the order in which they are numbered."""
    frames = [
        pd.read_csv(
            folder / f"AliExpress_{c}" / f"{split}.csv", dtype=dict.fromkeys(numbers, np.float32)
        ).assign(country=c, split=split)
        for c in countries
        for split in ("train", "test")
    ]
    return pd.concat(frames, ignore_index=True)


class _Same:
    """same(found, wanted): two lists of scenarios hold the same; same.parts: the splits of rows."""

    def __call__(self, found, wanted):
        assert [s.name for s in found] == [s.name for s in wanted]
        for one, other in zip(found, wanted, strict=True):
            for what in ("tasks", "fields", "numericals", "bags"):
                assert getattr(one, what) == getattr(other, what), what
            for split in SPLITS:
                own, right = one.rows(split), other.rows(split)
                for part in ("categorical", "labels", "source"):
                    assert torch.equal(
                        getattr(own, part).nan_to_num(-1), getattr(right, part).nan_to_num(-1)
                    ), part
                torch.testing.assert_close(own.numerical, right.numerical, rtol=1e-6, atol=1e-6)
        for what in ("typing", "left_out", "unscored"):
            assert found[0].notes[what] == wanted[0].notes[what], what
        mine, theirs = (one[0].notes["encoder"] for one in (found, wanted))
        for what in set(mine) - {"mean", "deviation"}:
            assert mine[what] == theirs[what], what
        for what in ("mean", "deviation"):
            np.testing.assert_allclose(mine[what], theirs[what], rtol=1e-6, atol=1e-9)

    def parts(self, scenarios, rows):
        """[R] 0, 1, 2: the split of each row, by its number."""
        part = np.full(rows, -1)
        for s in scenarios:
            for k, split in enumerate(SPLITS):
                part[s.rows(split).source.numpy()] = k
        return part


same = _Same()

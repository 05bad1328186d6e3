"""The section of the results page and the figure, from small tables."""

import itertools
import math

import pandas as pd

from pfmsm_lite.course.drawings.privacy import draw_price
from pfmsm_lite.lab.pages_privacy import privacy


def prices():
    cells = itertools.product(("open", "10", "1"), (0, 1))
    return pd.DataFrame(
        {
            "data": "synthetic", "method": "pf_msmtrec", "epsilon": level, "seed": seed, "noise": 1.0,
            "auc_used": 0.7 + seed / 10, "auc_sent": 0.6, "auc_last": 0.7,
            "cosine_within": 0.5 if level == "open" else 0.02,
            "cosine_across": 0.1, "weight_within": 0.2, "weight_across": 0.05, "seconds": 1.0,
        }
        for level, seed in cells
    )  # fmt: skip


def test_the_section_says_what_was_measured_and_nothing_where_nothing_was(tmp_path):
    assert privacy(tmp_path) == ""
    folder = tmp_path / "privacy"
    folder.mkdir()
    prices().to_csv(folder / "epsilon.csv", index=False)
    text = privacy(tmp_path)
    assert "| `pf_msmtrec` | in the open | 2 | 1.00 | 0.7500 | 0.6000 | 0.50 |" in text
    assert "| `pf_msmtrec` | ε = 1 | 2 |" in text and "Was this row trained on" not in text
    real = prices().assign(data="kuairand", cosine_across=math.nan, weight_across=math.nan)
    pd.concat([prices(), real]).to_csv(folder / "epsilon.csv", index=False)
    text = privacy(tmp_path)
    assert "against ε: KuaiRand" in text and "| 0.50 | – | 0.200 | – |" in text and "nan" not in text
    usual = {
        "seed": [0, 1],
        "auc": [0.7, 0.8],
        "auc_last": [0.69, 0.79],
        "first": 1e3,
        "up": 2e3,
        "down": 3e3,
    }
    lines = [
        pd.DataFrame(usual).assign(switch="as declared"),
        pd.DataFrame(usual).assign(switch="x", auc=[0.6, 0.7]),
    ]
    pd.concat(lines).to_csv(folder / "switches.csv", index=False)
    text = privacy(tmp_path)
    assert "| x | 2 | 0.6500 | **−10.00 [−10.00, −10.00]** | 1 | 2 | 3 |" in text
    assert "the last round has to do: **−1.00" in text


def test_the_figure_states_what_the_table_holds():
    figure = draw_price(prices())
    assert "0.50 in the open, 0.02 at ε = 1" in figure.finding and len(figure.axes) == 3

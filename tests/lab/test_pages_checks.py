"""The checks on the results page: every number as the tables have it; the committed tables hold together."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from pfmsm_lite.lab.checks_gradient import MEASURES
from pfmsm_lite.lab.checks_share import LEVELS, variants
from pfmsm_lite.lab.checks_transfer import ROUNDS
from pfmsm_lite.lab.pages_checks import checks, duration, estimate, size

KEPT = Path(__file__).parents[2] / "notebooks" / "results"


@pytest.fixture
def folder(tmp_path):
    """Results with checks of one world, numbers made up."""
    own = tmp_path / "checks"
    own.mkdir()
    told = {"command": "python -m pfmsm_lite checks", "date": "2026-01-02", "machine": "M", "seeds": 3,
            "versions": {"pfmsm_lite": "1", "python": "3", "torch": "2"}}  # fmt: skip
    (own / "config.json").write_text(json.dumps(told))
    line = {"world": "w", "optimizer": "Adam", "epochs": 5}
    for place, name in enumerate(MEASURES):
        line |= {name: place / 20, f"{name}_low": place / 20 - 2, f"{name}_high": place / 20 + 0.1}
    pd.DataFrame([line | {"seen": math.nan}]).to_csv(own / "gradient.csv", index=False)
    rows = [
        (
            "w",
            level,
            rule,
            0.7,
            gain,
            gain - 1,
            gain + 1,
            0.1,
            -0.5 if rule != "mean" else -3,
            0.5,
            "s1",
            -gain,
        )
        for level, rule in variants()
        for gain in (float(LEVELS.index(level)),)
    ]
    names = ["world", "level", "rule", "auc", "gain", "low", "high", "step", "step_low", "step_high",
             "worst_client", "worst"]  # fmt: skip
    share = pd.DataFrame(rows, columns=names)
    share.loc[(share["level"] == LEVELS[4]) & (share["rule"] == "mean"), "step_high"] = -0.1
    share.to_csv(own / "share.csv", index=False)
    cells = [
        ("w", "experts", 10, split, predictor, mean, mean - 0.1, mean + 0.05, 0.0123, -9.5, math.nan, -20.25)
        for split, mean in (("test", 0.8), ("valid", 0.9))
        for predictor in ("weight", "cosine")
    ]
    names = ["world", "part", "round", "split", "predictor", "agreement", "low", "high", "p", "gain", "kin",
             "strangers"]  # fmt: skip
    pd.DataFrame(cells, columns=names).to_csv(own / "transfer.csv", index=False)
    return tmp_path


def test_the_tables_are_shown_as_they_are(folder):
    page = checks(folder)
    assert (
        "| w | Adam | 5 | 0.00 [−1.00, 0.10] | 0.10 [−1.00, 0.20] | 0.15 | 0.20 |  | 0.30 | 0.450 |" in page
    )
    assert "| w | embedding | **+1.00" not in page and "| w | embedding | +1.00 [+0.00, +2.00] |" in page
    gain = "**+3.00 [+2.00, +4.00]**"
    assert f"| and towers | {gain} |  |  | {gain} | −3.0 / −3.0 |" in page
    assert "−2.0 / −2.0 / −2.0 / −2.0 |" in page
    assert "(its interval excludes zero):\n\n- w: at *and gates*." in page
    assert "| w | 10 |  | −20.25 | −9.50 | 0.80 [0.70, 0.85] | 0.90 [0.80, 0.95] | 0.012 |" in page
    assert "Made by `python -m pfmsm_lite checks` on 2026-01-02; M;" in page


def test_without_a_run_there_is_no_section(tmp_path):
    assert checks(tmp_path) == ""


def test_bytes_and_seconds_for_a_person():
    assert [size(n) for n in (144, 99_500, 3.2e9, 6.8e13)] == ["144 B", "99.5 kB", "3.2 GB", "68 TB"]
    assert [duration(t) for t in (0.001, 0.5, 90, 600, 7200)] == [
        "< 0.01 s",
        "0.5 s",
        "90 s",
        "10 min",
        "2 h",
    ]


def test_the_estimate_says_what_its_table_says():
    text = "\n".join(estimate())
    assert "10,000 scenarios, 10⁸ entries" in text and "3 % of the pairs" in text and "2.97 %" in text


# ---- what is committed ----


@pytest.fixture(scope="module")
def kept():
    return {name: pd.read_csv(KEPT / "checks" / f"{name}.csv") for name in ("gradient", "share", "transfer")}


def test_every_world_has_all_its_cells(kept):
    assert (kept["gradient"].groupby("world").size() == 9).all()
    assert (kept["share"].groupby("world").size() == len(variants())).all()
    assert (kept["transfer"].groupby("world").size() == 12 * ROUNDS).all()  # 3 parts, 2 splits, 2 predictors
    for table in kept.values():
        assert (table["seeds"] == 3).all()


def test_means_of_the_kept_seeds_are_those_of_the_table(kept):
    seeds = pd.read_csv(KEPT / "checks" / "share_seeds.csv")
    mean = seeds[seeds["split"] == "test"].groupby(["world", "level", "rule"])["auc"].mean()
    own = kept["share"].set_index(["world", "level", "rule"])
    start = own["auc"].xs(("nothing", "mean"), level=("level", "rule"))
    assert own["auc"].sub(mean).abs().max() < 1e-4
    gain = 100 * (own["auc"] - start.reindex(own.index.get_level_values("world")).to_numpy())
    assert (gain - own["gain"]).abs().max() < 1e-2

"""The drawings of chapter 20: what they mark and say."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from pfmsm_lite.course.drawings.chapter20 import draw_curves, draw_dots, draw_known, draw_many, draw_poor


def title(figure):
    return " ".join(figure.get_suptitle().split())


def line(gain, spread=1.0, **named):
    return {**named, "gain": gain, "low": gain - spread, "high": gain + spread}


def test_many_has_a_line_per_method_and_no_bar_for_one_seed():
    table = pd.DataFrame(
        [line(2.0, method="mine", clients=10), line(5.0, np.nan, method="mine", clients=200),
         line(-1.0, method="other", clients=10), line(5.1, method="other", clients=200)]
    )  # fmt: skip
    costs = pd.DataFrame(
        [{"method": m, "clients": c, "cpu_seconds": c / 20} for m in ("mine", "other") for c in (10, 200)]
    )
    figure = draw_many(table, costs, "More is more", ["mine", "other"])
    left, right = figure.axes
    assert title(figure) == "More is more" and "mine 10: +2.0, 200: +5.0" in figure.alt
    assert [label.get_text() for label in left.get_xticklabels()] == ["10", "200"]
    assert [own.get_ydata().tolist() for own in right.lines] == [[0.5, 10.0]] * 2
    bars = left.collections[0].get_segments()  # of `mine`
    assert np.ptp(bars[0][:, 1]) == pytest.approx(2) and np.ptp(bars[1][:, 1]) == 0
    heights = [text.get_position()[1] for text in left.texts]
    assert heights[1] - heights[0] >= np.ptp(left.get_ylim()) / 15  # both names can be read


def test_curves_are_means_over_seeds_in_panels_by_share():
    curves = pd.DataFrame(
        [{"level": level, "method": "mine", "seed": seed, "round": r, "valid_auc": 0.6 + seed / 10 + r / 100}
         for level, rounds in (("all", 2), ("a tenth", 20)) for seed in (0, 1) for r in range(1, rounds + 1)]
    )  # fmt: skip
    figure = draw_curves(curves, 50, "It takes longer")
    assert [ax.get_title("left") for ax in figure.axes] == ["all of 50 per round", "a tenth of 50 per round"]
    assert figure.axes[0].lines[0].get_ydata().tolist() == pytest.approx([66, 67])
    assert len(figure.axes[1].lines[0].get_xdata()) == 20 and "a tenth, mine: 85.0" in figure.alt


def test_the_map_is_ordered_by_size_and_bold_where_it_is_clear():
    table = pd.DataFrame(
        [line(gain, method=method, level=level, part=part)
         for method, gain in (("mine", 1.5), ("other", -9.0))
         for level in ("alike", "opposed") for part in ("1000 rows", "30 rows")]
    )  # fmt: skip
    table.loc[0, ["gain", "low", "high"]] = 0.5, -0.5, 1.5  # mine, alike, 1000 rows: not clear
    figure = draw_poor(table, "mine", "Who is harmed")
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["30", "1000"]
    assert [text.get_text() for text in ax.texts] == ["+1.5", "+0.5", "+1.5", "+1.5"]
    assert [text.get_weight() for text in ax.texts] == ["bold", "normal", "bold", "bold"]
    assert "alike: 30 rows +1.5, 1000 rows +0.5" in figure.alt


def test_dots_are_hollow_where_the_interval_includes_zero():
    lines = pd.DataFrame([line(2.0), line(0.5)], index=["clear", "unclear"])
    figure = draw_dots({"left": lines, "right": -lines.assign(low=lines.high, high=lines.low)}, "t", "x", "n")
    for ax in figure.axes:
        dots = [own for own in ax.lines if own.get_marker() == "o"]
        assert [own.get_markerfacecolor() == "white" for own in dots] == [False, True]
    assert "left, clear: +2.0" in figure.alt and "right, unclear: −0.5" in figure.alt
    red = draw_dots({"one": lines}, "t", "x", "n", {"clear": "#ff0000"})
    assert to_hex(red.axes[0].lines[1].get_color()) == "#ff0000"


def test_known_pairs_are_counted_once_and_without_the_diagonal():
    known = np.eye(4, dtype=bool)
    known[0, 1] = known[1, 0] = True
    figure = draw_known(known, "a third")
    assert title(figure) == "a third: 17 % of the pairs are known"
    shown = figure.axes[0].images[0].get_array()
    assert np.isnan(np.ma.filled(shown.astype(float), np.nan)[2, 2]) and shown[0, 1] == 1

"""The drawings of the checks: they draw what the tables say, and say it in their titles."""

import numpy as np
import pandas as pd
import pytest

from pfmsm_lite.course.drawings.checks import draw_gradient, draw_share, draw_transfer, square
from pfmsm_lite.lab.checks_gradient import MEASURES
from pfmsm_lite.lab.checks_share import LEVELS, variants


def gradient_table(worlds):
    lines = []
    for world in worlds:
        for optimizer in ("SGD", "Adam"):
            for epochs, value in ((1, 0.9), (5, 0.5), (20, 0.2)):
                line = {"world": world, "optimizer": optimizer, "epochs": epochs, "seeds": 3}
                for name in MEASURES:
                    line |= {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}
                lines.append(line | {"rank": 0.8})
    return pd.DataFrame(lines)


@pytest.mark.parametrize("worlds", [["w"], ["two groups, 1000 rows", "b", "c"]])
def test_the_gradient_figure_has_a_panel_for_each_world_and_four_lines_in_it(worlds):
    figure = draw_gradient(gradient_table(worlds), worlds)
    assert len(figure.axes) == len(worlds)
    for ax in figure.axes:
        drawn = sorted(line.get_ydata()[-1] for line in ax.get_lines() if len(line.get_xdata()) == 3)
        assert drawn == pytest.approx([0.2, 0.2, 0.8, 0.8])
    assert "(0.20)" in figure.finding and "(0.80)" in figure.finding


def test_the_share_figure_draws_both_rows_of_each_rule():
    lines = [
        ("w", level, rule, float(LEVELS.index(level)), -float(LEVELS.index(level)), 2)
        for level, rule in variants()
    ]
    table = pd.DataFrame(lines, columns=["world", "level", "rule", "gain", "worst", "seeds"])
    table.loc[(table["level"] == LEVELS[-1]) & (table["rule"] == "mean"), "gain"] = 1.5
    figure = draw_share(table, ["w"])
    above, below = figure.axes
    curves = [line for line in above.get_lines() if len(line.get_xdata()) == 6]
    assert [line.get_ydata()[-1] for line in curves] == [1.5, 5]  # the mean, and kin with base rates at home
    points = [line for line in above.get_lines() if list(line.get_xdata()) == [2, 5]]
    assert len(points) == 2 and all(line.get_linestyle() == "None" for line in points)
    assert min(min(line.get_ydata()) for line in below.get_lines()) == -5
    assert "2.5 to 2.5 points" in figure.finding


def test_the_transfer_figure_orders_clients_by_group_and_marks_what_is_clear():
    pairs = pd.DataFrame(
        [
            ("w", a, b, 0.6 if same else 0.4, 0.6, 0.4 if same else 0.05)
            for a in ("s0", "s1", "s2", "s3")
            for b in ("s0", "s1", "s2", "s3")
            if a != b
            for same in (int(a[1]) % 2 == int(b[1]) % 2,)
        ],
        columns=["world", "client", "source", "auc", "own", "weight"],
    )
    table = pd.DataFrame(
        [
            (world, "experts", number, "test", "weight", mean, mean - 0.3, mean + 0.1, 0.0, -20.0)
            for world, mean in (("w", 0.8), ("v", 0.1))
            for number in (1, 10)
        ],
        columns=[
            "world",
            "part",
            "round",
            "split",
            "predictor",
            "agreement",
            "low",
            "high",
            "kin",
            "strangers",
        ],
    )
    groups = {"s0": 0, "s1": 1, "s2": 0, "s3": 1}
    figure = draw_transfer(pairs, table, "w", groups)
    left, _, right = figure.axes[:3]
    assert [label.get_text() for label in left.get_yticklabels()] == ["s0", "s2", "s1", "s3"]
    assert "−20.0" in figure.finding and len(right.texts) == 2
    dots = [line for line in right.get_lines() if line.get_marker() == "o"]
    found = {(dot.get_xdata()[0], dot.get_ydata()[0]): dot.get_markerfacecolor() for dot in dots}
    assert found.pop((1, 0.8)) == found.pop((10, 0.8)) != "white"  # rounds 1 and 10 of "w", clear
    assert found == {(1, 0.1): "white", (10, 0.1): "white"}
    assert [text.get_text() for text in right.texts] == ["v", "w"]
    matrix = square(pairs, "weight", ["s0", "s2", "s1", "s3"])
    assert matrix[0, 1] == 0.4 and matrix[0, 2] == 0.05 and np.isnan(np.diag(matrix)).all()

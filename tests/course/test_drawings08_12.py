"""The drawings of chapters 08, 11 and 12: what they count, mark and say."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pfmsm_lite.course.drawings.chapter08 import WORSE, failures, harmed, intervals
from pfmsm_lite.course.drawings.chapter11 import (
    GROUPS,
    HARMED,
    equal_steps,
    in_full,
    places,
    rivals,
    searching,
    two_lucks,
)
from pfmsm_lite.course.drawings.chapter12 import again, along
from pfmsm_lite.errors import UserError


def lines(aucs, factor="a knob", level="1"):
    return pd.DataFrame(
        [(factor, level, method, seed, auc) for method, own in aucs.items() for seed, auc in enumerate(own)],
        columns=["factor", "level", "method", "seed", "auc"],
    )


def test_a_line_of_the_map_shows_every_seed_its_mean_and_its_interval():
    usual = {"pf_msmtrec": [0.80, 0.82, 0.84], "no_template": [0.79, 0.80, 0.84]}  # gains 1, 2, 0
    other = {"pf_msmtrec": [0.70, 0.71, 0.72], "no_template": [0.71, 0.72, 0.732]}  # costs 1, 1, 1.2
    runs = pd.concat(
        [lines(usual, "sizes", "1 : 4"), lines(other, "sizes", "1 : 30"), lines(usual, "noise", 0)]
    )
    figure = along(runs, "template")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["sizes", "noise"]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["1:4", "1:30"]
    zero, *drawn = figure.axes[0].lines
    assert drawn[0].get_ydata().tolist() == pytest.approx([1, 2, 0])
    assert drawn[1].get_ydata() == pytest.approx(stats.t.interval(0.95, 2, 1.0, stats.sem([1.0, 2.0, 0.0])))
    assert drawn[2].get_ydata() == pytest.approx([1.0]) and drawn[5].get_ydata() == pytest.approx([-3.2 / 3])
    assert drawn[2].get_markerfacecolor() == "white" != drawn[5].get_markerfacecolor()
    title = " ".join(figure.get_suptitle().split())
    assert title == "template: best +1.00 (sizes 1 : 4), clear on 1 of 2 kinds of data"
    assert "sizes 1 : 30 -1.07" in figure.alt
    alone = along(runs[runs["seed"] < 1], "template")
    assert "sizes 1 : 4 +1.00" in alone.alt and "there is no interval" in alone.get_supxlabel()
    failed = runs[(runs["level"] != "1 : 4") | (runs["method"] == "pf_msmtrec")]
    assert "best +1.00 (noise 0)" in " ".join(along(failed, "template").get_suptitle().split())
    with pytest.raises(UserError, match="no no_coordination"):
        along(runs, "coordination")
    with pytest.raises(UserError, match="no seed has both"):
        along(runs[(runs["seed"] == 0) == (runs["method"] == "pf_msmtrec")], "template")
    with pytest.raises(UserError, match="Did you mean 'template'"):
        along(runs, "templates")


def test_what_a_search_found_stands_beside_what_new_seeds_say_of_the_same_cells():
    def gains(values, seeds):
        columns = ["level", "module", "gain", "low", "high", "seeds"]
        return pd.DataFrame(
            [(*cell, g, low, high, seeds) for cell, (g, low, high) in values.items()], columns=columns
        )

    found = {("one", "template"): (0.5, 0.3, 0.7), ("one", "coordination"): (-0.3, -0.5, -0.1)}
    found |= {("two", "template"): (0.2, 0.1, 0.3), ("two", "coordination"): (0.1, 0, 0.2)}
    new = {("one", "template"): (0.4, 0.3, 0.5), ("one", "coordination"): (0.2, 0.1, 0.3)}
    new |= {("two", "template"): (0.1, -0.1, 0.3), ("two", "coordination"): (0.3, 0.2, 0.4)}
    tested = gains({**new, ("one", "anything sent"): (9, 8, 10), ("three", "template"): (1, 0, 2)}, 10)
    figure = again(gains(found, 5), tested)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["one", "two"]  # nothing that was not searched
    title = " ".join(figure.get_suptitle().split())
    assert title.startswith(
        "On new seeds 2 of 4 gains and costs are clear"
    )  # a turned sign is no confirmation
    _, grey, _, line, dot = figure.axes[1].lines[:5]
    assert grey.get_xdata() == [0.2] and list(line.get_xdata()) == [-0.1, 0.3]
    assert dot.get_xdata() == [0.1] and dot.get_markerfacecolor() == "white"
    assert "one, coordination: -0.30 found, +0.20 on new seeds" in figure.alt
    assert "10 new seeds" in figure.get_supxlabel()
    less = again(gains(found, 5), tested.query("level != 'two' or module != 'template'"))
    rows = [tick.get_text() for tick in less.axes[0].get_yticklabels()]
    assert rows == ["template", "coordination"] and less.axes[1].lines[1].get_ydata() == [1 - 0.16]
    with pytest.raises(UserError, match="no level and module in common"):
        again(gains(found, 5), tested.query("level == 'three'"))


def test_the_picture_of_several_comparisons_shows_the_mean_and_the_worst_client():
    nan = float("nan")
    names = ["method", "auc", "difference", "low", "high", "best_set", "worst"]
    one = [
        ("logistic", 0.70, 0.5, 0.1, 0.9, 0, -0.4), ("pf_msmtrec", 0.81, 4.0, 3.5, 4.5, 1, 1.2),
        ("pooled", 0.80, 3.9, 3.0, 4.8, 1, -2.0), ("fedavg", 0.60, -9.0, -9.5, -8.5, 0, -30.0),
        ("local", 0.69, nan, nan, nan, 0, nan), ("constant", 0.5, nan, nan, nan, nan, nan),
    ]  # fmt: skip
    tables = {"one": pd.DataFrame(one, columns=names)}
    tables["two"] = tables["one"].query("method != 'fedavg'").replace({"best_set": {0: 1}})
    figure = rivals(tables, "A title", placed=True)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    pooled, home = GROUPS  # no line of what is 0, or no method
    assert labels == [pooled, "pooled", home, "pf_msmtrec", "logistic", "fedavg"]
    said = [[text.get_text() for text in ax.texts] for ax in figure.axes]
    assert said == [["place of 3", "1", "2", "3"], ["not run", "place of 2", "1", "2"]]
    dots = {
        labels[int(c.get_ydata()[0])]: c
        for c in figure.axes[0].lines
        if c.get_marker() == "o" and len(c.get_xdata())
    }
    filled = {name for name, dot in dots.items() if dot.get_markerfacecolor() != "white"}
    assert filled == {"fedavg", "logistic", "pooled", "pf_msmtrec"}
    low, high = figure.axes[0].get_xlim()
    assert dots["fedavg"].get_xdata()[0] == -9 and low < -30 and high > 4.8  # nothing beyond the axis
    worst = {labels[int(c.get_ydata()[0])]: c for c in figure.axes[0].lines if c.get_marker() == "v"}
    red = {name for name, mark in worst.items() if mark.get_color() == HARMED}
    assert red == {"pooled", "fedavg"} and worst["pf_msmtrec"].get_xdata()[0] == 1.2
    assert "two: pooled +3.9, worst -2.0, pf_msmtrec +4.0, worst +1.2" in figure.alt
    hazy = {"one": tables["one"].assign(low=-9.0)}
    few = rivals(hazy, "A title", ["logistic", "pf_msmtrec"])
    assert [label.get_text() for label in few.axes[0].get_yticklabels()] == [home, "pf_msmtrec", "logistic"]
    dots = [c for c in few.axes[0].lines if c.get_marker() == "o" and len(c.get_xdata())]
    assert not few.axes[0].texts and {dot.get_markerfacecolor() for dot in dots} == {"white"}
    assert places(tables["one"]).to_dict() == {"logistic": 2, "pf_msmtrec": 1, "fedavg": 3}
    whole = in_full(tables)
    assert list(whole.index) == ["pooled", "pf_msmtrec", "logistic", "fedavg"]
    assert whole.loc["pf_msmtrec", "one"] == "+4.0 / +1.2*" and whole.loc["fedavg", "two"] == "–"


def test_an_interval_has_its_seeds_its_ends_in_words_and_an_axis_that_stays():
    figure = intervals({"starts": [1.0, 2.0, 3.0], "tables": [-4.0, 2.0, 8.0]}, "A title", (-20, 20))
    ax = figure.axes[0]
    low, high = stats.t.interval(0.95, 2, 2.0, stats.sem([1.0, 2.0, 3.0]))
    zero, seeds, line, dot, *_ = ax.lines
    assert list(seeds.get_xdata()) == [1, 2, 3] and list(line.get_xdata()) == pytest.approx([low, high])
    assert ax.texts[0].get_text() == "+2.0 [−0.5, +4.5]" and dot.get_markerfacecolor() == "white"
    assert ax.get_xlim() == (-20, 20) and "tables +2.0 [−12.9, +16.9]" in figure.alt
    clear = intervals({"starts": [2.0, 2.1, 1.9]}, "A title", (-20, 20)).axes[0].lines[3]
    assert clear.get_markerfacecolor() != "white"


def test_curves_of_a_failure_show_every_seed_and_their_mean():
    curve = np.array([[0.5, 0.6, 0.7], [0.5, 0.7, 0.8]])
    figure = failures({"one": {"local": curve, "rate 0.1": curve - 0.2}, "two": {"local": curve}}, "A title")
    one, two = figure.axes
    bold = [line for line in one.lines if line.get_linewidth() == 3]
    assert [list(line.get_ydata()) for line in bold] == [
        pytest.approx([0.5, 0.65, 0.75]),
        pytest.approx([0.3, 0.45, 0.55]),
    ]
    assert sum(line.get_linewidth() == 0.8 and len(line.get_xdata()) == 3 for line in one.lines) == 4
    assert "one: rate 0.1 ends at 0.550" in figure.alt and two.get_title(loc="left") == "two"


def test_the_odd_client_stands_beside_the_mean_of_the_others_seed_by_seed():
    index = pd.MultiIndex.from_product([["fedavg", "pf_msmtrec"], [0, 1]], names=["method", "seed"])
    points = pd.DataFrame({"a": [1, 2, 3, 4], "b": [3, 4, 5, 6], "odd": [-9, -8, 1, 0]}, index=index)
    figure = harmed(points, "odd", "A title")
    marks = [line for line in figure.axes[0].lines if line.get_marker() in "ov"]
    found = [(mark.get_marker(), list(mark.get_xdata()), mark.get_ydata()[0]) for mark in marks]
    assert found == [("o", [2, 3], 0), ("v", [-9, -8], 0), ("o", [4, 5], 1), ("v", [1, 0], 1)]
    assert marks[1].get_color() == WORSE
    assert "fedavg: the odd one −9.0, −8.0; the others +2.5" in figure.alt


def test_the_pictures_of_a_fair_comparison_say_what_they_show():
    figure = searching({"a": [0, 1.5], "b": [0, 1.0], "c": [0, 0.0]}, (1, 12), "A title")
    assert "a: +1.5 at 12" in figure.alt and figure.axes[0].get_ylim() == (-0.25, 4.1)
    auc = pd.Series({"local": 0.70, "pf_msmtrec": 0.75, "ditto": 0.74})
    less = pd.Series({"local": 0.70, "pf_msmtrec": 0.73})
    figure = equal_steps({"one": (auc.drop("ditto"), less)}, ["pf_msmtrec", "ditto"], "A title")
    hollow, filled = (line for line in figure.axes[0].lines if line.get_marker() == "o")
    assert hollow.get_xdata()[0] == pytest.approx(5) and filled.get_xdata()[0] == pytest.approx(3)
    assert [text.get_text() for text in figure.axes[0].texts] == ["not run"]
    columns = ["difference", "low", "high"]
    narrow = pd.DataFrame([(1.0, 0.5, 1.5), (0.5, -0.1, 1.1)], ["a", "b"], columns)
    wide = pd.DataFrame([(1.0, -1.0, 3.0), (0.5, -2.0, 3.0), (np.nan,) * 3], ["a", "b", "local"], columns)
    figure = two_lucks(narrow, wide, "A title")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["b", "a"]
    dots = [line.get_markerfacecolor() for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert dots[0] == "white" != dots[1]

"""The drawings of chapters 08 and 10: what they count, mark and say."""

import pandas as pd
import pytest
from scipy import stats

from pfmsm_lite.course.drawings.chapter08 import HARMED, rivals
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
    assert title == "template: most at sizes 1 : 4 (+1.00 points), clear on 1 of 2 kinds of data"
    assert "sizes 1 : 30 -1.07" in figure.alt
    alone = along(runs[runs["seed"] < 1], "template")
    assert "sizes 1 : 4 +1.00" in alone.alt and "there is no interval" in alone.get_supxlabel()
    failed = runs[(runs["level"] != "1 : 4") | (runs["method"] == "pf_msmtrec")]
    assert "most at noise 0 (+1.00 points)" in " ".join(along(failed, "template").get_suptitle().split())
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
    figure = rivals(tables)
    title = " ".join(figure.get_suptitle().split())
    assert title.startswith("In the best set everywhere: pf_msmtrec, pooled; no client a point below local")
    assert title.endswith("anywhere: pf_msmtrec, logistic")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [
        "fedavg",
        "logistic",
        "pooled (all rows)",
        "pf_msmtrec",
    ]  # no line of what is 0, or no method
    assert [[text.get_text() for text in ax.texts] for ax in figure.axes] == [[], ["not run"]]
    dots = {labels[int(c.get_ydata()[0])]: c for c in figure.axes[0].lines if c.get_marker() == "o"}
    filled = {name: dot.get_markerfacecolor() != "white" for name, dot in dots.items()}
    assert filled == {"fedavg": False, "logistic": False, "pooled (all rows)": True, "pf_msmtrec": True}
    assert dots["fedavg"].get_xdata()[0] == -6  # at the edge
    worst = {labels[int(c.get_ydata()[0])]: c for c in figure.axes[0].lines if c.get_marker() == "v"}
    red = {name for name, mark in worst.items() if mark.get_color() == HARMED}
    assert red == {"pooled (all rows)", "fedavg"} and worst["pf_msmtrec"].get_xdata()[0] == 1.2
    assert "two: pf_msmtrec +4.0, worst +1.2" in figure.alt

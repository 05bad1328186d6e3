"""The figures of `compare` and `map`."""

import pandas as pd

from pfmsm_lite.lab.charts import module_map, standings


def test_the_picture_names_the_largest_gain_and_loss_and_says_all_of_it_in_words():
    gains = pd.DataFrame(
        [(f, x, m, g, g - 0.1, g + 0.1, 5) for f, x, m, g in [
            ("sizes", "1 : 1", "template", 0.5), ("sizes", "1 : 4", "template", -0.02),
            ("sizes", "1 : 1", "coordination", -1.25), ("sizes", "1 : 4", "coordination", 0.01),
            ("sizes", "1 : 1", "anything sent", 12.0), ("sizes", "1 : 4", "anything sent", 9.0),
        ]],
        columns=["factor", "level", "module", "gain", "low", "high", "seeds"],
    )  # fmt: skip
    figure = module_map(gains)
    title = " ".join(figure.get_suptitle().split())
    assert title == "Clear before correction: template +0.50 (sizes 1 : 1), coordination −1.25 (sizes 1 : 1)"
    assert "template, sizes 1 : 1: +0.50" in figure.alt and "1 : 4: +0.01" not in figure.alt
    again = module_map(gains.assign(level=[0.0, 0.3] * 3))  # as a file of "0" and "0.3" is read
    assert again.axes[0].get_xticklabels()[1].get_text() == "0.3"
    failed = module_map(gains.drop(index=1))
    assert "n/a" in {text.get_text() for ax in failed.axes for text in ax.texts}
    named = module_map(gains, title="Nothing but luck", note="Random numbers.")
    assert named.get_suptitle() == "Nothing but luck" and named.alt.startswith("Nothing but luck. Random")
    hazy = module_map(gains.assign(low=gains["gain"] - 9, high=gains["gain"] + 9))
    said = " ".join(hazy.get_suptitle().split())
    assert said == "Nothing is clear, not even before correction"
    words = {text.get_text() for text in figure.axes[0].texts} - {""}
    assert words == {"+0.50", "−1.25"}  # what is not clear has neither a number nor a box
    assert [box.get_xy() for box in figure.axes[0].patches] == [(0, 0), (0, 1)]


def test_what_takes_more_away_than_a_module_stands_below_in_words_and_out_of_the_colours():
    gains = pd.DataFrame(
        [("sizes", x, m, g, g - 1, g + 1, 5) for m, x, g in [
            ("template", "1 : 4", 0.5), ("anything sent", "1 : 4", 12.0), ("anything sent", "1 : 30", 0.9),
        ]],
        columns=["factor", "level", "module", "gain", "low", "high", "seeds"],
    )  # fmt: skip
    figure = module_map(gains)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["template"]
    strip = next(
        ax for ax in figure.axes if [t.get_text() for t in ax.get_yticklabels()] == ["anything sent"]
    )
    assert [text.get_text() for text in strip.texts] == ["+0.90 to +12.00 points, clear in 1 of 2 columns"]
    assert "anything sent: +0.90 to +12.00 points" in figure.alt and "plain MMoE" in figure.get_supxlabel()
    alone = module_map(gains[gains["module"] != "template"])  # then these are the map
    assert "+12.0" in {text.get_text() for text in alone.axes[0].texts}
    assert "plain MMoE" not in module_map(gains[gains["module"] == "template"]).get_supxlabel()


def test_the_standings_name_the_best_set_and_fill_its_dots():
    lines = [
        ("good", 0.8, 2.0, 1.0, 3.0, 1),
        ("same", 0.79, 1.9, 1.0, 2.9, 1),
        ("local", 0.7, *[None] * 3, 0),
    ]
    lines.append(("constant", 0.5, *[None] * 4))
    table = pd.DataFrame(lines, columns=["method", "auc", "difference", "low", "high", "best_set"])
    figure = standings(table, "local", "rows")
    title = " ".join(figure.get_suptitle().split())
    assert title == "On rows, 2 of 3 methods cannot be told apart from the best: good, same"
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["same", "good"]
    assert "good +2.00 [+1.00, +3.00]" in figure.alt and "constant" not in figure.alt
    alone = standings(table.assign(best_set=[1, 0, 0, None]), "local", "rows")
    assert " ".join(alone.get_suptitle().split()) == "On rows, good is clearly the best of 3 methods"
    filled = [
        line.get_markerfacecolor() != "white" for line in alone.axes[0].lines if line.get_marker() == "o"
    ]
    assert filled[-1] and not filled[1]

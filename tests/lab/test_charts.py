"""The figures of `compare` and `map`."""

import pandas as pd

from pfmsm_lite.lab.charts import module_map


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
    weights = {text.get_text(): text.get_fontweight() for ax in figure.axes for text in ax.texts}
    assert weights["+0.50"] == weights["+12.0"] == "bold" and weights["+0.01"] == "normal"

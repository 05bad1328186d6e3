"""The drawings of chapter 19: what they compute, mark and say."""

import numpy as np
import pytest
import torch

from pfmsm_lite.course.drawings.chapter19 import (
    HONEST,
    RULES,
    besieged,
    cut,
    draw_course,
    draw_lost,
    draw_siege,
    draw_trust,
    pulled,
)


def title(figure):
    return " ".join(figure.get_suptitle().split())


def test_cut_shortens_to_twice_the_median_length_and_no_more():
    updates = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-10.0, 0.0]])
    assert torch.allclose(cut(updates), torch.tensor([(1 - 2) / 3, 1 / 3]))
    assert torch.allclose(cut(HONEST), HONEST.mean(0))


def test_the_mean_is_pulled_by_the_strength_over_the_clients_and_the_others_are_bounded():
    assert besieged(3.0)[-1].norm() == pytest.approx(3.0)
    near, far = pulled(10.0), pulled(16.0)
    assert far["mean"] - near["mean"] == pytest.approx(6 / 6, abs=1e-3)
    for name in set(RULES) - {"mean"}:
        assert far[name] == pytest.approx(near[name], abs=1e-4) and far[name] < 0.7, name


@pytest.mark.parametrize("rule", RULES)
def test_the_siege_keeps_its_axes_and_says_the_distances(rule):
    for strength in (0.0, 4.0, 20.0):
        figure = draw_siege(strength, rule)
        left, right = figure.axes
        assert left.get_xlim() == (-4, 2) and right.get_ylim() == (0, 4)
        assert f"{pulled(strength)['mean']:.1f}" in title(figure)
        assert f"Krum {pulled(strength)['Krum']:.2f}" in figure.alt
        widths = {line.get_label(): line.get_linewidth() for line in right.lines}
        assert max(RULES, key=widths.get) == rule


def test_a_course_shows_both_lines_also_where_nothing_can_be_ranked():
    figure = draw_course([0.6, np.nan], [0.6, 0.65], "NaN for all")
    assert title(figure) == "NaN for all" and figure.axes[0].get_ylim() == (0.48, 0.72)
    assert "nan with it and 0.650 without" in figure.alt


def test_trust_has_a_control_for_each_rule():
    figure = draw_trust({"kin": np.zeros(2)}, {"kin": np.array([0.1, 0.2])}, "Nothing")
    control, own = figure.axes[0].lines
    assert control.get_linestyle() == "--" and control.get_ydata().tolist() == [0.1, 0.2]
    assert own.get_ydata().tolist() == [0, 0]
    assert "from 0.000 to 0.000 if it flips, 0.200 if it is honest" in figure.alt


def test_lost_has_a_panel_per_attack_and_a_dot_per_seed():
    lost = {("a", "flip"): [1.0, 3.0], ("b", "flip"): [0.0, 0.2], ("a", "nan"): [0, 0], ("b", "nan"): [-1, 1]}
    figure = draw_lost(lost, "Points")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["flip", "nan"]
    first = figure.axes[0]
    assert [patch.get_width() for patch in first.patches] == pytest.approx([2, 0.1])
    assert first.lines[0].get_xdata().tolist() == [1, 3]
    assert [label.get_text() for label in first.get_yticklabels()] == ["a", "b"]
    assert "a under flip: 2.0" in figure.alt

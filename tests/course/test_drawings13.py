"""The drawings of chapter 13: what they mark and say."""

import numpy as np
import pytest

from pfmsm_lite.course.drawings.chapter13 import draw_code, draw_fusion, draw_two_levels, draw_undone

START = 1 / (1 + np.exp(-1))


def title(figure):
    return " ".join(figure.get_suptitle().split())


def test_two_levels_mark_the_best_weight_of_either_kind_of_row_on_a_fixed_axis():
    own, valid = np.array([2.0, -2.0]), np.array([1.0, -1.0])
    tracks = {"validation rows": [0.7, 0.5], "training rows": [0.7, 1.0]}
    for scale in (1, 10):
        figure = draw_two_levels(tracks, scale * own, scale * own, scale * valid, 1, 2.0)
        assert figure.axes[0].get_ylim() == (0, 2.1)
        dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
        assert [float(dot.get_xdata()[0]) for dot in dots] == pytest.approx([1.0, 0.5])
    assert title(figure) == "Best weight 0.50; learned on validation rows 0.50, on training rows 1.00"
    assert "2 domains, 1 training row each" in figure.alt and "= 0.20" in figure.alt


def test_an_undone_weight_says_what_still_arrives():
    weights = {"alone": [0.7, 0.5], "through": [0.7, 0.1]}
    figure = draw_undone(weights, {"alone": [0.1, 0.5], "through": [1.0, 1.0]})
    assert "1.00 still arrives" in title(figure) and "through: a ends at 0.10, 1.00 arrives" in figure.alt


def test_fusion_weights_have_a_column_per_domain_and_say_the_farthest_move():
    found = {"slow": np.full((3, 2), START), "fast": np.array([[0.8, 0.7], [0.6, 0.7], [0.7, 0.9]])}
    figure = draw_fusion(found, ["s0", "s1"], {"slow": [0, 1], "fast": [0, 0]}, "what is found")
    assert title(figure) == "what is found" and "one of 3 seeds" in figure.alt
    slow, fast = figure.axes
    assert slow.get_xlabel() == "farthest move: 0.000" and fast.get_xlabel() == "farthest move: 0.169"
    colors = [[line.get_color() for line in ax.lines if line.get_marker() == "o"] for ax in (slow, fast)]
    assert colors[0][0] != colors[0][1] and colors[1][0] == colors[1][1]
    assert slow.get_ylim() == (0.4, 0.95)


def test_the_picture_of_code_and_paper_pairs_moves_with_points():
    points = {"the code": ([-1, -2], (-1.5, -2.9, -0.1)), "plain": ([1, 3], (2.0, -1.0, 5.0))}
    figure = draw_code({"the code": [0.05, 0.06], "the paper": [0.0, 0.0]}, points)
    left, right = figure.axes
    assert title(figure) == "The code: −1.5 AUC points; plain: +2.0"
    assert left.lines[0].get_xdata().tolist() == [0.05, 0.06]
    assert [text.get_text() for text in left.texts] == ["has no α, β"]
    faces = [line.get_markerfacecolor() for line in right.lines if len(line.get_xdata()) == 1]
    assert faces[0] != "white" == faces[1]  # clear; not clear

"""The drawing of chapter 10: what batch norm makes of a unit, by own and by averaged statistics."""

import numpy as np
import pytest

from pfmsm_lite.course.drawings.chapter10 import draw_activations, spreads

HAND = [np.array([1.0, 3.0]), np.array([10.0, 30.0])]  # the chapter's example: variances 1 and 100


def test_averaged_statistics_are_those_of_the_chapter_s_example():
    assert spreads(HAND) == pytest.approx([1 / 50.5**0.5, 10 / 50.5**0.5])
    more_rows = [np.array([1.0, 3.0, 1.0, 3.0]), HAND[1]]  # a client counts by its rows: (2 · 1 + 100) / 3
    assert spreads(more_rows) == pytest.approx([1 / 34**0.5, 10 / 34**0.5])
    assert spreads([HAND[0], HAND[0]]) == pytest.approx([1, 1])


def test_the_axes_stay_and_only_own_statistics_bring_the_curves_together():
    draw = np.random.default_rng(0)
    rows = draw.standard_normal((2, 4000))
    alike = draw_activations([rows[0], rows[1]], ["s0", "s5"])
    far = draw_activations([0.1 * rows[0], 10 * rows[1]], ["s0", "s5"])
    assert far.finding == "Averaged statistics give s0 deviation 0.01 and s5 1.41; own statistics give 1"
    for first, second in zip(alike.axes, far.axes, strict=True):
        assert first.get_xlim() == second.get_xlim() and first.get_ylim() == second.get_ylim()

    def apart(ax):
        one, other = (line.get_ydata() for line in ax.lines)
        return np.abs(one - other).max()

    raw, own, averaged = map(apart, far.axes)
    assert own < 0.05 and min(raw, averaged) > 0.3
    assert apart(alike.axes[2]) < 0.05 and "0.1 (s0), 10 (s5)" in far.alt

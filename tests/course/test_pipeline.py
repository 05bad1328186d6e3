"""The map: every stage can be lit, and the matrix on it is the one that was given."""

import io

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from pfmsm_lite.course.pipeline import STAGES, TIMES, pipeline, turned
from pfmsm_lite.errors import UserError


def alphas(figure):
    """Stage → alpha of its name on the map."""
    texts = {text.get_text(): text for ax in figure.axes for text in ax.texts}
    return {stage: texts[stage].get_alpha() for stage in STAGES}


@pytest.mark.parametrize("lit", STAGES)
def test_the_lit_stage_stands_out_and_is_named(lit):
    figure = pipeline(lit=lit)
    seen = alphas(figure)
    assert seen.pop(lit) == 1 and max(seen.values()) < 0.5
    assert lit in figure.get_suptitle() and lit in figure.alt


def test_without_a_stage_all_are_lit_and_the_alt_text_tells_all():
    figure = pipeline()
    assert set(alphas(figure).values()) == {1.0}
    assert all(stage in figure.alt for stage in STAGES)
    figure.savefig(io.BytesIO())


def test_the_matrix_is_the_one_that_was_given():
    weights = np.eye(6) * 0.4 + 0.1
    shown = [mesh for ax in pipeline(weights).axes for mesh in ax.collections if isinstance(mesh, QuadMesh)]
    assert len(shown) == 1 and np.allclose(shown[0].get_array(), weights)


def test_bad_input_is_refused_by_name():
    with pytest.raises(UserError, match="Did you mean 'coordinate'"):
        pipeline(lit="coordinat")
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        pipeline(np.ones((3, 2)))


def test_every_update_on_the_map_is_turned_a_little_towards_the_mean_and_none_beyond_the_radius():
    before, after, mean = turned()

    def angle(first, second):
        lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
        return np.degrees(np.arccos((first * second).sum(-1) / lengths))

    assert (angle(before, after) > 1).all() and (angle(before, after) <= np.degrees(np.arcsin(0.4))).all()
    assert (angle(after, mean) < angle(before, mean)).all()
    assert np.allclose(np.linalg.norm(before, axis=-1), np.linalg.norm(after, axis=-1))


def test_what_the_sign_of_multiplication_means_stands_beside_it():
    assert any(text.get_text() == TIMES for ax in pipeline().axes for text in ax.texts)

"""The drawings of chapter 14: what they mark and say."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pfmsm_lite.course.drawings.chapter14 import draw_knobs, draw_pull, draw_three, draw_worlds


def title(figure):
    return " ".join(figure.get_suptitle().split())


def test_the_knobs_meet_at_one_half_and_alpha_says_when_the_main_task_is_alone():
    figure = draw_knobs(1, 2, 1.0, 1.1)
    main, auxiliary, mark = figure.axes[0].lines
    assert main.get_ydata() + auxiliary.get_ydata() == pytest.approx(1)
    assert main.get_ydata()[0] < 1e-6 and abs(main.get_ydata()[-1] - 0.5) < 0.01 and mark.get_xdata()[0] == 1
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[1].lines}
    assert lines["α = 1"] == pytest.approx(1 / (1 + np.e)) and set(lines) == {
        "α = 1",
        "α = 1.05",
        "α = 1.1",
        "α = 1.2",
    }
    # σ(1.1^s − 2) first exceeds 0.95 where 1.1^s > 2 + ln 19
    assert title(figure).endswith(f"from epoch {int(np.ceil(np.log(2 + np.log(19)) / np.log(1.1)))}")
    assert title(draw_knobs(1, 2, 1.0, 1.0)).endswith("not within 40 epochs")


def test_two_users_of_the_same_norms_have_the_same_weights_whatever_the_angle():
    for angle in (0, 90, 180):
        first, second = draw_pull(angle, 1.25, 1.0).axes
        assert first.get_title(loc="left").split(": ")[1] == second.get_title(loc="left").split(": ")[1]
    assert "0.88 for A, 0.50 for B" in title(draw_pull(90)) and "0.00 for B" in title(draw_pull(180))


def test_the_picture_of_two_worlds_shows_paired_intervals_and_says_the_last_arms():
    values = {"main_only": [0.2, 0.3, 0.1], "equal": [0.3, 0.4, 0.2], "pmtrec": [0.1, 0.4, 0.3]}
    lines = [
        (world, encoder, arm, seed, shift + value)
        for world, shift in (("helps", 0.0), ("misleads", 0.1))
        for encoder in ("MF", "LightGCN")
        for arm, own in values.items()
        for seed, value in enumerate(own)
    ]
    runs = pd.DataFrame(lines, columns=["world", "encoder", "arm", "seed", "ndcg@20"])
    figure = draw_worlds(runs)
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["equal", "pmtrec"]
    low, high = stats.t.interval(0.95, 2, np.mean([-0.1, 0.1, 0.2]), stats.sem([-0.1, 0.1, 0.2]))
    assert f"misleads, LightGCN, pmtrec +0.067 [{low:+.3f}, {high:+.3f}]".replace("-", "−") in figure.alt
    said = "by +0.07 where the task helps and by +0.07 where the task misleads"
    assert title(figure) == f"With MF pmtrec changes NDCG@20 {said}"
    hollow = [
        line.get_markerfacecolor() == "white" for line in figure.axes[0].lines if len(line.get_xdata()) == 1
    ]
    assert hollow == [False, True, False, True]  # equal is ahead by 0.1 with each seed, pmtrec is not clear


def test_three_answers_say_how_much_clients_take_from_their_group_with_and_without_groups():
    users = np.full((4, 3), 1 / 3)
    parts = np.full((4, 2), 0.5)
    grouped = np.kron(np.eye(2), np.full((2, 2), 0.5))
    worlds = {"with": (users, parts, grouped), "without": (users, parts, np.full((4, 4), 0.25))}
    figure = draw_three(
        worlds, ["click", "long_view", "category"], ["own", "others"], list("abcd"), [0, 0, 1, 1]
    )
    assert title(figure) == "Of the weight on other clients, 100 % goes to its own group; without groups 33 %"
    above, below = figure.axes[2], figure.axes[5]
    assert len(above.lines) == 2 and not below.lines  # the true groups are marked where there are some
    assert not above.get_xticklabels() and [t.get_text() for t in below.get_xticklabels()] == list("abcd")
    assert len(figure.axes[0].lines) == 1 and figure.axes[3].get_ylabel().startswith("without")

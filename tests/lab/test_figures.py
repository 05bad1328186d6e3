"""Figures: they show what the frames and arrays hold, and they can be read, from one scenario to forty."""

import io
import re
from itertools import combinations, pairwise, product
from unittest.mock import patch

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text
from scipy import stats

from pfmsm_lite.history import RESULTS, ROUNDS, History
from pfmsm_lite.lab.charts import forest
from pfmsm_lite.lab.figures import FIGURES, auc_by_scenario, draw_all, gains
from pfmsm_lite.lab.heatmaps import blocks, by_likeness, ratios
from pfmsm_lite.lab.spread import by_scenario
from pfmsm_lite.lab.statistics import hero_of
from pfmsm_lite.lab.style import GREY, INK, METHOD_STYLE, legible, method_style, minus

NAMES, UNITS = ["auc", "convergence", "conflicts", "mixing"], ["expert 0", "expert 1", "tower click"]
auc, convergence, conflicts, mixing = (FIGURES[name] for name in NAMES)
ALL, PF, S, OWN = (
    [*METHOD_STYLE],
    ["pf_msmtrec"],
    [f"s-{n}" for n in range(1000)],
    [f"m{n}" for n in range(10)],
)
LONG = ["Main feed of the mobile app, logged-in users", "Search results (all categories)", "Tab №3", "x"]
RISE, AUCS = 0.7 - 0.2 / np.arange(3, 203), st.integers(300, 900).map(lambda n: n / 1000)


def results(methods, scenarios, tasks=("click",), seeds=1, missing=lambda m, n, t: False):
    draw, cells = np.random.default_rng(0), [(n, t) for n in scenarios for t in tasks]
    runs = [(m, k, n, t) for m in methods for k in range(seeds) for n, t in cells]
    keys = [(*run, split, 1000, 300) for run in runs for split in ("valid", "test")]
    rows = [(*k, np.nan if missing(k[0], k[2], k[3]) else draw.uniform(0.6, 0.8), 0.5) for k in keys]
    return pd.DataFrame(rows, columns=RESULTS)


def rounds(curves):
    """curves: {method: [seed][round] average AUC}, of two scenarios that lie 0.02 apart."""
    points = [(m, k, r, a) for m in curves for k, own in enumerate(curves[m]) for r, a in enumerate(own, 1)]
    pair = (("a", -0.01), ("b", 0.01))
    rows = [(m, k, r, n, "click", a + d, 0.5, 0.1, 1.0, 0) for m, k, r, a in points for n, d in pair]
    return pd.DataFrame(rows, columns=ROUNDS)


def arrays(names, last=9, changed=True):
    """(cosines of updates, weights of mixtures), as a History gives them."""
    draw, count, number = np.random.default_rng(0), len(names), range(1, last + 1)
    shares = draw.dirichlet(np.ones(count), (last, 3, count))
    cosines = draw.uniform(-1, 1, (2, last, 3, count, count))
    cosines = np.where(np.eye(count), 1, (cosines + cosines.swapaxes(-1, -2)) / 2)[[0, int(changed)]]
    place = {"round": number, "unit": UNITS, "client": names}
    cosines = xr.DataArray(cosines, {"stage": ["before", "after"], **place, "other": names})
    return cosines, xr.DataArray(shares, {**place, "source": names})


SHAPES = ((1, 1, ALL), (1, 4, ALL), (2, 2, ALL), (6, 4, ALL), (16, 2, ALL), (40, 1, ALL))
SHAPES += ((1, 1, PF), (6, 2, PF), (1, 1, OWN), (1, 4, OWN), (6, 2, OWN))
CASES = {  # name → (function, what it draws, options)
    f"auc, {n} scenarios, {t} tasks, {len(methods)} methods": (
        auc, results(methods, S[:n], S[:t], 1 if n == 6 else 5), {"ceiling": np.full((n, t), 0.85)}
    ) for n, t, methods in SHAPES
}  # fmt: skip
for k in ("Лента|Поиск", "الصفحة|بحث", "首页推荐|搜索", "🛒 shop|🛒", "$5 to $10|over $10", r"$\frac$|_"):
    CASES[f"auc, {k}"] = auc, results(["local", "fedavg"], k.split("|"), k.split("|"), 2), {}
for k, t in {
    "a task": lambda m, n, t: t == "s-1",
    "a method": lambda m, n, t: m == "local",
    "some of a cell": lambda m, n, t: m[:3] == "no_" and n == "s-2",
    "anything": lambda m, n, t: True,
}.items():
    CASES[f"auc without {k}"] = auc, results([*ALL, "mine"], S[:6], S[:2], 2, t), {"sizes": {"s-0": 9**9}}
HEATMAPS = ((0, conflicts), (1, mixing))
for k, (n, draw) in product((1, 2, 6, 16, 40, 100, 1000), HEATMAPS):
    CASES[f"{NAMES[2 + n]} of {k}, no clusters"] = draw, arrays(S[:k], 2 if k > 99 else 9)[n], {}
    if k > 100:
        continue
    CASES[f"{NAMES[2 + n]} of {k}"] = draw, arrays(S[:k])[n], {"clusters": [c % 2 for c in range(k)]}
del CASES["conflicts of 1"], CASES["conflicts of 1, no clusters"]  # which are refused
for k, seeds in ((100, 1), (100, 3), (1000, 2)):
    CASES[f"auc of {k}, {seeds} seeds"] = auc, results(["local", *PF], S[:k], S[:2], seeds), {}
CASES["auc of 30 without local"] = auc, results(["fedavg", *PF], S[:30], S[:2], 3), {"sizes": {"s-1": 999}}
for k in (1, 6, 9, 30, 100, 1000):
    CASES[f"gains of {k}"] = gains, results(["local", "fedavg", *PF], S[:k], S[:2], 3), {}
FIVE, MY = {"rounds": [1, 3, 5, 7, 9], "clusters": [0, 0, 0, 1, 1, 1]}, "my_rule_with_no_template_2"
CASES |= {
    "auc, long names": (auc, results(ALL, LONG, ["WATCHED THE VIDEO TO ITS VERY END", "b"], 2), {}),
    "auc, long method": (auc, results([MY, "local"], S[:2], S[:2], 2), {}),
    "convergence, one round": (convergence, rounds({m: [[0.7]] for m in ALL}), {}),
    "convergence, one method": (convergence, rounds({"local": [RISE[:2], RISE[1:3]]}), {}),
    "convergence, own": (convergence, rounds({m: [RISE + k / 99] for k, m in enumerate([*OWN, MY])}), {}),
    "convergence, ends": (convergence, rounds({m: [RISE[: 3 + 5 * k]] * 5 for k, m in enumerate(ALL)}), {}),
    "conflicts, uncoordinated": (conflicts, arrays(S[:6], 1, False)[0], {}),
    "conflicts, long names": (conflicts, arrays(LONG)[0], {"clusters": [0, 1, 0, 1]}),
    "conflicts, five rounds": (conflicts, arrays(S[:6])[0], FIVE),
    "mixing, long names": (mixing, arrays(LONG * 4)[1], {"clusters": [0, 1, 0, 1] * 4}),
    "mixing, long names of six": (mixing, arrays([*LONG, "Self-emp-not-inc", "a-b"])[1], {}),
    "gains, long names": (gains, results(["local", *ALL[3:]], LONG, S[:2], 3), {}),
    "gains, many methods": (gains, results(["local", *ALL, *OWN], S[:12], S[:2], 3), {}),
    "mixing, five rounds": (mixing, arrays(S[:6])[1], FIVE),
    "mixing, $ and 中": (mixing, arrays([r"$\frac$", "中"])[1], {}),
}


@pytest.fixture(autouse=True)
def matplotlib_is_left_alone():
    mpl.get_backend()  # is chosen when somebody asks
    before = mpl.rcParams.copy()
    yield
    assert plt.get_fignums() == [] and mpl.rcParams == before


def plain(text):
    return " ".join(text.split()).replace("−", "-").replace("-0.00", "+0.00")


def panels(figure):
    return [ax for ax in figure.axes if ax.axison and ax.get_label() != "<colorbar>"]


def cells(ax):
    """The heatmap of a panel, in a list; none in other panels."""
    return [mesh for mesh in ax.collections if isinstance(mesh, QuadMesh)]


def faults(figure):
    """What a reader would complain about; the figure is rendered for it."""

    def over(a, b):
        return min(min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)) > 2  # pixels

    texts, draw, page = [], Text.draw, figure.bbox
    with patch.object(Text, "draw", lambda self, renderer: (texts.append(self), draw(self, renderer))):
        figure.savefig(io.BytesIO())
    texts = [text for text in dict.fromkeys(texts) if text.get_visible() and text.get_text().strip()]
    boxes = [(repr(text.get_text()[:40]), text.get_window_extent(), text.axes) for text in texts]
    found = [f"{a[0]} is over {b[0]}" for a, b in combinations(boxes, 2) if over(a[1], b[1])]
    found += [f"{name} is cut" for name, box, _ in boxes if min(*box.min, *(page.max - box.max)) < -1]
    for ax in panels(figure):
        others = [(name, box) for name, box, own in boxes if own is not ax]
        found += [f"{name} is over a panel" for name, box in others if over(box, ax.bbox)]
        shown = [mesh.get_array().compressed() for mesh in cells(ax)] + [x.get_xdata() for x in ax.lines]
        if not ax.texts and not any(np.isfinite(numbers).any() for numbers in shown):
            found.append("a panel is empty")
        width, height = (80, 80) if cells(ax) else (150, min(80, 24 * len(ax.get_yticks())))
        if ax.bbox.width < width or ax.bbox.height < height:
            found.append(f"a panel has {ax.bbox.width:.0f} × {ax.bbox.height:.0f} pixels")
    for text in (figure.alt, *(text.get_text() for text in texts)):
        found += [f"{word} in {text[:50]!r}" for word in re.findall(r"\bnan\b|[-−]0\.0+\b", text)]
    maths = [text.get_text() for text in texts if text.get_parse_math() and "$" in text.get_text()]
    return list(dict.fromkeys(found + [f"{text} is mathematics" for text in maths]))


@pytest.mark.parametrize("case", CASES)
def test_every_figure_can_be_read(case):
    draw, data, options = CASES[case]
    before = data.copy(deep=True)
    figure = draw(data, **options)
    found, title, alt = faults(figure), plain(figure.get_suptitle()), plain(legible(figure.alt))
    assert figure.get_figheight() <= 12.01, "nobody scrolls through a figure"
    assert alt.startswith(f"{title}. ") and len(alt) > len(title) + 20 and data.equals(before)
    assert not found, "; ".join(found[:5])


def test_dots_and_lines_of_auc_are_the_means_and_ranges_of_the_frame():
    tasks, best, missing = ("click", "buy"), np.linspace(0.81, 0.9, 6).reshape(3, 2), ("fedavg", "s-1", "buy")
    frame = results([*ALL, "mine"], S[:3], tasks, 3, lambda *key: key == missing)
    figure = auc(frame, best, "valid", {"s-0": 1234})
    axes = panels(figure)
    assert [ax.get_title(loc="left") for ax in axes] == list(tasks)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["s-0\n1,234 rows", "s-1", "s-2"]
    aucs = frame[frame["split"] == "valid"].dropna().groupby(["task", "scenario", "method"])["auc"].agg(list)
    for t, n in np.ndindex(2, 3):
        drawn = []
        for line in axes[t].lines:
            look, marks = (to_hex(line.get_color()).upper(), line.get_marker()), line.get_marker() != "None"
            here = [x for x, y in line.get_xydata() if n - 0.5 < y < n + 0.5 and not np.isnan(x)]
            drawn += [(*look, x) for x in here] if marks else [(*look, *here)] if here else []
        right = [(INK, "None", *[best[n, t]] * 2)]
        for m, own in aucs[tasks[t], f"s-{n}"].items():
            main = m in (*ALL[:4], "mine")
            color, marker = method_style(m) if main else (GREY.upper(), "o")
            right.append((color, marker, np.mean(own)))
            right += [(color, "None", min(own), max(own))] if main else []
        for found, expected in zip(sorted(drawn), sorted(right), strict=True):
            assert found[:2] == expected[:2] and found[2:] == pytest.approx(expected[2:])
    assert "range" in figure.get_supxlabel(), "nothing explains the lines"


@settings(max_examples=10, deadline=None)
@given(st.lists(st.lists(AUCS, min_size=6, max_size=6), min_size=1, max_size=4))
@example([[0.8, 0.8, 0.8, 0.8, 0.6, 0.6], [0.7, 0.7, 0.7, 0.7, 0.71, 0.71]])
def test_the_title_of_auc_states_the_paired_differences(aucs):
    aucs = np.reshape(aucs, (-1, 3, 2))  # [seed, method, scenario]
    frame = results(["local", "fedavg", *PF], S[:2], seeds=len(aucs))
    frame.loc[frame["split"] == "test", "auc"] = aucs.swapaxes(0, 1).ravel()
    title = plain(auc(frame).get_suptitle())
    for m, rival in enumerate(("local", "fedavg")):
        points = 100 * (aucs[:, 2] - aucs[:, m]).mean(1)
        low, high = -np.inf, np.inf
        if np.ptp(points) < 1e-9 and len(points) > 1:
            low = high = points[0]
        elif len(points) > 1:
            low, high = stats.t.interval(0.95, len(points) - 1, points.mean(), stats.sem(points))
        if low > 0 or high < 0:
            verb, number = re.search(rf"(leads|trails) {rival} by (\d+\.\d)", title).groups()
            assert verb == ("leads" if low > 0 else "trails")
            assert float(number) == pytest.approx(abs(points.mean()), abs=0.051)
        else:
            assert f"leads {rival}" not in title and f"trails {rival}" not in title
        if len(points) == 1:
            number, side = re.search(rf"is (\d+\.\d) (above|below) {rival}", title).groups()
            assert float(number) == pytest.approx(abs(points[0]), abs=0.051)
            assert side == ("above" if points[0] >= 0 else "below") or abs(points[0]) < 1e-6
    assert ("one seed, so nothing is clear" if len(aucs) == 1 else f"mean of {len(aucs)} seeds") in title


def test_no_two_headlines_contradict_each_other_and_one_seed_never_leads():
    for seeds, shift in ((1, 0.1), (2, 0.001), (3, 0.03)):
        frame = results(["local", "fedavg", *PF], S[:4], seeds=seeds)
        frame["auc"] += shift * (frame["method"] == "pf_msmtrec")
        first, second, third = (plain(draw(frame).get_suptitle()) for draw in (auc, forest, gains))
        led = len(re.findall(r"\bleads (?:local|fedavg)", first))
        if seeds == 1:
            assert not led and all("one seed, so nothing is clear" in said for said in (first, second, third))
        else:
            assert f"clearly ahead of {led} of 2" in second
        assert "pf_msmtrec" in third and "fedavg" not in third


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 9), st.integers(1, 3), st.data())
def test_convergence_draws_means_and_ranges_and_names_the_peaks(last, seeds, data):
    curves = data.draw(st.lists(AUCS, min_size=2 * seeds * last, max_size=2 * seeds * last))
    curves = dict(zip(("fedavg", *PF), np.reshape(curves, (2, seeds, last)), strict=True))
    figure = convergence(rounds(curves))
    ax, title = figure.axes[0], plain(figure.get_suptitle())
    for m, own in curves.items():
        mean, color = own.mean(0), method_style(m)[0]
        lines = [x for x in ax.lines if x.get_color() == color and x.get_transform() == ax.transData]
        line, dot = sorted(lines, key=lambda x: x.get_marker() == "o")
        assert list(line.get_xdata()) == list(range(1, last + 1)) and line.get_ydata() == pytest.approx(mean)
        bands = {tuple(band.get_facecolor()[0, :3]): band for band in ax.collections}
        if seeds > 1:  # one seed has no range
            heights = bands[to_rgb(color)].get_paths()[0].vertices[:, 1]
            assert (heights.min(), heights.max()) == pytest.approx((own.min(), own.max()))
        peak, value = re.search(rf"{m} peaks in round (\d+) at ([\d.]+)", title).groups()
        assert mean[int(peak) - 1] == pytest.approx(mean.max()) == dot.get_ydata()[0]
        end = next(text.get_text() for text in ax.texts if text.get_text().startswith(m))
        assert (value, end) == (f"{dot.get_ydata()[0]:.3f}", f"{m} {line.get_ydata()[-1]:.3f}")
    assert all(tick == round(tick) for tick in ax.get_xticks()), "there is no half a round"


def test_a_seed_that_stopped_early_does_not_bend_the_mean():
    ax = convergence(rounds({"local": [[0.6] * 3, [0.8] * 9]})).axes[0]
    assert ax.lines[0].get_ydata() == pytest.approx(0.7)


@settings(max_examples=10, deadline=None)
@given(st.text("xyz", min_size=2, max_size=7), st.sampled_from([None, "tower click"]), st.booleans())
def test_heatmaps_show_the_arrays_sorted_by_cluster_on_both_axes(clusters, unit, changed):
    names, own = S[: len(clusters)], dict(zip(S, clusters, strict=False))
    for draw, array in zip((conflicts, mixing), arrays(names, 9, changed), strict=True):
        figure = draw(array, unit, [2, 6], clusters)
        axes, title = panels(figure), plain(figure.get_suptitle())
        order = [label.get_text() for label in axes[0].get_yticklabels()]
        assert order == [label.get_text() for label in axes[-1].get_xticklabels()] and sorted(order) == names
        assert sum(own[a] != own[b] for a, b in pairwise(order)) == len(set(clusters)) - 1
        array = array.sel(unit=[unit] if unit else UNITS[:2], round=[2, 6]).mean("unit")
        maps = array.sel({array.dims[-2]: order, array.dims[-1]: order}).values
        labels, self = np.array([own[name] for name in order]), np.eye(len(names), dtype=bool)
        same = labels[:, None] == labels
        if draw is conflicts:  # one row of panels where nothing changed
            maps = np.where(self, np.nan, maps[: 1 + changed]).reshape(-1, *same.shape)
        else:
            given = np.where(self, 0, maps).sum(-1, keepdims=True)
            maps = np.log2(np.where(self, np.nan, maps * (len(names) - 1) / given))
        for ax, values in zip(axes, maps, strict=True):
            np.testing.assert_allclose(cells(ax)[0].get_array().filled(np.nan), values.clip(-6))
            low, high = cells(ax)[0].get_clim()
            assert low == -high and (draw is mixing or high == 1)
            boxes = [box.get_bbox() for box in ax.patches]
            for i, j in np.ndindex(same.shape):
                assert (
                    any(box.contains(i + 0.5, i + 0.5) and box.contains(j + 0.5, j + 0.5) for box in boxes)
                    == same[i, j]
                )
        others = ~same if same.min() == 0 else ~self
        if draw is mixing and len(names) > 2 and (same & ~self).any() and not same.all():
            times = np.nanmean(np.where(same & ~self, 2.0 ** maps[-1], np.nan)[(same & ~self).any(1)])
            number = re.search(r"take ([\d.]+) times", title) or re.search(r"take ([\d.]+) times the", title)
            assert float(number[1]) == pytest.approx(times, abs=0.051)
        elif draw is conflicts:
            means = [f"{values[others].mean():+z.2f}" for values in maps[1::2]]
            turned = f"coordination turns them to {means[1]}" if changed else "nothing coordinates them"
            assert f"(mean cosine {means[0]}); {turned}" in title
            opposed = 100 * (maps[1][others] < 0).mean()
            assert len(names) < 3 or f"{opposed:.0f} % of the pairs" in title


def test_gains_are_points_over_the_reference_and_mark_whom_a_method_clearly_harms():
    frame = results(["local", "fedavg", *PF], S[:3], ("click", "buy"), 3, lambda m, n, t: n == S[2])
    frame.loc[(frame["method"] == "fedavg") & (frame["scenario"] == S[0]), "auc"] = 0.4
    ax = panels(gains(frame))[0]
    aucs = frame.query("split == 'test'").pivot_table("auc", "seed", ["method", "scenario"], dropna=False)
    single = 100 * np.array([(aucs[m] - aucs["local"])[S[:3]] for m in ("fedavg", *PF)])  # [M, seed, N]
    points, test = single.mean(1), stats.ttest_1samp(single, 0, axis=1)
    lost = (points < 0) & (test.pvalue < 0.05)
    np.testing.assert_allclose(cells(ax)[0].get_array().filled(np.nan), points)
    texts = {(int(y), int(x)): text for text in ax.texts for x, y in [text.get_position()]}
    for cell, value in np.ndenumerate(points):
        assert plain(texts[cell].get_text()) == (
            "n/a" if np.isnan(value) else f"{value:+.1f}{'!' * int(lost[cell])}"
        )
        assert (texts[cell].get_fontweight() == "bold") == lost[cell]
    assert lost[0, 0] and not lost.all()
    names = [[label.get_text() for label in own] for own in (ax.get_xticklabels(), ax.get_yticklabels())]
    assert names == [S[:3], ["fedavg", *PF]]


@pytest.mark.parametrize("count", [30, 300])
def test_many_scenarios_are_sorted_by_what_the_method_gives_them(count):
    frame = results(["local", "fedavg", *PF], S[:count], ("click", "buy"), 3)
    wide = frame.query("split == 'test'").groupby(["method", "scenario", "seed"])["auc"].mean().unstack()
    points = 100 * (wide.loc["pf_msmtrec"] - wide.loc["local"])  # [N, seeds]
    order = points.mean(axis=1).sort_values(ascending=False)
    shown = order if count == 30 else pd.concat([order[:10], order[-10:]])
    for figure in (auc(frame), gains(frame)):
        labels = [label.get_text() for label in panels(figure)[-1].get_yticklabels()]
        assert labels == list(shown.index)
    dots = [
        line for line in panels(auc(frame))[-1].lines if line.get_marker() == "o" and len(line.get_xdata())
    ]
    assert [line.get_xdata()[0] for line in dots] == pytest.approx(list(shown))
    clear = stats.ttest_1samp(points.loc[shown.index], 0, axis=1).pvalue < 0.05
    assert [line.get_markerfacecolor() != "white" for line in dots] == list(clear)
    table = by_scenario(frame, "pf_msmtrec")
    whole = stats.ttest_1samp(points.loc[table.index], 0, axis=1).pvalue < 0.05
    assert list(table["clear"] != 0) == list(whole) and list(table.index) == list(order.index)
    title = plain(auc(frame).get_suptitle())
    assert f"in {(order > 0).sum()} of {count} scenarios, clearly in {(table['clear'] > 0).sum()}" in title


# ---- what mixtures are made of ----


def test_ratios_are_one_for_an_even_split_and_say_nothing_of_oneself():
    weights = np.array([[0.5, 0.25, 0.25], [0.1, 0.6, 0.3], [0.0, 0.0, 1.0]])
    expected = [[np.nan, 1, 1], [0.5, np.nan, 1.5], [np.nan] * 3]
    np.testing.assert_allclose(ratios(weights), expected)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(12)), st.integers(2, 4))
def test_clients_who_take_from_each_other_stand_together(order, groups):
    label = np.array(order) % groups
    likeness = (label[:, None] == label) + np.random.default_rng(0).uniform(0, 0.4, (12, 12))
    found = label[by_likeness(likeness)]
    assert sorted(by_likeness(likeness)) == list(range(12))
    assert (np.diff(found) != 0).sum() == groups - 1


def test_blocks_are_means_of_neighbours():
    values = np.arange(25.0).reshape(5, 5)
    values[0, 0] = np.nan
    expected = [[4, 5, 6.5], [13, 15, 16.5], [20.5, 22.5, 24]]
    np.testing.assert_allclose(blocks(values, 2), expected)


def mixture(ratio):
    """Weights with half for oneself and these ratios to the even share, one round, one unit."""
    count = len(ratio)
    others = np.where(np.eye(count), 0, ratio)
    weights = others / others.sum(1, keepdims=True).clip(1e-9) / 2 + np.eye(count) / 2
    names = ["own-shop", *S[1:count]]
    place = {"round": [1], "unit": ["expert 0"], "client": names, "source": names}
    return xr.DataArray(weights[None, None], place, dims=list(place))


@pytest.mark.parametrize(
    ("ratio", "options", "said"),
    [
        (np.ones((6, 6)), {}, "hardly left the even split; no source gets more than 1.00 times"),
        (np.ones((6, 6)) + 9 * (np.arange(6) == 0), {}, "own-shop is the main source of 5 of 5 others"),
        (np.ones((1, 1)), {}, "one client, so there is nobody to learn from"),
        (np.ones((2, 2)), {}, "of the other, own-shop takes 50 % and s-1 takes 50 %"),
        (
            1 + 2.0 * np.kron(np.eye(2), np.ones((3, 3))),
            {"clusters": [0, 0, 0, 1, 1, 1]},
            "take 1.7 times as",
        ),
    ],
)
def test_the_title_of_mixing_says_what_was_learned(ratio, options, said):
    figure = mixing(mixture(ratio), **options)
    assert said in plain(figure.get_suptitle())
    for one, other in re.findall(r"(\S+) takes most from (\S+)", figure.alt):
        assert one != other
    if "main source" in said:
        assert "s-3 takes most from own-shop" in figure.alt


def test_maps_end_with_the_round_that_validation_chose():
    cosines, weights = arrays(["a", "b", "c"], last=9)
    for draw, array in ((mixing, weights), (conflicts, cosines)):
        chosen = draw(array.assign_attrs({"of": "mine, seed 0", "chosen": 4}))
        assert (
            plain(chosen.get_suptitle()).startswith("Round 4: ") and "validation chose round 4" in chosen.alt
        )
        shown = [ax.get_title(loc) for ax in chosen.axes for loc in ("left", "center")]
        assert [t.split()[1] for t in shown if t.startswith("round")] == ["1", "2", "4"]
        assert plain(draw(array).get_suptitle()).startswith("Round 9: ")  # nobody knows which was chosen


def test_nobody_learns_where_all_weight_is_ones_own():
    array = mixture(np.ones((4, 4)))
    array[:] = np.eye(4)
    assert "nobody learns from anybody" in plain(mixing(array).get_suptitle())


# ---- names and fonts ----


def test_hyphens_in_names_stay_and_numbers_get_minus_signs():
    assert minus("Self-emp-not-inc −1 -0.5, a-1 (-2)") == "Self-emp-not-inc −1 −0.5, a-1 (−2)"
    names = ["Self-emp-not-inc", "State-gov", "app-1"]
    frame = results(["local", "fedavg", *PF], names, seeds=3)
    for method, auc in (("local", 0.7), ("pf_msmtrec", 0.6)):
        frame.loc[(frame["method"] == method) & (frame["scenario"] == "app-1"), "auc"] = auc
    said = " ".join(gains(frame).get_suptitle().split())
    assert re.search(r"clearly harmed: app-1 −\d+", said)
    titles = [draw(arrays(names)[n]).get_suptitle() for n, draw in HEATMAPS]
    assert not any(f"{letter}−" in title for title in titles for letter in "efpt")


@pytest.fixture
def font(tmp_path):
    """Install, for a test, a font "Course Hangul" that has 한 and 글 and nothing else."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from matplotlib import font_manager

    from pfmsm_lite.lab import style

    pen = TTGlyphPen(None)
    for step, x, y in (("moveTo", 0, 0), ("lineTo", 0, 700), ("lineTo", 700, 700), ("lineTo", 700, 0)):
        getattr(pen, step)((x, y))
    pen.closePath()
    glyph = pen.glyph()
    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder([".notdef", "han", "geul"])
    made.setupCharacterMap({ord("한"): "han", ord("글"): "geul"})
    made.setupGlyf(dict.fromkeys([".notdef", "han", "geul"], glyph))
    made.setupHorizontalMetrics(dict.fromkeys([".notdef", "han", "geul"], (1000, 0)))
    made.setupHorizontalHeader(ascent=800, descent=-200)
    made.setupNameTable({"familyName": "Course Hangul", "styleName": "Regular"})
    made.setupOS2(sTypoAscender=800, sTypoDescender=-200)
    made.setupPost()
    made.save(tmp_path / "hangul.ttf")
    before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(tmp_path / "hangul.ttf")
    style._installed.cache_clear()
    yield "Course Hangul"
    font_manager.fontManager.ttflist[:] = before
    style._installed.cache_clear()


def test_a_letter_is_shown_where_any_installed_font_has_it(font):
    figure = mixing(arrays(["한글", "b-c", "한"])[1])
    labels = [label for label in figure.axes[0].get_yticklabels()]
    assert {label.get_text() for label in labels} == {"한글", "b-c", "한"}
    assert all(label.get_fontfamily() == ["DejaVu Sans", font] for label in labels)
    assert mixing(arrays(S[:2])[1]).axes[0].yaxis.label.get_fontfamily() == ["DejaVu Sans"]
    assert not faults(figure)  # a missing letter would be a warning, and that an error
    assert {
        label.get_text() for label in mixing(arrays(["\U0010fffd한", "b"])[1]).axes[0].get_yticklabels()
    } == {"1: □한", "b"}


def test_a_number_after_an_arabic_name_keeps_its_sign_in_front():
    frame = results(["local", *PF], ["الصفحة", "b"], seeds=3)
    for method, auc in (("local", 0.7), ("pf_msmtrec", 0.6)):
        frame.loc[(frame["method"] == method) & (frame["scenario"] != "b"), "auc"] = auc
    assert "clearly harmed: الصفحة\u200e −10.0 points" in gains(frame).finding


def test_without_such_a_font_a_box_stands_for_the_letter_and_the_alt_text_has_it():
    figure = mixing(arrays(["\U0010fffd", "b", "c"])[1])
    assert any("□" in label.get_text() for label in figure.axes[0].get_yticklabels())
    assert "\U0010fffd" in figure.alt


def test_the_users_font_is_respected_where_it_is_installed():
    for asked, used in (
        (["DejaVu Serif"], "DejaVu Serif"),
        (["serif"], "DejaVu Serif"),
        (["Nowhere Sans"], "DejaVu Sans"),
    ):
        with mpl.rc_context({"font.family": asked}):
            figure = mixing(arrays(S[:3])[1])
        assert figure.axes[0].yaxis.label.get_fontfamily()[0] == used


def test_numbers_stand_out_from_their_cells():
    def light(color):
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
        return np.dot(parts, (0.2126, 0.7152, 0.0722)) + 0.05

    array = arrays(S[:8], 1)[1]
    array[:] = np.linspace(0, 1, 64).reshape(8, 8)
    ax = mixing(array).axes[0]
    shades = cells(ax)[0].get_facecolors().reshape(8, 8, -1)
    assert len(ax.texts) == 64
    for text in ax.texts:
        x, y = text.get_position()
        pair = light(text.get_color()), light(shades[int(y), int(x)][:3])
        assert max(pair) > 3.4 * min(pair), text.get_text()  # white or ink: one of them has 3.5


def test_names_can_be_told_apart_and_a_single_method_stands_beside_its_scenario():
    names = ["Main feed, new users, app", "Main feed, old users, app"]
    axes = mixing(arrays(names)[1]).axes[0], auc(results(PF, names)).axes[0]
    handles = auc(results(OWN, S[:2])).axes[-1].get_legend().legend_handles
    looks, labels = {(h.get_color(), h.get_marker()) for h in handles}, [ax.get_yticklabels() for ax in axes]
    assert [len(looks), *(len({label.get_text() for label in own}) for own in labels)] == [10, 2, 2]
    assert [y for line in axes[1].lines if line.get_marker() == "o" for y in line.get_ydata()] == [0, 1]


@pytest.mark.parametrize(
    "case", [f"auc, 2 scenarios, 2 tasks, {len(ALL)} methods", "convergence, one method", "mixing of 2"]
)
def test_the_same_input_gives_the_same_pixels_whatever_style_was_chosen_elsewhere(case):
    (draw, data, options), files = CASES[case], [io.BytesIO(), io.BytesIO()]
    draw(data, **options).savefig(files[0])
    with plt.style.context("dark_background"):
        figure = draw(data, **options)
    figure.savefig(files[1])
    assert files[0].getvalue() == files[1].getvalue()


def test_bad_input_is_refused():
    frame, curves, pair = results(PF, S[:3]), rounds({"local": [[np.nan] * 3]}), arrays(S[:3])
    for draw, data, options, error, words in (
        (auc, frame, {"split": "train"}, ValueError, "no rows of split 'train'"),
        (auc, frame, {"ceiling": np.ones((1, 3))}, ValueError, r"\(1, 3\), not 3 scenarios × 1 tasks"),
        (convergence, curves, {}, ValueError, "no validation AUC"),
        *((draw, pair[n], {"unit": "expert 9"}, KeyError, "unit") for n, draw in HEATMAPS),
        *((draw, pair[n], {"rounds": [2, 10]}, ValueError, "rounds 1 to 9 were") for n, draw in HEATMAPS),
        *((draw, pair[n], {"clusters": [0]}, ValueError, "1 cluster labels for 3") for n, draw in HEATMAPS),
        (conflicts, arrays(["a"])[0], {}, ValueError, "client"),
    ):
        with pytest.raises(error, match=words):
            draw(data, **options)


def history(method, names, recorded=True, auc=0.7):
    made = History(method, 0, names, UNITS)
    made.best = {split: [(name, "click", 99, 9, auc, 0.5) for name in names] for split in ("valid", "test")}
    made.lines = [[r, name, "click", auc, 0.5, 0.1, 1000, 0] for r in (1, 2, 3) for name in names]
    if recorded:
        pair, share = (array.values * (method == "pf_msmtrec") for array in arrays(names, 3))
        made.arrays = {"cosine_before": [*pair[0]], "cosine_after": [*pair[1]], "weights": [*share]}
    return made


def test_draw_all_draws_what_the_histories_recorded():
    local, other, pf = (history(m, S[:3], m != "local") for m in ("local", "no_template", *PF))
    assert [*draw_all([local])] == [*draw_all([history("fedavg", ["one"])])] == NAMES[:2]
    figures = draw_all([local, other, pf], np.full((3, 1), 0.9), [0, 1, 0])
    assert list(figures) == NAMES and not [fault for figure in figures.values() for fault in faults(figure)]
    assert cells(figures["mixing"].axes[0])[0].get_array().max() > 0  # those of pf_msmtrec
    with pytest.raises(ValueError, match="cluster labels"):
        draw_all([pf], clusters=[0])
    assert "mixing" in draw_all([history("pf_msmtrec", S[:2], auc=np.nan)]), "there is no AUC to draw"


def test_a_title_is_about_the_method_that_validation_rows_choose():
    aucs = {"local": (0.6, 0.6), "ditto": (0.72, 0.70), "fedavg": (0.70, 0.75)}  # on valid, on test rows
    lines = [
        (method, seed, name, "click", split, 100, 40, auc + 0.001 * seed, 0.6)
        for method, both in aucs.items()
        for split, auc in zip(("valid", "test"), both, strict=True)
        for seed in (0, 1)
        for name in ("a", "b")
    ]
    results = pd.DataFrame(lines, columns=list(RESULTS))
    assert hero_of(results) == "ditto"
    assert auc_by_scenario(results).finding.startswith("ditto ")
    assert gains(results).finding.startswith("ditto ")

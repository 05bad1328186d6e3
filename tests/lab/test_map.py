"""The map of the modules: its numbers by hand, its command from end to end, what it says of bad input."""

import json

import pandas as pd
import pytest
from scipy import stats

from pfmsm_lite import METHODS, run
from pfmsm_lite.course.drawings.chapter10 import again, along, module_map
from pfmsm_lite.data import synthetic
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.cli import main, parser
from pfmsm_lite.lab.map import LEVELS, METHODS_USED, PICKED, WITHOUT, average, checked, printed, table

SMALL = {"sizes": [60] * 6, "test_rows": 60, "fields": {"user": 20, "item": 10}}
KNOBS = [word for name, value in SMALL.items() for word in ("--knob", f"{name}={json.dumps(value)}")]
WORDS = ["map", "--factors", "wrong labels", "--seeds", "2", "--rounds", "1", *KNOBS]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("map") / "map"
    assert main([*WORDS, "--out", str(out)]) == 0
    return out


def lines(aucs, factor="a knob", level="1"):
    return pd.DataFrame(
        [(factor, level, method, seed, auc) for method, own in aucs.items() for seed, auc in enumerate(own)],
        columns=["factor", "level", "method", "seed", "auc"],
    )


def test_a_modules_gain_is_the_paired_difference_in_points():
    found = table(lines({"pf_msmtrec": [0.8, 0.82, 0.84], "no_template": [0.79, 0.80, 0.84]}))
    assert list(found["module"]) == ["template"] and found["gain"].tolist() == pytest.approx([1.0])
    low, high = stats.t.interval(0.95, 2, loc=1.0, scale=stats.sem([1.0, 2.0, 0.0]))
    assert found[["low", "high"]].to_numpy().tolist()[0] == pytest.approx([low, high])
    assert "*" not in printed(found)
    p = stats.ttest_rel([0.8, 0.82, 0.84], [0.79, 0.80, 0.84]).pvalue
    assert found["p"].tolist() == found["p_holm"].tolist() == pytest.approx([p])
    sure = table(lines({"pf_msmtrec": [0.8, 0.82, 0.84], "no_template": [0.79, 0.80, 0.82]}))
    assert "+1.67*" in printed(sure)


def test_a_seed_that_failed_is_left_out_of_its_pair_and_one_seed_has_no_interval():
    whole = lines({"pf_msmtrec": [0.8, 0.9], "local": [0.7, 0.7]})
    found = table(whole.drop(index=whole.query("method == 'local' and seed == 1").index))
    assert found["seeds"].tolist() == [1] and found["gain"].tolist() == pytest.approx([10.0])
    assert found["low"].isna().all() and "*" not in printed(found)


def test_the_correction_counts_lines_of_the_same_data_once():
    usual = {"pf_msmtrec": [0.8, 0.82, 0.84], "no_template": [0.79, 0.80, 0.82]}
    other = {"pf_msmtrec": [0.8, 0.82, 0.84], "no_template": [0.80, 0.83, 0.83]}
    found = table(pd.concat([lines(usual), lines(other, "another"), lines(usual, "a third")]))
    assert found["p_holm"].tolist() == pytest.approx([2 * found["p"][0], found["p"][1], 2 * found["p"][0]])


def test_the_average_over_the_map_counts_the_same_data_once_and_only_whole_levels():
    usual = {"pf_msmtrec": [0.80, 0.90], "local": [0.79, 0.86]}  # gains 1 and 4, in two factors
    other = {"pf_msmtrec": [0.70, 0.70], "local": [0.67, 0.68]}  # 3 and 2
    both = pd.concat([lines(usual), lines(other, "another"), lines(usual, "a third")])
    found = average(both)
    low, high = stats.t.interval(0.95, 1, loc=2.5, scale=stats.sem([2, 3]))
    p = stats.ttest_1samp([2, 3], 0).pvalue
    assert found.to_numpy().tolist() == [pytest.approx([2.5, low, high, p])]
    assert list(found.index) == ["anything sent"]
    broken = both[~both.eval("factor == 'another' and method == 'local' and seed == 1")]
    assert average(broken)["gain"].tolist() == pytest.approx([(2 + 4) / 2])


def test_every_level_can_be_made_and_every_module_has_a_method():
    for level in LEVELS:
        count = len(level.knobs.get("sizes", range(6)))
        scenarios, _ = synthetic(**{**level.knobs, "sizes": (60,) * count, "test_rows": 60}, seed=1)
        assert len(scenarios) == count
    assert set(WITHOUT.values()) <= set(METHODS) and len({level[:2] for level in LEVELS}) == len(LEVELS)
    for factor in {level.factor for level in LEVELS} - {PICKED}:
        assert len([level for level in LEVELS if level.factor == factor]) >= 3


def test_the_worlds_that_a_search_led_to_are_part_of_no_map_but_can_be_asked_for(tmp_path):
    def factors(*more):
        words = ["map", "--out", str(tmp_path / "out"), *more]
        return checked(vars(parser().parse_args(words)))["factors"]

    assert factors() == [f for f in dict.fromkeys(level.factor for level in LEVELS) if f != PICKED]
    assert factors("--factors", "picked") == [PICKED]
    with pytest.raises(UserError, match="'picked' stands alone"):
        factors("--factors", "wrong labels,picked")


def test_the_command_writes_what_the_runs_give(drawn):
    results, gains = pd.read_csv(drawn / "aucs.csv"), pd.read_csv(drawn / "map.csv")
    own = [level for level in LEVELS if level.factor == "wrong labels"]
    assert len(results) == len(own) * 2 * len(METHODS_USED) and len(gains) == len(own) * len(WITHOUT)
    last = own[-1]
    scenarios, _ = synthetic(**SMALL, **last.knobs, seed=1)
    again = run(scenarios, METHODS["no_template"], 1, 1).results.query("split == 'test'")["auc"].mean()
    there = results.query("level == @last.label and method == 'no_template' and seed == 1")["auc"]
    assert there.tolist() == pytest.approx([again])
    assert table(results)["gain"].to_numpy() == pytest.approx(gains["gain"].to_numpy())
    assert (drawn / "map.png").stat().st_size > 5000


def test_one_seed_has_no_interval_and_the_display_names_a_level_that_was_asked_for(tmp_path, capsys):
    assert main([*WORDS, "--seeds", "1", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert "nan" not in printed.out.split("averaged over the map")[1]
    assert {cell.name.split("-")[0] for cell in (tmp_path / "out" / "cells").iterdir()} == {
        str(number) for number, level in enumerate(LEVELS) if level.factor == "wrong labels"
    }


def test_on_resume_only_what_is_missing_is_done_again(drawn, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in (drawn / "cells").iterdir()}
    gone = sorted(before)[3]
    (drawn / "cells" / gone).unlink()
    results = (drawn / "aucs.csv").read_bytes()
    assert main(["map", "--resume", str(drawn)]) == 0
    after = {path.name: path.stat().st_mtime_ns for path in (drawn / "cells").iterdir()}
    assert {name for name in after if after[name] != before[name]} == {gone}
    assert (drawn / "aucs.csv").read_bytes() == results


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--factors", "wrong label"], "Did you mean 'wrong labels'"),
        (["--seeds", "0"], "--seeds is 0"),
        (["--knob", "labelnoise=0"], "Unknown --knob 'labelnoise'"),
        (["--knob", "across=0.9"], "--knob across: the map turns it itself ('likeness of the two groups')"),
        (["--rounds", "0"], "--rounds is 0"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(words, said, tmp_path, capsys):
    assert main(["map", *words, "--out", str(tmp_path / "out")]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out" / "cells").exists()


def test_a_level_that_cannot_be_made_fails_alone_and_the_exit_code_says_so(tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*WORDS, "--seeds", "1", "--knob", "rates=0.1", "--out", str(out)]) == 1
    said = capsys.readouterr().out
    assert "cannot be reached" in said and f"map --resume {out}" in said
    assert set(pd.read_csv(out / "map.csv")["level"]) == {"0%", "6%"}


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

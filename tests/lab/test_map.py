"""The map of the modules: its numbers by hand, its command from end to end, what it says of bad input."""

import json

import pandas as pd
import pytest
from running import cells
from scipy import stats

from pfmsm_lite import METHODS, run
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
    assert {name.split("-")[0] for name in cells(tmp_path / "out")} == {
        str(number) for number, level in enumerate(LEVELS) if level.factor == "wrong labels"
    }


def test_on_resume_only_what_is_missing_is_done_again(drawn, capsys):
    before = cells(drawn)
    gone = sorted(before)[3]
    (drawn / "cells" / gone).unlink()
    results = (drawn / "aucs.csv").read_bytes()
    assert main(["map", "--resume", str(drawn)]) == 0
    after = cells(drawn)
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

"""The README says what is true: its tables are those of the committed results, its commands exist."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from pfmsm_lite import run
from pfmsm_lite.data import synthetic
from pfmsm_lite.history import RESULTS
from pfmsm_lite.lab import map as modules
from pfmsm_lite.lab.cli import parser
from pfmsm_lite.lab.compare import COLUMNS, checked
from pfmsm_lite.lab.search import candidates
from pfmsm_lite.lab.statistics import against, holm, paired_interval, paired_p, per_seed, share_of_the_way
from pfmsm_lite.methods import METHODS, POOLED, Settings

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "notebooks" / "results"
TEACHING = ROOT / "notebooks" / "teaching"
README = (ROOT / "README.md").read_text(encoding="utf-8")
MEASURED = sorted(path.parent.name for path in (KEPT).glob("*/results.csv"))


def results(name):
    return pd.read_csv(KEPT / name / "results.csv")


def shown(row):
    if pd.isna(row.difference):
        return f"| {row.Index} | {row.auc:.4f} | |"
    return f"| {row.Index} | {row.auc:.4f} | {row.difference:+.2f} [{row.low:+.2f}, {row.high:+.2f}] |"


@pytest.mark.parametrize("name", ["kuairand", "synthetic"])
def test_the_tables_are_those_of_the_committed_results(name):
    for row in against(results(name)).itertuples():
        assert shown(row).replace("-", "−") in README.replace("-", "−"), shown(row)


COMPARED = sorted(path.parent.name for path in (KEPT).glob("*/compare.csv"))


@pytest.mark.parametrize("name", COMPARED)
def test_a_committed_comparison_gave_all_the_same_search_and_follows_from_its_results(name):
    folder = KEPT / name
    found = pd.read_csv(folder / "compare.csv")
    assert tuple(found.columns) == COLUMNS
    table = against(results(name))
    tried = pd.read_csv(folder / "settings.csv")
    assert tried.groupby("method").size().nunique() == 1 and found["tried"].nunique() == 1
    for _, own in tried.groupby("method"):
        averages = own.groupby("number")["valid_auc"].mean()
        assert own.loc[own["chosen"] == 1, "number"].unique().tolist() == [averages.idxmax()]
    assert found["seeds"].nunique() == 1
    for row in found.itertuples():
        assert row.auc == pytest.approx(table.auc[row.method])
        if row.method != "pf_msmtrec":
            assert row.difference == pytest.approx(table.difference[row.method])
    config = json.loads((folder / "config.json").read_text())
    options = checked(vars(parser().parse_args(config["command"].split()[3:])))
    settings = Settings(**config["settings"])
    assert tried.groupby("method")["seed"].unique().map(list).map(len).eq(options["tuning_seeds"]).all()
    for method, own in tried.groupby("method"):
        own = own[own["seed"] == 0]
        tries = candidates(METHODS[method], settings, options["budget"])
        assert [json.loads(setting) for setting in own["setting"]] == tries, method


def test_the_table_of_the_rivals_is_that_of_the_committed_comparisons():
    tables = {name: pd.read_csv(KEPT / name / "compare.csv") for name in COMPARED}
    assert len(tables) == 3
    section = README.split("### Rivals and relatives")[1].split("\n###")[0]
    for method in {name for table in tables.values() for name in table["method"]}:
        line = re.search(rf"^\| {method} \|.*$", section, re.M)
        assert line, method
        for table in tables.values():
            for row in table[table["method"] == method].itertuples():
                cell = f"{row.auc:.4f}"
                if method != "pf_msmtrec":
                    cell += f", {row.difference:+.2f} [{row.low:+.2f}, {row.high:+.2f}]"
                assert cell.replace("-", "−") in line[0].replace("-", "−"), (method, cell)
    counts = {}
    for name, table in tables.items():
        home = table[~table["method"].isin([*POOLED, "pf_msmtrec"])]
        ahead = home["low"] > 0
        behind = set(table[table["high"] < 0]["method"])
        counts[name] = (len(home), ahead.sum(), (ahead & (home["p_holm"] < 0.05)).sum(), behind)
    assert counts["rivals-kuairand"] == (13, 13, 13, set())
    assert "ahead of all 13 methods that leave rows at home" in " ".join(section.split())
    assert counts["rivals-hard"] == (13, 12, 12, set()) and "ahead of twelve of the 13" in section
    four = {"ple", "star", "shared_bottom", "pooled"}
    assert counts["rivals-synthetic"] == (13, 13, 13, four) and "ahead of all 13" in section


def said_of_kuairand():
    """What stands beneath the table of the rivals, on one line."""
    return " ".join(README.split("- **KuaiRand** (10 seeds")[1].split("\nMade by")[0].split())


def test_what_the_readme_says_of_kuairand_beside_the_table():
    folder, section = KEPT / "rivals-kuairand", said_of_kuairand()
    found = pd.read_csv(folder / "compare.csv").set_index("method")
    assert found["seeds"].eq(10).all() and found["auc"].idxmax() == "pf_msmtrec"
    assert found["setting"]["pf_msmtrec"] == "personal=ditto"
    rivals = found.drop("pf_msmtrec")
    assert rivals["low"].gt(0).all() and rivals["p_holm"].lt(0.05).all()
    assert set(POOLED) <= set(rivals.index) and len(POOLED) == 6 and "all six that see all" in section
    five = results("rivals-kuairand").query("seed < 5")
    first, averages = against(five).drop("pf_msmtrec"), per_seed(five)
    corrected = holm([paired_p(averages["pf_msmtrec"], averages[name]) for name in first.index])
    assert set(first.index[first["low"] <= 0]) == {"pooled"} and len(first) == 19
    assert sum((corrected < 0.05) & (first["low"] > 0)) == 13
    assert (
        "with five, `pooled` was level too, and 13 of the 19 stayed after the correction, not all" in section
    )
    for name in ("ditto", "pooled"):
        assert f"`{name}`" in section and f"({found.difference[name]:+.2f})" in section
    assert f"best round is {found.best_round.fedamp:.0f} on average" in section
    assert f"`fedprox`, with {found.best_round.fedprox:.0f}, is still cut" in section
    assert f"to {against(five).auc['pf_msmtrec']:.4f} with five seeds" in section
    for cost in ("stored_kb", "seconds"):  # "less to keep and to train"
        assert found[cost]["ditto"] < found[cost]["pf_msmtrec"]
    for name, rounds in {"rivals-synthetic": 10, "rivals-hard": 15}.items():  # "best round among the last"
        assert json.loads((KEPT / name / "config.json").read_text())["arguments"]["rounds"] == rounds
        other = pd.read_csv(KEPT / name / "compare.csv").set_index("method")
        assert (
            other["best_round"]["pf_msmtrec"] > rounds - 1 and (other["best_round"] > rounds - 1).sum() >= 5
        )
    four = found["auc"].nlargest(4)
    assert set(four.index) == {"ditto", "fedamp", "fedprox", "pf_msmtrec"} and four.max() - four.min() < 0.002
    tried = pd.read_csv(folder / "settings.csv")
    best = tried.loc[tried.groupby(["method", "seed"])["valid_auc"].idxmax()]
    alone = best.pivot(index="method", columns="seed", values="number")
    chosen = tried[tried["chosen"] == 1].groupby("method")["number"].first()
    unlike = [alone[seed] != chosen for seed in (0, 1)]
    assert not (unlike[0] & unlike[1]).any()
    assert f"disagree for {(alone[0] != alone[1]).sum()} of the {len(alone)} methods" in section
    assert (
        f"seed 0 alone would have changed {sum(unlike[0])} choices, seed 1 alone {sum(unlike[1])} others"
        in section
    )


def test_what_the_readme_says_of_single_tabs_and_of_the_other_pull():
    folder, section = KEPT / "rivals-kuairand", said_of_kuairand()
    rows = results("rivals-kuairand").query("split == 'test'")
    tabs = 100 * rows.groupby(["scenario", "method"])["auc"].mean().unstack()
    behind = tabs.rsub(tabs["pf_msmtrec"], axis=0)
    share = rows.groupby("scenario")["rows"].mean()
    share /= share.sum()
    weighted = -behind.mul(share, axis=0).sum()
    assert f"Tab 1 has {100 * share['tab 1']:.0f} % of the test rows" in section
    one = -behind.loc["tab 1"]
    assert f"`boosted_tree` is {one['boosted_tree']:.1f} points ahead of `pf_msmtrec`" in section
    assert f"and `fedprox` {one['fedprox']:.1f}, and weighted by rows they would lead by " in section
    assert f"lead by {weighted['boosted_tree']:.1f} and {weighted['fedprox']:.1f}." in section
    ditto = against(rows[rows["method"].isin(["ditto", "pf_msmtrec"]) & (rows["scenario"] == "tab 4")])
    assert behind["ditto"].idxmax() == "tab 4" and ditto["low"]["ditto"] > 0
    assert f"from tab 4 alone ({behind['ditto']['tab 4']:+.1f})" in section
    for tab in set(share.index) - {"tab 4"}:
        own = rows[rows["method"].isin(["ditto", "pf_msmtrec"]) & (rows["scenario"] == tab)]
        assert against(own)["low"]["ditto"] <= 0 <= against(own)["high"]["ditto"], tab
    gap = tabs.mean()["fedprox"] - tabs.mean()["fedavg_sum"]
    assert f"with such a term and {gap:.2f} points above it" in section
    other = pd.read_csv(folder / "ditto_pull_10.csv")
    whole = results("rivals-kuairand").query("method == 'pf_msmtrec'")
    line = against(pd.concat([whole, other])).loc["ditto"]
    said = f"{line.difference:+.2f} [{line.low:+.2f}, {line.high:+.2f}]".replace("-", "−")
    assert f"with 10 `ditto` is level on test rows, {said}" in section and line.low < 0
    tried = pd.read_csv(folder / "settings.csv").query("method == 'ditto'")
    aucs = 100 * tried.groupby("setting")["valid_auc"].mean()
    preferred = aucs['{"pull": 30.0}'] - aucs['{"pull": 10.0}']
    assert aucs.idxmax() == '{"pull": 30.0}' and f"preferred 30 by {preferred:.2f} points" in section


def test_what_the_readme_says_of_base_rates_and_weights():
    weights = pd.read_csv(KEPT / "kuairand" / "weights.csv").query("kind == 'expert'")
    few, many = ["tab 0", "tab 6"], ["tab 1", "tab 2", "tab 4"]
    assert weights["seed"].nunique() == 5 and "in all five seeds" in README
    for _, own in weights.groupby("seed"):
        matrix = own.pivot(index="client", columns="source", values="weight")
        assert matrix.sum(axis=1).round(2).eq(1).all()
        for group, others in ((few, many), (many, few)):
            for client in group:
                mates = [tab for tab in group if tab != client]
                assert matrix.loc[client, mates].sum() > 2 * matrix.loc[client, others].sum(), client
    notebook = json.loads((ROOT / "notebooks" / "07_personalized_aggregation.ipynb").read_text("utf-8"))
    printed = "".join(
        "".join(output["data"]["text/plain"])
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
        if "rows of a client" in "".join(output.get("data", {}).get("text/plain", ""))
    )
    gains = dict(re.findall(r"^(\d+) +(\S+ +\S+)", printed, re.M))
    even, learned = zip(*(gains[rows].split() for rows in ("500", "1000", "1500")), strict=True)
    flat = " ".join(README.split())
    assert f"the constant gains {learned[1]} AUC points ({even[1]} under an even split" in flat
    assert f"with 500 it gains {learned[0]}, but {even[0]} under an even split too" in flat
    assert f"with 1,500 it gains {learned[2]}." in flat


def said_of_modules():
    """The section on what each module gains."""
    return README.split("### Where does a module gain?")[1].split("\n###")[0]


def test_the_map_of_the_modules_follows_from_its_trainings_and_the_readme_says_so():
    folder = KEPT / "modules"
    aucs, gains = pd.read_csv(folder / "aucs.csv"), pd.read_csv(folder / "map.csv")
    pd.testing.assert_frame_equal(modules.table(aucs), gains)
    assert aucs.groupby(["factor", "level"]).size().eq(len(modules.METHODS_USED) * 5).all()
    drawn = [level for level in modules.LEVELS if level.factor != modules.PICKED]
    assert list(aucs[["factor", "level"]].drop_duplicates().itertuples(index=False, name=None)) == [
        level[:2] for level in drawn
    ]
    config = json.loads((folder / "config.json").read_text())
    assert parser().parse_args(config["command"].split()[3:]).seeds == aucs["seed"].nunique() == 5
    section = said_of_modules()
    best = gains.loc[gains.groupby("module")["gain"].idxmax()].set_index("module")
    for row in modules.average(aucs).itertuples():
        most = best.loc[row.Index]
        gain = f"{row.gain:+.2f} [{row.low:+.2f}, {row.high:+.2f}]"
        most_gain = f"{most['gain']:+.2f} [{most['low']:+.2f}, {most['high']:+.2f}]"
        line = f"| {row.Index} | {gain} | {most['factor']} {most['level']}: {most_gain} |"
        assert line.replace("-", "−") in section.replace("-", "−"), line
    extreme = aucs["level"].isin(["1 : 100", "1 : 30"])
    rest = modules.average(aucs[~extreme]).loc["personal mixtures"]
    assert f"it is {rest.gain:+.2f} [{rest.low:+.2f}, {rest.high:+.2f}]".replace("-", "−") in section
    single = gains[~gains["module"].str.contains("sent")]
    nearest = single.loc[single["p_holm"].idxmin()]
    cell = ["personal mixtures", "scale of numbers", "1 : 100"]
    assert nearest[["module", "factor", "level"]].tolist() == cell and nearest["p_holm"] > 0.05
    before = modules.table(aucs[aucs["factor"] != "base rates"]).set_index(["module", "factor", "level"])
    once, alone = (lines.drop_duplicates(["module", "gain"]) for lines in (gains, single))
    corrected = dict(
        zip(alone[["module", "factor", "level"]].agg(tuple, axis=1), holm(alone["p"]), strict=True)
    )
    flat = " ".join(section.split())
    assert f"all {len(once)} lines of the map" in flat
    assert f"mixtures at scales 1 : 100 (p = {nearest['p_holm']:.3f})" in flat
    assert f"it was {before['p_holm'][tuple(cell)]:.3f}, and for the modules alone it is" in flat
    assert f"for the modules alone it is {corrected[tuple(cell)]:.3f}." in flat
    overall = modules.average(aucs)
    four = overall[~overall.index.str.contains("sent")]
    assert f"p = {holm(four['p']).min():.2f})" in flat and (four["low"] > 0).sum() == 1
    mixed = alone[alone["module"] == "personal mixtures"]
    assert (
        0.4 < mixed.loc[mixed["level"].isin(["1 : 100", "1 : 30"]), "gain"].sum() / mixed["gain"].sum() < 0.5
    )
    unlike = single.query("module == 'personal mixtures' and factor == 'base rates' and level != 'alike'")
    assert f"({unlike['gain'].iloc[0]:+.2f} and {unlike['gain'].iloc[1]:+.2f} with base rates" in section
    assert (unlike["low"] < 0).all()
    kinds = {json.dumps(level.knobs) for level in drawn}
    assert f"{len(kinds)} kinds of\ndata, {len(kinds) * 5 * len(modules.METHODS_USED)} trainings" in section


def test_the_two_worlds_that_a_search_led_to_were_trained_on_new_seeds_and_the_readme_says_what_they_show():
    folder = KEPT / "picked"
    aucs, gains = pd.read_csv(folder / "aucs.csv"), pd.read_csv(folder / "map.csv")
    pd.testing.assert_frame_equal(modules.table(aucs), gains)
    searched = pd.read_csv(folder / "searched.csv")
    worlds = json.loads((folder / "searched.json").read_text())
    assert not set(aucs["seed"]) & set(searched["seed"]) and aucs["seed"].nunique() == 10
    assert set(searched["level"]) == set(worlds["worlds"]) and len(worlds["worlds"]) == 12
    picked = [level for level in modules.LEVELS if level.factor == modules.PICKED]
    assert list(aucs["level"].unique()) == [level.label for level in picked]
    for level in picked:
        knobs = json.loads(json.dumps(level.knobs))
        assert worlds["worlds"][level.label] == {"knobs": knobs, "settings": {}}
    section = said_of_modules().replace("−", "-")
    for module, own in gains.groupby("module"):
        cells = [f"{row.gain:+.2f} [{row.low:+.2f}, {row.high:+.2f}]" for row in own.itertuples()]
        assert f"| {module} | {' | '.join(cells)} |" in section
    quiet = modules.table(searched).query("module == 'normalization'")
    assert len(quiet) == 12 and quiet["gain"].abs().max() < 0.065 and (quiet["p_holm"] > 0.05).all()


def test_the_control_behind_coordinations_gain_says_what_the_readme_says():
    aucs = pd.read_csv(KEPT / "picked" / "control.csv").pivot(index="seed", columns="arm", values="auc")
    assert aucs.shape == (10, 7) and aucs.notna().all(axis=None)
    section = said_of_modules().replace("−", "-")
    flat = " ".join(section.split())

    def gain(this, that="not turned"):
        return tuple(100 * x for x in paired_interval(aucs[this], aucs[that]))

    def said(this, that="not turned"):
        mean, low, high = gain(this, that)
        return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"

    assert f"{said('turned')} for the turn, {said('not turned, mean as long')} for the stretch" in flat
    assert f"A server step of 1.5 gains {gain('not turned, server step 1.5')[0]:+.2f}," in flat
    assert f"coordination's gain ({said('turned, 30 rounds', 'not turned, 30 rounds')})" in flat
    same = 100 * (aucs["turned"] - aucs["not turned, mean as long"])
    assert same.abs().max() < 0.02


def test_a_world_of_the_search_can_be_trained_again():
    folder = KEPT / "picked"
    searched, kept = pd.read_csv(folder / "searched.csv"), json.loads((folder / "searched.json").read_text())
    world = "6 of 300, one taste"
    asked, seed = kept["worlds"][world], kept["seeds"][0]
    scenarios, _ = synthetic(**asked["knobs"], test_rows=kept["test_rows"], seed=seed)
    found = run(scenarios, METHODS["no_coordination"], kept["rounds"], seed, **asked["settings"]).results
    there = searched.query("level == @world and seed == @seed and method == 'no_coordination'")["auc"].item()
    assert found[found["split"] == "test"]["auc"].mean() == pytest.approx(there, abs=1e-4)


def test_the_share_of_the_way_to_pooled_is_what_the_results_say():
    mean, low, high = (100 * x for x in share_of_the_way(results("kuairand")))
    assert f"{mean:.0f} % [{low:.0f}, {high:.0f}] of the way from `local` to `pooled`" in README


@pytest.mark.parametrize("name", MEASURED)
def test_measured_runs_have_five_seeds_the_known_columns_and_a_command_that_still_exists(name):
    table = results(name)
    assert tuple(table.columns) == RESULTS and table["seed"].nunique() >= 5
    assert set(table["method"]) <= set(METHODS)
    config = json.loads((KEPT / name / "config.json").read_text())
    assert config["machine"] and config["versions"]["torch"] and config["date"]
    options = parser().parse_args(config["command"].split()[3:])
    seeds = options.seeds if isinstance(options.seeds, list) else range(options.seeds)
    assert sorted(seeds) == sorted(table["seed"].unique())


def test_every_command_of_the_readme_is_understood():
    commands = re.findall(r"python -m pfmsm_lite ((?:run|compare|map)[^`\n]*)", README)
    assert len(commands) > 3
    for command in commands:
        words = command.replace("<name>", "x").split()
        if "--help" not in words:
            parser().parse_args(words)


def test_every_file_that_the_readme_names_is_there():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_table_of_the_course_has_every_chapter_with_the_guides_minutes():
    pages = sorted((TEACHING).glob("chapter*.md"))
    stated = [
        re.search(r"Reading (\d+), exercises (\d+)", page.read_text(encoding="utf-8")) for page in pages
    ]
    rows = re.findall(
        r"^\| \[(\d\d) · .+?\]\(notebooks/\1_\w+\.ipynb\) \| .+? \| (\d+) \+ (\d+) \|", README, re.M
    )
    assert rows == [(page.stem[-2:], *found.groups()) for page, found in zip(pages, stated, strict=True)]


def test_every_picture_of_the_readme_is_there_and_has_an_alt_text():
    pictures = re.findall(r'<img src="([^"]+)" width="\d+" alt="([^"]+)">', README)
    assert len(pictures) == len(re.findall("<img", README)) == 11
    for path, alt in pictures:
        assert (ROOT / path).exists() and len(alt.split()) >= 5, path

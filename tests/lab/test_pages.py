"""The committed results: every page is what the files give, and the files follow from each other."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import pfmsm_lite.rivals  # noqa: F401
from pfmsm_lite import METHODS, run
from pfmsm_lite.data import synthetic
from pfmsm_lite.history import RESULTS
from pfmsm_lite.lab import bench, bench_fresh, pages
from pfmsm_lite.lab import map as modules
from pfmsm_lite.lab.cli import parser
from pfmsm_lite.lab.compare import COLUMNS, checked
from pfmsm_lite.lab.markdown import grid, interval, signed, small
from pfmsm_lite.lab.pages_speed import STAGES, speed_page, speed_table
from pfmsm_lite.lab.search import candidates
from pfmsm_lite.methods import Settings

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "notebooks" / "results"
PROTOCOL = (KEPT / "protocol.md").read_text(encoding="utf-8")
STUDIES = ("questions",)  # several studies in a file of another form, with tests of their own
MEASURED = sorted(p.parent.name for p in KEPT.glob("*/results.csv") if p.parent.name not in STUDIES)
COMPARED = sorted(path.parent.name for path in KEPT.glob("rivals-*/compare.csv"))


def results(name, file="results.csv"):
    return pd.read_csv(KEPT / name / file)


# ---- the pages ----


def test_the_page_of_the_results_is_what_the_files_give():
    said = (KEPT / "README.md").read_text(encoding="utf-8")
    assert said == pages.page(KEPT), "Write it anew: python -m pfmsm_lite.lab.pages"


def test_the_page_on_speed_is_what_its_file_gives():
    found = pd.read_csv(KEPT / "speed.csv", dtype=str, keep_default_na=False)
    said = (KEPT / "speed.md").read_text(encoding="utf-8")
    assert said == speed_page(found), "Write it anew: python -m pfmsm_lite.lab.pages"


def test_the_page_has_every_method_of_every_comparison_and_where_it_comes_from():
    page = pages.page(KEPT)
    for name in (
        "kuairand",
        "synthetic",
        "worlds",
        "pmtrec",
        *COMPARED,
        "modules",
        "picked",
        "picked-kin",
    ):
        config = json.loads((KEPT / name / "config.json").read_text(encoding="utf-8"))
        assert f"Made by `{config['command']}` on {config['date']}; {config['machine']}" in page, name
    for name in COMPARED:
        for row in results(name, "compare.csv").itertuples():
            shown = (
                f"{row.method}{' *' if row.best_set == 1 else ''} | {row.auc:.4f} | {row.auc_by_rows:.4f} |"
            )
            assert shown in page, (name, row.method)


def test_a_comparison_is_shown_as_its_table_says(tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(KEPT, folder)
    own = folder / "rivals-oulad"
    lines = {
        "method": ["ditto", "local", "constant"], "auc": [0.8, 0.7, 0.5], "auc_by_rows": [0.81, 0.71, 0.5],
        "difference": [10.0, None, None], "low": [-1.0, None, None], "high": [21.0, None, None],
        "best_set": [1, 0, None], "worst": [-2.5, None, None], "worst_client": ["AAA", None, None],
        "below": [2, None, None], "below_1": [1, None, None], "logloss": [0.4, 0.45, 0.6],
        "normalized_entropy": [0.8, 0.9, 1.01], "calibration_error": [0.02, 0.03, 0.01],
        "sent_kb": [10.0, 0.0, None], "stored_kb": [20.0, 10.0, None], "seconds": [2.0, 1.0, None],
        "epochs": [2, 1, None], "best_round": [3.0, 4.0, None], "setting": ["pull=3.0", "as declared", None],
    }  # fmt: skip
    table = pd.DataFrame(lines).reindex(columns=COLUMNS)
    table.to_csv(own / "compare.csv", index=False)
    table.assign(auc=[0.78, 0.7, 0.5]).to_csv(own / "equal_steps.csv", index=False)
    (own / "protocol.txt").write_text("Intervals: over this and that.\n")
    page = pages.page(folder)
    shown = (
        "| ditto * | 0.8000 | 0.8100 | +10.00 [−1.00, +21.00] | AAA −2.5 | 2 (1) | 0.400 | 0.800 | 0.020 |"
    )
    assert f"{shown} 10 | 20 | 2 | 3.0 | pull=3.0 |" in page
    assert "| constant | 0.5000 | 0.5000 |  |  |  | 0.600 | 1.010 | 0.010 |  |  |  |  |  |" in page
    assert "### OULAD" in page and "- Intervals: over this and that." in page
    assert "| ditto * | 2 | 0.8000 | 0.7800 | +10.00" in page
    other = pages.page(KEPT).split("\n### Synthetic default\n")[1].split("\n#")[0]
    assert other in page  # the others are shown as they were


def test_text_of_numbers():
    assert signed(-0.5) == "−0.50" and signed(1.234, 1) == "+1.2"
    assert interval(0.5, 0.1, 0.9) == "**+0.50 [+0.10, +0.90]**"
    assert interval(0.5, -0.1, 1.1) == "+0.50 [−0.10, +1.10]"
    assert interval(-0.5, -0.9, -0.1) == "**−0.50 [−0.90, −0.10]**"
    nan = float("nan")
    assert interval(nan, nan, nan) == "" and interval(0.5, nan, nan) == "+0.50"
    assert (small(nan), small(0.0123), small(0.00001234)) == ("", "0.012", "1e-05")
    assert grid(["a", "b"], [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |"


# ---- speed ----


@pytest.fixture
def printed(monkeypatch):
    """What `bench` prints, with times that are made up."""
    monkeypatch.setattr(bench, "seconds", lambda *functions: [1.0, 2.0, 4.0, 1.0, 2.5])
    monkeypatch.setattr(bench, "big_client", lambda *sizes, **options: None)
    times = dict(zip((*STAGES, "fit"), (n / 10 for n in range(10, 0, -1)), strict=True))

    def round_of(clients, rows, **options):
        return {stage: clients / 4 * seconds for stage, seconds in times.items()}

    monkeypatch.setattr(bench, "federation_round", round_of)
    monkeypatch.setattr(bench_fresh, "said", lambda *arguments: [1.5, 3000.0])
    lines = []
    bench.bench(lines.append)
    return "\n".join(lines) + "\n"


def test_what_bench_prints_is_read(printed):
    found = speed_table(printed, "2026-01-02").set_index(["part", "case", "measure"])["value"]
    assert found["about", "", "date"] == "2026-01-02" and found["about", "", "machine"]
    assert found["training", "this MMoE", "times"] == "2.00"
    rows = [float(found["training", case, "rows/s"]) for case in ("this MMoE", "this MMoE, bf16")]
    assert rows[1] == 2 * rows[0]
    cases = [case for part, case, measure in found.index if part == "round" and measure == "round"]
    assert len(cases) == 9 and cases[0] == "4 clients, 65,536 rows"
    assert (
        float(found["round", cases[0], "round"]) == 1 and float(found["round", cases[0], "evaluate"]) == 0.2
    )
    page = speed_page(speed_table(printed, "2026-01-02"))
    assert "2026-01-02" in page and "bf16 is 2.00 × as fast" in page and "keeps 80 % of its speed" in page
    assert "takes 16.0 times as long as with 4; 20 % of the difference is the evaluation" in page
    assert "With 256 clients evaluation takes 20 % of a round." in page and "takes 1.00 times as long" in page
    assert "| a server, 100 clients of 1,000,000 parameters, peak |  | 3000 |" in page


def test_what_bench_does_not_print_is_refused():
    with pytest.raises(ValueError, match="not what"):
        speed_table("something else\n", "2026-01-02")


def test_the_command_writes_the_pages_and_keeps_what_bench_does_not_measure(printed, tmp_path, monkeypatch):
    for file in KEPT.glob("*.csv"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "bench.txt").write_text(printed, encoding="utf-8")
    monkeypatch.setattr(pages, "page", lambda folder: "the page\n")
    assert pages.main(["--folder", str(tmp_path), "--bench", str(tmp_path / "bench.txt")]) == 0
    assert (tmp_path / "README.md").read_text() == "the page\n"
    after, before = (pd.read_csv(folder / "speed.csv", dtype=str) for folder in (tmp_path, KEPT))
    assert set(before["case"].dropna()) <= set(after["case"].dropna())
    assert after.query("case == 'this MMoE' and measure == 'times'")["value"].item() == "2.00"
    assert "2.00 ×" in (tmp_path / "speed.md").read_text(encoding="utf-8")


# ---- the committed files ----


@pytest.mark.parametrize("name", MEASURED)
def test_measured_runs_have_five_seeds_the_known_columns_and_a_command_that_still_exists(name):
    table = results(name)
    assert tuple(table.columns) in (RESULTS, (*RESULTS, "window"))
    least = 2 if name == "kuairand-last" else 3  # the last day may be looked at once only: two starts it was
    assert len(table.reindex(columns=["seed", "window"]).drop_duplicates()) >= least
    assert set(table["method"]) <= set(METHODS)
    config = json.loads((KEPT / name / "config.json").read_text())
    assert config["machine"] and config["versions"]["torch"] and config["date"]
    options = parser().parse_args(config["command"].split()[3:])
    seeds = options.seeds if isinstance(options.seeds, list) else range(options.seeds)
    assert sorted(seeds) == sorted(table["seed"].unique())


@pytest.mark.parametrize("name", COMPARED)
def test_a_committed_comparison_gave_all_the_same_search_and_follows_from_its_results(name):
    folder = KEPT / name
    found, tried = results(name, "compare.csv"), results(name, "settings.csv")
    aucs = results(name).query("split == 'test'").groupby("method")["auc"].mean()
    assert tried.groupby("method")["number"].nunique().nunique() == 1 and found["tried"].nunique() == 1
    for _, own in tried.groupby("method"):
        averages = own.groupby("number")["valid_auc"].mean()
        assert own.loc[own["chosen"] == 1, "number"].unique().tolist() == [averages.idxmax()]
    assert found["seeds"].nunique() == 1
    for row in found[found["method"] != "constant"].itertuples():
        assert row.auc == pytest.approx(aucs[row.method])
    assert tuple(found.columns) == COLUMNS
    assert found["method"].tolist()[:2] == ["logistic", "logistic_pooled"]  # the simplest first
    config = json.loads((folder / "config.json").read_text())
    options = checked(vars(parser().parse_args(config["command"].split()[3:])))
    settings = Settings(**config["settings"])
    assert tried.groupby("method")["seed"].nunique().eq(options["tuning_seeds"]).all()
    for method, own in tried.groupby("method"):
        own = own[own["seed"] == 0]
        tries = candidates(METHODS[method], settings, options["budget"])
        there = [json.loads(setting) for setting in own["setting"]]
        assert there[: len(tries)] == tries, method  # what follows lies beyond an end that won
        assert len(there) == len(tries) or options["extensions"] > 0


def test_the_map_of_the_modules_follows_from_its_trainings():
    aucs, gains = results("modules", "aucs.csv"), results("modules", "map.csv")
    pd.testing.assert_frame_equal(modules.table(aucs), gains)
    assert aucs.groupby(["factor", "level"]).size().eq(len(modules.METHODS_USED) * 5).all()
    drawn = [level[:2] for level in modules.LEVELS if level.factor != modules.PICKED]
    assert list(aucs[["factor", "level"]].drop_duplicates().itertuples(index=False, name=None)) == drawn
    config = json.loads((KEPT / "modules" / "config.json").read_text())
    assert parser().parse_args(config["command"].split()[3:]).seeds == aucs["seed"].nunique() == 5
    page = pages.page(KEPT)
    kinds = {json.dumps(level.knobs) for level in modules.LEVELS if level.factor != modules.PICKED}
    assert (
        f"5 seeds, each with data of its own; {len(kinds) * 5 * len(modules.METHODS_USED)} trainings" in page
    )


def test_the_two_kinds_of_data_that_a_search_led_to_were_trained_on_new_seeds():
    now = results("picked-kin", "aucs.csv")
    pd.testing.assert_frame_equal(modules.table(now), results("picked-kin", "map.csv"))
    assert set(now["method"]) == set(modules.METHODS_USED)
    aucs, gains = results("picked", "aucs.csv"), results("picked", "map.csv")
    pd.testing.assert_frame_equal(modules.table(aucs), gains)
    assert set(now["seed"]) == set(aucs["seed"])
    searched = results("picked", "searched.csv")
    worlds = json.loads((KEPT / "picked" / "searched.json").read_text())
    assert not set(aucs["seed"]) & set(searched["seed"]) and aucs["seed"].nunique() == 10
    assert set(searched["level"]) == set(worlds["worlds"]) and len(worlds["worlds"]) == 12
    picked = [level for level in modules.LEVELS if level.factor == modules.PICKED]
    assert list(aucs["level"].unique()) == [level.label for level in picked]
    for level in picked:
        knobs = json.loads(json.dumps(level.knobs))
        assert worlds["worlds"][level.label] == {"knobs": knobs, "settings": {}}
    quiet = modules.table(searched).query("module == 'normalization'")
    assert len(quiet) == 12 and quiet["gain"].abs().max() < 0.065 and (quiet["p_holm"] > 0.05).all()


def test_the_control_has_every_arm_on_every_seed():
    arms = results("picked", "control.csv").pivot(index="seed", columns="arm", values="auc")
    assert arms.shape == (10, 7) and arms.notna().all(axis=None)
    same = 100 * (arms["turned"] - arms["not turned, mean as long"])
    assert same.abs().max() < 0.02


def test_a_kind_of_data_of_the_search_can_be_trained_again():
    folder = KEPT / "picked"
    searched, kept = pd.read_csv(folder / "searched.csv"), json.loads((folder / "searched.json").read_text())
    world = "6 of 300, one taste"
    asked, seed = kept["worlds"][world], kept["seeds"][0]
    scenarios, _ = synthetic(**asked["knobs"], test_rows=kept["test_rows"], seed=seed)
    then = replace(METHODS["pf_msmtrec_partners"], coordinate="none")  # no_coordination before `kin`
    found = run(scenarios, then, kept["rounds"], seed, **asked["settings"]).results
    there = searched.query("level == @world and seed == @seed and method == 'no_coordination'")["auc"].item()
    assert found[found["split"] == "test"]["auc"].mean() == pytest.approx(there, abs=1e-4)


def test_tabs_with_similar_base_rates_borrow_from_each_other():
    weights = results("kuairand", "weights.csv").query("kind == 'expert'")
    few, many = ["tab 0", "tab 6"], ["tab 1", "tab 2", "tab 4"]
    assert weights["seed"].nunique() == 5
    for _, own in weights.groupby("seed"):
        matrix = own.pivot(index="client", columns="source", values="weight")
        assert matrix.sum(axis=1).round(2).eq(1).all()
        for group, others in ((few, many), (many, few)):
            for client in group:
                mates = [tab for tab in group if tab != client]
                assert matrix.loc[client, mates].sum() > 2 * matrix.loc[client, others].sum(), client


# ---- the protocol, where its numbers are those of committed files ----


def test_the_protocols_short_list_is_the_one_of_the_method():
    line = re.search(r"^\| 26, since then \| (.*) \|$", PROTOCOL, re.M)[1]
    search = METHODS["pf_msmtrec"].search
    assert line == "; ".join(f"`{field}` {', '.join(map(str, values))}" for field, values in search.items())
    pulls = ", ".join(f"{pull:g}" for pull in METHODS["ditto"].search["pull"][:-1])
    assert f"and are {pulls} and {METHODS['ditto'].search['pull'][-1]:g}." in " ".join(PROTOCOL.split())


def test_the_protocol_lists_every_comparison_that_is_committed():
    found = re.findall(r"^\| \d+ \| (\d+) \| .* \| \[(.*)\]\((.*)/protocol.txt\) \|", PROTOCOL, re.M)
    assert sorted(name for _, name, _ in found) == COMPARED
    for day, name, folder in found:
        assert name == folder and (KEPT / name / "protocol.txt").exists()
        assert json.loads((KEPT / name / "config.json").read_text())["date"] == f"2026-11-{day}"

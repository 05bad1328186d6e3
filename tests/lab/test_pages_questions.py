"""The open questions on the results page: every number is a line of the files, one seed has no interval."""

import json
from pathlib import Path

import pandas as pd
import pytest

from pfmsm_lite.lab.cli import parser
from pfmsm_lite.lab.pages_questions import questions
from pfmsm_lite.lab.questions import ANSWERS, COSTS, answers, checked
from pfmsm_lite.lab.versions import versions

KEPT = Path(__file__).parents[2] / "notebooks" / "results" / "questions"
ONE, FOUR = (None, None, 1), (1.0, 3.0, 4)  # low, high, seeds


def line(study, level, method, part="all", gain=2.0, of=FOUR, auc=0.7, worst=-0.5, losing=0, clients=2):
    low, high, seeds = of
    return (study, level, method, part, auc, gain, low, high, worst, losing, clients, seeds)


LINES = [
    line("how-many", "10", "pf_msmtrec", gain=2.0),
    line("how-many", "200", "pf_msmtrec", gain=5.5, of=ONE, losing=3, clients=200),
    line("sampled", "a tenth", "kin_asks_on_30", gain=1.25),
    line("data-poor", "opposed groups", "fedavg_sum", "30 rows", gain=4.0),
    line("data-poor", "opposed groups", "fedavg_sum", "3000 rows", gain=-2.0, of=(-3.0, -1.0, 4)),
    line("late", "a stranger", "asked again", gain=0.75),
    line("task-sets", "the two alone", "local", "the two, click", auc=0.6),
    line("task-sets", "the two alone", "local", "the two, conversion", auc=0.7),
    line("task-sets", "+ 4", "local", "the two, click", auc=0.6),
    line("task-sets", "+ 4", "local", "the two, conversion", auc=0.7),
    line("task-sets", "+ 4", "local", "the others, click", auc=0.5, clients=4),
    line("task-sets", "+ 4", "fedavg_sum", "the two, click", gain=3.5),
    line("columns", "nobody has them", "fedavg_sum", "last three", gain=-1.5, of=(-2.0, -1.0, 4)),
]


@pytest.fixture
def folder(tmp_path):
    own = tmp_path / "questions"
    own.mkdir()
    pd.DataFrame(LINES, columns=list(ANSWERS)).to_csv(own / "questions.csv", index=False)
    cost = ("how-many", "200", "pf_msmtrec", 200, 1, 10, 7.0, 51.2, 9.5, 1024.0)
    pd.DataFrame([cost], columns=list(COSTS)).to_csv(own / "costs.csv", index=False)
    config = {"command": "python -m pfmsm_lite questions", "date": "2026-11-27", "machine": "a machine"}
    (own / "config.json").write_text(json.dumps({**config, "versions": versions()}))
    return tmp_path


def test_a_folder_without_the_run_has_no_section(tmp_path):
    assert questions(tmp_path) == ""


def test_every_study_has_its_table(folder):
    said = questions(folder)
    for heading in ("How many scenarios?", "Clients sampled", "Clients with little", "comes late",
                    "Task sets", "Columns that differ"):  # fmt: skip
        assert f"### {heading}" in said.replace("### A client that comes", "### comes"), heading
    assert "| 10 | `pf_msmtrec` | 0.7000 | **+2.00 [+1.00, +3.00]** |" in said
    # one seed: no interval; costs stand beside it
    assert (
        "| 200 | `pf_msmtrec` | 0.7000 | +5.50 | −0.5; 3 of 200 | 7.0 of 10 | 51 | 9.50 | 1,024 | 1 |" in said
    )
    assert "gains +2.0 with 10 and +5.5 with 200 scenarios" in said
    assert "kin_asks_on_30" in said and "when somebody comes all are asked again" in said
    assert "Made by `python -m pfmsm_lite questions` on 2026-11-27; a machine" in said


def test_sizes_are_in_order_and_who_is_harmed_is_named(folder):
    said = questions(folder)
    assert "| condition | method | 30 rows | 3000 rows |" in said
    assert "Clearly harmed by `fedavg_sum`: opposed groups, 3000 rows (−2.0)." in said


def test_the_naive_mean_is_weighed_by_cells_and_the_same_cells_stay(folder):
    said = questions(folder)  # (2 · 60 + 2 · 70) / 4 = 65; with 4 · 50 beside it: 460 / 8 = 57.5
    assert "Their mean is 65.0 to 65.0:" in said
    assert "says: the two alone 65.0; + 4 57.5." in said


def test_a_study_that_was_not_run_is_left_out(folder):
    file = folder / "questions" / "questions.csv"
    pd.read_csv(file).query("study == 'columns'").to_csv(file, index=False)
    said = questions(folder)
    assert said.count("###") == 1 and "### Columns that differ" in said


def test_the_committed_answers_follow_from_the_committed_results():
    results = pd.read_csv(KEPT / "results.csv", dtype={"level": str})
    found = pd.read_csv(KEPT / "questions.csv", dtype={"level": str})
    pd.testing.assert_frame_equal(answers(results), found, atol=0.02, rtol=0.01, check_dtype=False)
    command = json.loads((KEPT / "config.json").read_text())["command"]
    options = checked(vars(parser().parse_args(command.split()[3:])))
    assert set(found["study"]) == set(options["only"]) and set(results["seed"]) <= set(options["seeds"])

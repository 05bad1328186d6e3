"""OULAD and Adult as CONTRIBUTING says: from the publishers' files to a table, and how that is read."""

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pfmsm_lite.lab import sources
from pfmsm_lite.lab.cli import parser
from pfmsm_lite.scenario import SPLITS

ROOT = Path(__file__).resolve().parents[2]
PART = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## Published tables\n")[1]
SCRIPTS = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", PART.split("\n## ")[0], re.M | re.S))
COMMANDS = {
    words.split()[2].removesuffix(".csv"): shlex.split(words)
    for words in re.findall(r"^python -m pfmsm_lite (run --data .*)$", PART.split("\n## ")[0], re.M)
}


def made(name, folder, monkeypatch):
    """What the script makes of the publisher's files in a folder."""
    monkeypatch.chdir(folder)
    exec(SCRIPTS[name], {})
    return pd.read_csv(folder / f"{name}.csv")


def read(name, file):
    """The scenarios of a file by the options of the documented command."""
    words = [*COMMANDS[name][:2], str(file), *COMMANDS[name][3:]]
    return sources.read(vars(parser().parse_args(words)))[0]


def published(name):
    """The table that lies beside the repository."""
    file = ROOT.parent / "shared" / "data" / name / f"{name}.csv.gz"
    if not file.exists():
        pytest.skip(f"no {file}: make it from the publisher's files as CONTRIBUTING.md says")
    return file


def test_oulad_from_its_files(tmp_path, monkeypatch):
    info = dict.fromkeys(("gender", "region", "highest_education", "imd_band", "age_band", "disability"), "x")
    info |= {"num_of_prev_attempts": 0, "studied_credits": 60}
    key = {"code_module": "AAA", "code_presentation": ["2013B", "2014J", "2013J"], "id_student": [1, 2, 3]}
    results = ["Withdrawn", "Pass", "Fail"]
    pd.DataFrame({**key, **info, "final_result": results}).to_csv(tmp_path / "studentInfo.csv", index=False)
    days = {"date_registration": [-5, -9, None], "date_unregistration": [40, None, None]}
    pd.DataFrame({**key, **days}).to_csv(tmp_path / "studentRegistration.csv", index=False)
    tests = {"code_module": "AAA", "code_presentation": ["2014J", "2014J"], "id_assessment": [7, 8]}
    pd.DataFrame({**tests, "weight": 10}).to_csv(tmp_path / "assessments.csv", index=False)
    handed = {"id_assessment": [7, 8, 8], "id_student": [2, 2, 1], "date_submitted": [18, 31, 3]}
    pd.DataFrame({**handed, "score": 50}).to_csv(tmp_path / "studentAssessment.csv", index=False)
    table = made("oulad", tmp_path, monkeypatch).sort_values("start")
    assert table[["stayed", "passed", "start", "early_n", "slack"]].to_numpy().tolist() == [
        [0, 0, 1, 0, 31], [1, 0, 2, 0, 31], [1, 1, 3, 1, 18],
    ]  # fmt: skip
    assert table["season"].tolist() == ["B", "J", "J"]
    assert set(table) == {
        *info, "code_module", "date_registration", "early_n", "slack", "start", "season", "stayed", "passed"
    }  # fmt: skip


def test_adult_from_its_files(tmp_path, monkeypatch):
    line = "39, State-gov, 77516, Bachelors, 13, {}, {}, Not-in-family, White, Male, 2174, 0, 40, ?, {}\n"
    train = line.format("Never-married", "Sales", "<=50K") + line.format("Divorced", "?", ">50K")
    (tmp_path / "adult.data").write_text(train)
    (tmp_path / "adult.test").write_text("|1x3 Cross validator\n" + line.format("Divorced", "Sales", ">50K."))
    table = made("adult", tmp_path, monkeypatch)
    assert table[["part", "income_50k", "never_married"]].to_numpy().tolist() == [
        ["train", 0, 1], ["test", 1, 0],
    ]  # fmt: skip
    assert not {"fnlwgt", "relationship", "marital_status", "income"} & set(table)


SIZES = {  # rows by scenario: as many as the tables have
    "oulad": {"AAA": 748, "BBB": 7909, "CCC": 4434, "DDD": 6272, "EEE": 2934, "FFF": 7762, "GGG": 2534},
    "adult": {"Adm-clerical": 5611, "Exec-managerial": 6086, "Priv-house-serv": 242, "Tech-support": 1446},
}
NUMBERS = {
    "oulad": {"num_of_prev_attempts", "studied_credits", "date_registration", "early_n", "slack"},
    "adult": {"age", "education_num", "capital_gain", "capital_loss", "hours_per_week"},
}


@pytest.mark.parametrize("name", ["oulad", "adult"])
def test_the_published_table_is_read_as_meant_and_no_alarm_is_left(name):
    file = published(name)
    table, found = pd.read_csv(file), read(name, file)
    sizes = {s.name: sum(len(s.rows(split).labels) for split in SPLITS) for s in found}
    scenario = COMMANDS[name][COMMANDS[name].index("--scenario") + 1]
    assert sizes == table[scenario].value_counts().to_dict() and sizes.items() >= SIZES[name].items()
    assert sum(sizes.values()) == {"oulad": 32_593, "adult": 46_018}[name]
    notes = found[0].notes
    kinds = {column: kind.partition(",")[0] for column, kind in notes["typing"].items()}
    assert {column for column, kind in kinds.items() if kind == "numerical"} == NUMBERS[name]
    assert set(kinds) == set(table) - {scenario, *found[0].tasks, "part"}
    assert not [text for text in notes["warnings"] if re.search("leak|too high|--ignore|--categorical", text)]
    for n, task in enumerate(found[0].tasks):  # every label stands where it stood
        own = np.concatenate([s.rows(split).labels[:, n].numpy() for s in found for split in SPLITS])
        source = np.concatenate([s.rows(split).source.numpy() for s in found for split in SPLITS])
        assert (table[task].to_numpy()[source] == own).all()
    if name == "adult":  # the publisher's split
        source = np.concatenate([s.test.source.numpy() for s in found])
        assert (table["part"].to_numpy()[source] == "test").all() and len(source) == 15_309

"""Tenrec, Ali-CCP, MovieLens, OULAD and Adult: as their publishers write them, and with what may be wrong."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from published_files import AITM, adult, aliccp_rows, movielens_1m, movielens_100k, oulad

from pfmsm_lite.data import aliccp, digest
from pfmsm_lite.data.adult import read_adult
from pfmsm_lite.data.aliccp import read_aliccp
from pfmsm_lite.data.movielens import read_movielens
from pfmsm_lite.data.oulad import joined, read_oulad
from pfmsm_lite.data.samples import write_tenrec
from pfmsm_lite.data.tenrec import HISTORY, read_tenrec
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import sources
from pfmsm_lite.lab.cli import parser
from pfmsm_lite.scenario import SPLITS, check

ROOT = Path(__file__).resolve().parents[2]


def rows_of(scenario, part):
    """One part of the Rows of all splits, with the numbers of the rows."""
    blocks = [scenario.rows(split) for split in SPLITS]
    return (
        np.concatenate([getattr(b, part).numpy() for b in blocks]),
        np.concatenate([b.source for b in blocks]),
    )


# ---- Tenrec ----


def test_tenrec_has_a_scenario_for_each_file_and_no_outcome_among_its_features(tmp_path):
    write_tenrec(tmp_path / "t", 1000, files=("QK-video", "QB-video"))
    found = check(read_tenrec(tmp_path / "t", tmp_path / "cache"))
    assert [s.name for s in found] == ["QB-video", "QK-video"] and found[0].tasks == ("click", "like")
    assert list(found[0].fields) == ["user_id", "item_id", "video_category", "gender", "age"]
    sizes = np.array([len(found[1].rows(split).labels) for split in SPLITS]) / 1000
    assert np.abs(sizes - [0.8, 0.1, 0.1]).max() < 0.04
    table = pd.read_csv(tmp_path / "t" / "QK-video.csv", na_values="\\N")
    for part, columns in (("labels", ["click", "like"]), ("categorical", ["video_category"])):
        own, rows = rows_of(found[1], part)
        if part == "labels":
            assert (own == table[columns].to_numpy()[rows]).all()
        else:  # equal ids where the categories are equal, a gap is one of them
            pairs = set(zip(own[:, 2].tolist(), table["video_category"].fillna(-1)[rows], strict=True))
            assert len(pairs) == 3 and all(code > 0 for code, _ in pairs)


def test_files_of_tenrec_that_differ_share_the_columns_that_all_have(tmp_path):
    write_tenrec(tmp_path / "t", 600, files=("QK-video", "QK-article"))
    found = check(read_tenrec(tmp_path / "t", tmp_path / "cache"))
    assert any("not in all files, so read of none: " in one for one in found[0].notes["reading"])
    assert list(found[0].fields) == [
        "user_id",
        "item_id",
        "gender",
        "age",
    ]  # labels of articles are 1.0 and 0.0
    alone = read_tenrec(tmp_path / "t", tmp_path / "cache", ["QK-article"], tasks=("like",))
    assert list(alone[0].fields)[2:4] == ["category_first", "category_second"] and alone[0].tasks == ("like",)
    with pytest.raises(UserError, match="lacks QB-video.csv. https://tenrec0.github.io says where"):
        read_tenrec(tmp_path / "t", tmp_path / "cache", ["QB-video"])
    with pytest.raises(UserError, match="lacks QK-video.csv, QB-video.csv, QK-article.csv, QB-article.csv"):
        read_tenrec(tmp_path, tmp_path / "cache")


def test_a_file_of_tenrec_that_is_there_under_two_names_is_refused(tmp_path):
    write_tenrec(tmp_path / "t", 60, files=("QK-video",))
    shutil.copy(tmp_path / "t" / "QK-video.csv", tmp_path / "t" / "QB-video.csv")
    with pytest.raises(UserError, match="begin and end alike: one is a copy"):
        read_tenrec(tmp_path / "t", tmp_path / "cache")


def test_a_history_is_one_bag_in_which_zero_is_nothing(tmp_path):
    write_tenrec(tmp_path / "t", 500, files=("ctr_data_1M",))
    found = check(read_tenrec(tmp_path / "t", tmp_path / "cache", ["ctr_data_1M"]))[0]
    assert found.bags == {"history": 10} and list(found.fields)[-1] == "history"
    ids, rows = rows_of(found, "categorical")
    history = pd.read_csv(tmp_path / "t" / "ctr_data_1M.csv")[list(HISTORY)].to_numpy()[rows]
    own = ids[:, -10:]
    some = (history > 0).any(1)
    assert some.mean() > 0.9 and ((own[some] >= 0) == (history[some] > 0)).all()
    assert len(set(zip(own[own > 0].tolist(), history[history > 0].tolist(), strict=False))) >= 59
    of_value = {}
    for code, value in zip(own[some][history[some] > 0], history[some][history[some] > 0], strict=True):
        assert of_value.setdefault(value, code) == code  # one id for each item, in whatever place


def test_a_wrong_cell_of_tenrec_is_named_with_its_line(tmp_path):
    path = write_tenrec(tmp_path / "t", 50, files=("QK-video",)) / "QK-video.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:7], lines[7].replace("\\N", "0") + ",9", *lines[8:]]) + "\n")
    with pytest.raises(UserError, match="QK-video.csv: line 8 has 11 cells, and 10 are wanted"):
        read_tenrec(tmp_path / "t", tmp_path / "cache")


# ---- Ali-CCP ----


@pytest.mark.parametrize(("columns", "names"), [(None, "ali_ccp_{}.csv"), (AITM, "ctr_cvr.{}")])
def test_aliccp_is_split_by_its_files_and_column_301_names_the_scenario(columns, names, tmp_path):
    tables, called = {}, {"train": "train", "valid": "val" if columns is None else "dev", "test": "test"}
    for n, (split, word) in enumerate(called.items()):
        tables[split] = aliccp_rows(600 - 200 * n, n, columns and list(columns))
        tables[split].to_csv(tmp_path / names.format(word), index=False)
    found = check(read_aliccp(tmp_path, tmp_path / "cache"))
    assert [s.name for s in found] == ["1", "2", "3"] and "301" not in found[0].fields
    assert list(found[0].fields) == [c for c in aliccp.FIELDS if columns is None or c in columns]
    assert found[0].numericals == (aliccp.NUMBERS if columns is None else ())
    for s in found:
        for split, table in tables.items():
            own = table[table["301"] == int(s.name)]
            assert (s.rows(split).labels.numpy() == own[["click", "purchase"]].to_numpy()).all()
    (tmp_path / names.format(called["valid"])).unlink()
    again = read_aliccp(tmp_path, tmp_path / "cache")
    held = len(again[0].valid.labels) / (len(again[0].valid.labels) + len(again[0].train.labels))
    assert 0.12 < held < 0.28 and "20% of the training rows" in " ".join(again[0].notes["reading"])


def test_what_is_wrong_with_aliccp_is_named(tmp_path):
    aliccp_rows(300).to_csv(tmp_path / "ali_ccp_train.csv", index=False)
    with pytest.raises(UserError, match="lacks ali_ccp_test.csv.*with an account"):
        read_aliccp(tmp_path, tmp_path / "cache")
    aliccp_rows(90, 1, AITM).to_csv(tmp_path / "ali_ccp_test.csv", index=False)
    with pytest.raises(
        UserError, match="ali_ccp_test.csv has other columns than .*ali_ccp_train.csv: 109_14"
    ):
        read_aliccp(tmp_path, tmp_path / "cache")
    table = aliccp_rows(90, 1)
    table.loc[7, ["click", "purchase"]] = 0, 1
    table.to_csv(tmp_path / "ali_ccp_test.csv", index=False)
    with pytest.raises(UserError, match="ali_ccp_test.csv: line 9 has purchase = 1 and click = 0"):
        read_aliccp(tmp_path, tmp_path / "cache")
    table = aliccp_rows(90, 1).astype({"301": "Int64"})
    table.loc[11, "301"] = pd.NA
    table.to_csv(tmp_path / "ali_ccp_test.csv", index=False)
    with pytest.raises(UserError, match="ali_ccp_test.csv: line 13 names no scenario"):
        read_aliccp(tmp_path, tmp_path / "cache")
    shutil.copy(tmp_path / "ali_ccp_train.csv", tmp_path / "ali_ccp_test.csv")
    with pytest.raises(UserError, match="ali_ccp_train.csv and .*ali_ccp_test.csv begin and end alike"):
        read_aliccp(tmp_path, tmp_path / "cache")


# ---- MovieLens ----


@pytest.mark.parametrize("edition", [movielens_100k, movielens_1m])
def test_movielens_by_age_and_by_occupation(edition, tmp_path):
    edition(tmp_path / "ml")
    found = check(read_movielens(tmp_path / "ml"))
    assert {s.name for s in found} <= {"under 25", "25 to 34", "35 and over"} and len(found) == 3
    assert sum(len(s.rows(k).labels) for s in found for k in SPLITS) == 900 and found[0].bags.keys() == {
        "genres"
    }
    assert all((s.train.labels[:, 0] >= s.train.labels[:, 1]).all() for s in found)
    jobs = read_movielens(tmp_path / "ml", scenario="occupation")
    assert len(jobs) == (3 if edition is movielens_100k else 21) and "age" in jobs[0].fields
    assert "student" in " ".join(s.name for s in jobs)


def test_movielens_in_order_of_the_file_has_test_users_that_training_never_saw(tmp_path):
    table = movielens_100k(tmp_path / "ml-100k").sort_values("u", kind="stable", ignore_index=True)
    wanted = np.stack([table["r"] > 3, table["r"] > 4], 1)
    users = {}
    for order in ("file", "shuffled"):
        found = read_movielens(tmp_path, order=order)
        for s in found:
            labels, rows = rows_of(s, "labels")
            assert (labels == wanted[rows]).all()
        for split in SPLITS:
            own = np.concatenate([s.rows(split).source.numpy() for s in found])
            users[order, split] = set(table["u"].to_numpy()[own])
            assert abs(len(own) - {"train": 720, "valid": 90, "test": 90}[split]) < 4
    assert len(users["file", "test"] & users["file", "train"]) <= 1
    assert users["shuffled", "test"] <= users["shuffled", "train"]


WRONG = {
    "a rating of 6": (
        "u.data",
        12,
        lambda line: re.sub(r"\t\d\t8", "\t6\t8", line),
        "u.data: line 12 has a rating that is not 1 to 5: 6",
    ),
    "a user that nobody knows": (
        "u.data",
        3,
        lambda line: re.sub(r"^\d+", "999", line),
        "line 3 has a user_id that its table lacks: 999",
    ),
    "a line cut off": ("u.user", 9, lambda line: line[:5], "u.user: line 9 has 3 cells, and 5 are wanted"),
    "an age that is none": (
        "u.user",
        4,
        lambda line: line.replace("|19|", "|old|"),
        "u.user: line 4, column 'age': 'old' is not an id",
    ),
    "a gap": ("u.user", 4, lambda line: line.replace("|19|", "||"), "u.user: line 4 has no age"),
    "blank lines": (
        "u.data",
        4,
        lambda line: "\n\n" + re.sub(r"\t\d\t8", "\t6\t8", line),
        "u.data: line 6 has a rating that is not 1 to 5: 6",
    ),
    "a blank line first": ("u.data", 1, lambda line: "\n" + line, "u.data: line 1 is blank"),
    "a gap after a blank line": (
        "u.user",
        4,
        lambda line: "\n" + line.replace("|19|", "||"),
        "u.user: line 5 has no age",
    ),
    "an age below one": (
        "u.user",
        4,
        lambda line: line.replace("|19|", "|-5|"),
        "u.user: line 4 has the age that cannot be: -5",
    ),
    "a flag of two": (
        "u.item",
        3,
        lambda line: line[:-1] + "2",
        "u.item: line 3 has the flag of Western that cannot be: 2",
    ),
    "a film twice": ("u.item", 2, lambda line: re.sub(r"^2\|", "1|", line), "movie_id 1 stands twice"),
    "another separator": (
        "u.data",
        1,
        lambda line: line.replace("\t", ","),
        "u.data: line 1 is cut by comma, and the header by tab",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_line_of_movielens_is_named(name, tmp_path):
    movielens_100k(tmp_path)
    file, number, change, said = WRONG[name]
    lines = (tmp_path / file).read_text(encoding="latin-1").split("\n")
    lines[number - 1] = change(lines[number - 1])
    (tmp_path / file).write_text("\n".join(lines), encoding="latin-1")
    with pytest.raises(UserError, match=said):
        read_movielens(tmp_path)


def test_an_occupation_code_of_movielens_1m_that_is_none_is_named(tmp_path):
    movielens_1m(tmp_path)
    text = (tmp_path / "users.dat").read_text()
    (tmp_path / "users.dat").write_text(re.sub(r"^(1::\w::\d+::)\d+", r"\g<1>21", text))
    with pytest.raises(UserError, match="users.dat: line 1 has the occupation that cannot be: 21"):
        read_movielens(tmp_path)


def test_editions_that_lie_together_or_are_not_there_are_named(tmp_path):
    movielens_100k(tmp_path / "ml-100k")
    movielens_1m(tmp_path / "ml-1m")
    with pytest.raises(UserError, match="ml-100k and .*ml-1m. Say which in --data-dir"):
        read_movielens(tmp_path)
    (tmp_path / "ml-1m" / "movies.dat").unlink()
    with pytest.raises(UserError, match="movies.dat is missing. It is in the same archive"):
        read_movielens(tmp_path / "ml-1m")
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="neither u.data .100K. nor ratings.dat .1M."):
        read_movielens(tmp_path / "none")


# ---- OULAD and Adult ----


def test_oulad_from_the_publishers_files_and_from_one_table_is_the_same(tmp_path):
    oulad(tmp_path / "files")
    found = check(read_oulad(tmp_path / "files"))
    assert [s.name for s in found] == ["AAA", "BBB"] and found[0].tasks == ("stayed", "passed")
    assert {"date_registration (missing)"} < set(found[0].numericals) and "id_student" not in found[0].fields
    assert "the publisher has 32,593 registrations, and here are 60" in found[0].notes["reading"]
    joined(tmp_path / "files").to_csv(tmp_path / "oulad.csv", index=False)
    assert digest(read_oulad(tmp_path)) == digest(found)


OULAD = {
    "no result": (
        "studentInfo.csv",
        ("Withdrawn", "Gone"),
        "studentInfo.csv: row .* 'Gone' is none of Withdrawn, Fail",
    ),
    "a cell too many": (
        "studentAssessment.csv",
        ('"0","?"', '"0","?","more"'),
        r"studentAssessment.csv cannot be read as a table: line \d+ has 6 cells",
    ),
    "a column": (
        "studentRegistration.csv",
        ("date_registration", "day"),
        "Unknown column in .*studentRegistration.csv: 'date_registration'",
    ),
}


@pytest.mark.parametrize("name", OULAD)
def test_what_is_wrong_with_oulad_is_named(name, tmp_path):
    oulad(tmp_path)
    file, change, said = OULAD[name]
    path = tmp_path / file
    head, rows = path.read_text().split("\n", 1)
    first, rows = rows.split("\n", 1)
    changed = head.replace(*change), first, rows.replace(*change, 1)
    path.write_text("\n".join(changed))
    with pytest.raises(UserError, match=said):
        read_oulad(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=f"{file}"):
        read_oulad(tmp_path)


def test_adult_from_the_publishers_files(tmp_path):
    adult(tmp_path)
    found = check(read_adult(tmp_path))
    assert [s.name for s in found] == ["Sales", "Tech-support"]
    kept = [line for line in (tmp_path / "adult.test").read_text().split("\n")[1:-2] if "?, Not" not in line]
    assert sum(len(s.test.labels) for s in found) == len(kept)
    assert sum(int(s.test.labels[:, 0].sum()) for s in found) == sum(line.endswith(">50K.") for line in kept)
    assert sum(int(s.test.labels[:, 1].sum()) for s in found) == sum("Never-married" in line for line in kept)
    assert not {"fnlwgt", "relationship", "marital_status"} & {*found[0].fields, *found[0].numericals}
    assert any("adult.data has 600 rows" in text for text in found[0].notes["reading"])


@pytest.mark.parametrize(
    ("file", "line", "change", "said"),
    [
        (
            "adult.data",
            5,
            (", 40,", ", forty,"),
            "adult.data: line 5, column 'hours_per_week': 'forty' is not an id",
        ),
        (
            "adult.test",
            6,
            ("50K.", "50"),
            "adult.test: line 6, column 'income': .* is neither <=50K nor >50K",
        ),
        ("adult.test", 9, ("White, ", ""), "adult.test: line 9 has 14 cells, and 15 are wanted"),
        ("adult.data", 4, ("50K", "50"), "adult.data: line 4, column 'income'"),
    ],
)
def test_a_wrong_line_of_adult_is_named(file, line, change, said, tmp_path):
    adult(tmp_path)
    lines = (tmp_path / file).read_text().split("\n")
    lines[line - 1] = lines[line - 1].replace(*change)
    (tmp_path / file).write_text("\n".join(lines))
    with pytest.raises(UserError, match=said):
        read_adult(tmp_path)
    (tmp_path / "adult.test").unlink()
    with pytest.raises(UserError, match="adult.test is missing"):
        read_adult(tmp_path)


def test_files_of_adult_without_rows_and_copies_are_refused(tmp_path):
    adult(tmp_path)
    whole = (tmp_path / "adult.test").read_text()
    (tmp_path / "adult.test").write_text(whole.split("\n")[0] + "\n")
    with pytest.raises(UserError, match="adult.test holds no rows"):
        read_adult(tmp_path)
    (tmp_path / "adult.test").write_text("")
    with pytest.raises(UserError, match="adult.test holds no rows"):
        read_adult(tmp_path)
    shutil.copy(tmp_path / "adult.data", tmp_path / "adult.test")
    with pytest.raises(UserError, match="begin and end alike"):
        read_adult(tmp_path)
    lines = whole.split("\n")
    lines[5] = "\n\n" + lines[5].replace("50K.", "50")
    (tmp_path / "adult.test").write_text("\n".join(lines))
    with pytest.raises(UserError, match="adult.test: line 8, column 'income'"):
        read_adult(tmp_path)


@pytest.mark.parametrize("name", ["oulad", "adult"])
def test_the_real_files_read_by_name_as_by_the_documented_options(name):
    folder = ROOT.parent / "shared" / "data" / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}: fetch the publisher's files there")
    by_name = ["run", "--data", name, "--data-dir", str(folder)]
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    words = re.search(rf"^python -m pfmsm_lite (run --data {name}.csv .*)$", text, re.M)[1]
    by_options = shlex.split(words.replace(f"{name}.csv", str(folder / f"{name}.csv.gz")))
    found, wanted = (sources.read(vars(parser().parse_args(own)))[0] for own in (by_name, by_options))
    assert digest(found) == digest(wanted) and len(found) == {"oulad": 7, "adult": 13}[name]


# ---- the door ----


def test_published_data_run_by_name_with_the_options_that_they_take(tmp_path, monkeypatch, capsys):
    from pfmsm_lite.lab.cli import main

    monkeypatch.chdir(tmp_path)
    write_tenrec(tmp_path / "t", 300)
    small = ["--methods", "local", "--rounds", "1", "--seeds", "0", "--experts", "2", "--hidden", "8,4"]
    assert main(["run", "--data", "tenrec", "--data-dir", "t", "--out", "deep/out", *small]) == 0
    assert [*(tmp_path / "deep" / "cache").glob("Tenrec-QK-video-*/whole.json")]  # beside the run
    assert "how it was read: 2 files, 600 rows" in capsys.readouterr().out.lower()
    assert not list((tmp_path / "deep" / "out").glob("cache*"))
    for words, said in {
        "--data tenrec": "--data tenrec needs --data-dir: Tenrec's QK-video.csv",
        "--data tenrec --data-dir none": "--data-dir none is no folder",
        "--data tenrec --data-dir t --order file": "--order says nothing of .* tenrec. .*--data movielens",
        "--data movielens --data-dir t --cache-dir x": "--cache-dir says nothing of .*aliexpress or tenrec",
        "--data aliexpress --data-dir t --time day": "--time says nothing of .*--data FILE.csv",
    }.items():
        assert main(["run", *words.split(), *small]) == 2
        assert re.search(said, " ".join(capsys.readouterr().err.split())), words

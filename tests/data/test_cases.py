"""Small tables that go wrong, each in its own way: what is read, what is said, what is refused."""

import numpy as np
import pandas as pd
import pytest
from blocks import counts, refused

from pfmsm_lite import run
from pfmsm_lite.data import from_dataframe, read_table
from pfmsm_lite.data.files import read_file
from pfmsm_lite.data.table import load_table

ROLES = {"scenario": "channel", "tasks": ["click", "buy"]}
SHARES = {"app": 600, "mail": 300, "mini": 400, "web": 500}
SMALL = {"batch_size": 64, "experts": 2, "hidden": (8,), "tower": 4, "embedding_size": 4}


@pytest.fixture(scope="session")
def cases(kuairand_dir):
    """The folder of the cases, beside the real data."""
    path = kuairand_dir.parents[1] / "cases"
    if not path.is_dir():
        pytest.skip(f"no tables at {path}")
    return path


def typing(scenarios, column):
    return scenarios[0].notes["typing"][column]


def said(scenarios, *fragments):
    """The warnings that have all the fragments."""
    texts = scenarios[0].notes["warnings"]
    return [text for text in texts if all(fragment in text for fragment in fragments)]


def test_ids_of_19_digits_stay_200_beside_an_empty_cell(cases):
    found = load_table(cases / "c28_snowflake_gap.csv", **ROLES)
    assert typing(found, "user_id").startswith("categorical, 200 values")


@pytest.mark.parametrize("name", ["c14_semicolon_comma_decimal.csv", "c15_quoted_comma_decimal.csv"])
def test_a_decimal_comma_is_a_number(cases, name):
    found, plain = load_table(cases / name, **ROLES), load_table(cases / "c24_nan_numerical.csv", **ROLES)
    assert "decimal comma" in typing(found, "price") and typing(found, "price").startswith("numerical")
    assert found[0].train.numerical.std() == pytest.approx(1, abs=0.01)
    rows = [s.train.source.tolist() for s in found]
    assert rows == [s.train.source.tolist() for s in plain]
    if "semicolon" in name:
        assert "semicolon" in found[0].notes["reading"][0]


def test_one_word_among_numbers_is_named_and_missing(cases):
    found = load_table(cases / "c85_one_bad_number.csv", **ROLES)
    assert "1 missing" in typing(found, "price") and "price (missing)" in found[0].numericals
    assert len(said(found, "row 12 (line 13", "'price'", "'unknown'", "read as missing")) == 1


def test_gaps_in_numbers_become_the_mean_and_a_flag(cases):
    found = load_table(cases / "c24_nan_numerical.csv", **ROLES)
    price = pd.read_csv(cases / "c24_nan_numerical.csv")["price"]
    assert f"{price.isna().sum()} missing" in typing(found, "price")
    for scenario in found:
        rows = scenario.test
        gap = price.isna().to_numpy()[rows.source.numpy()]
        assert np.array_equal(rows.numerical[:, 1].numpy(), gap.astype(np.float32))
        assert (rows.numerical[gap, 0] == 0).all() and (rows.numerical[~gap, 0] != 0).any()


def test_blanks_in_the_header_and_a_column_of_row_numbers_are_said(cases):
    found = load_table(cases / "c22_header_spaces.csv", **ROLES)
    assert "' user_id '" in found[0].notes["reading"][0] and "user_id" in found[0].fields
    found = load_table(cases / "c19_index_column.csv", **ROLES)
    assert "Unnamed: 0" in found[0].notes["reading"][0] and len(found[0].fields) + 1 == 5


def test_a_scenario_of_one_row_is_left_out_and_the_others_are_trained(cases):
    found = load_table(cases / "c36_scn_one_row.csv", **ROLES)
    assert [s.name for s in found] == list(SHARES) and list(found[0].notes["left_out"]) == ["kiosk"]
    assert run(found, "fedavg", 1, **SMALL).best_round == 1


def test_lists_are_refused_with_the_remedy_and_read_as_bags(cases):
    path = cases / "c57_list_column.parquet"
    refused(["'history'", "--multi history", "--ignore history"], load_table, path, **ROLES)
    refused(["'history'", "--multi history"], load_table, path, categorical=["history"], **ROLES)
    found = load_table(path, multi="history", **ROLES)
    lists = read_file(path).frame["history"]
    assert found[0].bags["history"] == lists.map(len).max()
    assert found[0].train.categorical.shape[1] == len(found[0].fields) - 1 + found[0].bags["history"]
    for method in ("fedavg", "pooled", "pf_msmtrec"):
        assert run(found, method, 1, **SMALL).best_round == 1


def test_a_named_index_is_a_column(cases):
    found = load_table(cases / "c64_index_in_parquet.parquet", **ROLES)
    assert "user_id" in found[0].fields
    df = pd.read_parquet(cases / "c64_index_in_parquet.parquet")
    assert df.index.name == "user_id"
    assert "user_id" in from_dataframe(df, **ROLES)[0].fields


def test_one_class_among_validation_rows_chooses_the_round_by_log_loss(cases):
    found = load_table(cases / "c89_valid_all_zero.csv", time="ts", **ROLES)
    assert not any(s.valid.labels.nansum() for s in found)
    history = run(found, "fedavg", 3, **SMALL)
    assert history.chosen_by == "logloss"
    valid = history.results.query("split == 'valid'")
    assert valid["auc"].isna().all() and history.best_round >= 1
    assert history.results.query("split == 'test'")["auc"].notna().any()


def test_a_scenario_that_opens_late_is_trained_on_its_one_row(cases):
    found = load_table(cases / "d24_late_scenario.csv", time="ts", **ROLES)
    assert min(counts(s)[0] for s in found) == 1
    assert run(found, "fedavg", 2, **SMALL).best_round >= 1


def test_nearly_equal_scenario_names_are_named(cases):
    found = load_table(cases / "c35_scn_spaces_case.csv", **ROLES)
    assert len(said(found, "'app', 'app '", "'Web', 'web'")) == 1
    assert [s.name for s in found] == sorted(s.name for s in found)


def test_words_for_gaps_are_values_of_a_category(cases):
    found = load_table(cases / "c31_na_words.csv", **ROLES)
    assert typing(found, "item_id").startswith("categorical, 3 values")
    fewer = load_table(cases / "c31_na_words.csv", na=["NA"], **ROLES)
    assert typing(fewer, "item_id").startswith("categorical, 2 values")


def test_a_forgotten_time_is_said(cases):
    found = load_table(cases / "c53_time_forgotten.csv", **ROLES)
    assert len(said(found, "'ts' looks like a time", "--time ts")) == 1


def test_ratings_are_offered_a_rule_that_works(cases):
    path, roles = cases / "c06_label_rating.csv", ROLES | {"tasks": "rating"}
    refused(["row 1 (line 2", "'rating'", '--positive "rating>=4"'], load_table, path, **roles)
    found = load_table(path, positive="rating>=4", **roles)
    table = pd.read_csv(path)
    for scenario in found:
        own = table.iloc[scenario.test.source.numpy()]["rating"]
        assert np.array_equal(scenario.test.labels[:, 0], (own >= 4).astype(np.float32))


def test_korean_names_are_names(cases):
    found = load_table(cases / "c13_korean_utf8.csv", scenario="채널", tasks=["click", "buy"])
    assert [s.name for s in found] == ["메일", "미니", "앱", "웹"]


def test_warnings_go_through_python(cases):
    with pytest.warns(UserWarning, match="c53_time_forgotten.csv: column 'ts' looks like a time"):
        read_table(cases / "c53_time_forgotten.csv", **ROLES)

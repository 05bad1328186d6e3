"""Tables as people have them: separators, decimal signs, gaps, splits, people, copies, outcomes."""

import decimal
import gzip
import json

import numpy as np
import pandas as pd
import pytest
from blocks import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pfmsm_lite import run
from pfmsm_lite.data import SPLITS, Encoder, digest, from_dataframe
from pfmsm_lite.data.columns import Column
from pfmsm_lite.data.files import read_text
from pfmsm_lite.data.leaks import hanley_mcneil, held_out_auc
from pfmsm_lite.data.numerals import parse
from pfmsm_lite.data.table import load_table

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
ROLES = {"scenario": "shop", "tasks": "click"}


def table(rows=300, seed=0, **columns):
    draw = np.random.default_rng(seed)
    base = {
        "shop": draw.choice(["a", "b"], rows),
        "user_id": draw.integers(0, 40, rows),
        "price": np.round(draw.gamma(2, 50, rows), 2) + 0.01,
        "click": draw.integers(0, 2, rows),
    }
    return pd.DataFrame(base | {k: v(draw, rows) if callable(v) else v for k, v in columns.items()})


def warned(scenarios, *fragments):
    texts = scenarios[0].notes["warnings"]
    return [text for text in texts if all(fragment in text for fragment in fragments)]


# ---- how a file is written ----


@settings(max_examples=80, deadline=None)
@given(
    sep=st.sampled_from([",", ";", "\t", "|", "::"]),
    decimal=st.sampled_from([".", ","]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    gaps=st.sampled_from([0.0, 0.01, 0.4]),
    zipped=st.booleans(),
    ends=st.sampled_from(["\n", "\r\n"]),
    first=st.sampled_from(["", "sep", "# a comment\n"]),
)
def test_however_a_file_is_written_it_gives_the_same_rows(
    tmp_path_factory, sep, decimal, encoding, gaps, zipped, ends, first
):
    df = table(60, kind=lambda draw, rows: draw.choice(["Käse", "Wurst"], rows))
    df.loc[np.random.default_rng(1).random(60) < gaps, "price"] = np.nan
    want = from_dataframe(df, **ROLES)
    text = df.to_csv(index=False, sep="\x01", decimal=decimal, lineterminator="\n")
    cells = [line.split("\x01") for line in text.splitlines()]
    quoted = [[f'"{c}"' if len(sep) == 1 and sep in c else c for c in line] for line in cells]
    lines = [sep.join(line) for line in quoted]
    if first == "sep" and len(sep) == 1:
        lines = [f"sep={sep}", *lines]
    elif first.startswith("#"):
        lines = [first.strip(), *lines]
    path = tmp_path_factory.mktemp("t") / f"t.{'csv' if sep != chr(9) else 'tsv'}{'.gz' if zipped else ''}"
    content = (ends.join(lines) + ends).encode(encoding)
    path.write_bytes(gzip.compress(content) if zipped else content)
    found = load_table(path, encoding=encoding if encoding == "latin-1" else None, **ROLES)
    assert digest(found) == digest(want)
    said = " ".join(found[0].notes["reading"])
    assert (sep in (",", "\t")) or "separated by" in said or first == "sep"
    assert not first.startswith("#") or "comment" in said


@pytest.mark.parametrize(
    ("texts", "values", "style"),
    [
        (["1.5", "-2", ".5", "1e3"], [1.5, -2, 0.5, 1000], "plain"),
        (["12,50", "7", "-0,5"], [12.5, 7, -0.5], "decimal comma"),
        (["1,234", "12,345,678.5"], [1234, 12345678.5], "thousands with commas"),
        (["1.234,5", "12.345.678"], [1234.5, 12345678], "thousands with points, decimal comma"),
        (["1 234", "12 345,5"], [1234, 12345.5], "thousands with blanks"),
        (["$1,234.50", "$7"], [1234.5, 7], "thousands with commas"),
        (["12,5 €", "7 EUR"], [12.5, 7], "decimal comma"),
        (["45%", "5.5 %"], [45, 5.5], "plain"),
        (["1", "NA", "", "null"], [1, np.nan, np.nan, np.nan], "plain"),
        (["1", "2", "soon"], [1, 2, np.nan], "plain"),
    ],
)
def test_numbers_as_people_write_them(texts, values, style):
    found = parse(np.array(texts, object))
    assert np.array_equal(found.values, values, equal_nan=True) and found.style == style
    assert found.bad.tolist() == [text == "soon" for text in texts]


def test_a_decimal_sign_that_is_told_is_followed():
    texts = np.array(["1,234", "5,678"], object)
    assert parse(texts).values.tolist() == [1234, 5678]
    assert parse(texts, ",").values.tolist() == [1.234, 5.678]
    assert parse(np.array(["1.234"], object), ",").values.tolist() == [1234]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=5, max_size=40), st.integers(0, 4))
def test_whole_numbers_stay_exact_whatever_gap_there_is(values, gap):
    texts = [str(value) for value in values]
    for series in (
        pd.Series(values, dtype="Int64").mask(np.arange(len(values)) == gap),
        pd.Series(values, dtype="int64[pyarrow]").mask(np.arange(len(values)) == gap),
        pd.Series([None if n == gap else v for n, v in enumerate(values)], dtype=object),
        pd.Series(["" if n == gap else v for n, v in enumerate(texts)], dtype="str"),
    ):
        codes, names = Column(series.rename("user_id")).as_text()
        read = [None if code < 0 else names[code] for code in codes]
        assert read == [None if n == gap else text for n, text in enumerate(texts)]


def test_every_dtype_reads_alike():
    plain = table()
    want = digest(from_dataframe(plain, **ROLES))
    for spoiled in (
        plain.convert_dtypes(),
        plain.convert_dtypes(dtype_backend="pyarrow"),
        plain.astype({"price": object, "user_id": object}),
        plain.assign(price=[decimal.Decimal(str(value)) for value in plain["price"]]),
        plain.assign(price=plain["price"].map(lambda value: f"{value}")),
        plain.set_index("user_id").reset_index(),
        plain.set_index("user_id")[["shop", "price", "click"]],
    ):
        found = from_dataframe(spoiled, categorical="user_id", numerical="price", **ROLES)
        assert digest(found) == want


# ---- which rows train, which are held out ----


def test_a_person_is_on_one_side_alone_over_all_scenarios():
    df = table(2000)
    found = from_dataframe(df, group="user_id", **ROLES)
    people = {
        split: {df["user_id"][int(row)] for s in found for row in s.rows(split).source} for split in SPLITS
    }
    assert not people["train"] & people["valid"] and not people["train"] & people["test"]
    assert not people["valid"] & people["test"] and set().union(*people.values()) == set(df["user_id"])
    rows = np.array([sum(len(s.rows(split).labels) for s in found) for split in SPLITS]) / 2000
    assert np.allclose(rows, (0.6, 0.2, 0.2), atol=0.06)
    refused(["--time and --group"], from_dataframe, df, group="user_id", time="price", **ROLES)


def test_copies_stay_on_one_side_so_that_chance_stays_chance():
    few = table(150, seed=3)
    df = pd.concat([few] * 5, ignore_index=True)
    found = from_dataframe(df, **ROLES)
    assert len(warned(found, "600 of 750 rows repeat", "one side")) == 1
    sides = {}
    for s in found:
        for split in SPLITS:
            for row in s.rows(split).source.tolist():
                assert sides.setdefault(row % 150, split) == split
    assert (
        sum(len(s.rows(k).labels) for s in from_dataframe(df, duplicates="drop", **ROLES) for k in SPLITS)
        == 150
    )
    apart = from_dataframe(df, duplicates="apart", **ROLES)
    assert warned(apart, "both sides")
    assert not warned(from_dataframe(few, **ROLES), "repeat")


def test_a_ready_made_split_is_kept(tmp_path):
    df = table(part=lambda draw, rows: draw.choice(["Train", "val", "TEST"], rows))
    found = from_dataframe(df, split_column="part", **ROLES)
    for name, split in zip(["Train", "val", "TEST"], SPLITS, strict=True):
        rows = sorted(row for s in found for row in s.rows(split).source.tolist())
        assert rows == np.flatnonzero(df["part"] == name).tolist()
    files = {}
    for name, split in zip(["Train", "val", "TEST"], SPLITS, strict=True):
        files[split] = tmp_path / f"{split}.csv"
        df[df["part"] == name].drop(columns="part").to_csv(files[split], index=False)
    by_files = load_table(files, **ROLES)
    for one, two in zip(found, by_files, strict=True):
        for split in SPLITS:
            assert all(a.equal(b) for a, b in zip(one.rows(split)[:3], two.rows(split)[:3], strict=True))
    del files["valid"]
    assert warned(load_table(files, **ROLES), "a fifth of the training rows")
    refused(
        ["row", "'part'", "is not a split"],
        from_dataframe,
        df.replace({"part": {"val": "?"}}),
        split_column="part",
        **ROLES,
    )


def test_fractions_and_scenarios_of_choice():
    df = table(1000)
    found = from_dataframe(df, split=(70.0, 15.0, 15.0), scenarios=["b"], **ROLES)
    sizes = [len(found[0].rows(split).labels) for split in SPLITS]
    assert [s.name for s in found] == ["b"] and np.allclose(
        np.array(sizes) / sum(sizes), (0.7, 0.15, 0.15), atol=0.01
    )
    assert found[0].notes["left_out"]["a"].endswith("not among --scenarios")
    refused(["Unknown scenario 'c'"], from_dataframe, df, scenarios=["c"], **ROLES)


# ---- what is doubtful ----


def test_outcomes_among_the_features_are_named_and_a_hundred_rows_give_no_alarm():
    draw = np.random.default_rng(0)
    click = (draw.random(4000) < 0.3).astype(int)
    df = table(
        4000, click=click, buy=click * (draw.random(4000) < 0.2), seconds=click * draw.gamma(2, 30, 4000)
    )
    found = from_dataframe(df, ignore=["user_id"], **ROLES)
    assert len(warned(found, "'buy' is certain", "'click' = 1", "--ignore buy")) == 1
    assert len(warned(found, "'seconds'", "a leak")) == 1
    assert len(warned(found, "0/1 columns that nobody named: buy")) == 1
    for seed in range(20):
        noise = {f"x{k}": lambda draw, rows: draw.normal(size=rows) for k in range(6)}
        noise |= {f"c{k}": lambda draw, rows: draw.integers(0, 9, rows) for k in range(6)}
        few = table(100, seed=seed, **noise)
        few["click"] = (np.random.default_rng(seed).random(100) < 0.08).astype(int)
        assert not warned(from_dataframe(few, **ROLES), "a leak")


def test_the_auc_of_a_column_and_its_error():
    draw = np.random.default_rng(0)
    label = (draw.random(4000) < 0.3).astype(np.float32)
    codes = np.clip(draw.normal(size=4000) + 2 * label, -3, 5).round().astype(int) + 3
    auc, low = held_out_auc(codes, label)
    rate = {code: label[::2][codes[::2] == code].mean() for code in np.unique(codes[::2])}
    by_hand = roc_auc_score(label[1::2], [rate.get(code, 0) for code in codes[1::2]])
    assert auc == pytest.approx(by_hand, abs=0.005) and low < auc
    aucs = []
    for seed in range(300):
        own = np.random.default_rng(seed)
        yes = (own.random(400) < 0.3).astype(int)
        aucs.append(roc_auc_score(yes, own.normal(size=400) + yes))
    error = hanley_mcneil(float(np.mean(aucs)), 120, 280)
    assert error == pytest.approx(np.std(aucs), rel=0.15)


def test_many_values_get_enough_buckets_and_collisions_are_said():
    df = table(30_000, user_id=lambda draw, rows: draw.integers(0, 20_000, rows))
    found = from_dataframe(df, **ROLES)
    assert found[0].fields["user_id"] == 2**16 + 1
    few = from_dataframe(df, buckets=4096, **ROLES)
    assert few[0].fields["user_id"] == 4097
    values = df["user_id"].iloc[np.concatenate([s.train.source for s in few])].unique()
    ids = {}
    for s in few:
        for row, number in zip(s.train.source.tolist(), s.train.categorical[:, 0].tolist(), strict=True):
            ids.setdefault(number, set()).add(df["user_id"][row])
    shared = sum(len(own) for own in ids.values() if len(own) > 1) / len(values)
    told = float(few[0].notes["typing"]["user_id"].split("; ")[1].split("%")[0])
    assert told == pytest.approx(100 * shared, abs=2)


def test_what_is_left_out_and_what_is_not_scored_is_said():
    df = table(400, shop=lambda draw, rows: draw.choice(["a", "b", "c", "d"], rows))
    df["day"] = np.arange(400)
    df.loc[(df["shop"] == "b") & (df["day"] < 240), "shop"] = "a"  # opened late
    df.loc[(df["shop"] == "c") & (df["day"] > 300), "shop"] = "a"  # ended
    df.loc[df["shop"] == "d", "click"] = 0  # one class
    found = from_dataframe(df, time="day", **ROLES)
    assert [s.name for s in found] == ["a", "c", "d"]
    assert found[0].notes["left_out"]["b"].startswith("no training rows")
    assert set(found[0].notes["unscored"]) == {"c", "d"}
    assert "click is always 0" in found[0].notes["unscored"]["d"]
    small = {"batch_size": 64, "experts": 2, "hidden": (8,), "tower": 4, "embedding_size": 4}
    results = run(found, "pf_msmtrec", 2, **small).results.query("split == 'test'").set_index("scenario")
    assert np.isnan(results.loc[["c", "d"], "auc"]).all() and not np.isnan(results.loc["a", "auc"])


# ---- labels ----


@pytest.mark.parametrize(
    ("values", "rule", "want"),
    [
        (["yes", "no", ""], "click=yes", [1, 0, np.nan]),
        (["True", "False", ""], None, [1, 0, np.nan]),
        ([True, False, None], None, [1, 0, np.nan]),
        (["1", "-1", "1"], "click=1", [1, 0, 1]),
        ([5, 3, None], "click>=4", [1, 0, np.nan]),
        ([5, 3, 4], "click != 3", [1, 0, 1]),
    ],
)
def test_labels_by_a_rule(values, rule, want):
    df = table(300, click=values * 100)
    found = from_dataframe(df, positive=[rule] if rule else (), **ROLES)
    for s in found:
        own = np.array(want, np.float32)[s.train.source.numpy() % 3]
        assert np.array_equal(s.train.labels[:, 0], own, equal_nan=True)


@pytest.mark.parametrize(
    ("values", "fragments"),
    [
        (["yes", "no"], ["'yes'", '--positive "click=yes"']),
        ([-1, 1], ["-1", '--positive "click=1"']),
        ([0.5, 2.25], ["0.5", "--positive"]),
        (list(np.round(np.linspace(0, 9, 150), 3)), ["regression is out"]),
    ],
)
def test_other_labels_are_refused_with_a_rule_to_try(values, fragments):
    refused(fragments, from_dataframe, table(300, click=values * (300 // len(values))), **ROLES)


# ---- rows that come later ----


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["client", "federation", "none"]),
    st.sampled_from(["hash", "union"]),
    st.floats(0, 0.5),
    st.integers(0, 5),
)
def test_rows_that_come_later_are_read_as_those_that_were_trained_on(statistics, categories, gaps, seed):
    df = table(
        200, seed, bag=lambda draw, rows: ["|".join(draw.choice(list("abcd"), 2)) for _ in range(rows)]
    )
    df.loc[np.random.default_rng(seed).random(200) < gaps, "price"] = np.nan
    found = from_dataframe(df, statistics=statistics, categories=categories, multi="bag", **ROLES)
    encoder = Encoder.load(found[0].notes["encoder"])
    names, rows = encoder.transform(df)
    for s in found:
        for split in SPLITS:
            own = s.rows(split)
            assert (names[own.source] == s.name).all()
            for one, two in zip(own[:3], rows[:3], strict=True):
                assert np.array_equal(one.numpy(), two[own.source].numpy(), equal_nan=True)
    alone = df.sample(1, random_state=seed)
    assert encoder.transform(alone)[1].categorical.equal(rows.categorical[alone.index])


def test_another_table_is_refused_by_its_columns_and_rows():
    df = table()
    encoder = Encoder.load(from_dataframe(df, **ROLES)[0].notes["encoder"])
    refused(["lacks the column 'price'"], encoder.transform, df.drop(columns="price"))
    refused(["row 1", "'c'", "not a scenario that was trained on"], encoder.transform, df.assign(shop="c"))
    _, rows = encoder.transform(df.drop(columns="click"))
    assert rows.labels.isnan().all() and (rows.source == np.arange(300)).all()


def test_lines_that_do_not_fit_are_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("shop,click,x\na,0,1\n\na,1,2\na,0\n")
    refused(["line 5", "2 cells", "3 names"], read_text, path)
    path.write_text("1,2,3\n4,5,6\n")
    refused(["holds numbers", "columns' names"], read_text, path)
    path.write_bytes("shop,click\nMünchen,0\n".encode("latin-1"))
    refused(["UTF-8", "--encoding latin-1"], read_text, path)
    assert read_text(path, encoding="latin-1").frame["shop"][0] == "München"


@pytest.mark.parametrize(
    ("texts", "later", "value"),
    [
        (["12,5", "3,25", "7"], "1,234", 1.234),
        (["1.234,50", "999,10", "5,5"], "1.234", 1234.0),
        (["1,234.50", "999.10", "5.5"], "1,234", 1234.0),
        (["1 234,5", "7,25", "999"], "1,234", 1.234),
        (["12.5", "3.25", "7"], "1.234", 1.234),
    ],
)
def test_a_single_later_number_is_read_by_the_sign_of_the_table_that_was_trained_on(texts, later, value):
    rows = 60
    df = pd.DataFrame(
        {
            "s": "a",
            "y": [0, 1] * (rows // 2),
            "x": (texts * rows)[:rows],
            "c": [str(n % 5) for n in range(rows)],
        }
    )
    (found,) = from_dataframe(df, "s", ["y"], numerical=["x"], statistics="none")
    encoder = Encoder.load(json.loads(json.dumps(found.notes["encoder"])))
    _, row = encoder.transform(pd.DataFrame({"s": ["a"], "x": [later], "c": ["1"]}))
    assert row.numerical[0, 0].item() == pytest.approx(value)


# ---- what an acceptance found ----


def both(tmp_path, df, **options):
    """The scenarios of a table from CSV, after a look that Parquet gives the same."""
    df.to_csv(tmp_path / "t.csv", index=False)
    df.to_parquet(tmp_path / "t.parquet", index=False)
    one, two = (load_table(tmp_path / name, **(ROLES | options)) for name in ("t.csv", "t.parquet"))
    assert digest(one) == digest(two)
    return one


@pytest.mark.parametrize("name", ["user_id", "x"])
@pytest.mark.parametrize("kind", ["int8", "int16", "uint8", "float64", "gap", "minus zero", "empty"])
def test_numbers_of_any_width_read_alike_from_csv_and_parquet(tmp_path, name, kind):
    values = pd.Series(np.random.default_rng(0).integers(0, 5, 300))
    if kind == "gap":
        values = values.astype(float).mask(values == 3)
    elif kind == "minus zero":
        values = values.astype(float).where(values != 0, -0.0)
    elif kind == "empty":
        values = pd.Series([np.nan] * 300)
    else:
        values = values.astype(kind)
    found = both(tmp_path, table(**{name: values}))
    if kind == "empty":
        assert (
            name not in found[0].fields
            and f"no cell holds anything: '{name}'" in found[0].notes["reading"][-1]
        )
    else:
        assert found[0].notes["typing"][name].startswith("categorical")


def test_small_integers_do_not_run_over():
    codes = np.tile(np.array([-128, 127, 0, 1], np.int8), 75)  # a spread of 255, which int8 cannot hold
    assert from_dataframe(table(x=codes), **ROLES)[0].numericals == ("price", "x")


def test_ids_that_a_program_rounded_are_refused_and_amounts_are_not(tmp_path):
    for texts in (["1.23457E+18", "1.2346E+18"], ["9007199254740994.0", "9007199254740996.0"]):
        df = table(x=texts * 150)
        df.to_csv(tmp_path / "t.csv", index=False)
        refused(["row 1", "'x'", "2^53", "--numerical x"], load_table, tmp_path / "t.csv", **ROLES)
        assert "x" in load_table(tmp_path / "t.csv", numerical="x", **ROLES)[0].numericals


def test_an_id_that_becomes_a_float_later_keeps_its_entry():
    df = table()
    encoder = Encoder.load(from_dataframe(df.astype({"user_id": str}), **ROLES)[0].notes["encoder"])
    one, two = (
        encoder.transform(d)[1].categorical
        for d in (df, df.assign(user_id=df["user_id"].map(lambda v: f"{v}.0")))
    )
    assert one.equal(two)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["0,123", "9,284", "1,5"], [0.123, 9.284, 1.5]),  # no thousand begins with 0
        (["1,23,456.50", "12"], [123456.5, 12]),
        (["US$5", "-$7.5"], [5, -7.5]),
        (["CHF 1'234.50", "CHF 12"], [1234.5, 12]),
        (["249원", "1,000원"], [249, 1000]),
        (["\u22125", "\uff12\uff14"], [-5, 24]),
    ],
)
def test_more_numbers_as_people_write_them(texts, values):
    found = parse(np.array(texts, object))
    assert found.values.tolist() == values and not found.coded


def test_what_may_be_a_number_or_a_date_is_asked_for():
    def some(pattern):
        return lambda draw, rows: [pattern(float(v)) for v in draw.gamma(2, 30, rows)]

    day = lambda v: f"{int(v) % 28 + 1:02d}.05.2024"  # noqa: E731
    df = table(
        kg=some(lambda v: f"{v:.1f} kg"), day=some(day), dash=some(lambda v: "-" if v > 50 else f"{v:.3f}")
    )
    found = from_dataframe(df, **ROLES)
    assert len(warned(found, "many cells hold a number: kg, dash")) == 1
    assert len(warned(found, "look like dates: day", "--ignore day")) == 1
    assert "dash" in from_dataframe(df, na="-", **ROLES)[0].numericals
    for text in ("2024/05/%02d", "2024.5.%d", "202405%02dT120000"):
        dates = table(day=lambda draw, rows, text=text: [text % d for d in draw.integers(1, 29, rows)])
        assert warned(from_dataframe(dates, **ROLES), "'day' looks like a time")
    bad = table(day=["soon", *(f"2024-05-{k % 28 + 1:02d}" for k in range(299))])
    assert warned(from_dataframe(bad, **ROLES), "one cell is no date", "'soon'")


def test_a_marker_of_gaps_is_followed_in_every_kind_of_column(tmp_path):
    draw = np.random.default_rng(0)
    for values in (draw.normal(size=300), draw.integers(1000, 2000, 300)):
        found = both(tmp_path, table(x=np.where(draw.random(300) < 0.1, -999, values)), na=["-999"])
        assert "missing" in found[0].notes["typing"]["x"]
    df = table(x=np.where(np.arange(300) == 7, np.inf, draw.normal(size=300)))
    df.to_csv(tmp_path / "t.csv", index=False)
    for read in (
        lambda **o: from_dataframe(df, **ROLES, **o),
        lambda **o: load_table(tmp_path / "t.csv", **ROLES, **o),
    ):
        refused(["row 8", "inf", '--na "inf"'], read)
        assert "1 missing" in read(na=["inf"])[0].notes["typing"]["x"]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("# one\n# two\n{}", {}, "line 2 is a comment"),
        ('"sep=,"\n{}', {}, "for spreadsheets"),
        ("{}", {"sep": "+|"}, ""),
        ("{}", {"sep": "||"}, ""),
    ],
)
def test_more_ways_to_write_a_file(tmp_path, text, options, said):
    df = table(60)
    body = df.to_csv(index=False).replace(",", options.get("sep", ","))
    (tmp_path / "t.csv").write_text(text.format(body))
    found = load_table(tmp_path / "t.csv", **ROLES, **options)
    assert digest(found) == digest(from_dataframe(df, **ROLES)) and said in " ".join(
        found[0].notes["reading"]
    )


def test_headers_over_lines_columns_without_a_name_and_zero_bytes(tmp_path):
    path = tmp_path / "t.csv"
    df = table(60)
    df.rename(columns={"price": "price\nnet"}).to_csv(path, index=False)
    assert load_table(path, **ROLES)[0].numericals[-1] == "price\nnet"
    path.write_text("\n".join(line + "," for line in df.to_csv(index=False).splitlines()))
    found = load_table(path, **ROLES)
    assert digest(found) == digest(from_dataframe(df, **ROLES))
    assert (
        "Unnamed: 4" in found[0].notes["reading"][0]
        and "no cell holds anything" in found[0].notes["reading"][1]
    )
    path.write_bytes(df.to_csv(index=False).encode("utf-16-le"))
    refused(["NUL bytes", "--encoding utf-16-le"], read_text, path)
    assert load_table(path, encoding="utf-16-le", **ROLES)[0].name == "a"
    path.write_text("a::b\n1::2\n1::2::3\n")
    refused(["line 3", "3 cells", "2 names"], read_text, path, sep="::")


@pytest.mark.parametrize("values", [[1, 2], [], [[1], [2]], {"a": 1}, np.ones((2, 2)), {1, 2}, b"\xff"])
def test_cells_that_are_no_values_are_refused_in_every_role(values):
    df = table(x=[values] * 300)
    for role in ("numerical", "categorical", "scenario", "tasks", "time", "group", "split_column"):
        refused(["'x'"], from_dataframe, df, **(ROLES | {role: "x"}))


def test_bags_as_lists_are_written(tmp_path):
    lists = [[f"k{v}" for v in np.random.default_rng(k).integers(0, 9, k % 4)] for k in range(300)]
    want = from_dataframe(table(bag=lists), multi="bag", **ROLES)
    for write in (
        str,
        lambda own: "[" + ", ".join(f'"{v}"' for v in own) + "]",
        "|".join,
        " / ".join,
        " ".join,
    ):
        found = from_dataframe(table(bag=[write(own) for own in lists]), multi="bag", **ROLES)
        assert digest(found) == digest(want)
    long = from_dataframe(table(bag=["|".join(map(str, range(40)))] * 300), multi="bag", **ROLES)
    assert "of which the first 32 are read" in long[0].notes["typing"]["bag"]
    alone = table()[["shop", "click"]].assign(bag=[[k] for k in range(300)])
    kept = from_dataframe(alone, multi="bag", duplicates="drop", **ROLES)
    assert sum(len(s.rows(k).labels) for s in kept for k in SPLITS) == 300


def test_copies_on_both_sides_of_a_ready_split_are_counted(tmp_path):
    df = table(300)
    path = tmp_path / "t.csv"
    df.to_csv(path, index=False)
    files = {"train": path, "test": path}
    assert warned(load_table(files, **ROLES), "rows for validation and test repeat a training row")
    df = pd.concat([df, df[:50]], ignore_index=True).assign(
        part=["train"] * 250 + ["valid"] * 50 + ["test"] * 50
    )
    assert warned(from_dataframe(df, split_column="part", **ROLES), "50 of 100 rows for validation and test")
    dropped = from_dataframe(
        df.assign(when=range(350)), time="when", duplicates="drop", ignore="part", **ROLES
    )
    assert sum(len(s.rows(k).labels) for s in dropped for k in SPLITS) == 350  # other moments: no copies
    refused(["no row is for validation"], from_dataframe, table(t=[1, 2] * 150), time="t", **ROLES)


def test_an_index_that_was_written_is_left_out_of_any_file(tmp_path):
    df = table(300)
    files = {"train": tmp_path / "a.csv", "test": tmp_path / "b.csv"}
    df[:200].to_csv(files["train"])
    df[200:].sample(frac=1, random_state=0).to_csv(files["test"])
    assert "Unnamed: 0" not in load_table(files, **ROLES)[0].notes["typing"]
    refused(["'price' twice"], from_dataframe, df.rename_axis("price"), **ROLES)
    refused(["must be a pandas DataFrame"], from_dataframe, {"shop": ["a"]}, **ROLES)


def test_labels_that_are_gaps_and_yes_in_capitals():
    df = table(click=["yes", "Yes", "no", "NA", " YES", None] * 50)
    want = np.array([1, 1, 0, np.nan, 1, np.nan], np.float32)
    for s in from_dataframe(df, positive="click=yes", **ROLES):
        assert np.array_equal(s.train.labels[:, 0], want[s.train.source.numpy() % 6], equal_nan=True)
    found = from_dataframe(table(click=["TRUE", "FALSE", "NA"] * 100), **ROLES)
    assert found[0].train.labels.isnan().any()
    bad = table(click=["?", *("01" * 149), "1"])
    refused(["row 1", '--na "?"'], from_dataframe, bad, **ROLES)
    assert from_dataframe(bad, na=["?"], **ROLES)
    refused(["no row has a label in 'click'"], from_dataframe, table(click=[None] * 300), **ROLES)
    large = table(click=[10000001, 10000002] * 150)
    refused(['"click=10000002"'], from_dataframe, large, **ROLES)


def test_scenarios_that_look_alike_or_are_too_small():
    for pair in (["Caf\u00e9", "Cafe\u0301"], ["a", "a\u200b"], ["1", "1.0"]):
        assert warned(from_dataframe(table(shop=pair * 150), **ROLES), "nearly the same name")
    floats = from_dataframe(table(shop=["1.0", "2.0"] * 150), **ROLES)
    assert [s.name for s in floats] == ["1", "2"]
    assert [s.name for s in from_dataframe(table(), scenarios="b", **ROLES)] == ["b"]
    refused(["the largest has", "--minimum-rows"], from_dataframe, table(), minimum_rows=400, **ROLES)
    refused(["--minimum-rows is 0"], from_dataframe, table(), minimum_rows=0, **ROLES)


def test_a_gap_is_no_zero_and_a_date_may_be_called_a_number(tmp_path):
    halves = table(150)
    halves = pd.concat([halves.assign(x=0.0), halves.assign(x=np.nan)], ignore_index=True)
    assert not warned(both(tmp_path, halves, numerical="x"), "repeat an earlier one")
    days = table(
        day=lambda draw, rows: pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 99, rows), "D")
    )
    assert both(tmp_path, days, numerical="day")[0].numericals == ("day", "price")

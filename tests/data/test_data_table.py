"""Any table into scenarios: what is fitted on which rows, what is refused, and what may not matter."""

import gzip
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from blocks import column, counts, refused
from hypothesis import given, settings
from hypothesis import strategies as st

from pfmsm_lite.data import SPLITS, digest, from_dataframe, read_table
from pfmsm_lite.data.columns import Column
from pfmsm_lite.data.kinds import find_kind
from pfmsm_lite.errors import UserError

TASKS = ["click", "buy"]
ROLES = {"scenario": "shop", "tasks": TASKS, "categorical": ["city"], "numerical": ["price", "age", "row"]}
BY_DAY = ROLES | {"time": "day", "split": {"valid": 60, "test": 80}}


def frame(rows=400, seed=0):
    """Two shops on very different scales, 100 days, 6 cities; `row` numbers the rows."""
    draw = np.random.default_rng(seed)
    shop = draw.choice(["a", "b"], rows, p=[0.7, 0.3])
    return pd.DataFrame(
        {
            "shop": shop,
            "day": draw.permutation(np.arange(rows) % 100),
            "city": draw.choice([f"city {k}" for k in range(6)], rows),
            "price": draw.gamma(2, 50, rows) * np.where(shop == "a", 1, 30),
            "age": draw.normal(40, 10, rows),
            "row": np.arange(rows),
            "click": draw.integers(0, 2, rows),
            "buy": draw.integers(0, 2, rows),
        }
    )


# what a table is warned of is in its notes, and tested there
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def build(df, **options):
    return from_dataframe(df, **(BY_DAY | options))


@pytest.mark.parametrize("statistics", ["client", "federation", "none"])
@pytest.mark.parametrize("categories", ["hash", "union", {"city": ["city 0", "city 3"]}])
def test_nothing_of_valid_and_test_rows_reaches_the_training_rows(categories, statistics):
    df = frame()
    later, changed = df["day"] >= 60, df.copy()
    changed.loc[later, "city"] = "a new town"
    changed.loc[later, ["price", "age", "row"]] *= 1000.0
    changed.loc[later, "click"] = changed.loc[later, "buy"] = (changed["price"] > 9e5).astype(int)
    before, after = (build(d, categories=categories, statistics=statistics) for d in (df, changed))
    for one, two in zip(before, after, strict=True):
        assert all(a.equal(b) for a, b in zip(one.train[:3], two.train[:3], strict=True))
        assert not one.test.numerical.equal(two.test.numerical) and one.fields == two.fields
        leaks = [[text for text in s.notes["warnings"] if "leak" in text] for s in (one, two)]
        assert leaks[0] == leaks[1]


def test_an_unseen_value_is_row_zero_and_a_gap_is_a_value_of_its_own():
    df = frame()
    df.loc[df["day"] >= 80, "city"] = "a new town"
    df.loc[df["day"] == 3, "city"] = None
    kept = build(df, categories="union")
    assert kept[0].fields == {"city": 8}  # six cities, the gap, and unknown
    for scenario in kept:
        assert (scenario.train.categorical > 0).all() and (scenario.valid.categorical > 0).all()
        assert (scenario.test.categorical == 0).all()
    declared = build(df, categories={"city": ["city 2", "city 1", "city 2"]})
    assert declared[0].fields == {"city": 3}
    ids = np.concatenate([s.train.categorical.numpy()[:, 0] for s in declared])
    cities = pd.concat([df[(df["shop"] == s) & (df["day"] < 60)]["city"] for s in "ab"])
    assert ids.tolist() == [{"city 2": 1, "city 1": 2}.get(city, 0) for city in cities]
    as_pandas = build(df.assign(city=df["city"].astype("category").cat.set_categories(["city 2", "city 1"])))
    assert digest(as_pandas) == digest(declared)
    hashed = build(df, buckets=3)[0]
    assert hashed.fields == {"city": 4} and set(hashed.test.categorical.unique().tolist()) <= {1, 2, 3}


def test_statistics_are_fitted_where_they_say():
    df = frame()
    df["age"] = 0.1 + 0.2  # constant: 0 wherever it is fitted, whatever the rounding
    train = df[df["day"] < 60]
    for n, shop in enumerate("ab"):
        for split, days in (("train", df["day"] < 60), ("test", df["day"] >= 80)):
            price = df[(df["shop"] == shop) & days]["price"].to_numpy()
            own = train[train["shop"] == shop]["price"]
            by_hand = {
                "client": (price - own.mean()) / own.std(ddof=0),
                "federation": (price - train["price"].mean()) / train["price"].std(ddof=0),
                "none": price,
            }
            for statistics, want in by_hand.items():
                found = build(df, statistics=statistics)[n]
                assert found.notes["statistics"] == statistics
                assert np.allclose(found.rows(split).numerical[:, 0], want, rtol=1e-5)
                assert (
                    found.rows(split).numerical[:, 1] == (np.float32(0.3) if statistics == "none" else 0)
                ).all()


def test_a_hash_is_the_same_in_every_process_and_in_every_company():
    code = (
        "import pandas as pd, numpy as np; from pfmsm_lite.data.encoding import encode_category as e;"
        "from pfmsm_lite.data.columns import Column;"
        "print(e(Column(pd.Series(['Łódź', 'x', '12', None])), 997, np.ones(4, bool))[0][:, 0].tolist())"
    )
    elsewhere = subprocess.check_output(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": "1"}
    )
    assert elsewhere == b"[475, 586, 963, 591]\n"  # pinned: the tables of a saved model are in this order
    df = frame()
    whole, part = build(df)[1], build(df[(df["shop"] == "b") & (df["city"] < "city 4")])[0]
    rows = (df[(df["shop"] == "b") & (df["day"] < 60)]["city"] < "city 4").tolist()
    assert whole.train.categorical[rows].equal(part.train.categorical)
    numbers = df.assign(city=df["row"] % 30)
    gaps = numbers.assign(city=numbers["city"].astype(float).where(numbers["row"] > 0))
    one, two = (np.concatenate([s.train.categorical for s in build(d)]) for d in (numbers, gaps))
    assert (one != two).sum() <= 1 and len(np.unique(one)) > 25


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=30, max_size=60),
    st.tuples(*[st.integers(1, 5)] * 3),
)
def test_no_row_of_the_future_is_trained_on(times, shares):
    rows = len(times)
    df = pd.DataFrame({"shop": "a", "when": times, "t": times, "click": 0, "row": np.arange(rows)})
    options = {"scenario": "shop", "tasks": ["click"], "numerical": ["t", "row"], "statistics": "none"}
    try:
        found = from_dataframe(df, time="when", split=shares, **options)
    except UserError as error:
        assert "after the split" in str(error)
        return
    train, valid, test = (column(found, "t", split) for split in SPLITS)
    assert train.max() < valid.min() and valid.max() < test.min()
    assert sorted(np.concatenate([column(found, "row", split) for split in SPLITS])) == list(range(rows))
    cuts = np.sort(times)[
        [int(shares[0] / sum(shares) * rows + 1e-9), int(sum(shares[:2]) / sum(shares) * rows + 1e-9)]
    ]
    assert valid.min() == cuts[0] and test.min() == cuts[1]


def test_moments_are_numbers_or_dates_and_the_bounds_belong_to_the_later_part():
    df = frame()
    numbers = build(df, statistics="none")
    days = {split: df["day"].iloc[column(numbers, "row", split).astype(int)] for split in SPLITS}
    assert (days["train"].max(), days["valid"].min(), days["valid"].max(), days["test"].min()) == (
        59,
        60,
        79,
        80,
    )
    start = pd.Timestamp("2022-01-01")
    dates = start + pd.to_timedelta(df["day"], "D")
    bounds = {"valid": "2022-03-02", "test": start + pd.Timedelta(days=80)}
    for when in (
        dates,
        dates.dt.tz_localize("UTC"),
        dates.astype(str),
        dates.dt.strftime("%Y-%m-%dT00:00:00Z"),
    ):
        assert digest(build(df.assign(day=when), split=bounds, statistics="none")) == digest(numbers)


def test_a_random_split_is_drawn_inside_each_scenario():
    df, options = frame(), ROLES | {"statistics": "none"}
    found = from_dataframe(df, **options)
    for scenario, size in zip(found, df["shop"].value_counts().sort_index(), strict=True):
        assert sum(counts(scenario)) == size
        assert np.allclose(counts(scenario), np.multiply((0.6, 0.2, 0.2), size), atol=1)
    rows = np.concatenate([column(found, "row", split) for split in SPLITS])
    assert sorted(rows) == list(range(400))
    alone = from_dataframe(df[df["shop"] == "b"], **options)
    assert digest(alone) == digest(found[1:])
    assert (
        digest(from_dataframe(df, **options))
        == digest(found)
        != digest(from_dataframe(df, **options, seed=1))
    )


def test_the_order_of_rows_and_columns_does_not_matter_to_a_split_by_time():
    df = frame()
    for categories in ("hash", "union"):
        first = build(df, categories=categories)
        shuffled = df.sample(frac=1, random_state=1)
        second = build(shuffled[shuffled.columns[::-1]], categories=categories)
        for one, two in zip(first, second, strict=True):
            for split in SPLITS:
                rows = [np.concatenate(r.rows(split)[:3], 1) for r in (one, two)]
                rows = [r[r[:, 3].argsort()] for r in rows]  # by the column `row`
                assert np.allclose(*rows, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("x", ["x", "y"] * 60, "categorical"),
        ("x", [True, False] * 60, "categorical"),
        ("x", pd.Categorical([1, 2] * 60), "categorical"),
        ("x", pd.date_range("2022-01-01", periods=120), "numerical"),  # a time, and said to look like one
        ("x", ["2022-01-01", "2022-01-02"] * 60, "numerical"),
        ("x", list(range(12)) * 10, "categorical"),
        ("x", [*list(range(12)) * 10, None], "categorical"),  # a gap changes nothing
        ("x", [float(k) for k in range(12)] * 10, "categorical"),
        ("x", list(range(12)) * 9, "numerical"),  # fewer than ten rows for each value
        ("x", [0, 1, 2, 3, 150] * 30, "numerical"),  # the long tail of a count
        ("x", [*range(119), None], "numerical"),
        ("user_id", [*range(119), None], "categorical"),
        ("userId", [*range(119), None], "categorical"),
        ("hist_1", list(range(120)), "categorical"),
        ("user_count", list(range(12)) * 10, "numerical"),
        ("user_id", [0.5, 1.5] * 60, "numerical"),
        ("x", [2**60 + k for k in range(120)], "categorical"),  # no quantity has so many digits
        ("x", [0.5, 1.5] * 60, "numerical"),
        ("x", [0.5, None] * 60, "numerical"),
        ("x", ["0.5", "7"] * 60, "numerical"),  # text that is a number
        ("x", ["007", "123"] * 60, "categorical"),  # leading zeros: a code
        ("x", [None] * 120, "categorical"),
        ("x", ["a|b", "b|c", "a", "c|a"] * 30, "multi"),
        ("x", [["a", "b"], ["c"]] * 60, "multi"),
        ("x", [{"a": 1}] * 120, "multi"),
    ],
)
def test_a_column_named_nowhere_is_typed_by_its_name_and_its_content(name, values, kind):
    assert find_kind(Column(pd.Series(values, name=name))).kind == kind


def test_what_was_guessed_and_what_was_named_stands_in_the_notes():
    df = frame().assign(spent=lambda d: d["row"] + 7000, vip=lambda d: d["row"] % 2 == 0)
    found = from_dataframe(df, "shop", TASKS, categorical=["age"], time="day", ignore=["price"])
    assert set(found[0].fields) == {"age", "city", "vip"} and found[0].numericals == ("row", "spent")
    typing = found[0].notes["typing"]
    assert typing["city"] == "categorical, 6 values, hashed into 4096 buckets"
    assert typing["spent"] == "numerical, standard, fitted on training rows (client)"
    assert list(typing) == ["age", "city", "row", "spent", "vip"]
    hint = [text for text in found[0].notes["warnings"] if "read as numbers" in text]
    assert len(hint) == 1 and "--categorical row,spent" in hint[0]
    assert not [
        text for text in build(df, ignore=["spent", "vip"])[0].notes["warnings"] if "as numbers" in text
    ]


def test_a_column_that_knows_a_label_is_suspected_and_an_id_is_not():
    df = frame(2000)
    df["paid"] = df["buy"] * 3.5 + df["price"] * 1e-6
    df["state"] = np.where(df["click"] == 1, "done", "open")
    df["user"] = [f"user {k}" for k in range(2000)]  # unique: by heart it knows every label
    df["late"] = np.where(df["day"] >= 60, df["click"], 0)  # knows the label of later rows alone
    more = {"categorical": ["city", "state", "user", "late"], "numerical": ["price", "age", "row", "paid"]}
    warnings = [text for text in build(df, **more)[0].notes["warnings"] if "(a leak)" in text]
    assert len(warnings) == 2, warnings
    assert "'state' alone gives 'click'" in warnings[0] and "--ignore paid" in warnings[1]
    # later rows give the label away: that must not be looked up where they are not trained on
    found = build(df, **more, split={"valid": 90, "test": 95})[0].notes["warnings"]
    assert [text for text in found if "(a leak)" in text and "'late'" in text]


@pytest.mark.parametrize(
    "name", ["my.csv", "my.csv.gz", "my.tsv", "my.tsv.gz", "my.parquet", "MY.CSV", "MY.TSV", "old.tsv.csv"]
)
def test_files_of_every_kind_give_the_same_scenarios(tmp_path, name):
    df = frame().assign(vip=lambda d: d["row"] % 3 == 0)
    df["click"] = df["click"].astype(float).where(df["row"] % 7 > 0)
    options = BY_DAY | {"categorical": ["city", "vip"]}
    if name.endswith("parquet"):
        df.to_parquet(tmp_path / name)
    else:
        tabs = name.lower().removesuffix(".gz").endswith(".tsv")
        df.to_csv(tmp_path / name, index=False, sep="\t" if tabs else ",")
    assert digest(read_table(tmp_path / name, **options)) == digest(from_dataframe(df, **options))


def test_a_digest_notices_every_part_of_a_scenario():
    df = frame()
    known = {digest(build(df))}
    known.add(digest(build(df.rename(columns={"price": "cost"}), numerical=["cost", "age", "row"])))
    known.add(digest(build(df.replace({"shop": {"a": "A"}}))))
    for name, value in (("price", -1.5), ("city", "elsewhere"), ("click", 2)):
        for day in (10, 70, 90):
            changed = df.copy()
            place = df.index[df["day"] == day][0]
            changed.loc[place, name] = 1 - df.loc[place, name] if value == 2 else value
            known.add(digest(build(changed)))
    assert len(known) == 12


def test_missing_labels_stay_missing_and_ctcvr_is_click_and_conversion():
    df = frame()
    pairs = [(c, b) for c in (0, 1, np.nan) for b in (0, 1, np.nan)]
    df[TASKS] = [pairs[k % 9] for k in range(len(df))]
    plain, product = (build(df, statistics="none", ctcvr=pair) for pair in (None, TASKS))
    want = dict(zip(range(9), [0, 0, 0, 0, 1, np.nan, 0, np.nan, np.nan], strict=True))
    for one, two in zip(plain, product, strict=True):
        kind = one.train.numerical[:, 2].numpy().astype(int) % 9
        assert np.array_equal(one.train.labels, np.array(pairs, np.float32)[kind], equal_nan=True)
        assert np.array_equal(two.train.labels[:, 0], one.train.labels[:, 0], equal_nan=True)
        assert np.array_equal(two.train.labels[:, 1], [want[k] for k in kind], equal_nan=True)
    words = df[TASKS].astype("Int64").astype("string")  # "0", "1" and a gap, as text
    assert digest(build(df.assign(**words), statistics="none")) == digest(plain)


def test_scenarios_come_in_order_of_their_values_and_small_ones_are_named():
    df = frame().assign(shop=lambda d: np.where(d["row"] < 5, 7, np.where(d["row"] % 2, 10, 2)))
    found = build(df, minimum_rows=6)
    assert [s.name for s in found] == ["2", "10"]
    assert found[0].notes["left_out"] == {"7": "5 rows, fewer than 6 (--minimum-rows)"}
    assert "left out: scenario 7 (5 rows, fewer than 6 (--minimum-rows))" in found[0].notes["warnings"]
    assert sum(sum(counts(scenario)) for scenario in found) == 395


def cell(name, row, value):
    return lambda df: df.assign(**{name: df[name].astype(object).where(df["row"] != row, value)})


BAD_CELLS = {
    "text label": (cell("buy", 8, "yes"), ["t.csv: row 9 (line 10", "'buy'", "'yes'", "0, 1 or empty"]),
    "half a label": (cell("click", 0, 0.5), ["row 1 (line 2", "'click'", "0.5"]),
    "infinite": (cell("price", 4, np.inf), ["row 5", "'price'", "inf", "--ignore price"]),
    "float id": (
        lambda df: df.assign(city=2.0**60 + df["row"]),
        ["row 1", "'city'", "is kept as a float", "2^53"],
    ),
    "words": (
        lambda df: df.assign(price=df["price"].astype(object).where(df["row"] % 2 == 1, "dear")),
        ["row 1", "'price'", "'dear'", "not a usable number", "--categorical price"],
    ),
    "a dict": (lambda df: df.assign(bag=[{"a": 1}] * len(df)), ["'bag'", "neither numbers nor texts"]),
    "a list": (lambda df: df.assign(bag=[["a", "b"]] * len(df)), ["'bag'", "several entries", "--multi bag"]),
    "too large": (cell("price", 4, -1e31), ["row 5", "'price'", "-1e+31"]),
    "no scenario": (cell("shop", 2, None), ["row 3", "'shop'", "names no scenario"]),
    "no time": (lambda df: cell("day", 2, "soon")(df).astype({"day": str}), ["row 3", "'day'", "'soon' is"]),
    "no date": (lambda df: cell("day", 2, "soon")(df.assign(day="2022-05-01")), ["row 3", "'soon' is"]),
    "time gap": (lambda df: cell("day", 2, None)(df).astype({"day": float}), ["row 3", "'day'", "a time"]),
    "column twice": (lambda df: pd.concat([df, df["city"]], axis=1), ["t.csv", "'city' twice", "Rename"]),
    "no rows": (lambda df: df[:0], ["t.csv has no rows"]),
    "nothing to train": (lambda df: df[df["day"] >= 60], ["no scenario can be trained", "no training rows"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_CELLS)
def test_bad_rows_are_refused_with_their_place(case):
    spoil, fragments = BAD_CELLS[case]
    refused(fragments, build, spoil(frame()), source="t.csv")


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        ({"split": (0.6, 0.4)}, ["split=(0.6, 0.4)", "three shares"]),
        ({"split": (1, 0, 1)}, ["shares above 0"]),
        ({"split": "time"}, ["split=time", "three shares"]),
        ({"split": {"valid": 60}}, ["valid", "test", "a time column"]),
        ({"split": {"valid": 80, "test": 60}}, ["80", "60", "valid comes after test"]),
        ({"split": {"valid": "2022-05-04", "test": "2022-05-05"}}, ["do not fit the time column", "0 to 99"]),
        ({"time": None}, ["and a time column"]),
        ({"tasks": []}, ["tasks is empty"]),
        ({"buckets": 0}, ["buckets is 0"]),
        ({"statistics": "global"}, ["statistics 'global'", "client, federation, none"]),
        ({"categories": "unions"}, ["Did you mean 'union'"]),
        ({"categories": {"town": ["x"]}}, ["'town'", "city"]),
        ({"categories": {"city": "hash"}}, ["city", "hash"]),
        ({"ctcvr": ("clik", "buy")}, ["task in ctcvr", "Did you mean 'click'"]),
        ({"minimum_rows": 1000}, ["no scenario has 1000 rows", "the largest has"]),
        ({"categorical": ["click"]}, ["'click' is named as task and as categorical"]),
        ({"categorical": [], "numerical": [], "ignore": frame().columns[2:6]}, ["no feature column"]),
    ],
)
def test_bad_options_are_refused_by_name(options, fragments):
    refused(fragments, build, frame(), **options)


def test_files_that_are_no_tables_are_refused_by_name(tmp_path):
    good = frame().to_csv(index=False)
    zipped = gzip.compress(good.encode())
    files = {
        "header.csv": (good.splitlines()[0].encode(), ["header.csv has no rows"]),
        "twice.csv": (b"shop,click,click\na,0,1\n", ["'click' twice"]),
        "wide.csv": (b"shop,click\na,0,1\nb,1,1\n", ["more values than the header"]),
        "ragged.csv": (b"shop,click\na,0\nb,1,1\n", ["cannot be read as a table", "line 3"]),
        "latin.csv": ("shop,click\nMünchen,0\n".encode("latin-1"), ["latin.csv", "UTF-8"]),
        "cut.csv.gz": (zipped[: len(zipped) // 2], ["cut.csv.gz", "cannot be read"]),
        "plain.csv.gz": (good.encode(), ["plain.csv.gz", "cannot be read"]),
        "broken.parquet": (b"PAR1 and no more", ["broken.parquet", "Parquet"]),
        "sheet.xlsx": (b"PK", ["what format", ".csv.gz", ".parquet"]),
    }
    for name, (content, fragments) in files.items():
        (tmp_path / name).write_bytes(content)
        refused(fragments, read_table, tmp_path / name, **BY_DAY)
    refused(["There is no file", "none.parquet"], read_table, tmp_path / "none.parquet", **BY_DAY)

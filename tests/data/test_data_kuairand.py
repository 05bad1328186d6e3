"""KuaiRand-Pure: the real rows against what is known of them, and small copies of the publisher's layout."""

import numpy as np
import pandas as pd
import pytest
from blocks import all_rows, counts, raw, refused

from pfmsm_lite.data import SPLITS, digest, read_kuairand
from pfmsm_lite.data import kuairand as names

OUTCOMES = {"is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view"}
OUTCOMES |= {"is_profile_enter", "play_time_ms", "profile_stay_time", "comment_stay_time"}
FIRST, SECOND = "log_standard_4_08_to_4_21_pure.csv", "log_standard_4_22_to_5_08_pure.csv"
# rows, click rate and long_view rate by tab, as in SOURCE.md beside the data
KNOWN = {
    0: (20_254, 0.086, 0.037),
    1: (173_008, 0.494, 0.348),
    2: (6_909, 0.481, 0.364),
    4: (13_647, 0.596, 0.457),
    6: (11_208, 0.149, 0.080),
}


def users(count=12):
    draw = np.random.default_rng(1)
    table = pd.DataFrame({"user_id": np.arange(count) + 100})
    for k, field in enumerate(names.USER_FIELDS):
        table[field] = draw.integers(0, 3, count) if k % 2 else draw.choice(["full", "low"], count)
    for column in names.USER_NUMBERS:
        table[column] = draw.integers(0, 1000, count)
    return table


def videos(count=9):
    draw = np.random.default_rng(2)
    table = pd.DataFrame({"video_id": np.arange(count), "author_id": draw.integers(0, 4, count) + 7_000_000})
    for field in names.VIDEO_FIELDS[1:]:
        table[field] = draw.choice(["x", "y,z"], count)
    return table.assign(
        upload_dt="2022-04-10", video_duration=draw.integers(1000, 90_000, count).astype(float)
    )


USER_TABLE, VIDEO_TABLE = users(), videos()


def log(rows=600, first=8, days=30, seed=3):
    """Rows in order of time from April `first` on, in tabs 0, 1 and 3 (the last is small)."""
    draw = np.random.default_rng(seed)
    day = pd.Timestamp(2022, 4, first) + pd.to_timedelta(np.sort(np.arange(rows) % days), "D")
    table = {
        "user_id": draw.integers(100, 112, rows),
        "video_id": draw.integers(0, 9, rows),
        "date": day.strftime("%Y%m%d").astype(int),
        "hourmin": draw.integers(0, 24, rows) * 100 + 59,
        "tab": draw.choice([0, 1, 3], rows, p=[0.45, 0.45, 0.1]),
    }
    table |= {outcome: draw.integers(0, 2, rows) for outcome in sorted(OUTCOMES)}
    return pd.DataFrame(table)


def write(directory, logs, users=USER_TABLE, videos=VIDEO_TABLE):
    """The publisher's layout: logs is {file name: DataFrame}; a name that ends in .gz is packed."""
    directory.mkdir(exist_ok=True)
    for name, table in {names.USERS: users, names.VIDEOS: videos, **logs}.items():
        table.to_csv(directory / name, index=False)
    return directory


def tiny(directory, table=None, minimum_rows=100, options=None, **features):
    """Scenarios of a small copy with one log file."""
    write(directory, {SECOND: log() if table is None else table}, **features)
    return read_kuairand(directory, minimum_rows=minimum_rows, **(options or {}))


@pytest.fixture(scope="module")
def real(kuairand_dir):
    table = pd.read_csv(next(kuairand_dir.glob("log_standard_*_pure.csv*")))
    return read_kuairand(kuairand_dir), table, kuairand_dir


def test_the_real_tabs_have_their_known_rows_and_rates(real):
    scenarios, _, _ = real
    assert [s.name for s in scenarios] == [f"tab {tab}" for tab in KNOWN]
    for scenario, (rows, *rates) in zip(scenarios, KNOWN.values(), strict=True):
        labels = all_rows(scenario, "labels")
        assert scenario.tasks == ("is_click", "long_view") and len(labels) == rows
        assert np.allclose(labels.mean(0), rates, atol=6e-4) and scenario.has_task.all()
    sizes = np.array([counts(scenario) for scenario in scenarios])
    assert sizes.sum() == 225_026
    assert sizes[:, :2].sum() / sizes.sum() == pytest.approx(0.75, abs=0.01)


def test_the_real_rows_are_split_by_day_and_joined_with_their_features(real):
    scenarios, table, directory = real
    people, films = (pd.read_csv(directory / name) for name in (names.USERS, names.VIDEOS))
    for scenario, tab in zip(scenarios, KNOWN, strict=True):
        days = {"train": (0, 20220503), "valid": (20220504, 20220504), "test": (20220505, 20229999)}
        duration = {}
        for split, (first, last) in days.items():
            want = table[(table["tab"] == tab) & table["date"].between(first, last)]
            assert np.array_equal(scenario.rows(split).labels, want[["is_click", "long_view"]])
            for key, catalogue in (("user_id", people), ("video_id", films)):
                place = pd.Index(catalogue[key]).get_indexer(want[key])
                assert np.array_equal(raw(scenario, key, split), place + 1)
                for field in ("onehot_feat7", "register_days_range", "author_id", "tag", "music_type"):
                    if field in catalogue:
                        known = pd.Index(catalogue[field].unique())
                        assert np.array_equal(
                            raw(scenario, field, split), known.get_indexer(catalogue[field].iloc[place]) + 1
                        )
            seconds = films.set_index("video_id")["video_duration"]
            duration[split] = np.log1p(want["video_id"].map(seconds.fillna(seconds.median())).to_numpy())
            z = (duration[split] - duration["train"].mean()) / duration["train"].std()
            assert np.allclose(raw(scenario, "video_duration", split), z, atol=1e-4)
            assert np.array_equal(raw(scenario, "hour", split), want["hourmin"] // 100 + 1)


def test_no_outcome_is_among_the_real_features_and_none_is_suspected(real):
    scenarios, table, _ = real
    for scenario in scenarios:
        assert not (OUTCOMES | {"time_ms", "date", "is_rand", "tab"}) & {
            *scenario.fields,
            *scenario.numericals,
        }
        assert scenario.fields == scenarios[0].fields and scenario.notes["warnings"] == []
        assert {"user_id", "video_id", "author_id", "hour"} <= set(scenario.fields)
        for split in SPLITS:
            ids = scenario.rows(split).categorical
            assert (ids.amax(0).numpy() < list(scenario.fields.values())).all()
            assert scenario.rows(split).numerical.isfinite().all()


def test_outcomes_cannot_reach_the_features(tmp_path):
    plain, changed = log(), log()
    for outcome in OUTCOMES - {"is_click", "long_view"}:
        changed[outcome] = np.where(changed["is_click"] == 1, 99_999, -5)
    assert digest(tiny(tmp_path / "a", plain)) == digest(tiny(tmp_path / "b", changed))
    bare = plain.drop(columns=sorted(OUTCOMES - {"is_click", "long_view"}))
    assert digest(tiny(tmp_path / "a", plain)) == digest(tiny(tmp_path / "c", bare))


def test_is_like_comes_on_request_and_tasks_in_the_order_asked(tmp_path):
    table = log()
    for scenario in tiny(tmp_path, table, options={"tasks": ("is_like", "is_click")}):
        rows = table[(table["tab"] == int(scenario.name[-1])) & (table["date"] < 20220504)]
        assert scenario.tasks == ("is_like", "is_click")
        assert np.array_equal(scenario.train.labels, rows[["is_like", "is_click"]])


def test_two_files_packed_or_not_are_one_log(tmp_path):
    table = log()
    parts = table[table["date"] < 20220422], table[table["date"] >= 20220422]
    want = digest(tiny(tmp_path / "one", table))
    for endings in (("", ""), (".gz", ".gz"), ("", ".gz")):
        files = {name + end: part for name, end, part in zip((FIRST, SECOND), endings, parts, strict=True)}
        directory = write(tmp_path / f"two{''.join(endings)}", files)
        assert digest(read_kuairand(directory, minimum_rows=100)) == want, endings
    both = write(tmp_path / "both", {FIRST: parts[0], SECOND: parts[1], FIRST + ".gz": parts[0]})
    assert digest(read_kuairand(both, minimum_rows=100)) == want  # a file and its packed twin count once
    write(both, {"log_random_4_22_to_5_08_pure.csv": table})  # another experiment of the publisher: not read
    assert digest(read_kuairand(both, minimum_rows=100)) == want


@pytest.mark.filterwarnings("ignore:.*no AUC there")
def test_which_tabs_are_read(tmp_path):
    table = log()
    sizes = table["tab"].value_counts()
    assert [s.name for s in tiny(tmp_path, table)] == ["tab 0", "tab 1"]
    assert [s.name for s in tiny(tmp_path, table, minimum_rows=sizes[3])] == ["tab 0", "tab 1", "tab 3"]
    assert [s.name for s in tiny(tmp_path, table, options={"tabs": [3]})] == ["tab 3"]
    wide = table.assign(tab=table["tab"].replace({3: 12}))
    assert [s.name for s in tiny(tmp_path, wide, minimum_rows=9)] == ["tab 00", "tab 01", "tab 12"]
    refused(["no rows of tab [7]", "[0, 1, 3]"], tiny, tmp_path, table, options={"tabs": [1, 7]})
    refused(["no tab has 5000 rows", f"has {sizes.max()}"], read_kuairand, tmp_path)


def test_the_days_of_validation_and_test_can_be_moved(tmp_path):
    table = log()
    days = {"valid_from": 20220415, "test_from": 20220420}
    for scenario in tiny(tmp_path, table, options=days):
        date = table[table["tab"] == int(scenario.name[-1])]["date"]
        want = [(date < 20220415).sum(), date.between(20220415, 20220419).sum(), (date >= 20220420).sum()]
        assert counts(scenario) == want


def test_who_is_in_no_catalogue_is_unknown_and_gaps_take_the_median_of_the_catalogue(tmp_path):
    table, films = log(), videos()
    table.loc[table["date"] == 20220505, ["user_id", "video_id"]] = 999
    films.loc[4, "video_duration"] = np.nan
    for scenario in tiny(tmp_path, table, videos=films, options={"statistics": "none"}):
        rows = table[(table["tab"] == int(scenario.name[-1])) & (table["date"] >= 20220505)]
        strange = (rows["user_id"] == 999).to_numpy()
        assert strange.any() and not strange.all()
        for field in ("user_id", "onehot_feat3", "video_id", "tag"):
            assert np.array_equal(raw(scenario, field, "test") == 0, strange)
        duration = films.set_index("video_id")["video_duration"].reindex([*range(9), 999])
        want = np.log1p(rows["video_id"].map(duration.fillna(films["video_duration"].median())))
        assert np.allclose(raw(scenario, "video_duration", "test"), want)
        fans = users().set_index("user_id")["fans_user_num"]
        want = np.log1p(rows["user_id"].map(fans).fillna(fans.median()))
        assert np.allclose(raw(scenario, "fans_user_num", "test"), want)


def test_statistics_are_each_clients_own_unless_asked_otherwise(tmp_path):
    own = tiny(tmp_path)
    joint = tiny(tmp_path, options={"statistics": "federation"})
    for scenario in own:
        assert np.allclose(scenario.train.numerical.mean(0), 0, atol=1e-5)
    assert not np.allclose(joint[0].train.numerical.mean(0), 0, atol=1e-3)
    assert np.allclose(np.concatenate([s.train.numerical for s in joint]).mean(0), 0, atol=1e-5)


def put(table, column, row, value):
    table = table.astype({column: object})
    table.loc[row, column] = value
    return table


@pytest.mark.parametrize("name", [names.USERS, names.VIDEOS, SECOND])
def test_a_missing_empty_or_damaged_file_is_named(tmp_path, name):
    file = write(tmp_path, {SECOND: log()}) / name
    header = file.read_text().splitlines()[0]
    for content, fragments in (
        (None, ["missing" if name != SECOND else "no log_standard", "10439422", str(tmp_path)]),
        ("", [f"{file} is empty"]),
        (header, [f"{file} has no rows"]),
        (f"{header},{header.split(',')[0]}\n", [str(file), "twice"]),
        (header.replace("_id", "_idd", 1) + "\n1", [str(file), "Unknown column", "_id'"]),
    ):
        file.unlink(missing_ok=True) if content is None else file.write_text(content)
        refused(fragments, read_kuairand, tmp_path, minimum_rows=100)


def test_a_bad_label_is_found_in_its_file(tmp_path):
    """Row 5 of the second log, whatever came before it and whatever tabs were asked for."""
    early, late = log(first=8, days=14), put(log(first=22, days=16, seed=4), "is_click", 4, 2)
    early.loc[:9, "tab"] = 3  # not read
    late.loc[4, "tab"] = 0
    write(tmp_path, {FIRST: early, SECOND: late})
    refused([SECOND, "row 5 (line 6", "'is_click'", "0, 1 or"], read_kuairand, tmp_path, tabs=[0, 1])


@pytest.mark.parametrize(
    ("file", "column"),
    [
        (names.USERS, "fans_user_num"),
        (names.VIDEOS, "video_duration"),
        (SECOND, "hourmin"),
        (SECOND, "date"),
        (SECOND, "tab"),
    ],
)
def test_text_where_a_number_belongs_is_found_in_its_file(tmp_path, file, column):
    write(tmp_path, {SECOND: log()})
    put(pd.read_csv(tmp_path / file), column, 2, "many").to_csv(tmp_path / file, index=False)
    refused([file, "row 3", column, "many"], read_kuairand, tmp_path, minimum_rows=100)


def test_a_row_without_a_tab_is_found_in_its_file_and_renames_no_scenario(tmp_path):
    refused([SECOND, "row 3", "tab"], tiny, tmp_path, put(log(), "tab", 2, None))


def test_a_user_described_twice_is_refused_and_does_not_double_the_rows(tmp_path):
    twice = pd.concat([users(), users()[:1]])
    refused([names.USERS, "user_id", "100"], tiny, tmp_path, users=twice)


def test_a_tab_without_training_rows_and_a_task_that_is_none_are_refused(tmp_path):
    table = log()
    late = table[(table["tab"] != 3) | (table["date"] >= 20220504)]
    with pytest.warns(UserWarning, match="left out: scenario tab 3 .no training rows"):
        assert [s.name for s in tiny(tmp_path, late, options={"tabs": [1, 3]})] == ["tab 1"]
    refused(["task of KuaiRand 'is_clik'", "is_click"], tiny, tmp_path, options={"tasks": ["is_clik"]})
    refused(["Unknown task", "is_follow"], tiny, tmp_path, options={"tasks": ["is_follow"]})
    lean = table.drop(columns="is_like")
    refused([SECOND, "'is_like'"], tiny, tmp_path, lean, options={"tasks": ["is_like"]})
    refused([names.USERS, "missing", "10439422"], read_kuairand, tmp_path / "nowhere")


# ---- windows in time ----


def test_windows_follow_each_other_and_only_the_last_sees_the_last_day(tmp_path):
    table, seen = log(rows=900, first=25, days=14), []  # 04-25 … 05-08
    for name, days in names.WINDOWS.items():
        found = tiny(tmp_path, table, options=days)
        assert [s.name for s in found] == ["tab 0", "tab 1"]  # the same tabs in each
        date, edges = table["date"], [0, days["valid_from"], days["test_from"], days["until"] + 1]
        for tab, scenario in enumerate(found):
            for split, first, end in zip(SPLITS, edges, edges[1:], strict=False):
                own = table[(table["tab"] == tab) & (date >= first) & (date < end)]
                assert counts(scenario)[SPLITS.index(split)] == len(own) > 0
                users_of = scenario.notes["group"][scenario.name][split]
                assert users_of.tolist() == own["user_id"].tolist()  # who is resampled
                seen += [(name, split, day) for day in own["date"].unique()]
    assert {name for name, _, day in seen if day == 20220508} == {"last"}
    tests = [(name, day) for name, split, day in set(seen) if split == "test"]
    assert len(tests) == len({day for _, day in tests}) == 7  # no day tests twice

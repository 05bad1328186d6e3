"""KuaiRand-Pure (Gao et al., CIKM 2022): every tab of the app is a scenario."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pfmsm_lite.data.columns import read_labels, refuse
from pfmsm_lite.data.files import TORN, check_header
from pfmsm_lite.data.table import from_dataframe
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.scenario import SPLITS, Scenario

TASKS = ("is_click", "long_view", "is_like")
USERS, VIDEOS = "user_features_pure.csv", "video_features_basic_pure.csv"
RANGES = [
    f"{what}_range" for what in ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
]
USER_FIELDS = ["user_active_degree", "is_live_streamer", "is_video_author", *RANGES]
USER_FIELDS += [f"onehot_feat{k}" for k in range(18)]
VIDEO_FIELDS = ["author_id", "video_type", "upload_type", "music_type", "tag"]
USER_NUMBERS = ["follow_user_num", "fans_user_num", "friend_user_num", "register_days"]
VIDEO_NUMBERS = ["video_duration"]
REQUIRED = ("date", "hourmin", "tab")  # numbers of the log that every row must have
NUMBERS = (*USER_NUMBERS, *VIDEO_NUMBERS, *REQUIRED)
SOURCE = "Zenodo record 10439422, KuaiRand-Pure.tar.gz"
# three windows in time, one after the other: training from 04-25 to the day before `valid_from`, one day that
# validates, two of test; `until` is the last day that is read. None of them has seen 05-08, which is `last`:
# to be looked at once, when all is decided
WINDOWS = {
    "1": {"valid_from": 20220501, "test_from": 20220502, "until": 20220503},
    "2": {"valid_from": 20220503, "test_from": 20220504, "until": 20220505},
    "3": {"valid_from": 20220505, "test_from": 20220506, "until": 20220507},
    "last": {"valid_from": 20220507, "test_from": 20220508, "until": 20220508},
}


def read_kuairand(
    directory: str | Path,
    tabs: Iterable[int] | None = None,
    tasks: Sequence[str] = ("is_click", "long_view"),
    minimum_rows: int = 5000,
    valid_from: int = 20220504,
    test_from: int = 20220505,
    statistics: str = "client",
    until: int | None = None,
) -> list[Scenario]:
    """KuaiRand-Pure as scenarios "tab 0", "tab 1", … with user and video features joined.

    directory     holds log_standard_*_pure.csv (or .gz) and the user and video features of the publisher
    tabs          which tabs; None: all with at least `minimum_rows` rows (from 04-25 on: 0, 1, 2, 4, 6)
    tasks         of is_click, long_view, is_like
    valid_from, test_from   first day (YYYYMMDD) of the validation and of the test rows
    statistics    see `from_dataframe`; a missing video duration becomes the median of the catalogue
    until         last day that is read, None: all. `WINDOWS` has three windows in time: **WINDOWS["1"]
    raises        UserError naming the file or column that is missing, and where to get it

    Features are taken from a list, so that no outcome (play time, another is_… label) is among them. The
    categories are declared by the publisher's user and video tables: nothing is fitted across clients.
    The users of the rows are in notes["group"]: intervals draw whole users.
    """
    directory = Path(directory)
    for name in (USERS, VIDEOS):
        if not (directory / name).exists():
            raise UserError(f"{directory / name} is missing. It is in {SOURCE}.")
    for task in tasks:
        choose("task of KuaiRand", task, TASKS)
    users = _read(directory / USERS, ["user_id", *USER_FIELDS, *USER_NUMBERS], key="user_id")
    videos = _read(directory / VIDEOS, ["video_id", *VIDEO_FIELDS, *VIDEO_NUMBERS], key="video_id")
    log = _logs(directory, ["user_id", "video_id", "date", "hourmin", "tab", *tasks])
    log = log[log["tab"].isin(_wanted(log["tab"], tabs, minimum_rows, directory))]
    log = log if until is None else log[log["date"] <= until]  # the same tabs in every window
    declared = {column: users[column].unique() for column in ["user_id", *USER_FIELDS]}
    declared |= {column: videos[column].unique() for column in ["video_id", *VIDEO_FIELDS]}
    declared["hour"] = range(24)
    found = from_dataframe(
        _joined(log, users, videos)[["scenario", "date", *tasks, *declared, *USER_NUMBERS, *VIDEO_NUMBERS]],
        scenario="scenario",
        tasks=tasks,
        categorical=list(declared),
        numerical=USER_NUMBERS + VIDEO_NUMBERS,
        time="date",
        split={"valid": valid_from, "test": test_from},
        categories=declared,
        statistics=statistics,
        minimum_rows=1,  # how large a tab must be was asked above
        source=str(directory),
    )
    users_of = log["user_id"].to_numpy()
    found[0].notes["group"] = {  # one dict, which all scenarios have
        s.name: {split: users_of[s.rows(split).source.numpy()] for split in SPLITS} for s in found
    }
    return found


def read_csv(path: str | Path, **options) -> pd.DataFrame:
    """pandas.read_csv for a published .csv or .csv.gz file; raises UserError that names the file."""
    try:
        header = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0].dropna()
        check_header(header, path)  # pandas renames the second of two equal columns without a word
        return pd.read_csv(path, low_memory=False, **options)
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path} is empty.") from error
    except UserError:
        raise
    except TORN as error:
        raise UserError(f"{path} cannot be read as a table: {str(error).strip()}.") from error


def _read(path, columns, key=None):
    """The named columns of a CSV file; a bad cell is refused with its row, a `key` if it occurs twice."""
    head = read_csv(path, nrows=0).columns.tolist()
    for column in columns:
        choose(f"column in {path}:", column, head)
    frame = read_csv(path, usecols=columns)
    if frame.empty:
        raise UserError(f"{path} has no rows.")
    for column in columns:
        if column in TASKS:
            read_labels(frame[column], path)
        elif column in NUMBERS:
            numbers = pd.to_numeric(frame[column], errors="coerce")
            gap = frame[column].isna() & (column not in REQUIRED)
            bad = (numbers.isna() & ~gap).to_numpy()
            refuse(bad, frame[column], path, "is not a number. Fix or drop the row.")
        if column == key:
            twice = frame[column].duplicated().to_numpy()
            refuse(twice, frame[column], path, "occurs twice. Drop one of the rows.")
    return frame


def _logs(directory, columns):
    """All standard logs in the folder, plain or .gz, each once: the publisher's two, or any part of them."""
    found = sorted(
        [*directory.glob("log_standard_*_pure.csv"), *directory.glob("log_standard_*_pure.csv.gz")]
    )
    once = {path.name.removesuffix(".gz"): path for path in reversed(found)}
    if not once:
        raise UserError(f"{directory} has no log_standard_*_pure.csv or .csv.gz. They are in {SOURCE}.")
    return pd.concat([_read(once[name], columns) for name in sorted(once)], ignore_index=True)


def _wanted(tab, tabs, minimum_rows, directory):
    """Which tabs are read, from the tab [R] of each row; refused where there are no rows for them."""
    sizes = tab.value_counts()
    wanted = sorted(sizes.index[sizes >= minimum_rows]) if tabs is None else list(tabs)
    absent = [tab for tab in wanted if tab not in sizes.index]
    if absent:
        raise UserError(f"{directory}: no rows of tab {absent}; there are {sorted(sizes.index.tolist())}.")
    if not wanted:
        raise UserError(f"{directory}: no tab has {minimum_rows} rows; the largest has {sizes.max()}.")
    return wanted


def _joined(log, users, videos):
    """The log with the features of its users and videos, its hour, and its tab as the name of a scenario."""
    log = log.merge(users, on="user_id", how="left").merge(videos, on="video_id", how="left")
    log[VIDEO_NUMBERS] = log[VIDEO_NUMBERS].fillna(videos[VIDEO_NUMBERS].median())
    log[USER_NUMBERS] = log[USER_NUMBERS].fillna(users[USER_NUMBERS].median())
    for column in USER_NUMBERS + VIDEO_NUMBERS:  # counts and durations over orders of magnitude
        log[column] = np.log1p(log[column].clip(lower=0))
    log["hour"] = log["hourmin"] // 100
    digits = len(str(log["tab"].max()))
    log["scenario"] = "tab " + log["tab"].astype(str).str.zfill(digits)
    return log

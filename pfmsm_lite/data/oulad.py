"""OULAD (Kuzilek, Hlosta and Zdrahal, Scientific Data 4:170171, 2017): every course is a scenario."""

from pathlib import Path

import pandas as pd

from pfmsm_lite.data.columns import refuse
from pfmsm_lite.data.files import Table, read_file
from pfmsm_lite.data.table import encode
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.scenario import Scenario

SCENARIO, TASKS = "code_module", ("stayed", "passed")
NUMBERS = ("num_of_prev_attempts", "studied_credits", "date_registration", "early_n", "slack")
COURSE = ["code_module", "code_presentation"]
PERSON = [*COURSE, "id_student"]
WHO = ["gender", "region", "highest_education", "imd_band", "age_band", "disability"]
FILES = {  # file of the publisher → the columns that are read
    "studentInfo.csv": [*PERSON, *WHO, "num_of_prev_attempts", "studied_credits", "final_result"],
    "studentRegistration.csv": [*PERSON, "date_registration"],
    "assessments.csv": [*COURSE, "id_assessment"],
    "studentAssessment.csv": ["id_assessment", "id_student", "date_submitted"],
}
AMOUNTS = ("num_of_prev_attempts", "studied_credits", "date_registration", "date_submitted")
RESULTS = ("Withdrawn", "Fail", "Pass", "Distinction")
ROWS = 32_593  # registrations, as published
EARLY = 30  # days of a course in which work that is handed in counts as known
SOURCE = "https://research.stem.open.ac.uk/ouanalyse/dataset"


def read_oulad(directory: str | Path, **options) -> list[Scenario]:
    """OULAD's seven courses, with the tasks stayed (not withdrawn) and passed.

    directory  holds the publisher's studentInfo.csv, studentRegistration.csv, assessments.csv and
               studentAssessment.csv, or one table made of them, oulad.csv (or .csv.gz)
    options    of `table.encode`, such as split, seed and statistics
    raises     UserError naming the file, row or column that is missing or wrong, and where to get it

    What is known after 30 days: who it is, the day of registration, how many pieces were handed in (early_n)
    and when the last one was (slack; 31: none). The clicks (studentVle.csv) are not read.
    """
    directory = Path(directory)
    ready = [path for path in (directory / "oulad.csv", directory / "oulad.csv.gz") if path.exists()]
    if (directory / "studentInfo.csv").exists():
        table = Table(joined(directory), (f"{', '.join(FILES)} joined",), 0)
    elif ready:
        table = read_file(ready[0])
    else:
        raise UserError(
            f"{directory} lacks studentInfo.csv. Fetch the archive from {SOURCE}, or with `download oulad`."
        )
    said = table.said
    if len(table.frame) != ROWS:
        said = (*said, f"the publisher has {ROWS:,} registrations, and here are {len(table.frame):,}")
    return encode(
        table._replace(said=said), scenario=SCENARIO, tasks=list(TASKS), numerical=list(NUMBERS),
        source=str(directory), **options,
    )  # fmt: skip


def joined(directory: Path) -> pd.DataFrame:
    """One row a registration, from the publisher's files."""
    info, day, assessments, pieces = (_read(directory / name, columns) for name, columns in FILES.items())
    unknown = ~info["final_result"].isin(RESULTS).to_numpy()
    refuse(unknown, info["final_result"], directory / "studentInfo.csv", f"is none of {', '.join(RESULTS)}.")
    pieces = pieces.merge(assessments)
    early = pieces[pieces["date_submitted"] <= EARLY].groupby(PERSON)["date_submitted"]
    handed = early.agg(early_n="size", slack="max").reset_index()
    table = info.merge(day, "left").merge(handed, "left")
    table = table.fillna({"imd_band": "unknown", "early_n": 0, "slack": EARLY + 1})
    term, result = table.pop("code_presentation"), table.pop("final_result")
    table["start"], table["season"] = term.rank(method="dense").astype(int), term.str[-1]
    table["stayed"] = (result != "Withdrawn").astype(int)
    table["passed"] = result.isin(["Pass", "Distinction"]).astype(int)
    return table.drop(columns="id_student")


def _read(path, columns):
    if not path.exists():
        raise UserError(f"{path} is missing. It is in the archive of {SOURCE}.")
    text = read_file(path).frame
    for column in columns:
        choose(f"column in {path}:", column, text.columns)
    if text.empty:
        raise UserError(f"{path} has no rows. Fetch it again.")
    frame = text[columns].astype(object)
    frame = frame.where(~frame.isin(["?", ""]), None)
    for column in columns:
        own = frame[column]
        if column in (*PERSON, "id_assessment"):
            refuse(own.isna().to_numpy(), own, path, "is missing. Was the file cut off? Fetch it again.")
        if column in AMOUNTS:
            frame[column] = pd.to_numeric(own, errors="coerce")
            bad = (frame[column].isna() & own.notna()).to_numpy()
            refuse(bad, own, path, "is not a number. Fix the row, or fetch the file again.")
    if set(PERSON) <= set(columns):
        again = frame.duplicated(PERSON).to_numpy()
        refuse(again, frame["id_student"], path, "is registered twice for a course. Drop one of the rows.")
    return frame

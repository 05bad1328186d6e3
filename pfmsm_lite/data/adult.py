"""Adult, census income (Becker and Kohavi, UCI, 1996): every occupation is a scenario."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from pfmsm_lite.data.cache import refuse_copies
from pfmsm_lite.data.chunks import Layout, blocks, line_of
from pfmsm_lite.data.files import Table, read_file
from pfmsm_lite.data.table import encode
from pfmsm_lite.errors import UserError
from pfmsm_lite.scenario import Scenario

SCENARIO, TASKS = "occupation", ("income_50k", "never_married")
NAMES = (
    "age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation",
    "relationship", "race", "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country",
    "income",
)  # fmt: skip
NUMBERS = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")
LAYOUT = Layout(
    {name: "id" if name in NUMBERS else "text" for name in NAMES}, sep=", ", data="Adult", names=NAMES
)
INCOMES = {"<=50K": 0, ">50K": 1, "<=50K.": 0, ">50K.": 1}
ROWS = {"adult.data": 32_561, "adult.test": 16_281}  # as published
SOURCE = "https://archive.ics.uci.edu/dataset/2/adult"


def read_adult(directory: str | Path, **options) -> list[Scenario]:
    """Adult by occupation, with the tasks income_50k and never_married, and the publisher's test rows.

    directory  holds the publisher's adult.data and adult.test, or one table made of them, adult.csv (or .gz)
    options    of `table.encode`, such as statistics and minimum_rows (100: occupations of at least so many)
    raises     UserError naming the file and line that is missing or wrong, and where to get it

    Relationship and fnlwgt are dropped: the one gives the second task away, the other is the census's weight.
    """
    directory = Path(directory)
    ready = [path for path in (directory / "adult.csv", directory / "adult.csv.gz") if path.exists()]
    if (directory / "adult.data").exists():
        table = joined(directory)
    elif ready:
        table = read_file(ready[0])
    else:
        raise UserError(f"{directory} lacks adult.data and adult.test. They are at {SOURCE}.")
    o = {"minimum_rows": 100, **options}
    return encode(
        table, scenario=SCENARIO, tasks=list(TASKS), numerical=["capital_gain", "capital_loss"], na=["?"],
        split_column="part", duplicates="apart", source=str(directory), **o,
    )  # fmt: skip


def joined(directory: Path) -> Table:
    """Both files of the publisher as one table, with a column that says which."""
    for name in ROWS:
        if not (directory / name).exists():
            raise UserError(f"{directory / name} is missing. It is at {SOURCE}.")
    refuse_copies(directory / name for name in ROWS)
    parts, said = [], ["rows are numbered through adult.data and adult.test"]
    for name, split in (("adult.data", "train"), ("adult.test", "test")):
        frame = _read(directory / name)
        if len(frame) != ROWS[name]:
            said.append(f"{name} has {len(frame):,} rows, and the publisher's {ROWS[name]:,}")
        parts.append(frame.assign(part=split))
    table = pd.concat(parts, ignore_index=True)
    table = table[table["occupation"] != "?"]
    table["income_50k"] = table.pop("income").map(INCOMES).astype(int)
    table["never_married"] = (table.pop("marital_status") == "Never-married").astype(int)
    return Table(table.drop(columns=["relationship", "fnlwgt"]), tuple(said), 0)


def _read(path):
    """A file of the publisher; the first line of adult.test is a remark."""
    with path.open("rb") as file:
        first = file.readline()
    begin = (len(first), 2) if first.startswith(b"|") else (0, 1)
    parts = [block.table for block in blocks(path, LAYOUT, begin)]
    if not parts:
        raise UserError(f"{path} holds no rows. Fetch it again.")
    table = pa.concat_tables(parts)
    frame = table.to_pandas()
    if len(wrong := frame.index[~frame["income"].isin(INCOMES)]):
        line, cell = line_of(path, *begin, wrong[0]), frame["income"][wrong[0]]
        raise UserError(
            f"{path}: line {line}, column 'income': {cell!r} is neither <=50K nor >50K. Fix that line, or "
            "fetch the file again."
        )
    return frame

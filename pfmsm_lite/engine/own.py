"""An owner's rows: what was written for it, or a table of its own, read by a schema that all owners have.

Nothing is fitted over several owners: categories are hashed, or declared in the schema. A schema is JSON:

    {"tasks": ["click"], "categorical": {"item": 4096, "colour": ["red", "blue"]}, "numerical": ["price"],
     "gaps": ["price"], "positive": ["click>=1"], "time": "day"}

A number is of buckets, a list is of values; "gaps" are the numerical columns that may have any.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pfmsm_lite.data.files import read_file
from pfmsm_lite.data.table import encode
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.lab import store
from pfmsm_lite.scenario import SPLITS, Rows, Scenario

KEYS = ("tasks", "categorical", "numerical", "gaps", "positive", "time", "split_column", "group", "na")
COLUMN = "(scenario)"  # of a table that names none


def rows_of(config: Mapping[str, str]) -> Scenario:
    """The rows that a node is to train on.

    config  data: a folder of `store.save`, or a table;  of a table also schema and name
    """
    data = Path(config["data"])
    if data.is_dir():
        return store.load(data)[0]
    if not config.get("schema") or not config.get("name"):
        raise UserError(f"--data {data} is a table: give --schema FILE.json and --name, too.")
    return own_table(data, read_schema(Path(config["schema"])), config["name"])


def read_schema(path: Path) -> dict[str, Any]:
    """A schema, checked. Raises UserError that names the file and the key."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for key in found:
            choose(f"key of {path}", key, KEYS)
        found["tasks"], found["categorical"]
    except OSError as error:
        raise UserError(f"--schema {path} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"--schema {path} is no JSON object with tasks and categorical: {error}.") from error
    for name, values in found["categorical"].items():
        if type(values) is not int and not (isinstance(values, list) and values):
            raise UserError(
                f"--schema {path}: {name} is {values!r}, but it must be a number of buckets or a list."
            )
    return found


def own_table(path: Path, schema: Mapping[str, Any], name: str) -> Scenario:
    """One owner's table as a Scenario, with the same fields and columns as every other owner's."""
    table = read_file(path, None, None)
    table = table._replace(frame=table.frame.assign(**{COLUMN: name}))
    numerical, gaps = list(schema.get("numerical", ())), list(schema.get("gaps", ()))
    fields = schema["categorical"]
    declared = {column: values for column, values in fields.items() if isinstance(values, list)}
    named = {*schema["tasks"], *fields, *numerical, COLUMN}
    named |= {schema[key] for key in ("time", "split_column", "group") if schema.get(key)}
    known = [str(column).strip() for column in table.frame]
    for column in named:
        choose(f"column of {path.name}", column, known)
    options = {
        key: schema[key] for key in ("positive", "time", "split_column", "group", "na") if key in schema
    }
    hashed = sorted({values for values in fields.values() if isinstance(values, int)})
    if len(hashed) > 1:
        raise UserError(
            f"--schema: categorical columns have {hashed} buckets. Give all hashed ones the same."
        )
    found = encode(
        table, COLUMN, schema["tasks"], categorical=list(fields), numerical=numerical,
        ignore=[column for column in known if column not in named], categories=declared or "hash",
        buckets=hashed[0] if hashed else None, source=path.name, **options,
    )  # fmt: skip
    return with_gaps(found[0], numerical, gaps, path.name)


def with_gaps(scenario: Scenario, numerical: list[str], gaps: list[str], source: str) -> Scenario:
    """The scenario with a column that says where a gap was for every column of `gaps`, had it any or not."""
    there, wanted = list(scenario.numericals), [*numerical, *(f"{name} (missing)" for name in gaps)]
    for name in there:
        if name not in wanted:
            column = name.removesuffix(" (missing)")
            raise UserError(f'{source}: {column} has gaps. Name it in the schema\'s "gaps", for all owners.')

    def cut(rows: Rows) -> Rows:
        own = rows.numerical
        parts = [own[:, there.index(n)] if n in there else torch.zeros(len(own)) for n in wanted]
        return rows._replace(numerical=torch.stack(parts, 1) if parts else own)

    rows = {split: cut(scenario.rows(split)) for split in SPLITS}
    return replace(scenario, numericals=tuple(wanted), **rows)

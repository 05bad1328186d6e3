"""An owner's own table: read by a schema, nothing fitted over owners, and always with the same columns."""

import json

import numpy as np
import pandas as pd
import pytest

from pfmsm_lite.engine.declared import agreed, declaration, described
from pfmsm_lite.engine.own import rows_of
from pfmsm_lite.errors import UserError
from pfmsm_lite.methods import METHODS, Settings

SCHEMA = {"tasks": ["click"], "categorical": {"item": 64, "kind": ["x", "y"]}, "numerical": ["price", "age"],
          "gaps": ["age"]}  # fmt: skip


def table(seed, rows=90):
    generator = np.random.default_rng(seed)
    return pd.DataFrame({
        "item": generator.integers(0, 20, rows), "kind": generator.choice(["x", "y"][: 2 - seed], rows),
        "price": generator.random(rows), "age": generator.random(rows),
        "click": generator.integers(0, 2, rows), "note": "secret",
    })  # fmt: skip


def read(tmp_path, frame, schema=SCHEMA, name="a"):
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    frame.to_csv(tmp_path / "own.csv", index=False)
    return rows_of({"data": str(tmp_path / "own.csv"), "schema": str(tmp_path / "schema.json"), "name": name})


def test_owners_with_other_values_and_gaps_have_the_same_fields_and_columns(tmp_path):
    one, other = table(0), table(1)
    other.loc[::3, "age"] = np.nan
    found = {name: read(tmp_path, frame, name=name) for name, frame in (("a", one), ("b", other))}
    declared = declaration(METHODS["fedavg"], Settings(), 0, 1, found)
    said = {name: {**described(own), "digest": declared.digest} for name, own in found.items()}
    common = agreed(declared, said)
    assert common["numericals"] == ["price", "age", "age (missing)"]
    assert dict(common["fields"])["kind"] == 3  # two values, declared, and the unknown one
    assert not found["a"].train.numerical[:, 2].any() and found["b"].train.numerical[:, 2].any()
    assert found["a"].name == "a" and "note" not in common["numericals"]
    # the same value has the same number at both
    assert set(found["b"].train.categorical[:, 1].tolist()) <= set(
        found["a"].train.categorical[:, 1].tolist()
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gaps": []}, 'age has gaps. Name it in the schema\'s "gaps"'),
        ({"tasks": ["buy"]}, "Unknown column of own.csv 'buy'"),
        ({"colour": 3}, "Unknown key of .*schema.json 'colour'"),
        ({"categorical": {"item": 0.5}}, "item is 0.5, but it must be a number of buckets or a list"),
        ({"categorical": {"item": 64, "kind": 32}}, "Give all hashed ones the same"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_schema_is_named(tmp_path, change, said):
    frame = table(0)
    frame.loc[::3, "age"] = np.nan
    with pytest.raises(UserError, match=said):
        read(tmp_path, frame, {**SCHEMA, **change})


def test_a_table_without_a_schema_is_refused(tmp_path):
    with pytest.raises(UserError, match="give --schema FILE.json and --name"):
        rows_of({"data": str(tmp_path / "own.csv")})

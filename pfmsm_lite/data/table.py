"""Any table: a pandas DataFrame or a file, and the names of its columns → one Scenario per client."""

from pathlib import Path

import numpy as np
import torch

from pfmsm_lite.data.scenario import SPLITS, Rows, Scenario
from pfmsm_lite.errors import UserError, choose

HASH_KEY = "pfmsm_lite table"  # 16 characters: the same value is in the same bucket on every machine
FEW = 50  # an integer column with at most so many different values is taken for categorical
LEAK = 0.98  # single-column AUC from which a feature is suspected to know the label
MISSING = "(missing)"


def _place(column, position, value, source, remedy):
    """The error for one cell: which file, row and column, what is there, what to do."""
    return UserError(
        f"{source}: row {position + 1} (line {position + 2} of a file with a header), column {column!r}: "
        f"{value!r} {remedy}"
    )


def _check_columns(df, used, source):
    """Refuse an empty table, duplicate columns, and columns that are missing or used twice."""
    if not len(df):
        raise UserError(f"{source} has no rows.")
    twice = df.columns[df.columns.duplicated()].unique().tolist()
    if twice:
        raise UserError(f"{source} has the column {', '.join(map(repr, twice))} twice. Rename or drop one.")
    for role, columns in used.items():
        for column in columns:
            choose(f"column (as {role}) in {source}:", column, [str(c) for c in df.columns])
    roles = {}
    for role, columns in used.items():
        for column in columns:
            if column in roles:
                raise UserError(f"{source}: column {column!r} is named as {roles[column]} and as {role}.")
            roles[column] = role


def _labels(column, source):
    """[rows] float32 of 0, 1 and NaN; anything else is refused with its row."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    wrong = ~(numbers.isin([0, 1]) | column.isna())
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise _place(column.name, at, column.iloc[at], source, "is no label: it must be 0, 1 or empty.")
    return numbers.to_numpy("float32")


def _numbers(column, source):
    """[rows] float64, every one finite; text, NaN and inf are refused with their row."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    wrong = ~np.isfinite(numbers.to_numpy())
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        remedy = "is no number. Fill it in, name the column in categorical, or ignore the column."
        raise _place(column.name, at, column.iloc[at], source, remedy)
    return numbers.to_numpy()


def _text(column):
    """Values as text, the same for 3 and 3.0; missing values are a value of their own."""
    import pandas as pd

    values = column.astype(object).where(column.notna(), MISSING)
    if pd.api.types.is_float_dtype(column):
        values = values.map(lambda v: str(int(v)) if v != MISSING and float(v).is_integer() else str(v))
    return values.map(str)


def type_columns(df):
    """Column → "categorical" or "numerical", from content.

    Text, booleans, pandas categories, and integers with at most 50 different values are categorical; so are
    whole numbers with gaps (missing values). Other numbers are numerical.
    """
    import pandas as pd

    kinds = {}
    for name, column in df.items():
        number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        present = column.dropna()
        whole = number and bool((present % 1 == 0).all())
        few = whole and present.nunique() <= FEW
        kinds[name] = "categorical" if not number or few or (whole and column.isna().any()) else "numerical"
    return kinds


def _split(df, time, split, scenario, seed, source):
    """[rows] int8: 0 train, 1 valid, 2 test; by time over all scenarios, or at random inside each."""
    if time is None:
        shares = np.cumsum(split)
        part = np.zeros(len(df), np.int8)
        for n, rows in enumerate(df.groupby(scenario, sort=True).indices.values()):
            order = np.random.default_rng([seed, n]).permutation(rows)
            cut = np.round(shares[:2] / shares[2] * len(rows)).astype(int)
            part[order[cut[0] :]] = 1
            part[order[cut[1] :]] = 2
        return part
    moments = df[time]
    if moments.isna().any():
        at = int(np.flatnonzero(moments.isna())[0])
        raise _place(time, at, None, source, "is no time. Fill it in, or split at random (no time).")
    if isinstance(split, dict):
        valid, test = split["valid"], split["test"]
    else:
        shares = np.cumsum(split) / np.sum(split)
        valid, test = moments.sort_values().iloc[(shares[:2] * len(df)).astype(int)]
    return ((moments >= valid).astype(np.int8) + (moments >= test).astype(np.int8)).to_numpy()


def encode_category(column, how, train):
    """One categorical column → (ids [rows] int64 from 0 = unknown, rows of its table, how it was encoded).

    how   an int: hashed into that many buckets, nothing is fitted · a list: these values are declared ·
          "union": the values of all clients' training rows, which a federation would have to exchange
    """
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        how = list(column.dtype.categories)
    values = _text(column)
    if isinstance(how, int):
        hashed = pd.util.hash_array(values.to_numpy(object), hash_key=HASH_KEY)
        return (hashed % np.uint64(how)).astype("int64") + 1, how + 1, f"hashed into {how} buckets"
    fitted = isinstance(how, str)  # "union"
    known = sorted(set(values[train])) if fitted else [*dict.fromkeys(_text(pd.Series(how)))]
    ids = pd.Index(known).get_indexer(values) + 1
    return ids.astype("int64"), len(known) + 1, "fitted on all" if fitted else "declared"


def standardize(values, train, clients, statistics, transform):
    """[rows, D] float32: z-scores or normal quantiles, fitted on training rows only.

    clients  [rows] number of each row's scenario;  statistics: client, federation or none
    """
    values = np.asarray(values, np.float64)
    if statistics == "none":
        return values.astype(np.float32)
    groups = clients if statistics == "client" else np.zeros(len(values), int)
    out = np.empty(values.shape, np.float32)
    for group in np.unique(groups):
        here = groups == group
        known, own = values[here & train], values[here]
        if transform == "quantile" and values.shape[1]:
            from sklearn.preprocessing import QuantileTransformer

            many = max(1, min(1000, len(known)))
            fitted = QuantileTransformer(n_quantiles=many, output_distribution="normal").fit(known)
            out[here] = np.where(np.ptp(known, axis=0) > 0, fitted.transform(own), 0.0)
        else:
            mean, deviation = known.mean(0), known.std(0)
            out[here] = np.where(deviation > 0, (own - mean) / np.where(deviation > 0, deviation, 1), 0.0)
    return out


def _leaks(df, kinds, labels, train):
    """Warnings for columns that all but determine a label by themselves.

    Half of the training rows give each value (or bin) of the column its rate; the other half is ranked by it.
    So a unique id, which tells nothing about rows not seen yet, is not suspected.
    """
    import pandas as pd
    from sklearn.metrics import roc_auc_score

    rows = np.flatnonzero(train)
    first, second = rows[::2], rows[1::2]
    warnings = []
    for name, kind in kinds.items():
        column = _text(df[name]) if kind == "categorical" else pd.to_numeric(df[name])
        if kind == "numerical":
            edges = np.unique(np.quantile(column.iloc[first], np.linspace(0, 1, 101)))
            column = pd.Series(np.searchsorted(edges, column.to_numpy(), side="right"), index=df.index)
        for task, label in labels.items():
            known = ~np.isnan(label)
            a, b = first[known[first]], second[known[second]]
            if len(b) < 20 or min(np.unique(label[b], return_counts=True)[1]) in (0, len(b)):
                continue
            rate = pd.Series(label[a]).groupby(column.iloc[a].to_numpy()).mean()
            guess = column.iloc[b].map(rate).fillna(label[a].mean()).to_numpy(float)
            auc = roc_auc_score(label[b], guess)
            if auc >= LEAK:
                warnings.append(
                    f"column {name!r} alone gives {task!r} an AUC of {auc:.3f}: it probably knows the "
                    f"outcome (a leak). Leave it out with --ignore {name} unless it is known beforehand."
                )
    return warnings


def from_dataframe(
    df,
    scenario,
    tasks,
    categorical=None,
    numerical=None,
    time=None,
    ignore=(),
    categories="hash",
    buckets=4096,
    statistics="client",
    transform="standard",
    split=(0.6, 0.2, 0.2),
    seed=0,
    minimum_rows=1,
    ctcvr=None,
    source="the table",
):
    """One Scenario for each value of a column, in the order of the values.

    df            a pandas DataFrame;  scenario: the column that names a row's scenario
    tasks         label columns: 0, 1 or missing
    categorical, numerical   feature columns; columns named nowhere are typed from their content, see
                  `type_columns`; the outcome stands in every scenario's notes["typing"]
    time          column to split by: the last rows of all are test, those before validation, none of one
                  moment on both sides; None: at random inside each scenario, with `seed`
    split         shares of train, valid and test; with `time` also {"valid": first, "test": first moment}
    categories    hash (into `buckets`; nothing is fitted) · union (values of all clients' training rows) ·
                  {field: declared values}, the others hashed. A pandas Categorical is always declared.
                  A value that is not among them is read as "unknown", and so is one that nobody trained on
    statistics    numerical columns are fitted on the training rows of the `client` · of the whole
                  `federation` · `none`;  transform: standard (z-score) or quantile (to a normal)
    minimum_rows  smaller scenarios are left out, and named in the notes
    ctcvr         (click, conversion): the second label becomes click AND conversion
    raises        UserError that names source, row, column or scenario, and the remedy
    """
    import pandas as pd

    tasks, ignore = list(tasks), list(ignore)
    used = {
        "scenario": [scenario],
        "task": tasks,
        "categorical": list(categorical or ()),
        "numerical": list(numerical or ()),
        "time": [time] if time else [],
        "ignore": ignore,
    }
    _check_columns(df, used, source)
    if not tasks:
        raise UserError("tasks is empty: name at least one label column.")
    choose("statistics", statistics, ("client", "federation", "none"))
    choose("transform", transform, ("standard", "quantile"))
    if df[scenario].isna().any():
        at = int(np.flatnonzero(df[scenario].isna())[0])
        raise _place(scenario, at, None, source, "names no scenario. Fill it in, or drop the row.")
    df = df.reset_index(drop=True)
    sizes = df[scenario].value_counts()
    small = [f"{name} ({rows} rows)" for name, rows in sizes.items() if rows < minimum_rows]
    labels = {task: _labels(df[task], source) for task in tasks}
    if ctcvr:
        click, conversion = (labels[choose("task in ctcvr", name, tasks)] for name in ctcvr)
        labels[ctcvr[1]] = np.where(np.isnan(click + conversion), np.nan, click * conversion).astype(
            "float32"
        )
    named = {column for columns in used.values() for column in columns}
    kinds = {column: "categorical" for column in used["categorical"]}
    kinds.update({column: "numerical" for column in used["numerical"]})
    kinds.update(type_columns(df[[column for column in df.columns if column not in named]]))
    if not kinds:
        raise UserError(f"{source}: no feature column is left beside scenario, tasks and what is ignored.")
    numbers = {c: _numbers(df[c], source) for c, kind in kinds.items() if kind == "numerical"}

    keep = df[scenario].map(sizes >= minimum_rows).to_numpy(bool)
    if not keep.any():
        raise UserError(f"{source}: no scenario has {minimum_rows} rows; the largest has {sizes.max()}.")
    df = df[keep].reset_index(drop=True)
    labels = {task: values[keep] for task, values in labels.items()}
    part = _split(df, time, split, scenario, seed, source)
    train = part == 0
    names = sorted(df[scenario].unique())
    clients = pd.Index(names).get_indexer(df[scenario])
    for n, name in enumerate(names):
        counts = np.bincount(part[clients == n], minlength=3)
        if not counts.all():
            empty = SPLITS[int(np.argmin(counts))]
            raise UserError(
                f"{source}: scenario {str(name)!r} has no {empty} rows after the split ({counts.sum()} in all)."
                f" Leave it out with minimum_rows={counts.sum() + 1}, or split otherwise."
            )

    fields, ids, typing = {}, [], {}
    for column, kind in kinds.items():
        if kind == "numerical":
            typing[column] = f"numerical, {transform}, fitted on training rows ({statistics})"
            continue
        declared = isinstance(categories, dict)
        how = (
            categories.get(column, buckets)
            if declared
            else {"hash": buckets, "union": "union"}.get(choose("categories", categories, ("hash", "union")))
        )
        encoded, fields[column], text = encode_category(df[column], how, train)
        typing[column] = f"categorical, {df[column].nunique()} values, {text}"
        ids.append(encoded)
    ids = np.stack(ids, 1) if ids else np.zeros((len(df), 0), np.int64)
    values = [numbers[column][keep] for column in numbers]
    values = np.stack(values, 1) if values else np.zeros((len(df), 0))
    values = standardize(values, train, clients, statistics, transform)
    target = np.stack(list(labels.values()), 1)
    notes = {
        "typing": typing,
        "warnings": _leaks(df, kinds, labels, train) + [f"left out: scenario {name}" for name in small],
        "statistics": statistics,
        "categories": categories if isinstance(categories, str) else "declared",
        "source": str(source),
    }
    return [
        Scenario(
            str(name),
            tuple(tasks),
            dict(fields),
            tuple(numbers),
            *(
                Rows(
                    *(
                        torch.from_numpy(block[(clients == n) & (part == k)])
                        for block in (ids, values, target)
                    )
                )
                for k in range(3)
            ),
            notes,
        )
        for n, name in enumerate(names)
    ]


def read_csv(path, **options):
    """pandas.read_csv for a .csv, .csv.gz or .tsv file, its failures as UserError that names the file."""
    import pandas as pd

    separator = "\t" if ".tsv" in Path(path).suffixes else ","
    try:
        return pd.read_csv(path, sep=separator, **options)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path} is empty.") from error
    except (pd.errors.ParserError, UnicodeDecodeError, EOFError, OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as a table: {str(error).strip()}. Save it as UTF-8 CSV."
        ) from error


def _read_parquet(path):
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except (OSError, ValueError) as error:  # pyarrow's errors are of these kinds
        raise UserError(f"{path} cannot be read as Parquet: {str(error).strip()}.") from error


READERS = {
    ".csv": read_csv,
    ".csv.gz": read_csv,
    ".tsv": read_csv,
    ".tsv.gz": read_csv,
    ".parquet": _read_parquet,
}


def read_table(path, **columns):
    """Scenarios from a .csv, .csv.gz, .tsv or .parquet file; `columns` as in `from_dataframe`."""
    name = Path(path).name.lower()
    ending = next(
        (ending for ending in sorted(READERS, key=len, reverse=True) if name.endswith(ending)), None
    )
    if ending is None:
        raise UserError(f"{path}: what format is it? Its name must end in one of: {', '.join(READERS)}.")
    return from_dataframe(READERS[ending](path), source=Path(path).name, **columns)

"""Any table: a pandas DataFrame or a file, and the names of its columns → one Scenario per client."""

import zlib
from pathlib import Path

import numpy as np
import torch

from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.scenario import SPLITS, Rows, Scenario

HASH_KEY = "pfmsm_lite table"  # 16 characters: the same value is in the same bucket on every machine
FEW = 50  # a column of whole numbers with at most so many different values is taken for categorical
LEAK = 0.98  # single-column AUC from which a feature is suspected to know the label
BEYOND = 1e30  # a larger number overflows float32, or its square float64
MISSING = "(missing)"


def _bad_cell(column, position, source, remedy):
    """The error for one cell: which file, row and column, what is there, what to do."""
    value = column.iloc[position]
    shown = repr(value.item() if isinstance(value, np.generic) else value)
    row = f"row {position + 1} (line {position + 2} of a file with a header)"
    return UserError(f"{source}: {row}, column {column.name!r}: {shown} {remedy}")


def refuse(wrong, column, source, remedy):
    """Raise for the first row of `column` that is `wrong` [rows] bool."""
    if np.any(wrong):
        raise _bad_cell(column, int(np.argmax(wrong)), source, remedy)


def _check_columns(df, roles, source):
    """Refuse an empty table, duplicate columns, and columns that are missing or used twice."""
    if not len(df):
        raise UserError(f"{source} has no rows.")
    _check_header(df.columns, source)
    taken = {}
    for role, columns in roles.items():
        for column in columns:
            choose(f"column (as {role}) in {source}:", column, df.columns)
            if column in taken:
                raise UserError(
                    f"{source}: column {column!r} is named as {taken[column]} and as {role}. Drop one."
                )
            taken[column] = role


def _check_header(columns, source):
    twice = dict.fromkeys(column for column in columns if list(columns).count(column) > 1)
    if twice:
        raise UserError(f"{source} has the column {', '.join(map(repr, twice))} twice. Rename or drop one.")


def read_labels(column, source):
    """[rows] float32 of 0, 1 and NaN; anything else is refused with its row."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").astype("float64").to_numpy()
    known = column.notna().to_numpy()
    refuse(known & ~np.isin(numbers, [0, 1]), column, source, "is no label: it must be 0, 1 or empty.")
    return numbers.astype(np.float32)


def _numbers(column, source):
    """[rows] float64; text, NaN, inf and numbers that overflow are refused with their row."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").astype("float64").to_numpy()
    remedy = (
        "is no usable number. Fill it in, declare the column categorical (--categorical), or leave it "
        f"out (--ignore {column.name})."
    )
    refuse(~(np.abs(numbers) < BEYOND), column, source, remedy)
    return numbers


def _moments(column, source):
    """The time column as numbers or as UTC timestamps."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        moments = column
    else:
        text = column.astype("string") if column.dtype == object else column
        dates = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
        numbers = pd.to_numeric(text, errors="coerce")
        # one bad cell makes text of a column of numbers: blame that cell, not the numbers
        moments = numbers if numbers.notna().sum() > dates.notna().sum() else dates
    remedy = "is no time. Write a number or a date as 2022-05-04 (13:00:00), or split at random (no time)."
    refuse(moments.isna().to_numpy(), column, source, remedy)
    return moments


def _codes(column):
    """One column → (codes [rows], names [K + 1]): its K different values as text; the last, −1, is missing.

    3 and 3.0 give the same text, so that a gap in a column of whole numbers does not rename its values.
    """
    import pandas as pd

    codes, values = pd.factorize(column)
    texts = (str(int(v)) if isinstance(v, float) and v.is_integer() else str(v) for v in values.tolist())
    return codes, np.array([*texts, MISSING], object)


def type_columns(df):
    """Column → "categorical" or "numerical", from content.

    Text, booleans, pandas categories, and whole numbers with at most 50 different values are categorical; so
    are whole numbers with gaps (missing values). All other numbers are numerical.
    """
    import pandas as pd

    kinds = {}
    for name, column in df.items():
        number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        present = column.dropna()
        whole = number and bool((present % 1 == 0).all())
        few = whole and (present.nunique() <= FEW or len(present) < len(column))
        kinds[name] = "categorical" if not number or few else "numerical"
    return kinds


def _clients(column, minimum_rows, source):
    """Scenario column → (names in order of the values, [rows] each row's number in them, what is left out).

    Rows of a scenario with fewer than `minimum_rows` have the number −1.
    """
    import pandas as pd

    refuse(column.isna().to_numpy(), column, source, "names no scenario. Fill it in, or drop the row.")
    values = column.unique().tolist()
    try:
        values = sorted(values)
    except TypeError:  # numbers and text in one column
        values = sorted(values, key=str)
    sizes = column.astype(str).value_counts()
    names = list(dict.fromkeys(map(str, values)))
    kept = [name for name in names if sizes[name] >= minimum_rows]
    if not kept:
        raise UserError(f"{source}: no scenario has {minimum_rows} rows; the largest has {sizes.max()}.")
    left_out = [f"scenario {name} ({sizes[name]} rows)" for name in names if name not in kept]
    return kept, pd.Index(kept).get_indexer(column.astype(str)), left_out


def _split(moments, split, clients, names, seed):
    """[rows] int8: 0 train, 1 valid, 2 test; by time over all scenarios, or at random inside each."""
    if isinstance(split, dict):
        if moments is None or set(split) != {"valid", "test"}:
            raise UserError(f'split={split}: it takes {{"valid": moment, "test": moment}} and a time column.')
        first = [split["valid"], split["test"]]
    else:
        try:
            shares = np.asarray(split, float)
        except (TypeError, ValueError):
            shares = np.zeros(0)
        if shares.shape != (3,) or not (shares > 0).all():
            raise UserError(f"split={split}: it takes three shares above 0, for train, valid and test.")
        shares = np.cumsum(shares)[:2] / shares.sum()
        if moments is None:
            part = np.zeros(len(clients), np.int8)
            for n, name in enumerate(names):  # a scenario's split does not depend on which others there are
                rows = np.flatnonzero(clients == n)
                order = np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(rows)
                for cut in np.round(shares * len(rows)).astype(int):
                    part[order[cut:]] += 1
            return part
        first = moments.sort_values().iloc[np.minimum(shares * len(moments), len(moments) - 1).astype(int)]
    return _by_time(moments, *first)


def _by_time(moments, valid, test):
    """[rows] int8: rows from `valid` on are validation, from `test` on test rows."""
    import pandas as pd

    try:
        if not pd.api.types.is_numeric_dtype(moments):
            valid, test = (pd.to_datetime(moment, utc=True) for moment in (valid, test))
        if valid > test:
            raise ValueError("valid comes after test")
        return ((moments >= valid).astype(np.int8) + (moments >= test).astype(np.int8)).to_numpy()
    except (TypeError, ValueError) as error:
        raise UserError(
            f"split: the first moments {valid} (valid) and {test} (test) do not fit the time column, which "
            f"runs from {moments.min()} to {moments.max()}: {error}."
        ) from error


def encode_category(column, how, train):
    """One categorical column → (ids [rows] int64 from 0 = unknown, rows of its table, how it was encoded).

    how   an int: hashed into that many buckets, nothing is fitted · a list: these values are declared ·
          "union": the values of all clients' training rows, which a federation would have to exchange
    """
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        how = list(column.dtype.categories)
    codes, names = _codes(column)
    values = f"categorical, {len(names) - 1} values"
    if isinstance(how, int):
        ids = pd.util.hash_array(names, hash_key=HASH_KEY) % np.uint64(how) + np.uint64(1)
        return ids.astype(np.int64)[codes], how + 1, f"{values}, hashed into {how} buckets"
    fitted = isinstance(how, str)  # "union"
    known = sorted(set(names[np.unique(codes[train])])) if fitted else _declared(how)
    ids = pd.Index(known).get_indexer(names) + 1
    how = "one vocabulary fitted on all scenarios" if fitted else "declared"
    return ids.astype(np.int64)[codes], len(known) + 1, f"{values}, {how}"


def _declared(values):
    """The texts of a list of values, each once; "(missing)" is among them if a missing value is."""
    import pandas as pd

    codes, names = _codes(pd.Series(list(values)))
    return list(dict.fromkeys(names[codes]))


def standardize(values, train, clients, statistics, transform="standard"):
    """[rows, D] float32: z-scores or normal quantiles, fitted on training rows only; constant columns are 0.

    train    [rows] bool;  clients: [rows] number of a row's scenario;  statistics: client, federation, none
    """
    values = np.asarray(values, np.float64)
    if statistics == "none" or not values.shape[1]:
        return values.astype(np.float32)
    groups = clients if statistics == "client" else np.zeros(len(values), int)
    out = np.empty(values.shape, np.float32)
    for group in np.unique(groups):
        here = groups == group
        known, own = values[here & train], values[here]
        varies = np.ptp(known, axis=0) > 0  # not std > 0: rounding gives a constant 0.1 a deviation of 1e-17
        if transform == "quantile":
            from sklearn.preprocessing import QuantileTransformer

            many = min(1000, len(known))
            fitted = QuantileTransformer(n_quantiles=many, output_distribution="normal", subsample=None)
            scaled = fitted.fit(known).transform(own)
        else:
            scaled = (own - known.mean(0)) / np.where(varies, known.std(0), 1)
        out[here] = np.where(varies, scaled, 0)
    return out


def _held_out_auc(codes, label, train):
    """AUC of one column by itself; NaN without both labels. codes [rows] ints ≥ 0, label [rows] 0, 1, NaN.

    Half of the training rows give each value its rate of positives; the other half is ranked by it. So a
    unique id, which tells nothing about rows not seen yet, is not suspected.
    """
    rows = np.flatnonzero(train & ~np.isnan(label))
    known, held = rows[::2], rows[1::2]
    if len(held) < 20:
        return np.nan
    size, prior = codes.max() + 1, label[known].mean()
    rate = np.bincount(codes[known], label[known], size) + prior
    rate /= np.bincount(codes[known], minlength=size) + 1
    level = np.unique(rate, return_inverse=True)[1][codes[held]]
    positive, negative = (np.bincount(level, weight) for weight in (label[held], 1 - label[held]))
    pairs = positive.sum() * negative.sum()
    return (np.cumsum(negative) - negative / 2) @ positive / pairs if pairs else np.nan


def _leaks(codes, labels, train):
    """Warnings for columns that all but determine a label by themselves. codes, labels: name → [rows]"""
    return [
        f"column {name!r} alone gives {task!r} an AUC of {auc:.3f}: it probably knows the outcome (a leak). "
        f"Leave it out with --ignore {name} unless it is known beforehand."
        for name, column in codes.items()
        for task, label in labels.items()
        if (auc := _held_out_auc(column, label, train)) >= LEAK
    ]


def _bins(values, train):
    """[rows] which hundredth of the training rows a number falls into."""
    edges = np.unique(np.quantile(values[train], np.linspace(0, 1, 101)))
    return np.searchsorted(edges, values, side="right")


def _stack(columns, rows, dtype):
    return np.stack(columns, 1) if columns else np.zeros((rows, 0), dtype)


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
                  `type_columns`; what came of it stands in every scenario's notes["typing"]
    time          column of numbers or ISO dates to split by: the last rows of all are test, those before
                  validation, none of one moment on both sides; None: at random in each scenario, with `seed`
    split         shares of train, valid and test; with `time` also {"valid": first, "test": first moment}
    categories    hash (into `buckets`; nothing is fitted) · union (values of all clients' training rows, a
                  federation must exchange them) · {field: declared values}, the others hashed. A pandas
                  Categorical is always declared. A value that is not among them is read as "unknown", row 0
    statistics    numerical columns are fitted on the training rows of the `client` · of the whole
                  `federation` (it must exchange sums) · `none`;  transform: standard (z-score) or quantile
    minimum_rows  smaller scenarios are left out, and named in the notes
    ctcvr         (click, conversion): the second label becomes click AND conversion; a missing conversion
                  after no click is 0
    raises        UserError that names source, row, column or scenario, and the remedy
    """
    df = df.set_axis([str(column) for column in df.columns], axis=1).reset_index(drop=True)
    tasks = [str(task) for task in tasks]
    roles = {"scenario": [scenario], "task": tasks, "time": [] if time is None else [time], "ignore": ignore}
    roles |= {"categorical": categorical or (), "numerical": numerical or ()}
    roles = {role: [str(column) for column in columns] for role, columns in roles.items()}
    _check_columns(df, roles, source)
    if not tasks:
        raise UserError("tasks is empty: name at least one label column.")
    if buckets < 1:
        raise UserError(f"buckets is {buckets}, but it must be 1 or more.")
    choose("statistics", statistics, ("client", "federation", "none"))
    choose("transform", transform, ("standard", "quantile"))
    named = {column for columns in roles.values() for column in columns}
    guessed = type_columns(df[[column for column in df.columns if column not in named]])
    kinds = dict.fromkeys(roles["categorical"], "categorical")
    kinds |= dict.fromkeys(roles["numerical"], "numerical") | guessed
    if not kinds:
        raise UserError(f"{source}: no feature column is left beside scenario, tasks and what is ignored.")
    how = {column: buckets for column, kind in kinds.items() if kind == "categorical"}
    if isinstance(categories, dict):
        for field, values in categories.items():
            if isinstance(values, (str, int)):
                raise UserError(
                    f"categories: {field!r} has {values!r}, but it takes a list of values. A field that is "
                    "not named is hashed."
                )
        how |= {choose("field in categories", str(field), how): v for field, v in categories.items()}
    elif choose("categories", categories, ("hash", "union")) == "union":
        how = dict.fromkeys(how, "union")

    names, clients, left_out = _clients(df[roles["scenario"][0]], minimum_rows, source)
    labels = {task: read_labels(df[task], source) for task in tasks}
    if ctcvr:
        click, conversion = (labels[choose("task in ctcvr", name, tasks)] for name in ctcvr)
        no = (click == 0) | (conversion == 0)
        labels[ctcvr[1]] = np.where(no, np.float32(0), click * conversion)
    numbers = {c: _numbers(df[c], source) for c, kind in kinds.items() if kind == "numerical"}
    moments = None if time is None else _moments(df[roles["time"][0]], source)

    keep = clients >= 0
    df, clients = df[keep], clients[keep]
    labels, numbers = ({c: v[keep] for c, v in block.items()} for block in (labels, numbers))
    part = _split(None if moments is None else moments[keep], split, clients, names, seed)
    train = part == 0
    for n, name in enumerate(names):
        counts = np.bincount(part[clients == n], minlength=3)
        if not counts.all():
            where = f"{source}: scenario {name!r} has no {SPLITS[int(np.argmin(counts))]} rows"
            raise UserError(
                f"{where} after the split ({counts.sum()} in all). "
                f"Leave it out with minimum_rows={counts.sum() + 1}, or split otherwise."
            )

    encoded = {column: encode_category(df[column], how[column], train) for column in how}
    typing = {column: text for column, (_, _, text) in encoded.items()}
    typing |= dict.fromkeys(numbers, f"numerical, {transform}, fitted on training rows ({statistics})")
    if statistics == "none":
        typing |= dict.fromkeys(numbers, "numerical, as it is")
    ids = {column: codes for column, (codes, _, _) in encoded.items()}
    values = standardize(_stack([*numbers.values()], len(df), float), train, clients, statistics, transform)
    warnings = _leaks(ids | {c: _bins(v, train) for c, v in numbers.items()}, labels, train)
    whole = [column for column in guessed if column in numbers and not (numbers[column] % 1).any()]
    if whole:
        warnings.append(
            f"read as quantities, since they hold many whole numbers: {', '.join(whole)}. An id among them "
            f"must be declared: --categorical {','.join(whole)}"
        )
    notes = {
        "typing": {column: typing[column] for column in kinds},
        "warnings": warnings + [f"left out: {text}" for text in left_out],
        "statistics": statistics,
        "categories": categories if isinstance(categories, str) else "declared",
        "source": str(source),
    }
    blocks = (_stack([*ids.values()], len(df), np.int64), values, np.stack([*labels.values()], 1))
    fields = {column: size for column, (_, size, _) in encoded.items()}
    return [
        Scenario(
            name,
            tuple(tasks),
            dict(fields),
            tuple(numbers),
            *(
                Rows(*(torch.from_numpy(block[(clients == n) & (part == k)]) for block in blocks))
                for k in range(3)
            ),
            notes,
        )
        for n, name in enumerate(names)
    ]


def read_csv(path, **options):
    """pandas.read_csv for a .csv, .csv.gz or .tsv file, its failures as UserError that names the file."""
    import pandas as pd

    tabs = Path(path).name.lower().endswith((".tsv", ".tsv.gz"))
    options |= {"sep": "\t" if tabs else ",", "low_memory": False}
    try:
        header = pd.read_csv(path, sep=options["sep"], header=None, nrows=1, dtype=str).iloc[0].dropna()
        _check_header(header.tolist(), path)  # pandas renames the second of two equal columns without a word
        frame = pd.read_csv(path, **options)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path} is empty.") from error
    except UserError:
        raise
    except (pd.errors.ParserError, UnicodeDecodeError, EOFError, OSError, ValueError, zlib.error) as error:
        raise UserError(
            f"{path} cannot be read as a table: {str(error).strip()}. Save it as UTF-8 CSV."
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes surplus first columns for row names
        raise UserError(f"{path}: the rows have more values than the header has names. Mend the header.")
    return frame


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
    ending = next((ending for ending in READERS if name.endswith(ending)), None)
    if ending is None:
        raise UserError(f"{path}: what format is it? Its name must end in one of: {', '.join(READERS)}.")
    return from_dataframe(READERS[ending](path), source=Path(path).name, **columns)

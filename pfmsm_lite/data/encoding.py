"""Columns → what a model reads: ids of embedding entries from categories, z-scores from numbers.

How a column is encoded is plain data, so that rows that come later are encoded alike: see `encoder`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.util import hash_array

from pfmsm_lite.data.columns import Column, plain
from pfmsm_lite.data.kinds import BAG_SIGNS, bag_sign, cut
from pfmsm_lite.errors import UserError, choose

HASH_KEY = "pfmsm_lite table"  # 16 characters: the same value is in the same bucket on every machine
MISSING = "(missing)"
STATISTICS = ("client", "federation", "none")  # whose training rows standardize a numerical column
BUCKETS, ROOM = 4096, 4  # the least number of buckets; buckets for each different value
WIDEST = 32  # entries of a bag that are read

Vocabulary = int | str | Iterable  # number of hash buckets · "union" · a list of declared values
Spec = dict[str, Any]  # how one column is encoded: plain enough for JSON


class Encoded(NamedTuple):
    """One categorical column of R rows.

    ids   [R, W] int32: 0 = unknown, −1 = no entry (of a bag; elsewhere W is 1); None once they were dropped
    size  entries of its table;  spec: how it was encoded;  how: the same in words
    """

    ids: Any
    size: int
    spec: Spec
    how: str


def vocabularies(
    fields: Iterable[str], categories: str | Mapping[str, Iterable], buckets: int | None
) -> dict[str, Vocabulary]:
    """Field → how it is encoded, see `encode_category`; categories and buckets as in `from_dataframe`."""
    how: dict[str, Vocabulary] = {field: buckets or 0 for field in fields}
    if not isinstance(categories, Mapping):
        union = choose("categories", categories, ("hash", "union")) == "union"
        return dict.fromkeys(how, "union") if union else how
    for field, values in categories.items():
        if isinstance(values, (str, int)):
            raise UserError(
                f"categories: {field!r} has {values!r}, but it takes a list of values. A field that is "
                "not named is hashed."
            )
    return how | {choose("field in categories", str(field), how): v for field, v in categories.items()}


def encode_category(column: Column, how: Vocabulary, train: np.ndarray, multi: bool = False) -> Encoded:
    """One categorical column as ids of embedding entries.

    how    an int: hashed into that many buckets, nothing is fitted; 0: as many as the different values of the
           training rows need · a list: these values are declared · "union": the values of all clients'
           training rows, which a federation would have to exchange. A pandas Categorical declares its own
    train  [R] bool: which rows are training rows
    multi  a row may have several entries: lists, or texts with a sign between them
    """
    spec: Spec = {"multi": _bag(column, train)} if multi else {}
    codes, texts = column.as_text()
    if column.declared and not multi:
        how = list(texts)
    trained = _trained(column, codes, texts, train, spec)
    there = texts[np.bincount(codes[codes >= 0], minlength=len(texts)) > 0]
    words = f"{len(_entries(there, spec) if multi else there):,} values"
    words = f"{_width(spec['multi'])}, {words}" if multi else f"categorical, {words}"
    if isinstance(how, int):
        spec["buckets"] = how or max(BUCKETS, 2 ** int(np.ceil(np.log2(max(ROOM * len(trained), 1)))))
        shared = _collisions(trained, spec["buckets"])
        told = f"; {shared:.0%} share one" if shared >= 0.005 else ""
        words += f", hashed into {spec['buckets']} buckets{told}"
    elif isinstance(how, str):  # "union"
        spec["known"] = sorted(set(plain(np.array(list(trained), object))))
        words += ", one vocabulary fitted on all scenarios"
    else:
        spec["known"] = _declared(how)
        words += ", declared"
    size = spec.get("buckets", len(spec.get("known", ()))) + 1
    ids = _apply_bag(spec, column) if multi else _of_codes(spec, codes, texts)
    return Encoded(ids, size, spec, words)


def apply(spec: Spec, column: Column) -> np.ndarray:
    """Ids [R, W] of a column as `encode_category` made the spec: for its own rows, and for others later."""
    if "multi" in spec:
        return _apply_bag(spec, column)
    return _of_codes(spec, *column.as_text())


def _of_codes(spec, codes, texts):
    """[R, 1] ids of codes [R], −1 for a gap, of texts [K]."""
    return _ids(spec, np.append(texts, MISSING))[codes][:, None]


def _ids(spec, names):
    """[K] int32 of the names [K] text."""
    names = plain(names)
    if "buckets" in spec:
        return (hash_array(names, hash_key=HASH_KEY) % np.uint64(spec["buckets"]) + np.uint64(1)).astype(
            np.int32
        )
    return (pd.Index(spec["known"], dtype=object).get_indexer(names) + 1).astype(np.int32)


def _trained(column, codes, texts, train, spec):
    """The different values, a gap among them, of the training rows."""
    if "multi" in spec and column.kind == "list":
        rows = np.repeat(train, np.diff(column.starts))
        return set(texts[np.unique(codes[rows & (codes >= 0)])]) | {MISSING}
    there = np.zeros(len(texts) + 1, bool)
    there[codes[train]] = True
    own = np.append(texts, MISSING)[there]
    return set(_entries(own, spec)) if "multi" in spec else set(own)


def _collisions(values, buckets):
    """Share of the values that are in a bucket with another one."""
    if not values:
        return 0.0
    counts = np.bincount(_ids({"buckets": buckets}, np.array(sorted(values), object)))
    return float(1 - (counts == 1).sum() / len(values))


def _declared(values):
    """The texts of a list of values, each once; "(missing)" is among them if a missing value is."""
    codes, texts = Column(pd.Series(list(values), name="declared")).as_text()
    return list(dict.fromkeys(plain(np.append(texts, MISSING)[codes]).tolist()))


# ---- bags ----


def _bag(column, train):
    """What says how a bag is cut: the sign between entries of a text, and how many are read."""
    if column.kind == "list":
        longest, sign = int(np.diff(column.starts)[train].max(initial=1)), ""
    else:
        codes, texts = column.as_text()
        sign = bag_sign(column) or next(
            (s for s in (*BAG_SIGNS, "/", " ") if any(s in text for text in texts)), "|"
        )
        own = texts[np.unique(codes[train & (codes >= 0)])]
        longest = max((len(cut(text, sign)) for text in own), default=1)
    return {"sign": sign, "width": min(max(longest, 1), WIDEST), "longest": longest}


def _width(bag):
    """What a bag is, in words."""
    told = f"bag of up to {bag['longest']} entries"
    told += f", separated by {bag['sign']!r}" if bag["sign"] else ""
    return told + (f", of which the first {WIDEST} are read" if bag["longest"] > WIDEST else "")


def _entries(texts, spec):
    """The different entries of texts that hold several each; lists come with their entries already."""
    sign = spec["multi"]["sign"]
    return {entry for text in texts for entry in cut(text, sign)} if sign else set(texts)


def _apply_bag(spec, column):
    width, sign = spec["multi"]["width"], spec["multi"]["sign"]
    nothing = int(_ids(spec, np.array([MISSING], object))[0])
    if column.kind == "list":
        ids = np.full((column.rows, width), -1, np.int32)
        rows = np.repeat(np.arange(column.rows), np.diff(column.starts))
        place = np.arange(len(rows)) - column.starts[:-1][rows]
        read = (place < width) & (column.codes >= 0)
        ids[rows[read], place[read]] = _ids(spec, np.append(column.texts, MISSING))[column.codes[read]]
    else:
        codes, texts = column.as_text()
        of_text = np.full((len(texts) + 1, width), -1, np.int32)
        entries = [(cut(text, sign) if sign else [text])[:width] for text in texts]
        known = np.array(sorted({entry for own in entries for entry in own} | {MISSING}), object)
        number = dict(zip(known, _ids(spec, known).tolist(), strict=True))
        for row, own in enumerate(entries):
            of_text[row, : len(own)] = [number[entry] for entry in own]
        ids = of_text[codes]
    ids[(ids < 0).all(1), 0] = nothing  # a bag without entries is a gap
    return ids


# ---- numbers ----


class Moments(NamedTuple):
    """What numbers are standardized with: mean [N, D] and deviation [N, D]; deviation 0: it does not vary."""

    mean: np.ndarray
    deviation: np.ndarray


def moments(
    values: np.ndarray, train: np.ndarray, clients: np.ndarray, statistics: str, count: int
) -> Moments:
    """Means and deviations of numbers [R, D] over the training rows, NaN left out: one line for each client.

    train       [R] bool: which rows are training rows;  clients  [R] number of a row's scenario, of `count`
    statistics  fitted on the training rows of each `client` · of the whole `federation` · `none`: only means
    """
    found = Moments(*np.zeros((2, count, values.shape[1])))
    if statistics == "federation":
        found.mean[:], found.deviation[:] = _moments(values[train])
        return found
    for client in np.unique(clients):
        fit_client(found, client, values[(clients == client) & train], statistics)
    return found


def fit_client(found: Moments, client: int, known: np.ndarray, statistics: str) -> None:
    """Put means and deviations of one client's training rows [R, D] into `found`."""
    found.mean[client], found.deviation[client] = _moments(known)
    if statistics == "none":
        found.deviation[client] = 1


def _moments(known):
    gaps = np.isnan(known)
    if not gaps.any():
        varies = np.ptp(known, axis=0) > 0  # not std > 0: rounding gives a constant 0.1 a deviation of 1e-17
        return known.mean(0), np.where(varies, known.std(0), 0)
    there = np.maximum((~gaps).sum(0), 1)
    mean = np.where(gaps, 0, known).sum(0) / there
    varies = np.where(gaps, -np.inf, known).max(0) > np.where(gaps, np.inf, known).min(0)
    return mean, np.where(varies, np.sqrt(np.where(gaps, 0, (known - mean) ** 2).sum(0) / there), 0)


def standardize(values: np.ndarray, clients: np.ndarray, found: Moments, statistics: str) -> np.ndarray:
    """Numbers [R, D] → [R, D] float32: z-scores, or as they are; constant columns become 0, gaps the mean."""
    out = np.empty(values.shape, np.float32)
    for client in np.unique(clients):
        here = clients == client
        out[here] = zscores(values[here], found.mean[client], found.deviation[client], statistics)
    return out


def zscores(own: np.ndarray, mean: np.ndarray, deviation: np.ndarray, statistics: str) -> np.ndarray:
    """Numbers [R, D] float64 of one client, taken over and changed in place, with mean and deviation [D]."""
    if statistics != "none":
        own -= mean
        own /= np.where(deviation > 0, deviation, 1)
        own[:, deviation == 0] = 0
    gaps = np.isnan(own)
    if gaps.any():
        own[gaps] = np.broadcast_to(mean if statistics == "none" else 0.0, own.shape)[gaps]
    return own

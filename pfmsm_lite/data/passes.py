"""Rows of published files, part by part, and what is fitted on them: counts, moments, training values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pfmsm_lite.data.cache import tables
from pfmsm_lite.data.chunks import line_of
from pfmsm_lite.data.columns import Column
from pfmsm_lite.data.drawn import drawn
from pfmsm_lite.data.encoding import STATISTICS, Encoded, Moments, apply, encode_category, vocabularies
from pfmsm_lite.data.meter import Meter
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.scenario import SPLITS

NOTHING = -(2**31)  # what stands for a gap among ids
DENSE = 2**23  # a range of values up to which their ids are looked up in a table
PENDING = 2_000_000  # values that wait until they are counted once each


class Chunk(NamedTuple):
    """R rows of one part: number of their scenario, split (0, 1, 2), number in the data, labels [R, T]."""

    table: pa.Table
    clients: np.ndarray
    part: np.ndarray
    rows: np.ndarray
    labels: np.ndarray

    def only(self, here: np.ndarray) -> "Chunk":
        """The rows of them that are True in `here` [R]."""
        if here.all():
            return self
        return Chunk(self.table.filter(pa.array(here)), *(own[here] for own in self[1:]))

    def numbers(self, columns: Sequence[str]) -> np.ndarray:
        """[R, D] float64, NaN for gaps."""
        found = np.empty((self.table.num_rows, len(columns)))
        for n, name in enumerate(columns):
            found[:, n] = self.table[name].to_numpy()
        return found


def chunks(sources: Sequence[Any], plan: Any, names: Sequence[str], o: dict[str, Any]) -> Iterator[Chunk]:
    """All rows of the scenarios `names`, in order of the sources; options o as in `streamed.USUAL`."""
    number, base = {name: n for n, name in enumerate(names)}, 0
    validated = any(one.split == "valid" for one in sources)
    for one in sources:
        rows = sum(part.rows for part in one.parts)
        if not one.scenario or one.scenario in number:
            yield from _chunks_of(one, plan, number, base, rows, validated, o)
        base += rows


def _chunks_of(one, plan, number, base, count, validated, o):
    share = _share(o, count)
    columns = [
        *plan.tasks,
        *plan.categorical,
        *plan.numerical,
        *(c for own in plan.bags.values() for c in own),
    ]
    columns += [] if one.scenario else [plan.scenario]
    at = base
    for part, table in zip(one.parts, tables(one.parts, list(dict.fromkeys(columns))), strict=True):
        rows = np.arange(at, at + table.num_rows)
        at += table.num_rows
        here = np.ones(len(rows), bool) if share == 1 else drawn(rows, o["seed"], "read") < share
        if one.scenario:
            clients = np.full(len(rows), number[one.scenario])
        else:
            clients = _clients(table[plan.scenario], number, one, part)
        labels = np.stack([table[task].to_numpy() for task in plan.tasks], 1).astype(np.float32, copy=False)
        _check_implied(labels, plan, one, part)
        split = _split(one, rows, validated, o)
        chunk = Chunk(table, clients, split, rows, labels).only(here & (clients >= 0))
        if len(chunk.rows):
            yield chunk


def _share(o, count):
    """The chance that one of `count` rows is read."""
    return 1.0 if o["most_rows"] is None else min(1.0, o["most_rows"] / max(count, 1))


def _split(one, rows, validated, o):
    """[R] int8: 0 train, 1 valid, 2 test."""
    if not one.split:
        train, valid, test = np.asarray(o["fractions"], float) / np.sum(o["fractions"])
        at = drawn(rows, o["seed"], "split")
        return (at >= train).astype(np.int8) + (at >= train + valid).astype(np.int8)
    if one.split == "train" and not validated:
        return (drawn(rows, o["seed"], "split") < o["held"]).astype(np.int8)
    return np.full(len(rows), SPLITS.index(one.split), np.int8)


def _clients(column, number, one, part):
    """[R] numbers of the rows' scenarios, −1 for one that is not kept; a gap is refused."""
    codes = column.combine_chunks().dictionary_encode()
    if codes.null_count:
        row = int(np.argmax(np.asarray(codes.is_null())))
        line = line_of(one.name, part.start, part.line, row)
        raise UserError(f"{one.name}: line {line} names no scenario. Fix or drop the line.")
    found = np.array([number.get(str(value), -1) for value in codes.dictionary.to_pylist()] or [0])
    return found[codes.indices.to_numpy()]


def _check_implied(labels, plan, one, part):
    """Refuse a row with a conversion and no click: columns, or files, that were mixed up."""
    if plan.implied:
        late, early = (plan.tasks.index(task) for task in plan.implied)
        wrong = (labels[:, late] == 1) & (labels[:, early] == 0)
        if wrong.any():
            line = line_of(one.name, part.start, part.line, int(np.argmax(wrong)))
            raise UserError(
                f"{one.name}: line {line} has {plan.implied[0]} = 1 and "
                f"{plan.implied[1]} = 0, which cannot be: were columns mixed up? Fetch the file again."
            )


def sizes_of(sources: Sequence[Any], plan: Any, o: dict[str, Any]) -> dict[str, int]:
    """Scenario → rows that are read of it; of a column by one look at that column alone."""
    found: dict[str, int] = {}
    for one in sources:
        count = sum(part.rows for part in one.parts)
        if one.scenario:
            here = count if o["most_rows"] is None else min(count, o["most_rows"])
            found[one.scenario] = found.get(one.scenario, 0) + here
            continue
        share, own = _share(o, count), {}
        for table in tables(one.parts, [plan.scenario]):
            for value in pc.value_counts(table[plan.scenario]).to_pylist():
                if value["values"] is not None:
                    own[str(value["values"])] = own.get(str(value["values"]), 0) + value["counts"]
        for name, rows in own.items():
            found[name] = found.get(name, 0) + max(1, round(rows * share))
    return found


# ---- what is fitted ----


@dataclass
class Fitted:
    """What the first pass found, for N scenarios, T tasks, D numbers.

    rows [N, 3], known and positive [N, 3, T]   by split;  moments  of the training rows
    gaps     numerical column → its missing cells;  flagged  those with some among the training rows
    encoded  field → how it is encoded;  values  field → the ids of its values
    """

    rows: np.ndarray
    known: np.ndarray
    positive: np.ndarray
    moments: Moments
    gaps: dict[str, int]
    flagged: list[str]
    encoded: dict[str, Encoded] = field(default_factory=dict)
    values: dict[str, "_Numbered"] = field(default_factory=dict)
    bags: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def ids(self, name: str, chunk: Chunk) -> np.ndarray:
        """Ids [R, W] of a field of the chunk's rows."""
        if name not in self.bags:
            return self.values[name].ids(_ids_of(chunk.table[name]))[:, None]
        found = np.full((chunk.table.num_rows, len(self.bags[name])), -1, np.int32)
        for n, column in enumerate(self.bags[name]):
            own = _ids_of(chunk.table[column])
            there = (own != NOTHING) & (own != 0)
            found[there, n] = self.values[name].ids(own[there])
        spec = self.encoded[name].spec
        found[(found < 0).all(1), 0] = apply(spec, Column(_lists([], 1)))[0, 0]  # a gap
        return found


def _ids_of(column):
    """[R] int64 of a column of ids, NOTHING for a gap."""
    return column.fill_null(NOTHING).to_numpy().astype(np.int64)


def _lists(values, rows):
    """A Series of lists of one value each, or of `rows` empty ones."""
    starts = np.arange(len(values) + 1) if len(values) else np.zeros(rows + 1, int)
    lists = pa.ListArray.from_arrays(pa.array(starts, pa.int32()), pa.array(values, pa.int64()))
    return pd.Series(lists.to_pandas(types_mapper=pd.ArrowDtype), name="bag")


class _Numbered:
    """The ids of values: values [K] sorted, found [K]. Where the values lie close, a table of their range."""

    def __init__(self, values: np.ndarray, found: np.ndarray):
        self.values, self.found, self.table = values, found, None
        low = values[values != NOTHING]
        if len(low) and low[-1] - low[0] < DENSE:
            self.first, self.table = low[0] - 1, np.zeros(low[-1] - low[0] + 2, np.int32)
            self.table[values.clip(self.first) - self.first] = found  # a gap stands at 0

    def ids(self, own: np.ndarray) -> np.ndarray:
        """[R] int32 of values [R] that are among them."""
        if self.table is not None:
            return self.table[own.clip(self.first) - self.first]
        return self.found[np.searchsorted(self.values, own)]


class _Values:
    """The different values of a field, in all rows and in the training rows."""

    def __init__(self):
        self.kept, self.waiting, self.count = {}, {}, {}
        for which in ("all", "train"):
            self.kept[which], self.waiting[which], self.count[which] = np.zeros(0, np.int64), [], 0

    def add(self, which: str, column: pa.ChunkedArray) -> None:
        own = _ids_of(pc.unique(column))
        self.waiting[which].append(own)
        self.count[which] += len(own)
        if self.count[which] > PENDING:
            self.of(which)

    def of(self, which: str) -> np.ndarray:
        """Sorted."""
        self.kept[which] = np.unique(np.concatenate([self.kept[which], *self.waiting[which]]))
        self.waiting[which], self.count[which] = [], 0
        return self.kept[which]


class _Sums:
    """Means and squared deviations of D numbers of N clients, part by part (Chan, Golub and LeVeque 1979)."""

    def __init__(self, clients: int, width: int):
        self.count, self.mean, self.square = np.zeros((3, clients, width))
        self.low, self.high = np.full((2, clients, width), np.inf) * np.array([1, -1])[:, None, None]

    def add(self, client: int, values: np.ndarray) -> None:
        there = ~np.isnan(values)
        if there.all():
            mean = values.mean(0)
            self._join(client, np.full(len(mean), len(values)), mean, ((values - mean) ** 2).sum(0))
            self.low[client] = np.fmin(self.low[client], values.min(0))
            self.high[client] = np.fmax(self.high[client], values.max(0))
            return
        count, known = there.sum(0), np.where(there, values, 0)
        mean = known.sum(0) / np.maximum(count, 1)
        square = (np.where(there, values - mean, 0) ** 2).sum(0)
        self._join(client, count, mean, square)
        self.low[client] = np.fmin(self.low[client], np.where(there, values, np.inf).min(0))
        self.high[client] = np.fmax(self.high[client], np.where(there, values, -np.inf).max(0))

    def _join(self, client, count, mean, square):
        both = self.count[client] + count
        step, weight = mean - self.mean[client], count / np.maximum(both, 1)
        self.square[client] += square + step**2 * self.count[client] * weight
        self.mean[client] += step * weight
        self.count[client] = both

    def moments(self, statistics: str) -> Moments:
        """As `encoding.moments` gives them."""
        choose("statistics", statistics, STATISTICS)
        if statistics == "federation" and len(self.count):
            whole = _Sums(1, self.count.shape[1])
            for own in zip(self.count, self.mean, self.square, strict=True):
                whole._join(0, *own)
            whole.low[0], whole.high[0] = self.low.min(0), self.high.max(0)
            found = whole.moments("client")
            return Moments(*(np.repeat(own, len(self.count), 0) for own in found))
        deviation = np.where(self.high > self.low, np.sqrt(self.square / np.maximum(self.count, 1)), 0)
        return Moments(self.mean, np.ones_like(deviation) if statistics == "none" else deviation)


def fit(sources: Sequence[Any], plan: Any, names: Sequence[str], o: dict[str, Any]) -> Fitted:
    """The first pass over all rows; names: of the N scenarios."""
    count, tasks = len(names), len(plan.tasks)
    rows, (known, positive) = np.zeros((count, 3), int), np.zeros((2, count, 3, tasks), int)
    sums, gaps, flagged = _Sums(count, len(plan.numerical)), np.zeros(len(plan.numerical), int), set()
    fields = {**{c: (c,) for c in plan.categorical}, **plan.bags}
    values = {c: _Values() for c in fields}
    meter, done = Meter("looking at the rows", sum(part.rows for one in sources for part in one.parts)), 0
    for chunk in chunks(sources, plan, names, o):
        np.add.at(rows, (chunk.clients, chunk.part), 1)
        np.add.at(known, (chunk.clients, chunk.part), ~np.isnan(chunk.labels))
        np.add.at(positive, (chunk.clients, chunk.part), chunk.labels == 1)
        train, numbers = chunk.part == 0, chunk.numbers(plan.numerical)
        gaps += np.isnan(numbers).sum(0)
        flagged |= set(np.flatnonzero(np.isnan(numbers[train]).any(0)).tolist())
        for client in np.unique(chunk.clients[train]):
            sums.add(client, numbers[train & (chunk.clients == client)])
        trained = chunk.only(train).table
        for c, columns in fields.items():
            for column in columns:
                values[c].add("all", chunk.table[column])
                values[c].add("train", trained[column])
        done += len(chunk.rows)
        meter.at(done)
    meter.done()
    found = Fitted(
        rows, known, positive, sums.moments(o["statistics"]),
        dict(zip(plan.numerical, gaps.tolist(), strict=True)),
        [plan.numerical[n] for n in sorted(flagged)], bags=dict(plan.bags),
    )  # fmt: skip
    how = vocabularies(fields, o["categories"], o["buckets"])
    for c, own in values.items():
        _encode(found, c, own, how[c], len(fields[c]))
    return found


def _encode(found, name, own, how, width):
    """How a field is encoded, and the id of each of its values, as the table reader has it."""
    values, bag = own.of("all"), name in found.bags
    values = values[(values != NOTHING) & (values != 0)] if bag else values
    train = np.isin(values, own.of("train"))
    if bag:
        column = Column(_lists(values, len(values)))
    else:
        column = Column(pd.Series(pd.array(values, "Int64").copy(), name=name).where(values != NOTHING))
    one = encode_category(column, how, train, multi=bag)
    found.values[name] = _Numbered(values, one.ids[:, 0])
    if bag:
        one.spec["multi"] |= {"width": width, "longest": width}
    found.encoded[name] = one._replace(ids=None)

"""What turns later rows into what a model was trained on: plain data, kept beside the model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch

from pfmsm_lite.data.columns import Column, plain
from pfmsm_lite.data.encoding import Moments, Spec, apply, standardize
from pfmsm_lite.data.labels import Positive, read_task
from pfmsm_lite.errors import UserError
from pfmsm_lite.scenario import Rows, shortened


@dataclass(frozen=True)
class Encoder:
    """How the columns of a table were read.

    scenario    the column that names a row's scenario;  names [N] of the scenarios that were kept
    tasks       task → its rule for positives, or None: the labels are 0 and 1
    categories  column → its spec, see `encoding`;  numbers  column → whether it holds dates
    flagged     numerical columns with a flag for missing cells
    mean, deviation   [N][D] of the numbers, see `encoding.Moments`;  statistics  as in `from_dataframe`
    decimal, na       as in `from_dataframe`;  signs: numerical column of texts → the decimal sign found in it
    """

    scenario: str
    names: list[str]
    tasks: dict[str, Positive | None]
    categories: dict[str, Spec]
    numbers: dict[str, bool]
    flagged: list[str]
    statistics: str
    mean: list[list[float]] = field(default_factory=list)
    deviation: list[list[float]] = field(default_factory=list)
    decimal: str | None = None
    na: list[str] = field(default_factory=list)
    signs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, state: dict[str, Any]) -> "Encoder":
        """From what `state` gave."""
        return cls(**state)

    def state(self) -> dict[str, Any]:
        """Plain lists, numbers and texts, for JSON."""
        return asdict(self)

    def transform(
        self, df: pd.DataFrame, source: str = "the table", before: int = 1
    ) -> tuple[np.ndarray, Rows]:
        """Rows that come later, read as those that were trained on.

        returns  ([R] names of scenarios, Rows of all R rows in order; labels are NaN where df has none)
        raises   UserError for a column that is missing, a scenario that is not known, a bad cell
        """
        df = df.rename(columns=str)
        wanted = [self.scenario, *self.categories, *self.numbers]
        if lacking := [name for name in wanted if name not in df]:
            raise UserError(
                f"{source} lacks the column{'s' * (len(lacking) > 1)} {', '.join(map(repr, lacking))}; it "
                f"has {shortened(df.columns)}. Give it the columns of the table that was trained on."
            )
        columns = {name: self._column(df[name], source, before) for name in dict.fromkeys(wanted)}
        clients = self._clients(columns[self.scenario])
        ids = [apply(spec, columns[name]) for name, spec in self.categories.items()]
        numbers = np.zeros((len(df), 0))
        if self.numbers:
            numbers = read_numbers({c: columns[c] for c in self.numbers}, self.numbers)
        found = Moments(np.array(self.mean), np.array(self.deviation))
        values = standardize(numbers, clients, found, self.statistics)
        flags = np.isnan(numbers[:, [list(self.numbers).index(name) for name in self.flagged]])
        absent = np.full(len(df), np.nan, np.float32)
        labels = [
            read_task(self._column(df[task], source, before), rule) if task in df else absent
            for task, rule in self.tasks.items()
        ]
        rows = Rows(
            torch.from_numpy(np.concatenate(ids, 1) if ids else np.zeros((len(df), 0), np.int32)),
            torch.from_numpy(np.concatenate([values, flags.astype(np.float32)], 1)),
            torch.from_numpy(np.stack(labels, 1)),
            source=torch.arange(len(df)),
        )
        return np.array(self.names, object)[clients], rows

    def _column(self, series, source, before):
        column = Column(series, source, self.decimal or self.signs.get(str(series.name)), before)
        column.without(self.na)
        return column

    def _clients(self, column):
        """[R] number of each row's scenario."""
        codes, texts = column.as_text()
        names, texts = pd.Index(self.names, dtype=object), np.append(texts, "")
        known = names.get_indexer(texts)
        known = np.where(known < 0, names.get_indexer(plain(texts)), known)
        clients = known[codes]
        column.refuse(
            clients < 0,
            f"is not a scenario that was trained on: {shortened(self.names)}. Leave the row out, or train "
            "again with it.",
        )
        return clients


def read_numbers(
    columns: Mapping[str, Column], dates: Mapping[str, bool], rows: np.ndarray | slice = slice(None)
) -> np.ndarray:
    """Some rows of D numerical columns as [R, D] float64, NaN for gaps; dates: see `as_number`."""
    return np.stack([as_number(column, dates[name], rows) for name, column in columns.items()], 1)


def as_number(column: Column, date: bool, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Some rows of a numerical column as [R] float64; date: its texts are dates, in seconds since 1970."""
    if date and column.kind == "text":
        return np.append(column.dates, np.nan)[column.codes[rows]]
    return column.as_numbers(rows)

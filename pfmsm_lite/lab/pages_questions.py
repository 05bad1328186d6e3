"""The open questions, on the results page: one table each, and what it says in words."""

import numpy as np
import pandas as pd

from pfmsm_lite.lab.late import JOINS as JOINED
from pfmsm_lite.lab.late import ROUNDS, ROWS, WAYS
from pfmsm_lite.lab.markdown import grid, interval, section, signed, source
from pfmsm_lite.lab.statistics import HERO

NAME = "questions"


def questions(folder):
    """A section for each of the three questions; "" where `questions` was not run."""
    if not (folder / NAME / "questions.csv").exists():
        return ""
    table, costs = (
        pd.read_csv(folder / NAME / f"{name}.csv", dtype={"level": str}) for name in ("questions", "costs")
    )
    parts = [
        part for write in (_many, _sampled, _poor, _late, _sets, _columns) for part in write(table, costs)
    ]
    how = (
        "Generated data, each seed with data of its own; methods as declared. Gains are AUC points over "
        "training alone on the same rows for as many rounds, with a 95 % interval over seeds, none for a "
        "single seed. The mean validation AUC of all clients chooses one round for all, but for clients with "
        "little and the late one, where each client's own does. Every client has at least 300 validation "
        "rows, even with 30 training rows, and `kin` and the model at home look at them, too. Clients with "
        "little have help here that they may not have elsewhere."
    )
    return section("Three open questions", how, *parts, source(folder, NAME))


def _gain(row):
    return interval(row.gain, row.low, row.high) if np.isfinite(row.gain) else ""


def _seeds(own):
    """How many seeds, in words."""
    low, high = own["seeds"].min(), own["seeds"].max()
    return f"{low} seed{'s' if low > 1 else ''}" if low == high else f"{low} to {high} seeds"


def _of(table, study):
    own = table[table["study"] == study]
    return own if len(own) else None


def _with_costs(own, costs):
    named = ["study", "level", "method"]
    return own.merge(costs.drop(columns=["clients", "seeds"]), on=named, how="left")


def _cost_grid(own, costs, first):
    rows = [
        (row.level, f"`{row.method}`", f"{row.auc:.4f}", _gain(row),
         f"{signed(row.worst, 1)}; {row.losing:.0f} of {row.clients}" if np.isfinite(row.worst) else "",
         f"{row.best_round:.1f} of {row.rounds:.0f}", f"{row.sent_kb:,.0f}", f"{row.cpu_seconds:.2f}",
         "" if np.isnan(row.peak_mb) else f"{row.peak_mb:,.0f}", row.seeds)
        for row in _with_costs(own, costs).itertuples()
    ]  # fmt: skip
    head = [first, "method", "test AUC", "over local, points", "worst client; lose > 1", "best round",
            "kB up a round", "CPU s a round", "peak MiB", "seeds"]  # fmt: skip
    return grid(head, rows)


def _many(table, costs):
    own = _of(table, "how-many")
    if own is None:
        return
    yield "### How many scenarios?"
    yield (
        "Clients of like size in four groups that have nothing in common. CPU seconds are those of the whole "
        "round, evaluation too, in one thread; memory is the peak of the process, its start of about "
        "350 MiB included."
    )
    yield _cost_grid(own, costs, "scenarios")
    hero = own[own["method"] == HERO]
    if len(hero):
        ends = hero.iloc[[0, -1]]
        words = " and ".join(f"{signed(row.gain, 1)} with {row.level}" for row in ends.itertuples())
        yield f"`{HERO}` gains {words} scenarios."


def _sampled(table, costs):
    own = _of(table, "sampled")
    if own is None:
        return
    yield "### Clients sampled per round"
    yield (
        f"{own['clients'].max()} of these clients; all of them, a third or a tenth take part in a round, for "
        "as many more rounds that each trains about as often. `kin_asks_on_R` is `pf_msmtrec` that asks for "
        "validation gradients in a client's first R rounds instead of 3."
    )
    yield _cost_grid(own, costs, "take part")


def _by_part(own, names, first):
    """A line for each level and method, a column for each part."""
    rows = []
    for (level, method), lines in own.groupby(["level", "method"], sort=False):
        gains = {row.part: _gain(row) for row in lines.itertuples()}
        rows.append((level, f"`{method}`", *(gains.get(name, "") for name in names)))
    return grid([first, "method", *names], rows)


def _poor(table, costs):
    own = _of(table, "data-poor")
    if own is None:
        return
    parts = sorted(own["part"].unique(), key=lambda part: int(part.split()[0]))
    own = own[own["method"] != "local"]
    harmed = own[own["high"] < 0]
    yield "### Clients with little"
    yield (
        f"Two clients of each size, {_seeds(own)}; a cell is the mean over both and over two tasks. "
        "Rates of 1 % are those of both tasks, tested on 4,000 rows. Each client's own validation rows "
        "choose its round, in all methods: one round for all is too late for large clients that train alone."
    )
    yield _by_part(own, parts, "condition")
    for method, lines in harmed.groupby("method", sort=False):
        where = "; ".join(f"{row.level}, {row.part} ({signed(row.gain, 1)})" for row in lines.itertuples())
        yield f"Clearly harmed by `{method}`: {where}."


def _late(table, costs):
    own = _of(table, "late")
    if own is None:
        return
    yield "### A client that comes late"
    yield (
        f"A client of {ROWS} rows joins six larger ones after {JOINED} of {ROUNDS} rounds; {_seeds(own)}. "
        f"`local` trains alone from then on."
    )
    rows = [
        (row.level, row.method, WAYS[row.method].text, f"{row.auc:.4f}", _gain(row))
        for row in own.itertuples()
    ]
    yield grid(["who comes", "way", "what it does", "test AUC", "over training alone"], rows)


def _sets(table, costs):
    own = _of(table, "task-sets")
    if own is None:
        return
    the_two = own[own["part"].str.startswith("the two")]
    yield "### Task sets that differ"
    yield (
        f"Two clients with click and conversion, and who trains beside them; {_seeds(own)}. The "
        "cells are those of the two alone: their test rows are the same on every line."
    )
    parts = ["the two, click", "the two, conversion"]
    yield _by_part(the_two[the_two["method"] != "local"], parts, "beside them")
    yield _naive(own)


def _naive(own):
    """What a mean over all cells says of `local`, whose cells of the two never change."""
    cells = own[own["method"] == "local"].assign(two=lambda t: t["part"].str.startswith("the two"))
    cells = cells.assign(count=cells["clients"])
    naive = {
        level: np.average(lines["auc"], weights=lines["count"])
        for level, lines in cells.groupby("level", sort=False)
    }
    same = cells[cells["two"]].groupby("level", sort=False)["auc"].mean()
    words = "; ".join(f"{level} {100 * auc:.1f}" for level, auc in naive.items())
    return (
        f"An average may be taken over the same cells only. `local` trains the two as before, whoever is "
        f"beside them. Their mean is {100 * same.min():.1f} to {100 * same.max():.1f}: it is not quite the "
        f"same, since the validation cells of all choose the round, and a third task draws other rows. The "
        f"mean over all cells that there are says: {words}."
    )


def _columns(table, costs):
    own = _of(table, "columns")
    if own is None:
        return
    yield "### Columns that differ"
    yield (
        f"Six clients of one taste, {_seeds(own)}. Two columns, the item and a number, are "
        "there for all, for the first three, or for nobody. Who lacks them reads an unknown item and a zero "
        "(`data.complete`)."
    )
    rows = [
        (row.level, row.part, f"`{row.method}`", f"{row.auc:.4f}", _gain(row)) for row in own.itertuples()
    ]
    yield grid(["columns", "clients", "method", "test AUC", "over local, points"], rows)

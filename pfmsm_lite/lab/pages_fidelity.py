"""What is a paper's and what is ours: notebooks/results/fidelity.csv and .md, read from the docstrings.

A docstring may end with a note of up to four entries, each on a line of its own, continued by indented lines:

    Source: which paper, and what of it we have
    Paper: what it says
    Ours: what this package does
    Fidelity: same, differs, unknown (the source does not tell) or own (a rule or a control of ours)

`own` needs no Source and no Paper. Methods are declarations and have no docstring: the docstring of
rivals/declared.py holds a note for each of them, indented below its name.
"""

import inspect
import re
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pfmsm_lite import aggregation, client, coordination, embedding, mmoe, normalization, server, template
from pfmsm_lite.lab.markdown import grid, section
from pfmsm_lite.registry import OPERATORS
from pfmsm_lite.rivals import declared

KEYS = ("Source", "Paper", "Ours", "Fidelity")
FIDELITY = ("same", "differs", "unknown", "own")
COLUMNS = ["part", "name", "source", "paper", "ours", "fidelity"]
PARTS = {  # parts of PF-MSMTrec → where their note stands
    "local model": mmoe.MMoE,
    "which part of an expert is sent": template.compose,
    "order of the stages": server.Server.serve,
    "normalization, eq. 8": normalization.normalize,
    "coordination, eq. 13": coordination.coordinate,
    "client weights": aggregation.aggregate,
    "towers": server.Server.serve_block,
    "regularizer": client.Client.fit,
    "embeddings": embedding.SharedTable,
}
KINDS = ("compose", "normalize", "coordinate", "aggregate", "embedding", "personal")
HEAD = """# Paper and package, statement by statement

Written by `python -m pfmsm_lite.lab.pages` from the docstrings of the package, with
[fidelity.csv](fidelity.csv). Do not edit it: a test compares.

Of PF-MSMTrec we had its abstracts, one figure and descriptions by others, not its equations.
So much is *unknown*: the source names an idea, and the operator is our reconstruction.
*Same* and *differs* are said of what a source states. *Own* are controls and rules of ours."""
TITLES = {
    "PF-MSMTrec": ("PF-MSMTrec, part by part", "Ding et al., WSDM 2025, doi 10.1145/3701551.3703523."),
    "method": ("Methods", "Published methods that a comparison can name."),
}


class Note(NamedTuple):
    """What a docstring says of a source, in the order of KEYS; "" where it says nothing."""

    source: str
    paper: str
    ours: str
    fidelity: str


def note(text: str) -> Note | None:
    """The note in a docstring, or None. Raises ValueError for one that is not whole."""
    pairs = re.findall(rf"^({'|'.join(KEYS)}): (.*(?:\n[ \t]+\S.*)*)", inspect.cleandoc(text), re.M)
    if not pairs:
        return None
    found = {key: " ".join(value.split()) for key, value in pairs}
    needed = KEYS[2:] if found.get("Fidelity") == "own" else KEYS
    lacking = [key for key in needed if key not in found]
    if lacking or found["Fidelity"] not in FIDELITY or len(found) < len(pairs):
        raise ValueError(f"a note of {', '.join(found)} is not whole, or not clear: {found}")
    return Note(*(found.get(key, "") for key in KEYS))


def note_of(operator: Any) -> Note | None:
    """The note of a row of OPERATORS; a rule of several functions (Template, EntryRule) has its last's."""
    if isinstance(operator, tuple):
        operator = [part for part in operator if inspect.isfunction(part)][-1]
    return note(operator.__doc__ or "")


def notes_of_methods(text: str | None = None) -> dict[str, Note]:
    """Method → its note, from the docstring of rivals/declared.py (or another text of that form)."""
    blocks = re.findall(r"^(\w+)\n((?:    .*(?:\n|$))+)", text or inspect.getdoc(declared) or "", re.M)
    return {name: found for name, block in blocks if (found := note(block))}


def fidelity() -> pd.DataFrame:
    """Every note, one per row, columns as in COLUMNS; part: PF-MSMTrec, a kind of operator or "method"."""
    rows = [("PF-MSMTrec", name, note(inspect.getdoc(where) or "")) for name, where in PARTS.items()]
    rows += [
        (kind, name, note_of(row.function))
        for kind in KINDS
        for name, row in OPERATORS[kind].items()
        if row.function.__module__.startswith("pfmsm_lite.")  # not a reader's own
    ]
    rows += [("method", name, found) for name, found in notes_of_methods().items()]
    return pd.DataFrame([(part, name, *found) for part, name, found in rows if found], columns=COLUMNS)


def page(table: pd.DataFrame) -> str:
    """fidelity.md of a table of `fidelity`."""
    made = [HEAD]
    for part, rows in table.groupby("part", sort=False):
        title, how = TITLES.get(part, (f"Rules of `{part}`", ""))
        made.append(section(title, how, grid(["", *COLUMNS[2:]], rows[COLUMNS[1:]].itertuples(index=False))))
    return "\n\n".join(made) + "\n"


def write(folder: Path) -> None:
    """fidelity.csv and fidelity.md in the folder of the results."""
    table = fidelity()
    table.to_csv(folder / "fidelity.csv", index=False, lineterminator="\n")
    (folder / "fidelity.md").write_text(page(table), encoding="utf-8", newline="\n")

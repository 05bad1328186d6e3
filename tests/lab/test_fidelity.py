"""What is a paper's and what is ours: every rule and published method has a note; the table is theirs."""

import re
from pathlib import Path

import pandas as pd
import pytest

import pfmsm_lite.rivals  # noqa: F401
from pfmsm_lite import METHODS, aggregation
from pfmsm_lite.lab import pages_fidelity
from pfmsm_lite.lab.pages_fidelity import FIDELITY, KINDS, PARTS, fidelity, note, note_of, notes_of_methods
from pfmsm_lite.registry import OPERATORS

KEPT = Path(__file__).parents[2] / "notebooks" / "results"
# a year in brackets, or one of the rows that are a paper's without saying so
PUBLISHED = re.compile(r"\d{4}\)")
ALSO = ("fedavg", "embedding_only")
RULES = [
    (kind, name)
    for kind in KINDS
    for name, row in OPERATORS[kind].items()
    if row.function.__module__.startswith("pfmsm_lite.") and row.function.__module__ != aggregation.__name__
]
WHOLE = """A rule.

    Source: a paper
    Paper: says this, and goes on
        in a second line
    Ours: that
    Fidelity: differs
"""


def test_a_note_is_read_with_its_second_lines():
    assert note(WHOLE) == ("a paper", "says this, and goes on in a second line", "that", "differs")
    assert note("A rule.\n\nFidelity is no note, and neither is Paper.") is None
    assert note("Ours: a control\nFidelity: own") == ("", "", "a control", "own")


@pytest.mark.parametrize(
    "broken",
    [
        WHOLE.replace("differs", "nearly"),
        WHOLE.replace("    Paper", "    Papers"),
        WHOLE.replace("    Ours: that\n", ""),
        WHOLE + "    Ours: again\n",
        "Source: a paper\nPaper: this\nOurs: that",
    ],
)
def test_a_note_that_is_not_whole_is_refused(broken):
    with pytest.raises(ValueError, match="not whole"):
        note(broken)


@pytest.mark.parametrize("kind, name", RULES)
def test_every_rule_has_a_note(kind, name):
    found = note_of(OPERATORS[kind][name].function)
    assert found is not None, f"end the docstring of {kind} {name!r} with a note: see lab/pages_fidelity.py"
    assert found.fidelity in FIDELITY


def test_every_published_method_has_a_note():
    published = {name for name, method in METHODS.items() if PUBLISHED.search(method.summary)} | set(ALSO)
    assert len(published) > 10
    lacking = published - set(notes_of_methods())
    assert not lacking, f"add a note to the docstring of rivals/declared.py for {lacking}"


def test_notes_of_methods_are_read_by_name():
    text = (
        "Rivals.\n\none\n    Ours: a\n    Fidelity: own\n\ntwo\n    Ours: b\n        c\n    Fidelity: own\n"
    )
    found = notes_of_methods(text)
    assert {name: own.ours for name, own in found.items()} == {"one": "a", "two": "b c"}


def test_the_table_has_the_parts_of_the_paper_and_no_claim_to_its_equations():
    table = fidelity().query("part == 'PF-MSMTrec'").set_index("name")
    assert set(PARTS) - set(table.index) <= {"client weights"}
    assert (
        table.fidelity[["normalization, eq. 8", "coordination, eq. 13", "regularizer"]] == "unknown"
    ).all()


def test_the_committed_table_and_page_are_those_of_the_docstrings(tmp_path):
    said = pd.read_csv(KEPT / "fidelity.csv", keep_default_na=False)
    found = fidelity()
    pd.testing.assert_frame_equal(said, found)  # Write it anew: python -m pfmsm_lite.lab.pages
    page = (KEPT / "fidelity.md").read_text(encoding="utf-8")
    assert page == pages_fidelity.page(found), "Write it anew: python -m pfmsm_lite.lab.pages"
    pages_fidelity.write(tmp_path)
    assert (tmp_path / "fidelity.csv").read_bytes() == (KEPT / "fidelity.csv").read_bytes()

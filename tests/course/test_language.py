"""The language: habits that a native reader stumbles over, in everything that people read.

A habit is a row of HABITS, with a sentence that has it and one that has not. To allow a phrase, add it to
ALLOWED in full, with what it is: no file is left out as a whole.
"""

import ast
import io
import json
import re
import tokenize
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    + [path for folder in ("teaching", "results") for path in (ROOT / "notebooks" / folder).glob("*.md")]
)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb")) + sorted(
    (ROOT / "notebooks/further").glob("*.ipynb")
)
CODE = sorted((ROOT / "pfmsm_lite").rglob("*.py")) + sorted((ROOT / "notebooks/solutions").glob("*.py"))
VALUE = "7"  # stands in an f-string for what is filled in: mostly a number

# "a task" for "per task", after a number or a measure; not in "each line a scenario", which names things
COUNT = r"\d[\d.,]*|one|two|three|four|five|six|seven|eight|nine|ten|twelve"
MEASURE = (
    r"AUC|bytes|kilobytes|seconds|minutes|points|weights?|numbers?|lines?|rows|files?|epochs|steps|rounds"
    r"|trainings|rates?"
)
UNIT = (
    r"task|client|round|seed|scenario|chapter|exercise|student|method|epoch|row|line|cell|field|batch"
    r"|training|user|item|column|person"
)


class Habit(NamedTuple):
    """What is looked for, what to write instead; a sentence that has it, and one that has not."""

    pattern: str
    instead: str
    bad: str
    good: str


HABITS = {
    "mend": Habit(
        r"\bmend(?:s|ed|ing)?\b", "fix, correct, cure", "A line mends that.", "Read the amendment."
    ),
    "hang on": Habit(
        r"\b(?:hangs?|hung|hanging) (?:on|off)\b", "depend on", "It hangs on the seed.", "It hangs together."
    ),
    "hold zero": Habit(
        r"\b(?:holds?|held|holding) (?:no )?zeros?\b",
        "include zero",
        "The interval holds zero.",
        "The interval includes zero, so it holds.",
    ),
    "made data": Habit(
        r"\bmade[- ](?:scenarios?|worlds?|data|rows|logs?|tables?)\b(?! (?:of|by|from|out))",
        "synthetic, generated",
        "On made scenarios it wins.",
        "A map made of rows, a log made by hand.",
    ),
    "a task for per task": Habit(
        rf"(?<!each )\b(?:{COUNT}|{MEASURE}) (?-i:an?) (?:{UNIT})s?\b(?! of\b)",
        "per task",
        "It sends 3 numbers a client, one line an exercise.",
        "One number per client; each line a scenario; a client a round behind.",
    ),
    "besides, alone": Habit(
        r"\bbesides(?=\s*(?:[.,;:)!?]|$))",
        "as well, also; or besides THIS",
        "What was tried besides, on rows.",
        "What was tried besides these rows.",
    ),
    "nothing asked for": Habit(
        r"\bnothing(?: else)? (?:is|was) asked for\b",
        "by default, unless told otherwise",
        "Twelve rounds, where nothing else is asked for.",
        "Nothing else is needed for this; what it asked for came.",
    ),
    "in the place of": Habit(
        r"\bin the place of\b", "in place of, instead of", "b in the place of a.", "b in place of a."
    ),
    "is no thing": Habit(
        r"(?<!there )\b(?:is|are|was) no (?:numbers?|texts?|labels?|splits?|dates?|rules?|director(?:y|ies)"
        r"|notebooks?|modules?|checkpoints?|multiple|zero|times?)\b(?! (?:of|for|to)\b)",
        "is not a",
        "'x' is no number.",
        "There is no number; 'x' is not a number; this is no time for it.",
    ),
    "of one's own": Habit(
        r"\b(?:rule|file|table|mixture|model|reader|method|data)s? of one['’]s own\b(?! \w+ (?:is|has))",
        "of your own, its own",
        "A rule of one's own, in a cell.",
        "A rule of your own is better than one's own guess.",
    ),
    "the own": Habit(
        r"\b(?:an|the) own\b",
        "its own, a client's own",
        "Fix the own weight at one half.",
        "Fix its own weight; on its own it moves.",
    ),
    "stand there": Habit(
        r"\bstands? (?:there|here)\b", "is there, is listed", "0 and 1 stand there.", "They stand for a gap."
    ),
    "not there": Habit(
        r"\bwho(?:ever)? (?:is|was) not there\b",
        "absent clients",
        "Who is not there gets nothing.",
        "The file is not there.",
    ),
    "told against": Habit(
        r"\btold (?:against|at (?:once|the first))\b",
        "is measured against, is reported at",
        "A gain is told against local.",
        "The two cannot be told apart; the server is told at what time.",
    ),
    "not suffice": Habit(
        r"\b(?:does|do|did) not suffice\b", "is not enough", "The memory does not suffice.", "It suffices."
    ),
    "so many": Habit(
        r"\b(?:at most|about|each of) so (?:many|often)\b|\bso many as\b",
        "this many, as many as",
        "At most so many times.",
        "There are so many that they do not fit; stop after so many rounds.",
    ),
    "others than": Habit(
        r"\bothers than\b|\ban other\b",
        "other than, another",
        "They are others than before.",
        "Other than this.",
    ),
    "goes again": Habit(
        r"\bgoes again\b", "is removed again", "Then the folder goes again.", "It goes on, again and again."
    ),
    "is there already": Habit(
        r"\b(?:is|are) there already\b", "already exists", "runs/my is there already.", "It was seen already."
    ),
    "how it looks like": Habit(
        r"\bhow (?:it|they|this|that) looks? like\b",
        "what it looks like",
        "Say how it looks like.",
        "Say how it looks, and what it looks like.",
    ),
    "turned labels": Habit(
        r"\blabels (?:are |were )?turned over\b",
        "flipped",
        "6 % of labels turned over.",
        "The page is turned over.",
    ),
    "as of": Habit(
        r"\bas of `", "as in, as for", "weights  as of `mixing`", "weights as in `mixing`, as of today"
    ),
}
# exact phrases that stay, each with what it is
ALLOWED = {
    "default, 5 epochs a round": "a name in committed files of results/picked",
}


def prose(text):
    """A page's lines as one text, so that a habit is found across two of them; every place stays."""
    return re.sub(r"[\n\t]|(?<=\n)[>#*|-]", " ", text)


def pieces(source, first=1):
    """[(line, text)] of what people read in Python code: comments that belong together, and strings."""
    found, last = [], None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            text, line = token.string.lstrip("#"), token.start[0]
            if last == line - 1 and not token.line[: token.start[1]].strip():
                found[-1] = (found[-1][0], found[-1][1] + text)
            else:
                found.append((line, text))
            last = line
    tree = ast.parse(source)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (v.value if isinstance(v, ast.Constant) else VALUE for v in node.values)
            found.append((node.lineno, "".join(parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            found.append((node.lineno, node.value))
    return [(line + first - 1, text) for line, text in found]


def without_magics(source):
    """A cell's code, Jupyter's own commands as comments."""
    return re.sub(r"^(\s*)([%!])", r"\1# \2", source, flags=re.M)


def read(path):
    """[(place, text)] of what people read in a file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return [(f"line {n}", "\n".join(block)) for n, block in paragraphs(text)]
    if path.suffix == ".py":
        return [(f"line {line}", piece) for line, piece in pieces(text)]
    found = []
    for number, cell in enumerate(json.loads(text)["cells"]):
        source = "".join(cell["source"])
        texts = (
            [piece for _, piece in pieces(without_magics(source))]
            if cell["cell_type"] == "code"
            else [source]
        )
        found += [(f"cell {number}", piece) for piece in texts]
    return found


def paragraphs(text):
    """[(number of its first line, lines)] of a page, between blank lines."""
    found, block = [], []
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line.strip():
            block.append(line)
        elif block:
            found.append((number - len(block), block))
            block = []
    return found


def habits(text):
    """[(name of the habit, the words that have it)] in a text, but for what is ALLOWED."""
    flat = " ".join(prose(text).split())
    for phrase in ALLOWED:
        flat = flat.replace(phrase, "…")
    return [
        (name, flat[max(0, hit.start() - 30) : hit.end() + 30])
        for name, habit in HABITS.items()
        for hit in re.finditer(habit.pattern, flat, re.I)
    ]


@pytest.mark.parametrize("name", HABITS)
def test_a_habit_is_known_and_its_cure_is_not_taken_for_it(name):
    habit = HABITS[name]
    assert name in dict(habits(habit.bad)), habit.bad
    assert name not in dict(habits(habit.good)), habit.good


def test_comments_strings_docstrings_and_cells_are_read_and_names_are_not(tmp_path):
    code = (
        '"""It hangs\non the seed."""\n'
        "# a line mends\n# on made\n# data\n"
        'mend = f"{mend} weights a client"  # others than before\n'
        'print("in the place" " of b")\n'
    )
    (tmp_path / "a.py").write_text(code, encoding="utf-8")
    found = [(place, name) for place, text in read(tmp_path / "a.py") for name, _ in habits(text)]
    assert sorted(found) == [
        ("line 1", "hang on"),
        ("line 3", "made data"),
        ("line 3", "mend"),
        ("line 6", "a task for per task"),
        ("line 6", "others than"),
        ("line 7", "in the place of"),
    ]
    cells = [{"cell_type": "markdown", "source": ["It *mends*\n", "that."]}]
    cells += [{"cell_type": "code", "source": ["%time mend\n", "x = 1  # hangs on\n"], "outputs": ["mend"]}]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    found = [(place, name) for place, text in read(tmp_path / "a.ipynb") for name, _ in habits(text)]
    assert found == [("cell 0", "mend"), ("cell 1", "mend"), ("cell 1", "hang on")]
    (tmp_path / "a.md").write_text("# One\n\nAll of it\n- hangs\n  on it.\n", encoding="utf-8")
    found = [(place, name) for place, text in read(tmp_path / "a.md") for name, _ in habits(text)]
    assert found == [("line 3", "hang on")]


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS, *CODE], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_has_a_habit(path):
    found = [
        f"{place}, {name}: … {words} … Write: {HABITS[name].instead}"
        for place, text in read(path)
        for name, words in habits(text)
    ]
    assert not found, "\n".join(found)


def test_what_is_allowed_is_still_there():
    texts = [" ".join(prose(text).split()) for path in [*PAGES, *NOTEBOOKS, *CODE] for _, text in read(path)]
    assert not [phrase for phrase in ALLOWED if not any(phrase in text for text in texts)]

"""Pages for teachers that are collected from the chapters: python -m pfmsm_lite.course.handouts

open_questions.md to hand out, open_questions_marking.md with what a good answer holds, examination.md with
what an examination asks of each chapter. All in notebooks/teaching.
"""

import re
from pathlib import Path

from pfmsm_lite.course.execute import chapters
from pfmsm_lite.course.exercise import exercises
from pfmsm_lite.course.notebook import home

OPEN = re.compile(
    r"^(?:#+ Exercise \d+ \(open\)\s+|\*\*\d+\.\*\* \(open\)\s+|\*\*\d+\. Open\.\*\*\s+)(.+?)(?=\n#+ |\Z)",
    re.MULTILINE | re.DOTALL,
)
WHERE = re.compile(r" ?\([^()]*solutions[^()]*\)")  # in brackets: where an answer stands
SOLUTIONS = re.compile(r"solutions\b")  # a sentence that says so
NOTE = re.compile(r"^- \*\*open\*\*: (.+?)(?=^- |^#|\Z)", re.MULTILINE | re.DOTALL)
WRITTEN = "<!-- Written by python -m pfmsm_lite.course.handouts: change the chapters, not this page. -->\n\n"
QUESTIONS = """# Open questions

One for each chapter. There is no check for them: write a few sentences, and say what your answer would *not*
show.
"""
MARKING = """# Open questions, with what a good answer holds

The teacher's copy of [the page to hand out](open_questions.md). Longer thoughts are at the end of each
chapter's [solutions](../solutions).
"""
EXAMINATION = """# What an examination asks

`python -m pfmsm_lite exam` draws the numbers of an exercise from a seed: its text, check, hints and
solution are made from the same numbers. A function's text stays, but it is tried on inputs of the seed.
Whoever has the published solution of a function can still hand it in. What stays as it is, is not asked.

| chapter | exercise | what it asks for | in an examination |
|---|---|---|---|
"""


def pages() -> dict[str, str]:
    """File name → its text."""
    folder = home() / "notebooks"
    questions, marking, table = [WRITTEN + QUESTIONS], [WRITTEN + MARKING], WRITTEN + EXAMINATION
    for path in chapters(folder):
        title, question = _open_question(path)
        link = f"[{title}](../{path.relative_to(folder).as_posix()})"
        if question:
            page = (folder / "teaching" / f"chapter{path.name[:2]}.md").read_text(encoding="utf-8")
            notes = " ".join(NOTE.search(page)[1].split())
            questions.append(f"## {title}\n\n{question}\n")
            marking.append(f"## {link}\n\n{question}\n\n**Marking.** {notes[0].upper()}{notes[1:]}\n")
        table += "".join(_lines(path.name[:2], link))
    return {
        "open_questions.md": "\n".join(questions),
        "open_questions_marking.md": "\n".join(marking),
        "examination.md": table,
    }


def _open_question(path: Path) -> tuple[str, str]:
    """(title of a chapter, its open question without where the answer stands, or "")."""
    import nbformat

    cells = nbformat.read(path, as_version=4).cells
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    title = prose[0].splitlines()[0].lstrip("# ")
    found = next(filter(None, map(OPEN.search, prose)), None)
    if not found:
        return title, ""
    sentences = re.split(r"(?<=[.?!)])\s+(?=[A-Z(])", WHERE.sub("", " ".join(found[1].split())))
    return title, " ".join(sentence for sentence in sentences if not SOLUTIONS.search(sentence))


WORDS = {
    "number": "a number",
    "text": "a word",
    "array": "a matrix",
    "function": "a function",
    "any": "a method",
}


def _lines(number: str, link: str) -> list[str]:
    found = []
    for name, exercise in exercises(number).items():
        how = "other inputs" if exercise.kind == "function" else "other numbers"
        said = how if exercise.draw else f"not asked: {exercise.stays}"
        found.append(f"| {link} | {name} | {WORDS[exercise.kind]} | {said} |\n")
    return found


def main() -> None:
    """Write the pages."""
    folder = home() / "notebooks" / "teaching"
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        print(folder / name)


if __name__ == "__main__":
    main()

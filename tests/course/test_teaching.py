"""The guide for teachers names only what exists, answers every exercise, and its minutes add up.

A cell is named as § «Heading» or § «Heading» · «words of the cell, of its figure's name or of its output»,
in another chapter as § 04 «Heading».
"""

import re
from functools import cache
from pathlib import Path

import nbformat
import pytest

from pfmsm_lite.course.execute import chapters
from pfmsm_lite.course.notebook import exercises
from pfmsm_lite.lab.cli import parser

ROOT = Path(__file__).parents[2]
TEACHING = ROOT / "notebooks" / "teaching"
GUIDE = (TEACHING / "README.md").read_text(encoding="utf-8")
PAGES = sorted(TEACHING.glob("chapter[0-9][0-9].md"))
NOTEBOOKS = {path.name[:2]: path for path in chapters(ROOT / "notebooks")}
CORE = [chapter for chapter, path in NOTEBOOKS.items() if path.parent.name == "notebooks"]
PARTS = [
    "Aim",
    "Minutes",
    "Before",
    "Misconceptions",
    "Answers",
    "Lesson of 45 minutes",
    "Lesson of 90 minutes",
    "What goes wrong in class",
]
WORDS_A_MINUTE = 150  # slow: formulas, and many read in a foreign language
MINUTES_A_CELL = 0.5
MINUTES_AN_EXERCISE = {"number": 4, "text": 4, "array": 4, "function": 8, "any": 8, "open": 5}
OPEN = re.compile(r"^(#+ Exercise \d+ \(open\)|\*\*\d+\.\*\* \(open\)|\*\*\d+\. Open\.)", re.MULTILINE)
CELL = re.compile(r"§ (?:(\d\d) )?«([^»]+)»(?:\s· «([^»]+)»)?")
CHAPTER = re.compile(r"\b[01]\d\b")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)


def number(page):
    return page.stem[-2:]


def plain(text):
    """One space between words, a plain minus: what a page quotes may be broken and set otherwise."""
    return " ".join(text.replace("−", "-").split())


@cache
def cells(chapter):
    return nbformat.read(NOTEBOOKS[chapter], as_version=4).cells


def said(cell):
    """Source of a cell, then its outputs in words; figures say their alt text."""
    texts = [cell.source]
    for output in cell.get("outputs", ()):
        texts.append(output.get("text", "") or output.get("data", {}).get("text/plain", ""))
    return "\n".join(texts)


@cache
def sections(chapter):
    """(heading, everything down to the next heading of its rank or above), in order; headings may repeat."""
    found = []
    for cell in cells(chapter):
        for line in said(cell).split("\n"):
            heading = re.match(r"(#+) (.+)", line) if cell.cell_type == "markdown" else None
            if heading:
                rank = len(heading[1])
                for section in found:
                    section["open"] &= section["rank"] < rank
                found.append({"rank": rank, "heading": plain(heading[2]), "text": [], "open": True})
            for section in found:
                if section["open"]:
                    section["text"].append(line)
    return [(section["heading"], plain("\n".join(section["text"]))) for section in found]


def part(page, name):
    """The text of one part of a page."""
    text = page.read_text(encoding="utf-8")
    return re.search(rf"^##+ {re.escape(name)}\n(.*?)(?=^## |^### |\Z)", text, re.MULTILINE | re.DOTALL)[1]


def has_open_exercise(chapter):
    return any(OPEN.search(cell.source) for cell in cells(chapter) if cell.cell_type == "markdown")


def minutes(chapter):
    """(reading, exercises) in minutes, by the rule that the guide states."""
    words = code = 0
    for cell in cells(chapter):
        if cell.cell_type == "code":
            code += 1
        else:
            prose = re.sub(r"<[^>]+>|https?://\S+", " ", cell.source)
            words += len(re.findall(r"\w[\w'’-]*", prose))
    kinds = [exercise.kind for exercise in exercises(chapter).values()]
    kinds += ["open"] * has_open_exercise(chapter)
    reading = words / WORDS_A_MINUTE + code * MINUTES_A_CELL
    return reading, sum(MINUTES_AN_EXERCISE[kind] for kind in kinds)


def stated(page):
    """(reading, exercises, together) of a page."""
    found = re.fullmatch(r"Reading (\d+), exercises (\d+), together (\d+)\.", part(page, "Minutes").strip())
    assert found, f"{page.name}: 'Reading R, exercises E, together T.' is expected under Minutes"
    return tuple(int(group) for group in found.groups())


def test_there_is_a_page_for_every_chapter():
    assert [number(page) for page in PAGES] == list(NOTEBOOKS)


@each_page
def test_a_page_has_all_its_parts_in_order(page):
    assert re.findall(r"^## (.+)", page.read_text(encoding="utf-8"), re.MULTILINE) == PARTS
    for name in PARTS:
        assert name == "Answers" or part(page, name).strip(), name


def missing(text, chapter):
    """Cells that a text names and the notebooks do not have."""
    found = []
    for other, heading, words in CELL.findall(text):
        known = sections(other or chapter)
        here = [body for name, body in known if name == plain(heading)]
        if not here:
            found.append(f"no section {heading!r}; there are: {'; '.join(name for name, _ in known)}")
        elif words and not any(plain(words) in body for body in here):
            found.append(f"{plain(words)!r} is not in section {heading!r}")
    return found


@each_page
def test_every_cell_that_a_page_names_is_in_its_notebook(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("§") == len(CELL.findall(text)), "a reference that cannot be read"
    assert missing(text, number(page)) == []


def test_every_cell_that_the_guide_names_is_in_its_notebook():
    found = CELL.findall(GUIDE)
    assert len(found) == GUIDE.count("§") and all(chapter for chapter, *_ in found)
    assert missing(GUIDE, "") == []


def test_a_renamed_section_and_a_changed_cell_are_noticed():
    assert missing("§ «The map» · «show(pipeline()»", "00") == []
    assert "no section 'The plan'" in missing("§ «The plan»", "00")[0]
    assert "is not in section" in missing("§ «The map» · «held_by_client»", "00")[0]
    assert missing("§ 00 «The map»", "04") == []


@each_page
def test_three_to_five_misconceptions_each_with_the_cell_that_cures_it(page):
    bullets = re.split(r"^- ", part(page, "Misconceptions"), flags=re.MULTILINE)[1:]
    assert 3 <= len(bullets) <= 5
    for bullet in bullets:
        references = CELL.findall(bullet)
        assert references and all(words for _, _, words in references), bullet


@each_page
def test_every_exercise_and_every_question_has_an_answer(page):
    known = [*exercises(number(page)), *["open"] * has_open_exercise(number(page))]
    answers = re.split(r"^- ", part(page, "Exercises"), flags=re.MULTILINE)[1:]
    assert [re.match(r"\*\*(\w+)\*\*", answer)[1] for answer in answers] == known
    for answer in answers:
        assert "*Partly right:*" in answer, answer
    folded = sum(cell.source.count("<details>") for cell in cells(number(page)))
    predictions = re.findall(r"^- ", part(page, "Predict first"), re.MULTILINE)
    quiz = re.findall(r"^\d\. ", part(page, "Quiz"), re.MULTILINE)
    assert len(predictions) + len(quiz) >= folded, "the notebook folds more answers than the page gives"


@each_page
@pytest.mark.parametrize("length", [45, 90])
def test_the_minutes_of_a_plan_add_up(page, length):
    rows = re.findall(
        r"^\| (\d+) \| (.+?) \| (.+?) \|$", part(page, f"Lesson of {length} minutes"), re.MULTILINE
    )
    assert sum(int(row[0]) for row in rows) == length
    assert all(CELL.search(row[2]) for row in rows)


@each_page
def test_the_stated_minutes_follow_the_rule(page):
    reading, solving, together = stated(page)
    by_rule = minutes(number(page))
    assert reading + solving == together
    for given, right in zip((reading, solving), by_rule, strict=True):
        assert abs(given - right) <= 0.2 * right, f"{given} stated, {right:.0f} by the rule"


def test_the_guide_states_the_rule_and_the_same_minutes():
    kinds = MINUTES_AN_EXERCISE
    for words in (
        f"{WORDS_A_MINUTE} words of prose per minute",
        "half a minute per code cell",
        f"{kinds['number']} minutes for a number, a word or a matrix",
        f"{kinds['function']} for a function",
        f"{kinds['open']} for an open question",
    ):
        assert words in plain(GUIDE), words
    lines = re.findall(
        r"^\| \[(\d\d)[^\]]*\]\(([^)]+)\) \| .+? \| (\d+) \| (\d+) \| (\d+) \|$", GUIDE, re.MULTILINE
    )
    assert [line[0] for line in lines] == list(NOTEBOOKS)
    table = [tuple(int(value) for value in line[2:]) for line in lines]
    assert table == [stated(page) for page in PAGES]
    assert all(link == f"chapter{chapter}.md" for chapter, link, *_ in lines)
    for name, part in (("the core", table[: len(CORE)]), ("further", table[len(CORE) :])):
        sums = (sum(column) for column in zip(*part, strict=True))
        assert "| {} | | {} | {} | {} |".format(name, *sums) in GUIDE
    assert sum(row[0] for row in table[: len(CORE)]) <= 250  # the core is read in about four hours


def test_chapter_00_states_the_same_minutes():
    start = "\n".join(cell.source for cell in cells("00"))
    lines = re.findall(r"^\[(\d\d) · [^|]+\|[^|]+\|(\d+)\|(\d+)$", start, re.MULTILINE)
    core = [page for page in PAGES if number(page) in CORE]
    assert lines == [(number(page), *(str(stated(page)[k]) for k in (0, 2))) for page in core]
    for path in list(NOTEBOOKS.values())[1:]:
        assert path.relative_to(ROOT / "notebooks").as_posix() in start, path.name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_top_of_a_notebook_states_the_same_minutes(page):
    reading, _, together = stated(page)
    head = plain(cells(number(page))[0].source)
    assert re.search(rf"reading {reading}; with exercises {together}\. \W*To run:\W* about \d+ s\.", head)


LENGTHS = (45, 90, 180)
WAY = re.compile(r"\b([01]\d)\b[^(,;]*\((\d+)\)")  # 04 (10), 00 without exercises (25)


def course(name):
    """The lines of a course in the guide, as the cells of its table."""
    lines = re.findall(r"^\|(.*)\|$", part(TEACHING / "README.md", name), re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def ways(name):
    """[(chapter, minutes)] of a course, as chapter 00 states it; weeks are kept together as 05 and 06."""
    start = "\n".join(cell.source for cell in cells("00"))
    return WAY.findall(re.search(rf"^- \*\*{name}\*\*:(.*)$", start, re.MULTILINE)[1])


def reading(chapter, heading):
    """Minutes that a section takes to read, by the rule."""
    found, here = 0.0, False
    for cell in cells(chapter):
        if cell.cell_type == "code":
            found += here * MINUTES_A_CELL
            continue
        for line in cell.source.split("\n"):
            if re.match("## ", line):
                here = False
            here |= bool(re.match("##+ " + re.escape(heading) + "$", line))
            found += here * len(re.findall(r"\w[\w'’-]*", line)) / WORDS_A_MINUTE
    return found


@pytest.mark.parametrize("length", LENGTHS)
def test_a_course_adds_up_leaves_time_to_read_and_is_that_of_chapter_00(length):
    lines = [line for line in course(f"{length} minutes") if line[0].isdigit()]
    assert sum(int(minutes) for minutes, *_ in lines) == length
    for minutes, _, sections in lines:
        named = [(chapter, heading) for chapter, heading, _ in CELL.findall(sections)]
        assert len({chapter for chapter, _ in named}) == 1
        assert 0 < sum(reading(*one) for one in named) <= int(minutes), named
    stated = [(CELL.search(sections)[1], minutes) for minutes, _, sections in lines]
    assert ways(f"{length} minutes") == stated


def test_a_section_takes_its_words_and_its_cells_to_read():
    assert 1 < reading("00", "The map") < 4 and reading("00", "No such section") == 0


def test_six_weeks_are_the_whole_core_with_its_exercises():
    together = {number(page): stated(page)[2] for page in PAGES if number(page) in CORE}
    *weeks, (_, _, total) = [line for line in course("Six weeks") if line[2].isdigit()]
    assert [int(week) for week, *_ in weeks] == [1, 2, 3, 4, 5, 6]
    named = [CHAPTER.findall(chapters) for _, chapters, _ in weeks]
    assert sum(named, []) == CORE and int(total) == sum(together.values())
    for own, (_, _, minutes) in zip(named, weeks, strict=True):
        assert sum(together[chapter] for chapter in own) == int(minutes)
    start = "\n".join(cell.source for cell in cells("00"))
    line = re.search(r"^- \*\*Six weeks\*\*:(.*)$", start, re.MULTILINE)[1]
    assert [CHAPTER.findall(week) for week in line.split(";")] == named
    assert re.findall(r"\((\d+)\)", line) == [minutes for *_, minutes in weeks]


def decimals(text):
    """Numbers with a decimal point, but for those that are said to be about right."""
    return re.findall(r"(?<!about )(?<![\d.])\d+\.\d+(?![\d.])", plain(text))


@each_page
def test_every_decimal_number_of_a_page_stands_in_the_chapter(page):
    chapter = number(page)
    files = [ROOT / "notebooks" / "solutions" / f"chapter{chapter}.py"]
    files.append(ROOT / "pfmsm_lite" / "course" / "exercises" / f"chapter{chapter}.py")
    files.append(ROOT / "tests" / "notebooks" / f"test_exercises{chapter}.py")  # has the wrong answers
    known = "\n".join(
        [said(cell) for cell in cells(chapter)] + [f.read_text(encoding="utf-8") for f in files]
    )
    numbers = {float(value) for value in re.findall(r"\d+\.\d+", known)}
    unknown = [value for value in decimals(page.read_text(encoding="utf-8")) if float(value) not in numbers]
    assert unknown == []


def test_every_command_of_the_guide_is_understood():
    commands = re.findall(r"python -m pfmsm_lite ([^`\n]+)", GUIDE)
    assert {command.split()[0] for command in commands} == {"inspect", "notebooks", "grade", "exam", "course"}
    for command in commands:
        if "--help" not in command:
            parser().parse_args(command.split())

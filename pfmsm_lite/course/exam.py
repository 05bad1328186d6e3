"""Examinations: a chapter's exercises as a notebook of their own, with the numbers of a seed."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pfmsm_lite.course.exercise import Exercise, exercises, say
from pfmsm_lite.course.notebook import home
from pfmsm_lite.errors import UserError

ASKED = (
    r"^(?:#+ Exercise {0}\b[^\n]*\n+|\*\*{0}\.\*\* |\*\*{0}\. ([^*]+)\*\* )"  # how an exercise's text begins
)
CONTEXT = re.compile(
    r"\bcells?\b|\b(above|below)\b(?! (zero|0)\b)"
)  # a sentence that needs the chapter around it
SCHEMA = 3  # of nbgrader's metadata
SETUP = """import numpy as np
import torch

from pfmsm_lite.course.notebook import begin, check

begin("{0}", FAST, exam=True)"""
HEAD = """# {0}

An answer goes where the three dots are. `check` notes it. It says if an answer is of the wrong type, but not
whether it is right."""
HEAD_NBGRADER = """# {0}

Call each answer `answer`. `check` notes it. It says if an answer is of the wrong type, but not whether it is
right."""
HIDDEN = """check("{1}", answer)
### BEGIN HIDDEN TESTS
from pfmsm_lite.course.exercise import exercises, verdict

state, hint = verdict(exercises("{0}", {2})["{1}"], answer)
assert state == "ok", hint
### END HIDDEN TESTS"""
SOLUTION = """### BEGIN SOLUTION
{0}
### END SOLUTION"""
PUBLISHED = """from runpy import run_path

from pfmsm_lite.course.notebook import home

answer = run_path(str(home() / "notebooks/solutions/chapter{0}.py"))["SOLUTIONS"]["{1}"]"""


def write(
    names: Sequence[str],
    folder: str | Path,
    variant: int = 0,
    nbgrader: bool = False,
    show: Callable[[str], None] = print,
) -> list[Path]:
    """Write a notebook per chapter, NN_exam.ipynb, and print the key to it.

    variant   seed of the numbers; 0: those of the chapters
    nbgrader  with its metadata and hidden tests, as the source of an assignment; else to hand out as it is
    raises    UserError for an unknown chapter, one without exercises to ask, or a file that already exists
    """
    import nbformat

    chapters = [_chapter(name) for name in dict.fromkeys(names)]
    files = {path: Path(folder) / f"{path.name[:2]}_exam.ipynb" for path in chapters}
    for target in files.values():
        if target.exists():
            raise UserError(f"{target} already exists. Name another --out, or move it away.")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path, target in files.items():
        nbformat.write(notebook(path, variant, nbgrader), target)
        show(f"{target}")
        for line in key(path.name[:2], variant):
            show(f"  {line}")
    return list(files.values())


def _chapter(name: str) -> Path:
    """The notebook of a chapter that has something to ask."""
    from pfmsm_lite.course.execute import chapters

    known = {path.name[:2]: path for path in chapters(home() / "notebooks")}
    if name not in known:
        raise UserError(f"{name} is no chapter. There are: {', '.join(known)}.")
    if not any(exercise.draw for exercise in exercises(name).values()):
        raise UserError(f"Chapter {name} has no exercise that can be asked with other numbers.")
    return known[name]


def key(number: str, variant: int) -> Iterator[str]:
    """A line per exercise of a chapter, for whoever marks: the answer and why, or why it is left out."""
    for name, exercise in exercises(number, variant).items():
        if not exercise.draw:
            yield f"{name} is not asked: {exercise.stays}"
        elif exercise.right is None:
            yield f"{name}: a function, tried on inputs of this seed"
        else:
            yield f"{name}: {_shown(exercise.right)} ({exercise.why})"


def _shown(right: Any) -> str:
    import numpy as np

    if isinstance(right, str):
        return right
    if np.ndim(right) == 0:
        return say(round(float(right), 4))
    return str(np.round(np.asarray(right, float), 4).tolist()).replace("-", "−")


def notebook(path: Path, variant: int, nbgrader: bool) -> Any:
    """The examination of a chapter, as nbformat holds it."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    number, chapter = path.name[:2], nbformat.read(path, as_version=4)
    title = chapter.cells[0].source.splitlines()[0].lstrip("# ")
    parameters = new_code_cell("FAST = False", metadata={"tags": ["parameters"]})
    head = (HEAD_NBGRADER if nbgrader else HEAD).format(title)
    cells = [new_markdown_cell(head), parameters, new_code_cell(SETUP.format(path.stem))]
    roles = [("head", LOCKED), ("parameters", LOCKED), ("setup", LOCKED)]
    for name, exercise in exercises(number, variant).items():
        if not exercise.draw:
            continue
        text = exercise.task or question(chapter, name)
        cells.append(new_markdown_cell(f"### Exercise {name.removeprefix('ex')}\n\n{text}"))
        roles.append((f"{name}-text", LOCKED))
        if nbgrader:
            cells.append(new_code_cell(SOLUTION.format(_solution(exercise, number, name))))
            cells.append(new_code_cell(HIDDEN.format(number, name, variant)))
            roles += [(f"{name}-answer", ANSWER), (f"{name}-test", TEST)]
        else:
            cells.append(new_code_cell(f'answer = ...\ncheck("{name}", answer)'))
            roles.append((f"{name}-answer", ANSWER))
    for place, (cell, (role, data)) in enumerate(zip(cells, roles, strict=True)):
        cell["id"] = f"c{place:02d}"
        if nbgrader:
            grade_id = {"grade_id": f"chapter{number}-{role}", "cell_type": cell.cell_type}
            cell.metadata["nbgrader"] = {"schema_version": SCHEMA, **data, **grade_id}
    return new_notebook(cells=cells, metadata=chapter.metadata | {"pfmsm_lite": {}})


LOCKED = {"grade": False, "solution": False, "locked": True, "task": False}
ANSWER = {"grade": False, "solution": True, "locked": False, "task": False}
TEST = {"grade": True, "solution": False, "locked": True, "task": False, "points": 1}


def _solution(exercise: Exercise, number: str, name: str) -> str:
    """Code that gives the right answer."""
    import numpy as np

    if exercise.right is None:
        return PUBLISHED.format(number, name)
    if exercise.kind == "array":
        return f"answer = np.array({np.asarray(exercise.right, float).tolist()})"
    return f"answer = {exercise.right if exercise.kind == 'number' else repr(exercise.right)}"


def question(chapter: Any, name: str) -> str:
    """The text of an exercise in its chapter, without the sentences that speak of what stands around it."""
    begins = re.compile(ASKED.format(name.removeprefix("ex")), re.MULTILINE)
    for cell in chapter.cells:
        found = begins.search(cell.source) if cell.cell_type == "markdown" else None
        if found:
            text = cell.source[found.end() :].split("\n## ")[0].split("\n### ")[0]
            paragraphs = [_alone(part) for part in text.strip().split("\n\n")]
            lead = f"**{found[1]}** " if found[1] else ""
            return lead + "\n\n".join(filter(None, paragraphs))
    raise UserError(f"The text of {name} was not found in {chapter.cells[0].source.splitlines()[0]}.")


def _alone(paragraph: str) -> str:
    sentences = re.split(r"(?<=[.!?)])\s+(?=[A-Z(*`])", paragraph)
    return " ".join(sentence for sentence in sentences if not CONTEXT.search(sentence))

"""Slides of the chapters, one HTML file each, that need no network: python -m pfmsm_lite.course.slides

A slide is a committed figure. Its title is what the figure found, its note is the text "How to read it".
"""

import argparse
import base64
import html
import io
import re
import sys
from pathlib import Path

from pfmsm_lite.course.execute import chapters
from pfmsm_lite.course.notebook import home
from pfmsm_lite.errors import UserError

HOW = re.compile(r"\*{1,2}How to read it\.\*{1,2}\s*")
TITLE = re.compile(r"(?<!: \d)\.(?:\s|$)")  # where the first sentence ends; not in "Where we are: 1. rows."
MATH = re.compile(r"\$([^$\n]+)\$")
NEARBY = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]*\)")  # a link to a file, which is not beside the slides


def slides(notebook):
    """A notebook's figures in order, as dicts of `title`, `alt`, `png` (base64) and `note` (Markdown or "").

    The note is the first text after the figure, if it says how to read it.
    """
    found, fresh = [], False
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and fresh:
            found[-1]["note"], fresh = _note(cell.source), False
        for output in cell.get("outputs", ()):
            if png := output.get("data", {}).get("image/png"):
                alt = output.metadata.get("image/png", {}).get("alt", "")
                found.append({"title": TITLE.split(alt, 1)[0], "alt": alt, "png": png.strip(), "note": ""})
                fresh = True
    return found


def _note(text):
    """How to read a figure: the first paragraph, and a list after it; "" for a text about other things."""
    if not HOW.match(text):
        return ""
    first, *rest = re.split(r"\n\s*\n", HOW.sub("", text, count=1))
    return "\n\n".join([first, *(part for part in rest[:1] if re.match(r"(\d+\.|[-*]) ", part))])


def _formula(tex):
    """A TeX formula as an image in the text; its code where matplotlib cannot draw it."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import math_to_image

    svg = io.BytesIO()
    try:
        depth = math_to_image(f"${tex[1]}$", svg, prop=FontProperties(size=12), dpi=72, format="svg")
    except ValueError:
        return f"`{tex[1]}`"
    data, style = base64.b64encode(svg.getvalue()).decode(), f"vertical-align: -{depth:.0f}px"
    return f'<img alt="{html.escape(tex[1])}" style="{style}" src="data:image/svg+xml;base64,{data}">'


def _html(text):
    import mistune  # Jupyter brings it

    return mistune.html(MATH.sub(_formula, NEARBY.sub(r"\1", text)))


def page(notebook):
    """The slides of a notebook as one HTML document."""
    from jinja2 import Environment, FileSystemLoader

    begin = notebook.cells[0].source if notebook.cells else ""
    title, question = re.search(r"^# (.+)", begin, re.M), re.search(r"\*\*(.+?)\*\*", begin, re.S)
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    return environment.get_template("slides.html").render(
        title=title[1] if title else "Slides",
        question=" ".join(question[1].split()) if question else "",
        slides=[one | {"note": _html(one["note"])} for one in slides(notebook)],
    )


def main(argv=None):
    """Write the slides of the named notebooks, or of all chapters."""
    import nbformat

    options = argparse.ArgumentParser(prog="python -m pfmsm_lite.course.slides", description=__doc__)
    options.add_argument("notebooks", nargs="*", type=Path, help="files; none: all chapters")
    options.add_argument("--out", type=Path, default=Path("build", "slides"), metavar="DIR")
    given = options.parse_args(argv)
    for path in given.notebooks or chapters(home() / "notebooks"):
        try:
            notebook = nbformat.read(path, as_version=4)
        except (OSError, nbformat.reader.NotJSONError) as error:
            raise UserError(f"{path} cannot be read as a notebook. Name an .ipynb file.") from error
        given.out.mkdir(parents=True, exist_ok=True)
        target = given.out / f"{path.stem}.html"
        target.write_text(page(notebook), encoding="utf-8")
        print(f"{target}: {len(slides(notebook))} figures")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))

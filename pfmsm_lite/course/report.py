"""A page to hand on: chapter 08 on a person's data or on a finished run, without the lessons, code folded."""

import html
import os
import sys
import time
from pathlib import Path

from pfmsm_lite.course.notebook import INSTALL, home
from pfmsm_lite.errors import UserError, at_least_one
from pfmsm_lite.lab.job import replace_text
from pfmsm_lite.lab.runs import read_data, read_run

CHAPTER = "08_results.ipynb"
LESSON, QUIET = "course", "quiet"  # tags: left out · its output left out
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 "DejaVu Sans", "Segoe UI", Helvetica, Arial, sans-serif; color: #222; }}
main {{ max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.7rem; line-height: 1.2; }}
h2 {{ margin-top: 2.2rem; border-bottom: 1px solid #ccc; }}
h3 {{ margin-top: 2rem; }}
img {{ max-width: 100%; height: auto; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.85rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }}
th, td {{ padding: 0.2rem 0.8rem; text-align: right; border-bottom: 1px solid #ddd; }}
details.code {{ color: #555; font-size: 0.8rem; margin: 0.3rem 0; }}
details.code summary {{ cursor: pointer; }}
details.code pre {{ background: #f6f6f6; padding: 0.6rem; }}
.anchor-link, .prompt, .jp-InputPrompt, .jp-OutputPrompt {{ display: none; }}
@media print {{ details.code {{ display: none; }} main {{ max-width: none; }} }}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
TEMPLATE = """
{%- extends 'basic/index.html.j2' -%}
{%- block input -%}
<details class="code"><summary>code</summary><pre>{{ cell.source | escape }}</pre></details>
{%- endblock input -%}
"""


class Told:
    """What papermill writes a notebook's printed lines to: those on trainings go on to the screen."""

    def __init__(self, screen):
        self.screen = screen

    def write(self, text):
        for line in text.splitlines():
            if line.startswith("run "):
                self.screen.write(f"{line}\n")
        self.flush()

    def flush(self):
        self.screen.flush()


def report(run="", data="", out=None, options=None, show=print, screen=sys.stderr):
    """Execute chapter 08 on a finished run's directory or on data, and write one HTML file; returns its path.

    run      directory of a finished run; or
    data     "synthetic", "kuairand" or a file of one's own;  options: of `pfmsm_lite.lab.runs.compare`
    out      the file; None: report.html in the run's directory, NAME-report.html here for data
    screen   what is going on is written there if it is a terminal
    raises   UserError before anything is trained: the input cannot be read, the file cannot be written
    """
    if bool(run) == bool(data):
        raise UserError(
            "Give a finished run's directory, such as runs/synthetic, or data: a file with its --scenario "
            "and --tasks, kuairand with its --data-dir, or synthetic."
        )
    source = home() / "notebooks" / CHAPTER
    name = _checked(run, data, options or {})
    target = _target(run, name, out)
    parameters = _parameters(run, data, options or {})
    notebook = _executed(source, parameters, screen)
    title = f"{name}: who should learn from whom"
    replace_text(target, page(notebook, title))
    show(f"{target}: {target.stat().st_size / 1024:,.0f} KB")
    return target


def _checked(run, data, options):
    """The data's name, after a look whether the chapter will be able to read what it is given."""
    if run:
        return read_run(run).name
    from pfmsm_lite.lab.job import declared

    reading = {key: value for key, value in options.items() if key != "seeds"}
    _, _, arguments = read_data(data, **reading)
    declared({**arguments, "methods": arguments.get("methods") or ()})
    at_least_one(rounds=arguments["rounds"])
    return Path(data).name


def _target(run, name, out):
    """The file to write; refused before the work where it cannot be written."""
    stem = name.split(".")[0]
    target = Path(out) if out else Path(run) / "report.html" if run else Path(f"{stem}-report.html")
    if target.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {target}: the report is one HTML file; let its name end in .html.")
    if target.is_dir() or not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise UserError(
            f"--out {target} cannot be written: {target.parent} must be a folder that you may write to."
        )
    return target


def _parameters(run, data, options):
    """Of the chapter: names as in its first cell; paths made absolute, for it runs in a folder of its own."""
    options = {key: value for key, value in options.items() if value}
    path = str(Path(data).resolve()) if data and Path(data).suffix else data
    return {
        "RUN": str(Path(run).resolve()) if run else "",
        "DATA": path,
        "SCENARIO": options.pop("scenario", ""),
        "TASKS": list(options.pop("tasks", ())),
        "DATA_DIR": str(Path(options.pop("data_dir")).resolve()) if "data_dir" in options else "",
        "MORE": options,
    }


def _executed(source, parameters, screen):
    """The chapter without its lessons, executed with these parameters, away from what is committed."""
    try:
        import nbconvert  # noqa: F401
        import nbformat
        import papermill

        from pfmsm_lite.course.kernel import LONG, kernel_config
    except ImportError as error:
        raise UserError(
            f"A report needs {error.name}. Install it in the project's folder with: {INSTALL}"
        ) from error
    visible = bool(getattr(screen, "isatty", lambda: False)())
    notebook = nbformat.read(source, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if LESSON not in cell.metadata.get("tags", ())]
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    if visible:
        screen.write("Chapter 08 is executed on it.\n")
    try:
        return papermill.execute_notebook(
            notebook, None, parameters=parameters, cwd=str(source.parent), kernel_name="python3",
            progress_bar=False, stdout_file=Told(screen) if visible else None, start_timeout=LONG,
            config=kernel_config(PFMSM_FAST=""),
        )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        raise UserError(f"The report could not be made: {error.ename}: {error.evalue}") from error


def page(notebook, title):
    """An executed notebook as one HTML page, images inside, code folded away, no widgets."""
    from nbconvert import HTMLExporter

    from pfmsm_lite.course.execute import WIDGET

    cells, waiting = [], []  # waiting: code of cells that show nothing, to be folded into the next
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", ())
        if "injected-parameters" in tags or LESSON in tags:
            continue
        if cell.cell_type == "code":
            kept = [o for o in cell.outputs if WIDGET not in o.get("data", {}) and o.get("name") != "stderr"]
            cell.outputs = [] if QUIET in tags else kept
            waiting.append(cell.source)
            if not cell.outputs:
                continue
            cell.source, waiting = "\n\n".join(waiting), []
        cells.append(cell)
    notebook.cells = cells
    exporter = HTMLExporter(template_name="basic", raw_template=TEMPLATE)
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = exporter.exclude_anchor_links = True
    body, _ = exporter.from_notebook_node(notebook)
    made = f"<h1>{html.escape(title)}</h1>\n<p>Made {time.strftime('%Y-%m-%d')} by pfmsm_lite, "
    made += "<code>python -m pfmsm_lite report</code>.</p>"
    return PAGE.format(title=html.escape(title), body=f"{made}\n{body}")

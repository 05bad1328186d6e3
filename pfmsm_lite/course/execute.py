"""Execute the course's notebooks by papermill, and keep what is committed clean and current."""

import ast
import hashlib
import math
import re
import tempfile
import time
from pathlib import Path

from pfmsm_lite.course.notebook import KEEP_FIGURES, SHARPER
from pfmsm_lite.course.progress import QUIET
from pfmsm_lite.errors import UserError

PACKAGE = Path(__file__).parents[1]
GROUND = (".", "data", "rivals")  # parts of the package that every number depends on
ROOMS = ("trust", "lab", "engine", "course")  # parts of which only those modules count that a chapter imports
CELL_SECONDS = 180  # a cell that takes longer hangs
ON_DISK = re.compile(r'"results"|\bmeasured\(')  # a cell that shows long runs of the folder results/
STYLE = re.compile(r"<style scoped>.*?</style>\n?", re.DOTALL)
FOLDED = "hide-input"  # tag of a cell that is there to be run, not to be read
WIDGET = "application/vnd.jupyter.widget-view+json"
MINUTES = re.compile(r"(with exercises \d+\.)(?: \*\*To run:\*\* about (\d+) s\.)?")  # at a chapter's top
NOISE = 1.6  # a machine is as much slower at times: within that factor a stated time is left
TWICE = "2"  # SHARPER of the book's pictures


def chapters(folder):
    """The numbered notebooks of a folder, those in its further/ after them, in order.

    raises  UserError where there are none
    """
    parts = Path(folder), Path(folder) / "further"
    found = [path for part in parts for path in sorted(part.glob("[0-9][0-9]_*.ipynb"))]
    if not found:
        raise UserError(f"There are no notebooks such as 00_start_here.ipynb in {folder}.")
    return found


def imported(source):
    """Files in ROOMS that Python code imports, wherever in it the import stands."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:  # a cell with a command of Jupyter's, such as %time
        return set()
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    paths = [PACKAGE.joinpath(*name.split(".")[1:]) for name in names if name.startswith("pfmsm_lite.")]
    files = [file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py")]
    return {file for file in files if file.is_file() and file.relative_to(PACKAGE).parts[0] in ROOMS}


def sources(notebook, number):
    """Files of the package on which a chapter's outputs depend, in order.

    All of the core, data and rivals; of the other rooms the chapter's exercises and drawings, the modules
    that its cells import, the modules that those import, and so on; and the style of the figures.
    """
    found = {PACKAGE / "course" / part / f"chapter{number}.py" for part in ("exercises", "drawings")}
    found = {file for file in found if file.is_file()}
    for cell in notebook.cells:
        found |= imported(cell.source) if cell.cell_type == "code" else set()
    new = set(found)
    while new:
        new = set().union(*(imported(file.read_text(encoding="utf-8")) for file in new)) - found
        found |= new
    ground = {file for part in GROUND for file in (PACKAGE / part).glob("*.py")}
    return sorted(found | ground | set(PACKAGE.rglob("*.mplstyle")))


def digest(notebook, path):
    """A fingerprint of a notebook's cells and of all files that its outputs depend on."""
    found = hashlib.sha256()
    for cell in notebook.cells:
        found.update(f"{cell.cell_type}\0{cell.source}\0".encode())
    files = sources(notebook, Path(path).name[:2])
    if any(ON_DISK.search(cell.source) for cell in notebook.cells):
        folder = next(part for part in Path(path).resolve().parents if part.name != "further")
        files += sorted((folder / "results").glob("*/*.*"))
    for file in files:
        found.update(file.name.encode() + file.read_bytes().replace(b"\r\n", b"\n"))
    return found.hexdigest()[:16]


def stale(path):
    """Whether the committed outputs of a notebook belong to other sources than these."""
    import nbformat

    return digest_in(path) != digest(nbformat.read(path, as_version=4), path)


def digest_in(path):
    """The fingerprint that a notebook's file keeps, or None."""
    import nbformat

    return nbformat.read(path, as_version=4).metadata.get("pfmsm_lite", {}).get("digest")


def execute(path, target, fast, **variables):
    """Run one notebook by papermill in its own folder, and write it to `target`; returns the seconds.

    variables  of the kernel's environment
    raises     papermill.PapermillExecutionError where a cell fails
    """
    import papermill

    from pfmsm_lite.course.kernel import LONG, kernel_config

    start = time.monotonic()
    papermill.execute_notebook(
        str(path), str(target), parameters={"FAST": True} if fast else {}, cwd=str(Path(path).parent),
        kernel_name="python3", progress_bar=False, start_timeout=LONG, execution_timeout=CELL_SECONDS,
        config=kernel_config(PFMSM_FAST="1" if fast else "", **{QUIET: "1"}, **variables),
    )  # fmt: skip
    return time.monotonic() - start


def faults(notebook):
    """What an executed notebook must not hold (errors, stderr, figures without alt text), as sentences."""
    found = []
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if output.output_type == "error":
                found.append(f"cell {number}: {output.ename}: {output.evalue}")
            if output.get("name") == "stderr":
                found.append(f"cell {number} writes to stderr: {output.text[:200]}")
            if "image/png" in data and not output.metadata.get("image/png", {}).get("alt"):
                found.append(f"cell {number}: a figure without alt text")
    widgets = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    for model in widgets.get("state", {}).values():
        for output in model.get("state", {}).get("outputs", ()):
            if output.get("output_type") == "error":
                found.append(f"a widget: {output.get('ename')}: {output.get('evalue')}")
    return found


def joined(outputs):
    """Printed text in one piece: the kernel sends it in pieces that differ from run to run."""
    found = []
    for output in outputs:
        last = found[-1] if found else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last["text"] += output.text
        else:
            found.append(output)
    return found


def kept_metadata(cell):
    """A cell's tags; the source of claims, and of what is tagged FOLDED, stays closed until a click."""
    tags = list(cell.metadata.get("tags", ()))
    if cell.cell_type == "code" and "claim(" in cell.source and FOLDED not in tags:
        tags.append(FOLDED)
    closed = {"jupyter": {"source_hidden": True}} if FOLDED in tags else {}
    return closed | ({"tags": tags} if tags else {})


def normalized(notebook, path):
    """The notebook as it is committed: no times, no widget state, no injected parameters, no style sheets
    of tables, fixed ids."""
    notebook.cells = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", ())]
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"c{number:02d}"
        cell.metadata = kept_metadata(cell)
        if cell.cell_type == "code":
            kept = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
            cell.outputs = joined(kept)
            for output in cell.outputs:
                if "text/html" in output.get("data", {}):  # every table brings the same style; none needs it
                    output.data["text/html"] = STYLE.sub("", output.data["text/html"])
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    language = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
    notebook.metadata = {
        "kernelspec": kernel,
        "language_info": language,
        "pfmsm_lite": {"digest": digest(notebook, path)},
    }
    return notebook


def timed(notebook, seconds):
    """A chapter whose top says how long it took to run, in steps of five seconds; changes the notebook."""
    head = notebook.cells[0]
    if told := MINUTES.search(head.source):
        kept = int(told[2] or 0)
        near = kept and 1 / NOISE < seconds / kept < NOISE
        shown = kept if near else 5 * math.ceil(seconds / 5)
        head.source = MINUTES.sub(rf"\1 **To run:** about {shown} s.", head.source, count=1)
    return notebook


def chosen(folder, names):
    """The chapters whose names begin with one of `names`; all of them for ()."""
    found = [path for path in chapters(folder) if not names or path.stem.startswith(tuple(names))]
    if not found:
        raise UserError(f"No notebook in {folder} begins with {' or '.join(names)}.")
    return found


def run_one(path, target, fast, **variables):
    """Execute a notebook and read it back: (notebook, seconds). Raises UserError for anything wrong in it."""
    import nbformat
    import papermill

    try:
        seconds = execute(path, target, fast, **variables)
        notebook = nbformat.read(target, as_version=4)
    except papermill.PapermillExecutionError as error:
        raise UserError(f"{path.name}: cell {error.exec_count}: {error.ename}: {error.evalue}") from error
    wrong = faults(notebook)
    if wrong:
        raise UserError(f"{path.name}: {'; '.join(wrong)}")
    return notebook, seconds


def rehearse(folder, names=(), show=print):
    """Run notebooks in FAST mode, away from the committed ones: do they still work?"""
    for path in chosen(folder, names):
        with tempfile.TemporaryDirectory() as scratch:
            _, seconds = run_one(path, Path(scratch) / path.name, fast=True)
        show(f"{path.stem}: fast, {seconds:.0f} s")


def refresh(folder, names=(), everything=False, show=print):
    """Run notebooks in full, write their outputs and figures/; only the stale ones unless told otherwise.

    names   beginnings of the names of those to run, such as "06"; () for all
    raises  UserError for a notebook that fails: it is left as it was
    """
    import nbformat

    for path in chosen(folder, names):
        if not (everything or stale(path)):
            show(f"{path.stem}: current")
            continue
        part = path.with_name(f".{path.stem}.part.ipynb")
        try:
            notebook, seconds = run_one(path, part, fast=False, **{KEEP_FIGURES: "1"})
        finally:
            part.unlink(missing_ok=True)
        text = nbformat.writes(normalized(timed(notebook, seconds), path))
        path.write_text(text + "\n", encoding="utf-8", newline="\n")
        show(f"{path.stem}: {seconds:.0f} s, {len(text) / 1024:.0f} KB")


def sharpen(folder, target, names=(), show=print):
    """Run notebooks in full into another folder, with pictures twice as sharp, for the book.

    Those that were written before and belong to the sources as they are stay.
    """
    import nbformat

    for path in chosen(folder, names):
        kept = Path(target) / path.relative_to(folder)
        if kept.is_file() and digest_in(kept) == digest_in(path):
            show(f"{path.stem}: current")
            continue
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.stem}.part.ipynb")
        try:
            notebook, seconds = run_one(path, part, fast=False, **{SHARPER: TWICE})
        finally:
            part.unlink(missing_ok=True)
        nbformat.write(normalized(notebook, path), kept)
        show(f"{path.stem}: {seconds:.0f} s")

"""Execute the course's notebooks by papermill, and keep what is committed clean and current."""

import hashlib
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from pfmsm_lite.errors import UserError

PACKAGE = Path(__file__).parents[1]
PARTS = (".", "data", "rivals")  # of the package; with FILES, what a notebook's numbers depend on
FILES = (
    "lab/statistics.py", "lab/engine.py", "lab/sources.py", "lab/runs.py", "lab/figures.py", "lab/charts.py",
    "lab/style.mplstyle", "course/pipeline.py", "course/notebook.py",
)  # fmt: skip
CELL_SECONDS = 180  # a cell that takes longer hangs
ON_DISK = re.compile(r'"results"|\bmeasured\(')  # a cell that shows long runs of the folder results/
IMPORTED = re.compile(
    r"^from pfmsm_lite(?: import |\.)([\w, ]+?)(?: import .+)?$", re.MULTILINE
)  # modules of it
STYLE = re.compile(r"<style scoped>.*?</style>\n?", re.DOTALL)
WIDGET = "application/vnd.jupyter.widget-view+json"


def chapters(folder):
    """The numbered notebooks of a folder, in order. Raises UserError where there are none."""
    found = sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise UserError(f"There are no notebooks such as 00_start_here.ipynb in {folder}.")
    return found


def digest(notebook, path):
    """Of a notebook's cells and of what it leans on in the package: another one where outputs are stale."""
    found = hashlib.sha256()
    for cell in notebook.cells:
        found.update(f"{cell.cell_type}\0{cell.source}\0".encode())
    source = "\n".join(cell.source for cell in notebook.cells)
    imported = [name.strip() for names in IMPORTED.findall(source) for name in names.split(",")]
    files = [
        PACKAGE / name for name in sorted({*FILES, *(f"{name.replace('.', '/')}.py" for name in imported)})
    ]
    files += [file for part in PARTS for file in sorted((PACKAGE / part).glob("*.py"))]
    files += [
        PACKAGE / "course" / part / f"chapter{Path(path).name[:2]}.py" for part in ("exercises", "drawings")
    ]
    if any(ON_DISK.search(cell.source) for cell in notebook.cells):
        files += sorted((Path(path).resolve().parent / "results").glob("*/*.*"))
    for file in files:
        if file.exists():
            found.update(file.name.encode() + file.read_bytes().replace(b"\r\n", b"\n"))
    return found.hexdigest()[:16]


def stale(path):
    """Whether the committed outputs of a notebook belong to other sources than these."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    return notebook.metadata.get("pfmsm_lite", {}).get("digest") != digest(notebook, path)


def by_files():
    """Configuration of a kernel that talks over files, not ports: no other kernel can take its port, nobody
    else can listen, and it has no warning to print. On Windows, where there are no such sockets: nothing."""
    from traitlets.config import Config

    if sys.platform == "win32":
        return Config()
    files = Path(tempfile.gettempdir()) / f"pfmsm-{uuid4().hex[:12]}"  # or two in one folder share a socket
    return Config(KernelManager={"transport": "ipc", "ip": str(files)})


def execute(path, target, fast):
    """Run one notebook by papermill in its own folder, and write it to `target`; returns the seconds.

    raises  papermill.PapermillExecutionError where a cell fails
    """
    import papermill

    start = time.monotonic()
    before = os.environ.get("PFMSM_FAST")
    os.environ["PFMSM_FAST"] = "1" if fast else ""
    try:
        papermill.execute_notebook(
            str(path), str(target), parameters={"FAST": True} if fast else {}, cwd=str(Path(path).parent),
            kernel_name="python3", progress_bar=False, execution_timeout=CELL_SECONDS,
            config=by_files(),
        )  # fmt: skip
    finally:
        os.environ["PFMSM_FAST"] = before or ""
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


def normalized(notebook, path):
    """The notebook as it is committed: no times, no widget state, no injected parameters, no style sheets
    of tables, fixed ids."""
    notebook.cells = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", ())]
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"c{number:02d}"
        cell.metadata = {"tags": list(cell.metadata.tags)} if cell.metadata.get("tags") else {}
        if cell.cell_type == "code":
            kept = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
            cell.outputs = joined(kept)
            for output in cell.outputs:
                if "text/html" in output.get(
                    "data", {}
                ):  # every table brings the same style, and none needs it
                    output.data["text/html"] = STYLE.sub("", output.data["text/html"])
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    language = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
    notebook.metadata = {
        "kernelspec": kernel,
        "language_info": language,
        "pfmsm_lite": {"digest": digest(notebook, path)},
    }
    return notebook


def chosen(folder, names):
    """The chapters whose names begin with one of `names`; all of them for ()."""
    found = [path for path in chapters(folder) if not names or path.stem.startswith(tuple(names))]
    if not found:
        raise UserError(f"No notebook in {folder} begins with {' or '.join(names)}.")
    return found


def run_one(path, target, fast):
    """Execute a notebook and read it back: (notebook, seconds). Raises UserError for anything wrong in it."""
    import nbformat
    import papermill

    try:
        seconds = execute(path, target, fast)
        notebook = nbformat.read(target, as_version=4)
    except papermill.PapermillExecutionError as error:
        raise UserError(f"{path.name}: cell {error.exec_count}: {error.ename}: {error.evalue}") from error
    wrong = faults(notebook)
    if wrong:
        raise UserError(f"{path.name}: {'; '.join(wrong)}")
    return notebook, seconds


def rehearse(folder, names=(), show=print):
    """Run notebooks in FAST mode, away from what is committed: do they still work?"""
    for path in chosen(folder, names):
        with tempfile.TemporaryDirectory() as scratch:
            _, seconds = run_one(path, Path(scratch) / path.name, fast=True)
        show(f"{path.stem}: fast, {seconds:.0f} s")


def refresh(folder, names=(), everything=False, show=print):
    """Run notebooks in full and write their outputs; only the stale ones unless told otherwise.

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
            notebook, seconds = run_one(path, part, fast=False)
        finally:
            part.unlink(missing_ok=True)
        text = nbformat.writes(normalized(notebook, path))
        path.write_text(text + "\n", encoding="utf-8", newline="\n")
        show(f"{path.stem}: {seconds:.0f} s, {len(text) / 1024:.0f} KB")

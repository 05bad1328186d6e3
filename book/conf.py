"""The course as a static site: `make book` shows the committed notebooks, executes nothing, needs no network.

REPOSITORY in the environment, such as https://github.com/owner/name, adds the buttons for Binder and Colab.
"""

import ast
import json
import os
import re
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.parsers import Parser

ROOT = Path(__file__).parents[1]
REPOSITORY = os.environ.get("REPOSITORY", "").rstrip("/")
SLIDERS = "*In a running notebook there are sliders here: see [how to run it](/book/index.md#run-it).*"

project = "pfmsm_lite"
author = "the pfmsm_lite authors"
extensions = ["myst_nb"]
root_doc = "book/index"
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".py": "python"}
include_patterns = [
    "book/*.md",
    "*.md",
    "deploy/*.md",
    "notebooks/**.md",
    "notebooks/**.ipynb",
    "notebooks/solutions/*.py",
    "pfmsm_lite/**.py",
]
exclude_patterns = [".*", "build", "runs", "my_course", "tests", "figures", "**/.*"]
suppress_warnings = ["toc.not_included"]  # pages that a table or a text links to

nb_execution_mode = "off"
nb_code_prompt_show, nb_code_prompt_hide = "Show the code", "Hide the code"
nb_ipywidgets_js = {}  # from a CDN, otherwise
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

html_theme = "sphinx_book_theme"
html_title = "pfmsm_lite: the course"
mathjax_path = "tex-svg.js"  # of MathJax one file is enough: it draws with paths and needs no fonts
MATHJAX = Path(find_spec("sphinx-mathjax-offline").submodule_search_locations[0], "static", "mathjax")
html_static_path = ["book.css", str(MATHJAX / mathjax_path)]
html_css_files = ["book.css"]
html_extra_path = ["index.html"]
html_theme_options = {"show_toc_level": 2, "navbar_persistent": []}
if REPOSITORY:
    tags.add("online")  # noqa: F821  Sphinx gives it
    html_theme_options |= {
        "repository_url": REPOSITORY,
        "repository_branch": "main",
        "use_repository_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        },
    }


class Program(Parser):
    """A Python file as a page: the first line of its docstring, then all of it."""

    supported = ("python",)

    def parse(self, inputstring, document):
        title = (ast.get_docstring(ast.parse(inputstring)) or "Code").splitlines()[0].rstrip(".")
        section = nodes.section("", nodes.title("", title), ids=["program"])
        section += nodes.literal_block(inputstring, inputstring, language="python")
        document += section


def one_figure_each(cell):
    """A cell as several with at most one figure each: an alt text can only be given to a whole cell."""
    parts = [cell | {"outputs": []}] if cell.get("outputs") else [cell]
    for output in cell.get("outputs", ()):
        if alt := output.get("metadata", {}).get("image/png", {}).get("alt"):
            if "mystnb" in parts[-1]["metadata"]:
                more = {"source": "# and", "outputs": [], "metadata": {"tags": ["remove-input"]}}
                parts.append(cell | more | {"id": f"{cell['id']}-{len(parts)}"})
            parts[-1]["metadata"] = parts[-1]["metadata"] | {"mystnb": {"image": {"alt": alt}}}
        parts[-1]["outputs"].append(output)
    return parts


def sharpest(notebook, path):
    """The same notebook with sharper pictures, where `make book SHARP=1` made one from the same sources."""
    path = path.with_suffix(".ipynb")
    sharp = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"metadata": {}}
    own, other = (found["metadata"].get("pfmsm_lite") for found in (notebook, sharp))
    return sharp if own and own == other else notebook


def prepare(app, docname, source):
    """A notebook's figures get their alt texts; a line says where the first sliders would be."""
    if docname == root_doc:
        source[0] = source[0].replace("ADDRESS", REPOSITORY)
    if app.env.doc2path(docname).suffix != ".ipynb":
        return
    notebook = sharpest(json.loads(source[0]), ROOT / "build/sharp" / Path(docname).relative_to("notebooks"))
    notebook["cells"] = [part for cell in notebook["cells"] for part in one_figure_each(cell)]
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code" and re.search(r"^explore\(", "".join(cell["source"]), re.M):
            said = {"cell_type": "markdown", "id": "sliders", "metadata": {}, "source": SLIDERS}
            notebook["cells"].insert(number + 1, said)
            break
    source[0] = json.dumps(notebook)


def folders(app, doctree):
    """A link to a folder leads to the repository; where none is known it is plain text."""
    for node in list(doctree.findall(pending_xref)):
        folder = (Path(doctree["source"]).parent / node["reftarget"]).resolve()
        if folder.is_dir():
            address = f"{REPOSITORY}/tree/main/{folder.relative_to(ROOT).as_posix()}"
            linked = nodes.reference("", "", *node.children, refuri=address, internal=False)
            node.replace_self(linked if REPOSITORY else node.children)


def setup(app):
    app.add_source_parser(Program)
    app.connect("source-read", prepare)
    app.connect("doctree-read", folders)

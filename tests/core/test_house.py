"""The house: how large files and functions may be, and who may import whom."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pfmsm_lite"
FILES = sorted(PACKAGE.rglob("*.py"))
CORE = sorted(PACKAGE.glob("*.py"))
ROOMS = (
    "core",
    "data",
    "rivals",
    "trust",
    "lab",
    "engine",
    "course",
)  # each may import those before it, and itself
SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
LIMITS = {"core": 1500, "file": 300, "function": 50}


def name_of(path):
    """pfmsm_lite/data/table.py → pfmsm_lite.data.table"""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module):
    """The room of a module's name; the command's entry is the lab's."""
    parts = module.split(".")
    if module == "pfmsm_lite.__main__":
        return "lab"
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "core"


def lines_of_code(text):
    """Numbers of the lines that hold code: no blanks, comments, docstrings."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and ast.get_docstring(node) is not None
        ):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


def imported(path, whole=True):
    """Modules of this package that a file imports; whole: inside functions, too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if whole else tree.body
    known = {name_of(file) for file in FILES}
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (
                names if names <= known else names | {node.module}
            )  # a package only for a name of its own
    return {name for name in found if name in known} - {name_of(path)}


GRAPH = {name_of(path): imported(path) for path in FILES}


def test_the_core_is_small():
    sizes = {path.name: len(lines_of_code(path.read_text(encoding="utf-8"))) for path in CORE}
    assert sum(sizes.values()) <= LIMITS["core"], sizes
    assert len(CORE) <= 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_and_no_function_is_long(path):
    text = path.read_text(encoding="utf-8")
    lines = lines_of_code(text)
    assert len(lines) <= LIMITS["file"]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            own = [line for line in lines if node.lineno <= line <= node.end_lineno]
            assert len(own) <= LIMITS["function"], node.name


@pytest.mark.parametrize("module", GRAPH)
def test_a_room_imports_only_those_below_it(module):
    allowed = ROOMS[: ROOMS.index(room(module)) + 1]
    assert not [other for other in GRAPH[module] if room(other) not in allowed]


def test_the_core_imports_torch_and_numpy_only_at_its_heads():
    standard = {
        "collections", "copy", "ctypes", "dataclasses", "difflib", "importlib", "inspect", "math", "numbers",
        "operator", "re", "time", "typing", "zlib",
    }  # fmt: skip
    for path in CORE:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            tops = {name.split(".")[0] for name in names} - standard - {"pfmsm_lite", "sys"}
            assert tops <= {"torch", "numpy"}, (path.name, tops)


def test_no_modules_import_each_other_in_a_circle():
    def reaches(start, goal, seen):
        for other in GRAPH[start] - seen:
            seen.add(other)
            if other == goal or reaches(other, goal, seen):
                return True
        return False

    inner = {module for module in GRAPH if module != "pfmsm_lite"}
    for module in inner:
        assert not reaches(module, module, {"pfmsm_lite"}), module


def test_no_module_of_the_core_is_hidden_by_a_function_of_its_name():
    import pfmsm_lite

    for path in CORE:
        face = getattr(pfmsm_lite, path.stem, None)
        assert face is None or path.stem.startswith("__") or type(face).__name__ == "module"


def test_loading_the_core_loads_no_room_and_no_library_but_torch_and_numpy():
    import subprocess
    import sys

    code = (
        "import sys, pfmsm_lite;"
        "rooms = [m for m in sys.modules if m.startswith(tuple('pfmsm_lite.' + r for r in "
        "('data', 'rivals', 'trust', 'lab', 'engine', 'course')))];"
        "slow = {'pandas', 'sklearn', 'matplotlib', 'seaborn', 'scipy', 'xarray'} & set(sys.modules);"
        "assert not rooms and not slow, (rooms, slow)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

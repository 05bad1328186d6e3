"""my_course/: copies that git ignores, never overwritten, and JupyterLab on them with every link working."""

import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
import serving

from pfmsm_lite.course import shelf
from pfmsm_lite.course.execute import chapters
from pfmsm_lite.course.notebook import INSTALL
from pfmsm_lite.errors import UserError

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)|(?:src|href)=[\"']([^\"'#]+)")
PATH = re.compile(r"`((?:notebooks|pfmsm_lite|figures|tests|solutions|teaching|results)/[\w./-]*)`")


@pytest.fixture
def project(tmp_path):
    """A small project with one chapter and one solution."""
    (tmp_path / "notebooks" / "solutions").mkdir(parents=True)
    (tmp_path / "notebooks" / ".ipynb_checkpoints").mkdir()
    for name in ("06_turn.ipynb", "solutions/chapter06.py", ".ipynb_checkpoints/06_turn-checkpoint.ipynb"):
        (tmp_path / "notebooks" / name).write_text("first")
    return tmp_path


def filled(project):
    """(text of every file of the shelf, what was said)."""
    said = []
    folder = shelf.fill(project, said.append)
    files = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.*")}
    files.pop(shelf.RECORD)
    return {name: text for name, text in files.items() if not (folder / name).is_dir()}, said


def test_a_shelf_is_filled_once_and_untouched_copies_follow_the_originals(project):
    chapter, solution = project / "notebooks" / "06_turn.ipynb", "solutions/chapter06.py"
    assert filled(project) == (
        {"06_turn.ipynb": "first", solution: "first"},
        ["my_course/: 2 files copied"],
    )
    assert filled(project)[1] == ["my_course/ has all chapters"]
    chapter.write_text("second")
    assert filled(project)[0] == {"06_turn.ipynb": "second", solution: "first"}
    (project / "my_course" / solution).unlink()
    assert filled(project)[0] == {"06_turn.ipynb": "second", solution: "first"}


def test_a_students_work_stays_and_newer_versions_come_beside_it_once(project):
    chapter, mine = (project / name / "06_turn.ipynb" for name in ("notebooks", "my_course"))
    filled(project)
    mine.write_text("SEED = 1")
    assert filled(project)[0]["06_turn.ipynb"] == "SEED = 1"
    chapter.write_text("second")
    files, said = filled(project)
    assert files["06_turn.ipynb"] == "SEED = 1" and files["06_turn.new.ipynb"] == "second"
    assert said[0] == (
        "You have changed my_course/06_turn.ipynb; its newer version is beside it: 06_turn.new.ipynb"
    )
    mine.with_name("06_turn.new.ipynb").unlink()  # read, and thrown away
    assert "06_turn.new.ipynb" not in filled(project)[0]
    chapter.write_text("third")
    filled(project)
    mine.with_name("06_turn.new.ipynb").write_text("work in here too")
    chapter.write_text("fourth")
    files = filled(project)[0]
    texts = [files[name] for name in ("06_turn.ipynb", "06_turn.new.ipynb", "06_turn.new2.ipynb")]
    assert texts == ["SEED = 1", "work in here too", "fourth"]


@pytest.mark.parametrize("text", [None, "{", "[1]"])
def test_without_a_record_every_copy_counts_as_changed(project, text):
    filled(project)
    record, mine = project / "my_course" / shelf.RECORD, project / "my_course" / "06_turn.ipynb"
    record.unlink() if text is None else record.write_text(text)
    mine.write_text("mine")
    files, _ = filled(project)
    assert files["06_turn.ipynb"] == "mine" and files["06_turn.new.ipynb"] == "first"


def test_a_shelf_that_cannot_be_written_is_said(project):
    (project / "my_course").write_text("a file in its place")
    with pytest.raises(UserError, match="my_course/.*cannot be written.*Move away"):
        shelf.fill(project)


def test_what_is_missing_is_said_with_the_command_before_anything_is_copied(monkeypatch):
    monkeypatch.setattr(shelf, "problems", lambda: ["jupyterlab is missing."])
    monkeypatch.setattr(shelf, "fill", None)
    with pytest.raises(UserError, match=r"jupyterlab is missing.*pip install -r requirements.txt"):
        shelf.course(None)


@pytest.mark.skipif(not shutil.which("make"), reason="make is missing")
def test_make_course_is_the_same_as_the_three_lines():
    done = subprocess.run(
        ["make", "-n", "-B", "course"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if "-m " in line]
    assert [re.search(r"-m (venv|pip install|pfmsm_lite course)", line)[1] for line in lines] == [
        "venv",
        "pip install",
        "pfmsm_lite course",
    ]
    assert "-r requirements.txt" in lines[1]


def test_my_course_is_ignored_by_git():
    assert "my_course/" in (ROOT / ".gitignore").read_text().split()


# ---- a clone ----


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = serving.clone(tmp_path_factory.mktemp("clone").resolve())
    shelf.fill(folder, lambda line: None)
    return folder


def prose(path):
    """The text of a page, or of a notebook's prose."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def links(path):
    """Relative targets of a page's links and pictures."""
    found = [link or source for link, source in LINK.findall(prose(path))]
    return [target for target in found if not re.match(r"[a-z]+:", target)]


PAGES = [path.relative_to(ROOT / "notebooks") for path in (ROOT / "notebooks").rglob("*.[im][pd]*")]
PAGES = sorted(path for path in PAGES if path.suffix in (".ipynb", ".md") and "." not in path.parts[0][:1])


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere_inside_the_project_from_the_copy_too(page, clone):
    for top in ("notebooks", "my_course"):
        path = clone / top / page
        for target in links(path):
            there = (path.parent / target).resolve()
            assert there.exists() and there.is_relative_to(clone), f"{top}/{page}: {target}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".ipynb"], ids=str)
def test_no_link_of_a_chapter_is_dead_when_jupyterlab_was_started_from_notebooks(page):
    for target in links(ROOT / "notebooks" / page):
        there = (ROOT / "notebooks" / page).parent.joinpath(target).resolve()
        assert there.is_relative_to(ROOT / "notebooks"), f"{page}: {target} lies outside of notebooks/"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_path_that_a_page_names_exists(page):
    for name in PATH.findall(prose(ROOT / "notebooks" / page)):
        assert (ROOT / name).exists() or (ROOT / "notebooks" / name).exists(), f"{page}: {name}"


def test_chapter_00_names_the_commands_that_open_the_course():
    text = prose(ROOT / "notebooks" / shelf.FIRST)
    targets = (ROOT / "Makefile").read_text()
    assert f"\n{INSTALL}\npython -m pfmsm_lite course\n" in text and "`make course`" in text
    assert all(re.search(rf"^{name}:", targets, re.M) for name in re.findall(r"`make (\w+)", text))


def ask(lab, address, method="GET", **body):
    """(status, answer) of JupyterLab."""
    headers = {"Authorization": f"token {lab.token}"}
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(f"{lab.url}{address}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=serving.LONG) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def run_in_kernel(lab, path, code):
    """What code prints in a kernel that JupyterLab starts for this notebook."""
    from jupyter_client import BlockingKernelClient

    made = {"name": "python3"}
    status, session = ask(lab, "api/sessions", "POST", path=path, name="", type="notebook", kernel=made)
    assert status == 201, session
    client = BlockingKernelClient()
    client.load_connection_file(str(lab.runtime / f"kernel-{session['kernel']['id']}.json"))
    client.start_channels()
    said = []
    try:
        client.wait_for_ready(serving.LONG)
        client.execute_interactive(code, timeout=serving.LONG, output_hook=said.append)
    finally:
        client.stop_channels()
    assert not [message for message in said if message["msg_type"] == "error"], said
    return "".join(message["content"].get("text", "") for message in said)


def tracked(folder):
    """Name → (size, time of change) of the files that git tracks in a clone: all but those of my_course/."""
    files = [path for top in serving.TOP for path in (folder / top, *(folder / top).rglob("*"))]
    files = [path for path in files if path.is_file() and "__pycache__" not in path.parts]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


RUN = """
import os, pfmsm_lite
from matplotlib.figure import Figure
from pfmsm_lite.course import begin, home, show
begin("00_start_here")
figure = Figure()
figure.alt = "A line that rises from zero to one."
figure.subplots().plot([0, 1])
show(figure, "00_map")
print(pfmsm_lite.__file__, home(), os.getcwd(), sep="\\n")
"""


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_command_opens_chapter_00_with_every_link_and_changes_no_tracked_file(clone, tmp_path):
    """Slow, half a minute: it starts JupyterLab and a kernel, as a student does."""
    before, first = tracked(clone), "my_course/00_start_here.ipynb"
    with serving.course(clone, tmp_path) as lab:
        log = (tmp_path / "lab.log").read_text()
        assert f"/lab/tree/{first}?token=" in log and "my_course/ has all chapters" in log
        status, notebook = ask(lab, f"api/contents/{first}")
        assert status == 200 and notebook["writable"]
        for target in links(clone / first):
            path = os.path.normpath(Path(first).parent / target).replace(os.sep, "/")
            assert ask(lab, f"api/contents/{path}?content=0")[0] == 200, target
        status, original = ask(lab, "api/contents/notebooks/00_start_here.ipynb")
        assert status == 200 and not original["writable"]
        saved = {key: original[key] for key in ("type", "format", "content")}
        status, said = ask(lab, "api/contents/notebooks/00_start_here.ipynb", "PUT", **saved)
        assert status == 403 and "Work on your copy in my_course/" in said["message"]
        assert ask(lab, f"api/contents/{first}", "PUT", **saved)[0] == 200
        printed = run_in_kernel(lab, first, RUN).splitlines()
        assert printed[-3:] == [
            str(clone / "pfmsm_lite" / "__init__.py"),
            str(clone),
            str(clone / "my_course"),
        ]
    assert tracked(clone) == before


def test_every_chapter_is_on_the_shelf(clone):
    names = [path.name for path in chapters(ROOT / "notebooks")]
    assert [path.name for path in chapters(clone / "my_course")] == names

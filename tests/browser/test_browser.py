"""What a student does, in a real browser: open JupyterLab, run all cells, move a slider by keyboard.

Not part of `make test`: it needs playwright and a Chromium of the system. `make test-browser` runs it.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from pfmsm_lite.course.execute import faults

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is missing: python -m pip install -e '.[browser]'"
)
pytestmark = pytest.mark.timeout(400)  # above the sum of the waits; a chapter took 30 s on two busy cores

ROOT = Path(__file__).parents[2]
CHAPTERS = ("00_start_here", "06_conflict_coordination", "07_personalized_aggregation", "10_where_it_helps")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
START, RUN, REDRAW = 60, 120, 3  # seconds to wait at most: for the server or a page, all cells, a new picture
HARMLESS = {}  # what a console error may hold → why it is none of the notebook's

# window.jupyterapp is there because of --LabApp.expose_app_in_browser, some time after the page has loaded
SHOWN = "window.jupyterapp?.shell?.currentWidget"
NOTEBOOK = f"{SHOWN}?.content?.model?.toJSON()"
DONE = f"""() => {{
    const notebook = {NOTEBOOK};
    if (!notebook) return false;
    const code = notebook.cells.filter(cell => cell.cell_type === 'code' && cell.source.length);
    const failed = code.some(cell => cell.outputs.some(output => output.output_type === 'error'));
    const kernel = {SHOWN}.sessionContext.session?.kernel;
    return kernel?.status === 'idle' && (failed || code.every(cell => cell.execution_count));
}}"""
BENEATH = "box => box.querySelector('img')?.src ?? box.innerText.trim()"  # a picture, or a sentence
CHANGED = f"([box, before]) => {{ const now = ({BENEATH})(box); return now && now !== before }}"


@pytest.fixture(scope="module")
def browser():
    path = os.environ.get("PFMSM_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not path:
        pytest.skip(
            f"none of {', '.join(BROWSERS)} is on the PATH: install one (Debian: apt-get install chromium), "
            "or set PFMSM_CHROMIUM to its path"
        )
    with sync_api.sync_playwright() as playwright:
        options = ["--disable-dev-shm-usage", "--disable-gpu"]  # containers have little shared memory
        started = playwright.chromium.launch(executable_path=path, args=options)
        yield started
        started.close()


def copied(chapter, folder):
    """A copy of a notebook in its FAST version and without outputs: all that is seen is of this run."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{chapter}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source, found = re.subn(r"^FAST = False", "FAST = True", cell.source, flags=re.M)
            assert found == 1
    nbformat.write(notebook, folder / f"{chapter}.ipynb")


def own_settings(folder):
    """Environment of a JupyterLab that neither reads nor writes a user's settings, and fetches no news."""
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    places += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    own = {place: str(folder / place.lower()) for place in places}
    news = Path(own["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", "apputils-extension")
    news.mkdir(parents=True)
    quiet = json.dumps({"fetchNews": "false", "checkForUpdates": False})
    (news / "notification.jupyterlab-settings").write_text(quiet)
    others = {"JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "PFMSM_FAST"}
    return {name: value for name, value in os.environ.items() if name not in others} | own


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A running JupyterLab on copies of the chapters: (its address, its token)."""
    scratch, settings = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("settings")
    (scratch / "notebooks").mkdir()
    shutil.copytree(ROOT / "figures", scratch / "figures")  # some pages show them
    for chapter in CHAPTERS:
        copied(chapter, scratch / "notebooks")
    env = own_settings(settings) | {"JUPYTER_TOKEN": secrets.token_hex(16)}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={free_port()}", "--ip=127.0.0.1"]
    command += ["--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={scratch}"]
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    log = settings / "lab.log"
    with log.open("w") as written:
        server = subprocess.Popen(command, cwd=scratch, env=env, stdout=written, stderr=subprocess.STDOUT)
    try:
        yield address(server, Path(env["JUPYTER_RUNTIME_DIR"]), log), env["JUPYTER_TOKEN"]
    finally:
        server.terminate()  # JupyterLab then ends its kernels
        try:
            server.wait(START)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def address(server, runtime, log):
    """Where the server really listens: it takes another port if somebody was quicker."""
    for _ in range(10 * START):
        for file in runtime.glob("jpserver-*.json"):
            if file.stat().st_size:
                return json.loads(file.read_text())["url"]
        assert server.poll() is None, f"JupyterLab did not start:\n{log.read_text()[-2000:]}"
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not start in {START} s:\n{log.read_text()[-2000:]}")


@pytest.fixture
def page(browser, request):
    """A page that remembers what went wrong in it (`page.wrong`); leaves a screenshot if one is asked for."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(f"page error: {error}"))
    page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
    yield page
    if folder := os.environ.get("PFMSM_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{request.node.callspec.params['chapter']}.png")
    context.close()


def run_all(page, lab, chapter):
    """Open a notebook and choose Run → Run All Cells: the notebook as the page then holds it."""
    url, token = lab
    page.goto(
        f"{url}lab/workspaces/{chapter[:2]}/tree/notebooks/{chapter}.ipynb?token={token}",
        timeout=1000 * START,
    )
    page.wait_for_function(f"() => {NOTEBOOK}?.cells.length > 1", timeout=1000 * START)
    page.wait_for_function(DONE.replace("cell.execution_count", "true"), timeout=1000 * START)  # kernel is up
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(DONE, timeout=1000 * RUN)
    return nbformat.from_dict(page.evaluate(NOTEBOOK))


def press(page, widget, key):
    """Press a key on a widget's first slider: (seconds until what stands beneath changed, what then does).

    None where the slider did not move: it was at that end already.
    """
    handle, beneath = widget.locator(".noUi-handle").first, widget.locator(".jp-OutputArea").element_handle()
    page.wait_for_function(f"box => ({BENEATH})(box)", arg=beneath, timeout=1000 * START)  # the first picture
    value, before = handle.get_attribute("aria-valuenow"), beneath.evaluate(BENEATH)
    start = time.monotonic()
    handle.press(key)
    if handle.get_attribute("aria-valuenow") == value:
        return None
    try:
        page.wait_for_function(CHANGED, arg=[beneath, before], timeout=1000 * REDRAW)
    except sync_api.TimeoutError:
        pytest.fail(f"{REDRAW} s after {key} on the slider the picture beneath is still the same")
    return time.monotonic() - start, beneath.evaluate(BENEATH)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_all_cells_run_and_a_slider_moves_the_picture(page, lab, chapter):
    notebook = run_all(page, lab, chapter)
    assert faults(notebook) == []  # among them: a figure without alt text (JupyterLab itself shows none)
    widgets = page.locator(".jp-OutputArea .widget-vbox")
    expected = sum("explore(" in cell.source for cell in notebook.cells)
    # they come some time after their cell is done
    sync_api.expect(widgets).to_have_count(expected, timeout=1000 * START)
    taken = []
    for widget in widgets.filter(has=page.locator(".noUi-handle")).all():  # the others are menus only
        widget.scroll_into_view_if_needed()
        moves = [press(page, widget, key) for key in ("Home", "ArrowRight", "End", "ArrowLeft")]
        moved = [move for move in moves if move]
        assert len(moved) >= 2, "the slider does not obey the keyboard"
        for seconds, shown in moved:
            assert shown.startswith("data:image/png") or "Traceback" not in shown, shown
            taken.append(f"{seconds:.2f}")
    assert taken, "no slider at all"
    print(f"{chapter}: seconds from a key to the new picture: {', '.join(taken)}")
    assert [said for said in page.wrong if not any(known in said for known in HARMLESS)] == []

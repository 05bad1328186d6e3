"""What a student does, in a real browser: open JupyterLab, run all cells, move a slider by keys and mouse.

Not part of `make test`: it needs playwright and a Chromium of the system. `make test-browser` runs it.
"""

import os
import re
import shutil
import statistics
import time
from pathlib import Path

import nbformat
import pytest
import serving
from serving import LONG

from pfmsm_lite.course.execute import faults

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is missing: python -m pip install -e '.[browser]'"
)
pytestmark = pytest.mark.timeout(2 * LONG)  # for what hangs; a chapter took 30 s on two busy cores

CHAPTERS = (
    "00_start_here",
    "06_conflict_coordination",
    "07_personalized_aggregation",
    "09_your_data_your_rule",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
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
SLOW = 1.0  # seconds from a key to the picture, median of a chapter; 0.1 to 0.4 on an idle machine
ASK = f"""async code => {{
    const future = {SHOWN}.sessionContext.session.kernel.requestExecute({{code}});
    let said = '';
    future.onIOPub = message => {{ said += message.content.text ?? ''; }};
    await future.done;
    return said;
}}"""
COUNT = """
import functools
from pfmsm_lite import loop
played, play = [], loop.one_round
loop.one_round = functools.wraps(play)(lambda *both: (played.append(1), play(*both)))
"""


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


def made_fast(path):
    """A notebook in its FAST version and without outputs: all that is seen is of this run."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source, found = re.subn(r"^FAST = False", "FAST = True", cell.source, flags=re.M)
            assert found == 1
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """`python -m pfmsm_lite course` in a clone whose chapters are FAST: a serving.Lab."""
    folder = serving.clone(tmp_path_factory.mktemp("clone").resolve())
    for chapter in CHAPTERS:
        made_fast(folder / "notebooks" / f"{chapter}.ipynb")
    settings = tmp_path_factory.mktemp("settings")
    with serving.course(folder, settings, "--LabApp.expose_app_in_browser=True") as running:
        yield running


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
        page.screenshot(path=Path(folder) / f"{re.sub(r'[^a-z0-9_]+', '_', request.node.name.lower())}.png")
    context.close()


def run_all(page, lab, chapter):
    """Open a notebook and choose Run → Run All Cells: the notebook as the page then holds it."""
    page.goto(
        f"{lab.url}lab/workspaces/{chapter[:2]}/tree/my_course/{chapter}.ipynb?token={lab.token}",
        timeout=1000 * LONG,
    )
    page.wait_for_function(f"() => {NOTEBOOK}?.cells.length > 1", timeout=1000 * LONG)
    page.wait_for_function(DONE.replace("cell.execution_count", "true"), timeout=1000 * LONG)  # kernel is up
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(DONE, timeout=1000 * LONG)
    return nbformat.from_dict(page.evaluate(NOTEBOOK))


def press(page, widget, key):
    """Press a key on a widget's first slider: (seconds until what stands beneath changed, what then does).

    None where the slider did not move: it was at that end already.
    """
    handle, beneath = widget.locator(".noUi-handle").first, widget.locator(".jp-OutputArea").element_handle()
    page.wait_for_function(f"box => ({BENEATH})(box)", arg=beneath, timeout=1000 * LONG)  # the first picture
    value, before = handle.get_attribute("aria-valuenow"), beneath.evaluate(BENEATH)
    start = time.monotonic()
    handle.press(key)
    if handle.get_attribute("aria-valuenow") == value:
        return None
    try:
        page.wait_for_function(CHANGED, arg=[beneath, before], timeout=1000 * LONG)
    except sync_api.TimeoutError:
        pytest.fail(f"{LONG} s after {key} on the slider the picture beneath is still the same")
    return time.monotonic() - start, beneath.evaluate(BENEATH)


def dragged(page, widget):
    """A picture that is drawn live moves while the slider is dragged, before the mouse is let go."""
    handle, beneath = widget.locator(".noUi-handle").first, widget.locator(".jp-OutputArea").element_handle()
    box, before = handle.bounding_box(), beneath.evaluate(BENEATH)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60 if handle.get_attribute("aria-valuenow") == "0.0" else x - 60, y, steps=4)
    page.wait_for_function(CHANGED, arg=[beneath, before], timeout=1000 * LONG)
    page.mouse.up()


def trained_anew(page, widget):
    """A live widget plays rounds when its slider moves."""
    page.evaluate(ASK, COUNT)
    assert press(page, widget, "ArrowRight") or press(page, widget, "ArrowLeft")
    assert int(page.evaluate(ASK, "print(len(played))")) == 5  # "after five rounds"


ALSO = {"06_conflict_coordination": dragged, "07_personalized_aggregation": trained_anew}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_all_cells_run_and_a_slider_moves_the_picture(page, lab, chapter):
    notebook = run_all(page, lab, chapter)
    assert faults(notebook) == []  # among them: a figure without alt text (JupyterLab itself shows none)
    widgets = page.locator(".jp-OutputArea .widget-vbox")
    expected = sum("explore(" in cell.source for cell in notebook.cells)
    # they come some time after their cell is done
    sync_api.expect(widgets).to_have_count(expected, timeout=1000 * LONG)
    taken = []
    for number, widget in enumerate(widgets.filter(has=page.locator(".noUi-handle")).all()):  # others: menus
        widget.scroll_into_view_if_needed()
        moves = [press(page, widget, key) for key in ("Home", "ArrowRight", "End", "ArrowLeft")]
        moved = [move for move in moves if move]
        assert len(moved) >= 2, "the slider does not obey the keyboard"
        for seconds, shown in moved:
            assert shown.startswith("data:image/png") or "Traceback" not in shown, shown
            taken.append(seconds)
        if number == 0 and chapter in ALSO:
            ALSO[chapter](page, widget)
    assert taken, "no slider at all"
    print(f"{chapter}: seconds from a key to the new picture: {', '.join(f'{s:.2f}' for s in taken)}")
    assert statistics.median(taken) < SLOW
    assert [said for said in page.wrong if not any(known in said for known in HARMLESS)] == []


def test_a_link_of_chapter_00_opens_its_page(page, lab):
    page.goto(
        f"{lab.url}lab/workspaces/links/tree/my_course/00_start_here.ipynb?token={lab.token}",
        timeout=1000 * LONG,
    )
    page.wait_for_function(f"() => {NOTEBOOK}?.cells.length > 1", timeout=1000 * LONG)
    page.locator('.jp-MarkdownOutput a:has-text("a table")').first.click(timeout=1000 * LONG)
    opened = f"() => {SHOWN}?.context?.path === 'my_course/results/fidelity.md'"
    page.wait_for_function(opened, timeout=1000 * LONG)
    assert page.wrong == []

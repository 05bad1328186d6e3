"""The page of a run in a real browser: a slider moves the pictures, tables sort, hostile names do nothing.

Not part of `make test`: `make test-browser` runs it.
"""

import made
import pytest
from test_browser import browser, sync_api  # noqa: F401  the browser is a fixture

from pfmsm_lite.course.page import page as html_of

HOSTILE = [
    "<script>window.attacked = 1</script>", "</script><script>window.attacked = 2</script>",
    "<img src=x onerror='window.attacked = 3'>", "javascript:window.attacked=4",
    "\"' onload='window.attacked=5'",
    "https://example.org/pixel.png",
]  # fmt: skip
PICTURES = """[...document.querySelectorAll('canvas')].map(canvas => canvas.toDataURL())
    .concat(document.querySelector('svg').outerHTML)"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """name → address of a page of a made-up run."""
    folder = tmp_path_factory.mktemp("pages")
    runs = {
        "six": made.run(["app", "shop", "web", "Self-emp-not-inc", "mail", "한국어"], rounds=8),
        "hostile": made.run(HOSTILE, rounds=3, name=HOSTILE[0], notes=[f"Warning: {HOSTILE[2]}", *HOSTILE]),
        "many": made.run([f"occupation-{n}" for n in range(150)], rounds=5, seeds=(0,)),
        "one": made.run(["a scenario with a name that is far too long for a phone, twice as long"], rounds=2),
    }
    for name, run in runs.items():
        (folder / f"{name}.html").write_text(html_of(run, verdict=HOSTILE[:2]), encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in runs}


@pytest.fixture
def shown(browser, files):  # noqa: F811
    """Open a page by its name: .asked is what it asked the network for, .wrong what went wrong."""
    contexts = []

    def open_page(name, width=1100, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.asked, page.wrong = [], []
        page.on(
            "request", lambda r: None if r.url.startswith(("data:", "file:")) else page.asked.append(r.url)
        )
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
        page.on("dialog", lambda dialog: (page.wrong.append(dialog.message), dialog.dismiss()))
        page.goto(files[name])
        return page

    yield open_page
    for context in contexts:
        context.close()


def test_the_slider_moves_weights_conflicts_and_auc_together(shown):
    page = shown("six")
    slider = page.locator("#round")
    slider.press("Home")
    before, said = page.evaluate(PICTURES), page.locator("#said").inner_text()
    assert said.startswith("Round 1: ") and page.locator("#number").inner_text() == "1"
    slider.press("ArrowRight")
    after = page.evaluate(PICTURES)
    assert page.locator("#said").inner_text().startswith("Round 2: ")
    assert all(one != other for one, other in zip(before, after, strict=True)), "a picture stood still"
    slider.press("End")
    assert page.locator("#said").inner_text().startswith("Round 8: ")
    slider.press("Home")
    assert page.evaluate(PICTURES) == before
    page.locator("#unit").select_option("tower click")
    assert page.evaluate(PICTURES)[:1] != before[:1] or slider.press("End") is None
    page.locator("#method").select_option("local")
    assert "mixed nothing" in page.locator("#weights").get_attribute("aria-label")
    page.locator("#method").select_option("pf_msmtrec")
    assert page.locator("#said").inner_text().startswith("Round ")
    assert page.wrong == [] and page.asked == []


def test_a_cell_says_what_it_is_when_it_is_pointed_at(shown):
    page = shown("six")
    page.locator("#round").press("End")
    box = page.locator("#weights").bounding_box()
    page.locator("#weights").hover(position={"x": box["width"] - 5, "y": 5})
    assert "times the even share from" in page.locator("#pointed").inner_text()


def test_tables_sort_by_click_and_by_keyboard(shown):
    page = shown("six")
    column = "[...document.querySelectorAll('#scenarios tbody tr')].map(row => row.cells[%d].dataset.v)"
    heads = page.locator("#scenarios thead th")
    names = [head.inner_text().strip() for head in heads.all()]
    rows = names.index("training rows")
    heads.nth(rows).locator("button").click()
    values = [float(v) for v in page.evaluate(column % rows)]
    assert values == sorted(values, reverse=True) and len(values) == 6
    assert heads.nth(rows).get_attribute("aria-sort") == "descending"
    heads.nth(rows).locator("button").press("Enter")
    assert [float(v) for v in page.evaluate(column % rows)] == sorted(values)
    assert heads.nth(rows).get_attribute("aria-sort") == "ascending"
    heads.nth(0).locator("button").press("Space")
    found = page.evaluate(column % 0)
    assert found[0] == "app" and found[-1] in ("web", "한국어")
    assert heads.nth(rows).get_attribute("aria-sort") is None


def test_no_script_from_a_hostile_table_runs_and_the_network_is_left_alone(shown):
    page = shown("hostile")
    for key in ("Home", "ArrowRight", "End"):
        page.locator("#round").press(key)
    for button in page.locator("thead button").all():
        button.click()
    box = page.locator("#weights").bounding_box()
    page.locator("#weights").hover(position={"x": box["width"] - 5, "y": 5})
    assert page.evaluate("window.attacked") is None
    assert page.wrong == [] and page.asked == []
    shown_names = page.locator("#scenarios tbody th").all_inner_texts()
    assert sorted(shown_names) == sorted(HOSTILE)
    assert page.locator("script").count() == 2 and page.locator("#scenarios img").count() == 0


def test_what_gets_into_the_page_nevertheless_may_not_run(shown):
    """The second line of defence: a script that somebody smuggles in is refused by the page's policy."""
    page = shown("six")
    page.evaluate(
        """const script = document.createElement('script');
        script.textContent = 'window.attacked = 1';
        document.body.append(script)"""
    )
    with page.expect_event("requestfailed") as failed:
        page.evaluate(
            "const i = new Image(); i.src = 'https://example.org/pixel.png'; document.body.append(i)"
        )
    assert failed.value.failure == "csp" and page.evaluate("window.attacked") is None
    assert any("Content Security Policy" in said for said in page.wrong)


@pytest.mark.parametrize("name", ["six", "hostile", "many", "one"])
def test_on_a_phone_nothing_is_wider_than_the_page(shown, name):
    page = shown(name, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#round").bounding_box()["width"] > 150
    assert page.wrong == []


def test_it_prints_with_figures_and_without_controls(shown):
    page = shown("six", color_scheme="dark")
    page.emulate_media(media="print")
    assert not page.locator("#controls").is_visible() and page.locator("figure img").first.is_visible()
    assert page.locator("#weights").is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"

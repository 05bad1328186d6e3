"""Slides in a real browser: keys move them, each is a printed page, and nothing comes from anywhere else.

Not part of `make test`: `make test-browser` runs it.
"""

import re
from pathlib import Path

import pytest
from test_browser import browser  # noqa: F401  the browser is a fixture

from pfmsm_lite.course import slides

CHAPTER = next((Path(__file__).parents[2] / "notebooks").glob("00_*.ipynb"))


@pytest.fixture
def page(browser, tmp_path):  # noqa: F811
    """The slides of chapter 00 on a phone; .wrong is what it asked the network for, or what went wrong."""
    slides.main([str(CHAPTER), "--out", str(tmp_path)])
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.wrong = []
    page.on("request", lambda r: None if r.url.startswith(("data:", "file:")) else page.wrong.append(r.url))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.goto((tmp_path / f"{CHAPTER.stem}.html").as_uri())
    yield page
    assert page.wrong == []
    context.close()


def test_keys_and_buttons_move_the_slides_and_n_hides_the_notes(page):
    now = page.locator("section.on")
    last = page.locator("section").count()
    for move, number in (("ArrowRight", 2), ("End", last), ("ArrowRight", last), ("ArrowLeft", last - 1),
                         ("Home", 1), (" ", 2)):  # fmt: skip
        page.keyboard.press(move)
        assert page.locator("#number").inner_text() == f"{number} / {last}" and now.count() == 1
    assert now.locator("img.figure").is_visible() and now.locator(".note").is_visible()
    page.keyboard.press("n")
    assert not now.locator(".note").is_visible()
    page.locator("#back").click()
    page.reload()
    assert page.url.endswith("#1") and now.locator("h1").is_visible()


def test_nothing_is_wider_than_a_phone_and_every_slide_is_a_printed_page(page):
    for _ in page.locator("section").all():
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.keyboard.press("ArrowRight")
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == page.locator("section").count()

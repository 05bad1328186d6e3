"""The book in a real browser: search, dark mode, folded code, links, a phone, and nothing from the network.

Not part of `make test`: `make test-browser` runs it.
"""

import functools
import html.parser
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from test_browser import browser, sync_api  # noqa: F401  the browser is a fixture

MISSING = "the book's tools are missing: python -m pip install -e '.[book]'"
for tool in ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx-mathjax-offline"):
    pytest.importorskip(tool, reason=MISSING)

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("[0-9][0-9]_*.ipynb"))
CHAPTERS = [path.relative_to(ROOT).with_suffix("").as_posix() for path in NOTEBOOKS]
REPOSITORY = "https://github.com/somebody/something"
MATHS = "notebooks/07_personalized_aggregation"


def build(source, target, repository, lenient=False):
    """Do as `make book` does: its own line, with another target."""
    line = re.search(r"-m (sphinx .*) -d \S+ (-c book \.)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    words = [word for word in " ".join(line.groups()).split() if not (lenient and word == "-W")]
    words += ["-d", str(target.with_name("doctrees")), str(target)]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=source, env=os.environ | {"REPOSITORY": repository}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The whole book, without a repository. A warning is an error."""
    return build(ROOT, tmp_path_factory.mktemp("book") / "site", "")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A book of two chapters, one of them in further/, with a folded cell and a repository."""
    source = tmp_path_factory.mktemp("small")
    shutil.copytree(ROOT / "book", source / "book")
    (source / "notebooks" / "further").mkdir(parents=True)
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    cell = next(cell for cell in notebook.cells if "claim(" in cell.source and cell.outputs)
    cell.metadata = {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}
    nbformat.write(notebook, source / "notebooks" / NOTEBOOKS[0].name)
    nbformat.write(notebook, source / "notebooks" / "further" / "42_answer.ipynb")
    return build(source, source / "site", f"{REPOSITORY}/", lenient=True), cell.source


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *said):
        pass


@pytest.fixture(scope="module")
def served(book):
    """The book's address on a web server of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(book))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def shown(browser):  # noqa: F811
    """Open a page: .asked is what it wanted from elsewhere, and did not get, .wrong what went wrong."""
    contexts = []

    def open_page(address, width=1200, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.asked, page.wrong = [], []
        page.route(
            lambda url: (
                urlsplit(url).scheme not in ("file", "data") and urlsplit(url).hostname != "127.0.0.1"
            ),
            lambda route: (page.asked.append(route.request.url), route.abort()),
        )
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()


class Links(html.parser.HTMLParser):
    """What a page links to, loads, and can be jumped to in it."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.ids, self.alts = [], [], {"", "top"}, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given.get("id"), given.get("name")}
        self.links += [given["href"]] if tag == "a" and "href" in given else []
        self.loads += [given[name] for name in ("src", "href", "srcset") if tag != "a" and given.get(name)]
        self.alts += [given.get("alt")] if tag == "img" else []


def test_no_link_is_dead_and_nothing_is_loaded_from_elsewhere(book):
    pages = {path: Links(path) for path in book.rglob("*.html") if "_static" not in path.parts}
    assert len(pages) > len(CHAPTERS) + 20
    dead = []
    for path, page in pages.items():
        assert not [load for load in page.loads if re.match(r"(https?:)?//", load)], path
        for link in {*page.links, *page.loads}:
            if re.match(r"(https?|data|mailto|javascript):", link):
                continue
            place, anchor = urlsplit(link).path, urlsplit(link).fragment
            target = (path.parent / unquote(place)).resolve() if place else path
            if not target.is_file() or (
                target in pages and anchor and unquote(anchor) not in pages[target].ids
            ):
                dead.append(f"{path.relative_to(book)}: {link}")
    assert dead == []
    assert not [
        file
        for file in book.rglob("*.css")
        if re.search(r"(url\(|@import )\W?(https?:)?//", file.read_text())
    ]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_figure_keeps_its_alt_text(book, chapter):
    notebook = nbformat.read(ROOT / f"{chapter}.ipynb", as_version=4)
    given = [o.metadata["image/png"]["alt"] for c in notebook.cells for o in c.get("outputs", ())
             if "image/png" in o.get("data", {})]  # fmt: skip
    assert given and [alt for alt in Links(book / f"{chapter}.html").alts if alt in given] == given


@pytest.mark.parametrize("word, chapter", [("template", "03"), ("heatmap", "00")])
@pytest.mark.parametrize("way", ["file", "web"])
def test_search_finds_a_word(shown, book, served, way, word, chapter):
    page = shown(f"{served if way == 'web' else book.as_uri()}/notebooks/00_start_here.html")
    page.keyboard.press("Control+k")
    page.keyboard.type(word)
    page.keyboard.press("Enter")
    page.locator(f'#search-results a:has-text("{chapter} ·")').first.wait_for()
    page.locator("#search-results a").first.click()
    assert word[:3] in page.locator("article").inner_text().lower()
    assert page.asked == []


def test_dark_mode_switches(shown, book):
    page = shown((book / "index.html").as_uri(), color_scheme="light")
    page.wait_for_url("**/book/index.html")
    ground = "getComputedStyle(document.body).backgroundColor"
    seen = [page.evaluate(ground)]
    for mode in ("dark", "light", "dark"):
        page.locator("button.theme-switch-button:visible").click()
        page.locator(f".theme-change-button[data-mode={mode}]:visible").click()
        seen.append(page.evaluate(ground))
    assert seen[0] == seen[2] != seen[1] == seen[3]
    page.goto((book / "notebooks/00_start_here.html").as_uri())
    assert page.evaluate(ground) == seen[1], "the next page has forgotten it"
    dark = shown((book / "book/index.html").as_uri(), color_scheme="dark")
    assert dark.evaluate(ground) == seen[1], "it does not follow the system"


@pytest.mark.parametrize("way", ["file", "web"])
def test_nothing_comes_from_another_machine_and_formulas_are_drawn(shown, book, served, way):
    page = shown(f"{served if way == 'web' else book.as_uri()}/{MATHS}.html")
    page.locator("mjx-container svg").first.wait_for()
    page.evaluate("MathJax.startup.promise")
    assert page.locator("mjx-container").count() > 20 and page.locator("[data-mjx-error]").count() == 0
    page.wait_for_load_state("networkidle")
    assert page.asked == [] and page.wrong == []


def test_on_a_phone_no_page_is_wider_than_the_screen(shown, book):
    page = shown((book / "book/index.html").as_uri(), width=390)
    wide = {}
    for path in [book / "search.html", *book.glob("[A-Z]*.html"), *book.glob("notebooks/**/*.html")]:
        page.goto(path.as_uri())
        if path.stem[:2].isdigit():
            page.evaluate("window.MathJax?.startup.promise")
        width = page.evaluate("document.documentElement.scrollWidth")
        wide |= {path.relative_to(book).as_posix(): width} if width > 390 else {}
    assert wide == {} and page.asked == [] and page.wrong == []


def test_a_folded_cell_opens_by_a_click(shown, small):
    site, source = small
    page = shown((site / "notebooks/00_start_here.html").as_uri())
    folded = page.locator("details.hide", has_text=source.splitlines()[-1]).first
    code = folded.locator("pre").first
    assert not code.is_visible()
    assert page.locator("text=A receives 3.4, B receives").is_visible(), "the output is to be seen"
    folded.locator("summary").click()
    assert code.is_visible() and code.inner_text().strip() == source.strip()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_sliders_are_named_once_where_they_would_be(book, chapter):
    notebook = nbformat.read(ROOT / f"{chapter}.ipynb", as_version=4)
    has = any(cell.source.startswith("explore(") or "\nexplore(" in cell.source for cell in notebook.cells)
    text = (book / f"{chapter}.html").read_text(encoding="utf-8")
    assert text.count("In a running notebook there are sliders here") == has


def test_buttons_for_binder_and_colab_are_there_with_a_repository_only(book, small):
    for name in ("notebooks/00_start_here", "notebooks/further/42_answer"):
        links = Links(small[0] / f"{name}.html").links
        place = REPOSITORY.removeprefix("https://github.com/")
        assert f"https://mybinder.org/v2/gh/{place}/main?urlpath=lab/tree/{name}.ipynb" in links
        assert f"https://colab.research.google.com/github/{place}/blob/main/{name}.ipynb" in links
    text = (small[0] / "book/index.html").read_text(encoding="utf-8")
    assert f"git clone --depth 1 {REPOSITORY} course" in text and "Further" in text
    texts = [path.read_text(encoding="utf-8") for path in book.glob("notebooks/*.html")]
    assert texts and not any("mybinder.org" in one or "colab.research" in one for one in texts)
    text = re.sub("<[^>]+>", "", (book / "book/index.html").read_text(encoding="utf-8"))
    assert "has no buttons for Binder and Colab" in text and "make book REPOSITORY=https://" in text

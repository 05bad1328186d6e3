"""Slides: a figure each, its finding on top, how to read it beneath, and nothing from anywhere else."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from pfmsm_lite.course import slides
from pfmsm_lite.errors import UserError

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "notebooks").rglob("[0-9][0-9]_*.ipynb"))
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


def figure(alt):
    metadata = {"image/png": {"alt": alt}}
    return new_code_cell(
        "show()", outputs=[new_output("display_data", {"image/png": PIXEL}, metadata=metadata)]
    )


def made(*cells):
    begin = "# 42 · <Made up>\n\n[next](43_b.ipynb)\n\n**Does it\nwork?**\n\nText **bold**."
    return new_notebook(cells=[new_markdown_cell(begin), *cells])


def test_a_figure_has_its_first_sentence_as_title_and_the_text_that_follows_as_note():
    found = slides.slides(
        made(
            figure("Where we are: 1. rows. A round in seven stages."),
            new_markdown_cell("Another thing.\n\n**How to read it.** Of no figure."),
            figure("A gains 0.5. B: 2 loses."),
            new_code_cell("claim()"),
            new_markdown_cell("**How to read it.** Left: *a*.\n\n1. one\n2. two\n\n**What it shows.** More."),
            new_markdown_cell("**How to read it.** A table."),
            figure("Last"),
            new_markdown_cell("*How to read it.* Also\nlike this."),
        )
    )
    assert [one["title"] for one in found] == ["Where we are: 1. rows", "A gains 0.5", "Last"]
    assert [one["note"] for one in found] == ["", "Left: *a*.\n\n1. one\n2. two", "Also\nlike this."]
    assert found[1]["alt"] == "A gains 0.5. B: 2 loses." and found[1]["png"] == PIXEL


def test_a_page_escapes_what_it_shows_draws_formulas_and_links_to_no_file_that_is_not_there():
    note = r"**How to read it.** $\alpha < 1$ and $\nonsense{$, see [here](results/README.md), [there](https://a.b)."
    text = slides.page(made(figure('A "<b>" of it. More.'), new_markdown_cell(note)))
    assert "<h1>42 · &lt;Made up&gt;</h1>\n<p>Does it work?</p>" in text
    assert "<h2>A &#34;&lt;b&gt;&#34; of it</h2>" in text
    assert r'<img alt="\alpha &lt; 1" style="vertical-align: -' in text and r"<code>\nonsense{</code>" in text
    assert "see here, " in text and '<a href="https://a.b">there</a>' in text


def test_a_notebook_without_a_figure_or_a_cell_is_a_title_alone():
    assert slides.page(made()).count("<section") == slides.page(new_notebook()).count("<section") == 1


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_slides_of_a_chapter_show_all_its_figures_and_ask_for_nothing(path, tmp_path, capsys):
    slides.main([str(path), "--out", str(tmp_path)])
    text = (tmp_path / f"{path.stem}.html").read_text(encoding="utf-8")
    notebook = nbformat.read(path, as_version=4)
    figures = sum("image/png" in o.get("data", {}) for c in notebook.cells for o in c.get("outputs", ()))
    assert text.count('class="figure"') == figures and f"{figures} figures" in capsys.readouterr().out
    assert len(re.findall(r"<h2>\S[^<]{10,}</h2>", text)) == figures, "a figure without a title"
    assert re.search(r"<h1>\d\d · .+</h1>\n<p>.+\?</p>", text)
    assert set(re.findall(r'src="(\w+):', text)) == {"data"}
    assert not re.search(r"<link|<script src|url\(", text)


def test_what_is_no_notebook_is_named(tmp_path):
    (tmp_path / "a.ipynb").write_text("no")
    for name in ("a.ipynb", "missing.ipynb"):
        with pytest.raises(UserError, match=f"{name} cannot be read as a notebook"):
            slides.main([str(tmp_path / name)])


def test_without_names_every_chapter_is_written_once_those_in_further_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(slides, "home", lambda: tmp_path)
    names = ["notebooks/00_first.ipynb", "notebooks/further/10_more.ipynb"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(), tmp_path / name)
    slides.main(["--out", str(tmp_path / "out")])
    written = capsys.readouterr().out.splitlines()
    assert written == [f"{tmp_path}/out/{name}.html: 0 figures" for name in ("00_first", "10_more")]

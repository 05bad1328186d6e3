"""README, CONTRIBUTING and their like: short, every link and command there, every block of Python runs."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import scenarios as few

from pfmsm_lite import METHODS, __version__, run
from pfmsm_lite.lab.cli import parser
from pfmsm_lite.lab.pages_worlds import BEHIND, BELOW, real_regrets
from pfmsm_lite.lab.statistics import paired_interval, per_seed, table

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "notebooks" / "results"
TEACHING = ROOT / "notebooks" / "teaching"


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


README, CONTRIBUTING = text_of("README.md"), text_of("CONTRIBUTING.md")
PROSE = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "notebooks/results/protocol.md",
         "notebooks/results/README.md", "notebooks/results/speed.md"]  # fmt: skip
each_page = pytest.mark.parametrize("name", PROSE)


def blocks(text, language):
    """Fenced blocks of a language ("": none), in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [block for kind, block in found if kind == language]


def sentences(text):
    """Prose alone: no code, tables, headings or addresses; the items of a list are sentences of their own."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    text = re.sub(r"^(\||#).*$", "", text, flags=re.M)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "code", text)
    paragraphs = re.split(r"\n\s*\n|\n(?=- )", text)
    return [s for p in paragraphs for s in re.split(r"(?<=[.!?])\s+", " ".join(p.split())) if s]


def test_the_readme_is_short():
    assert len(README.encode()) <= 8192


@each_page
def test_no_sentence_is_long(name):
    long = [s for s in sentences(text_of(name)) if len(re.findall(r"[A-Za-z]\w*", s)) > 35]
    assert not long, long


def test_a_long_sentence_would_be_found():
    long = " ".join(["word"] * 36)
    assert max(len(s.split()) for s in sentences(f"Short.\n\n{long}.\n\n```\n{long}\n```\n")) == 36


@each_page
def test_every_file_that_a_page_links_to_is_there(name):
    folder = (ROOT / name).parent
    for target in re.findall(r"\]\((?!http)([^)]+)\)", text_of(name)):
        file, _, anchor = target.partition("#")
        assert (folder / file).exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", (folder / file).read_text(encoding="utf-8"), re.M)
            assert anchor in [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings], target


def test_every_picture_has_an_alt_text():
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", README)
    assert len(pictures) >= 2 and all(len(alt.split()) >= 8 for alt, _ in pictures)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_command_is_understood(name):
    text = text_of(name)
    commands = re.findall(r"python -m pfmsm_lite ((?:course|run|compare|map|bench|notebooks)\b[^`\n]*)", text)
    assert commands
    for command in commands:
        words = command.replace("NN", "10").split()
        if "--plugin" in words:  # the test of CONTRIBUTING runs these
            continue
        parser().parse_args([word for word in words if word not in (")", "#")])


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_target_of_make_exists(name):
    targets = re.findall(r"^([a-z-]+):", text_of("Makefile"), re.M)
    named = re.findall(r"(?:^|`)make ([a-z-]+)", text_of(name), re.M)
    assert named and set(named) <= set(targets)


# ---- what the README shows ----


def test_the_table_of_the_chapters_has_the_core_with_its_questions_and_the_guides_minutes():
    rows = re.findall(
        r"^\| \[(\d\d)\]\(notebooks/(\1_\w+)\.ipynb\) \| (.+?) \| (\d+) \+ (\d+) \|", README, re.M
    )
    pages = sorted(TEACHING.glob("chapter0?.md"))
    stated = [
        re.search(r"Reading (\d+), exercises (\d+)", page.read_text(encoding="utf-8")) for page in pages
    ]
    found = [(number, reading, exercises) for number, _, _, reading, exercises in rows]
    assert found == [(p.stem[-2:], *s.groups()) for p, s in zip(pages, stated, strict=True)]
    assert [name for _, name, *_ in rows] == sorted(p.stem for p in (ROOT / "notebooks").glob("*.ipynb"))


DATA = {"two groups": "synthetic", "OULAD": "oulad", "Adult": "adult", "KuaiRand": "kuairand"}


def test_the_table_of_the_measurements_is_that_of_the_committed_comparisons():
    section = README.split("## What was measured")[1].split("\n## ")[0]
    head, *lines = re.findall(r"^\| (?!-)(.*) \|$", section, re.M)
    assert head.split(" | ") == ["method", *DATA] and len(lines) == 5
    tables = [
        pd.read_csv(KEPT / f"rivals-{name}" / "compare.csv").set_index("method") for name in DATA.values()
    ]
    for line in lines:
        name, *cells = line.split(" | ")
        method = re.match(r"`(\w+)`", name)[1]
        for own, cell in zip((own.loc[method] for own in tables), cells, strict=True):
            if method == "local":
                assert cell == f"{own.auc:.3f}"
                continue
            shown = f"{own.difference:+.1f} ({own.worst:+.1f})".replace("-", "−")
            assert cell == (f"**{shown}**" if own.best_set == 1 else shown), method
    assert all(own["tried"].nunique() == 1 for own in tables)


def test_what_is_said_of_harm_is_what_the_committed_worlds_give():
    table = pd.read_csv(KEPT / "worlds" / "worlds.csv").set_index("method")
    ours = table.loc["pf_msmtrec"]
    assert len(ours) == 6 and (ours["seeds"] == 5).all() and "six kinds of generated worlds" in README
    assert ours["regret"].max() <= 0 and ours["worst"].min() > 0
    lost = -table.loc["fedavg_sum", "worst"].min()
    assert f"Its worst client gained {ours['worst'].min():.1f} over training alone" in README
    assert f"`fedavg_sum`'s lost {lost:.0f}." in README
    leads = -ours["regret"]
    assert f"on average {leads.min():.1f} to {leads.max():.1f} points" in " ".join(README.split())
    real = real_regrets(KEPT).set_index(["world", "method"]).xs("pf_msmtrec", level="method")
    assert (
        f"Adult, five splits each, its worst gained {real['worst'][['OULAD', 'Adult']].min():.1f} " in README
    )
    assert (real["regret"] <= BEHIND).all() and (real["worst"] >= -BELOW).all()


def test_what_make_run_prints_is_what_the_committed_run_gives():
    block = next(block for block in blocks(README, "") if block.startswith("method "))
    head, *lines = block.splitlines()
    kept = pd.read_csv(KEPT / "synthetic" / "results.csv").query("seed < 3")
    averages = per_seed(kept)
    for line in lines:
        method, auc, *points = re.split(r"\s{2,}", line)
        assert auc == f"{averages[method].mean():.3f}"[1:]
        for other, shown in zip(("local", "fedavg"), points, strict=True):
            mean, low, high = (100 * x for x in paired_interval(averages[method], averages[other]))
            assert shown == ("–" if method == other else f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]")
    assert len(lines) == 5
    histories = [run(few(2), METHODS[name], 1, seed) for name in ("fedavg", "local") for seed in (0, 1)]
    columns = re.split(r"\s{2,}", head.strip())[:4]
    assert columns == [
        c for c in re.split(r"\s{2,}", table(histories, widest=0).splitlines()[0]) if c in columns
    ]


def test_the_tree_lists_what_is_there():
    tree = blocks(README.split("## What lies where")[1], "")[0]
    folder, found = "", []
    for indent, name in re.findall(r"^( *)(\w+)/ ", tree, re.M):
        folder = name if not indent else folder
        assert (ROOT / folder / ("" if name == folder else name)).is_dir(), name
        found.append(name)
    rooms = {p.name for p in (ROOT / "pfmsm_lite").iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert rooms <= set(found) and {"notebooks", "figures", "tests"} <= set(found)


def test_the_number_of_methods():
    import pfmsm_lite.rivals  # noqa: F401

    assert f"**Measure**: {len(METHODS)} methods" in README


SMALLER = {
    "synthetic()": "synthetic(sizes=(400, 200, 400, 200), test_rows=200)",
    "rounds=10": "rounds=2",
    "rounds=20": "rounds=2",
}


def small_table(folder):
    draw = np.random.default_rng(0)
    rows = 600
    pd.DataFrame(
        {
            "channel": draw.choice(["app", "web"], rows),
            "shop": draw.choice(["a", "b"], rows),
            "item": draw.integers(0, 20, rows).astype(str),
            "price": draw.normal(size=rows).round(3),
            "visit": draw.integers(0, 2, rows),
            "conversion": draw.integers(0, 2, rows),
            "click": draw.integers(0, 2, rows),
        }
    ).to_csv(folder / "my.csv", index=False)
    return folder / "my.csv"


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    small_table(tmp_path)
    monkeypatch.chdir(tmp_path)
    [code] = blocks(README, "python")
    for whole, less in SMALLER.items():
        code = code.replace(whole, less)
    printed = []
    names = {"print": lambda *texts, **_: printed.extend(texts)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of what is doubtful in the table
        exec(code, names)
    assert len(names["history"].results) and names["history"].rounds["round"].max() == 2
    assert printed and (tmp_path / "mixing.png").exists()


# ---- CONTRIBUTING, followed literally ----


def following(folder, *words):
    """Run Python in a process of its own, in `folder`; what it printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), "."]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def part(title):
    return CONTRIBUTING.split(f"\n## {title}\n")[1].split("\n## ")[0]


def commands(section):
    return [line.split()[1:] for block in blocks(section, "") for line in block.splitlines() if "-m" in line]


def test_a_rule_and_a_method_are_added_as_contributing_says(tmp_path):
    rule, (method, use) = blocks(part("Add a rule"), "python")[0], blocks(part("Add a method"), "python")
    (tmp_path / "my_rules.py").write_text(rule + "\n" + method, encoding="utf-8")
    assert max(len(block.splitlines()) for block in (rule, method, use)) <= 20
    printed = following(tmp_path, "-c", use)
    assert "client" in printed and "0.5" in printed  # half from oneself
    asked = commands(part("Add a method"))
    assert [words[2] for words in asked] == ["run", "compare"]
    for words in asked:
        assert "mine" in following(tmp_path, *words)


def test_a_reader_is_added_as_contributing_says(tmp_path):
    (tmp_path / "my_reader.py").write_text(blocks(part("Add a data reader"), "python")[0], encoding="utf-8")
    small_table(tmp_path).rename(tmp_path / "log.csv")
    (words,) = commands(part("Add a data reader"))
    assert "2 scenarios, 600 rows, tasks: click" in following(tmp_path, *words)


def test_a_chapter_has_the_files_that_contributing_names():
    files, steps = blocks(part("Add a chapter"), "")
    for file in files.split():
        found = list(ROOT.glob(file.replace("NN_your_question", "12_*").replace("NN", "12")))
        assert len(found) == 1, file
    for line in steps.splitlines():
        words = line.replace("NN", "07").split()
        assert words[:2] == ["python", "-m"]
        if words[2] == "pfmsm_lite":
            assert parser().parse_args(words[3:]).names == ["07"]
        else:
            assert all((ROOT / word).is_dir() for word in words if word.startswith("tests/"))


def test_the_scripts_that_contributing_names_are_there():
    for file in re.findall(r"`python (tests/\S+\.py)", CONTRIBUTING):
        assert (ROOT / file).exists(), file
    assert following(ROOT, "-m", "pfmsm_lite.lab.pages", "--help").count("--picture")


# ---- changelog and citation ----


def test_the_changelog_and_the_citation_are_of_this_version():
    assert re.findall(r"^## \[([\d.]+)\] - \d{4}-\d\d-\d\d$", text_of("CHANGELOG.md"), re.M)[0] == __version__
    assert f"\nversion: {__version__}\n" in text_of("CITATION.cff")


def test_the_citation_names_the_papers_ten_authors_and_its_doi():
    import yaml

    paper = yaml.safe_load(text_of("CITATION.cff"))["references"][0]
    assert len(paper["authors"]) == 10 and paper["authors"][0]["family-names"] == "Ding"
    assert paper["doi"] in README and paper["conference"]["name"] in README

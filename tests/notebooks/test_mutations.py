"""A broken operator is noticed by the chapter that teaches it: `make test-mutations`.

Each row changes one line of a copy of the package; executed with that copy, in FAST mode, the chapter must
stop at one of its claims. With an unchanged copy it must come to its end.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from pfmsm_lite.course.execute import PACKAGE, chapters, run_one
from pfmsm_lite.errors import UserError

pytestmark = pytest.mark.slow
PATHS = {path.name[:2]: path for path in chapters(Path(__file__).parents[2] / "notebooks")}
MIXTURES, READINGS, STATISTICS = "rivals/mixtures.py", "rivals/readings.py", "lab/statistics.py"


class Row(NamedTuple):
    """A chapter's number; a file of the package, in which `old` stands once; what is put in its place."""

    chapter: str
    file: str
    old: str
    new: str


ROWS = [Row(*row) for row in (
    # how alike the generated scenarios are
    ("01", "data/teachers.py", "given[None], within, across)", "given[None], within, -across)"),
    ("01", "data/teachers.py", "int(n >= (count + 1) // 2)", "int(n > (count + 1) // 2)"),
    ("01", "data/teachers.py", '"nm,mtd,st->nsd"', '"mn,mtd,st->nsd"'),
    # gates, the mixing of experts
    ("02", "mmoe.py", ".softmax(2)", ".sigmoid()"),
    ("02", "mmoe.py", "(copies, -1)) @ hidden", "(copies, -1)) @ hidden.flip(2)"),
    # templates, and what stays at home
    ("03", "template.py", "scenario * local * task[:, None]", "scenario * local / task[:, None]"),
    ("03", "template.py", "scenario * local * task[:, None]", "scenario * (local + task[:, None] - 1)"),
    ("03", "template.py", "return scenario[None]", "return 0.9 * scenario[None]"),
    ("03", READINGS, "scenario + local + task", "scenario + local - task"),
    ("03", READINGS, "scale[:, :outputs], scale[:, outputs:]", "scale[:, -outputs:], scale[:, :-outputs]"),
    ("03", "methods.py", '"personalized", "gate": "local"', '"personalized", "gate": "mean"'),
    # the mean by rows; embedding entries: sum, used, rows
    ("04", "aggregation.py", "(exchange.rows / exchange.rows.sum())", "exchange.rows.sign().softmax(0)"),
    ("04", "embedding.py", "return [h * (uses > 0) for", "return [h * (uses > 1) for"),
    ("04", "embedding.py", "return [h * uses / total", "return [h * (uses > 0) / total"),
    ("04", "embedding.py", "h * size / total for h", "h / len(here) for h"),
    # normalization: moment, undone, elementwise
    ("05", "normalization.py", "new_mean - mean * scale", "new_mean - mean"),
    ("05", "normalization.py", "deviation.mean(-2, ", "deviation.amax(-2, "),
    ("05", "normalization.py", "(part - shift).div_(scale)", "part.div(scale) - shift"),
    ("05", READINGS, "deviation.mean(-1, keepdim=True), mean)", "deviation, mean)"),
    # coordination: turn, radius, rescale, the mean of all, itself included
    ("06", "coordination.py", "slope = 1 - along", "slope = along - 1"),
    ("06", "coordination.py", "radius**2 * square - slope**2", "radius * square - slope**2"),
    ("06", "coordination.py", "length / moved, 1.0)", "moved / length, 1.0)"),
    ("06", "rivals/rules.py", '"sqrt", divided(0.5)', '"sqrt", divided(0.25)'),
    ("06", "coordination.py", "None] * share\n", "None] * share * (1 - torch.eye(len(share)))\n"),
    ("06", "server.py", "accepted.to(gram) / accepted.sum()", "accepted.to(gram) / (accepted.sum() - 1)"),
    # aggregation: partners, learned, kin
    ("07", MIXTURES, "return -(delta @ (sources", "return (delta @ (sources"),
    ("07", MIXTURES, "weights * (gradient - (weights", "weights * (gradient + (weights"),
    ("07", MIXTURES, "masked_fill(~others | (eye > 0), ", "masked_fill(~others, "),
    ("07", MIXTURES, "logits = start.log().expand_as", "logits = start.expand_as"),
    ("07", "aggregation.py", "scale = (own * own.T).sqrt()", "scale = (own + own.T) / 2"),
    ("07", "aggregation.py", ".fill_diagonal_(1.0)", ".fill_diagonal_(0.5)"),
    ("07", "aggregation.py", "found = -(exchange.gradients", "found = (exchange.gradients"),
    ("07", "aggregation.py", "(1 - alike) ** 3) * exchange.rows", "(1 - alike) ** 3)"),
    ("07", "aggregation.py", "helped = helped + (found", "helped = (found"),
    # base rates and a model at home
    ("07", "federation.py", "own.intercept += lookup", "own.intercept -= lookup"),
    ("07", "personal.py", ".argmin())]", ".argmax())]"),
    ("17", "client.py", "(positives + 0.5) / (rows + 1)", "(positives + 1) / (rows + 2)"),
    ("19", "mmoe.py", "+ self.intercept", "- self.intercept"),
    # paired differences and their intervals
    ("08", STATISTICS, "len(difference) - 1, loc", "len(difference), loc"),
    ("08", STATISTICS, "(averages[hero], averages[method])", "(averages[method], averages[hero])"),
    # what refuses a rule; the gains of the verdict
    ("09", "aggregation.py", ".abs().max())) > 1e-3", ".abs().max())) > 1e3"),
    ("09", "lab/gains.py", "(both[hero] - both[REFERENCE])", "(both[REFERENCE] - both[hero])"),
    # FedBN, by type
    ("10", "mmoe.py", "module.state_dict(keep_vars=True).items()", "module.named_parameters()"),
    # robust means, the check of form, clipping
    ("19", "rivals/robust.py", "place < count - cut", "place <= count - cut"),
    ("19", "server.py", "upload[name].float().square().sum()", "upload[name].float().sum()"),
    ("19", "rivals/checks.py", "most / float(times[n])", "most * float(times[n])"),
)]  # fmt: skip


def play(chapter: str, folder: Path) -> None:
    """Execute a chapter with the package that lies in `folder`; UserError where a cell fails."""
    run_one(PATHS[chapter], folder / "done.ipynb", fast=True, PYTHONPATH=str(folder))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package."""
    return Path(shutil.copytree(PACKAGE, tmp_path / PACKAGE.name))


def test_what_is_changed_is_there_once():
    texts = {row.file: (PACKAGE / row.file).read_text(encoding="utf-8") for row in ROWS}
    assert [row for row in ROWS if texts[row.file].count(row.old) != 1 or row.old == row.new] == []


@pytest.mark.parametrize("chapter", sorted({row.chapter for row in ROWS}))
def test_an_unchanged_copy_passes(chapter, copy):
    play(chapter, copy.parent)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.chapter} {row.new}")
def test_a_claim_of_the_chapter_fails(row, copy):
    file = copy / row.file
    file.write_text(file.read_text(encoding="utf-8").replace(row.old, row.new), encoding="utf-8")
    with pytest.raises(UserError, match="AssertionError: Not true any more"):
        play(row.chapter, copy.parent)

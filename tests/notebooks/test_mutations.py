"""An operator of the package that is broken is noticed by the chapter that teaches it: its claims fail.

Not part of `make test`: `make test-mutations` runs it, some minutes. Each row breaks a copy of the package.
"""

import os
import shutil
from pathlib import Path

import papermill
import pytest

import pfmsm_lite
from pfmsm_lite.course.execute import chapters, execute

PACKAGE = Path(pfmsm_lite.__file__).parent
CHAPTERS = {path.name[:2]: path for path in chapters(PACKAGE.parent / "notebooks")}
pytestmark = pytest.mark.slow

MUTATIONS = [  # chapter, file, what stands there, what it becomes
    ("02", "mmoe.py", "self.bias.shape).softmax(2)", "self.bias.shape).softmax(1)"),
    ("02", "mmoe.py", "(1, (copies, -1)) @ hidden", "(1, (copies, -1)).flip(3) @ hidden"),
    ("03", "template.py", "scenario * local * task[:, None]", "scenario * (local + task[:, None] - 1)"),
    ("03", "rivals/readings.py", "scenario + local + task[:, None]", "scenario + local - task[:, None]"),
    ("03", "rivals/readings.py", "scale = local * task", "scale = local + task - 1"),
    ("04", "aggregation.py", "rows / exchange.rows.sum()", "rows**0 / len(exchange.rows)"),
    ("04", "embedding.py", "[h * (uses > 0) for h, uses", "[h * (uses > 0) / sum(here) for h, uses"),
    ("04", "embedding.py", "[h * uses / total", "[h * (uses > 0) / total"),
    ("04", "embedding.py", "[h * size / total for", "[h / sum(here) for"),
    ("05", "normalization.py", "deviation.mean(-2, keepdim=True)", "deviation.amax(-2, keepdim=True)"),
    ("05", "rivals/readings.py", "deviation.mean(-1, keepdim=True), mean)", "deviation, mean)"),
    ("06", "coordination.py", "1 + step * (1 - v), step * v", "1 + step * v, step * (1 - v)"),
    ("06", "coordination.py", "torch.where(stays, 0.0, radius / ", "torch.where(stays, 0.0, radius**2 / "),
    ("06", "coordination.py", "= gram @ share", "= (gram * (1 - torch.eye(len(share)))) @ share"),
    ("07", "aggregation.py", "(helped * helped.T).sqrt()", "torch.maximum(helped, helped.T)"),
    ("07", "aggregation.py", "found = -(exchange.gradients", "found = (exchange.gradients"),
    ("07", "aggregation.py", "+ (1 - alike) ** 3) * exchange.rows", "+ (1 - alike) ** 3)"),
    ("07", "rivals/mixtures.py", '["logits"] - method.mixing', '["logits"] + method.mixing'),
]


def played(number: str, package: Path, folder: Path) -> None:
    """Execute a chapter's short version with this copy of the package."""
    path = os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")])
    execute(CHAPTERS[number], folder / "done.ipynb", True, PYTHONPATH=path)


@pytest.mark.parametrize("number, file, old, new", MUTATIONS, ids=[f"{m[0]}: {m[3]}" for m in MUTATIONS])
def test_a_broken_operator_is_noticed(number, file, old, new, tmp_path):
    package = shutil.copytree(PACKAGE, tmp_path / "copy" / "pfmsm_lite")
    text = (package / file).read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{file} changed: give this row its new text"
    (package / file).write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        played(number, package, tmp_path)
    assert caught.value.ename == "AssertionError", caught.value  # a claim, not a crash


@pytest.mark.parametrize("number", dict.fromkeys(m[0] for m in MUTATIONS))
def test_a_copy_in_which_nothing_is_broken_passes(number, tmp_path):
    played(number, shutil.copytree(PACKAGE, tmp_path / "copy" / "pfmsm_lite"), tmp_path)

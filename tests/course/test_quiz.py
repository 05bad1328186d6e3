"""The quiz on the core: an answer for every question, with its chapters and the package's numbers."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pfmsm_lite import aggregate, coordinate, normalize
from pfmsm_lite.course.pipeline import STAGES
from pfmsm_lite.registry import lookup

TEXT = (Path(__file__).parents[2] / "notebooks" / "teaching" / "quiz.md").read_text(encoding="utf-8")
QUESTIONS, ANSWERS = (
    dict(re.findall(r"^(\d+)\. (.+?)(?=^\d+\. |\Z)", part, re.MULTILINE | re.DOTALL))
    for part in TEXT.split("## Questions")[1].split("## Answers")
)
PULLED = (torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))


def test_every_question_has_an_answer_that_names_its_chapters():
    assert list(QUESTIONS) == list(ANSWERS) == [str(n) for n in range(1, 23)]
    for number, answer in ANSWERS.items():
        assert re.search(r"\((0\d)(, 0\d)*\)\s*$", answer), number
    asked = {chapter for answer in ANSWERS.values() for chapter in re.findall(r"\b0\d\b", answer[-12:])}
    assert asked == {f"{n:02d}" for n in range(10)}


def test_the_first_answer_names_the_stages_of_the_map():
    stages = ANSWERS["1"].lower().split(".")[0].split(", ")
    assert len(stages) == len(STAGES) == 7 and all(word in str(STAGES).lower() for word in stages)


def drifted(steps=200, size=0.1, rounds=50, w=0.0):
    """Where FedAvg ends on ½ · w² and ½ · 3 · (w − 4)²."""
    for _ in range(rounds):
        ends = []
        for steepness, minimum in ((1, 0), (3, 4)):
            own = w
            for _ in range(steps):
                own -= size * steepness * (own - minimum)
            ends.append(own)
        w = sum(ends) / 2
    return w


def kept(rule):
    """What remains of a change of +1 by the smallest of three clients, who alone knows the entry."""
    index, uses = [torch.tensor([0])] * 3, [torch.tensor([float(n)]) for n in (0, 0, 20)]
    table = SimpleNamespace(table=torch.zeros(1, 1), index=index, uses=uses, sizes=[600.0, 300.0, 100.0])
    return lookup("embedding", rule)(table, [1.0] * 3)[2]


@pytest.mark.parametrize(
    ("number", "found"),
    [
        ("2", aggregate(torch.tensor([[4.0], [6.0], [-10.0]]), torch.tensor([[0.1, 0.2, 0.7]] * 3))[0, 0]),
        ("9", torch.tensor([500.0, 300, 200]) @ torch.tensor([1.0, 2, 6]) / 1000),
        ("10", drifted()),
        *(("11", kept(rule)) for rule in ("rows", "used", "sum")),
        ("13", normalize(torch.tensor([[1.0, 3.0], [10.0, 30.0]]), "moment")[0][0, 1]),
        ("16", coordinate(torch.stack(PULLED), PULLED[1], 0.5, "none")[0, 1]),
        ("16", coordinate(torch.stack([PULLED[0]] * 2), PULLED[0], 0.5, "none")[0, 0]),
    ],
)
def test_a_number_in_an_answer_is_what_the_package_computes(number, found):
    value = round(float(found), 3)
    assert re.search(rf"(?<![\d.]){abs(value):g}(?![\d])", ANSWERS[number]), (number, value)

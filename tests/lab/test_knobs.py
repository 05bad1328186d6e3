"""NAME=VALUE: what a text means, and what each knob of the generator may be."""

from inspect import signature

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfmsm_lite.data import synthetic
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import knobs, sources


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.9", 0.9),
        ("[500]*3", [500, 500, 500]),
        ("2*[1,2]", [1, 2, 1, 2]),
        ("[5]*2+[7]", [5, 5, 7]),
        ("(400,200)", [400, 200]),
        ("400,200", [400, 200]),
        ("[(0.4, 0.2)]*2", [[0.4, 0.2], [0.4, 0.2]]),
        ('{"0":["click"]}', {"0": ["click"]}),
        ("{0: ['click']}", {"0": ["click"]}),
        ("none", "none"),
        ("None", None),
        ("[500]*x", "[500]*x"),
        ("[1]*10**9", "[1]*10**9"),
        ("[1]*999999999", "[1]*999999999"),
        ("__import__('os')", "__import__('os')"),
        ("'a'*3", "'a'*3"),
        ("{1,2}", "{1,2}"),
        ("[" * 3000, "[" * 3000),
        ("a\0b", "a\0b"),
    ],
)
def test_a_value_is_json_or_a_list_as_python_writes_it_or_a_text(text, value):
    assert knobs.value_of(text) == value


@given(st.text())
def test_any_text_has_a_value(text):
    knobs.value_of(text)


@pytest.mark.parametrize(
    ("knob", "said"),
    [
        (("sizes", [500, "x"]), r"--knob sizes is \[500, 'x'\].*such as \[500\]\*16.*\(6000, 3000"),
        (("sizes", 500), "list of whole numbers"),
        (("across", "much"), "--knob across is 'much', but it must be a number. Its default is 0.3"),
        (("across", True), "a number"),
        (("signal", float("inf")), "a number"),
        (("test_rows", 1.5), "--knob test_rows is 1.5, but it must be a whole number. Its default is 3000"),
        (("rates", [[0.1], [0.1, 0.2]]), "lists of numbers"),
        (("missing_tasks", ["click"]), "names by number of the scenario"),
        (("missing_tasks", {"x": ["click"]}), "names by number of the scenario"),
        (("fields", {"user": "many"}), "numbers by name"),
        (("tasks", "click"), "a list of names"),
        (("statistics", 3), "client, federation or none"),
        (("acros", 0.1), "Did you mean 'across'"),
    ],
)
def test_a_wrong_value_is_answered_with_name_type_and_default(knob, said):
    with pytest.raises(UserError, match=said):
        knobs.checked([knob])


def test_a_knob_that_stands_twice_is_refused():
    with pytest.raises(UserError, match="--knob across is given twice"):
        knobs.checked([("across", 0.1), ("across", 0.2)])


def test_every_knob_of_the_generator_is_known_and_missing_tasks_works_after_json():
    assert set(knobs.KINDS) <= set(signature(synthetic).parameters)
    words = ["sizes=[90]*3", "test_rows=50", "relatedness=[0]*3", "missing_tasks={1: ['conversion']}"]
    read = [knobs.knob(text) for text in words]
    made, _ = sources.read({"data": "synthetic", "data_seed": 0, "knob": read})
    assert [s.has_task.tolist() for s in made] == [[True, True], [True, False], [True, True]]


def test_what_the_generator_refuses_keeps_its_own_sentence():
    arguments = {"data": "synthetic", "data_seed": 0, "knob": [("label_noise", 0.7)]}
    with pytest.raises(UserError, match=r"--knob label_noise: label_noise is 0.7.*\[0, 0.49\]"):
        sources.read(arguments)

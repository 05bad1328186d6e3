"""Scenarios that lack a column: completed, they form a federation. What was added says nothing."""

from dataclasses import replace

import pytest
import torch

from pfmsm_lite import METHODS, run
from pfmsm_lite.data import Rows, Scenario, complete, digest, synthetic, without
from pfmsm_lite.data.complete import absent
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import tables
from pfmsm_lite.scenario import check

TINY = {"fields": {"user": 20, "item": 10}, "test_rows": 60, "numericals": 2}


def scenario(name, fields, numericals, bags=None, value=1):
    """Two rows whose ids are `value` and whose numbers are 1, 2, … by column."""
    width = sum((bags or {}).get(field, 1) for field in fields)
    numbers = torch.arange(1.0, len(numericals) + 1).repeat(2, 1)
    rows = Rows(torch.full((2, width), value), numbers, torch.tensor([[0.0], [1.0]]))
    return Scenario(
        name, ("click",), fields, tuple(numericals), rows, rows, rows, {"statistics": "client"}, bags or {}
    )


def test_by_hand():
    one = scenario("one", {"user": 5, "tags": 7}, ["age"], {"tags": 2})
    two = scenario("two", {"item": 9, "user": 5}, ["price", "age"], value=3)
    first, second = complete([one, two])
    assert list(first.fields) == list(second.fields) == ["user", "tags", "item"]
    assert first.fields == {"user": 5, "tags": 7, "item": 9} and first.bags == second.bags == {"tags": 2}
    assert first.numericals == second.numericals == ("age", "price")
    assert first.train.categorical.tolist() == [[1, 1, 1, 0]] * 2  # user, two of the bag, unknown item
    assert second.train.categorical.tolist() == [[3, -1, -1, 3]] * 2  # no entry in the bag
    assert first.test.numerical.tolist() == [[1, 0]] * 2 and second.test.numerical.tolist() == [[2, 1]] * 2
    assert first.notes == {"statistics": "client", "absent": ["item", "price"]}
    assert absent([first, second]) == {"one": ("item", "price"), "two": ("tags",)}
    check([first, second])
    with pytest.raises(UserError, match="'two' has other fields"):
        check([one, two])


def test_who_lacks_nothing_stays_as_it_is():
    scenarios, _ = synthetic((60, 80), **TINY)
    assert all(after is before for after, before in zip(complete(scenarios), scenarios, strict=True))
    assert complete([]) == []


def test_without_and_complete_leave_only_the_lost_columns_changed():
    whole, _ = synthetic((60, 80), **TINY)
    made, _ = synthetic((60, 80), missing_columns={1: ["item", "number 1"]}, columns_home=False, **TINY)
    assert digest([made[0]]) == digest([whole[0]])
    assert (made[1].train.categorical[:, 1] == 0).all() and (made[1].valid.numerical[:, 1] == 0).all()
    assert torch.equal(made[1].train.categorical[:, 0], whole[1].train.categorical[:, 0])
    assert torch.equal(made[1].test.numerical[:, 0], whole[1].test.numerical[:, 0])
    assert torch.equal(made[1].test.labels, whole[1].test.labels)
    assert without(whole[1], ["item"]).train.categorical.shape == (80, 1)


def test_it_trains_and_shared_entries_go_by_name():
    made, _ = synthetic((60, 80), missing_columns={1: ["item"]}, **TINY)
    history = run(made, METHODS["pf_msmtrec"], 1, 0)
    assert history.results["auc"].notna().all()
    # the other way round: the scenario's own order of columns does not matter
    turned = replace(
        made[1], fields=dict(reversed(made[1].fields.items())),
        **{k: made[1].rows(k)._replace(categorical=made[1].rows(k).categorical.flip(1))
           for k in ("train", "valid", "test")},
    )  # fmt: skip
    again = complete([made[0], turned])
    assert torch.equal(again[1].train.categorical, made[1].train.categorical)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (({"user": 6}, ["age"]), "'user' has 6 entries in scenario 'two' and 5"),
        (({"user": 5, "age": 4}, []), "'age' is numerical in one scenario and categorical"),
        (({"user": 5}, ["age"], {"user": 3}), "'user' has 3 columns of a bag"),
    ],
)
def test_one_name_means_one_thing(other, words):
    with pytest.raises(UserError, match=words):
        complete([scenario("one", {"user": 5}, ["age"]), scenario("two", *other)])


def test_bad_names_and_numbers_are_refused():
    with pytest.raises(UserError, match="price"):
        synthetic((60, 80), missing_columns={0: ["price"]}, **TINY)
    with pytest.raises(UserError, match="scenario number in missing_columns"):
        synthetic((60, 80), missing_columns={2: ["item"]}, **TINY)


def test_what_a_scenario_lacks_is_said():
    made, _ = synthetic((60, 80), missing_columns={1: ["item", "number 1"]}, **TINY)
    said = [line for line in tables.overview(made) if "lacks" in line]
    assert said == ["  s1 lacks item, number 1: read as unknown, numbers as 0"]

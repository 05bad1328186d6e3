"""Scenarios as numpy, and refusals, for the tests of every reader and of the generator."""

import numpy as np
import pytest

from pfmsm_lite.data import SPLITS
from pfmsm_lite.errors import UserError


def all_rows(scenario, what):
    """One block (labels, categorical, …) of all rows of a scenario, train to test."""
    return np.concatenate([getattr(scenario.rows(split), what).numpy() for split in SPLITS])


def raw(scenario, name, split):
    """One column as the model sees it, categorical or numerical."""
    rows = scenario.rows(split)
    if name in scenario.fields:
        return rows.categorical[:, list(scenario.fields).index(name)].numpy()
    return rows.numerical[:, scenario.numericals.index(name)].numpy()


def column(scenarios, name, split):
    """One column of one split, over all scenarios."""
    return np.concatenate([raw(scenario, name, split) for scenario in scenarios])


def counts(scenario):
    """Rows for training, validation and test."""
    return [len(scenario.rows(split).labels) for split in SPLITS]


def refused(fragments, call, *arguments, **options):
    """The call is refused in one paragraph that has all the fragments."""
    with pytest.raises(UserError) as caught:
        call(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text and all(fragment in text for fragment in fragments), text

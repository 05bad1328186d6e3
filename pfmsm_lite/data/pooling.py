"""All rows in one place, for methods that need them there."""

import torch

from pfmsm_lite.registry import register
from pfmsm_lite.scenario import EVALUATED, SPLITS, Rows, Scenario


@register("fields", "pool", text="all rows in one place, with one more field: the scenario")
def pool(scenarios: list[Scenario]) -> tuple[Scenario, list]:
    """All rows in one place: a Scenario "all rows" with one more field, the scenario that a row is from.

    returns  (Scenario, views: list of (scenario name, {"valid": Rows, "test": Rows}))
    """
    name = "scenario"
    while name in scenarios[0].fields:  # somebody's own column
        name += "_"
    fields = {**scenarios[0].fields, name: len(scenarios) + 1}

    def tagged(rows: Rows, number: int) -> Rows:
        tag = torch.full((len(rows.labels), 1), number)
        return rows._replace(categorical=torch.cat([rows.categorical, tag], 1), probability=None, source=None)

    parts, first = [], scenarios[0]
    for number, scenario in enumerate(scenarios, 1):
        parts.append({split: tagged(scenario.rows(split), number) for split in SPLITS})
    # all scenarios' rows of a split, one column of Rows after the other
    columns = [zip(*(part[split][:3] for part in parts), strict=True) for split in SPLITS]
    train, valid, test = (Rows(*map(torch.cat, own)) for own in columns)
    views = [(s.name, {k: part[k] for k in EVALUATED}) for s, part in zip(scenarios, parts, strict=True)]
    merged = Scenario("all rows", first.tasks, fields, first.numericals, train, valid, test, bags=first.bags)
    return merged, views

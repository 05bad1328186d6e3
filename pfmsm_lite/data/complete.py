"""Scenarios without the same columns: what one lacks is added to it, so that they can form a federation."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.scenario import SPLITS, Scenario


def complete(scenarios: Sequence[Scenario], home: bool = True) -> list[Scenario]:
    """Give every scenario the columns of all: what it lacks says nothing there, and is noted.

    scenarios  whose columns may differ; one name means one thing: the same entries of the embedding table
    home       whether the weights that read a column which not all have stay at home (see `data.inputs`), or
               are shared like the others, as they are where all have no column in common
    returns    scenarios with the same fields and numericals, in the order in which the names first come. An
               absent categorical column is its field's unknown entry in every row, an absent bag has no
               entry, an absent numerical column is 0, the mean of a standardized one. notes["absent"]: names
               of what was added to this scenario. With `home` every scenario's `apart` names the columns that
               anybody lacked. Where nobody does, scenarios are returned as they are
    raises     UserError where a column of one name differs in its entries, or is numerical here and
               categorical there
    """
    fields: dict[str, int] = {}
    bags: dict[str, int] = {}
    for scenario in scenarios:
        for name, entries in scenario.fields.items():
            _same(scenario, name, "entries", entries, fields.setdefault(name, entries))
            width = scenario.bags.get(name, 1)
            _same(scenario, name, "columns of a bag", width, bags.setdefault(name, width))
    bags = {name: width for name, width in bags.items() if any(name in s.bags for s in scenarios)}
    numericals = tuple(dict.fromkeys(name for s in scenarios for name in s.numericals))
    if both := sorted(fields.keys() & set(numericals)):
        raise UserError(f"The column {both[0]!r} is numerical in one scenario and categorical in another.")
    names = (*fields, *numericals)
    apart = {name for s in scenarios for name in s.apart}
    if home:
        apart |= {name for s in scenarios for name in names if name not in (*s.fields, *s.numericals)}
    named = tuple(name for name in names if name in apart) if len(apart) < len(names) else ()
    found = [_completed(scenario, fields, numericals, bags) for scenario in scenarios]
    return [scenario if scenario.apart == named else replace(scenario, apart=named) for scenario in found]


def without(scenario: Scenario, names: Iterable[str]) -> Scenario:
    """The scenario as if it had never had these columns; UserError for a name that it does not have."""
    gone = [choose("column", name, [*scenario.fields, *scenario.numericals]) for name in names]
    fields = {name: size for name, size in scenario.fields.items() if name not in gone}
    numericals = tuple(name for name in scenario.numericals if name not in gone)
    bags = {name: width for name, width in scenario.bags.items() if name not in gone}
    return _laid_out(scenario, fields, numericals, bags)


def absent(scenarios: Sequence[Scenario]) -> dict[str, tuple[str, ...]]:
    """Scenario → the columns that it lacks, of those that `complete` added some to."""
    return {s.name: tuple(s.notes["absent"]) for s in scenarios if s.notes.get("absent")}


def _same(scenario, name, what, own, other):
    if own != other:
        raise UserError(
            f"The column {name!r} has {own} {what} in scenario {scenario.name!r} and {other} in another. One "
            "name must mean one thing: encode them together, or rename one of the two."
        )


def _completed(scenario, fields, numericals, bags):
    own = {*scenario.fields, *scenario.numericals}
    lacking = [name for name in (*fields, *numericals) if name not in own]
    if not lacking and (list(scenario.fields), scenario.numericals) == (list(fields), numericals):
        return scenario
    found = _laid_out(scenario, fields, numericals, bags)
    return replace(found, notes={**scenario.notes, "absent": lacking}) if lacking else found


def _laid_out(scenario, fields, numericals, bags):
    """The scenario's rows with these columns in this order; those that it lacks say nothing."""
    widths = {name: scenario.bags.get(name, 1) for name in scenario.fields}
    starts = dict(zip(widths, torch.tensor([0, *widths.values()]).cumsum(0).tolist(), strict=False))
    parts = {}
    for split in SPLITS:
        rows = scenario.rows(split)
        ids, numbers = rows.categorical, rows.numerical
        blocks = [
            ids[:, starts[name] : starts[name] + widths[name]]
            if name in widths
            else ids.new_full((len(ids), bags.get(name, 1)), -1 if name in bags else 0)
            for name in fields
        ]
        columns = [
            numbers[:, scenario.numericals.index(name)]
            if name in scenario.numericals
            else numbers.new_zeros(len(ids))
            for name in numericals
        ]
        parts[split] = rows._replace(
            categorical=torch.cat([ids[:, :0], *blocks], 1),
            numerical=torch.stack(columns, 1) if columns else numbers[:, :0],
        )
    return replace(scenario, fields=dict(fields), numericals=tuple(numericals), bags=dict(bags), **parts)

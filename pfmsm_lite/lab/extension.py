"""The same room for all: a list whose end wins on validation rows goes on, for all methods with that field.

An end wins for a method if its chosen setting has the first or the last value of the list, and another
value of the field was tried. Every method that has the field then tries the next value on that side, the rest
as in its own best setting; a method with fewer such fields tries more of its own list, so that all try as
many.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import NamedTuple

from pfmsm_lite.lab.search import Setting, candidates, grid
from pfmsm_lite.methods import BOUNDS, Method, Settings

MOST = 2  # times that the lists go on, unless asked otherwise
TENFOLD = 10.0  # the step where the ratio of the last two values is not known, since one of them is 0
ENTRIES = {entry.name: entry for entry in (*fields(Settings), *fields(Method))}
Lists = dict[str, dict[str, tuple]]  # method → field → values
End = tuple[str, bool]  # (field, whether it is the upper end)


class Extension(NamedTuple):
    """more: method → settings to try now; lists: as they are then; won: end → methods for which it won."""

    more: dict[str, list[Setting]]
    lists: Lists
    won: dict[End, list[str]]


def next_value(field: str, values: tuple, upper: bool) -> float | int | None:
    """The value that continues a list beyond its end, to one digit; None where there is none.

    By the difference of the last two values where the field has an upper bound (a share), else by their
    ratio, or TENFOLD where the other one is 0 (of whole numbers: the next one); never outside the field's
    bounds.
    """
    rules, ordered = ENTRIES[field].metadata, sorted(values, reverse=not upper)
    near, end = ordered[-2:]
    if "below" in rules:
        found = end + (end - near)
    elif end == 0:
        return None
    elif isinstance(end, int) and not near:
        return end + 1
    else:
        found = end * (end / near if near else TENFOLD)
    found = float(f"{found:.1g}")
    if isinstance(end, int):
        found = round(found)
    inside = all(holds(found, rules[bound]) for bound, holds in BOUNDS.items() if bound in rules)
    return found if inside and found not in values else None


def lists_of(methods: list[Method], settings: Settings) -> Lists:
    """The lists that the methods start with, of those fields that are numbers and have an order."""

    def ordered(values):
        return len(values) > 1 and all(type(value) in (int, float) for value in values)

    return {m.name: {f: v for f, v in grid(m, settings).items() if ordered(v)} for m in methods}


def ends(
    method: Method, settings: Settings, lists: Mapping[str, tuple], tried: Mapping[int, Setting], best: int
) -> list[End]:
    """The ends that win for a method.

    lists  field → values;  tried  number → setting;  best  the number of the chosen one
    """
    found = []
    for field, values in lists.items():
        usual = getattr(method, field, getattr(settings, field, None))
        among = {setting.get(field, usual) for setting in tried.values()}
        own = tried[best].get(field, usual)
        if len(among) > 1:
            found += [
                (field, upper) for upper, end in ((False, min(values)), (True, max(values))) if own == end
            ]
    return found


def extended(
    methods: list[Method], settings: Settings, lists: Lists, tried: dict[str, dict[int, Setting]],
    best: dict[str, int], clients: int = 10**9,
) -> Extension:  # fmt: skip
    """One step of all lists of which an end wins; see the head of this file.

    tried    method → number → setting;  best  method → number of its chosen setting
    clients  of the federation: there cannot be more clusters
    """
    methods = [m for m in methods if m.name in best]
    won: dict[End, list[str]] = {}
    for method in methods:
        own = ends(method, settings, lists[method.name], tried[method.name], best[method.name])
        for end in own:
            won.setdefault(end, []).append(method.name)
    lists = {name: dict(own) for name, own in lists.items()}
    went_on: set[End] = set()
    more: dict[str, list[Setting]] = {}
    for method in methods:
        own, start = lists[method.name], tried[method.name][best[method.name]]
        for field, upper in won:
            value = next_value(field, own[field], upper) if field in own else None
            if value is not None and not (field == "clusters" and value > clients):
                went_on.add((field, upper))
                own[field] += (value,)
                more.setdefault(method.name, []).append({**start, field: value})
    most = max(map(len, more.values()), default=0)
    for method in methods:
        own, known = more.setdefault(method.name, []), list(tried[method.name].values())
        others = [s for s in candidates(method, settings, len(known) + 2 * most + 1) if s not in known + own]
        own += others[: most - len(own)]
    return Extension(more, lists, {end: names for end, names in won.items() if end in went_on})


def said(won: dict[End, list[str]], more: dict[str, list[Setting]]) -> list[str]:
    """What was extended and for whom an end had won, in words; nothing where no end won."""
    if not won:
        return []
    counts = {name: len(own) for name, own in more.items()}
    lines = [
        f"{field}: the {'upper' if upper else 'lower'} end was best for {', '.join(names)}"
        for (field, upper), names in won.items()
    ]
    each = f"{max(counts.values())} settings more for each method"
    fewer = [f"{name} {count}" for name, count in counts.items() if count < max(counts.values())]
    each += f" (its list has no more: {', '.join(fewer)})" if fewer else ""
    return [
        f"Where the end of a list was best on validation rows, all such lists went on; {each}.",
        *(f"  {line}" for line in lines),
    ]

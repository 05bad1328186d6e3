"""What a column of a table is: categorical, numerical or a bag, by its name and by its values."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from pfmsm_lite.data.columns import EXACT, Column, dates_of

FEW = 50  # a column of whole numbers with at most so many different values may be a category
EACH = 10  # … if there are so many rows for each of them
MOSTLY = 0.9  # share of numbers from which the other cells of a column of text count as missing
BAG_SIGNS = ("|", ";", ",")  # what may stand between the entries of a bag
# words of a name that say what whole numbers under it are; THINGS only as the last word
IDS = {"id", "ids", "uid", "uuid", "guid", "sku", "asin", "hash", "zip", "zipcode", "postcode", "hist"}
THINGS = {
    "user",
    "item",
    "customer",
    "visitor",
    "session",
    "device",
    "video",
    "movie",
    "song",
    "product",
    "article",
    "shop",
    "store",
    "author",
    "tag",
    "category",
    "brand",
    "campaign",
    "ad",
    "creative",
    "query",
    "member",
    "code",
    "city",
}
AMOUNTS = {
    "count", "counts", "num", "amount", "price", "cost", "age", "duration", "seconds", "length", "size",
    "score", "rate", "ratio", "qty", "quantity", "total", "sum", "avg", "mean", "pct", "percent", "balance",
    "income", "days", "hours", "minutes", "clicks", "views", "visits", "cnt", "nb", "freq",
}  # fmt: skip
# how a whole number may stand for a moment: name → (first, last) for the years 2000 to 2040
CLOCKS = {
    "seconds since 1970": (946_684_800, 2_208_988_800),
    "milliseconds since 1970": (946_684_800_000, 2_208_988_800_000),
    "microseconds since 1970": (946_684_800_000_000, 2_208_988_800_000_000),
    "days written YYYYMMDD": (19_900_101, 20_401_231),
}


class Kind(NamedTuple):
    """What a column was found to be.

    kind   "categorical", "numerical" or "multi"
    time   how it looks like a time, in words, or ""
    doubt  whether a person should say what it is
    """

    kind: str
    time: str = ""
    doubt: bool = False


def words_of(name: str) -> list[str]:
    """The words of a column's name, in lower case: userId, user_id and USER-ID give user and id."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[^a-z]+", apart.lower()) if word]


def named_as(name: str) -> str:
    """What a column's name says of whole numbers in it: "id", "amount" or ""."""
    words = words_of(name)
    if not words:
        return ""
    if words[-1] in IDS:
        return "id"
    if AMOUNTS & set(words):
        return "amount"
    return "id" if words[-1] in THINGS or IDS & set(words) else ""


def find_kind(column: Column) -> Kind:
    """What a column is that nobody named."""
    if column.kind in ("list", "other"):
        return Kind("multi")
    if column.kind == "moment":
        return Kind("numerical", "dates")
    if column.kind == "text" and (found := _of_text(column)):
        return found
    values, gaps, bad = column.as_numbers()
    known = values[~gaps & ~bad]
    return _of_numbers(column, known)


def _of_text(column):
    """The kind of a column of text, or None where its texts are numbers."""
    if column.declared or not len(column.texts):
        return Kind("categorical")
    weigh, parsed = column.counts, column.parsed
    known = (weigh * ~parsed.gap).sum()
    numbers = (weigh * np.isfinite(parsed.values)).sum()
    if numbers and numbers >= MOSTLY * known and not parsed.coded:
        return None
    if known and (weigh * np.isfinite(dates_of(column.texts))).sum() >= 0.99 * known:
        return Kind("numerical", "dates")
    return Kind(
        "multi" if bag_sign(column) else "categorical", doubt=numbers > 0.5 * known and not parsed.coded
    )


def bag_sign(column: Column) -> str:
    """What stands between the entries of a column of text, such as a|b|c; "" where it has one entry a row.

    A bag is a column in which many cells have several entries, and the same entries come back in other cells.
    """
    for sign in BAG_SIGNS:
        several = np.array([sign in text for text in column.texts], bool)
        if several.sum() < 3 or (column.counts * several).sum() < 0.2 * column.counts.sum():
            continue
        entries = [text.split(sign) for text in column.texts[:10_000]]
        different = {entry.strip() for own in entries for entry in own}
        if len(different) < len(entries) and all(len(own) < 60 for own in entries):
            return sign
    return ""


def _of_numbers(column, known):
    """The kind of numbers [K] by their values and by the column's name."""
    named = named_as(column.name)
    whole = len(known) > 0 and bool((known == np.floor(known)).all())
    if not whole:
        return Kind("numerical")
    if named == "id":
        return Kind("categorical")
    clock = "" if named else _clock(known)
    if clock:
        return Kind("numerical", clock)
    if np.abs(known).max() >= EXACT:
        return Kind("categorical")
    different = np.unique(known)
    few = len(different) <= FEW and len(known) >= EACH * len(different)
    spread = different[-1] - different[0] + 1 > 4 * len(different)  # counts have a long tail, codes have not
    if few and not spread and not named:
        return Kind("categorical")
    return Kind("numerical", doubt=not named and len(different) > FEW)


def _clock(known):
    """How all these whole numbers could be moments, in words, or ""."""
    low, high = known.min(), known.max()
    for name, (first, last) in CLOCKS.items():
        if first <= low and high <= last and high > low:
            if "YYYY" not in name:
                return name
            month, day = known // 100 % 100, known % 100
            if ((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all():
                return name
    return ""


def say_doubts(doubtful: Iterable[str]) -> list[str]:
    """One sentence for all columns of which a person should say what they are."""
    names = list(doubtful)
    if not names:
        return []
    some = f"{','.join(names[:3])}{',…' * (len(names) > 3)}"
    return [
        f"read as numbers, since they hold many different whole numbers: {', '.join(names)}. Ids and codes "
        f"among them must be named: --categorical {some}; --numerical says that a column is a number"
    ]

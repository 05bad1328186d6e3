"""What a column of a table is: categorical, numerical or a bag, by its name and by its values."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pfmsm_lite.data.columns import EXACT, Column

FEW = 50  # a column of whole numbers with at most this many different values may be a category
EACH = 10  # … if there are at least this many rows for each of them
LOOK = 20_000  # rows that are enough to settle most questions
MOSTLY = 0.9  # share of numbers from which the other cells of a column of text count as missing
OTHER_DATE = r"^\s*\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})\b"  # the day or the month comes first
MEASURE = r"^\D{0,8}\d+[.,]\d+\D{0,8}$"  # a number with a unit
BAG_SIGNS = ("|", ";", ",")  # what may stand between the entries of a bag
# words of a name that say what whole numbers under it are; THINGS only as the last word
IDS = {"id", "ids", "uid", "uuid", "guid", "sku", "asin", "hash", "zip", "zipcode", "postcode", "hist"}
THINGS = {
    "user", "item", "customer", "visitor", "session", "device", "video", "movie", "song", "product",
    "article", "shop", "store", "author", "tag", "category", "brand", "campaign", "ad", "creative",
    "query", "member", "code", "city",
}  # fmt: skip
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
    time   what kind of time it looks like, in words, or ""
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
    return _of_numbers(column)


def _of_text(column):
    """The kind of a column of text, or None where its texts are numbers."""
    if column.declared or not len(column.texts):
        return Kind("categorical")
    weigh, parsed = column.counts, column.parsed
    known = (weigh * ~parsed.gap).sum()
    numbers = (weigh * np.isfinite(parsed.values)).sum()
    if numbers and numbers >= MOSTLY * known and not parsed.coded:
        return None
    if known and (weigh * np.isfinite(column.dates)).sum() >= 0.99 * known:
        return Kind("numerical", "dates")
    if known and (weigh * _like(column, OTHER_DATE)).sum() >= MOSTLY * known:
        return Kind("categorical", "dates in another form")
    if bag_sign(column):
        return Kind("multi")
    return Kind("categorical", doubt=not parsed.coded and _half_numbers(column, numbers, known))


def _like(column, pattern):
    """[K] bool: which of the different texts look like a pattern."""
    found = pc.match_substring_regex(pa.array(column.texts, pa.string()), pattern)
    return found.to_numpy(zero_copy_only=False)


def _half_numbers(column, numbers, known):
    """Whether a column of text may be meant as numbers: half are, or all but one word, or all have a unit."""
    there = column.counts > 0
    if numbers > 0.5 * known:
        return True
    if (there & np.isfinite(column.parsed.values)).sum() > FEW:
        return (there & column.parsed.bad).sum() <= 3
    return there.sum() > FEW and (column.counts * _like(column, MEASURE)).sum() > 0.5 * known


def cut(text: str, sign: str) -> list[str]:
    """The entries of a bag that is written as a text: "a|b", "[1, 2]", '["a", "b"]'."""
    bare = text.strip().strip("[](){}")
    return [entry for part in bare.split(sign) if (entry := part.strip(" \t'\""))]


def bag_sign(column: Column) -> str:
    """What stands between the entries of a column of text, such as a|b|c; "" where it has one entry per row.

    A bag is a column in which many cells have several entries, and the same entries come back in other cells.
    """
    for sign in BAG_SIGNS:
        several = np.array([sign in text for text in column.texts], bool)
        if several.sum() < 3 or (column.counts * several).sum() < 0.2 * column.counts.sum():
            continue
        entries = [cut(text, sign) for text in column.texts[column.counts > 0][:10_000]]
        different = {entry for own in entries for entry in own}
        if len(different) < len(entries) and all(len(own) < 60 for own in entries):
            return sign
    return ""


def _of_numbers(column):
    """The kind of a column of numbers by its values and by its name."""
    known, rows = _known(column)
    named = named_as(column.name)
    if not len(known) or not _whole(known):
        return Kind("numerical")
    if named == "id":
        return Kind("categorical")
    low, high = known.min().item(), known.max().item()
    if not named and (clock := _clock(known, low, high)):
        return Kind("numerical", clock)
    if max(abs(low), abs(high)) >= EXACT:
        return Kind("categorical")
    many = len(np.unique(known[:LOOK])) > FEW
    different = None if many else np.unique(known)
    many = different is None or len(different) > FEW
    few = not many and rows >= EACH * len(different)
    spread = not many and high - low + 1 > 4 * len(different)  # counts have a long tail, codes have not
    if few and not spread and not named:
        return Kind("categorical")
    unclear = many or (not few and not spread and len(different) > EACH)
    return Kind("numerical", doubt=not named and unclear)


def _known(column):
    """(the numbers of a column, of texts each different one once; how many rows have one)."""
    if column.kind == "text":
        there = np.isfinite(column.parsed.values) & (column.counts > 0)
        values = column.parsed.values if column.parsed.whole is None else column.parsed.whole
        return values[there], int(column.counts[there].sum())
    known = column.numbers[~column.gaps] if column.gaps.any() else column.numbers
    return known, len(known)


def _whole(known):
    """Whether all are whole numbers; a look at the first settles most columns."""
    if known.dtype.kind in "iu":
        return True
    return all(bool((part == np.floor(part)).all()) for part in (known[:LOOK], known))


def _clock(known, low, high):
    """How all these whole numbers could be moments, in words, or ""."""
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

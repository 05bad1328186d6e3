"""Text that is meant as a number: decimal commas, thousands, currency signs, percent, and what is none."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# what stands for a gap among numbers, in lower case; among categories these are values (see --na)
GAPS = ("", "na", "n/a", "nan", "none", "null", "nil", "<na>", "#n/a", "\\n")
SIGN = r"^[+-]?"
BLANK = "[ '’\u00a0\u202f]"
PLAIN = SIGN + r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
CURRENCY = (
    r"((US|CA|AU|HK|NT|[ACRS])?\p{Sc}|EUR|USD|GBP|KRW|JPY|CNY|RMB|CHF|SEK|NOK|DKK|CAD|AUD|NZD|HKD|SGD|TWD|INR|RUB"
    r"|BRL|MXN|PLN|CZK|HUF|TRY|ZAR|ILS|THB|IDR|VND|PHP|MYR|AED|SAR|kr\.?|zł|Kč|Ft|원|円|元)"
)
BEFORE, AFTER = rf"^([+-]?)\s*{CURRENCY}\s*", rf"\s*({CURRENCY}|%)\s*$"
# how numbers may be written: name → (what they look like, what is dropped, what becomes the decimal point)
STYLES = {
    "plain": (PLAIN, None, None),
    "thousands with commas": (SIGN + r"(\d+|[1-9]\d{0,2}(,\d{2,3})*,\d{3})(\.\d+)?$", ",", None),
    "decimal comma": (SIGN + r"\d+(,\d+)?$", None, ","),
    "thousands with points, decimal comma": (SIGN + r"(\d+|[1-9]\d{0,2}(\.\d{3})+)(,\d+)?$", ".", ","),
    "thousands with blanks": (SIGN + rf"(\d+|[1-9]\d{{0,2}}({BLANK}\d{{3}})+)([.,]\d+)?$", BLANK, ","),
}
# the decimal sign that was told → the styles that have it
WITH = {
    ",": ("decimal comma", "thousands with points, decimal comma", "thousands with blanks"),
    ".": ("plain", "thousands with commas", "thousands with blanks"),
}


class Parsed(NamedTuple):
    """K different texts, read as numbers.

    values  [K] float64, NaN where it is none;  whole  [K] int64 where all are whole and exact, else None
    gap     [K] bool: it stands for a missing number;  bad  [K] bool: it is neither
    coded   whether leading zeros or too many digits say that these are names
    style   how they are written, a key of STYLES;  adorned  whether signs of currency or percent were dropped
    """

    values: np.ndarray
    whole: np.ndarray | None
    gap: np.ndarray
    bad: np.ndarray
    coded: bool
    style: str
    adorned: bool


def parse(texts: np.ndarray, decimal: str | None = None) -> Parsed:
    """Read different texts [K] as numbers, in the style that fits most of them.

    decimal  "." or ",": what the decimal sign is; None: found out, and "1,234" is taken for a thousand
    """
    found = pc.utf8_trim_whitespace(pa.array(texts, pa.string(), from_pandas=True).fill_null(""))
    gap = _bool(pc.is_in(pc.utf8_lower(found), pa.array(GAPS)))
    if not pc.all(pc.string_is_ascii(found)).as_py():  # other digits, blanks and minus signs
        found = pc.replace_substring(pc.utf8_normalize(found, "NFKC"), "\u2212", "-")
    bare = found
    if not (gap | _bool(pc.match_substring_regex(found, PLAIN))).all():
        bare = pc.replace_substring_regex(pc.replace_substring_regex(found, BEFORE, r"\1"), AFTER, "")
    names = WITH.get(decimal, STYLES)
    fits = {name: _bool(pc.match_substring_regex(bare, STYLES[name][0])) & ~gap for name in names}
    style = max(names, key=lambda name: fits[name].sum())
    good, (_, drop, point) = fits[style], STYLES[style]
    number = (
        bare if drop is None else pc.replace_substring_regex(bare, drop if len(drop) > 1 else f"[{drop}]", "")
    )
    number = number if point is None else pc.replace_substring(number, point, ".")
    number = pc.if_else(
        pa.array(good), pc.replace_substring_regex(number, r"^\+", ""), pa.scalar(None, pa.string())
    )
    values = pc.cast(number, pa.float64()).to_numpy(zero_copy_only=False)
    zeros = _bool(pc.match_substring_regex(number, r"^-?0\d")) | _bool(
        pc.match_substring_regex(number, r"^-?\d{19,}$")
    )
    whole = None
    if good.any() and _bool(pc.match_substring_regex(number, r"^-?\d{1,18}$"))[good].all():
        whole = pc.cast(number.fill_null("0"), pa.int64()).to_numpy(zero_copy_only=False)
    adorned = bool((_bool(pc.not_equal(bare, found)) & good).any())
    return Parsed(values, whole, gap, ~good & ~gap, bool((zeros & good).any()), style, adorned)


def _bool(array):
    return array.fill_null(False).to_numpy(zero_copy_only=False).astype(bool)

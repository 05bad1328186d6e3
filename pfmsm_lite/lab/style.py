"""One look for every figure: palette, fonts, title and note, and the marks that several figures share.

seaborn is imported where it draws: the command line starts without it.
"""

import functools
import re
import textwrap
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from unicodedata import bidirectional

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

STYLE = Path(__file__).with_name("style.mplstyle")
LOCK = threading.RLock()  # matplotlib's settings are global, so figures are built one at a time
GREY, INK, MISSING = "#8c8c8c", "#333333", "#b5b5b5"
METHOD_STYLE = {  # method → colour (Okabe-Ito), marker; the first four are the ones that stand out
    "pooled": ("#000000", "s"),
    "local": ("#E69F00", "v"),
    "fedavg": ("#0072B2", "D"),
    "pf_msmtrec": ("#D55E00", "o"),
    "embedding_only": ("#009E73", "P"),
    "fedavg_used": ("#56B4E9", "d"),
    "fedavg_sum": ("#44AA99", "p"),
    "logistic": ("#A6761D", "H"),
    "no_template": ("#CC79A7", "<"),
    "no_normalization": ("#B59F00", ">"),
    "no_coordination": ("#6A51A3", "^"),
    "no_personalization": ("#7F7F7F", "X"),
}
MAIN = tuple(METHOD_STYLE)[:4]
OTHER = ("#009E73", "#CC79A7", "#56B4E9", "#6A51A3")  # a method outside the table: chosen by its name
SEQUENTIAL, DIVERGING = "Blues", "RdBu"
BASE = "DejaVu Sans"  # comes with matplotlib
FONTS = (  # looked into first where a letter is missing
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "PingFang SC", "Hiragino Sans",
    "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "NanumGothic",
    "WenQuanYi Zen Hei", "SimHei", "Noto Sans Arabic", "Geeza Pro", "Segoe UI", "Arial Unicode MS",
)  # fmt: skip
PLACEHOLDERS = re.compile("Last Resort|LastResort|Adobe Blank|^cm|^STIX")  # no letters of a language
MISSING_LETTER = "□"


def method_style(method: str) -> tuple[str, str]:
    """(colour, marker) of a method, the same in every figure; any other name gets one by its letters."""
    code = zlib.crc32(method.encode())
    return METHOD_STYLE.get(method) or (OTHER[code % len(OTHER)], "ophH*"[code // 7 % 5])


def method_styles(methods: Iterable[str]) -> dict[str, tuple[str, str]]:
    """method → (colour, marker), all different: where two names share one, the later takes the next."""
    free = [(color, marker) for marker in "ophH*" for color in OTHER]
    found = {}
    for method in methods:
        style = method_style(method)
        if style in found.values() and free:
            style = next(s for s in free[free.index(style) :] + free if s not in found.values())
        found[method] = style
    return found


# ---- fonts ----


@functools.cache
def _letters(family):
    """The code points that an installed font has: its upright face, if it has one."""
    from matplotlib.font_manager import fontManager, get_font

    faces = [entry for entry in fontManager.ttflist if entry.name == family]
    upright = min(
        faces, key=lambda entry: (entry.style != "normal", str(entry.weight) not in ("400", "normal"))
    )
    return frozenset(get_font(upright.fname).get_charmap())


@functools.cache
def _installed():
    """Families that matplotlib knows, FONTS first, without those that draw a box for every letter."""
    from matplotlib.font_manager import get_font_names

    there = {name for name in get_font_names() if not PLACEHOLDERS.search(name)}
    return [name for name in FONTS if name in there] + sorted(there - set(FONTS))


def _asked():
    """The families that the user's settings ask for, as far as they are installed, then BASE."""
    found = []
    for name in mpl.rcParams["font.family"]:
        several = mpl.rcParams.get(f"font.{name}", [name])  # "sans-serif" stands for a list: its first
        found += [family for family in several if family in _installed()][:1]
    return list(dict.fromkeys([*found, BASE]))


def families(text: str, first: Sequence[str] = (BASE,)) -> list[str]:
    """Installed families that together have the letters of a text, as far as any has them.

    first    taken whatever they have; more are looked for only where a letter is missing
    """
    found = list(first)
    lacking = {ord(letter) for letter in text if letter not in "\n\t"}.difference(*map(_letters, found))
    for family in _installed() if lacking else ():
        if lacking & _letters(family):
            found.append(family)
            lacking -= _letters(family)
        if not lacking:
            break
    return found


def _words(value):
    """Every text in what a figure is drawn from: names, columns, coordinates."""
    import pandas as pd
    import xarray as xr

    if isinstance(value, str):
        yield value
    elif isinstance(value, pd.DataFrame):
        parts = (value[column] for column in value.select_dtypes(exclude=["number", "bool"]))
        yield from (str(word) for part in (*parts, value.columns, value.index) for word in part.unique())
    elif isinstance(value, xr.DataArray):
        yield from (str(word) for axis in value.coords.values() for word in np.ravel(axis))
    elif isinstance(value, Mapping):
        yield from _words((*value.keys(), *value.values()))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _words(part)
    elif is_dataclass(value):
        yield from _words(vars(value))


def legible(text: str) -> str:
    """The text with a box for every letter that is in none of the fonts a figure is drawn with."""
    known = [_letters(family) for family in _asked()]
    return "".join(
        c if c in "\n\t" or any(ord(c) in letters for letters in known) else MISSING_LETTER for c in text
    )


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorator: the function draws in the style of the package, in the user's font, whatever else was
    chosen elsewhere; for letters that this font lacks, another that is installed stands in."""

    @functools.wraps(draw)
    def inside(*arguments, **options):
        with LOCK:
            needed = families("".join(set("".join(_words((arguments, options))))), _asked())
            with mpl.rc_context(fname=STYLE):
                mpl.rcParams["font.family"] = needed
                return draw(*arguments, **options)

    return inside


# ---- words ----


def finish(figure: Figure, title: str, note: str | None, alt: str) -> Figure:
    """Title to the left, note below, `finding` (the title as it was given) and `alt`; the same Figure."""
    wrapped = textwrap.fill(legible(title), int(figure.get_figwidth() * 9))
    figure.suptitle(wrapped, x=0.012, ha="left")
    if note:
        note = textwrap.fill(legible(note), int(figure.get_figwidth() * 12.5))
        figure.supxlabel(note, x=0.012, ha="left", color="#555555")
    figure.finding, figure.alt = " ".join(title.split()), " ".join(f"{title}. {alt}".split())
    return figure


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, a minus sign where it is negative: +1.2, −0.3, +0.0."""
    return f"{value:+z.{digits}f}".replace("-", "−")


def minus(text: str) -> str:
    """Minus signs where a number is negative; hyphens inside names stay (but better: `signed`)."""
    return re.sub(r"(?<![\w-])-(?=\.?\d)", "−", text)


def short(name: object, width: int = 16) -> str:
    """A name of at most this many characters, its middle left out."""
    name = str(name)
    return name if len(name) <= width else f"{name[: width // 2]}…{name[len(name) - width // 2 + 1 :]}"


def named(name: object) -> str:
    """A name inside a sentence: short, and what follows an Arabic or Hebrew one keeps its direction."""
    text = short(name, 24)
    return f"{text}\u200e" if any(bidirectional(letter) in ("R", "AL") for letter in text) else text


def axis_labels(names: Iterable, width: int = 16) -> list[str]:
    """Names as they are written on an axis: short, without letters that no font has, all different."""
    labels = [short(legible(str(name)), width) for name in names]
    counts = Counter(labels)
    return [
        label if counts[label] == 1 and MISSING_LETTER not in label else short(f"{n}: {label}", width)
        for n, label in enumerate(labels, 1)
    ]


def handle(label: str, color: str, marker: str = "", **options) -> Line2D:
    """A legend's entry."""
    return Line2D([], [], **{"color": color, "marker": marker, "label": label, "linestyle": "", **options})


# ---- marks that several figures share ----


def band(ax: Axes, places: Sequence[float], values, color: str, **options) -> None:
    """A line through the means over seeds, and a band for their range.

    places  [K];  values  [K, S] of S seeds, NaN where a seed has none;  options: as for `seaborn.lineplot`
    """
    import seaborn as sns

    values = np.asarray(values, float)
    sns.lineplot(
        x=np.repeat(places, values.shape[1]), y=values.ravel(), color=color, errorbar=("pi", 100),
        err_kws={"alpha": 0.16, "linewidth": 0}, mec=color, mew=1, legend=False, ax=ax, **options,
    )  # fmt: skip


def interval_line(
    ax: Axes, y: float, seeds, mean: float, low: float, high: float, color: str, ms: float = 8,
    clear: bool | None = None,
) -> None:  # fmt: skip
    """A paired difference on one line: the seeds grey, the interval, the mean; hollow if it is not clear.

    clear  None: where the interval excludes zero
    """
    clear = low > 0 or high < 0 if clear is None else clear
    ax.plot(seeds, [y] * len(seeds), "o", color=MISSING, ms=4)
    ax.plot([low, high], [y, y], color=color, linewidth=2.5 * ms / 8, alpha=1 if clear else 0.45)
    ax.plot(mean, y, "o", color=color, ms=ms, mfc=color if clear else "white")

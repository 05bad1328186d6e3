"""One look for every figure: palette, fonts, title and note, and the marks that several figures share.

seaborn is imported where it draws: the command line starts without it.
"""

import functools
import textwrap
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

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
    "no_template": ("#CC79A7", "<"),
    "no_normalization": ("#B59F00", ">"),
    "no_coordination": ("#6A51A3", "^"),
    "no_personalization": ("#7F7F7F", "X"),
}
MAIN = tuple(METHOD_STYLE)[:4]
OTHER = ("#009E73", "#CC79A7", "#56B4E9", "#6A51A3")  # a method outside the table: chosen by its name
SEQUENTIAL, DIVERGING = "Blues", "RdBu"
FONTS = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Microsoft YaHei",
    "WenQuanYi Zen Hei", "SimHei", "Arial Unicode MS",
)  # fmt: skip


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


@functools.cache
def fonts() -> tuple[list[str], set[int]]:
    """(the FONTS that are installed, the code points that they have)."""
    from matplotlib.font_manager import findfont, get_font, get_font_names

    there = [name for name in FONTS if name in set(get_font_names())]
    return there, set().union(*(get_font(findfont(name)).get_charmap() for name in there))


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorator: the function draws in the style of the package, whatever was chosen elsewhere."""

    @functools.wraps(draw)
    def inside(*arguments, **options):
        with LOCK, mpl.rc_context(fname=STYLE):
            mpl.rcParams["font.family"] = fonts()[0]
            return draw(*arguments, **options)

    return inside


def finish(figure: Figure, title: str, note: str | None, alt: str) -> Figure:
    """Title to the left, note below, alt text; returns the same Figure."""
    wrapped = textwrap.fill(title, int(figure.get_figwidth() * 9))
    figure.suptitle(wrapped, x=0.012, ha="left")
    if note:
        note = textwrap.fill(note, int(figure.get_figwidth() * 12.5))
        figure.supxlabel(note, x=0.012, ha="left", color="#555555")
    figure.alt = " ".join(f"{title}. {alt}".split())
    return figure


def minus(text: str) -> str:
    """Hyphens before numbers as minus signs."""
    return text.replace("-", "−")


def _short(name, width=16):
    name = str(name)
    return name if len(name) <= width else f"{name[: width // 2]}…{name[len(name) - width // 2 + 1 :]}"


def axis_labels(names: Iterable, width: int = 16) -> list[str]:
    """Names as they are written on an axis: short, without letters that no font has, all different."""
    known = fonts()[1]
    short = [_short("".join(c if ord(c) in known else "□" for c in str(name)), width) for name in names]
    return [
        label if short.count(label) == 1 and "□" not in label else _short(f"{n}: {label}", width)
        for n, label in enumerate(short, 1)
    ]


def handle(label: str, color: str, marker: str = "", **options) -> Line2D:
    """A legend's entry."""
    return Line2D([], [], **{"color": color, "marker": marker, "label": label, "linestyle": "", **options})


# ---- marks that several figures share ----


def band(ax: Axes, places: Sequence[float], values, color: str, **options) -> None:
    """A line through the means over seeds, and a band for their range.

    places  [K];  values  [K, S] of S seeds, NaN where a seed has none;  options: as of `seaborn.lineplot`
    """
    import seaborn as sns

    values = np.asarray(values, float)
    sns.lineplot(
        x=np.repeat(places, values.shape[1]), y=values.ravel(), color=color, errorbar=("pi", 100),
        err_kws={"alpha": 0.16, "linewidth": 0}, mec=color, mew=1, legend=False, ax=ax, **options,
    )  # fmt: skip


def interval_line(ax: Axes, y: float, seeds, mean: float, low: float, high: float, color: str) -> None:
    """A paired difference on one line: the seeds grey, the interval, the mean; hollow if it includes zero."""
    clear = low > 0 or high < 0
    ax.plot(seeds, [y] * len(seeds), "o", color=MISSING, ms=4)
    ax.plot([low, high], [y, y], color=color, linewidth=2.5, alpha=1 if clear else 0.45)
    ax.plot(mean, y, "o", color=color, ms=8, mfc=color if clear else "white")

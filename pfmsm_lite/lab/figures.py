"""Figures: pure functions from results to a matplotlib Figure; nothing is shown, saved or kept by pyplot.

Every title states what the data say, with numbers computed from them; `fig.alt` says it in words.
"""

import functools
import itertools
import math
import textwrap
import threading
import zlib
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.statistics import per_seed
from pfmsm_lite.methods import POOLED

STYLE = Path(__file__).with_name("style.mplstyle")
LOCK = threading.RLock()  # matplotlib's settings are global, so one figure at a time is built
GREY, INK = "#8c8c8c", "#333333"
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
OTHER = ("#009E73", "#CC79A7", "#56B4E9", "#6A51A3")  # methods of one's own, chosen by their name
SEQUENTIAL, DIVERGING = "Blues", "RdBu"


def _styles(methods):
    """method → (colour, marker), all different: where two names fall on one, the later takes the next."""
    free = [(color, marker) for marker in "ophH*" for color in OTHER]
    found = {}
    for method in methods:
        style = method_style(method)
        if style in found.values() and free:
            style = next(s for s in free[free.index(style) :] + free if s not in found.values())
        found[method] = style
    return found


def method_style(method):
    """(colour, marker) of a method, the same in every figure; any other name gets one by its letters."""
    code = zlib.crc32(method.encode())
    return METHOD_STYLE.get(method) or (OTHER[code % len(OTHER)], "ophH*"[code // 7 % 5])


FONTS = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Microsoft YaHei",
    "WenQuanYi Zen Hei", "SimHei", "Arial Unicode MS",
)  # fmt: skip


@functools.cache
def _fonts():
    """(the FONTS that are installed, the code points that they have)."""
    from matplotlib.font_manager import findfont, get_font, get_font_names

    fonts = [name for name in FONTS if name in set(get_font_names())]
    return fonts, set().union(*(get_font(findfont(name)).get_charmap() for name in fonts))


def styled(draw):
    @functools.wraps(draw)
    def inside(*arguments, **options):
        with LOCK, mpl.rc_context(fname=STYLE):
            mpl.rcParams["font.family"] = _fonts()[0]
            return draw(*arguments, **options)

    return inside


def interval_line(ax, y, seeds, mean, low, high, color):
    """A paired difference on one line: the seeds grey, the interval, the mean; hollow if it holds zero."""
    clear = low > 0 or high < 0
    ax.plot(seeds, [y] * len(seeds), "o", color="#b5b5b5", ms=4)
    ax.plot([low, high], [y, y], color=color, linewidth=2.5, alpha=1 if clear else 0.45)
    ax.plot(mean, y, "o", color=color, ms=8, mfc=color if clear else "white")


def finish(figure, title, note, alt):
    """Title to the left, note below, alt text."""
    wrapped = textwrap.fill(title, int(figure.get_figwidth() * 9))
    figure.suptitle(wrapped, x=0.012, ha="left")
    if note:
        note = textwrap.fill(note, int(figure.get_figwidth() * 12.5))
        figure.supxlabel(note, x=0.012, ha="left", color="#555555")
    figure.alt = " ".join(f"{title}. {alt}".split())
    return figure


def _short(name, width=16):
    name = str(name)
    return name if len(name) <= width else f"{name[: width // 2]}…{name[len(name) - width // 2 + 1 :]}"


def _labels(names, width=16):
    """Names as they are written on an axis: short, without letters that no font has, all different."""
    known = _fonts()[1]
    short = [_short("".join(c if ord(c) in known else "□" for c in str(name)), width) for name in names]
    return [
        label if short.count(label) == 1 and "□" not in label else _short(f"{n}: {label}", width)
        for n, label in enumerate(short, 1)
    ]


def _highlighted(methods):
    """The methods drawn in colour: all of up to five, else the main ones and any outside the table."""
    if len(methods) <= 5:
        return list(methods)
    return [m for m in methods if m in MAIN or m not in METHOD_STYLE] or list(methods[:5])


def _finding(averages):
    """(the method the title is about, what the averages [seeds × methods] say of it against its rivals)."""
    means = averages.mean().dropna()
    if not len(means):
        return None, "No AUC: one class only in every scenario"
    federated = [m for m in means.index if m not in POOLED] or list(means.index)
    hero = "pf_msmtrec" if "pf_msmtrec" in means else max(federated, key=lambda m: means[m])
    rivals = [m for m in ("fedavg", "local") if m in means and m != hero]
    rivals = rivals or [m for m in sorted(federated, key=lambda m: -means[m]) if m != hero][:1]
    phrases = []
    for rival in rivals:
        points = 100 * (averages[hero] - averages[rival]).dropna()
        mean = points.mean()
        signed = f"{mean:+z.1f}".replace("-", "−")
        if not len(points):
            continue
        if abs(mean) < 0.05:
            phrases.append(f"is level with {rival} ({signed})")
        elif not ((points > 0).all() or (points < 0).all()):
            phrases.append(f"has no clear distance to {rival} ({signed}, seeds disagree)")
        else:
            phrases.append(f"{'leads' if mean > 0 else 'trails'} {rival} by {abs(mean):.1f}")
    seeds = f"mean of {len(averages)} seeds" if len(averages) > 1 else "one seed"
    if not phrases:
        return hero, f"{hero}: average AUC {means[hero]:.3f}, {seeds}"
    return hero, f"{hero} {' and '.join(phrases)}: AUC points, {seeds}"


@styled
def auc_by_scenario(results, ceiling=None, split="test", sizes=None):
    """AUC of every method in every scenario, one panel per task; line through a dot: range over seeds.

    results  DataFrame of History.results, over methods and seeds (columns of history.RESULTS)
    ceiling  [N, T] best reachable AUC, scenarios and tasks in the order of `results`, or None
    sizes    scenario → its training rows, to be written beside its name, or None
    returns  Figure; with more than five methods the minor ones are grey
    raises   ValueError where `split` has no rows, or for another shape of `ceiling`
    """
    rows = results[results["split"] == split]
    if not len(rows):
        raise ValueError(f"results have no rows of split {split!r}")
    methods, scenarios, tasks = (list(dict.fromkeys(rows[key])) for key in ("method", "scenario", "task"))
    if ceiling is not None and np.shape(ceiling) != (len(scenarios), len(tasks)):
        raise ValueError(
            f"ceiling has shape {np.shape(ceiling)}, not {len(scenarios)} scenarios × {len(tasks)} tasks"
        )
    aucs = rows.groupby(["task", "scenario", "method"], sort=False)["auc"].agg(["mean", "min", "max"])
    sizes = {name: f"\n{count:,} rows" for name, count in (sizes or {}).items()}
    main = _highlighted(methods)
    minor = [m for m in methods if m not in main]
    places = np.linspace(-0.3, 0.16 if minor else 0.3, len(main)) if len(main) > 1 else [0.0]
    lanes = dict(zip(main, places, strict=True))
    styles = _styles(main)
    lanes.update(dict.fromkeys(minor, 0.32))

    columns = min(len(tasks), 3)
    lines = math.ceil(len(tasks) / columns)
    height = lines * (0.85 + len(scenarios) * (0.56 if len(scenarios) <= 8 else 0.46)) + 1.15
    height = max(height, 1.75 + 0.23 * (len(main) + 2))  # the legend
    figure = Figure(figsize=(8, height))
    grid = figure.add_gridspec(lines, columns + 1, width_ratios=[1] * columns + [0.5])
    axes = []
    for t in range(len(tasks)):
        shared = {"sharex": axes[0], "sharey": axes[0]} if axes else {}
        axes.append(figure.add_subplot(grid[t // columns, t % columns], **shared))
        axes[t].tick_params(labelleft=t % columns == 0, length=0)
    titles = _labels(tasks, 20 if columns < 3 else 14)
    for t, (ax, task) in enumerate(zip(axes, tasks, strict=True)):
        ax.set_title(titles[t], fontweight="bold")
        ax.set_xlabel("AUC")
        ax.grid(axis="x")
        for n, scenario in enumerate(scenarios):
            if n % 2:
                ax.axhspan(n - 0.5, n + 0.5, color="#f4f4f4", zorder=0, linewidth=0)
            best = math.nan if ceiling is None else float(ceiling[n][t])
            ax.plot([best, best], [n - 0.42, n + 0.42], color=INK, linewidth=2, linestyle=(0, (2, 1)))
            missing = []
            for method in methods:
                key, y = (task, scenario, method), n + lanes[method]
                mean, low, high = aucs.loc[key] if key in aucs.index else [math.nan] * 3
                color, marker = styles.get(method, (GREY, "o"))
                if math.isnan(mean):
                    missing.append(method)
                    continue
                if method in main:
                    ax.plot([low, high], [y, y], color=color, linewidth=1.5)
                    ax.plot(mean, y, marker, color=color)
                else:
                    ax.plot(mean, y, "o", color=GREY, markersize=4, alpha=0.75)
            if missing:
                few = ", ".join(missing)
                few = few if len(few) < 20 else f"{len(missing)} of {len(methods)} methods"
                text = "n/a" if len(missing) == len(methods) else f"n/a: {few}"
                place = ax.get_yaxis_transform()
                ax.text(0.02, n, text, transform=place, color=GREY, fontsize=9, va="center")
    labels = _labels(scenarios)
    names = [f"{label}{sizes.get(name, '')}" for label, name in zip(labels, scenarios, strict=True)]
    axes[0].set_yticks(range(len(scenarios)), names)
    axes[0].set_ylim(len(scenarios) - 0.5, -0.5)

    handles = [_handle(method, *styles[method]) for method in main]
    handles += [_handle(f"{len(minor)} others", GREY, "o", markersize=4)] if minor else []
    handles += [_handle("best reachable", INK, linestyle=(0, (2, 1)))] if ceiling is not None else []
    legend = figure.add_subplot(grid[:, columns])
    legend.axis("off")
    legend.legend(handles=handles, loc="upper left", borderaxespad=0)
    averages = per_seed(results, split)
    hero, title = _finding(averages)
    means = averages.mean().sort_values(ascending=False)
    ranking = ", ".join(f"{name} {value:.3f}" for name, value in means.items()).replace(" nan", " n/a")
    note = f"Average AUC on {split} rows: {ranking}."
    if len(averages) > 1:
        note += f" Marks: mean of {len(averages)} seeds; lines: their range."
    if rows["auc"].isna().any():
        note += " n/a: one class only, so there is no AUC."
    return finish(figure, title, note, f"{note} {len(scenarios)} scenarios, tasks {', '.join(tasks)}.")


def _handle(label, color, marker="", **options):
    from matplotlib.lines import Line2D

    options = {"linestyle": "", **options}
    return Line2D([], [], color=color, marker=marker, label=label, **options)


@styled
def convergence(rounds):
    """Average validation AUC (over scenarios and tasks) by round: mean, range over seeds, best round.

    rounds   DataFrame of History.rounds, over methods and seeds (columns of history.ROUNDS)
    returns  Figure
    raises   ValueError where no round has a validation AUC
    """
    from scipy.optimize import isotonic_regression

    curves = rounds.groupby(["method", "round", "seed"], sort=False)["valid_auc"].mean().unstack("seed")
    curves = curves.dropna(how="all")
    if not len(curves):
        raise ValueError("rounds have no validation AUC")
    methods = [m for m in dict.fromkeys(rounds["method"]) if m in curves.index.get_level_values(0)]
    main, last = _highlighted(methods), int(rounds["round"].max())
    figure = Figure(figsize=(8, 4.6))
    ax = figure.subplots()
    ends, peaks = {}, {}
    for method in sorted(methods, key=main.__contains__):
        own = curves.loc[method].sort_index().ffill()  # a run that stopped keeps what it had
        mean, color = own.mean(axis=1), method_style(method)[0]
        bold = method in main
        line = {"color": color, "linewidth": 2.4} if bold else {"color": GREY, "linewidth": 1.1, "alpha": 0.8}
        ax.plot(mean.index, mean, **line, zorder=3 if bold else 2)
        if bold:
            ax.fill_between(own.index, own.min(axis=1), own.max(axis=1), color=color, alpha=0.18, linewidth=0)
        peaks[method] = (int(mean.idxmax()), float(mean.max()))
        ax.plot(*peaks[method], "o", color=line["color"], markersize=8 if bold else 4, zorder=4)
        ends[method] = (int(mean.index[-1]), float(mean.iloc[-1]))
    margin = 0.02 * last if last > 1 else 0.5
    ax.set_xlim(1 - margin, last + margin)
    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    ax.set_xlabel("round (dot: best)")
    ax.set_ylabel("average validation AUC")
    ax.grid(axis="y")

    low, high = ax.get_ylim()
    ax.set_ylim(low, high)
    gap = 0.058 * (high - low)  # a line of text
    order = sorted(ends, key=lambda m: ends[m][1])
    shift = gap * np.arange(len(order))
    places = isotonic_regression(np.array([ends[m][1] for m in order]) - shift).x + shift
    side = ax.get_yaxis_transform()  # x from 0 to 1 over the axes, y in AUC
    for method, y in zip(order, places, strict=True):
        x, end = ends[method]
        color = method_style(method)[0] if method in main else "#6f6f6f"
        start = (x - 1 + margin) / (last - 1 + 2 * margin)
        line = {"color": color, "linewidth": 0.8, "alpha": 0.7, "clip_on": False, "transform": side}
        ax.plot([start, 1.01, 1.05], [end, end, y], **line)
        weight = "bold" if method in main else "normal"
        text = f"{method} {end:.3f}"
        ink = INK if method in main else color  # the line leads there in its colour; text has to be dark
        ax.text(1.06, y, text, transform=side, color=ink, va="center", fontsize=10, weight=weight)

    hero, _ = _finding(curves.groupby("method").max().T)
    rivals = [m for m in ("fedavg", "local") if m in peaks and m != hero][:1]
    parts = [f"{m} peaks in round {peaks[m][0]} at {peaks[m][1]:.3f}" for m in (hero, *rivals)]
    title = f"{', '.join(parts)} (of {last} round{'s' if last > 1 else ''})"
    seeds = rounds["seed"].nunique()
    note = "" if seeds == 1 else f"Lines: mean of {seeds} seeds; bands: their range."
    peak = "; ".join(f"{m}: round {peaks[m][0]}, {peaks[m][1]:.3f}" for m in methods)
    return finish(figure, title, note, f"Average validation AUC by round; best round of each method: {peak}.")


@styled
def side_by_side(curves, title, note=None, chance=0.5):
    """Curves of average validation AUC by round, one panel per case.

    curves  case → {label: [R] values};  returns Figure
    """
    figure = Figure(figsize=(8, 3.4))
    axes = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    colors = ("#D55E00", "#0072B2", "#009E73", "#E69F00")
    for ax, (case, lines) in zip(axes, curves.items(), strict=True):
        ax.axhline(chance, color=INK, linewidth=0.8, linestyle=":")
        for color, (label, values) in zip(itertools.cycle(colors), lines.items(), strict=False):
            color = METHOD_STYLE[label][0] if label in METHOD_STYLE else color
            values = np.asarray(values, float)
            ax.plot(range(1, len(values) + 1), values, color=color, label=label)
        ax.set_title(case, fontweight="bold")
        ax.set_xlabel("round")
        ax.legend(loc="best")
    axes[0].set_ylabel("validation AUC")
    said = "; ".join(
        f"{case}: "
        + ", ".join(f"{label} ends at {np.asarray(v, float)[-1]:.3f}" for label, v in lines.items())
        for case, lines in curves.items()
    )
    return finish(figure, title, note, said + ".")


@styled
def gains(results, reference="local", split="test"):
    """Which scenario gains and which pays: AUC points over learning alone, method × scenario.

    results    rows of results.csv, the reference among the methods; mean over seeds and tasks
    returns    Figure;  raises  UserError where the reference is missing or alone
    """
    rows = results[results["split"] == split]
    if reference not in set(rows["method"]) or rows["method"].nunique() < 2:
        raise UserError(
            f"Who gains and who pays is told against {reference}. Run {reference} and another method: "
            f"--methods {reference},pf_msmtrec"
        )
    single = rows.groupby(["method", "scenario", "seed"], sort=False)["auc"].mean().unstack("seed")
    scenarios = list(dict.fromkeys(rows["scenario"]))
    methods = [m for m in dict.fromkeys(rows["method"]) if m != reference]
    alone = single.loc[reference].reindex(scenarios)
    points = {m: 100 * (single.loc[m].reindex(scenarios) - alone) for m in methods}
    values = np.array([points[m].mean(axis=1) for m in methods])  # [M, N]
    harmed = np.array([(points[m] < 0).all(axis=1) for m in methods])
    figure = Figure(figsize=(8, 1.9 + 0.42 * len(methods)))
    ax = figure.subplots()
    reach = max(1.0, float(np.nanmax(np.abs(values)))) if np.isfinite(values).any() else 1.0
    image = ax.imshow(values, cmap=DIVERGING, vmin=-reach, vmax=reach, aspect="auto")
    for m, n in np.ndindex(*values.shape):
        text = "n/a" if math.isnan(values[m, n]) else f"{values[m, n]:+.1f}" + "!" * bool(harmed[m, n])
        color = "white" if abs(values[m, n]) > 0.6 * reach else INK
        weight = "bold" if harmed[m, n] else "normal"
        ax.text(n, m, text.replace("-", "−"), ha="center", va="center", color=color, weight=weight)
    ax.set_xticks(range(len(scenarios)), scenarios, rotation=90 if max(map(len, scenarios)) > 8 else 0)
    ax.set_yticks(range(len(methods)), methods)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.colorbar(image, ax=ax, aspect=12).set_label(f"points over {reference}")
    worst = np.unravel_index(np.nanargmin(values), values.shape) if np.isfinite(values).any() else None
    count, total = int(harmed.sum()), harmed.size
    if worst is None:
        title = "No AUC: one class only in every scenario"
    elif count:
        title = (
            f"{methods[worst[0]]} serves {scenarios[worst[1]]} worst: {values[worst]:+.1f} points against "
        )
        title += f"learning alone; {count} of {total} cells are below it"
    else:
        title = (
            f"Nobody is clearly harmed: in no cell do all seeds fall below {reference}; the least gain is "
        )
        title += f"{values[worst]:+.1f} points, of {scenarios[worst[1]]} with {methods[worst[0]]}"
    seeds = results["seed"].nunique()
    note = f"Mean of {seeds} seed{'s' * (seeds > 1)} over the tasks, test rows. "
    note += f"Bold with !: below {reference} in {'every seed' if seeds > 1 else 'this one seed'}."
    said = "; ".join(
        f"{method}: " + ", ".join(f"{s} {v:+.1f}" for s, v in zip(scenarios, row, strict=True))
        for method, row in zip(methods, values, strict=True)
    )
    return finish(figure, title.replace("-", "−"), note, f"Points over {reference}: {said}.")


def _units(array, unit):
    """One unit by its name, or the mean over the experts (over all units where there is none)."""
    if unit is not None:
        return array.sel(unit=unit), str(unit)
    experts = [name for name in array["unit"].values if str(name).startswith("expert ")]
    over = array.sel(unit=experts) if experts else array
    return over.mean("unit"), f"mean over {len(experts)} experts" if experts else "mean over all units"


def _rounds(array, rounds):
    """The asked rounds, or the first, the middle and the last."""
    there = [int(r) for r in array["round"].values]
    if rounds is None:
        rounds = [there[0], there[(len(there) - 1) // 2], there[-1]]
    rounds = list(dict.fromkeys(int(r) for r in rounds))
    if not set(rounds) <= set(there):
        raise ValueError(f"rounds {rounds} asked for, but rounds {there[0]} to {there[-1]} were recorded")
    return rounds


def _order(clusters, count):
    """Clients sorted by cluster: (order [N], labels in that order or None)."""
    if clusters is None:
        return np.arange(count), None
    labels = list(clusters)
    if len(labels) != count:
        raise ValueError(f"{len(labels)} cluster labels for {count} clients")
    first = list(dict.fromkeys(labels))
    order = sorted(range(count), key=lambda n: first.index(labels[n]))
    return np.array(order), [labels[n] for n in order]


def heatmap(ax, values, names, labels, cmap, limits, numbers=None):
    """A heatmap [N, N] with client names, and boxes around the clusters."""
    count = len(values)
    colors = mpl.colormaps[cmap].with_extremes(bad="#b5b5b5")
    image = ax.imshow(np.ma.masked_invalid(values), cmap=colors, vmin=limits[0], vmax=limits[1])
    step, size = math.ceil(count / 16), 10 if count <= 8 else 8 if count <= 12 else 7
    names = _labels(names, 12)[::step]
    turned = 90 if max(map(len, names)) > 2 or count > 8 else 0
    ax.set_xticks(range(0, count, step), names, rotation=turned, fontsize=size)
    ax.set_yticks(range(0, count, step), names, fontsize=size)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for i, j in np.ndindex(count, count) if numbers else ():
        if np.isfinite(values[i, j]):
            color = "white" if values[i, j] > 0.63 else INK
            ax.text(j, i, numbers(values[i, j]), ha="center", va="center", color=color, fontsize=9)
    for label in dict.fromkeys(labels or ()):
        start, length = labels.index(label) - 0.5, labels.count(label)
        box = Rectangle(
            (start, start), length, length, fill=False, edgecolor="black", linewidth=1.8, clip_on=False
        )
        ax.add_patch(box)
    return image


def _share(labels, count):
    """Masks [N, N]: pairs of the same cluster, of different ones (without clusters all of them)."""
    other = ~np.eye(count, dtype=bool)
    if labels is None or len(set(labels)) < 2:
        return np.zeros_like(other), other
    same = np.array(labels)[:, None] == np.array(labels)[None]
    return same & other, ~same


def _mean(values, mask):
    kept = values[mask & np.isfinite(values)]
    return float(kept.mean()) if kept.size else math.nan


@styled
def conflicts(cosines, unit=None, rounds=None, clusters=None):
    """Cosines between the clients' updates, before (upper row) and after coordination, in several rounds.

    cosines   History.cosines [stage, round, unit, client, other]
    unit      its name, or None: the mean over the experts
    rounds    numbers of rounds, or None: first, middle, last
    clusters  N labels of the clients, or None: clients are sorted by them and boxes drawn around them
    returns   Figure; one row only where coordination changed nothing
    raises    ValueError for a round that was not recorded or another number of labels; KeyError for the unit
    """
    values, where = _units(cosines, unit)
    rounds = _rounds(values, rounds)
    names = [str(name) for name in values["client"].values]
    if len(names) < 2:
        raise ValueError("conflicts need at least two clients")
    order, labels = _order(clusters, len(names))
    shown = (
        values.sel(round=rounds).transpose("stage", "round", "client", "other").sel(stage=["before", "after"])
    )
    shown = np.array(shown.values[:, :, order][:, :, :, order], float)
    changed = not np.allclose(shown[0], shown[1], atol=5e-4, equal_nan=True)
    within, across = _share(labels, len(names))
    kind = "between clusters" if within.any() else "of two clients"

    stages = ("before\ncoordination", "after\ncoordination") if changed else ("no coordination",)
    figure = Figure(figsize=(8, 1.5 + 2.55 * len(stages)))
    axes = figure.subplots(len(stages), len(rounds), squeeze=False, sharex=True, sharey=True)
    for s, stage in enumerate(stages):
        for k, number in enumerate(rounds):
            ax, matrix = axes[s, k], shown[s, k].copy()
            mean = _mean(matrix, across)
            np.fill_diagonal(matrix, np.nan)
            image = heatmap(ax, matrix, [names[n] for n in order], labels, DIVERGING, (-1, 1))
            ax.set_title((f"round {number}\n" if s == 0 else "") + f"{mean:+z.2f}".replace("-", "−"))
            ax.tick_params(labelbottom=s == len(stages) - 1, labelleft=k == 0)
        axes[s, 0].set_ylabel(stage, fontweight="bold")
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=25, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.set_label("cosine of two updates")
    bar.ax.set_yticklabels(["−1 opposed", "−0.5", "0", "0.5", "1 same"])

    before, after = (_mean(shown[s, -1], across) for s in (0, 1))
    verb = "oppose" if before < -0.05 else "agree" if before > 0.05 else "neither agree nor oppose"
    whose = "different clusters" if within.any() else "different clients"
    title = f"Round {rounds[-1]}: updates of {whose} {verb} (mean cosine {before:+z.2f}); "
    title += f"coordination turns them to {after:+z.2f}" if changed else "nothing coordinates them"
    note = f"Number above a map: mean cosine {kind}. Updates: {where}. Grey diagonal: 1 by definition."
    if within.any():
        own = [_mean(shown[s, -1], within) for s in (0, 1)]
        note += f" Boxes: true clusters; inside, round {rounds[-1]}: {own[0]:+z.2f} before"
        note += f", {own[1]:+z.2f} after." if changed else "."
    alt = f"Maps of {len(names)} × {len(names)} cosines, rounds {', '.join(map(str, rounds))}. {note}"
    return finish(figure, title.replace("-", "−"), note.replace(" -", " −"), alt)


@styled
def mixing(weights, unit=None, rounds=None, clusters=None):
    """Who learns from whom: a row is what one client's mixture is made of, on one scale from 0 to 1.

    weights   History.weights [round, unit, client, source]
    unit      its name, or None: the mean over the experts
    rounds    numbers of rounds, or None: first, middle, last
    clusters  N labels of the clients, or None: clients are sorted by them and boxes drawn around them
    returns   Figure
    raises    ValueError for a round that was not recorded or another number of labels; KeyError for the unit
    """
    values, where = _units(weights, unit)
    rounds = _rounds(values, rounds)
    names = [str(name) for name in values["client"].values]
    order, labels = _order(clusters, len(names))
    shown = values.sel(round=rounds).transpose("round", "client", "source").values
    shown = np.array(shown[:, order][:, :, order], float)

    figure = Figure(figsize=(8, 4.4 if len(names) > 1 else 3.6))
    axes = figure.subplots(1, len(rounds), squeeze=False, sharey=True)[0]
    numbers = (lambda v: f"{100 * v:.0f}") if len(names) <= 8 else None
    for ax, number, matrix in zip(axes, rounds, shown, strict=True):
        image = heatmap(ax, matrix, [names[n] for n in order], labels, SEQUENTIAL, (0, 1), numbers)
        ax.set_title(f"round {number}", fontweight="bold")
        ax.set_xlabel("… learns from")
        ax.tick_params(labelleft=ax is axes[0])
    axes[0].set_ylabel("client …")
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=25, ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.ax.set_yticklabels(["0 %", "25 %", "50 %", "75 %", "100 %"])
    bar.set_label("share of its mixture")

    within, across = _share(labels, len(names))
    own = 100 * np.nanmean(np.diag(shown[-1]))
    mates, others = (100 * float(np.nansum(shown[-1] * mask)) / len(names) for mask in (within, across))
    parts = [f"{own:.0f} % from itself"]
    if within.any():
        parts.append(f"{mates:.0f} % from its own cluster")
    parts.append(f"{others:.0f} % from others")
    title = f"Round {rounds[-1]}: a client takes {', '.join(parts[:-1])} and {parts[-1]}"
    note = f"Each row adds up to 100 %. Weights: {where}, average over the clients in the title."
    note += " Boxes: true clusters." if within.any() else ""
    top = [names[order[m]] for m in np.nan_to_num(shown[-1]).argmax(1)]
    alt = "; ".join(f"{names[n]} takes most from {source}" for n, source in zip(order, top, strict=True))
    return finish(figure, title, note, f"Maps of weights, rounds {', '.join(map(str, rounds))}. {alt}.")


FIGURES = {"auc": auc_by_scenario, "convergence": convergence, "conflicts": conflicts, "mixing": mixing}


def draw_all(histories, ceiling=None, clusters=None, sizes=None):
    """Every figure that the histories have data for: {name in FIGURES: Figure}.

    histories  list of History, over methods and seeds; conflicts and mixing show the first one of
               pf_msmtrec, else the first that recorded weights, and are left out where none did
    ceiling    [N, T] best reachable AUC;  clusters: N labels of the clients; or None
    sizes      scenario → its training rows, or None
    raises     ValueError for clusters, sizes or a ceiling of other shapes, as the single functions do
    """
    import pandas as pd

    histories = list(histories)
    figures = {
        "auc": auc_by_scenario(pd.concat([h.results for h in histories]), ceiling, sizes=sizes),
    }
    rounds = pd.concat([h.rounds for h in histories])
    if rounds["valid_auc"].notna().any():
        figures["convergence"] = convergence(rounds)
    recorded = [h for h in histories if "weights" in h.arrays and len(h.clients) > 1]
    recorded.sort(key=lambda h: h.method != "pf_msmtrec")
    if recorded:
        figures["conflicts"] = conflicts(recorded[0].cosines, clusters=clusters)
        figures["mixing"] = mixing(recorded[0].weights, clusters=clusters)
    return figures

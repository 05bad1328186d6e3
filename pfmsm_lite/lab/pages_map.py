"""Sections of the results page on the modules: the map, two kinds of data that a search led to, weights."""

import numpy as np
import pandas as pd

from pfmsm_lite.lab import map as modules
from pfmsm_lite.lab.markdown import grid, interval, results, section, small, source
from pfmsm_lite.lab.statistics import holm, paired_interval


def weights(folder):
    """Whom the clients of KuaiRand learn from, and how often their labels are positive."""
    kept = results(folder, "kuairand", "weights.csv")
    rows = (
        results(folder, "kuairand")
        .query("split == 'test' and seed == 0")
        .drop_duplicates(["scenario", "task"])
    )
    rates = (
        (100 * rows["positives"] / rows["rows"]).groupby([rows["scenario"], rows["task"]]).first().unstack()
    )
    parts = [grid(["tab", *rates], [(tab, *(f"{x:.1f} %" for x in own)) for tab, own in rates.iterrows()])]
    for kind, own in kept.groupby("kind"):
        mean = own.pivot_table(index="client", columns="source", values="weight")
        spread = own.groupby(["client", "source"])["weight"].agg(["min", "max"])
        lines = [
            (client, *(_weight(mean.loc[client, s], *spread.loc[(client, s)]) for s in mean.columns))
            for client in mean.index
        ]
        parts += [f"### Weights of the {kind}s", grid(["client learns from →", *mean.columns], lines)]
    return section(
        "Base rates and mixture weights on KuaiRand",
        "Share of positive labels on test rows, then the mixture weights of `pf_msmtrec_partners` in its "
        f"last round: mean over {kept['seed'].nunique()} seeds, smallest and largest in brackets. A row sums "
        "to one, and its own half is fixed. Tabs with similar base rates borrow from each other; chapter 07 "
        "tests why.",
        *parts,
        source(folder, "kuairand"),
    )


def _weight(mean, low, high):
    return f"{mean:.2f}" if high - low < 0.005 else f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def _map(gains, index):
    """Gains by level and module as a table; index: columns that name a level."""
    names = list(dict.fromkeys(gains["module"]))
    lines = [
        (*key, *(interval(row.gain, row.low, row.high) for row in own.itertuples()))
        for key, own in gains.groupby(index, sort=False)
    ]
    return grid([*index, *names], lines)


def module_map(folder):
    """The map of the modules, its average, and how the count of tests decides."""
    aucs, gains = results(folder, "modules", "aucs.csv"), results(folder, "modules", "map.csv")
    overall = modules.average(aucs)
    best = gains.loc[gains.groupby("module")["gain"].idxmax()].set_index("module")
    parts = overall[~overall.index.str.contains("sent")]
    corrected = dict(zip(parts.index, holm(parts["p"]), strict=True))
    lines = [
        (
            row.Index, interval(row.gain, row.low, row.high), small(row.p),
            small(corrected.get(row.Index, np.nan)), f"{best.factor[row.Index]} {best.level[row.Index]}",
            interval(*best.loc[row.Index, ["gain", "low", "high"]]),
        )
        for row in overall.itertuples()
    ]  # fmt: skip
    mixed = gains[gains["module"] == "personal mixtures"].drop_duplicates("gain")
    two = mixed.nlargest(2, "gain")
    rest = modules.average(aucs[~aucs["level"].isin(two["level"])]).loc["personal mixtures"]
    kinds = aucs[["level", "method", "seed", "auc"]].drop_duplicates(["method", "seed", "auc"])
    return section(
        "Where does a module gain?",
        "One property of the generated data is varied at a time. `pf_msmtrec` is trained on each kind of "
        "data, and again without each of its modules. A cell is what the module gains, points. "
        f"{aucs['seed'].nunique()} seeds, each with data of its own; {len(kinds)} trainings.",
        _map(gains, ["factor", "level"]),
        "The last two columns are plain models that send less, without the template, the intercept and the "
        "model at home. The default is a level of most properties; it was trained once.",
        "### Averaged over the map",
        grid(
            [
                "taken away",
                "average gain, points",
                "p",
                f"p (Holm, {len(parts)} modules)",
                "where most",
                "gain there",
            ],
            lines,
        ),
        "The largest of many noisy gains is too large by chance, so trust the average more. Without its two "
        f"best levels ({' and '.join(two['factor'] + ' ' + two['level'])}), personal mixtures gain "
        f"{interval(rest.gain, rest.low, rest.high)} on average.",
        "### How many tests are counted",
        *_counted(gains),
        source(folder, "modules"),
    )


def _counted(gains):
    """How many cells of modules exclude zero, and what corrections leave of the nearest: two paragraphs."""
    index = ["module", "factor", "level"]
    single = gains[~gains["module"].str.contains("sent")]
    nearest = single.nsmallest(1, "p_holm")[index].iloc[0]
    lines = []
    for what, own in (("all lines of the map", gains), ("the lines of the modules", single)):
        once = own.drop_duplicates(["module", "gain"])
        found = pd.Series(holm(once["p"]), index=pd.MultiIndex.from_frame(once[index]))
        lines.append((what, len(once), (found < 0.05).sum(), f"{found[tuple(nearest)]:.3f}"))
    once = single.drop_duplicates(["module", "gain"])
    bold = int(((once["low"] > 0) | (once["high"] < 0)).sum())
    return (
        f"{bold} of {len(once)} cells of modules exclude zero; luck alone would give {0.05 * len(once):.0f}. "
        f"The nearest to staying after a correction is {nearest['module']} at {nearest['factor']} "
        f"{nearest['level']}.",
        grid(["tests counted", "how many", "stay (Holm)", "p of the nearest (Holm)"], lines),
    )


def picked(folder):
    """Twelve kinds of data that were searched, the two that were trained again, and the control."""
    gains, searched = results(folder, "picked", "map.csv"), results(folder, "picked", "searched.csv")
    quiet = modules.table(searched)
    arms = results(folder, "picked", "control.csv").pivot(index="seed", columns="arm", values="auc")
    pairs = [(arm, "not turned, 30 rounds" if "30 rounds" in arm else "not turned") for arm in arms]
    pairs = [pair for pair in pairs if pair[0] != pair[1]] + [("turned", "not turned, mean as long")]
    lines = [
        (*pair, *(f"{arms[arm].mean():.4f}" for arm in pair), _paired(arms, *pair), _widest(arms, *pair))
        for pair in pairs
    ]
    bold = int(((quiet["low"] > 0) | (quiet["high"] < 0)).sum())
    stay = int((quiet["p_holm"] < 0.05).sum())
    return section(
        "Where the quiet modules do something",
        f"Twelve kinds of data far from the default were searched with {searched['seed'].nunique()} other "
        f"seeds, when the rule was still `partners`. {bold} of {len(quiet)} cells exclude zero, {stay} after "
        "Holm's correction.",
        _map(quiet, ["level"]),
        "Two of them, chosen for what coordination did there, were trained again with "
        f"{gains['seeds'].max()} new seeds:",
        _map(gains, ["level"]),
        "The same worlds and seeds by the rule `kin` and with the model at home, the default now:",
        _map(results(folder, "picked-kin", "map.csv"), ["level"]),
        "A control for the first of these two: everybody receives the plain mean. *Turned* is coordination. "
        "*Mean as long* stretches the mean of unturned updates to the length that it has after turning.",
        grid(["this", "against", "AUC", "AUC against", "points", "largest in one seed"], lines),
        source(folder, "picked"),
        source(folder, "picked-kin"),
    )


def _paired(arms, arm, base):
    return interval(*(100 * x for x in paired_interval(arms[arm], arms[base])))


def _widest(arms, arm, base):
    return f"{100 * (arms[arm] - arms[base]).abs().max():.2f}"

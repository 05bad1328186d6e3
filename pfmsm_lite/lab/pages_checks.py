"""The three checks and the estimate of scale on the results page."""

import math

import pandas as pd

from pfmsm_lite.lab import scale
from pfmsm_lite.lab.checks_share import LEVELS, MEAN, NOTHING, RULES, breaks
from pfmsm_lite.lab.checks_transfer import EXPERTS, ROUNDS
from pfmsm_lite.lab.markdown import config, grid, interval, section, signed, small

FOLDER = "checks"
UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (0, "B"))  # bytes: from what on → name
SIZES = {"upload": "up", "download": "down", "round": "a round, all clients", "table": "server: table",
         "weights": "server: N × N", "sparse": "server: N × 50"}  # fmt: skip
SHOWN = (1, 3, ROUNDS)  # rounds of the transfer check
TIMES = {"line": "10 Gbit/s line", "kin": "all pairs, one core", "messages": "Flower's messages"}


def checks(folder):
    """The section; "" where `checks` was not run."""
    if not (folder / FOLDER / "config.json").exists():
        return ""
    kept = config(folder, FOLDER)
    used = kept["versions"]
    parts = [part(folder) for part in (gradient, share, transfer)]
    return section(
        "Three checks",
        f"{kept['seeds']} seeds, each with data of its own: generated worlds anew, published tables as other "
        "samples of their rows.",
        *[text for part in parts for text in part],
        f"Made by `{kept['command']}` on {kept['date']}; {kept['machine']}; pfmsm_lite {used['pfmsm_lite']}, "
        f"Python {used['python']}, PyTorch {used['torch']}. Files: [{FOLDER}]({FOLDER}).",
        *estimate(),
    )


def _table(folder, name):
    file = folder / FOLDER / name
    return pd.read_csv(file) if file.exists() else pd.DataFrame()


def two(value):
    """Two digits, or nothing where there is no number."""
    return "" if math.isnan(value) else f"{value:z.2f}".replace("-", "−")


def between(row, name):
    """A measure with its interval over seeds, cut to what it can be."""
    mean, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return two(mean) if math.isnan(low) else f"{two(mean)} [{two(max(low, -1))}, {two(min(high, 1))}]"


def gradient(folder):
    """When may a server believe a difference?"""
    table = _table(folder, "gradient.csv")
    if not len(table):
        return []
    rows = [
        (row["world"], row["optimizer"], row["epochs"], between(row, "alignment"), between(row, "rank"),
         two(row["rank_halves"]), two(row["conflicts"]), two(row["seen"]), two(row["false_alarm"]),
         f"{row['valid_auc']:.3f}")
        for _, row in table.iterrows()
    ]  # fmt: skip
    head = ["world", "optimizer", "local epochs", "direction", "order of pairs",
            "order, two halves of the rows", "conflicts", "of these seen", "false alarms",
            "validation AUC"]  # fmt: skip
    how = (
        "`fedavg_sum`; before each round the gradient of every client on all its training rows at the "
        "common start, after it what training has changed (Δ). *Direction*: cosine of Δ and the negative "
        "gradient. *Order of pairs*: rank correlation of the pairs' cosines by Δ and by gradient; beside it "
        "the same of gradients on two halves of the rows: what sampling leaves, with half the rows. "
        "*Conflicts*: share of pairs, per expert, whose gradients point apart; how many of them point apart "
        "by Δ, too, and how many of the others do. Means over rounds, brackets: 95 % intervals over seeds."
    )
    return ["### When may a server believe a difference?", how, grid(head, rows)]


def share(folder):
    """How much to share."""
    table = _table(folder, "share.csv")
    if not len(table):
        return []
    rows, cells = [], table.set_index(["world", "level", "rule"])
    for world in table["world"].unique():
        for level in LEVELS[1:]:
            there = {
                rule: cells.loc[(world, level, rule)] for rule in RULES if (world, level, rule) in cells.index
            }
            gains = [
                interval(row["gain"], row["low"], row["high"]) if (row := there.get(rule)) is not None else ""
                for rule in RULES
            ]
            worst = [signed(there[rule]["worst"], 1) if rule in there else "" for rule in RULES]
            rows.append((world if level == LEVELS[1] else "", level, *gains, " / ".join(filter(None, worst))))
    head = ["world", "shared", *RULES, "worst client, in this order"]
    how = (
        "What leaves a client grows from line to line. AUC points over sharing nothing, on test rows, of the "
        "round that validation rows chose. *mean*: the same average for all; *kin*: each client's own "
        "mixture."
    )
    return ["### How much to share?", how, grid(head, rows), _breaks(table)]


def _breaks(table):
    """Where the curves of the mean break, in words."""
    said = []
    for row in breaks(table[table["level"] != NOTHING]).itertuples():
        if row.rule == MEAN and row.breaks:
            said.append(f"{row.world}: at *{row.breaks}*")
    if not said:
        return "By the mean, no further step costs so much that its interval excludes zero."
    head = "By the mean, a further step first costs points (its interval excludes zero):"
    return "\n".join([f"{head}\n", *(f"- {line}." for line in said)])


def points(value):
    """AUC points with their sign, or nothing where there is no number."""
    return "" if math.isnan(value) else signed(value)


def agreed(row):
    """A rank correlation with its interval."""
    return f"{two(row['agreement'])} [{two(row['low'])}, {two(row['high'])}]"


def transfer(folder):
    """Does a shared part transfer?"""
    table = _table(folder, "transfer.csv")
    if not len(table):
        return []
    own = table[(table["part"] == EXPERTS) & (table["predictor"] == "weight")]
    own, rows = own[own["round"].isin(SHOWN)], []
    for (world, number), both in own.groupby(["world", "round"], sort=False):
        cell = both.set_index("split")
        test, valid = cell.loc["test"], cell.loc["valid"]
        rows.append(
            (world, number, *(points(test[name]) for name in ("kin", "strangers", "gain")),
             agreed(test), agreed(valid), small(test["p"]))
        )  # fmt: skip
    head = ["world", "round", "a part of kin", "of a stranger", "of anybody", "weights agree, test rows",
            "the same, validation rows", "p (Mantel)"]  # fmt: skip
    how = (
        "`no_blend`; in each round, before the server mixes, client n is given the experts' shared part that "
        "client m has just trained, for all pairs. AUC points over n's own part, mean over pairs, on test "
        "rows. *Weights agree*: rank correlation of what a source's part is worth and the mixture weight "
        "that the server then gives it, ranked for each client. Intervals: by drawing seeds and clients; p: "
        "by putting clients in another order. Validation rows have taught the weights, so they flatter them. "
        f"Rounds {', '.join(map(str, SHOWN))} are shown, all {ROUNDS} are in the file."
    )
    return ["### Does a shared part transfer?", how, grid(head, rows)]


def size(count):
    """Bytes for a person."""
    unit, name = next(pair for pair in UNITS if count >= pair[0])
    return f"{count / unit:.3g} {name}" if unit else f"{count:.0f} B"


def duration(seconds):
    """Seconds for a person."""
    if seconds < 0.01:
        return "< 0.01 s"
    return (
        f"{seconds:.2g} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )


def estimate():
    """The table of `scale`: nothing of it was run."""
    rows = [
        (row["case"], *(size(row[name]) for name in SIZES), *(duration(row[name]) for name in TIMES),
         f"{100 * row['seen']:.3g} %")
        for _, row in scale.table().iterrows()
    ]  # fmt: skip
    how = (
        "Computed by `pfmsm_lite.lab.scale`, not run; its bytes are tested against those of a small "
        "federation. Embedding width 8, four experts 64-32. *Seen*: share of the pairs of clients that meet "
        "in one of the three rounds in which `kin` asks."
    )
    big, tenth = scale.estimate(scale.BIG), scale.estimate(scale.TENTH)
    entries = 100 * (1 - 2 * big["stacks"] / big["round"])
    said = (
        f"At 10,000 scenarios and 10⁸ entries the dense parts are small: {size(big['stacks'])} in all. If "
        f"each client holds one entry in 100, entries are {entries:.1f} % of a round's bytes, and uploads "
        f"of {size(big['waiting'])} wait for the server. One matrix of weights takes {size(big['weights'])} "
        "(the server makes several for each expert), the 50 best sources of each client "
        f"{size(big['sparse'])} (`rivals.sparse`, equal to the rule `kin` at k = N). Flower's messages are "
        "what its simulation took with 100 clients that train nothing, taken to grow in proportion: they "
        "are the longest wait where uploads are small, the line is where they are large. With a tenth of "
        f"the clients a round, {100 * tenth['seen']:.0f} % of the pairs are ever seen: the rule would have "
        "to ask for longer."
    )
    head = ["case", *SIZES.values(), *TIMES.values(), "seen"]
    return ["### Beyond this machine, on paper", how, grid(head, rows), said]

"""The pages of notebooks/results: every committed number as a table, written from the files beside it.

python -m pfmsm_lite.lab.pages                    README.md and speed.md from the CSV files, fidelity.* too
python -m pfmsm_lite bench > bench.txt
python -m pfmsm_lite.lab.pages --bench bench.txt  speed.csv first, from what `bench` printed
python -m pfmsm_lite.lab.pages --picture          figures/readme.png too, by README.md's own lines
"""

import argparse
import re
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

import pfmsm_lite.rivals  # noqa: F401  adds the rivals to METHODS
from pfmsm_lite.data import synthetic
from pfmsm_lite.lab import pages_fidelity
from pfmsm_lite.lab.markdown import grid, interval, results, section, signed, source
from pfmsm_lite.lab.pages_checks import checks
from pfmsm_lite.lab.pages_map import module_map, picked, weights
from pfmsm_lite.lab.pages_pmtrec import pmtrec
from pfmsm_lite.lab.pages_privacy import privacy
from pfmsm_lite.lab.pages_questions import questions
from pfmsm_lite.lab.pages_speed import speed_page, speed_table
from pfmsm_lite.lab.pages_standing import standing
from pfmsm_lite.lab.pages_trust import trust
from pfmsm_lite.lab.pages_worlds import harm
from pfmsm_lite.lab.statistics import HERO, against, simplest_first
from pfmsm_lite.methods import METHODS

TITLES = {  # folder → what its data are called, from the most real to the simplest
    "rivals-kuairand": "KuaiRand-Pure",
    "rivals-oulad": "OULAD",
    "rivals-adult": "Adult",
    "rivals-hard": "Harder synthetic data",
    "rivals-synthetic": "Synthetic default",
}
LAST = {"kuairand-last": "KuaiRand-Pure, its last day, which nothing was chosen on"}
HEAD = """# Results

Written by `python -m pfmsm_lite.lab.pages` from the CSV files in this folder.
Do not edit it: a test compares.
How the searches went, and what was changed after which look at the data, is in [protocol.md](protocol.md).
Times are in [speed.md](speed.md).

**How to read the tables.** AUC is the chance that a positive row is ranked above a negative one.
Each figure is the average over all scenarios and tasks on test rows, every scenario counting alike.
The round of a training is chosen on validation rows. A *point* is one hundredth of AUC.
Brackets hold a 95 % interval over paired seeds (Student's t), and over test rows where a section says so.
If it includes zero, the two methods are not separated.
A seed changes the start of a training and the order of its rows.
Where a section says so, it also changes the data or their split.
*p (Holm)* is the p-value of the paired t-test after Holm's correction for the number of lines in its table.
**Bold** marks an interval that excludes zero.
The weights on KuaiRand, and the search where quiet modules do something, are older than the rule `kin`.
There `pf_msmtrec` is what `pf_msmtrec_partners` is now.
[fidelity.md](fidelity.md) says of each part what the paper says and what is ours."""


def compared(folder):
    """Folder → title of every comparison, in the order of TITLES; others by the name of their folder."""
    there = sorted(path.parent.name for path in folder.glob("rivals-*/compare.csv"))
    known = {name: title for name, title in TITLES.items() if name in there}
    return known | {name: name for name in there if name not in known}


def methods(folder):
    """What each method in the tables is."""
    runs = ("synthetic", *compared(folder))
    seen = {name for run in runs for name in results(folder, run)["method"]}
    if (folder / "worlds").exists():
        seen |= set(results(folder, "worlds", "worlds.csv")["method"])
    rows = [
        (f"`{name}`", "no" if method.pooled else "yes", method.summary)
        for name, method in METHODS.items()
        if name in seen
    ]
    how = "Where rows do not stay at home there is no federation: these methods show what one gives up."
    return section("The methods", how, grid(["method", "rows stay at home", "what it is"], rows))


def _run(folder, name, title, how, more):
    """A section on one run with all methods as declared."""
    table = against(results(folder, name))
    rows = [
        (row.Index, f"{row.auc:.4f}", interval(row.difference, row.low, row.high))
        for row in table.loc[simplest_first(table.index)].itertuples()
    ]
    head = ["method", "test AUC", f"{HERO} minus it, points"]
    return section(title, how, grid(head, rows), more, source(folder, name))


def synthetic_default(folder):
    best = float(np.nanmean(synthetic()[1].ceiling))
    seeds = results(folder, "synthetic")["seed"].nunique()
    return _run(
        folder, "synthetic", "Synthetic default, methods as declared",
        f"Generated data: six scenarios in two groups with different tastes, {seeds} seeds. "
        "A method `no_…` is `pf_msmtrec` without one of its parts.",
        f"The generator knows the true probabilities: no model can exceed {best:.3f} on these rows.",
    )  # fmt: skip


def rivals(folder):
    """All comparisons."""
    titles = compared(folder)
    return section(
        "Rivals and relatives, the same room for all",
        "`python -m pfmsm_lite compare` tries the same number of settings for every method on validation "
        "rows: as declared first, then those that differ in one field, the method's own short list before "
        "the one for all. Where an end of a list wins, the list goes on, for all that have the field. The "
        "chosen setting is tested once on every seed.",
        *(
            standing(folder, name, title)
            for name, title in (titles | LAST).items()
            if (folder / name).exists()
        ),
    )


def searches(folder):
    """What the search gained, on validation rows."""
    parts, luck = [], []
    for run, title in compared(folder).items():
        tried = results(folder, run, "settings.csv")
        aucs = 100 * tried.groupby(["method", "number"])["valid_auc"].mean().unstack()
        rows = [
            (method, f"{own[0] / 100:.4f}", f"{own.max() / 100:.4f}", signed(own.max() - own[0]))
            for method, own in aucs.iterrows()
        ]
        head = ["method", "as declared", "chosen", "points gained"]
        parts += [f"### {title}: validation AUC of the search", grid(head, rows)]
        luck += _luck(tried, title)
    how = (
        "The gain is on the rows that chose the setting, so it flatters every method that had much to try. "
        "Every setting that was tried is in the `settings.csv` of its folder."
    )
    return section("What the searches gained", how, *luck, *parts)


def _luck(tried, title):
    """How often single seeds would have chosen another setting; nothing where there is but one."""
    if tried["seed"].nunique() < 2:
        return []
    best = tried.loc[tried.groupby(["method", "seed"])["valid_auc"].idxmax()]
    alone = best.pivot(index="method", columns="seed", values="number")
    chosen = tried[tried["chosen"] == 1].groupby("method")["number"].first()
    other = [int((alone[seed] != chosen).sum()) for seed in alone]
    apart = int((alone[0] != alone[1]).sum())
    return [
        f"On {title} each setting was tried on {alone.shape[1]} seeds. Seeds 0 and 1 prefer different "
        f"settings for {apart} of the {len(alone)} methods: seed 0 alone would have changed {other[0]} "
        f"choices, seed 1 alone {other[1]}."
    ]


def page(folder):
    """The text of README.md of a folder of committed results."""
    parts = (
        methods, harm, synthetic_default, rivals, searches, module_map, picked, weights, pmtrec,
        trust, privacy, questions, checks,
    )  # fmt: skip
    made = [HEAD, *(part(folder) for part in parts)]
    return "\n\n".join(part for part in made if part) + "\n"


def picture(readme, folder):
    """Run the first Python block of a README; what it saves as mixing.png becomes readme.png in `folder`."""
    code = re.search(r"```python\n(.*?)```", readme, re.S)[1]
    exec(code.replace('"mixing.png"', repr(str(folder / "readme.png"))), {"print": lambda *_: None})


def _speed(file):
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def main(words=None):
    """Write the pages; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pfmsm_lite.lab.pages", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--folder", type=Path, default=Path("notebooks/results"), metavar="DIR")
    parser.add_argument(
        "--bench", metavar="FILE", help="what `bench` printed, for speed.csv; - for standard input"
    )
    parser.add_argument("--picture", action="store_true", help="figures/readme.png too (trains ten rounds)")
    options = parser.parse_args(words)
    kept = options.folder / "speed.csv"
    if options.bench:
        text = sys.stdin.read() if options.bench == "-" else Path(options.bench).read_text(encoding="utf-8")
        found, before = speed_table(text, time.strftime("%Y-%m-%d")), _speed(kept)
        other = ~before.set_index(["part", "case"]).index.isin(found.set_index(["part", "case"]).index)
        pd.concat([found, before[other]]).to_csv(kept, index=False, lineterminator="\n")
    (options.folder / "README.md").write_text(page(options.folder), encoding="utf-8", newline="\n")
    pages_fidelity.write(options.folder)
    (options.folder / "speed.md").write_text(speed_page(_speed(kept)), encoding="utf-8", newline="\n")
    if options.picture:
        picture(Path("README.md").read_text(encoding="utf-8"), Path("figures"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Whether a method harms anybody, on the results page: every kind of world, and the comparisons."""

import pandas as pd

from pfmsm_lite.lab.markdown import config, grid, interval, results, section, signed, source
from pfmsm_lite.lab.statistics import HERO
from pfmsm_lite.lab.worlds import YARDSTICKS, regrets

HEAD = ["world", "method", "test AUC", "over the best yardstick, points", "worst client over local",
        "clients that lose > 1"]  # fmt: skip


BEHIND, BELOW = 0.3, 1  # AUC points: the bounds that were set for the default
REAL = {  # folder → what its data are called
    "harm-oulad": "OULAD",
    "harm-adult": "Adult",
    "rivals-kuairand": "KuaiRand-Pure",
}


def harm(folder):
    """The table of `worlds`, and the same of real data; "" where `worlds` was not run."""
    file = folder / "worlds" / "worlds.csv"
    if not file.exists():
        return ""
    table = pd.read_csv(file)
    yardsticks = ", ".join(f"`{name}`" for name in YARDSTICKS)
    return section(
        "Does it harm anybody?",
        f"Generated worlds, {table['seeds'].max()} seeds, each with data of its own; methods as declared, "
        f"{config(folder, 'worlds')['arguments']['rounds']} rounds. Yardsticks: {yardsticks}; in each world "
        "the one that is best on its test rows. The last two columns are means over seeds and tasks, a "
        "client against itself under `local`.",
        _grid(table),
        _said(table[table["method"] == HERO]),
        source(folder, "worlds"),
        *_real(folder),
    )


def _grid(table):
    rows = []
    for again, row in zip(table["world"].duplicated(), table.itertuples(), strict=True):
        lead = interval(-row.regret, -row.high, -row.low) if row.regret else "the best of them"
        worst = f"{signed(row.worst, 1)} ({row.worst_client})"
        world = "" if again else row.world
        rows.append(
            (world, f"`{row.method}`", f"{row.auc:.4f}", lead, worst, f"{row.losing} of {row.clients}")
        )
    return grid(HEAD, rows)


def _said(ours):
    """Where the method is furthest behind, and who fares worst with it."""
    most, least = ours.loc[ours["regret"].idxmax()], ours.loc[ours["worst"].idxmin()]
    behind = f"Where it is furthest behind, `{HERO}` is {most.regret:.2f} points behind ({most.world})."
    if most.regret <= 0:
        behind = f"`{HERO}` is behind nowhere; its smallest lead is {-most.regret:.2f} points ({most.world})."
    kept = ((ours["regret"] <= BEHIND) & (ours["worst"] >= -BELOW)).sum()
    bounds = f"at most {BEHIND} points behind, no client more than {BELOW} point below `local`"
    verb = "gains" if least.worst >= 0 else "loses"
    return (
        f"{behind} The client that fares worst with it is {least.worst_client} ({least.world}): it {verb} "
        f"{abs(least.worst):.1f} points over training alone. Two bounds were set beforehand, {bounds}: kept "
        f"in {kept} of {len(ours)}, by these means."
    )


def real_regrets(folder):
    """The table of `worlds` for the real data that are there."""
    parts = []
    for name, title in REAL.items():
        if (folder / name).exists():
            rows = results(folder, name)
            window = rows["window"].astype(str) if "window" in rows else ""
            parts.append(rows.assign(world=title, seed=window + rows["seed"].astype(str)))
    return regrets(pd.concat(parts)) if parts else pd.DataFrame()


def _real(folder):
    table = real_regrets(folder)
    if not len(table):
        return []
    table = table[table["method"].isin([*YARDSTICKS, HERO, "no_blend"])]
    how = (
        "The same on real data: OULAD and Adult with methods as declared, each seed with a random split of "
        "its own. KuaiRand has three windows in time and one start each; every method has the setting that "
        "validation rows of the first window chose for it."
    )
    sources = [source(folder, name) for name in REAL if (folder / name).exists()]
    return [how, _grid(table), _said(table[table["method"] == HERO]), *sources]

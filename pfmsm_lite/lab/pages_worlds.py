"""Whether a method harms anybody, on the results page: every kind of world, and the comparisons."""

import pandas as pd

from pfmsm_lite.lab.markdown import config, grid, interval, results, section, signed, source
from pfmsm_lite.lab.statistics import HERO
from pfmsm_lite.lab.worlds import YARDSTICKS, regrets

HEAD = ["world", "method", "test AUC", "behind the best yardstick, points", "worst client over local",
        "clients that lose > 1"]  # fmt: skip


def harm(folder, titles):
    """The table of `worlds`, and the same of comparisons; "" where `worlds` was not run.

    titles  folder → title of each comparison
    """
    file = folder / "worlds" / "worlds.csv"
    if not file.exists():
        return ""
    table = pd.read_csv(file)
    yardsticks = ", ".join(f"`{name}`" for name in YARDSTICKS)
    return section(
        "Does it harm anybody?",
        f"Generated worlds, {table['seeds'].max()} seeds, each with data of its own; methods as declared, "
        f"{config(folder, 'worlds')['arguments']['rounds']} rounds. Yardsticks: {yardsticks}; the best of "
        "them on test rows is told in each world. A minus says that a method is ahead of it. The last two "
        "columns are means over seeds and tasks, a client against itself under `local`.",
        _grid(table),
        _said(table[table["method"] == HERO]),
        source(folder, "worlds"),
        *_compared(folder, titles),
    )


def _grid(table):
    rows = [
        (
            "" if again else row.world, f"`{row.method}`", f"{row.auc:.4f}",
            interval(row.regret, row.low, row.high), f"{signed(row.worst, 1)} ({row.worst_client})",
            f"{row.losing} of {row.clients}",
        )
        for again, row in zip(table["world"].duplicated(), table.itertuples(), strict=True)
    ]  # fmt: skip
    return grid(HEAD, rows)


def _said(ours):
    """Where the method is furthest behind, and who fares worst with it."""
    most, least = ours.loc[ours["regret"].idxmax()], ours.loc[ours["worst"].idxmin()]
    return (
        f"Where it is furthest behind, `{HERO}` is {signed(most.regret)} points behind ({most.world}); the "
        f"client that fares worst with it gains {signed(least.worst, 1)} points over training alone "
        f"({least.world}, {least.worst_client})."
    )


def compared_regrets(folder, titles):
    """The table of `worlds` for the comparisons: the chosen settings in the place of the declared ones."""
    parts = []
    for name, title in titles.items():
        rows = results(folder, name)
        window = rows["window"].astype(str) if "window" in rows else ""
        kept = rows["method"].isin([*YARDSTICKS, HERO])
        parts.append(rows.assign(world=title, seed=window + rows["seed"].astype(str))[kept])
    return regrets(pd.concat(parts))


def _compared(folder, titles):
    if not titles:
        return []
    table = compared_regrets(folder, titles)
    how = (
        "The same for the comparisons below: every method with the setting that validation rows chose for "
        "it. On real data the intervals here are over starts (KuaiRand: windows in time); those over test "
        "rows, too, stand in the tables below."
    )
    return [how, _grid(table), _said(table[table["method"] == HERO])]

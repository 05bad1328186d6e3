"""Whether a method harms anybody, on the results page: every kind of world, one setting."""

import pandas as pd

from pfmsm_lite.lab.markdown import config, grid, interval, section, signed, source
from pfmsm_lite.lab.worlds import YARDSTICKS

HEAD = ["world", "method", "test AUC", "behind the best yardstick, points", "worst client over local",
        "clients that lose > 1"]  # fmt: skip


def harm(folder):
    """The table of `worlds`, one line per world and method; "" where it was not run."""
    file = folder / "worlds" / "worlds.csv"
    if not file.exists():
        return ""
    table = pd.read_csv(file)
    rows = [
        (
            "" if again else row.world, f"`{row.method}`", f"{row.auc:.4f}",
            interval(row.regret, row.low, row.high), f"{signed(row.worst, 1)} ({row.worst_client})",
            f"{row.losing} of {row.clients}",
        )
        for again, row in zip(table["world"].duplicated(), table.itertuples(), strict=True)
    ]  # fmt: skip
    yardsticks = ", ".join(f"`{name}`" for name in YARDSTICKS)
    ours = table[~table["method"].isin(YARDSTICKS)]
    most, least = ours.loc[ours["regret"].idxmax()], ours.loc[ours["worst"].idxmin()]
    return section(
        "Does it harm anybody?",
        f"Generated worlds, {table['seeds'].max()} seeds, each with data of its own; methods as declared, "
        f"{config(folder, 'worlds')['arguments']['rounds']} rounds. Yardsticks: {yardsticks}; the best of "
        "them on test rows is told in each world. A minus says that a method is ahead of it. The last two "
        "columns are means over seeds and tasks, a client against itself under `local`.",
        grid(HEAD, rows),
        f"Where it is furthest behind, `{most.method}` is {most.regret:+.2f} points behind "
        f"({most.world}); the client that fares worst with it gains {signed(least.worst, 1)} points over "
        f"training alone ({least.world}).",
        source(folder, "worlds"),
    )

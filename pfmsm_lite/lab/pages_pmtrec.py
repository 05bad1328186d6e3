"""PMTRec and its controls on the results page."""

from pfmsm_lite.lab.markdown import config, grid, interval, results, section, source
from pfmsm_lite.lab.statistics import paired_interval

MEASURES = ("recall@20", "ndcg@20", "hit@20", "recall@40", "ndcg@40", "hit@40")
CONTROL = "equal"
ARMS = {  # arm → what it is
    "main_only": "the main task alone",
    "equal": "all tasks of a row have equal weights",
    "random": "weights drawn anew each epoch",
    "no_focus": "PMTRec without focusing (α = 1)",
    "no_temperature": "PMTRec without balancing (τ = 1)",
    "pmtrec": "PMTRec as its paper prints it",
}


def pmtrec(folder):
    """A table for each world and encoder: measures, and NDCG@20 over equal weights; "" if not run."""
    if not (folder / "pmtrec").exists():
        return ""
    runs = results(folder, "pmtrec", "runs.csv")
    parts = []
    for (world, encoder), own in runs.groupby(["world", "encoder"], sort=False):
        by_arm = own.groupby("arm", sort=False)[list(MEASURES)].mean()
        ndcg = 100 * own.pivot(index="seed", columns="arm", values="ndcg@20")
        lines = [
            (
                f"`{arm}`: {ARMS[arm]}", *(f"{value:.3f}" for value in by_arm.loc[arm]),
                "" if arm == CONTROL else interval(*paired_interval(ndcg[arm], ndcg[CONTROL])),
            )
            for arm in by_arm.index
        ]  # fmt: skip
        title = f"### Auxiliary tasks that {'help' if world == 'helps' else 'mislead'}, {encoder}"
        parts += [title, grid(["weights", *MEASURES, f"NDCG@20 over `{CONTROL}`, points"], lines)]
    searched = config(folder, "pmtrec")["arguments"]["searched"]
    return section(
        "PMTRec: a weight for each user and task",
        "A generated log of four tasks, clicks the main one. In the second world the task `long_view` "
        f"misleads every second user. {runs['seed'].nunique()} seeds, each with data of its own. Settings by "
        f"validation NDCG@20 on seed {', '.join(map(str, searched))}, ten for each line. A point is a "
        "hundredth of NDCG. Chapter 09 opens the method; [settings.csv](pmtrec/settings.csv) has all that "
        "were tried.",
        *parts,
        source(folder, "pmtrec"),
    )  # fmt: skip

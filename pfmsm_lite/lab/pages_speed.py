"""The page on speed: from what `bench` printed to a table, and from the table to Markdown."""

import re

import pandas as pd

from pfmsm_lite.lab.markdown import grid, interval

STAGES = ("round", "train", "pack", "normalize", "coordinate", "aggregate", "unpack", "embedding", "evaluate")
SPEED = ("part", "case", "measure", "value")  # columns of speed.csv


def speed_table(text, date):
    """What `bench` printed → DataFrame with SPEED, one value per line; date: when it was run.

    raises  ValueError where the text is not what `bench` prints
    """
    about = re.search(r"^(.+), PyTorch (\S+), 1 thread; medians of (\d+)$", text, re.M)
    training = re.findall(r"^  (\S.*?) +([\d,]+) rows/s +([\d.]+) × the matrix products$", text, re.M)
    rounds = re.findall(r"^  (\d+ clients, .*?)((?: +[\d.]+){9}) +([\d.]+)%$", text, re.M)
    peak = re.search(r"^Peak memory of this process: ([\d,]+|nan) MiB$", text, re.M)
    if not (about and training and rounds and peak):
        raise ValueError("This is not what `python -m pfmsm_lite bench` prints.")
    lines = [
        ("about", "", name, value)
        for name, value in zip(("machine", "torch", "repeats"), about.groups(), strict=True)
    ]
    lines += [("about", "", "date", date), ("memory", "bench", "peak MiB", peak[1].replace(",", ""))]
    for case, value, unit in re.findall(r"^  (\S.*?) +([\d.,]+) (s|MiB)$", text, re.M):
        lines.append(("fresh", case, unit, value.replace(",", "")))
    lines += _published(text)
    for case, rows, times in training:
        lines += [("training", case, "rows/s", rows.replace(",", "")), ("training", case, "times", times)]
    for case, seconds, beside in rounds:
        measured = zip((*STAGES, "beside training %"), (*seconds.split(), beside), strict=True)
        lines += [("round", case.strip(), stage, value) for stage, value in measured]
    return pd.DataFrame(lines, columns=SPEED)


def _published(text):
    """What was measured of a large published file, if it was: lines of speed.csv."""
    found = re.findall(
        r"^  (\S.*?) +([\d,]+) rows/s +([\d.]+) × pyarrow's processor time +peak ([\d,]+) MiB, "
        r"([\d,]+|nan) of",
        text, re.M,
    )  # fmt: skip
    rows = re.findall(r"^Reading AliExpress, ([\d,]+) generated rows", text, re.M)[:1] if found else []
    names = ("rows/s", "times", "peak MiB", "anonymous MiB")
    return [("published", "", "rows", own.replace(",", "")) for own in rows] + [
        ("published", case, name, value.replace(",", ""))
        for case, *values in found
        for name, value in zip(names, values, strict=True)
    ]


def _large(cases):
    """A head and a table of a large published file, if it was measured."""
    if "published" not in cases:
        return []
    own = cases["published"].fillna("")
    rows = int(own.loc["", "rows"])
    head = (
        f"## A large published file\n\nAliExpress, {rows:,} generated rows × 82 columns, one thread, each "
        "line a process of its own. Memory in no file is what the system cannot take back: it depends on the "
        "size of a block and on the values of the columns, not on the number of rows."
    )
    columns = [
        "what is done",
        "rows per second",
        "processor time, pyarrow's = 1",
        "peak MiB",
        "of it in no file",
    ]
    lines = [
        (case, f"{float(line['rows/s']):,.0f}", line["times"], line["peak MiB"], line["anonymous MiB"])
        for case, line in own.drop(index="").iterrows()
    ]
    return [head, grid(columns, lines)]


def _fresh(cases):
    """What was measured in processes of their own, if it was: a head and a table."""
    if "fresh" not in cases:
        return []
    rows = [(case, own["s"], own["MiB"]) for case, own in cases["fresh"].fillna("").iterrows()]
    head = "## In processes of their own\n\nPyTorch's usual number of threads."
    return [head, grid(["what is run", "seconds", "MiB"], rows)]


def _beside(rounds):
    """How long evaluation takes with many clients, and the whole method next to FedAvg, in words."""
    many, other, usual = "256 clients, 65,536 rows", "16 clients, fedavg_sum", "16 clients, 65,536 rows"
    if not {many, other} <= set(rounds.index):
        return ""
    share = 100 * rounds.loc[many, "evaluate"] / rounds.loc[many, "round"]
    times = rounds.loc[usual, "round"] / rounds.loc[other, "round"]
    return (
        f" With 256 clients evaluation takes {share:.0f} % of a round. A round of `pf_msmtrec`, whose "
        f"template gives each of two tasks experts of its own, takes {times:.2f} times as long as FedAvg's; "
        "its model at home is not trained here."
    )


def speed_page(found):
    """The text of speed.md; found: DataFrame as in `speed_table`, all values text."""
    about = found[found["part"] == "about"].set_index("measure")["value"]
    cases = {
        part: own.pivot(index="case", columns="measure", values="value").reindex(own["case"].unique())
        for part, own in found[found["part"] != "about"].groupby("part")
    }
    training, rounds, memory = cases["training"], cases["round"], cases["memory"]["peak MiB"]
    products, large = training["rows/s"].astype(float), "this MMoE, 100,000 values per field"
    usual = products["this MMoE"]
    clients = rounds.astype(float).loc[["4 clients, 65,536 rows", "64 clients, 65,536 rows"]]
    longer = clients["round"].iloc[1] / clients["round"].iloc[0]
    scoring = 100 * clients["evaluate"].diff().iloc[1] / clients["round"].diff().iloc[1]
    parts = [
        "# Speed and memory\n\nWritten by `python -m pfmsm_lite.lab.pages` from [speed.csv](speed.csv), "
        "which holds what `python -m pfmsm_lite bench` printed. Do not edit it: a test compares.",
        f"{about['machine']}, PyTorch {about['torch']}, one thread, medians of {about['repeats']}, "
        f"{about['date']}. The machine is shared, so look at the ratios; they move by a "
        "tenth from run to run.",
        "## Local training\n\n16 fields of 1,000 values, embedding size 16, 8 experts of 128 and 64 units, "
        "towers of 64, batch 2,048. The last column is time as a multiple of the experts' bare "
        "matrix products.",
        grid(
            ["what is run", "rows per second", "time"],
            [(c, f"{float(own['rows/s']):,.0f}", f"{own['times']} ×") for c, own in training.iterrows()],
        ),
        f"bf16 is {products['this MMoE, bf16'] / usual:.2f} × as fast. With the large vocabulary training "
        f"keeps {100 * products[large] / usual:.0f} % of its speed, because entries of the table that a "
        "batch does not use cost nothing.",
        "## One round of `pf_msmtrec`\n\n16 fields of 200 values, the default model, batch 512; seconds by "
        "stage. The last column is the share of the round that is neither training nor evaluation: what the "
        "server does.",
        grid(
            ["case", *STAGES, "server"],
            [(case, *own[list(STAGES)], f"{own['beside training %']} %") for case, own in rounds.iterrows()],
        ),
        f"With 64 clients over the same rows, a round takes {longer:.1f} times as long as with 4; "
        f"{scoring:.0f} % of the difference is the evaluation of 64 small data sets one by one."
        + _beside(rounds.astype(float)),
        "## Memory\n\nPeak of one process.",
        grid(["what is run", "MiB"], [(case, f"{float(peak):,.0f}") for case, peak in memory.items()]),
    ]
    parts += _large(cases)
    parts += _fresh(cases)
    if "precision" in cases:
        own = cases["precision"]
        rows = [(case, interval(*map(float, line[["gain", "low", "high"]]))) for case, line in own.iterrows()]
        parts += ["## What bf16 costs\n\n`--precision bf16` minus fp32, AUC points on test rows.",
                  grid(["data", "points"], rows)]  # fmt: skip
    return "\n\n".join(parts) + "\n"

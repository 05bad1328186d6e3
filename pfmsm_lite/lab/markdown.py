"""Results as Markdown: tables, intervals, and where a number comes from."""

import json

import numpy as np
import pandas as pd


def grid(head, rows):
    """A Markdown table: names of the columns, then rows of cells (text or numbers)."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def signed(value, digits=2):
    """A number with its sign; minus as in print."""
    return f"{value:+.{digits}f}".replace("-", "−")


def interval(mean, low, high):
    """A gain in points with its interval, bold where that excludes zero; empty where there is none."""
    if not np.isfinite([mean, low, high]).all():
        return "" if np.isnan(mean) else signed(mean)
    text = f"{signed(mean)} [{signed(low)}, {signed(high)}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def small(value):
    """A p-value; empty where there is none."""
    return "" if np.isnan(value) else f"{value:.1g}" if value < 0.001 else f"{value:.3f}"


def config(folder, name):
    return json.loads((folder / name / "config.json").read_text(encoding="utf-8"))


def source(folder, name):
    """Command, date, machine and versions of a committed run: one line."""
    kept = config(folder, name)
    used = kept["versions"]
    return (
        f"Made by `{kept['command']}` on {kept['date']}; {kept['machine']}; pfmsm_lite "
        f"{used['pfmsm_lite']}, Python {used['python']}, PyTorch {used['torch']}. Files: [{name}]({name})."
    )


def results(folder, name, file="results.csv"):
    return pd.read_csv(folder / name / file)


def section(title, *paragraphs):
    return "\n\n".join([f"## {title}", *(text for text in paragraphs if text)])

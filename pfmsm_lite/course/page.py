"""A finished run as one HTML page without network or kernel: figures, tables, rounds to move through."""

import base64
import hashlib
import io
import json
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pfmsm_lite import __version__
from pfmsm_lite.course.drawings.chapter08 import ablation
from pfmsm_lite.course.replay import replay
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.charts import forest
from pfmsm_lite.lab.figures import auc_by_scenario, convergence, recorded_of
from pfmsm_lite.lab.heatmaps import conflicts, mixing, of_unit, ratios
from pfmsm_lite.lab.run import rounds_said
from pfmsm_lite.lab.runs import Run
from pfmsm_lite.lab.spread import by_scenario, gains
from pfmsm_lite.lab.statistics import EVEN, costs, paired, per_seed
from pfmsm_lite.lab.style import signed

FOLDER = Path(__file__).parent
DPI = 130
HOW = {  # figure → its heading, how to read it
    "gains": (
        "Who gains and who pays",
        "A number is what a scenario gains over learning alone, in AUC points (hundredths of AUC). Blue "
        "gains, red pays.",
    ),
    "auc": (
        "AUC, scenario by scenario",
        "AUC is the chance that a positive row ranks above a negative one: 0.5 is guessing. Look at the "
        "smallest scenarios first: there a federation has most to give.",
    ),
    "forest": (
        "How far ahead",
        "A line shows how far the main method is ahead of another one, with the 95 % interval over seeds. A "
        "hollow mark is a difference that the seeds cannot tell from zero.",
    ),
    "mixing": (
        "Who learns from whom",
        "Each line is one client. Blue cells are sources from which it takes more than an even split would "
        "give it, red cells less; grey is its weight on itself.",
    ),
    "conflicts": (
        "Whose updates conflict",
        "Blue: two clients move their models the same way. Red: in opposite directions.",
    ),
    "convergence": (
        "Round by round",
        "A curve that still rises at the end needs more rounds. One that jumps or sinks has a learning rate "
        "that is too high.",
    ),
    "ablation": ("Module by module", "What is lost without a module is what it is worth on these data."),
}


def page(run: Run, verdict: Sequence[str] = ()) -> str:
    """The HTML of a run.

    verdict  sentences for the top; without any, the findings of the figures
    returns  one document; every name and value of the run is escaped, and only the page's own script may run
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    script, figures, moves = (
        (FOLDER / "page.js").read_text(encoding="utf-8"),
        list(_figures(run)),
        replay(run),
    )
    text = environment.get_template("page.html").render(
        title=f"{run.name}: who should learn from whom",
        facts=_facts(run),
        made=f"{time.strftime('%Y-%m-%d')} by pfmsm_lite {__version__}",
        origin=run.origin,
        verdict=list(verdict or dict.fromkeys(figure["finding"] for figure in figures)),
        refused=_refused(run),
        notes=_notes(run.notes),
        methods=_methods(run),
        scenarios=_scenarios(run),
        figures=figures,
        thinned=moves["thinned"],
        data=_json(moves),
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return text.encode("utf-8", "replace").decode()


def _json(value):
    """JSON that can stand in a script element: nothing in it closes the element or opens a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _count(number, word):
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _facts(run):
    """One line: how many scenarios, rows, methods, seeds and rounds were compared."""
    tasks, rounds = list(dict.fromkeys(run.results["task"])), int(run.rounds["round"].max())
    parts = [_count(len(run.sizes), "scenario"), _count(sum(run.sizes.values()), "training row")]
    parts += [_count(len(run.methods), "method"), _count(len(run.seeds), "seed"), _count(rounds, "round")]
    return f"{', '.join(parts)}. Task{'s' * (len(tasks) > 1)}: {', '.join(tasks)}."


def _refused(run):
    """A sentence for each client of a training whose uploads the server refused."""
    lost = run.rounds[run.rounds["refused"] > 0]
    found = []
    for (method, seed, client), own in lost.groupby(["method", "seed", "scenario"], sort=False):
        some = rounds_said(sorted(own["round"].unique()))
        found.append(
            f"{method}, seed {seed}: in {some} the upload of {client} was refused; log.txt says why."
        )
    return found


def _notes(notes):
    """The run's notes, sorted: warnings first, then sentences, then columns, which may be a thousand."""
    warnings = [note.removeprefix("Warning: ") for note in notes if note.startswith("Warning: ")]
    columns = [note.removeprefix("column ") for note in notes if note.startswith("column ")]
    rest = [note for note in notes if not note.startswith(("Warning: ", "column "))]
    return {"warnings": warnings, "columns": columns, "sentences": rest}


# ---- figures ----


def _figures(run: Run) -> Iterable[dict[str, Any]]:
    """heading, how (to read it), finding, alt, source (a data address) of every figure that can be drawn."""
    recorded = [cell for cell, h in run.histories.items() if "weights" in h.arrays and len(h.clients) > 1]
    recorded.sort(key=lambda cell: cell[0] != run.hero)
    draw = {
        "gains": lambda: gains(run.results),
        "auc": lambda: auc_by_scenario(run.results, run.ceiling, sizes=run.sizes),
        "forest": lambda: forest(run.results, run.hero, run.name),
        "ablation": lambda: ablation(run.results, run.hero, run.name),
        "convergence": lambda: convergence(run.rounds),
    }
    if recorded:
        history = run.histories[recorded[0]]
        of = recorded_of(history)
        known = run.clusters if run.clusters and len(run.clusters) == len(history.clients) else None
        draw["mixing"] = lambda: mixing(history.weights.assign_attrs(of), clusters=known)
        draw["conflicts"] = lambda: conflicts(history.cosines.assign_attrs(of), clusters=known)
    for name, (heading, how) in HOW.items():
        if name not in draw:
            continue
        try:
            figure = draw[name]()
        except (UserError, ValueError):  # these results have nothing for it
            continue
        png = io.BytesIO()
        figure.savefig(png, dpi=DPI)
        source = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
        said = {"heading": heading, "how": how, "finding": f"{figure.finding}.", "alt": figure.alt}
        yield {**said, "source": source}


# ---- tables: {"head": [(name, is a number)], "rows": [[(value to sort by, text to read)]]} ----


def _number(value, text):
    """A cell: (number or "", text); a dash where there is no number."""
    known = value is not None and math.isfinite(value)
    return (float(value), text(value)) if known else ("", "–")


def _interval(line):
    """A cell of a difference in points with its interval."""
    text = signed(line.difference, 2) if math.isfinite(line.difference) else ""
    if math.isfinite(line.low):
        text += f" [{signed(line.low, 2)}, {signed(line.high, 2)}]"
    return _number(line.difference, lambda value: text)


def _methods(run):
    """Methods, best first: AUC, difference, log loss, and what they cost."""
    spent, averages = costs(run.results, run.rounds), per_seed(run.results)
    reference = "local" if "local" in averages else run.hero
    losses = run.results.query("split == 'test'").groupby("method")["logloss"].mean()
    head = [
        "method",
        "AUC",
        f"points over {reference} [95 %]",
        "log loss",
        "KB sent per round",
        "seconds",
        "best round",
    ]
    rows = []
    for line in spent.itertuples():
        own = paired(averages[line.Index], averages[reference])
        rows.append(
            [
                (line.Index, line.Index),
                _number(line.auc, lambda v: f"{v:.4f}"),
                ("", "–") if line.Index == reference else _interval(own),
                _number(losses[line.Index], lambda v: f"{v:.4f}"),
                ("", "its rows")
                if math.isnan(line.kilobytes)
                else _number(line.kilobytes, lambda v: f"{v:,.1f}"),
                _number(line.seconds, lambda v: f"{v:,.1f}"),
                _number(line.best_round, lambda v: f"{v:.1f}".removesuffix(".0")),
            ]
        )
    return {"head": [(name, number > 0) for number, name in enumerate(head)], "rows": rows}


def _scenarios(run):
    """Scenarios, most gain first: rows, positives, AUC alone and with the main method, main sources."""
    test = run.results.query("split == 'test'")
    aucs = test.groupby(["method", "scenario"])["auc"].mean()
    single = test.drop_duplicates(["scenario", "task"]).groupby("scenario")
    positives = single["positives"].sum() / single["rows"].sum().clip(lower=1)
    hero, alone = run.hero, "local" if "local" in run.methods and run.hero != "local" else None
    table, sources = by_scenario(run.results, hero, alone), _sources(run)
    head = [("scenario", False)]
    head += [(f"points over {alone} [95 %]", True)] if alone else []
    head += [("takes most from", False)] if sources else []
    head += [(f"AUC {m}", True) for m in (alone, hero) if m] + [("training rows", True), ("positives", True)]
    rows = []
    for line in table.itertuples():
        name = line.Index
        row = [(name, name)] + ([_interval(line)] if alone else [])
        row += [(sources.get(name, ""),) * 2] if sources else []
        row += [_number(aucs.get((m, name)), lambda v: f"{v:.4f}") for m in (alone, hero) if m]
        row.append(_number(run.sizes.get(name), lambda v: f"{v:,}"))
        rows.append([*row, _number(positives.get(name), lambda v: f"{100 * v:.1f} %")])
    return {"head": head, "rows": rows}


def _sources(run, most=3):
    """Scenario → its main sources in the chosen round, in words: mean over seeds and experts of the ratio."""
    own = [h for (m, _), h in run.histories.items() if m == run.hero and "weights" in h.arrays]
    if not own or len(own[0].clients) < 2:
        return {}
    chosen = [of_unit(h.weights.isel(round=[h.best_round - 1]), None)[0].values[0] for h in own]
    ratio, names = np.mean([ratios(weights) for weights in chosen], axis=0), [str(n) for n in own[0].clients]
    found = {}
    for n, name in enumerate(names):
        known = pd.Series(ratio[n], names).dropna().nlargest(most)
        top = [f"{other} {times:.1f} ×" for other, times in known.items() if times >= EVEN]
        found[name] = ", ".join(top) or "evenly from all" if known.size else "nobody"
    return found

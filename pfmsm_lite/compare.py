"""A fair comparison: as many settings tried for every method, chosen on validation rows, tested once."""

import itertools
import json
import random
import sys
import time
import zlib
from dataclasses import asdict, fields, replace
from typing import NamedTuple

import numpy as np

from pfmsm_lite.errors import UserError
from pfmsm_lite.job import declared, describe, replace_text, run_cells, write_config
from pfmsm_lite.methods import METHODS, SEARCH, SERVER_SEARCH, Method

TUNING_SEED = 0  # settings are chosen with this seed, on validation rows
COLUMNS = (
    "method", "auc", "difference", "low", "high", "p", "p_holm", "seeds", "tried", "best_round",
    "sent_kb", "stored_kb", "seconds", "setting",
)  # fmt: skip


class Cell(NamedTuple):
    """One training: `number` counts a method's settings (kind "try") or its seeds (kind "test")."""

    method: str
    kind: str
    number: int

    @property
    def file(self):
        return f"{self.method}-{self.kind}-{self.number}"

    @property
    def title(self):
        """(name, seed) for the progress display."""
        tried = f"{self.method}, setting {self.number}"
        return (tried, TUNING_SEED) if self.kind == "try" else (self.method, self.number)


def grid(method):
    """field → values that a comparison tries for this method."""
    common = {**SEARCH, **(SERVER_SEARCH if method.sent else {})}
    return {**common, **method.search}


def candidates(method, settings, budget):
    """The settings that a method gets: its own as declared first, then others drawn from its grid.

    returns  list of at most `budget` dicts field → value, {} first; fewer only where the grid is smaller
    """
    lists = grid(method)
    whole = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    usual = {field: getattr(method, field, getattr(settings, field, None)) for field in lists}
    others = [setting for setting in whole if setting != usual]
    random.Random(zlib.crc32(method.name.encode())).shuffle(others)
    return [{}, *others[: budget - 1]]


def with_setting(method, settings, setting):
    """(Method, Settings) with a setting put in."""
    own = {f.name for f in fields(Method)}
    return (
        replace(method, **{field: value for field, value in setting.items() if field in own}),
        replace(settings, **{field: value for field, value in setting.items() if field not in own}),
    )


def holm(p):
    """Holm's step-down correction of p-values [K]; NaN stay NaN and are not counted (Holm, 1979)."""
    p = np.asarray(p, float)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.maximum.accumulate(steps).clip(max=1.0)
    return adjusted


def stored_bytes(federation):
    """Bytes of parameters that a client keeps, mean over the clients; a second model counts."""
    models = [m for c in federation.clients for m in (c.model, c.personal.model if c.personal else None)]
    return sum(4 * p.numel() for m in models if m is not None for p in m.parameters()) / len(
        federation.clients
    )


def train_cell(title, method, settings, seed, checkpoint):
    """In a worker: train one cell; returns what is kept of it, plain enough for JSON."""
    from pfmsm_lite import job
    from pfmsm_lite.federated import Federation

    history = job.train(title, method, settings, seed, checkpoint)
    spent = history.rounds.drop_duplicates(["round", "scenario"])
    alone = (
        spent.drop_duplicates("round") if method.pooled else spent
    )  # one model stands beside every scenario
    return {
        "valid_auc": history.best_auc,
        "best_round": history.best_round,
        "results": json.loads(history.results.to_json(orient="values")),
        "sent_kb": 0.0 if method.pooled else float(spent["bytes"].mean()) / 1000,
        "stored_kb": stored_bytes(Federation(job.data(), method, settings, seed)) / 1000,
        "seconds": float(alone["seconds"].sum()),
        "stopped": history.stopped,
    }


def compare(out, arguments, show=print, screen=sys.stderr):
    """Search, choose, test, and write the tables; returns the cells that failed: {Cell: reason}.

    out        directory, made by job.prepare; what is finished in it is not done again
    arguments  of the command, in full: methods, seeds (a list), budget and those of `run`
    """
    import torch

    from pfmsm_lite.data import digest
    from pfmsm_lite.job import reader

    torch.set_num_threads(arguments["threads"])
    read, _ = reader(arguments)
    scenarios, truth = read(arguments)
    chosen, settings = declared(arguments)
    data_digest = _same_as_before(out, arguments, digest(scenarios))
    write_config(out, arguments, data_digest, scenarios)
    describe(scenarios, truth, chosen, arguments, show)
    del scenarios
    (out / "cells").mkdir(exist_ok=True)
    started, failed = time.monotonic(), {}

    def done(jobs):
        found, missing = {}, {}
        for cell, job in jobs.items():
            found[cell] = _kept(out, cell, job)
        missing = {cell: job for cell, job in jobs.items() if found[cell] is None}
        work = {cell.title: (*job, out / "checkpoint" / f"{cell.file}.pt") for cell, job in missing.items()}
        by_title = {cell.title: cell for cell in missing}
        for title, future in run_cells(train_cell, work, out, arguments, data_digest, screen) if work else ():
            cell = by_title[title]
            if (error := future.exception()) is not None:
                failed[cell] = f"{type(error).__name__}: {error}"
                continue
            found[cell] = _keep(out, cell, missing[cell], future.result())
        return {cell: kept for cell, kept in found.items() if kept is not None}

    settings_of = {method.name: candidates(method, settings, arguments["budget"]) for method in chosen}
    tries = {
        Cell(method.name, "try", k): (*with_setting(method, settings, setting), TUNING_SEED)
        for k in range(arguments["budget"])
        for method in chosen
        if k < len(settings_of[method.name])
        for setting in [settings_of[method.name][k]]
    }
    show(f"{len(tries)} settings tried on validation rows, seed {TUNING_SEED}")
    tried = done(tries)
    best = _best(chosen, tried)
    tests = {
        Cell(method.name, "test", seed): (
            *with_setting(method, settings, settings_of[method.name][best[method.name]]),
            seed,
        )
        for seed in arguments["seeds"]
        for method in chosen
        if method.name in best
    }
    show(f"{len(tests)} runs with the chosen settings, tested once")
    tested = done(tests)
    show(f"{len(tried) + len(tested)} of {len(tries) + len(tests)} trainings are done, "
         f"{time.monotonic() - started:.0f} s\n")  # fmt: skip
    _write(out, chosen, settings_of, best, tried, tested, show)
    for cell, reason in failed.items():
        show(f"FAILED {cell.file}: {reason}")
    if failed:
        show(f"Do only these again: python -m pfmsm_lite compare --resume {out}")
    return failed


def _same_as_before(out, arguments, digest):
    config = out / "config.json"
    if config.exists() and json.loads(config.read_text())["data"]["digest"] != digest:
        raise UserError(f"The data is not what {out} was compared on. Start again with another --out.")
    return digest


def _fingerprint(method, settings, seed):
    return json.dumps([asdict(method), asdict(settings), seed], sort_keys=True, default=str)


def _kept(out, cell, job):
    """What is kept of a finished cell, or None. A damaged file, or one of another setting, is done again."""
    try:
        kept = json.loads((out / "cells" / f"{cell.file}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if kept.get("of") == _fingerprint(*job) else None


def _keep(out, cell, job, result):
    kept = {"of": _fingerprint(*job), **result}
    replace_text(out / "cells" / f"{cell.file}.json", json.dumps(kept) + "\n")
    (out / "checkpoint" / f"{cell.file}.pt").unlink(missing_ok=True)
    return kept


def _best(chosen, tried):
    """Method → number of the setting with the best validation AUC; of equals the first."""
    best = {}
    for method in chosen:
        own = {cell.number: kept["valid_auc"] for cell, kept in tried.items() if cell.method == method.name}
        if own:
            best[method.name] = max(sorted(own), key=lambda k: (own[k] is not None, own[k] or 0.0))
    return best


def table(tested, tried=None, settings_of=None, best=None, hero="pf_msmtrec"):
    """One line a method, sorted by AUC: DataFrame with COLUMNS.

    tested   {Cell: what is kept}, kind "test"
    returns  auc on test rows (mean over scenarios, tasks, seeds); difference = hero − method in AUC points
             with its 95 % interval over paired seeds; p of the paired t-test, p_holm corrected for the number
             of methods; sent_kb a client's upload in a round, stored_kb its parameters, seconds of training
    """
    import pandas as pd
    from scipy import stats

    from pfmsm_lite.analysis import paired_interval, per_seed

    tried, settings_of, best = tried or {}, settings_of or {}, best or {}
    averages = per_seed(results(tested))
    hero = hero if hero in averages else averages.mean().idxmax()
    lines = []
    for method in averages:
        own = [kept for cell, kept in tested.items() if cell.method == method]
        pairs = averages[[hero, method]].dropna() if method != hero else averages[[hero]].iloc[:0]
        difference, low, high, p = [np.nan] * 4
        if len(pairs):
            difference, low, high = (100 * x for x in paired_interval(pairs[hero], pairs[method]))
        if len(pairs) > 1 and not np.allclose(pairs[hero] - pairs[method], 0):
            p = float(stats.ttest_rel(pairs[hero], pairs[method]).pvalue)
        setting = settings_of[method][best[method]] if method in best else {}
        lines.append(
            {
                "method": method,
                "auc": averages[method].mean(),
                "difference": difference,
                "low": low,
                "high": high,
                "p": p,
                "seeds": averages[method].notna().sum(),
                "tried": sum(cell.method == method for cell in tried),
                **{
                    key: np.mean([k[key] for k in own])
                    for key in ("best_round", "sent_kb", "stored_kb", "seconds")
                },
                "setting": " ".join(f"{field}={value}" for field, value in setting.items()) or "as declared",
            }
        )
    found = pd.DataFrame(lines)
    found["p_holm"] = holm(found["p"])
    return found[list(COLUMNS)].sort_values("auc", ascending=False, ignore_index=True), hero


def results(tested):
    """The rows of results.csv of all tests: DataFrame."""
    import pandas as pd

    from pfmsm_lite.federated.history import RESULTS

    lines = [line for kept in tested.values() for line in kept["results"]]
    return pd.DataFrame(lines, columns=RESULTS).astype({"auc": float, "logloss": float})


def _write(out, chosen, settings_of, best, tried, tested, show):
    import pandas as pd

    from pfmsm_lite.drawings.chapter08 import forest

    lines = [
        {
            "method": cell.method,
            "number": cell.number,
            "valid_auc": kept["valid_auc"],
            "chosen": int(best.get(cell.method) == cell.number),
            "setting": json.dumps(settings_of[cell.method][cell.number]),
        }
        for cell, kept in sorted(tried.items())
    ]
    replace_text(out / "settings.csv", pd.DataFrame(lines).to_csv(index=False, lineterminator="\n"))
    if not tested:
        return
    order = {method.name: number for number, method in enumerate(chosen)}
    tested = dict(sorted(tested.items(), key=lambda item: (order[item[0].method], item[0].number)))
    rows = results(tested)
    replace_text(out / "results.csv", rows.to_csv(index=False, lineterminator="\n"))
    found, hero = table(tested, tried, settings_of, best)
    replace_text(out / "compare.csv", found.to_csv(index=False, lineterminator="\n"))
    show(printed(found, hero))
    if len(found) > 1:
        forest(rows, hero, out.name).savefig(out / "forest.png")
    show(
        f"\n{out}/: "
        + ", ".join(sorted(p.name for p in out.iterdir() if p.suffix in (".csv", ".json", ".png")))
    )


def printed(found, hero):
    """The table as text."""

    def number(value, form):
        return "–" if value != value else format(value, form)

    shown = found.copy()
    shown["auc"] = [number(v, ".4f") for v in found["auc"]]
    spans = zip(found["difference"], found["low"], found["high"], strict=True)
    shown["difference"] = [
        "–" if d != d else f"{d:+.2f}" if low != low else f"{d:+.2f} [{low:+.2f}, {high:+.2f}]"
        for d, low, high in spans
    ]
    for column, form in {
        "p_holm": ".2g",
        "best_round": ".1f",
        "sent_kb": ",.1f",
        "stored_kb": ",.1f",
        "seconds": ".1f",
    }.items():
        shown[column] = [number(v, form) for v in found[column]]
    columns = ["method", "auc", "difference", "p_holm", "sent_kb", "stored_kb", "seconds", "tried", "setting"]
    text = shown[columns].rename(columns={"difference": f"{hero} minus it, points [95 %]"})
    return text.to_string(index=False)


def checked(arguments):
    """The command's arguments as the main job takes them; UserError for a budget or seeds below one."""
    for what in ("budget", "seeds"):
        if arguments[what] < 1:
            raise UserError(f"--{what} is {arguments[what]}, but it must be at least 1.")
    everything = [name for name in METHODS if not name.startswith("no_")]
    methods = everything if arguments["methods"] in (None, ["all"]) else arguments["methods"]
    return {**arguments, "methods": methods, "seeds": list(range(arguments["seeds"]))}

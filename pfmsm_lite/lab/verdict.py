"""The verdict: should these scenarios federate, and for whom does it pay? Sentences, all of them computed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from pfmsm_lite.history import History
from pfmsm_lite.lab.gains import (
    FEWEST,
    REFERENCE,
    Gains,
    gains,
    main_sources,
    mixture,
    sources,
)
from pfmsm_lite.lab.statistics import (
    EVEN,
    HERO,
    SIMPLEST,
    compact,
    has_network,
    hero_of,
    paired,
    per_seed,
    phrase,
    results_of,
)

if TYPE_CHECKING:
    from pfmsm_lite.lab.runs import Run

EMBEDDINGS = "embedding_only"
REMEDY = f"--methods {REFERENCE},{EMBEDDINGS},{HERO}"
MANY = 20  # judged scenarios from which it is said how many would look clear by chance


class Judgement(NamedTuple):
    """sentences: see `verdict`; table: verdict.csv; sources: sources.csv; hero: the method judged, or ""."""

    sentences: list[str]
    table: pd.DataFrame
    sources: pd.DataFrame
    hero: str


class Evidence(NamedTuple):
    """results, rounds: as results.csv and history.csv; histories: their arrays; the rest as in `verdict`."""

    results: pd.DataFrame
    rounds: pd.DataFrame
    histories: list[History]
    sizes: Mapping[str, int] | None = None
    predictions: pd.DataFrame | None = None
    groups: Mapping[str, Mapping[str, Any]] | None = None


def verdict(
    histories: Iterable[History], sizes: Mapping[str, int] | None = None,
    predictions: pd.DataFrame | None = None, groups: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[str]:  # fmt: skip
    """Should these scenarios federate, and for whom does it pay? At most eight sentences, against `local`.

    histories    of several methods over the same seeds
    sizes        scenario → its training rows
    predictions  columns of predictions.csv: intervals then cover the test rows, too
    groups       scenario → split → [R] the person of each row, as in Scenario.notes["group"]
    """
    return judge(histories, sizes, predictions, groups).sentences


def judge(
    histories: Iterable[History], sizes: Mapping[str, int] | None = None,
    predictions: pd.DataFrame | None = None, groups: Mapping[str, Mapping[str, Any]] | None = None,
) -> Judgement:  # fmt: skip
    """The verdict with its tables; arguments as in `verdict`."""
    histories = list(histories)
    rounds = pd.concat([history.rounds for history in histories], ignore_index=True)
    return judged(Evidence(results_of(histories), rounds, histories, sizes, predictions, groups))


def judge_run(run: "Run", predictions: pd.DataFrame | None = None, groups: Any = None) -> Judgement:
    """The verdict on a Run, as `pfmsm_lite.lab.runs.read_run` reads it from a directory."""
    histories = list(run.histories.values())
    return judged(Evidence(run.results, run.rounds, histories, run.sizes, predictions, groups))


def judged(evidence: Evidence) -> Judgement:
    """The verdict on what is at hand."""
    hero = hero_of(evidence.results)
    if REFERENCE not in set(evidence.results["method"]) or not hero:
        lacking = "no federated method" if not hero else f"{REFERENCE} (every client alone)"
        verb = "was run" if not hero else "was not run"
        lines = [
            f"Federating is judged against {REFERENCE}, and {lacking} {verb}. Run both: {REMEDY}.",
            *rounds_said(evidence),
        ]
        columns = list(dict.fromkeys(evidence.results["method"]))
        lines += cost_said(evidence, hero or columns[0]) if columns else []
        return Judgement(lines, pd.DataFrame(), pd.DataFrame(), hero)
    found = gains(evidence.results, hero, evidence.sizes, evidence.predictions, evidence.groups)
    mixed = mixture(evidence.histories, hero)
    partners = sources(*mixed) if mixed else sources((), np.empty((0, 0)))
    liked = {} if mixed is None or alike(mixed[1]) else main_sources(partners)
    table = found.table.assign(main_sources=[liked.get(name, "") for name in found.table["scenario"]])
    lines = [
        *answer_said(found, hero),
        *harm_said(found),
        *simplest_said(evidence.results, hero),
        *embeddings_said(evidence.results, found, hero),
        *sources_said(mixed, partners, hero),
        *small_said(found),
        *rounds_said(evidence),
        *cost_said(evidence, hero),
    ]
    return Judgement(lines, table, partners, hero)


# ---- words ----


def named(names: Sequence[str], values: Sequence[float] | None = None, most: int = 4) -> str:
    """Names in a sentence, each with its points where given; the first few, and how many more there are."""
    short = [" ".join(str(name).split()) or "(no name)" for name in names[:most]]
    short = [name if len(name) <= 40 else f"{name[:39]}…" for name in short]
    if values is not None:
        short = [f"{name} {value:+z.2f}" for name, value in zip(short, values, strict=False)]
    return ", ".join(short) + (f" and {len(names) - most} more" if len(names) > most else "")


def count(number: int, word: str) -> str:
    """1 scenario, 2 scenarios."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _scope(found: Gains):
    """What the intervals cover, in words; "" where there are none."""
    what = "persons in the test rows" if found.persons else "test rows"
    rows = what if found.resampled == len(found.table) else f"{what} (where predictions are at hand)"
    parts = ["seeds"] * (found.seeds > 1) + [rows] * bool(found.resampled)
    return " and ".join(parts)


# ---- the sentences, one function each ----


def answer_said(found: Gains, hero: str) -> list[str]:
    """For how many scenarios federating pays, on average; and for whom clearly."""
    total, fit = found.total, found.table[found.table["verdict"] != "too small"]
    if math.isnan(total.mean):
        return [f"Nothing can be said: no scenario has a test AUC of both {hero} and {REFERENCE}."]
    interval = "" if math.isnan(total.low) else f" [{total.low:+z.2f}, {total.high:+z.2f}]"
    clear = found.seeds > 1 and (total.low > 0 or total.high < 0)
    heads = {
        (True, True): "Federating pays on average", (True, False): "Federating harms on average",
    }  # fmt: skip
    head = heads.get((clear, total.mean > 0), "Whether federating pays on average is not clear")
    above, below = int((fit["gain"] > 0).sum()), int((fit["gain"] < 0).sum())
    side = "above" if total.mean >= 0 else "below"
    size = f"{hero} is {abs(total.mean):.2f} points of AUC {side} {REFERENCE}{interval}"
    where = f"above it in {above:,} of {count(len(fit), 'scenario')} that can be judged, below in {below:,}"
    first = f"{head}: {size}; {where if len(fit) else 'none is large enough to be judged alone'}."
    return [first, *([_clear_said(found, fit)] if len(fit) else [])]


def _clear_said(found, fit):
    own, scope = fit[fit["verdict"] == "pays"], _scope(found)
    if not scope:
        return "For whom it pays is not clear: with one seed and no predictions there is no interval."
    unclear = int((fit["verdict"] == "not clear").sum())
    clearly = "clearly " if found.seeds > 1 else ""
    who = f"{len(own):,}: {named(list(own['scenario']), list(own['gain']))}" if len(own) else "none"
    said = f"By 95 % intervals over {scope} it {clearly}pays for {who}"
    said += f"; for {unclear:,} it is not clear" if unclear else ""
    if found.seeds == 1:
        said += "; one seed: other starts may differ"
    elif not found.resampled:
        said += "; test rows were not resampled, as no predictions are at hand"
    if len(fit) >= MANY:
        chance = max(1, round(len(fit) * 0.025))
        said += f"; by chance alone about {chance} would look so"
    return f"{said}."


def harm_said(found: Gains) -> list[str]:
    """Whom federating harms."""
    own = found.table[found.table["verdict"] == "harms"][::-1]
    fit = found.table[found.table["verdict"] != "too small"]
    if not len(fit) or not _scope(found):
        return []
    clearly = "clearly " if found.seeds > 1 else ""
    if len(own):
        chance = f" (about {max(1, round(len(fit) * 0.025))} by chance alone)" if len(fit) >= MANY else ""
        return [f"It {clearly}harms {len(own):,}{chance}: {named(list(own['scenario']), list(own['gain']))}."]
    worst = fit.dropna(subset=["gain"]).iloc[-1]
    least = f": the least gain is {named([worst['scenario']], [worst['gain']])}, {_interval(worst)}"
    return [f"It {clearly}harms none{least}." if clearly else f"Harm is shown for none{least}."]


def _interval(row):
    low, high = row["low"], row["high"]
    return "without an interval" if math.isnan(low) else f"[{low:+z.2f}, {high:+z.2f}]"


def simplest_said(results: pd.DataFrame, hero: str) -> list[str]:
    """How far the hero is from a logistic regression per scenario, where that was run."""
    averages, simplest = per_seed(results), SIMPLEST[0]
    if simplest not in averages or averages[simplest].isna().all():
        return []
    said = phrase(simplest, *paired(averages[hero], averages[simplest])[:3])
    return [
        f"Beside a logistic regression in each scenario, which sends nothing, {hero} {said} (AUC points)."
    ]


def embeddings_said(results: pd.DataFrame, found: Gains, hero: str) -> list[str]:
    """What sharing only embeddings would give, as a share of the way where the way is clear."""
    if hero == EMBEDDINGS or math.isnan(found.total.mean):
        return []
    if EMBEDDINGS not in set(results["method"]):
        return [f"What sharing only embedding tables would give was not run: --methods {EMBEDDINGS},…"]
    part, whole = gains(results, EMBEDDINGS).total.mean, found.total.mean
    if math.isnan(part):
        return []
    said = (
        f"Sharing only embedding tables ({EMBEDDINGS}) gives {part:+z.2f} points, all of {hero} {whole:+z.2f}"
    )
    if found.total.low > 0:
        said += f", {100 * part / whole:.0f} % of the way from {REFERENCE} to {hero}"
    return [f"{said}."]


def alike(weights: np.ndarray) -> bool:
    """Whether every client gets the same mixture [N, N] of more than two, as in FedAvg: nobody chooses."""
    return len(weights) > 2 and np.allclose(weights, weights[:1], atol=1e-6)


def sources_said(mixed: tuple[list[str], np.ndarray] | None, partners: pd.DataFrame, hero: str) -> list[str]:
    """Whom the scenarios learn from, by the mixture weights."""
    if mixed is None:
        return [f"{hero} mixes no models, so no scenario has a main source."]
    names, weights = mixed
    if len(names) == 1:
        return ["There is one scenario, so there is nobody to learn from."]
    if len(names) == 2:
        return ["With two scenarios each has only the other as a source."]
    if alike(weights):
        largest = int(weights[0].argmax())
        share = f"{100 * weights[0, largest]:.0f} % from {named([names[largest]])}"
        return [f"Every scenario gets the same mixture, {share}: {hero} prefers no source."]
    first = partners[partners["rank"] == 1].dropna(subset="ratio")
    alone = [name for name in names if name not in set(first["scenario"])]
    if not len(first):
        return ["No scenario takes anything from the others: every mixture keeps to its own."]
    nothing = [f"{named(alone)} take{'s' * (len(alone) == 1)} nothing from the others."] if alone else []
    liked = first[first["ratio"] >= EVEN].sort_values("ratio", ascending=False, kind="stable")
    if not len(liked):
        most = first["ratio"].max()
        text = f"The mixture hardly left the even split: no source has more than {most:.2f} times its share."
        return [text, *nothing]
    pairs = [
        f"{named([s])} from {named([m])} {r:.1f}×" for s, m, r in liked.iloc[:, [0, 1, 3]].to_numpy()[:4]
    ]
    more = f" and {len(liked) - 4} more" if len(liked) > 4 else ""
    said = f"Main sources, as a multiple of the even share: {', '.join(pairs)}{more}"
    rest = len(first) - len(liked)
    return [f"{said}; {rest:,} hardly left the even split." if rest else f"{said}.", *nothing]


def small_said(found: Gains) -> list[str]:
    """Who is too small to judge, and what is left out of the averages."""
    small = found.table[found.table["verdict"] == "too small"]
    said = f"All {count(len(found.table), 'scenario')} are large enough to be judged"
    if len(small):
        what = "positives, negatives or persons" if found.persons else "positives or negatives"
        said = f"Too small to judge (fewer than {FEWEST} {what} in the test rows of every task): "
        said += f"{len(small):,} of {len(found.table):,}, {named(list(small['scenario']))}"
    elif len(found.table) == 1:
        said = "The one scenario is large enough to be judged"
    return [f"{said}; {left_out_said(found.left_out, found.cells)}."]


def left_out_said(left_out: Sequence[tuple[str, str]], cells: int) -> str:
    """Which (scenario, task) an average leaves out; cells: how many it has."""
    if not left_out:
        return "no cell is left out of the averages"
    names = named([f"{scenario} ({task})" for scenario, task in left_out])
    total = len(left_out) + cells
    return (
        f"left out of the averages for want of an AUC: {len(left_out):,} of {count(total, 'cell')}, {names}"
    )


def last_rounds(evidence: Evidence) -> pd.DataFrame:
    """method, seed, best and last: the round reported and the last one played."""
    found = {}
    if len(evidence.rounds):
        by_round = evidence.rounds.groupby(["method", "seed", "round"])["valid_auc"].mean()
        for key, own in by_round.groupby(["method", "seed"]):
            own = own.droplevel(["method", "seed"])
            if own.notna().any():
                found[key] = (int(own.idxmax()), int(own.index.max()))
    for history in evidence.histories:
        if history.rounds_done:
            found[history.method, history.seed] = (history.best_round, history.rounds_done)
    lines = [(*key, *rounds) for key, rounds in found.items()]
    return pd.DataFrame(lines, columns=["method", "seed", "best", "last"])


def rounds_said(evidence: Evidence) -> list[str]:
    """Whether the best round is the last, or the first, for most runs of a method; which option helps."""
    runs = last_rounds(evidence)
    runs = runs[runs["method"].map(has_network)]
    if not len(runs):
        return []
    most, at_end = int(runs["last"].max()), runs["best"] == runs["last"]
    at_start = (runs["best"] == 1) & ~at_end
    share = pd.DataFrame({"late": at_end, "early": at_start}).groupby(runs["method"], sort=False).mean()
    late, early = (list(share.index[share[kind] > 0.5]) for kind in ("late", "early"))
    said = f"in {int(at_end.sum()):,} of {count(len(runs), 'run')} of all methods the best round was the last"
    said += f" (of {most}), in {int(at_start.sum()):,} the first"
    helps = [f"train {named(late)} longer (--rounds {2 * most})"] * bool(late)
    helps += [
        f"take smaller steps in {named(early)} (a lower --learning-rate or a larger --batch-size)"
    ] * bool(early)
    if helps:
        alone = ", and local may catch up" if late == [REFERENCE] else ""
        text = f"{' and '.join(helps)}: {said}, so the results may change{alone}."
        return [text[0].upper() + text[1:]]
    head = "A few more rounds may help" if at_end.any() else "There were enough rounds"
    return [f"{head}: {said}."]


def cost_said(evidence: Evidence, hero: str) -> list[str]:
    """Bytes and minutes of a run."""
    rounds = evidence.rounds
    if not len(rounds):
        return []
    short = compact(rounds)
    spent = short.groupby("method").agg({"bytes": "mean"})
    seconds = short.groupby(["method", "seed"])["seconds"].sum().groupby("method").mean()
    clients, most = rounds["scenario"].nunique(), int(rounds[rounds["method"] == hero]["round"].max())
    each = float(spent["bytes"].get(hero, 0))
    said = f"A run of {hero} sends {size_said(each)} per client and round, "
    said += (
        f"{size_said(each * clients * most)} in all from {count(clients, 'client')} in {count(most, 'round')}"
    )
    said += f", and trains for {time_said(seconds[hero])}"
    if REFERENCE in seconds and hero != REFERENCE:
        said += f" ({REFERENCE}: {time_said(seconds[REFERENCE])})"
    return [f"{said}."]


def time_said(seconds: float) -> str:
    """Seconds for a person."""
    return f"{seconds / 60:,.1f} minutes" if seconds >= 60 else f"{seconds:.1f} seconds"


def size_said(size: float) -> str:
    """Bytes for a person."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size:,.0f} bytes"

"""From scenarios to clients: one shared table of embedding rows, of which each client holds its own part."""

import copy
import zlib
from functools import partial

import torch

from pfmsm_lite.client import Client
from pfmsm_lite.errors import UserError
from pfmsm_lite.mmoe import MMoE
from pfmsm_lite.rivals.m3oe import M3oE
from pfmsm_lite.rivals.pooled import PLE, STAR, SharedBottom
from pfmsm_lite.rivals.trees import TreeClient
from pfmsm_lite.scenario import Rows, Scenario

MODELS = {
    "mmoe": MMoE,
    "m3oe": M3oE,
    "m3oe_code": partial(M3oE, variant="code"),
    "shared_bottom": SharedBottom,
    "ple": PLE,
    "star": STAR,
}

LAZY_ABOVE = 20_000  # embedding rows of the federation; embedding_optimizer "auto" is lazy above
EVALUATED = ("valid", "test")


def check(scenarios):
    """Refuse scenarios that cannot form a federation; the message names the client."""
    if not scenarios:
        raise UserError("There is no scenario to train on.")
    first, names = scenarios[0], [scenario.name for scenario in scenarios]
    if len(set(names)) < len(names):
        raise UserError(f"Two scenarios share a name: {', '.join(sorted(names))}. Give each its own.")
    for scenario in scenarios:
        for what in ("tasks", "fields", "numericals"):
            if getattr(scenario, what) != getattr(first, what):
                raise UserError(
                    f"Scenario {scenario.name!r} has other {what} than {first.name!r}: "
                    f"{getattr(scenario, what)} against {getattr(first, what)}. Encode them together."
                )
        for split in ("train", *EVALUATED):
            if not len(scenario.rows(split).labels):
                raise UserError(
                    f"Scenario {scenario.name!r} has no {split} rows. Leave it out, or split anew."
                )
        if not scenario.has_task.any():
            raise UserError(
                f"Scenario {scenario.name!r} has no labels among its training rows. Leave it out."
            )
    return scenarios


def pool(scenarios):
    """All rows in one place: one Scenario "all rows" with a field more, the scenario that a row is from."""
    name = "scenario"
    while name in scenarios[0].fields:  # somebody's own column
        name += "_"
    fields = {**scenarios[0].fields, name: len(scenarios) + 1}

    def tagged(rows, number):
        tag = torch.full((len(rows.labels), 1), number)
        return rows._replace(categorical=torch.cat([rows.categorical, tag], 1), probability=None)

    parts = {
        split: [tagged(scenario.rows(split), n + 1) for n, scenario in enumerate(scenarios)]
        for split in ("train", *EVALUATED)
    }
    whole = {
        split: Rows(*(torch.cat(column) for column in list(zip(*rows, strict=True))[:3]))
        for split, rows in parts.items()
    }
    first = scenarios[0]
    views = [
        (scenario.name, {split: parts[split][n] for split in EVALUATED})
        for n, scenario in enumerate(scenarios)
    ]
    return Scenario("all rows", first.tasks, fields, first.numericals, **whole), views


def make_clients(scenarios, method, settings, seed):
    """Clients that start from the same parameters, and what the server must know of the embedding tables.

    returns  (clients, tables): tables has, per client, `index` [R_n] (rows of the shared table that it holds)
             and `counts` [R_n] (their uses in its training rows), and the shared `table` [V, K] at its start,
             which has only rows that some client holds
    """
    check(scenarios)
    names = [scenario.name for scenario in scenarios]
    views = [[(s.name, {split: s.rows(split) for split in EVALUATED})] for s in scenarios]
    if method.pooled:
        merged, merged_views = pool(scenarios)
        scenarios, names, views = [merged], [merged.name], [merged_views]
    first = scenarios[0]
    if method.model == "boosted_tree":
        return [TreeClient(first, views[0], method, seed)], _no_table(settings)
    generator = torch.Generator().manual_seed(seed)
    product = None
    if settings.ctcvr:
        product = tuple(_task_index(first.tasks, name) for name in settings.ctcvr.split(","))
    template = {} if method.compose == "none" else {"template": method.compose}
    model = MODELS[method.model](
        first.fields,
        len(first.numericals),
        len(first.tasks),
        settings.embedding_size,
        settings.experts,
        settings.hidden,
        settings.tower,
        batch_norm=settings.batch_norm,
        product=product,
        generator=generator,
        **template,
    )
    offset = model.embedding.offset
    table, model.embedding.weight = model.embedding.weight.data, None  # each client gets its part below
    lazy = settings.embedding_optimizer == "lazy_adam"
    if settings.embedding_optimizer == "auto":
        lazy = len(table) > LAZY_ABOVE
    trained = [torch.unique(s.train.categorical + offset, return_counts=True) for s in scenarios]
    shared = method.share.get("embedding", "local") != "local"
    known = torch.zeros(len(table), dtype=torch.bool)
    clients, index, counts = [], [], []
    if shared:
        for ids, _ in trained:
            known[ids] = True
    for n, scenario in enumerate(scenarios):
        if not shared:
            known.fill_(False)[trained[n][0]] = True
        views_n = [
            (name, {split: _read_unknown(rows, offset, known) for split, rows in view.items()})
            for name, view in views[n]
        ]
        train = scenario.train._replace(categorical=scenario.train.categorical + offset)
        blocks = [train.categorical] + [rows.categorical for _, view in views_n for rows in view.values()]
        held = torch.unique(torch.cat([offset, *(torch.unique(block) for block in blocks)]))
        own = copy.deepcopy(model)
        own.embedding.weight = torch.nn.Parameter(table[held])
        own.embedding.offset = torch.zeros_like(offset)
        if method.intercept == "home":
            own.intercept.copy_(log_odds(scenario.train.labels, product))

        def local(rows, held=held):
            return rows._replace(categorical=torch.searchsorted(held, rows.categorical))

        views_n = [(name, {split: local(rows) for split, rows in view.items()}) for name, view in views_n]
        name_seed = (seed * 1_000_003 + zlib.crc32(names[n].encode())) % 2**63
        client = Client(names[n], own, local(train), views_n, settings, name_seed, lazy)
        client.unknown = torch.searchsorted(held, offset).to(settings.device)
        client.has_task, client.domain_last = scenario.has_task, method.pooled
        if method.personal != "none":
            client.keep_a_model()
        clients.append(client)
        uses = torch.zeros(len(held))
        uses[torch.searchsorted(held, trained[n][0])] = trained[n][1].float()
        hidden = settings.unknown_rate * len(train.labels)
        uses[client.unknown.cpu()] = uses[client.unknown.cpu()].clamp(min=hidden)
        index.append(held)
        counts.append(uses)
    union = torch.unique(torch.cat(index))
    index = [torch.searchsorted(union, held) for held in index]
    return clients, {"table": table[union], "index": index, "counts": counts}


def log_odds(labels, product=None):
    """Log-odds [T] of the labels [R, T] of one client, NaN left out; half a row of each class is added, so
    that they are finite. product (parent, child): the child's are those among the parent's positives.

    Reconstruction: with them at home, shared parameters need not carry a client's base rate.
    """
    positives, rows = labels.nansum(0), (~labels.isnan()).sum(0)
    rate = (positives + 0.5) / (rows + 1)
    if product is not None:
        parent, child = product
        rate[child] = (rate[child] / rate[parent]).clamp(max=0.99)
    return rate.logit()


def _no_table(settings):
    nothing = torch.zeros(0, dtype=torch.int64)
    return {"table": torch.zeros(0, settings.embedding_size), "index": [nothing], "counts": [nothing]}


def _task_index(tasks, name):
    from pfmsm_lite.errors import choose

    return tasks.index(choose("task in --ctcvr", name.strip(), tasks))


def _read_unknown(rows, offset, known):
    """Ids that nobody trained are read as their field's unknown row."""
    ids = rows.categorical + offset
    return rows._replace(categorical=torch.where(known[ids], ids, offset.expand_as(ids)))

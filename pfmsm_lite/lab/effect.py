"""Options that would change nothing are refused by name: which option is read where."""

from collections.abc import Callable, Collection
from dataclasses import fields
from functools import partial
from typing import Any

from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.lab import sources, tables
from pfmsm_lite.lab.options import declared, flags
from pfmsm_lite.lab.published import PUBLISHED
from pfmsm_lite.lab.statistics import has_network
from pfmsm_lite.lab.tables import SPLIT_BY
from pfmsm_lite.methods import METHODS, Method, Settings, choices
from pfmsm_lite.registry import OPERATORS, lookup
from pfmsm_lite.scenario import shortened

Arguments = dict[str, Any]
Reads = Callable[[Method], bool]


def _rules(method: Method) -> set[str]:
    """The aggregation rules that its groups are mixed by; entries of the embedding table have their own."""
    return {rule for group, rule in method.rules.items() if group != "embedding"}


def _mixes(*names: str) -> Reads:
    return lambda method: bool(_rules(method) & set(names))


def _is(field: str, *values: str) -> Reads:
    return lambda method: getattr(method, field) in values


# option → (where it is read, in words; whether a method reads it). Options that are not listed here are read
# by all methods; a rule or a model of your own may read anything
READ: dict[str, tuple[str, Reads]] = {
    "model": ("methods with all rows in one place", lambda m: m.pooled),
    "compose": ("the model mmoe", _is("model", "mmoe")),
    "intercept": ("the model mmoe", _is("model", "mmoe")),
    "check": ("methods that send something", lambda m: bool(m.sent)),
    "clip": ("checks of an update's length (--check)", lambda m: bool(m.sent) and m.check != "exact"),
    "attack": ("methods that send something", lambda m: bool(m.sent)),
    "undo": ("normalization", lambda m: m.normalize != "none"),
    "radius": ("the coordination by two_vector or cagrad", _is("coordinate", "two_vector", "cagrad")),
    "rescale": ("the coordination by two_vector or cagrad", _is("coordinate", "two_vector", "cagrad")),
    "server_step": ("methods that send something", lambda m: bool(m.sent)),
    "aggregate": ("methods with a personalized group", lambda m: "personalized" in m.sent.values()),
    "self_weight": (
        "the rules self, learned, partners and evidence",
        _mixes("self", "learned", "partners", "evidence"),
    ),
    "mixing_step": (
        "the rules learned, partners, evidence, fedhca2, attention and fedapa",
        _mixes("learned", "partners", "evidence", "fedhca2", "attention", "fedapa"),
    ),
    "kin_rounds": ("the rule kin", _mixes("kin")),
    "temperature": ("the rules cosine and fedamp", _mixes("cosine", "fedamp")),
    "clusters": ("the rule clustered", _mixes("clustered")),
    "embedding": ("methods that send embedding entries", lambda m: "embedding" in m.sent),
    "own_rows": (
        "the embedding rule personal",
        lambda m: "embedding" in m.sent and m.embedding == "personal",
    ),
    "optimizer_state": ("networks", has_network),
    "proximal": ("methods that send something", lambda m: bool(m.sent)),
    "phases": ("methods that send something", lambda m: bool(m.sent)),
    "head_epochs": ("training in phases (--phases)", lambda m: m.phases != "together"),
    "personal": ("methods that send something", lambda m: bool(m.sent)),
    "home_epochs": ("a second model (--personal)", lambda m: m.personal != "none"),
    "pull": ("the second model of ditto (--personal ditto)", _is("personal", "ditto")),
    "tree_step": ("boosted_tree", _is("model", "boosted_tree")),
    "leaves": ("boosted_tree", _is("model", "boosted_tree")),
    "ridge": ("logistic and logistic_pooled", _is("model", "logistic")),
    "experts": (
        "models with a mixture of experts",
        _is("model", "mmoe", "ple", "m3oe", "m3oe_cells", "m3oe_code"),
    ),
    "probe": (
        "methods that send experts (expert.scenario)",
        lambda m: "expert.scenario" in m.sent and has_network(m),
    ),
    **dict.fromkeys(
        (
            "batch_size", "learning_rate", "weight_decay", "embedding_size", "hidden", "tower", "batch_norm",
            "unknown_rate", "embedding_optimizer", "ctcvr", "precision", "device",
        ),
        ("networks", has_network),
    ),
}  # fmt: skip
# what of `--share` is read only under a condition
GROUPS_READ: dict[str, tuple[str, Reads]] = {
    "expert.local": ("a template (--compose)", lambda m: m.compose != "none"),
    "expert.task": ("a template (--compose)", lambda m: m.compose != "none"),
}
GENERATOR = ("knob", "data_seed")
DATA = {"synthetic": GENERATOR, "synthetic-hard": GENERATOR, "kuairand": ("data_dir", "window", "tasks")}
DATA |= {name: own.options for name, own in PUBLISHED.items()}
NOT_OF_A_TABLE = {
    "knob": "turns the generator",
    "data_dir": "is the folder of published data", "window": "cuts KuaiRand in time",
    "cache_dir": "keeps published data", "most_rows": "reads a part of published data",
    "order": "is of MovieLens",
}  # fmt: skip


def refuse_idle(given: Collection[str], arguments: Arguments) -> None:
    """Refuse what was given and would change nothing.

    given  names of the options that were given;  arguments  of the command, methods by name
    raises UserError that names the option, where it is read, and the methods that it would change
    """
    refuse_other_data(given, arguments)
    asked = [name for name in flags() if name in given and arguments.get(name) is not None]
    for name in asked:
        if known := choices(flags()[name]):
            choose(f"--{name.replace('_', '-')}", arguments[name], known)
        _operator(name, arguments)
    _share(arguments)


def refuse_other_data(given: Collection[str], arguments: Arguments) -> None:
    """Refuse options that say how other data than these are made or read; arguments as in `refuse_idle`."""
    data = arguments["data"]
    table = sources.reader(arguments) is sources.TABLE
    known = [name for name in sources.DATA_OPTIONS if name in given]
    for name in known:
        option = f"--{name.replace('_', '-')}"
        if table and name in NOT_OF_A_TABLE:
            raise UserError(f"{option} {NOT_OF_A_TABLE[name]}, and --data {data} is a table. Leave it out.")
        if table and name == "data_seed" and (own := [o for o in SPLIT_BY if arguments.get(o)]):
            by = f"--{own[0].replace('_', '-')}"
            raise UserError(
                f"{option} draws a random split, and {by} splits this table. Leave one of them out."
            )
        if data in DATA and name not in DATA[data]:
            takes = ["FILE.csv"] * (name in tables.OPTIONS) + [own for own in DATA if name in DATA[own]]
            remedy = f"--data {' or '.join(takes[:4])}"
            raise UserError(f"{option} says nothing of --data {data}. Leave it out, or give {remedy}.")


def _foreign(method: Method) -> bool:
    """Whether a rule or a model of a person's own is in it."""
    named = {kind: getattr(method, kind) for kind in OPERATORS if hasattr(method, kind)}
    found = [lookup(kind, name) for kind, name in named.items()]
    found += [lookup("aggregate", rule) for rule in _rules(method)]
    return any(not str(getattr(own, "__module__", "")).startswith("pfmsm_lite.") for own in found)


def _chosen(arguments):
    """[(a method as declared, as changed)] and the Settings."""
    changed, settings = declared(arguments)
    before = [name if isinstance(name, Method) else METHODS[name] for name in arguments["methods"]]
    return list(zip(before, changed, strict=True)), settings


def _takes(name, arguments) -> bool:
    """Whether one of the methods has this value now, and reads it or had it before."""
    pairs, settings = _chosen(arguments)
    reads = READ.get(name, ("", lambda method: True))[1]
    of_settings = name in {entry.name for entry in fields(Settings)}
    value = getattr(settings, name) if of_settings else arguments[name]
    for before, method in pairs:
        own = method.needs.get(name, value) if of_settings else getattr(method, name)
        same = name not in method.needs and value == getattr(Settings(), name) if of_settings else None
        had = same if of_settings else getattr(before, name) == value
        if own == value and (had or reads(method) or _foreign(method)):
            return True
    return False


def _others(takes, arguments) -> str:
    """Which of all methods would take it, as a remedy."""
    found = []
    for name in METHODS:
        try:
            found += [name] * takes({**arguments, "methods": [name]})
        except UserError:  # a contradiction: this one cannot take it either
            continue
    return f"Add one of {shortened(found)} to --methods, or leave it out" if found else "Leave it out"


def _operator(name, arguments):
    if not _takes(name, arguments):
        where = f" (read by {READ[name][0]})" if name in READ else ""
        reads = READ.get(name, ("", lambda method: True))[1]
        if own := [m.name for _, m in _chosen(arguments)[0] if hasattr(m, name) and reads(m)]:
            usual = getattr(METHODS["pf_msmtrec"], name)
            where = (
                f" (an option changes only what is as in pf_msmtrec, here {usual}; {shortened(own)} differs)"
            )
        if fixed := [before.name for before, _ in _chosen(arguments)[0] if name in before.needs]:
            where = f" ({shortened(fixed)} would be another method)"
        value = arguments[name]
        value = {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
        _refuse(f"--{name.replace('_', '-')} {value}", where, partial(_takes, name), arguments)


def _share(arguments):
    for group, policy in arguments.get("share") or ():
        takes = partial(_shares, group, policy)
        if not takes(arguments):
            where = {"norm": "--batch-norm yes"}.get(group) or GROUPS_READ.get(group, ("",))[0]
            where = f" (it is there with {where})" if where else ""
            _refuse(f"--share {group}={policy}", where, takes, arguments)


def _shares(group, policy, arguments) -> bool:
    """Whether one of the methods sends the group in this way now, and has it, or did before."""
    pairs, settings = _chosen(arguments)
    for before, method in pairs:
        norm = group != "norm" or method.needs.get("batch_norm", settings.batch_norm)
        there = norm and GROUPS_READ.get(group, ("", lambda m: True))[1](method) and has_network(method)
        same = before.share.get(group, "local") == policy
        if method.share.get(group, "local") == policy and (same or there):
            return True
    return False


def _refuse(option, where, takes, arguments):
    chosen = shortened(m if isinstance(m, str) else m.name for m in arguments["methods"])
    remedy = _others(takes, arguments)
    raise UserError(f"{option} changes none of the chosen methods{where}: {chosen}. {remedy}.")

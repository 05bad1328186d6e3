"""Every method is a row of one table: PF-MSMTrec, its ablations, and yardsticks."""

from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from operator import ge, gt, le, lt
from typing import Any

# the stages, for the rows of their tables
from pfmsm_lite import aggregation, client, coordination, mmoe, normalization, personal  # noqa: F401
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.registry import OPERATORS, lookup

GROUPS = ("embedding", "expert.scenario", "expert.local", "expert.task", "gate", "tower", "norm")


def policies() -> tuple[str, ...]:
    """What a group's policy may be: at home, by the method's rule (`aggregate`), or by a rule of its own."""
    return ("local", "personalized", *OPERATORS["aggregate"])


def option(default: Any, text: str, choices: tuple = (), **bounds) -> Any:
    """A dataclass field that also describes its command-line option."""
    return field(default=default, metadata={"help": text, "choices": choices, **bounds})


def operator(kind: str, default: str, text: str) -> Any:
    """A field whose choices are the rows of an open table, looked up when a value is checked."""
    return option(default, text, operator=kind)


def choices(entry) -> tuple[str, ...]:
    """What a field may be, as of now; empty where any value of its type may be."""
    kind = entry.metadata.get("operator")
    return tuple(OPERATORS[kind]) if kind else entry.metadata["choices"]


# type of a field's default → what its value may be, in Python and in words
KINDS: dict[Any, tuple] = {
    bool: (bool, "True or False"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "a text"),
    tuple: ((tuple, list), "a tuple of whole numbers"),
}
BOUNDS = {"at_least": ge, "at_most": le, "above": gt, "below": lt}


def _validate(declaration) -> None:
    """Refuse, by name, a value of another type, an unknown operator or a number outside its range."""
    for entry in fields(declaration):
        value, rules = getattr(declaration, entry.name), entry.metadata
        if not rules:
            continue
        if hasattr(value, "tolist"):  # of numpy or PyTorch
            value = value.tolist()
            object.__setattr__(declaration, entry.name, value)
        name = f"--{entry.name.replace('_', '-')}"
        kind, words = KINDS[type(entry.default)]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise UserError(f"{name} is {value!r}, but it must be {words}, such as {entry.default!r}.")
        if known := choices(entry):
            choose(name, value, known)
        for word, holds in BOUNDS.items():
            if word in rules and not holds(value, rules[word]):
                raise UserError(f"{name} is {value}, but it must be {word.replace('_', ' ')} {rules[word]}.")


@dataclass(frozen=True)
class Method:
    """What is shared, what the server does with it, and what a client optimizes.

    share   parameter group → local, personalized (by the rule in `aggregate`) or a rule of its own such as
            mean; groups left out stay local
    needs   Settings without which it would be another method
    search  field → values that a fair comparison tries for it, beside those of SEARCH or instead of them
    The other fields name one operator each (see OPERATORS) or its strength.
    """

    name: str
    summary: str
    share: dict[str, str] = field(default_factory=dict)
    pooled: bool = False
    needs: dict = field(default_factory=dict)
    search: dict = field(default_factory=dict)
    model: str = operator("model", "mmoe", "which network; all but mmoe need all rows in one place")
    compose: str = operator("compose", "none", "how an expert's weights are composed of their parts")
    check: str = operator("check", "exact", "server: what it does with an upload before it is used")
    clip: float = option(2.0, "longest update that a check lets pass, in medians of the clients", above=0.0)
    normalize: str = operator("normalize", "none", "server: parameter normalization, eq. 8")
    undo: str = operator("undo", "no", "undo the normalization on download")
    coordinate: str = operator("coordinate", "none", "server: conflict coordination, eq. 13")
    radius: float = option(0.4, "how far coordination may move an update", at_least=0.0, below=1.0)
    rescale: str = operator("rescale", "norm", "length of a coordinated update")
    server_step: float = option(1.0, "server step: factor on every update", above=0.0)
    aggregate: str = operator("aggregate", "mean", "server: whom a client's mixture is made of")
    self_weight: float = option(0.5, "a client's own weight; where `learned` starts", above=0.0, below=1.0)
    mixing_step: float = option(0.5, "step by which learned weights change", at_least=0.0)
    kin_rounds: int = option(3, "first rounds in which `kin` asks for validation gradients", at_least=1)
    temperature: float = option(0.2, "temperature of `cosine` and `fedamp`", above=0.0)
    clusters: int = option(0, "groups of `clustered`; 0: as many as its updates show", at_least=0)
    embedding: str = operator("embedding", "used", "how changes of shared embedding entries add up")
    own_rows: float = option(20.0, "rows at which a `personal` entry is the client's own by half", above=0.0)
    intercept: str = operator("intercept", "none", "whether a client's base rate stays at home")
    optimizer_state: str = operator("optimizer_state", "keep", "the clients' Adam moments between rounds")
    proximal: float = option(0.0, "weight of |w_shared - w_received|^2 / 2 in a client's loss", at_least=0.0)
    phases: str = operator("phases", "together", "what a client trains in turn")
    head_epochs: int = option(1, "epochs of a phase for home, gates and towers alone", at_least=1)
    personal: str = operator("personal", "none", "which model a client uses at home")
    home_epochs: int = option(1, "epochs of the second model, per local epoch", at_least=1)
    pull: float = option(30.0, "how much `ditto` draws the second model to the shared one", at_least=0.0)
    tree_step: float = option(0.1, "what each tree of `boosted_tree` counts", above=0.0)
    leaves: int = option(31, "leaves of a tree", at_least=2)
    ridge: float = option(10.0, "lambda of |w|^2 / 2 beside the rows' summed loss in `logistic`", above=0.0)

    def __post_init__(self):
        _validate(self)
        for group, policy in self.share.items():
            choose(f"parameter group in share of {self.name}", group, GROUPS)
            choose(f"policy of {group} in share of {self.name}", policy, policies())
        for wrong in self._contradictions():
            raise UserError(f"The method {self.name!r} contradicts itself: {wrong}.")

    @property
    def sent(self) -> dict[str, str]:
        """Group → policy of what leaves a client."""
        return {group: policy for group, policy in self.share.items() if policy != "local"}

    @property
    def rules(self) -> dict[str, str]:
        """Group → the rule of `aggregate` by which it is mixed, of what leaves a client."""
        return {g: self.aggregate if policy == "personalized" else policy for g, policy in self.sent.items()}

    def _contradictions(self):
        """What cannot be meant, in words."""
        sent = self.sent
        if self.pooled and sent:
            yield f"all rows are in one place, but {', '.join(sent)} would be shared with other clients"
        model = lookup("model", self.model)
        federated = getattr(model, "federated", False)
        # `alone`: it may also train on one client's rows, if nothing is sent
        if not (federated or self.pooled or (getattr(model, "alone", False) and not sent)):
            yield f"model is {self.model!r}, which needs all rows in one place, but pooled is False"
        for what, name in (("compose", "a template"), ("intercept", "one")):
            if not federated and getattr(self, what) != "none":
                yield f"{what} is {getattr(self, what)!r}, but only mmoe has {name}, not {self.model}"
        if (policy := sent.get("embedding", "mean")) != "mean":
            yield f"embedding is {policy!r}, but it can only be 'mean' or 'local'; the rule is in `embedding`"
        for stage in ("normalize", "coordinate"):
            if getattr(self, stage) != "none" and sent.get("expert.scenario") != "personalized":
                policy = self.share.get("expert.scenario", "local")
                kind, remedy = getattr(self, stage), f"share it as 'personalized', or leave {stage} out"
                yield f"{stage} is {kind!r}, but expert.scenario is {policy!r}; {remedy}"
        if self.aggregate != "mean" and "personalized" not in sent.values():
            yield f"aggregate is {self.aggregate!r}, but no group is 'personalized': there is nothing to mix"
        for what, plain in (("personal", "none"), ("phases", "together")):
            if getattr(self, what) != plain and not sent:
                yield f"{what} is {getattr(self, what)!r}, but nothing is shared"


@dataclass(frozen=True)
class Settings:
    """What every method gets alike: the size of the model and the way it is trained."""

    local_epochs: int = option(1, "epochs over its own rows that a client trains in a round", at_least=1)
    sample: float = option(1.0, "share of the clients that take part in a round", above=0.0, at_most=1.0)
    batch_size: int = option(128, "rows in a mini-batch", at_least=1)
    learning_rate: float = option(3e-3, "Adam's step", above=0.0)
    weight_decay: float = option(0.0, "AdamW's decoupled decay of all but the embeddings", at_least=0.0)
    embedding_size: int = option(8, "width of an embedding vector", at_least=1)
    experts: int = option(4, "experts of an MMoE", at_least=1)
    hidden: tuple = option((64, 32), "widths of an expert's layers, e.g. 64,32")
    tower: int = option(32, "width of a tower's hidden layer", at_least=1)
    batch_norm: bool = option(False, "BatchNorm layers in experts and towers")
    unknown_rate: float = option(0.0, "share of training ids replaced by `unknown`", at_least=0.0, below=1.0)
    embedding_optimizer: str = option(
        "auto", "lazy_adam: entries with no gradient stay; auto: above 20,000", ("auto", "adam", "lazy_adam")
    )  # fmt: skip
    ctcvr: str = option("", "PARENT,CHILD: predict the child as P(parent) · P(child), as ESMM does")
    precision: str = option("fp32", "fp32, or bf16: CPU autocast", ("fp32", "bf16"))
    device: str = option("cpu", "where clients train", ("cpu", "cuda", "mps"))
    choose: str = option("auc", "what chooses the round, on validation rows", ("auc", "logloss"))
    calibrate: str = operator("calibrate", "none", "a client corrects probabilities on its validation rows")
    patience: int = option(0, "stop after this many rounds without a better AUC; 0: never", at_least=0)
    client: str = operator("client", "open", "how a client trains")
    dp_clip: float = option(1.0, "length to which a private client clips each row's gradient", above=0.0)
    dp_noise: float = option(1.0, "a private client's noise, in units of dp_clip; 0: none", at_least=0.0)
    dp_rate: float = option(0.1, "chance of a row to be in a private mini-batch", above=0.0, below=1.0)
    entries: str = operator("entries", "counted", "what a client tells of the embedding entries it holds")
    probe: int = option(0, "rows of a fixed batch whose true gradient is recorded; 0: none", at_least=0)
    attack: tuple = option((), "SCENARIO=KIND: this client is hostile", several="attack")

    def __post_init__(self):
        _validate(self)
        for name in ("hidden", "attack"):  # from JSON they come as lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.hidden or not all(type(width) is int and width >= 1 for width in self.hidden):
            raise UserError(f"--hidden is {self.hidden}; give whole numbers from 1, such as 64,32.")
        if self.batch_norm and self.batch_size == 1:
            raise UserError("--batch-size is 1, but BatchNorm cannot train on single rows: give at least 2.")


METHODS: dict[str, Method] = {}


def declare(*methods: Method) -> None:
    """Add methods to METHODS, from where `run`, comparisons and the command line take them by name.

    raises  UserError for a name that is taken by another declaration
    """
    for method in methods:
        if METHODS.get(method.name, method) != method:
            raise UserError(f"There is already a method {method.name!r}. Choose another name.")
        METHODS[method.name] = method


EVERYTHING = {group: "mean" for group in GROUPS}
PF_MSMTREC = Method(
    "pf_msmtrec",
    "template, normalization, coordination, experts and towers mixed among kin, a model at home beside",
    share={"embedding": "mean", "expert.scenario": "personalized", "gate": "local", "tower": "personalized"},
    compose="hadamard",
    normalize="moment",
    coordinate="two_vector",
    aggregate="kin",
    embedding="sum",
    intercept="home",
    personal="blend",
    search={"kin_rounds": (2, 3, 5)},
)


declare(
    # yardsticks
    Method("local", "every client alone"),
    Method("embedding_only", "only the embedding table is shared", {"embedding": "mean"}, embedding="sum"),
    Method("fedavg", "everything averaged by client size", EVERYTHING, embedding="rows"),
    # the method
    PF_MSMTREC,
)

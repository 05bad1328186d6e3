"""Every method is a row of one table. Declarations only: nothing here imports PyTorch."""

from dataclasses import dataclass, field, fields, replace

from pfmsm_lite.errors import UserError, choose

GROUPS = ("embedding", "expert.scenario", "expert.local", "expert.task", "gate", "tower", "norm")
POLICIES = ("local", "mean", "personalized")

# operator → name → one line for --help and for the course; the functions stand in the module of the stage
OPERATORS = {
    "compose": {
        "hadamard": "product of the three parts",
        "additive": "sum of the three parts",
        "rank1": "inputs and outputs scaled by vectors",
        "none": "the scenario part alone: a plain MMoE",
    },
    "normalize": {
        "moment": "give every client's tensor the average mean and deviation",
        "elementwise": "normalize each entry over the clients",
        "none": "leave the uploads as they are",
    },
    "coordinate": {
        "two_vector": "turn each update towards the clients' mean (eq. 13, two-vector CAGrad)",
        "cagrad": "one common update by CAGrad over all clients, as FedHCA2 reads it",
        "pcgrad": "project away what conflicts with another client's update",
        "none": "leave the updates as they are",
    },
    "rescale": {
        "norm": "keep each update's length: turn only",
        "sqrt": "divide by sqrt(1 + radius^2)",
        "cagrad": "divide by 1 + radius^2",
        "none": "leave the length as it comes out",
    },
    "aggregate": {
        "learned": "weights learned on the server from the updates (pseudo-gradient)",
        "partners": "as `learned`, a client's own weight fixed",
        "mean": "weighted by rows: FedAvg",
        "self": "a fixed weight for oneself, the rest even",
        "cosine": "softmax of the updates' similarity",
        "fedamp": "attention by distance between models",
        "fedhca2": "each client adds the common update, scaled by a weight of its own",
    },
    "embedding": {
        "used": "each row by how often a client's training rows use it",
        "rows": "by client size, as FedAvg does",
        "sum": "every client's change added up, as if they had trained one after the other",
        "personal": "as `used`, then drawn back to the client's own row by its own evidence",
    },
    "optimizer_state": {
        "keep": "each client keeps its Adam moments over the rounds",
        "reset": "each round starts with fresh Adam moments",
    },
    "undo": {
        "yes": "a client undoes the normalization on download with its own moments",
        "no": "a client keeps the normalized parameters",
    },
}


def option(default, text, choices=None, **bounds):
    """A dataclass field that also describes its command-line option."""
    settings = {"default_factory": default} if callable(default) else {"default": default}
    return field(**settings, metadata={"help": text, "choices": choices, **bounds})


def operator(kind, default, text):
    return option(default, text, tuple(OPERATORS[kind]))


def _validate(declaration):
    """Refuse, by name, an unknown operator or a number outside its range."""
    for entry in fields(declaration):
        value, rules = getattr(declaration, entry.name), entry.metadata
        name = f"--{entry.name.replace('_', '-')}"
        if rules.get("choices"):
            choose(name, value, rules["choices"])
        low, below, above = (rules.get(key) for key in ("at_least", "below", "above"))
        for broken, rule in (
            (low is not None and not value >= low, f"at least {low}"),
            (above is not None and not value > above, f"above {above}"),
            (below is not None and not value < below, f"below {below}"),
        ):
            if broken:
                raise UserError(f"{name} is {value}, but it must be {rule}.")


@dataclass(frozen=True)
class Method:
    """What is shared, what the server does with it, and what a client optimizes.

    share maps each parameter group to local, mean or personalized; groups left out stay local.
    The other fields name one operator each (see OPERATORS) or its strength.
    """

    name: str
    summary: str
    share: dict = field(default_factory=dict)
    pooled: bool = False
    compose: str = operator("compose", "none", "how an expert's weights are composed of their parts")
    normalize: str = operator("normalize", "none", "server: parameter normalization, eq. 8")
    undo: str = operator("undo", "no", "undo the normalization on download")
    coordinate: str = operator("coordinate", "none", "server: conflict coordination, eq. 13")
    radius: float = option(0.4, "how far coordination may move an update", at_least=0.0, below=1.0)
    rescale: str = operator("rescale", "norm", "length of a coordinated update")
    server_step: float = option(1.0, "server step: factor on every update", above=0.0)
    aggregate: str = operator("aggregate", "mean", "server: whom a client's mixture is made of")
    self_weight: float = option(
        0.5,
        "a client's own weight: of `self` and `partners`, and where `learned` starts",
        above=0.0,
        below=1.0,
    )
    mixing_step: float = option(
        0.5, "step by which `learned`, `partners` and `fedhca2` change their weights", at_least=0.0
    )
    temperature: float = option(0.2, "temperature of `cosine` and `fedamp`", above=0.0)
    embedding: str = operator("embedding", "used", "how shared embedding rows are averaged")
    evidence: float = option(20.0, "rows at which `personal` trusts itself by half", above=0.0)
    optimizer_state: str = operator("optimizer_state", "keep", "the clients' Adam moments between rounds")
    proximal: float = option(0.0, "weight of |w_shared - w_received|^2 / 2 in a client's loss", at_least=0.0)

    def __post_init__(self):
        _validate(self)
        for group, policy in self.share.items():
            choose(f"parameter group in share of {self.name}", group, GROUPS)
            choose(f"policy of {group} in share of {self.name}", policy, POLICIES)


@dataclass(frozen=True)
class Settings:
    """What every method gets alike: the size of the model and the way it is trained."""

    local_epochs: int = option(1, "epochs over its own rows that a client trains in a round", at_least=1)
    batch_size: int = option(128, "rows in a mini-batch", at_least=1)
    learning_rate: float = option(3e-3, "Adam's step", above=0.0)
    weight_decay: float = option(0.0, "Adam's weight decay of everything but the embeddings", at_least=0.0)
    embedding_size: int = option(8, "width of an embedding vector", at_least=1)
    experts: int = option(4, "experts of an MMoE", at_least=1)
    hidden: tuple = option((64, 32), "widths of an expert's layers, e.g. 64,32")
    tower: int = option(32, "width of a tower's hidden layer", at_least=1)
    batch_norm: bool = option(False, "BatchNorm layers in experts and towers")
    unknown_rate: float = option(0.0, "share of training ids replaced by `unknown`", at_least=0.0, below=1.0)
    embedding_optimizer: str = option(
        "auto",
        "adam, lazy_adam (rows without gradient stay), auto: lazy above 20,000 rows",
        ("auto", "adam", "lazy_adam"),
    )
    ctcvr: str = option("", "PARENT,CHILD: predict the child as P(parent) · P(child), as ESMM does")
    precision: str = option("fp32", "fp32, or bf16: CPU autocast", ("fp32", "bf16"))
    device: str = option("cpu", "where clients train", ("cpu", "cuda", "mps"))
    probe: int = option(0, "rows of a fixed batch whose true gradient is recorded; 0: none", at_least=0)

    def __post_init__(self):
        _validate(self)
        object.__setattr__(self, "hidden", tuple(self.hidden))  # from JSON it comes as a list
        if not self.hidden or min(self.hidden) < 1:
            raise UserError(f"--hidden is {self.hidden}; give at least one width, such as 64,32.")


def _table(*methods):
    return {method.name: method for method in methods}


_EVERYTHING = {group: "mean" for group in GROUPS}
_PF = Method(
    "pf_msmtrec",
    "template, normalization, coordination, personalized experts and towers",
    share={
        "embedding": "mean",
        "expert.scenario": "personalized",
        "gate": "local",
        "tower": "personalized",
    },
    compose="hadamard",
    normalize="moment",
    coordinate="two_vector",
    aggregate="partners",
    embedding="sum",
)

METHODS = _table(
    Method("pooled", "one model, all rows in one place: what a federation cannot do", pooled=True),
    Method("local", "every client alone"),
    Method(
        "embedding_only",
        "only the embedding tables are shared, as pf_msmtrec does",
        share={"embedding": "mean"},
        embedding="sum",
    ),
    Method("fedavg", "everything averaged by client size", share=_EVERYTHING, embedding="rows"),
    Method("fedavg_used", "FedAvg, but each embedding row by its use", share=_EVERYTHING),
    Method(
        "fedavg_sum",
        "FedAvg, but embedding changes added up, as pf_msmtrec does",
        share=_EVERYTHING,
        embedding="sum",
    ),
    _PF,
    replace(_PF, name="no_template", summary="pf_msmtrec without the parameter template", compose="none"),
    replace(_PF, name="no_normalization", summary="pf_msmtrec without normalization", normalize="none"),
    replace(_PF, name="no_coordination", summary="pf_msmtrec without coordination", coordinate="none"),
    replace(
        _PF,
        name="no_personalization",
        summary="pf_msmtrec, mixtures replaced by FedAvg's mean",
        aggregate="mean",
    ),
)

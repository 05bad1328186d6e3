"""Every method is a row of one table. Declarations only: nothing here imports PyTorch."""

from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real

from pfmsm_lite.errors import UserError, choose

GROUPS = ("embedding", "expert.scenario", "expert.local", "expert.task", "gate", "tower", "norm")

# operator → name → one line for --help and for the course; the functions stand in the module of the stage
OPERATORS = {
    "model": {
        "mmoe": "a gate over shared experts for each task; the only one that can be federated",
        "m3oe": "shared, domain and task experts, fused by weights learned on validation rows",
        "m3oe_code": "as its published code does: the weights learned on training rows, by both optimizers",
        "shared_bottom": "one perceptron for all tasks, one tower each",
        "ple": "shared experts and experts of each task, gated (one level)",
        "star": "each scenario's layers are its own times a shared one",
        "boosted_tree": "no network: gradient-boosted trees, one ensemble a task",
    },
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
        "evidence": "as `partners`, own weight and start by rows",
        "mean": "weighted by rows: FedAvg",
        "self": "a fixed weight for oneself, the rest even",
        "cosine": "softmax of the updates' similarity",
        "fedamp": "attention by distance between models",
        "fedhca2": "each client adds the common update to its own, as much of it as has helped (encoders)",
        "attention": "each client adds the updates that resemble its own, as much as has helped (decoders)",
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
    "personal": {
        "none": "a client is evaluated with what the server sent",
        "finetune": "with a copy of it, trained on its own rows for one more round",
        "ditto": "with a second model that trains beside it and is drawn towards it",
    },
    "phases": {
        "together": "all parameters in every step",
        "local_first": "an epoch for what stays at home, then one for what is shared",
        "heads_first": "an epoch for gates, towers and what stays at home, then one for the rest",
        "heads_last": "an epoch for everything, then one for gates, towers and what stays at home",
    },
    "intercept": {
        "none": "a client's base rate is learned with everything else",
        "home": "the log-odds of a client's own labels are added to its logits and never leave it",
    },
    "undo": {
        "yes": "a client undoes the normalization on download with its own moments",
        "no": "a client keeps the normalized parameters",
    },
}


# what a group's policy may be: at home, by the method's rule (`aggregate`), or by a rule of its own
POLICIES = ("local", "personalized", *OPERATORS["aggregate"])


def option(default, text, choices=None, **bounds):
    """A dataclass field that also describes its command-line option."""
    settings = {"default_factory": default} if callable(default) else {"default": default}
    return field(**settings, metadata={"help": text, "choices": choices, **bounds})


def operator(kind, default, text):
    return option(default, text, tuple(OPERATORS[kind]))


# type of a field's default → what its value may be, in Python and in words
KINDS = {
    bool: (bool, "True or False"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "a text"),
    tuple: ((tuple, list), "a tuple of whole numbers"),
}


def _validate(declaration):
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

    share   parameter group → local, personalized (by the rule in `aggregate`) or a rule of its own such as
            mean; groups left out stay local
    needs   Settings without which it would be another method
    search  field → values that a fair comparison tries for it, beside those of SEARCH or instead of them
    The other fields name one operator each (see OPERATORS) or its strength.
    """

    name: str
    summary: str
    share: dict = field(default_factory=dict)
    pooled: bool = False
    needs: dict = field(default_factory=dict)
    search: dict = field(default_factory=dict)
    model: str = operator("model", "mmoe", "which network; all but mmoe need all rows in one place")
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
    intercept: str = operator("intercept", "none", "what brings about a client's share of positives")
    optimizer_state: str = operator("optimizer_state", "keep", "the clients' Adam moments between rounds")
    proximal: float = option(0.0, "weight of |w_shared - w_received|^2 / 2 in a client's loss", at_least=0.0)
    phases: str = operator("phases", "together", "what a client trains in turn")
    personal: str = operator("personal", "none", "which model a client uses at home")
    pull: float = option(1.0, "how much `ditto` draws the second model towards the shared one", at_least=0.0)
    tree_step: float = option(0.1, "what each tree of `boosted_tree` counts", above=0.0)
    leaves: int = option(31, "leaves of a tree", at_least=2)

    def __post_init__(self):
        _validate(self)
        for group, policy in self.share.items():
            choose(f"parameter group in share of {self.name}", group, GROUPS)
            choose(f"policy of {group} in share of {self.name}", policy, POLICIES)
        for wrong in self._contradictions():
            raise UserError(f"The method {self.name!r} contradicts itself: {wrong}.")

    @property
    def sent(self):
        """Group → policy of what leaves a client."""
        return {group: policy for group, policy in self.share.items() if policy != "local"}

    def _contradictions(self):
        """What cannot be meant, in words."""
        sent = self.sent
        if self.pooled and sent:
            yield f"all rows are in one place, but {', '.join(sent)} would be shared with other clients"
        if self.model != "mmoe" and not self.pooled:
            yield f"model is {self.model!r}, which needs all rows in one place, but pooled is False"
        if self.model != "mmoe" and self.compose != "none":
            yield f"compose is {self.compose!r}, but only mmoe has a template, not {self.model}"
        if self.model != "mmoe" and self.intercept != "none":
            yield f"intercept is {self.intercept!r}, but only mmoe has one, not {self.model}"
        for stage in ("normalize", "coordinate"):
            if getattr(self, stage) != "none" and sent.get("expert.scenario") != "personalized":
                yield (
                    f"{stage} is {getattr(self, stage)!r}, but expert.scenario is "
                    f"{self.share.get('expert.scenario', 'local')!r}; share it as 'personalized', or leave "
                    f"{stage} out"
                )
        if self.aggregate != "mean" and "personalized" not in sent.values():
            yield (
                f"aggregate is {self.aggregate!r}, but no group is 'personalized', so the rule has nothing "
                "to mix"
            )
        for what, plain in (("personal", "none"), ("phases", "together")):
            if getattr(self, what) != plain and not sent:
                yield f"{what} is {getattr(self, what)!r}, but nothing is shared"


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
    patience: int = option(
        0, "stop after so many rounds without a better validation AUC; 0: never", at_least=0
    )
    probe: int = option(0, "rows of a fixed batch whose true gradient is recorded; 0: none", at_least=0)

    def __post_init__(self):
        _validate(self)
        object.__setattr__(self, "hidden", tuple(self.hidden))  # from JSON it comes as a list
        if not self.hidden or not all(type(width) is int and width >= 1 for width in self.hidden):
            raise UserError(
                f"--hidden is {self.hidden}; give at least one width, whole numbers from 1, such as 64,32."
            )


# What every method may try in a comparison, beside a short list of its own. The learning rates are multiples
# of the one that suits the data; server_step is for those with a server, and trees have nothing of all this.
SEARCH = {"learning_rate": (1 / 3, 1, 10 / 3), "unknown_rate": (0.0, 0.3, 0.5), "weight_decay": (0.0, 1e-4)}
SERVER_SEARCH = {"server_step": (1.0, 1.5)}
SCENARIOS_NEEDED = {"m3oe": 2, "m3oe_code": 2}  # model → scenarios without which it says nothing


def _table(*methods):
    return {method.name: method for method in methods}


_EVERYTHING = {group: "mean" for group in GROUPS}
_BODY = {"embedding": "mean", "expert.scenario": "mean"}
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
    pull=30.0,
    search={
        "self_weight": (0.3, 0.5),
        "aggregate": ("partners", "evidence"),
        "personal": ("none", "ditto"),  # the paper's personalization regularizer, read as Ditto's
    },
)

METHODS = _table(
    Method("pooled", "one model, all rows in one place: what a federation cannot do", pooled=True),
    Method(
        "m3oe",
        "one model: shared, domain and task experts (M3oE, Zhang et al., SIGIR 2024)",
        pooled=True,
        model="m3oe",
        search={"learning_rate": (1 / 10, 1 / 3, 1)},
    ),
    Method(
        "shared_bottom",
        "one model: a perceptron for all tasks, a tower each",
        pooled=True,
        model="shared_bottom",
    ),
    Method(
        "ple",
        "one model: experts of its own for each task (PLE, Tang et al., RecSys 2020)",
        pooled=True,
        model="ple",
    ),
    Method(
        "star",
        "one model: factors of its own for each scenario (STAR, Sheng et al., CIKM 2021)",
        pooled=True,
        model="star",
    ),
    Method(
        "boosted_tree",
        "gradient-boosted trees, all rows in one place (scikit-learn)",
        pooled=True,
        model="boosted_tree",
        search={"tree_step": (0.03, 0.1, 0.3), "leaves": (7, 15, 31, 63)},
    ),
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
        search={"personal": _PF.search["personal"]},  # the rest of its list is about mixtures
    ),
    # The federated rivals. All have the embedding rule of pf_msmtrec, as a comparison must.
    Method(
        "fedprox",
        "FedAvg whose clients stay near what they received (Li et al., MLSys 2020)",
        share=_EVERYTHING,
        embedding="sum",
        proximal=0.01,
        search={"proximal": (0.001, 0.01, 0.1, 1.0)},
    ),
    Method(
        "fedbn",
        "FedAvg with BatchNorm layers that stay at home (Li et al., ICLR 2021)",
        share={group: "mean" for group in GROUPS if group != "norm"},
        needs={"batch_norm": True},
        embedding="sum",
    ),
    Method(
        "fedper",
        "gates and towers stay at home, the rest is averaged (Arivazhagan et al., 2019)",
        share=_BODY,
        embedding="sum",
    ),
    Method(
        "fedrep",
        "as fedper, the part at home trained first (Collins et al., ICML 2021)",
        share=_BODY,
        embedding="sum",
        phases="local_first",
    ),
    Method(
        "ditto",
        "FedAvg, and a second model at home that is drawn towards it (Li et al., ICML 2021)",
        share=_EVERYTHING,
        embedding="sum",
        personal="ditto",
        search={"pull": (1.0, 10.0, 30.0, 100.0)},
    ),
    Method(
        "fedamp",
        "attention between clients with similar models (Huang et al., AAAI 2021)",
        share={**{group: "personalized" for group in GROUPS}, "embedding": "mean"},
        embedding="sum",
        aggregate="fedamp",
        proximal=0.01,
        search={"temperature": (0.1, 0.2, 0.5, 1.0), "proximal": (0.0, 0.01, 0.1)},
    ),
    Method(
        "fedhca2",
        "conflict-averse updates of experts, attention between towers (Lu et al., CVPR 2024)",
        share={"embedding": "mean", "expert.scenario": "personalized", "gate": "local", "tower": "attention"},
        embedding="sum",
        coordinate="cagrad",
        rescale="cagrad",
        aggregate="fedhca2",
        search={"radius": (0.2, 0.4, 0.6), "mixing_step": (0.1, 0.5)},
    ),
    Method(
        "local_finetune",
        "FedAvg, then a round of training at home for each client's own use",
        share=_EVERYTHING,
        embedding="sum",
        personal="finetune",
    ),
)
POOLED = tuple(name for name, method in METHODS.items() if method.pooled)  # they send nothing but their rows

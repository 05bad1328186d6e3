"""MMoE: experts that all tasks share, one gate and one tower per task. All batched, no Python loop."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pfmsm_lite.embedding import Embedding
from pfmsm_lite.registry import lookup, register
from pfmsm_lite.template import check, compose, template

# group → what its tensors' first axis counts; the other groups are one unit
UNITS = {"gate": "task", "tower": "task", "expert.task": "task", "expert.scenario": "expert"}
GRADIENT = "gradient of "  # before a parameter's name in a message: the gradient of the validation loss


def grouped_linear(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """G linear layers side by side: inputs [G, B, I], weight [G, O, I], bias [G, O] → [G, B, O].

    The same as torch.einsum("gbi,goi->gbo", inputs, weight) + bias[:, None], in one call.
    """
    return torch.baddbmm(bias[:, None], inputs, weight.transpose(1, 2))


def uniform(*shape: int, fan_in: int, generator: torch.Generator | None) -> nn.Parameter:
    """A parameter drawn as nn.Linear draws its own: uniform in ±1/sqrt(fan_in)."""
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter((torch.rand(*shape, generator=generator) * 2 - 1) * bound)


def drawn_layers(count: int, layers: list, generator, bias: bool = False) -> nn.ParameterList:
    """For each layer (I, O) `count` weights [count, O, I], or their biases [count, O]."""
    shapes = [(count, o) if bias else (count, o, i) for i, o in layers]
    sizes = zip(shapes, layers, strict=True)
    return nn.ParameterList([uniform(*s, fan_in=i, generator=generator) for s, (i, _) in sizes])


class Experts(nn.Module):
    """E multilayer perceptrons, their weights composed by the parameter template.

    Layer k holds `scenario` [E, O, I] and its bias [E, O] (federated), `local` [O, I] and `task` [T, O, I]
    (these stay at home). Biases belong to the scenario part.
    """

    PARTS = {name: f"expert.{name}" for name in ("scenario", "local", "task")} | {"bias": "expert.scenario"}

    def __init__(self, inputs, experts, hidden, tasks, kind, batch_norm, generator):
        super().__init__()
        start, shape, _ = template(kind)
        layers = list(zip((inputs, *hidden[:-1]), hidden, strict=True))
        copies = 1 if shape is None else tasks  # with a template every task has experts of its own
        self.template, self.experts = kind, experts

        def parts(*lead):
            return [] if shape is None else [torch.full((*lead, *shape(o, i)), start) for i, o in layers]

        self.scenario = drawn_layers(experts, layers, generator)
        self.bias = drawn_layers(experts, layers, generator, bias=True)
        self.local = nn.ParameterList([nn.Parameter(part) for part in parts()])
        self.task = nn.ParameterList([nn.Parameter(part) for part in parts(tasks)])
        normed = [nn.BatchNorm1d(copies * experts * o) for _, o in layers if batch_norm]
        self.norm = nn.ModuleList(normed)
        for layer, (i, o) in enumerate(layers):
            check(kind, self.weights(layer), (copies, experts, o, i))

    def weights(self, layer: int) -> Tensor:
        """A layer's composed weights [V, E, O, I]; V = T with a template, 1 without."""
        local, task = (part[layer] if len(part) else None for part in (self.local, self.task))
        return compose(self.template, self.scenario[layer], local, task)

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, I] → [B, V, E, H]; V = T where every task has experts of its own, else 1."""
        # hidden [V * E, B, O]: the experts outside, so that each one's rows lie together
        hidden = inputs
        for layer in range(len(self.scenario)):
            weight = self.weights(layer)
            copies, experts, outputs, _ = weight.shape
            # all copies of all experts side by side: weight [V * E, O, I], bias [V * E, O]
            weight, bias = weight.flatten(0, 1), self.bias[layer].repeat(copies, 1)
            if layer == 0:  # all experts see the same rows: one matrix product does for all
                rows = F.linear(inputs, weight.flatten(0, 1), bias.flatten())
                hidden = rows.unflatten(1, (-1, outputs)).transpose(0, 1)
            else:
                hidden = grouped_linear(hidden, weight, bias)
            # BatchNorm sees rows × (experts · outputs): [B, V * E * O]
            if len(self.norm):
                rows = self.norm[layer](hidden.transpose(0, 1).flatten(1))
                hidden = rows.unflatten(1, (-1, outputs)).transpose(0, 1)
            hidden = F.relu_(hidden.contiguous())
        return hidden.transpose(0, 1).unflatten(1, (copies, experts))


class Gates(nn.Module):
    """One softmax over the experts per task: weight [T, E, I], bias [T, E]."""

    PARTS = {"weight": "gate", "bias": "gate"}

    def __init__(self, inputs, experts, tasks, generator):
        super().__init__()
        self.weight = uniform(tasks, experts, inputs, fan_in=inputs, generator=generator)
        self.bias = uniform(tasks, experts, fan_in=inputs, generator=generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, I] → [B, T, E], summing to one over the experts."""
        # all tasks' gates in one product: [B, T * E]
        scores = F.linear(inputs, self.weight.flatten(0, 1), self.bias.flatten())
        return scores.unflatten(1, self.bias.shape).softmax(2)


class Towers(nn.Module):
    """One small perceptron per task: hidden layer [T, O, H], output [T, 1, O]."""

    PARTS = {"weight": "tower", "bias": "tower"}

    def __init__(self, inputs, width, tasks, batch_norm, generator):
        super().__init__()
        layers = [(inputs, width), (width, 1)]
        self.weight = drawn_layers(tasks, layers, generator)
        self.bias = drawn_layers(tasks, layers, generator, bias=True)
        self.norm = nn.BatchNorm1d(tasks * width) if batch_norm else None

    def forward(self, inputs: Tensor) -> Tensor:
        """[T, B, H] → [B, T], one logit per task."""
        # one hidden layer per task, all in one product: [T, B, O]
        hidden = grouped_linear(inputs, self.weight[0], self.bias[0])
        if self.norm is not None:
            rows = hidden.transpose(0, 1)
            hidden = self.norm(rows.flatten(1)).view(rows.shape).transpose(0, 1)
        # one logit per row and task: [T, B, 1] → [B, T]
        return grouped_linear(F.relu_(hidden), self.weight[1], self.bias[1])[..., 0].t()


class MMoE(nn.Module):
    """Multi-gate mixture of experts, its experts behind a parameter template.

        x = [embeddings, numerical];  h_j = expert_j(x);  z_t = sum_j softmax(G_t x)_j h_j;  tower_t(z_t)

    fields      categorical field → entries of its table;  numericals: D;  tasks: T
    embedding   width K of every field's vector; experts: E; hidden: widths of an expert's layers
    tower       width of a tower's hidden layer;  template: see `compose`
    batch_norm  BatchNorm in experts and towers
    product     (parent, child): indices of two tasks; the child's probability is then parent · child,
                as ESMM does for click and click-and-conversion (Ma et al., SIGIR 2018); None: directly

    `intercept` [T], zeros unless its owner sets it, is added to the towers' logits: no parameter, never sent.

    Source: PF-MSMTrec, abstract and figure 2; MMoE (Ma et al., KDD 2018)
    Paper: every scenario is a client with an MMoE of its own, which has BatchNorm layers
    Ours: that MMoE; BatchNorm layers are an option, off by default
    Fidelity: differs
    """

    federated = True  # may leave the client, part by part; the models for all rows may not
    intercept: Tensor

    def __init__(
        self,
        fields: dict[str, int], numericals: int, tasks: int, embedding: int = 8, experts: int = 4,
        hidden: tuple[int, ...] = (64, 32), tower: int = 32, template: str = "none", batch_norm: bool = False,
        product: tuple[int, int] | None = None, generator: torch.Generator | None = None,
    ):  # fmt: skip
        super().__init__()
        inputs = len(fields) * embedding + numericals
        self.product = product
        self.register_buffer("intercept", torch.zeros(tasks), persistent=False)
        self.embedding = Embedding(fields, embedding, generator)
        self.experts = Experts(inputs, experts, hidden, tasks, template, batch_norm, generator)
        self.gates = Gates(inputs, experts, tasks, generator)
        self.towers = Towers(hidden[-1], tower, tasks, batch_norm, generator)

    def forward(self, categorical: Tensor, numerical: Tensor) -> Tensor:
        """categorical [B, F] int64, numerical [B, D] float32 → logits [B, T]."""
        # x = [embeddings, numerical]: [B, I]
        inputs = torch.cat([self.embedding(categorical), numerical], dim=1)
        # gates [B, T, E], experts [B, V, E, H]
        gates, hidden = self.gates(inputs), self.experts(inputs)
        # tasks that share a copy of the experts mix it in one product: [B, V, T/V, E] @ [B, V, E, H]
        copies = hidden.shape[1]
        mixed = gates.unflatten(1, (copies, -1)) @ hidden
        # towers: [T, B, H] → [B, T]
        logits = self.towers(mixed.flatten(1, 2).transpose(0, 1)) + self.intercept
        return logits if self.product is None else lookup("fields", "product")(logits, *self.product)


register("model", "mmoe", MMoE, "a gate over shared experts per task; the only one that can be federated")


def parameter_groups(model: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Group → {name: tensor} of everything that a model learns, buffers of BatchNorm layers included.

    The module that owns a parameter says which group it is in: BatchNorm layers by their type, the others
    by their PARTS; a name is never searched for letters. Groups: embedding, expert.scenario, expert.local,
    expert.task, gate, tower, norm. Raises TypeError for a parameter that no module claims.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    norm: dict[str, Tensor] = {}
    # BatchNorm layers first, so that no other module claims what is theirs
    for path, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            norm.update({f"{path}.{name}": t for name, t in module.state_dict(keep_vars=True).items()})
    taken = {id(tensor) for tensor in norm.values()}
    if norm:
        groups["norm"] = norm
    # then what each module says of its own parameters
    for path, module in model.named_modules():
        for part, group in getattr(module, "PARTS", {}).items():
            owned = getattr(module, part)
            for name, tensor in [("", owned)] if torch.is_tensor(owned) else owned.named_parameters():
                full = ".".join(filter(None, (path, part, name)))
                if id(tensor) not in taken:
                    groups.setdefault(group, {})[full] = tensor
    # nothing may be left over: it would silently stay at home
    claimed = {id(tensor) for group in groups.values() for tensor in group.values()}
    orphans = [name for name, tensor in model.named_parameters() if id(tensor) not in claimed]
    if orphans:
        raise TypeError(f"No module declares the group of: {', '.join(orphans)}. Add PARTS to its class.")
    return groups

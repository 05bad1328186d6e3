"""One model for all scenarios: shared bottom, PLE and STAR, the yardsticks beside a pooled MMoE.

All take what scenario.py's `pool` makes: categorical ids whose last field is the domain, 1..D.
"""

import torch
import torch.nn.functional as F
from torch import nn

from pfmsm_lite.data.products import parent_times_child
from pfmsm_lite.embedding import Embedding
from pfmsm_lite.mmoe import Experts, Gates, Towers, grouped_linear, uniform
from pfmsm_lite.registry import register


def domain_of(embedding, categorical, domains):
    """Which domain a row is from, 0..D-1 → [B]; the domain's rows are the last D of the embedding table."""
    return categorical[:, -1] + embedding.offset[-1] - (len(embedding.weight) - domains)


def own(values, domain):
    """values [D, B, K], domain [B] → [B, K]: each row's value by its own domain."""
    return values.gather(0, domain[None, :, None].expand(1, -1, values.shape[2]))[0]


class OneModel(nn.Module):
    """What the models for all scenarios have in common: one embedding table, the domain in its last field.

    Arguments as MMoE's, without a template. A model makes its layers in `build`, which gets what is left of
    the arguments, its own among them, and computes `logits` (inputs [B, I], domain [B]) → [B, T].
    """

    def __init__(
        self,
        fields,
        numericals,
        tasks,
        embedding=8,
        experts=4,
        hidden=(64, 32),
        tower=32,
        batch_norm=False,
        product=None,
        generator=None,
        **options,
    ):
        super().__init__()
        self.domains = list(fields.values())[-1] - 1
        self.inputs = len(fields) * embedding + numericals
        self.tasks, self.product = tasks, product
        self.embedding = Embedding(fields, embedding, generator)
        self.build(experts, hidden, tower, batch_norm, generator, **options)

    def forward(self, categorical, numerical):
        """categorical [B, F + 1] int64, numerical [B, C] float32 → logits [B, T]."""
        inputs = torch.cat([self.embedding(categorical), numerical], dim=1)
        logits = self.logits(inputs, domain_of(self.embedding, categorical, self.domains))
        return logits if self.product is None else parent_times_child(logits, *self.product)


class SharedBottom(OneModel):
    """One perceptron for all scenarios and tasks, one tower per task (Caruana, 1997).

        z = bottom(x);  tower_t(z)

    Arguments as MMoE's, without a template; `experts` has no meaning here and is not used.
    """

    def build(self, experts, hidden, tower, batch_norm, generator):
        self.bottom = Experts(self.inputs, 1, hidden, self.tasks, "none", batch_norm, generator)
        self.towers = Towers(hidden[-1], tower, self.tasks, batch_norm, generator)

    def logits(self, inputs, domain):
        """inputs [B, I] → [B, T]; the domain [B] is only one of the inputs."""
        return self.towers(self.bottom(inputs)[:, 0, 0].expand(self.tasks, -1, -1))


class OwnExperts(Experts):
    """Experts of which each belongs to one task."""

    PARTS = {"scenario": "expert.task", "bias": "expert.task"}


class PLE(OneModel):
    """Progressive layered extraction, one level: customized gate control (CGC; Tang et al., RecSys 2020).

        z_t = sum_j softmax(G_t x)_j h_j,   j over the shared experts and task t's own;   tower_t(z_t)

    experts    E in all: half of them shared, the other half divided among the tasks, at least one each; what
               the division leaves over is shared, too (5 for two tasks: 3 shared, 1 each). Where E is less
               than one shared and one each, there are more than E
    others     as MMoE's, without a template

    Differs from the source: one extraction level (its experiments have two); ReLU and the widths are ours.
    """

    def build(self, experts, hidden, tower, batch_norm, generator):
        each = max(1, (experts - max(1, experts // 2)) // self.tasks)
        shared = max(1, experts - each * self.tasks)
        self.shared = Experts(self.inputs, shared, hidden, self.tasks, "none", batch_norm, generator)
        self.specific = OwnExperts(
            self.inputs, self.tasks * each, hidden, self.tasks, "none", batch_norm, generator
        )
        self.gates = Gates(self.inputs, shared + each, self.tasks, generator)
        self.towers = Towers(hidden[-1], tower, self.tasks, batch_norm, generator)

    def logits(self, inputs, domain):
        """inputs [B, I] → [B, T]; the domain [B] is only one of the inputs."""
        shared = self.shared(inputs).expand(-1, self.tasks, -1, -1)  # [B, T, S, H]
        specific = self.specific(inputs)[:, 0].unflatten(1, (self.tasks, -1))  # [B, T, K, H]
        mixed = torch.einsum("bte,bteh->tbh", self.gates(inputs), torch.cat([shared, specific], 2))
        return self.towers(mixed)


class StarLinear(nn.Module):
    """A linear layer per domain, entrywise product with a shared one: (W_d ⊙ W) x + b_d + b.

    shared [O, I] and shared_bias [O], domain [D, O, I] and domain_bias [D, O]; groups: those of the shared
    and of the domains' parameters.  Starts as one plain layer: W_d at ones, b_d at zeros.
    STAR's star topology network (that start: reconstruction).
    """

    def __init__(self, inputs, outputs, domains, generator, groups=("expert.scenario", "expert.local")):
        super().__init__()
        shared, domain = groups
        self.PARTS = {"shared": shared, "shared_bias": shared, "domain": domain, "domain_bias": domain}
        self.shared = uniform(outputs, inputs, fan_in=inputs, generator=generator)
        self.shared_bias = uniform(outputs, fan_in=inputs, generator=generator)
        self.domain = nn.Parameter(torch.ones(domains, outputs, inputs))
        self.domain_bias = nn.Parameter(torch.zeros(domains, outputs))

    def forward(self, inputs):
        """inputs [D, B, I] → [D, B, O]; expand [B, I] where all domains see the same."""
        return grouped_linear(inputs, self.shared * self.domain, self.shared_bias + self.domain_bias)


class PartitionedNorm(nn.Module):
    """BatchNorm with moments per domain: (γ γ_d) (x − μ_d) / sqrt(σ_d² + ε) + (β + β_d)  (STAR).

    Differs from the source: its mini-batches come from one domain each, ours are mixed, so that μ_d and σ_d²
    are those of the domain's rows in the batch; a domain without rows in a batch keeps its running moments.
    """

    PARTS = {"scale": "norm", "shift": "norm", "domain_scale": "norm", "domain_shift": "norm"}
    EPSILON, MOMENTUM = 1e-5, 0.1  # as nn.BatchNorm1d

    def __init__(self, inputs, domains):
        super().__init__()
        self.scale, self.domain_scale = (nn.Parameter(torch.ones(*n, inputs)) for n in ((), (domains,)))
        self.shift, self.domain_shift = (nn.Parameter(torch.zeros(*n, inputs)) for n in ((), (domains,)))
        self.register_buffer("running_mean", torch.zeros(domains, inputs))
        self.register_buffer("running_var", torch.ones(domains, inputs))

    def forward(self, inputs, domain):
        """inputs [B, I], domain [B] → [B, I]."""
        mean, variance = self.running_mean, self.running_var
        if self.training:
            member = F.one_hot(domain.long(), len(mean)).to(inputs.dtype).t()  # [D, B]
            count = member.sum(1, keepdim=True)
            share = member / count.clamp(min=1)
            mean = share @ inputs
            variance = share @ (inputs - mean[domain]).square()
            with torch.no_grad():
                step = self.MOMENTUM * (count > 0)
                unbiased = variance * count / (count - 1).clamp(min=1)
                self.running_mean.lerp_(mean, step.expand_as(mean))
                self.running_var.lerp_(unbiased, step.expand_as(mean))
        normal = (inputs - mean[domain]) / (variance[domain] + self.EPSILON).sqrt()
        return normal * (self.scale * self.domain_scale)[domain] + self.shift + self.domain_shift[domain]


class STAR(OneModel):
    """Star topology adaptive recommender (Sheng et al., CIKM 2021), its last layer with one output per task.

        logits = (W_d ⊙ W)-layers(x)  +  auxiliary(x)          x holds the embedding of the domain as well

    hidden, tower  widths of the star layers, so that they are as deep as an expert and its tower
    batch_norm     the paper's partitioned normalization of x, for the star layers; the auxiliary network gets
                   x as it is: within a domain its own embedding is constant, and would be normalized away
    others         as MMoE's, without a template; `experts` has no meaning here and is not used

    Differs from the source: several tasks; the normalization can be left out; the auxiliary network is, for
    each task, two layers of its own, the hidden one of width `tower`.
    """

    def build(self, experts, hidden, tower, batch_norm, generator):
        widths = (self.inputs, *hidden, tower)
        self.norm = PartitionedNorm(self.inputs, self.domains) if batch_norm else None
        self.layers = nn.ModuleList(
            [StarLinear(i, o, self.domains, generator) for i, o in zip(widths, widths[1:], strict=False)]
        )
        self.output = StarLinear(tower, self.tasks, self.domains, generator, ("tower", "tower"))
        self.auxiliary = Towers(self.inputs, tower, self.tasks, False, generator)

    def logits(self, inputs, domain):
        """inputs [B, I], domain [B] → [B, T]."""
        normal = inputs if self.norm is None else self.norm(inputs, domain)
        hidden = normal.expand(self.domains, -1, -1)
        for layer in self.layers:
            hidden = F.relu(layer(hidden))
        return own(self.output(hidden), domain) + self.auxiliary(inputs.expand(self.tasks, -1, -1))


for name, model, text in (
    ("shared_bottom", SharedBottom, "one perceptron for all tasks, one tower each"),
    ("ple", PLE, "shared experts and experts of each task, gated (one level)"),
    ("star", STAR, "each scenario's layers are its own times a shared one"),
):
    register("model", name, model, text)

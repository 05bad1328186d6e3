"""M3oE: shared, domain and task experts for all scenarios, fused by weights learned on other rows."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from pfmsm_lite.client import cross_entropy, eager
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.mmoe import Gates, grouped_linear, uniform
from pfmsm_lite.registry import register
from pfmsm_lite.rivals.pooled import OneModel, StarLinear, domain_of, own
from pfmsm_lite.scenario import Rows


class Variant(NamedTuple):
    """Where the paper and its published code differ; what is known of either is in M3oE's docstring.

    rows      of which the mini-batch for α and β is taken
    together  whether the main optimizer moves α and β as well
    crossed   z = S + α_t·D + α_d·T, as eq. 7 reportedly has it, instead of z = S + α_d·D + α_t·T
    each      a number of its own for each domain and task, instead of one for all of them
    cells     the loss of the network's weights: the sum over cells (a domain and a task) of each one's mean,
              so that a small domain counts as much as a large one; else per task the mean over all rows
    """

    rows: str
    together: bool
    crossed: bool
    each: bool
    cells: bool


VARIANTS = {
    "paper": Variant("valid", together=False, crossed=True, each=True, cells=False),
    "cells": Variant("valid", together=False, crossed=True, each=True, cells=True),
    "code": Variant("train", together=True, crossed=False, each=False, cells=True),
}


def by_cells(logits, labels, mask, domain, domains):
    """Cross-entropy per task [T]: the sum over domains of the mean over a domain's labels in the batch.

    logits, labels [B, T]; mask [B, T] of the labels that are there, None: all; domain [B] 0..D-1.
    A domain without labels in the batch adds nothing (in the published code: NaN).
    """
    losses = F.binary_cross_entropy_with_logits(logits.float(), labels, reduction="none")
    there = torch.ones_like(losses) if mask is None else mask
    member = F.one_hot(domain.long(), domains).to(losses).t()  # [D, B]
    return (member @ (losses * there) / (member @ there).clamp(min=1)).sum(0)


class Blocks(nn.Module):
    """G stacks of ReLU(LayerNorm(W h + b)) side by side; layer k holds [G, O, I], and [G, O] three times."""

    def __init__(self, count, widths, group, generator):
        super().__init__()
        layers = list(zip(widths, widths[1:], strict=False))
        self.PARTS = dict.fromkeys(("weight", "bias", "scale", "shift"), group)
        self.count = count
        self.weight = nn.ParameterList(
            [uniform(count, o, i, fan_in=i, generator=generator) for i, o in layers]
        )
        self.bias = nn.ParameterList([uniform(count, o, fan_in=i, generator=generator) for i, o in layers])
        self.scale = nn.ParameterList([nn.Parameter(torch.ones(count, o)) for _, o in layers])
        self.shift = nn.ParameterList([nn.Parameter(torch.zeros(count, o)) for _, o in layers])

    def forward(self, inputs):
        """[G, B, I], or [B, I] where all stacks see the same rows → [G, B, O]."""
        hidden = inputs.expand(self.count, -1, -1)
        for weight, bias, scale, shift in zip(self.weight, self.bias, self.scale, self.shift, strict=True):
            hidden = F.layer_norm(grouped_linear(hidden, weight, bias), weight.shape[1:2])
            hidden = F.relu_(torch.addcmul(shift[:, None], hidden, scale[:, None]))
        return hidden


class Outputs(nn.Module):
    """G linear layers with one output each: weight [G, 1, O], bias [G, 1]."""

    PARTS = {"weight": "tower", "bias": "tower"}

    def __init__(self, count, inputs, generator):
        super().__init__()
        self.weight = uniform(count, 1, inputs, fan_in=inputs, generator=generator)
        self.bias = uniform(count, 1, fan_in=inputs, generator=generator)

    def forward(self, inputs):
        """[G, B, O] → [G, B]."""
        return grouped_linear(inputs, self.weight, self.bias)[..., 0]


def balance(beta, count):
    """First level of the fusion: β for one's own expert, the rest even: [count, count], rows sum to one.

    beta  [count] or [1], between 0 and 1.  With one expert its weight is β: there is no other to share with.
    """
    others = (1 - beta) / max(count - 1, 1)
    eye = torch.eye(count, dtype=torch.bool, device=beta.device)
    return torch.where(eye, beta[:, None], others[:, None])


class Fusion(nn.Module):
    """The fusion scalars, from which α and β come by a sigmoid: [D] and [T], or [1]; they start at one."""

    NAMES = ("alpha_domain", "alpha_task", "beta_domain", "beta_task")
    PARTS = dict.fromkeys(NAMES, "gate")

    def __init__(self, domains, tasks, variant):
        super().__init__()
        self.domains, self.tasks, self.crossed = domains, tasks, variant.crossed
        for name in self.NAMES:
            count = (domains if name.endswith("domain") else tasks) if variant.each else 1
            setattr(self, name, nn.Parameter(torch.ones(count)))

    def weights(self):
        """{alpha_domain, alpha_task, beta_domain, beta_task}: what they are now, between 0 and 1."""
        return {name: getattr(self, name).sigmoid() for name in self.NAMES}

    def forward(self, shared, domain, task):
        """shared [T, D, B, H], domain experts [D, B, H], task experts [T, B, H] → fused [T, D, B, H]."""
        now = self.weights()
        domain = torch.einsum("de,ebh->dbh", balance(now["beta_domain"], self.domains), domain)
        task = torch.einsum("ts,sbh->tbh", balance(now["beta_task"], self.tasks), task)
        by_domain, by_task = now["alpha_domain"][:, None, None], now["alpha_task"][:, None, None, None]
        first, second = (by_task, by_domain) if self.crossed else (by_domain, by_task)
        return shared + first * domain + second * task[:, None]


class BiLevel:
    """Two levels of learning, for a model with outer_parameters(), an outer_rate and a variant.

    The hooks that Client calls: an optimizer of its own for the outer parameters, and one first-order step of
    them after each epoch, on the rows that the variant names.
    """

    def own_optimizer(self):
        """(parameters that the main optimizer leaves alone, the outer optimizer): see Client."""
        outer = self.outer_parameters()
        return [] if self.variant.together else outer, eager(torch.optim.Adam)(outer, lr=self.outer_rate)

    def outer_rows(self, client):
        """The Rows that α and β learn on: validation rows, or training rows, as the code does."""
        if self.variant.rows != "valid":
            return client.train_rows
        if getattr(client, "outer_rows", None) is None:  # put together once
            valid = list(zip(*(view["valid"][:3] for _, view in client.views), strict=True))
            client.outer_rows = Rows(*(torch.cat(column).to(client.labels.device) for column in valid))
        return client.outer_rows

    def outer_losses(self, client):
        """Cross-entropy per task [T] of a mini-batch of the rows that α and β learn on."""
        rows = self.outer_rows(client)
        index = torch.randperm(len(rows.labels), generator=client.generator)[: client.settings.batch_size]
        index = index.to(client.labels.device)
        labels = rows.labels[index]
        logits = self(rows.categorical[index], rows.numerical[index])
        return cross_entropy(logits, labels.nan_to_num(), (~labels.isnan()).float())

    def after_epoch(self, client):
        """One first-order step of α and β, the others as they are: bi-level optimization. See Client.fit."""
        optimizer = client.optimizers[-1]
        optimizer.zero_grad()
        with client.autocast():
            losses = self.outer_losses(client)
        losses.sum().backward()
        optimizer.step()


class M3oE(BiLevel, OneModel):
    """Multi-domain multi-task mixture of experts (Zhang et al., SIGIR 2024), D domains and T tasks.

        h       = block((W_d ⊙ W_shared) x + b_d + b_shared) + block(x)       block: ReLU(LayerNorm(W · + b))
        S_d,t   = sum of the shared experts, softmax gates per (domain, task) that see h detached
        D_d     = β_d · E_d + (1 − β_d)/(D − 1) · the other domains' experts;   T_t likewise, over the tasks
        z_d,t   = S + α_d · D + α_t · T;    logit = tower_d,t(z);     α, β: sigmoid of scalars that start at 1

    fields      categorical field → rows of its table, the domain last: D + 1 rows
    hidden      an expert is ONE layer of width hidden[-1], as published; the widths before it are those of
                the input layer: 512,256,64 is the published shape (there 512/256/256/64, of which the
                second 256 is an expert's input); 64,32: input layer and h 64, experts 64 → 32
    star        widths of the input layer and of h; then `hidden` are the widths of an expert's layers
    tower       of a tower's hidden layer (published: hidden[-1])
    variant     paper, cells, code: a row of VARIANTS;  crossed, cells, …: fields of it that differ
    batch_norm  is not used: the blocks have LayerNorm
    others      as MMoE's, without a template
    raises      UserError for a single domain or an unknown variant

    What differs:
                      the paper says                        the code does
      α, β learn on   a mini-batch of validation rows       one of training rows, after each epoch
      main optimizer  moves the network's weights           moves α and β too: its filter says `~ flag`, which
                                                            for a Python bool is -1 or -2, so always true
      eq. 7           z = S + α_t · D + α_d · T             z = S + α_d · D + α_t · T
      α and β         have an index, d or t                 are four numbers, for all domains and all tasks
      h               W_c f_d(x), a linear layer            a block (both variants of ours, too)
      the loss        not known                             the SUM over the (domain, task) cells of each
                                                            cell's mean; of α and β: the mean over everything
                                                            (only for three domains and two tasks; else plain)
    The right column was read in the published code. The paper itself was not at hand: eq. 7 and the index in
    the left column are our reading of second-hand notes, and of two public codes neither crosses α (authors';
    a second one, after the paper, has a number per domain and task): `crossed=False` does as they do.

    Differs from both: weights decay as AdamW does it (`weight_decay`, decoupled, embeddings left out), where
    the code has Adam with L2 of 1e-5 for everything, embeddings, α and β included. α and β decay where the
    main optimizer moves them, so with `code` (by `weight_decay`) and not with `paper`; their own optimizer
    never decays them. Embeddings start at ±0.05 (there: 1e-4). α's and β's mini-batch is drawn at random. By
    `paper` the loss is the sum over tasks of the mean over a batch's rows; by `cells`, `code` that by cells.

    Which rows: with `paper`, α and β learn on the validation rows of all scenarios, and by the same rows'
    AUC the best round is chosen. Validation results are therefore flattering, a little more than those
    of a method that only chooses its round by them; test rows have no part in either.

    Weights of the published model (MDMTRec) can be carried over: see tests/rivals/mdmtrec.py.
    """

    outer_rate = 1e-3  # Adam's step for α and β
    scenarios_needed = 2
    usual_variant = "paper"

    def build(self, experts, hidden, tower, batch_norm, generator, star=None, variant="", **changes):
        if self.domains < 2:
            raise UserError(
                "M3oE weighs a domain's experts against those of the others, so it needs at least two "
                "scenarios, and there is one. Give more scenarios, or take the method `pooled`."
            )
        row = VARIANTS[choose("variant of M3oE", variant or self.usual_variant, VARIANTS)]
        self.variant, cells = row._replace(**changes), self.tasks * self.domains
        # widths of the input layer and its block(s), and of an expert
        before = tuple(star or hidden[:-1] or hidden)
        before = before if len(before) > 1 else 2 * before
        first, width = before[0], before[-1]
        widths = (width, *(hidden if star else hidden[-1:]))
        self.star = StarLinear(self.inputs, first, self.domains, generator)
        with torch.no_grad():  # as the published code starts: Xavier for both factors, biases at zero
            bound = (6 / (self.inputs + first)) ** 0.5
            for factor in (self.star.shared, self.star.domain):
                factor.copy_((torch.rand(factor.shape, generator=generator) * 2 - 1) * bound)
            self.star.shared_bias.zero_()
        self.encode = Blocks(1, before, "expert.scenario", generator)
        self.skip = Blocks(1, (self.inputs, width), "expert.scenario", generator)
        self.shared = Blocks(experts, widths, "expert.scenario", generator)
        self.domain = Blocks(self.domains, widths, "expert.local", generator)
        self.task = Blocks(self.tasks, widths, "expert.task", generator)
        self.gates = Gates(width, experts, cells, generator)  # cell t·D + d
        self.fusion = Fusion(self.domains, self.tasks, self.variant)
        self.towers = Blocks(cells, (hidden[-1], tower), "tower", generator)
        self.outputs = Outputs(cells, tower, generator)

    def outer_parameters(self):
        """The scalars behind α and β: learned by an optimizer of their own, after each epoch."""
        return list(self.fusion.parameters())

    def loss(self, ids, logits, labels, mask):
        """Per task [T], by cells where the variant has it so: see Client.losses."""
        if not self.variant.cells:
            return cross_entropy(logits, labels, mask)
        domain = domain_of(self.embedding, ids, self.domains)
        return by_cells(logits, labels, mask, domain, self.domains)

    def all_logits(self, inputs, domain):
        """inputs [B, I], domain [B] → [T, D, B]: a row by its own domain's input layer, then by all cells."""
        h = self.encode(own(self.star(inputs.expand(self.domains, -1, -1)), domain)) + self.skip(inputs)
        h = h[0]
        shared = torch.einsum("bce,ebh->cbh", self.gates(h.detach()), self.shared(h))
        shared = shared.unflatten(0, (self.tasks, self.domains))
        fused = self.fusion(shared, self.domain(h), self.task(h))
        logits = self.outputs(self.towers(fused.flatten(0, 1)))
        return logits.unflatten(0, (self.tasks, self.domains))

    def logits(self, inputs, domain):
        """inputs [B, I], domain [B] → [B, T]: of every row the cells of its own domain."""
        return own(self.all_logits(inputs, domain).permute(1, 2, 0), domain)


class M3oECells(M3oE):
    """M3oE whose loss counts every domain alike."""

    usual_variant = "cells"


class M3oECode(M3oE):
    """M3oE as its published code does it."""

    usual_variant = "code"


register(
    "model", "m3oe", M3oE, "shared, domain and task experts, fused by weights learned on validation rows"
)
register("model", "m3oe_cells", M3oECells, "m3oe whose loss is the sum of each domain's and task's mean")
register(
    "model",
    "m3oe_code",
    M3oECode,
    "as its published code: the weights learned on training rows, by both optimizers; the loss by cells",
)

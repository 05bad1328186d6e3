"""M3oE as it was published (MDMTRec): a plain reference, row by row, and its weights under our names.

The reference has the names of the published layers, so a state_dict of MDMTRec can be carried over as well.
"""

import torch
from torch import nn


def stack(widths):
    layers = []
    for i, o in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(i, o), nn.LayerNorm(o), nn.ReLU()]
    holder = nn.Module()
    holder.domain_specific = nn.Sequential(*layers)
    return holder


def scalar(count):
    holder = nn.Module()
    holder.deep_weights = nn.Parameter(torch.ones(count))
    return holder


class Published(nn.Module):
    """M3oE by the book, loops over domains, tasks and experts, with the published layers' names."""

    def __init__(self, inputs, star, hidden, experts, domains, tasks, each=False, crossed=False):
        super().__init__()
        first, width = star
        widths, cells = (width, *hidden), domains * tasks
        self.domains, self.tasks, self.crossed = domains, tasks, crossed
        self.shared_weight = nn.Parameter(torch.randn(inputs, first))
        self.shared_bias = nn.Parameter(torch.randn(first))
        self.slot_weight = nn.ParameterList(
            [nn.Parameter(torch.randn(inputs, first)) for _ in range(domains)]
        )
        self.slot_bias = nn.ParameterList([nn.Parameter(torch.randn(first)) for _ in range(domains)])
        self.star_mlp, self.skip_conn = stack((first, width)), stack((inputs, width))
        self.expert = nn.ModuleList([stack(widths) for _ in range(experts)])
        self.domain_expert = nn.ModuleList([stack(widths) for _ in range(domains)])
        self.task_expert = nn.ModuleList([stack(widths) for _ in range(tasks)])
        self.gate = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, experts), nn.Softmax(1)) for _ in range(cells)]
        )
        h = hidden[-1]
        self.tower = nn.ModuleList(
            [
                nn.Sequential(nn.Linear(h, h), nn.LayerNorm(h), nn.ReLU(), nn.Linear(h, 1))
                for _ in range(cells)
            ]
        )
        for name, count in {"exp_d": domains, "exp_t": tasks, "bal_d": domains, "bal_t": tasks}.items():
            self.add_module(f"_weight_{name}", scalar(count if each else 1))

    def number(self, name, index):
        """The fusion weight called so, of a domain or a task."""
        values = getattr(self, f"_weight_{name}").deep_weights.sigmoid()
        return values[index if len(values) > 1 else 0]

    def mixed(self, outputs, name, own):
        """β of one's own and (1 − β) of the others."""
        beta = self.number(name, own)
        z = beta * outputs[own]
        for other, output in enumerate(outputs):
            if other != own:
                z = z + (1 - beta) / (len(outputs) - 1) * output
        return z

    def forward(self, x, domain):
        """x [B, I], domain [B] 0..D-1 → logits [B, T], a row at a time."""
        return torch.cat([self.row(x[k : k + 1], int(domain[k])) for k in range(len(x))])

    def row(self, x, d):
        h = x @ (self.slot_weight[d] * self.shared_weight) + self.slot_bias[d] + self.shared_bias
        h = self.star_mlp.domain_specific(h) + self.skip_conn.domain_specific(x)
        shared, domains, tasks = (
            [one.domain_specific(h) for one in group]
            for group in (self.expert, self.domain_expert, self.task_expert)
        )
        logits = []
        for t in range(self.tasks):
            gate = self.gate[t * self.domains + d](h.detach())
            z = sum(gate[:, j, None] * shared[j] for j in range(len(shared)))
            first, second = self.number("exp_d", d), self.number("exp_t", t)
            if self.crossed:
                first, second = second, first
            z = z + first * self.mixed(domains, "bal_d", d) + second * self.mixed(tasks, "bal_t", t)
            logits.append(self.tower[t * self.domains + d](z))
        return torch.cat(logits, 1)


def _stacks(theirs, count, layers):
    """Names in the published model of `count` stacks of Linear, LayerNorm, ReLU: our part → rows of names."""
    places = {"weight": "0.weight", "bias": "0.bias", "scale": "1.weight", "shift": "1.bias"}
    found = {}
    for part, place in places.items():
        step, rest = place.split(".")
        for k in range(layers):
            found[f"{part}.{k}"] = [theirs.format(g, 3 * k + int(step), rest) for g in range(count)]
    return found


def carried(model, theirs):
    """The published model's parameters (or gradients) under our names, to be loaded with strict=False.

        ours                              theirs (MDMTRec)
        star.shared, star.shared_bias     shared_weight (transposed), shared_bias
        star.domain, star.domain_bias     slot_weight.D (transposed), slot_bias.D
        encode, skip                      star_mlp, skip_conn
        shared, domain, task              expert.E, domain_expert.D, task_expert.T
        gates                             gate.C.0                        a cell: C = task · D + domain
        towers, outputs                   tower.C.0 and .1, tower.C.3
        fusion.alpha_domain, alpha_task   _weight_exp_d.deep_weights, _weight_exp_t.deep_weights
        fusion.beta_domain, beta_task     _weight_bal_d.deep_weights, _weight_bal_t.deep_weights

    model    an M3oE with variant="code" (one α for all domains, as theirs), tower=hidden[-1] and, for their
             layers 512/256/256/64, star=(512, 256) and hidden=(64,), or just hidden=(512, 256, 64): their
             second 256 is the input of an expert, which is one layer
    theirs   {name: tensor}, MDMTRec's state_dict
    returns  {name: tensor}: everything but the embedding table

    A stack's Linear, LayerNorm, ReLU are .domain_specific.0, .1, .2, then .3, … Not known here, since it
    depends on their feature lists: the order of the columns of x, and the names of the embedding tables.
    Their input columns must therefore be brought into the order of ours beforehand.
    """
    cells, plain = model.tasks * model.domains, ".domain_specific.{1}.{2}"
    names = {
        "star.shared_bias": ["shared_bias"],
        "star.domain_bias": [f"slot_bias.{d}" for d in range(model.domains)],
        "gates.weight": [f"gate.{c}.0.weight" for c in range(cells)],
        "gates.bias": [f"gate.{c}.0.bias" for c in range(cells)],
        "outputs.weight": [f"tower.{c}.3.weight" for c in range(cells)],
        "outputs.bias": [f"tower.{c}.3.bias" for c in range(cells)],
    }
    stacks = {
        "encode": "star_mlp" + plain,
        "skip": "skip_conn" + plain,
        "shared": "expert.{0}" + plain,
        "domain": "domain_expert.{0}" + plain,
        "task": "task_expert.{0}" + plain,
        "towers": "tower.{0}.{1}.{2}",
    }
    for module, pattern in stacks.items():
        blocks = getattr(model, module)
        for part, rows in _stacks(pattern, blocks.count, len(blocks.weight)).items():
            names[f"{module}.{part}"] = rows
    found = {name: torch.stack([theirs[row] for row in rows]) for name, rows in names.items()}
    found["star.shared_bias"] = found["star.shared_bias"][0]
    found["star.shared"] = theirs["shared_weight"].t()
    found["star.domain"] = torch.stack([theirs[f"slot_weight.{d}"].t() for d in range(model.domains)])
    short = {"alpha_domain": "exp_d", "alpha_task": "exp_t", "beta_domain": "bal_d", "beta_task": "bal_t"}
    for name, other in short.items():
        found[f"fusion.{name}"] = theirs[f"_weight_{other}.deep_weights"]
    return found

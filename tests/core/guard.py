"""What protects the method from refactoring: small configurations, and every number that they must give.

python tests/core/guard.py          compare with guard.json, to the last digit on the machine that wrote it
python tests/core/guard.py --write  after a change of the method that is meant: keep the new numbers
"""

import hashlib
import json
import platform
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from small import SMALL, scenario, scenarios

import pfmsm_lite.rivals  # noqa: F401 their rows in METHODS
from pfmsm_lite import METHODS, loop

KEPT = Path(__file__).with_name("guard.json")
ROUNDS, SEED = 3, 5
PF = METHODS["pf_msmtrec_partners"]


def some_labels_missing():
    """Three scenarios, a quarter of the training labels of each gone."""
    found = []
    for n, made in enumerate(scenarios(3)):
        hide = torch.rand(made.train.labels.shape, generator=torch.Generator().manual_seed(n)) < 0.25
        labels = made.train.labels.masked_fill(hide, float("nan"))
        found.append(replace(made, train=made.train._replace(labels=labels)))
    return found


def one_task_missing():
    return [*scenarios(2), scenario("s2", rows=150, seed=2, missing=("conversion",))]


DATA = {
    "three": lambda: scenarios(3),
    "one": lambda: scenarios(1),
    "missing task": one_task_missing,
    "missing labels": some_labels_missing,
}
VARIANTS = {  # title → (fields of Method that differ from those of PF, fields of Settings, data)
    "learned": ({"aggregate": "learned"}, {}, "three"),
    "evidence": ({"aggregate": "evidence"}, {}, "three"),
    "self": ({"aggregate": "self", "self_weight": 0.7}, {}, "three"),
    "cosine": ({"aggregate": "cosine"}, {}, "three"),
    "cagrad": ({"coordinate": "cagrad", "rescale": "cagrad"}, {}, "three"),
    "pcgrad": ({"coordinate": "pcgrad"}, {}, "three"),
    "sqrt": ({"rescale": "sqrt", "server_step": 1.3}, {}, "three"),
    "unscaled": ({"rescale": "none", "radius": 0.7}, {}, "three"),
    "elementwise": ({"normalize": "elementwise"}, {}, "three"),
    "undo": ({"undo": "yes"}, {}, "three"),
    "additive": ({"compose": "additive"}, {}, "three"),
    "rank1": ({"compose": "rank1"}, {}, "three"),
    "ditto at home": ({"personal": "ditto"}, {}, "three"),
    "finetune": ({"personal": "finetune"}, {}, "three"),
    "local first": ({"phases": "local_first", "proximal": 0.1}, {}, "three"),
    "heads first": ({"phases": "heads_first"}, {}, "three"),
    "heads last": ({"phases": "heads_last"}, {}, "three"),
    "reset": ({"optimizer_state": "reset"}, {"local_epochs": 2}, "three"),
    "proximal": ({"proximal": 0.1}, {}, "three"),
    "intercept": ({"intercept": "home"}, {}, "three"),
    "entries by use": ({"embedding": "used"}, {}, "three"),
    "entries by rows": ({"embedding": "rows", "server_step": 0.8}, {}, "three"),
    "entries at home": ({"embedding": "personal"}, {}, "three"),
    "towers by distance": ({"share": {**PF.share, "tower": "fedamp"}}, {}, "three"),
    "everything personal": (
        {"share": {group: "personalized" for group in ("expert.scenario", "expert.local", "gate", "tower")}},
        {},
        "three",
    ),
    "ctcvr": ({"intercept": "home"}, {"ctcvr": "click,conversion"}, "three"),
    "batch norm": ({"share": {**PF.share, "norm": "mean"}}, {"batch_norm": True}, "three"),
    "lazy Adam": ({}, {"embedding_optimizer": "lazy_adam"}, "three"),
    "hidden ids": ({}, {"unknown_rate": 0.3}, "three"),
    "weight decay": ({}, {"weight_decay": 0.01}, "three"),
    "probe": ({}, {"probe": 40}, "three"),
    "bf16": ({}, {"precision": "bf16"}, "three"),
    "missing task": ({}, {}, "missing task"),
    "missing labels": ({}, {}, "missing labels"),
    "one client": ({}, {}, "one"),
    "patience": ({}, {"patience": 1, "learning_rate": 0.3}, "three"),
}


def configurations():
    """title → (Method, fields of Settings, name of the data)."""
    # robust_*: came later, see tests/rivals/test_robust.py
    guarded = {name: method for name, method in METHODS.items() if not name.startswith("robust_")}
    found = {name: (method, {}, "three") for name, method in guarded.items()}
    for title, (changes, settings, data) in VARIANTS.items():
        found[title] = (replace(PF, **changes), settings, data)
    found["fedhca2, missing task"] = (METHODS["fedhca2"], {}, "missing task")
    found["pooled, missing labels"] = (METHODS["pooled"], {"unknown_rate": 0.3}, "missing labels")
    found["m3oe, deeper"] = (METHODS["m3oe"], {"hidden": (8, 6, 4), "unknown_rate": 0.3}, "three")
    found["fedbn, batch norm in pooled"] = (METHODS["pooled"], {"batch_norm": True}, "three")
    found["star, normalized"] = (METHODS["star"], {"batch_norm": True}, "three")
    return found


def digest(tensors):
    """sha256 of named tensors, shapes included."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        array = np.ascontiguousarray(torch.as_tensor(tensor).detach().float().numpy())
        found.update(f"{name} {array.shape}".encode() + array.tobytes())
    return found.hexdigest()[:16]


def measured(method, settings, data):
    """What one configuration gives: numbers to compare loosely, and digests to compare exactly."""
    kept = {}

    class Watched(loop.Federation):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            kept["federation"] = self

    usual, loop.Federation = loop.Federation, Watched
    try:
        history = loop.run(DATA[data](), method, ROUNDS, SEED, **{**SMALL, **settings})
    finally:
        loop.Federation = usual
    federation, results = kept["federation"], history.results
    models = {
        f"{n} {kind} {name}": value
        for n, client in enumerate(federation.clients)
        for kind, own in (("shared", client), ("home", getattr(client, "personal", None)))
        if hasattr(own, "model")
        for name, value in own.model.state_dict().items()
    }
    arrays = {name: torch.as_tensor(np.stack(values)) for name, values in history.arrays.items()}
    uploads = [sorted([list(shape), size] for _, shape, size in own) for own in federation.payload()]
    return {
        "auc": results["auc"].tolist(),
        "logloss": results["logloss"].tolist(),
        "valid_auc": history.rounds["valid_auc"].tolist(),
        "train_loss": history.rounds["train_loss"].tolist(),
        "best_round": history.best_round,
        "sums": {name: float(values.double().nansum()) for name, values in sorted(arrays.items())},
        "uploads": uploads,
        "bytes": history.rounds["bytes"].tolist(),
        "stored": history.stored_bytes,
        "exact": {"arrays": digest(arrays), "models": digest(models)},
    }


def machine():
    """Where digits may be compared to the last one."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        wanted = ("model name", "cpu family", "model\t", "flags")
        name = hashlib.sha256("".join(x for x in lines[:60] if x.startswith(wanted)).encode()).hexdigest()[
            :16
        ]
    return f"{name} torch {torch.__version__} numpy {np.__version__}"


def differences(found, kept, exact):
    """[sentence] for each number that is another one. exact: to the last digit, else about the same."""
    wrong = []
    for title in sorted(found.keys() | kept.keys()):
        if title not in found or title not in kept:
            wrong.append(f"{title}: {'no longer there' if title in kept else 'not kept yet'}")
            continue
        own, other = json.loads(json.dumps(found[title])), kept[title]
        for what in other:
            if exact or what in ("uploads", "bytes"):
                same = json.dumps(own[what]) == json.dumps(other[what])
            elif what in ("exact", "sums", "stored", "best_round"):
                continue
            else:
                near = 0.05 if what == "valid_auc" else 0.02  # validation rows are few
                same = np.allclose(own[what], other[what], rtol=0, atol=near, equal_nan=True)
            if not same:
                wrong.append(f"{title}: {what} is {str(own[what])[:300]}, it was {str(other[what])[:300]}")
    return wrong


def everything():
    torch.set_num_threads(1)
    return {title: measured(*parts) for title, parts in configurations().items()}


if __name__ == "__main__":
    found = everything()
    if "--write" in sys.argv:
        KEPT.write_text(json.dumps({"machine": machine(), "configurations": found}, indent=0) + "\n")
        print(f"{len(found)} configurations are kept.")
        sys.exit()
    kept = json.loads(KEPT.read_text())
    exact = kept["machine"] == machine()
    wrong = differences(found, kept["configurations"], exact)
    print("\n".join(wrong))
    print(
        f"{len(found)} configurations, {len(wrong)} differences, {'exact' if exact else 'on another machine'}"
    )
    sys.exit(bool(wrong))

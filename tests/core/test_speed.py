"""What makes training and the server quick, and that it changes no number."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from small import SMALL, scenarios

from pfmsm_lite import METHODS, run
from pfmsm_lite import federation as federation_module
from pfmsm_lite.client import eager
from pfmsm_lite.federation import Federation
from pfmsm_lite.history import score
from pfmsm_lite.methods import Settings
from pfmsm_lite.normalization import normalize, spread


def fresh(code):
    """What a new Python process prints that runs this code in this folder."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, timeout=300,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    return done.stdout.split()


# ---- start-up ----


@pytest.mark.parametrize(
    ("method", "options"),
    [("pf_msmtrec", {"embedding_optimizer": "lazy_adam"}), ("ditto", {"weight_decay": 0.01}), ("m3oe", {})],
)
def test_a_training_imports_neither_the_compiler_nor_scikit_learn(method, options):
    code = f"""
import sys
from small import SMALL, scenarios
import pfmsm_lite.rivals
from pfmsm_lite import METHODS, run
from pfmsm_lite.federation import Federation
from pfmsm_lite.methods import Settings
run(scenarios(2), METHODS[{method!r}], rounds=2, **SMALL, **{options})
federation = Federation(scenarios(2), METHODS[{method!r}], Settings(**SMALL, **{options}), 0)
federation.train()
federation.load(federation.state())
print([name for name in ("torch._dynamo", "sklearn") if name in sys.modules])
"""
    assert fresh(code) == ["[]"]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (torch.optim.AdamW, {"fused": True, "weight_decay": 0.1}),
        (torch.optim.SparseAdam, {}),
        (torch.optim.Adam, {}),
    ],
)
def test_an_eager_optimizer_steps_as_the_one_it_is_made_of(kind, options):
    def trained(made):
        torch.manual_seed(0)
        table = torch.nn.Embedding(9, 4, sparse=kind is torch.optim.SparseAdam)
        optimizer = made([{"params": [table.weight]}], lr=0.1, **options)
        for ids in (torch.tensor([1, 2]), torch.tensor([2, 5])):
            optimizer.zero_grad()
            table(ids).square().sum().backward()
            optimizer.step()
        again = made([{"params": [table.weight]}], lr=0.5, **options)
        again.load_state_dict(optimizer.state_dict())
        again.step()
        return table.weight.detach(), again

    (usual, _), (found, optimizer) = trained(kind), trained(eager(kind))
    assert torch.equal(usual, found) and optimizer.param_groups[0]["lr"] == 0.1
    assert isinstance(optimizer, kind) and type(optimizer) is not kind
    assert not found.grad_fn and kind.zero_grad is torch.optim.Optimizer.zero_grad  # torch's is as it was


# ---- AUC ----


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, np.nan]), st.integers(0, 9)), min_size=2, max_size=60),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([1.0, 1e-30, 0.1]),
)
def test_the_auc_with_ties_and_missing_labels_is_scikit_learns_to_the_last_digits(rows, kind, unit):
    labels = np.array([label for label, _ in rows])
    probabilities = np.array([value for _, value in rows]).astype(kind) / 10 * kind(unit)
    there = ~np.isnan(labels)
    assume(0 < labels[there].sum() < there.sum())
    found = score(labels, probabilities)
    assert found[:2] == (there.sum(), labels[there].sum())
    assert abs(found[2] - roc_auc_score(labels[there], probabilities[there])) < 1e-15


@given(st.integers(0, 10**6), st.integers(2, 3000))
@settings(deadline=None, max_examples=30)
def test_the_auc_does_not_depend_on_the_order_of_rows_and_turns_with_the_labels(seed, rows):
    draw = np.random.default_rng(seed)
    probabilities = draw.random(rows).round(draw.integers(1, 9))
    labels = (draw.random(rows) < 0.4).astype(np.float32)
    assume(0 < labels.sum() < rows)
    order = draw.permutation(rows)
    found = score(labels, probabilities)[2]
    assert found == score(labels[order], probabilities[order])[2]
    assert found == pytest.approx(1 - score(1 - labels, probabilities)[2], abs=1e-15)
    assert found == pytest.approx(roc_auc_score(labels, probabilities), abs=1e-14)


def test_an_auc_by_hand():
    # of 2 × 3 pairs: 0.5 beats 0.1 and is level with 0.5, loses to 0.7; 0.9 beats all three
    assert score(np.array([1, 0, 1, 0, 0]), np.array([0.5, 0.1, 0.9, 0.5, 0.7]))[2] == 4.5 / 6


# ---- memory ----


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is asked")
def test_whoever_trains_keeps_freed_memory():
    """Blocks of 40 MiB are mapped anew each time, 10,000 page faults, until a client is made."""
    code = """
import resource
import torch
from small import SMALL, scenarios
from pfmsm_lite import METHODS, run
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(10 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults())
run(scenarios(2), METHODS["local"], rounds=1, **SMALL)
faults()
print(faults())
"""
    before, after = map(int, fresh(code))
    if before < 10_000:
        pytest.skip("this C library keeps it anyway")
    assert after < before / 10


# ---- server ----


@pytest.mark.parametrize("size", [10, 4095, 4096, 50_000])
def test_the_deviation_of_a_long_row_is_pytorchs(size):
    stack = torch.randn(2, 3, size + 5, generator=torch.Generator().manual_seed(size)) * 0.05 + 0.3
    part = stack[..., 2 : size + 2]  # a view, as segments are
    found, usual = spread(part), part.std(-1, keepdim=True, correction=0)
    assert found.shape == (2, 3, 1) and found.dtype == torch.float32
    assert torch.allclose(found, usual, rtol=2e-7, atol=0)
    assert torch.allclose(found.double(), part.double().std(-1, keepdim=True, correction=0), rtol=1e-7)


def test_a_long_row_far_from_zero_keeps_its_small_deviation():
    small = torch.randn(1, 2, 8192, generator=torch.Generator().manual_seed(0)).double() * 1e-3
    stack = (small + 1000).float()  # squares would lose it: in float32, 1000² + 1e-6 is 1000²
    want = stack.double().std(-1, keepdim=True, correction=0)
    assert torch.allclose(spread(stack).double(), want, rtol=1e-6)
    assert not spread(torch.full((1, 2, 8192), 123.4)).any()


def test_scale_and_shift_are_as_small_as_the_rule_gives_them():
    _, affine = normalize(torch.randn(2, 3, 20), "moment", [12, 8])
    assert [tuple(part.shape) for parts in affine.maps for part in parts] == [(2, 3, 1)] * 4


@pytest.mark.parametrize("name", ["pf_msmtrec", "no_normalization", "no_coordination", "fedavg", "fedhca2"])
def test_what_the_server_keeps_lies_in_memory_of_its_own(name):
    """It uses memory again within a round; what outlives the round must not share any with the next."""
    federation = Federation(scenarios(3), METHODS[name], Settings(**SMALL), 0)
    for _ in range(2):
        losses, _, accepted = federation.train()
        uploads = [client.upload() for client in federation.clients]
        sent = [{key: value.clone() for key, value in upload.items()} for upload in uploads]
        kept = [(block, block.received, block.received.clone()) for block in federation.server.blocks]
        downloads, _ = federation.server.serve(uploads)
        assert all(
            torch.equal(own[key], was[key]) for own, was in zip(uploads, sent, strict=True) for key in was
        )
        assert all(torch.equal(received, was) for _, received, was in kept)
        for block, _, _ in kept:
            outlives = [block.received, block.previous.sources, block.previous.delta]
            outlives += [message[key] for message in downloads for key in block.shapes if key in message]
            places = {tensor.untyped_storage().data_ptr() for tensor in outlives[:3]}
            assert len(places) == 3
            assert not places & {tensor.untyped_storage().data_ptr() for tensor in outlives[3:]}
        for client, message in zip(federation.clients, downloads, strict=True):
            client.download(message)


# ---- devices ----


def test_seconds_start_when_a_device_is_idle_and_a_cpu_is_not_asked(monkeypatch):
    said = []
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: said.append("idle"))
    assert federation_module.timed(lambda: said.append("work"), "cuda")[1] >= 0
    assert said == ["idle", "work"]
    run(scenarios(2), METHODS["ditto"], rounds=1, **SMALL)
    assert said == ["idle", "work"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_hidden_ids_are_the_same_on_a_device():
    here, there = (
        run(scenarios(2), METHODS["local"], rounds=1, unknown_rate=0.3, device=device, **SMALL)
        for device in ("cpu", "cuda")
    )
    assert there.best_auc == pytest.approx(here.best_auc, abs=1e-3)
